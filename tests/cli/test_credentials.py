"""`jitgate credentials check`: apps are asked what they may do, and nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from support.forked import ran
from support.jwts import SigningKey
from support.offline import SETTINGS, Laptop, rule
from support.self_signed import pem
from support.token_endpoint import App, TokenEndpoint

from jitgate.cli import main

CATALOG = """\
method,path,operation,risk,scopes,parameters,body,secrets
GET,/api/v1/apps,listApplications,read,okta.apps.read,,,
GET,/api/v1/groups,listGroups,read,okta.groups.read,,,
GET,/api/v1/logs,listLogEvents,read,okta.logs.read,,,
POST,/api/v1/groups,addGroup,write,okta.groups.manage,,json,
POST,/api/v1/users,createUser,write,okta.users.manage,,json,
GET,/api/v1/users/{id},getUser,read,okta.users.read,,,
POST,/api/v1/users/{id}/lifecycle/deactivate,deactivateUser,destructive,okta.users.manage,,,
"""
"""An org of seven operations: of each scope that a catalog knows an app is asked for."""

READER = SigningKey.es256("reader-1")
WRITER = SigningKey.rs256("writer-1")
READS = rule("reads", "permit", targets=["okta"], actions=["getUser", "listGroups"])
ASKS = rule("asks", "review", targets=["okta"], actions=["createUser", "deactivateUser"])
READ = frozenset({"okta.users.read", "okta.groups.read"})
MANAGE = frozenset({"okta.users.manage"})


class Desk(Laptop):
    """Where an operator runs the command, with an org at hand."""

    def __init__(self, folder, org):
        super().__init__(folder)
        self.org, self.catalog = org, "./org.csv"
        (folder / "org.csv").write_text(CATALOG)
        self.secrets = folder / "secrets"
        self.secrets.mkdir()
        for key in (READER, WRITER):
            self.keep(f"{key.key_id}.pem", pem(key.private))
        self.apps(reader=["read"], writer=["write", "destructive"])
        self.policy(READS, ASKS)

    def keep(self, name, content, mode=0o400):
        file = self.secrets / name
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(content)
        file.chmod(mode)

    def app(self, name, risks, **changes):
        key = WRITER if name == "writer" else READER
        made = {"name": name, "client_id": f"0oa{name}", "key_id": key.key_id, "risks": risks}
        return made | {"private_key": f"file:secrets/{key.key_id}.pem"} | changes

    def apps(self, *more, changes=None, **risks):
        """The target's apps, each with the risks that it is for."""
        apps = [self.app(name, those, **(changes or {})) for name, those in risks.items()]
        credential = {"type": "okta", "org": self.org.url, "apps": [*apps, *more]}
        port = self.org.url.rpartition(":")[2]
        okta = {**SETTINGS["targets"][0], "credential": credential, "catalog": self.catalog}
        self.settings(targets=[{**okta, "trust": str(self.org.ca), "dial": f"127.0.0.1:{port}"}])

    def process(self, *arguments):
        command = [sys.executable, "-m", "jitgate", "credentials", "check"]
        return subprocess.Popen(
            [*command, "--config", str(self.config), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"COLUMNS": "200"},
        )

    def run(self, *arguments):
        """The exit status, and what is said; never a token or a key."""
        asked = ("credentials", "check", "--config", str(self.config), *arguments)
        code, out, err = ran(*asked, COLUMNS="200")
        for key in (READER, WRITER):
            assert pem(key.private).decode().splitlines()[1] not in out + err
        assert not [token for token in self.org.minted if token in out + err]
        return code, out, err

    def told(self, *arguments):
        code, out, err = self.run("--json", *arguments)
        assert err == ""
        return code, json.loads(out)


@pytest.fixture
def desk(tmp_path):
    apps = [App("0oareader", READER, READ), App("0oawriter", WRITER, MANAGE)]
    with TokenEndpoint(tmp_path, apps) as org:
        yield Desk(tmp_path, org)


def grant(desk, name, *scopes):
    """Grant an app these scopes, and no others."""
    desk.org.apps = [
        App(app.client_id, app.key, frozenset(scopes), app.dpop) if app.client_id == name else app
        for app in desk.org.apps
    ]


def test_where_each_app_may_do_what_rules_need_all_is_well(desk):
    code, out, err = desk.run()
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert f"okta, reader: client 0oareader of {desk.org.url}, DPoP" in lines
    assert "okta.groups.read yes reads" in lines
    assert "okta.users.read yes reads" in lines
    assert "okta.users.manage yes asks" in lines
    assert "warning" not in out
    asked = len(desk.org.asked)
    assert lines[-1] == f"Asked for {asked} tokens; 2 came, and 2 were revoked."


