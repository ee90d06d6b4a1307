"""Examples of the docs that need no gateway are run as they stand, and say what is shown."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from psycopg import sql
from ruamel.yaml import YAML
from support.jwts import SigningKey
from support.offline import Laptop, rule
from support.pages import ROOT, block, commands, differs, shell, steps, typed
from support.token_endpoint import App, TokenEndpoint

from jitgate.credentials.signing import Signer, read_key

# --- README.md


def test_the_story_is_told_as_it_goes(tmp_path):
    ((command, printed),) = steps(block("README.md", "$ jitgate demo --once"))
    done = shell(command, tmp_path)  # from another folder than the project's
    never = r"\b[as]-[0-9a-f]{16}|\d+ lines"
    assert (done.code, done.err) == (0, "")
    assert differs(printed, done.out, never) is None, done.out


# --- docs/several-gateways.md


def test_the_role_and_the_schema_are_made_as_it_is_told(postgres):
    """What psql is told by ``\\c`` is to connect to that database; here under other names."""
    mine = f"page{os.getpid()}"
    whole = block("docs/several-gateways.md", "CREATE ROLE").replace("jitgate", mine)
    database = "postgres"
    try:
        for line in whole.splitlines():
            if line.startswith("\\c "):
                database = line.split()[1]
                continue
            with postgres.admin(database) as connection:
                connection.execute(line)
        place = {"host": f"{postgres.folder}", "port": postgres.port, "dbname": mine}
        with psycopg.connect(user=mine, password="…", **place) as connection:
            connection.execute(f"CREATE TABLE {mine}.things (n int)")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("CREATE SCHEMA another")
    finally:
        with postgres.admin("postgres") as connection:
            for kind in ("DATABASE", "ROLE"):
                gone = sql.SQL(f"DROP {kind} IF EXISTS {{}}").format(sql.Identifier(mine))
                connection.execute(gone)


# --- docs/credentials.md

CATALOG = """\
method,path,operation,risk,scopes,parameters,body,secrets
GET,/api/v1/groups,listGroups,read,okta.groups.read,,,
GET,/api/v1/users/{id},getUser,read,okta.users.read,,,
GET,/api/v1/logs,listLogEvents,read,okta.logs.read,,,
POST,/api/v1/groups,addGroup,write,okta.groups.manage,,json,
POST,/api/v1/users,createUser,write,okta.users.manage,,json,
POST,/api/v1/users/{id}/lifecycle/deactivate,deactivateUser,destructive,okta.users.manage,,,
"""
GRANTED = {
    "reader": {"okta.groups.read", "okta.logs.read", "okta.users.read"},
    "writer": {"okta.users.manage"},
    "privileged": {"okta.users.manage"},
}
RULES = [
    rule("agents-read", "permit", targets=["okta"], actions=["getUser", "listGroups"]),
    rule("changes-need-a-human", "review", targets=["okta"], risk=["write"]),
    rule("people-changes-need-a-human", "review", targets=["okta"], actions=["deactivateUser"]),
]


@pytest.fixture
def keys(tmp_path):
    """The keys that the page has made, each in its file."""
    done = shell(block("docs/credentials.md", "umask"), tmp_path)
    assert done.code == 0, done.err
    made = {each: tmp_path / f"{each}.pem" for each in GRANTED}
    assert {file.stat().st_mode & 0o777 for file in made.values()} == {0o400}
    return made


@pytest.mark.needs_debian("openssl")
def test_keys_are_made_published_and_asked_about_as_it_is_told(keys, tmp_path):
    program = block("docs/credentials.md", "python -c")
    apps = []
    for name, file in keys.items():
        typing = program.replace("reader.pem reader-2026", f"{file.name} {KEYS[name]}")
        made = json.loads(shell(typing, tmp_path).out)
        private = load_pem_private_key(file.read_bytes(), None)
        signed = Signer(read_key(file.read_bytes()), {"kid": made["kid"]}).signed({"sub": "0oa1"})
        taken = jwt.decode(signed, jwt.PyJWK(made).key, algorithms=[made["alg"]])
        assert (made["kid"], "d" in made, taken) == (KEYS[name], False, {"sub": "0oa1"})
        key = SigningKey(made["kid"], made["alg"], private)
        apps.append(App(CLIENTS[name], key, frozenset(GRANTED[name])))
    with TokenEndpoint(tmp_path, apps) as org:
        _configured(tmp_path, org)
        ((command, printed),) = steps(block("docs/credentials.md", "$ jitgate credentials check"))
        done = shell(f"{command} --config jitgate.yaml", tmp_path, {"COLUMNS": "300"})
        said = done.out.replace(org.url, "https://acme.okta.com")
        asked = r"check-[0-9a-f]{16}|Asked for \d+ tokens"
        assert differs(printed, said, asked) is None, said + done.err
        assert done.code == 1  # it has something to warn of


def _configured(folder, org):
    """The page's target, before an org of six operations."""
    laptop = Laptop(folder)
    (shown,) = YAML(typ="safe", pure=True).load(block("docs/credentials.md", "targets:"))["targets"]
    assert {each["name"]: each["key_id"] for each in shown["credential"]["apps"]} == KEYS
    assert {each["name"]: each["client_id"] for each in shown["credential"]["apps"]} == CLIENTS
    shown["credential"]["org"] = org.url
    (folder / "org.csv").write_text(CATALOG)
    port = org.url.rpartition(":")[2]
    here = {"catalog": "./org.csv", "trust": str(org.ca), "dial": f"127.0.0.1:{port}"}
    laptop.settings(targets=[{**shown, **here, "hosts": ["acme.okta.example"]}])
    laptop.policy(*RULES)


