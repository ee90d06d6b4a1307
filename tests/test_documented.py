"""What stands in the docs to be typed or written is taken: commands, configuration, rules."""

from __future__ import annotations

import contextlib
import io
import re
import shlex

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from support import pages
from support.pages import PAGES, ROOT

from jitgate.cli import command_line, main
from jitgate.config import load
from jitgate.config.schema import Rule, Settings, Target

TYPED = re.compile(r"^(?:\$ )?(?:[^|&;]* (?:\||&&) )?(?:[A-Z_]+=\S+ )*(jitgate [a-z][^:]*.*)$")
PARSER = command_line()


def blocks(page):
    for each in pages.blocks(str(page.relative_to(ROOT))):
        yield each.kind, each.text


# --- commands


def commands(page):
    """What of a page's blocks is typed: behind a prompt, where there are prompts."""
    for kind, text in blocks(page):
        lines = text.replace("\\\n", " ").splitlines()
        prompted = [line for line in lines if line.startswith("$ ")]
        if kind in {"", "sh", "console"}:
            for line in prompted or ([] if kind == "console" else lines):
                found = TYPED.match(re.sub(r"\s+#.*$", "", line.strip()))
                if found:
                    yield re.split(r" [<>|&]|; | 2>|\)\"", found[1])[0]


TOLD = [
    pytest.param(command, id=f"{page.relative_to(ROOT)}: {command}")
    for page in PAGES
    for command in commands(page)
]


def test_there_are_commands_to_be_tried():
    assert len(TOLD) > 50


@pytest.mark.parametrize("command", TOLD)
def test_a_command_is_one(command):
    words = shlex.split(re.sub(r"\[([^\]]*)\]", r"\1", command))[1:]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            PARSER.parse_args(words)
        except SystemExit as ended:
            assert not ended.code, said.getvalue()


def test_every_option_that_is_named_in_passing_is_there():
    known = {
        word
        for page in (ROOT / "docs" / "reference" / "commands.md",)
        for word in re.findall(r"--[a-z][\w-]*", page.read_text())
    }
    for page in PAGES:
        for span in re.findall(r"`(jitgate [^`]*)`", page.read_text()):
            own = span.partition(" -- ")[0]
            named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", own))
            assert named <= known, f"{page.name}: {span}"


# --- configuration and rules

BASE = {
    "state": "./state",
    "identity": {
        "issuers": [
            {
                "name": "agents",
                "type": "oidc",
                "issuer": "https://idp.example",
                "audience": "jitgate",
                "jwks": "./jwks.json",
            }
        ]
    },
    "targets": [
        {
            "name": "okta",
            "hosts": ["acme.okta.com"],
            "catalog": "okta",
            "credential": {"type": "none"},
        },
        {
            "name": "github",
            "hosts": ["api.github.com"],
            "catalog": "none",
            "credential": {"type": "none"},
        },
    ],
    "policy": ["./policy.yaml"],
    "masking": ["./masking.yaml"],
    "approvals": {
        "groups": {
            name: ["alice@acme.com", "bob@acme.com"]
            for name in ("it-leads", "security", "data-owners")
        }
    },
}
RULE = {
    "name": "shown",
    "reason": "It is shown",
    "match": {"targets": ["okta"], "actions": ["replaceGroup"]},
    "effect": "review",
    "approvers": {"groups": ["it-leads"]},
    "mask": "okta",
}
PROFILE = {"profile": "okta", "names": ["password"]}
OTHERS = {
    ("on", "jobs"): "a workflow of GitHub's",
    ("apiVersion", "kind", "metadata", "spec"): "a manifest of Kubernetes'",
    ("file", "offset", "bytes", "sha256"): "a line of the recording",
    ("time", "level", "logger", "message", "pid"): "a line of the log",
    ("ready", "reasons"): "what /readyz answers",
    ("scrape_configs",): "Prometheus' own",
}
"""What looks like YAML and is no file of ours."""


WRONG = {
    "groups-need-a-human": "no action 'assignUserToGroups' is known",
    "changes-with-a-ticket": "looks at facts 'change_ticket', which no plugin provides",
}
"""What a page shows to be wrong, or to need a plugin; and what is said of it."""


def read(text):
    try:
        # Three dots stand for what was told before.
        return YAML(typ="safe", pure=True).load(text.replace(": ...", ": {type: none}"))
    except YAMLError:
        return None


def written():
    """Each snippet of YAML in the docs that a file of the gateway's could hold."""
    for page in PAGES:
        for kind, text in blocks(page):
            value = read(text) if kind in {"", "yaml"} else None
            plain = isinstance(value, dict) and all(re.fullmatch(r"\w+", key) for key in value)
            listed = isinstance(value, list) and all(isinstance(each, dict) for each in value)
            if value and (plain or listed):
                yield pytest.param(value, id=f"{page.relative_to(ROOT)}: {text[:30]!r}")


SNIPPETS = list(written())


def test_there_are_snippets_to_be_tried():
    assert len(SNIPPETS) > 40


def keys_of(model):
    return {field.alias or name for name, field in model.model_fields.items()}


def merged(settings, snippet):
    """The settings with what a snippet says; what it leaves out of a section stays."""
    over = dict(settings)
    for key, value in snippet.items():
        both = isinstance(value, dict) and isinstance(settings.get(key), dict)
        over[key] = {**settings[key], **value} if both else value
    if "approvals" in snippet:
        groups = {**settings["approvals"]["groups"], **over["approvals"].get("groups", {})}
        over["approvals"] = {**over["approvals"], "groups": groups}
    return over


def files_of(snippet):
    """Settings, rules and profiles in which the snippet stands; None if it is no file of ours."""
    if isinstance(snippet, list):
        if "profile" in snippet[0]:
            return BASE, [], snippet
        return (BASE, snippet, [PROFILE]) if "effect" in snippet[0] else None
    if tuple(snippet) in OTHERS:
        return None
    if set(snippet) <= keys_of(Settings):
        return merged(BASE, snippet), [], [PROFILE]
    if set(snippet) <= keys_of(Target):
        target = {**BASE["targets"][0], **snippet}
        return {**BASE, "targets": [target]}, [], [PROFILE]
    assert set(snippet) <= keys_of(Rule), sorted(set(snippet) - keys_of(Rule))
    rule = {**RULE, **snippet}
    if "reuse" in snippet:
        rule = {**rule, "effect": "permit"}
        del rule["approvers"]
    return BASE, [rule], [PROFILE]


def dumped(value, file):
    with file.open("w") as opened:
        YAML(typ="safe", pure=True).dump(value, opened)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_taken(snippet, tmp_path, capsys):
    found = files_of(snippet)
    if found is None:
        assert isinstance(snippet, dict) or {"response", "request"} & set(snippet[0])
        return  # cases: tests/test_masking_page.py tries those of masking
    settings, rules, profiles = found
    for name, value in (("jitgate", settings), ("policy", rules), ("masking", profiles)):
        dumped(value, tmp_path / f"{name}.yaml")
    configuration = load(tmp_path / "jitgate.yaml")
    assert len(configuration.rules) == len(rules)
    if {target for rule in rules for target in rule["match"].get("targets", ())} == {"okta"}:
        code = main(["policy", "check", "--config", str(tmp_path / "jitgate.yaml")])
        said = capsys.readouterr()
        wrong = [why for name, why in WRONG.items() if name in {rule["name"] for rule in rules}]
        assert code == (2 if wrong else 0), said
        assert all(why in said.err for why in wrong)