def test_each_of_its_requests_has_the_name_that_it_tells(desk):
    _, out, _ = desk.run()
    (name,) = desk.org.named
    assert re.fullmatch(r"jitgate/check-[0-9a-f]{16}", name)
    assert f"the User-Agent of these requests is {name}.\n" in out
    desk.org.named.clear()
    _, apps = desk.told()
    assert {app["user_agent_token"] for app in apps} == desk.org.named != {name}


def test_every_token_that_is_minted_is_revoked_at_once(desk):
    grant(desk, "0oareader", *READ, "okta.logs.read", "okta.apps.read")
    desk.run()
    assert len(desk.org.minted) > 3
    assert desk.org.revoked == desk.org.minted


def test_what_is_needed_is_asked_for_together_and_all_else_of_okta_s_by_itself(desk):
    desk.catalog = "okta"
    desk.apps(reader=["read"])
    desk.policy(READS)
    assert desk.run("okta")[0] == 0
    of_reader = [scopes for client, scopes in desk.org.asked if client == "0oareader"]
    assert of_reader[0] == READ
    assert all(len(each) == 1 for each in of_reader[1:])
    assert len(set(of_reader)) == len(of_reader) > 100


def test_what_is_granted_and_no_rule_needs_is_told_with_where_to_take_it_away(desk):
    grant(desk, "0oareader", *READ, "okta.logs.read", "okta.users.manage")
    code, out, _ = desk.run()
    assert code == 1
    assert (
        "warning: okta, reader: it was granted okta.logs.read, okta.users.manage, which no rule "
        "needs. Take that away in Okta's Admin Console: Applications > Applications > the app > "
        "Okta API Scopes." in out
    )
    assert "okta.logs.read     yes      no rule" in out


def test_what_rules_need_and_an_app_lacks_is_told(desk):
    grant(desk, "0oareader", "okta.users.read")
    code, (reader, writer) = desk.told()
    assert code == 1
    assert reader["scopes"] == [
        {"scope": "okta.groups.read", "granted": False, "rules": ["reads"]},
        {"scope": "okta.users.read", "granted": True, "rules": ["reads"]},
    ]
    (warning,) = reader["warnings"]
    assert "it was not granted okta.groups.read, which rules need: such calls will fail" in warning
    assert writer["warnings"] == []


def test_a_program_is_told_the_same(desk):
    code, (reader, _) = desk.told()
    assert code == 0
    scopes = reader.pop("scopes")
    tokens = reader.pop("tokens")
    assert reader.pop("user_agent_token") in desk.org.named
    assert reader == {
        "target": "okta",
        "type": "okta",
        "app": "reader",
        "org": desk.org.url,
        "client_id": "0oareader",
        "dpop": True,
        "fault": None,
        "warnings": [],
    }
    assert [each["scope"] for each in scopes] == sorted(READ)
    assert tokens["minted"] == tokens["revoked"] == 1


def test_an_app_that_no_operation_chooses_is_told(desk):
    desk.policy(READS)
    grant(desk, "0oawriter")
    code, out, _ = desk.run()
    assert code == 1
    assert "warning: okta, writer: no operation that rules let pass chooses it. Take it away" in out


def test_what_no_app_covers_is_told(desk):
    desk.apps(reader=["read"], writer=["write"])
    code, out, _ = desk.run()
    assert code == 1
    assert (
        "warning: okta: no app covers deactivateUser, whose risk is destructive: rules let such "
        "calls pass, and they will be refused." in out
    )


def test_what_only_rules_that_deny_meet_is_not_needed(desk):
    denies = rule("never", "deny", targets=["okta"], actions=["listGroups", "listApplications"])
    desk.policy(READS, ASKS, denies)
    _, (reader, _) = desk.told()
    assert [(each["scope"], each["rules"]) for each in reader["scopes"]] == [
        ("okta.groups.read", []),
        ("okta.users.read", ["reads"]),
    ]


@pytest.mark.parametrize("wrong", ["key", "client"])
def test_an_app_that_the_org_does_not_know_so_is_told_with_what_to_compare(desk, wrong):
    if wrong == "key":
        desk.keep("reader-1.pem", pem(SigningKey.es256("x").private))
    else:
        desk.apps(reader=["read"], changes={"client_id": "0oaother"})
        desk.policy(READS)
    code, out, _ = desk.run()
    assert code == 1
    assert "warning: okta, reader: The token endpoint answered 401 (invalid_client). " in out
    assert "compare them with Applications > Applications > the app > General" in out
    assert "okta.users.read   unknown  reads" in out