KEYS = {"reader": "reader-2026", "writer": "writer-2026", "privileged": "power-2026"}
CLIENTS = {"reader": "0oa1reader", "writer": "0oa2writer", "privileged": "0oa3power"}


# --- docs/masking.md


def test_what_a_response_becomes_is_said_as_it_is_shown(tmp_path):
    laptop = Laptop(tmp_path)
    laptop.masking(YAML(typ="safe", pure=True).load(block("docs/masking.md", "- profile: example")))
    laptop.policy(rule("reads", "permit", actions=["listUsers"]))
    token = "eyJhbGciOiJub25lIn0.e30."
    body = {
        "apps": [{"client_secret": "hush-1"}, {"client_secret": "hush-2"}],
        "profile": {"ssn": "123-45-6789"},
        "note": f"sent {token} to them",
    }
    (tmp_path / "body.json").write_text(json.dumps(body))
    (curl, _), (command, printed) = steps(block("docs/masking.md", "$ curl"))
    assert curl.endswith("-o body.json")
    done = typed(command, tmp_path, {"JITGATE_CONFIG": str(laptop.config)})
    assert (done.code, differs(printed, done.err)) == (0, None), done.err
    assert "hush" not in (tmp_path / "masked.json").read_text()


# --- docs/configuration.md


def test_a_name_that_is_none_is_said_as_it_is_shown(tmp_path):
    shown = block("docs/configuration.md", "policy/okta.yaml:12:10")
    laptop = Laptop(tmp_path)
    (tmp_path / "policy" / "okta.yaml").write_text(
        "\n" * 6
        + """\
- name: own
  reason: Nobody changes themselves
  match: {targets: [okta]}
  effect: deny

  when:  operaton.resource["id"] != subject.id
"""
    )
    done = typed(f"jitgate policy check --config {laptop.config}", tmp_path)
    said = done.err.replace(f"{tmp_path}/", "")
    assert differs(shown, said) is None, said


# --- docs/catalogs.md

PAGES = {
    "/repos/{owner}/{repo}": {
        "get": {"operationId": "repos/get"},
        "delete": {"operationId": "repos/delete"},
    },
    "/repos/{owner}/{repo}/actions/secrets/{secret_name}": {
        "put": {
            "operationId": "actions/create-or-update-repo-secret",
            "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
        }
    },
    "/repos/{owner}/{repo}/hooks": {"post": {"operationId": "repos/create-webhook"}},
    "/repos/{owner}/{repo}/keys": {"post": {"operationId": "repos/create-deploy-key"}},
}
ANSWER = {"type": "object", "properties": {"temp_clone_token": {"type": "string"}}}
PAGES["/repos/{owner}/{repo}"]["get"]["responses"] = {
    "200": {"description": "", "content": {"application/json": {"schema": ANSWER}}}
}


