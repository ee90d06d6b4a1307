"""docs/policy.md is walked with a small site: its rule is written, checked, tested and explained."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from support.pages import ROOT, block, blocks, commands, differs, span, steps, typed

PAGE = "docs/policy.md"
VERSION = r"Policy [0-9a-f]{16}|policy +[0-9a-f]{16}"
SITE = """\
# What agents of IT may do here.


- name: read-the-directory
  reason: Agents of IT may look people and groups up
  match:
    targets: [okta]
    actions: [listUsers, getUser, listGroups, getGroup, listApplications]
    groups: [it-agents]
  effect: permit
  mask: okta


- name: create-people
  reason: Newcomers may be created
  match: {targets: [okta], actions: [createUser], groups: [it-agents]}
  effect: permit
  mask: okta

- name: people-changes-need-a-human
  reason: Changes to people are looked at by IT
  match:
    targets: [okta]
    actions: [deactivateUser, suspendUser, deleteUser]
    groups: [it-agents]
  effect: review
  approvers: {groups: [it-leads]}
  mask: okta


"""
API = "https://acme.okta.com/api/v1"
CALLS = [
    ("GET", "/users", "", "permit"),
    ("POST", "/users", {}, "permit"),
    ("POST", "/users/00u1/lifecycle/deactivate", "", "review"),
    ("POST", "/users/00u1/roles", {}, "deny"),
]


def case(method, path, body, effect):
    """A case of the site's, in a line: JSON is YAML."""
    who = {"sub": "bot-7", "groups": ["it-agents"]}
    request = {"method": method, "url": API + path, "as": who, "body": body}
    name = f"{method} {path}"
    return f"- {json.dumps({'name': name, 'request': request, 'expect': {'effect': effect}})}\n"


@pytest.fixture
def site(tmp_path):
    """The folder ``etc`` of a site that has four rules and twelve cases, and Alice to approve."""
    etc = tmp_path / "etc"
    shutil.copytree(ROOT / "etc", etc, ignore=shutil.ignore_patterns("policy", "var"))
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins")
    (etc / "policy" / "tests").mkdir(parents=True)
    (etc / "policy" / "okta.yaml").write_text(SITE)
    told = [case(*each) for each in CALLS * 3]
    (etc / "policy" / "tests" / "okta.yaml").write_text("\n" * (62 - len(told)) + "".join(told))
    return etc


def leads(etc, *people):
    file = etc / "jitgate.yaml"
    changed = re.sub("    it-leads: .*", f"    it-leads: [{', '.join(people)}]", file.read_text())
    file.write_text(changed)


def test_the_walk_is_as_it_is_told(site):
    walk = [each.text for each in blocks(PAGE)]
    rules, cases = site / "policy" / "okta.yaml", site / "policy" / "tests" / "okta.yaml"
    rule, tried, passes = walk[0], walk[5], walk[6]
    written, _, failing = tried.partition("\n\n$ ")

    def holds(shown, code):
        ((command, printed),) = steps(shown)
        done = typed(command, site.parent)
        said = (done.out + done.err).replace(str(site.parent), "/acme")
        assert differs(printed, said, VERSION) is None, f"{command}\n{said}"
        assert done.code == code, command

    rules.write_text(SITE + rule)
    leads(site, "alice@acme.com")
    holds(walk[2], 2)
    assert "did you mean 'assignUserToGroup'" in walk[2]
    rules.write_text(SITE + rule.replace("assignUserToGroups", "assignUserToGroup"))
    holds(walk[3], 0)
    leads(site, "alice@acme.com", "bob@acme.com")
    holds(walk[4], 1)
    cases.write_text(cases.read_text() + written + "\n")
    holds("$ " + failing, 1)
    cases.write_text(cases.read_text().replace("quorum: 1", "quorum: 2"))
    holds("$ jitgate policy test --strict\n" + passes, 0)
    for shown in walk[7:9]:
        holds(shown, 0 if shown is walk[7] else 1)
    for command in commands(walk[10]):
        assert typed(command, site.parent).code == 0, command


def test_the_schema_that_editors_are_pointed_to_is_written_there(tmp_path):
    policies = tmp_path / "etc" / "policy"
    policies.mkdir(parents=True)
    assert typed(span(PAGE, "jitgate policy schema"), tmp_path).code == 0
    place = block(PAGE, "# yaml-language-server").partition("=")[2].strip()
    assert json.loads((policies / place).read_text())["type"] == "array"
    for name in re.findall(r"`([\w-]+\.schema\.json)`", (ROOT / PAGE).read_text()):
        assert (tmp_path / ".schemas" / name).exists(), name