def test_a_clock_that_is_off_is_told(desk):
    desk.org.clock = 300.0
    code, out, _ = desk.run()
    assert code == 1
    assert re.search(r"clock is (299|300) s behind that of the token endpoint\.", out)


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (False, "It wants a proof: set dpop: true for this app."),
        (True, "issued a bearer token to reader, which is set to dpop"),
    ],
)
def test_where_both_sides_differ_about_proofs_it_is_told(desk, here, said):
    desk.org.unbound = here
    desk.policy(READS)
    desk.apps(reader=["read"], changes={"dpop": here})
    code, out, _ = desk.run()
    assert code == 1
    assert said in out
    assert desk.org.revoked == desk.org.minted


def test_an_org_that_says_slow_down_is_waited_for(desk):
    desk.org.limited = 2
    code, out, _ = desk.run()
    assert code == 0
    assert f"Asked for {len(desk.org.asked) + 2} tokens; 2 came, and 2 were revoked." in out


def test_an_org_that_is_down_cannot_tell(desk):
    desk.org.down = True
    code, out, _ = desk.run()
    assert code == 2
    assert "The token endpoint answered 503." in out


def test_one_that_is_not_reached_cannot_either(desk):
    desk.apps(reader=["read"])
    desk.settings(
        targets=[{**json.loads(desk.config.read_text())["targets"][0], "dial": "127.0.0.1:9"}]
    )
    code, out, _ = desk.run()
    assert code == 2
    assert "The token endpoint cannot be asked" in out


def test_a_token_that_cannot_be_revoked_is_told(desk):
    desk.org.keeps = True
    code, out, _ = desk.run()
    assert code == 1
    assert "warning: okta, reader: 1 token could not be revoked" in out
    assert out.endswith("2 came, and 0 were revoked.\n")


def test_stopped_in_the_middle_it_revokes_what_it_has(desk):
    process = desk.process()
    desk.org.meanwhile = lambda: process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, "It was stopped.\n")
    assert len(desk.org.minted) == 1
    assert desk.org.revoked == desk.org.minted


def test_of_other_targets_only_their_secret_is_looked_at(desk):
    things = SETTINGS["targets"][1]
    value = {"type": "static", "header": "X-Key", "value": "file:secrets/key"}
    desk.keep("key", b"secret-of-things\n")
    desk.settings(
        targets=[
            {**things, "credential": value},
            {**things, "name": "open", "hosts": ["open.example"], "credential": {"type": "none"}},
        ]
    )
    desk.policy(rule("any", "permit"))
    code, out, err = desk.run()
    assert (code, err) == (0, "")
    assert out == (
        "things: static. Its secret can be read. Nothing is asked.\n"
        "open: none. There is no credential. Nothing is asked.\n"
    )
    assert desk.told() == (
        0,
        [
            {"target": "things", "type": "static", "warnings": []},
            {"target": "open", "type": "none", "warnings": []},
        ],
    )


def test_a_vault_is_not_asked(desk):
    """Nor told the gateway's token, while other targets' orgs are asked."""
    desk.keep("token", b"a-vaults-token\n")
    with socket.create_server(("127.0.0.1", 0)) as vault:
        credential = {
            "type": "vault",
            "address": "https://vault.example",
            "dial": f"127.0.0.1:{vault.getsockname()[1]}",
            "auth": {"token": "file:secrets/token"},
            "path": "a",
            "field": "b",
            "as": {"header": "X-Key"},
        }
        things = {**SETTINGS["targets"][1], "credential": credential}
        okta = json.loads(desk.config.read_text())["targets"][0]
        desk.settings(targets=[okta, things])
        code, out, err = desk.run()
        vault.setblocking(False)
        with pytest.raises(BlockingIOError):
            vault.accept()
    assert (code, err) == (0, "")
    assert "things: vault. " in out
    assert "Asked for" in out, "the reactor ran"


@pytest.mark.parametrize(
    ("mode", "said"),
    [(0o444, "can be used by others (mode 0444)"), (None, "cannot be read: no such file")],
)
def test_a_key_that_cannot_be_read_is_told_before_anybody_is_asked(desk, mode, said):
    file = desk.secrets / "reader-1.pem"
    file.unlink() if mode is None else file.chmod(mode)
    code, out, err = desk.run()
    assert (code, out) == (2, "")
    assert said in err
    assert desk.org.asked == []


def test_a_target_that_is_not_configured_is_told(tmp_path, capsys):
    laptop = Laptop(tmp_path)
    laptop.policy(READS)
    assert main(["credentials", "check", "--config", str(laptop.config), "okto"]) == 2
    assert "no target 'okto' is configured; did you mean 'okta'?" in capsys.readouterr().err