def test_an_api_is_brought_in_as_it_is_told(tmp_path):
    page = "docs/catalogs.md"
    described = {"openapi": "3.0.3", "paths": PAGES}
    (tmp_path / "api.github.com.json").write_text(json.dumps(described))
    etc = tmp_path / "etc"
    etc.mkdir()
    laptop = Laptop(etc)
    yaml = YAML(typ="safe", pure=True)
    shown = block(page, "targets:").replace("credential: ...", "credential: {type: none}")
    laptop.settings(targets=yaml.load(shown)["targets"], control={})
    looking, writing = (block(page, f"jitgate catalog import{each}").strip() for each in IMPORTS)
    env = {"JITGATE_CONFIG": str(laptop.config)}
    seen = typed(looking.partition(" | ")[0], tmp_path, env)
    assert "repos/get" in seen.out, seen
    assert not (etc / "github.csv").exists()
    typed(writing, tmp_path, env)
    head, *rows = block(page, "method,path,").splitlines()
    written = (etc / "github.csv").read_text().splitlines()
    assert written[0] == head
    assert [row for row in rows if row not in written] == []
    laptop.policy(*yaml.load(block(page, "- name: github-reads")))
    settings = yaml.load(laptop.config)
    settings["approvals"] = {"groups": {"it-leads": ["alice@acme.example"]}}
    laptop.config.write_text(json.dumps(settings))
    called = "https://api.github.com/repos/o/r/keys --as bot-7"
    (tmp_path / "body.json").write_text("{}")
    done = typed(f"jitgate policy explain POST {called} --body body.json", tmp_path, env)
    assert "by github-keys" in done.out, done


IMPORTS = (
    " api.github.com.json --target github --out etc/github.csv |",
    " api.github.com.json --target github --out etc/github.csv --write",
)


# --- docs/webhooks.md, docs/performance.md


def test_a_secret_of_a_webhook_is_made_as_it_is_told(tmp_path):
    done = shell(block("docs/webhooks.md", "(umask"), tmp_path)
    assert done.code == 0, done.err
    file = tmp_path / "ops-out.secret"
    assert file.stat().st_mode & 0o777 == 0o600
    kind, _, secret = file.read_text().strip().partition("_")
    assert (kind, len(base64.b64decode(secret))) == ("whsec", 32)


def test_the_trie_can_be_measured_as_it_is_told(tmp_path):
    command = block("docs/performance.md", "python -m timeit")
    done = shell(
        command.replace("-r 200 -n 1000", "-r 1 -n 1"), tmp_path, {"PYTHONPATH": str(ROOT)}
    )
    assert "per loop" in done.out, done


MEASURED = [
    command
    for begins in ("pip install '.[test]'", "python -m tests.bench.masking --json")
    for command in commands(block("docs/performance.md", begins))
    if command.startswith("python")
]


EACH = """
import runpy, sys
for words in map(str.split, sys.argv[1:]):
    sys.argv = words
    print(">", *words)
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit:
        pass
"""


def test_what_is_measured_takes_the_options_that_are_told():
    """Only ``--list`` is run: the others measure for minutes."""
    programs = {}
    for command in MEASURED:
        _, _, module, *options = command.split()
        programs.setdefault(module, set()).update(each for each in options if each[:2] == "--")
    asked = [f"{module} --help" for module, options in programs.items() if options]
    done = subprocess.run(
        [sys.executable, "-c", EACH, "tests.bench --list", *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    listed, *told = re.split("^> .*\n", done.stdout, flags=re.MULTILINE)[1:]
    assert len(asked) == 3
    for command, help_ in zip(asked, told, strict=True):
        known = set(re.findall(r"--[a-z]+", help_))
        assert programs[command.split()[0]] <= known, command
    rows = {line.split()[0] for line in listed.splitlines() if line.strip()}
    named = re.search(r"--row ([a-z ]+?) --", MEASURED[1])[1].split()
    assert (MEASURED[0], set(named) <= rows) == ("python -m tests.bench --list", True), listed
