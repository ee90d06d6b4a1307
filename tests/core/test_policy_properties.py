"""Rules as operators write them, in files: no spelling, no order and no addition opens anything."""

from __future__ import annotations

import random as randomness
import tempfile
from functools import cache
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from support.offline import Laptop, rule, told

from jitgate.values import Effect

PHASES = set(Phase) - {Phase.explain}
"""Not to explain a failure, which takes a minute where files are read."""

# --- no spelling of a denied path is permitted

DENIED = {
    "things.example": [("GET", "/admin/keys/k1"), ("POST", "/Admin/Users"), ("DELETE", "/v1/~a")],
    "acme.okta.example": [
        ("POST", "/api/v1/users/00u1/lifecycle/deactivate"),
        ("DELETE", "/api/v1/users/00u1"),
        ("PUT", "/api/v1/policies/p1"),
    ],
}


@cache
def site():
    """Everything is permitted, but for a few calls, half of which need a person."""
    laptop = Laptop(Path(tempfile.mkdtemp()))
    laptop.policy(
        rule("everything", "permit"),
        rule("no-keys", "deny", targets=["things"], paths=["/admin/keys/{id}"]),
        rule("no-users", "review", targets=["things"], paths=["/Admin/Users"]),
        rule("no-tilde", "deny", targets=["things"], paths=["/v1/~a"]),
        rule("people", "deny", targets=["okta"], actions=["deactivateUser", "deleteUser"]),
        rule("policies", "review", targets=["okta"], actions=["replacePolicy"]),
    )
    return laptop.made()


def escaped(character):
    return f"%{ord(character):02X}"


CHANGES = {
    "escape": escaped,
    "escape in small letters": lambda character: escaped(character).lower(),
    "escape twice": lambda character: escaped(character).replace("%", "%25"),
    "overlong": lambda character: f"%C0%{0x80 | ord(character) & 0x3F:02X}",
    "other case": str.swapcase,
    "wide": lambda character: quote(chr(ord(character) + 0xFEE0)),
    "before: nothing": lambda character: f"%00{character}",
    "after: a tab": lambda character: f"{character}%09",
    "after: parameters": lambda character: f"{character};a=b",
    "after: escaped parameters": lambda character: f"{character}%3Ba",
    "before: a byte that is no text": lambda character: f"%FF{character}",
}
SLASHES = [
    "//", "/./", "/x/../", "/%2e/", "/%2E%2E/x/", "\\", "%5C", "%2F", "%2f", "%252F", "%C0%AF", "%EF%BC%8F",
    "/;/", "/;x=y/", "/.;/",
]  # fmt: skip
ENDS = [
    "/",
    "//",
    "/.",
    ".",
    "%20",
    "?",
    "?a=b",
    "?_method=GET",
    "#",
    "#a",
    "%23",
    "%3F",
    ";",
    "%00",
]
ASIDE = {"%23", "%3F"}
"""An escaped mark is a letter of the name: another name, where it stands in a fixed one."""


@st.composite
def spellings(draw):
    """A call that is denied, written in some other way."""
    host = draw(st.sampled_from(sorted(DENIED)))
    method, path = draw(st.sampled_from(DENIED[host]))
    written = ""
    for character in path:
        if character == "/" and written.rpartition("/")[2]:
            written += draw(st.sampled_from(["", "", "", ".", "%20", "..", ".%2e"]))
        if draw(st.integers(0, 9)):
            written += character
        elif character == "/":
            written += draw(st.sampled_from(SLASHES))
        else:
            written += CHANGES[draw(st.sampled_from(sorted(CHANGES)))](character)
    end = draw(st.sampled_from(["", *ENDS]))
    fixed = not path.endswith(("k1", "u1", "p1"))
    written += "" if fixed and end in ASIDE else end
    spelled_host = draw(
        st.sampled_from(
            [host, host.upper(), f"{host}:443", f"{host}.", f"a@{host}", f"{host}:0443"]
        )
    )
    return method, f"https://{spelled_host}{written}"


@settings(max_examples=400, phases=PHASES)
@given(spellings())
@example(("GET", "https://things.example/admin/keys/k1/"))
@example(("GET", "https://things.example/ADMIN/keys/k1"))
@example(("GET", "https://things.example/admin./keys%20/k1"))
@example(("GET", "https://things.example/admin//keys/k1"))
@example(("GET", "https://things.example/%61dmin/keys/k1"))
@example(("POST", "https://things.example/admin/users"))
@example(("DELETE", "https://things.example/v1/%7ea/"))
@example(("POST", "https://acme.okta.example/api/v1/users/00u1/lifecycle/%64eactivate"))
@example(("POST", "https://acme.okta.example/api/v1/users/00u1/lifecycle/deactivate/"))
def test_no_spelling_of_a_denied_path_is_permitted(spelled):
    trial = told(site(), *spelled, body=b"")
    assert trial.effect in {Effect.DENY, Effect.REVIEW}


@pytest.mark.parametrize(("host", "calls"), DENIED.items())
def test_nor_is_the_path_itself(host, calls):
    """Else the property above would say little."""
    for method, path in calls:
        trial = told(site(), method, f"https://{host}{path}", body=b"")
        assert trial.refusal is None
        assert trial.effect is not Effect.PERMIT
    assert told(site(), "GET", f"https://{host}/api/v1/users").effect is Effect.PERMIT


# --- rules in files

CALLS = [
    ("GET", "https://acme.okta.example/api/v1/users"),
    ("HEAD", "https://acme.okta.example/api/v1/users"),
    ("GET", "https://acme.okta.example/api/v1/users/00u1"),
    ("POST", "https://acme.okta.example/api/v1/users/00u1/lifecycle/deactivate"),
    ("GET", "https://things.example/a"),
    ("GET", "https://things.example/A/"),
    ("POST", "https://things.example/a/b"),
    ("DELETE", "https://things.example:8443/a/b"),
]
ACTIONS = {"okta": ["*User", "list*", "deactivateUser"], "things": ["GET", "P*"], "both": ["*"]}
tests = st.fixed_dictionaries(
    {},
    optional={
        "groups": st.lists(st.sampled_from(["it-agents", "hr"]), max_size=2),
        "methods": st.lists(st.sampled_from(["GET", "POST", "DELETE"]), max_size=2),
        "paths": st.lists(st.sampled_from(["/a", "/{x}/b", "/api/v1/users", "/A/{y}"]), max_size=2),
        "agents": st.lists(st.sampled_from(["bot-*", "tool"]), max_size=2),
        "mask": st.sampled_from(["none", "plain", "catalog"]),
    },
)
effects = st.sampled_from(["permit", "review", "deny"])


@st.composite
def written_rules(draw, effect=effects):
    """A rule as it stands in a file, that its reader takes."""
    kind, more = draw(effect), draw(tests)
    if kind == "deny":
        more.pop("mask", None)
    where = draw(st.sampled_from([None, "okta", "things", "both"]))
    if where is not None:
        more["targets"] = ["okta", "things"] if where == "both" else [where]
        actions = st.lists(st.sampled_from(ACTIONS[where]), min_size=1, max_size=2)
        more |= draw(st.fixed_dictionaries({}, optional={"actions": actions}))
    if kind == "review" and draw(st.booleans()):
        more["grant"] = {"uses": draw(st.integers(1, 3)), "life": "7m"}
    return rule("a-rule", kind, **more)


def numbered(rules):
    return [{**each, "name": f"rule-{number}"} for number, each in enumerate(rules)]


def outcomes(*files):
    """What comes of each call by the rules in these files, and the policy's version."""
    with tempfile.TemporaryDirectory() as folder:
        laptop = Laptop(Path(folder))
        for number, rules in enumerate(files):
            laptop.policy(*rules, file=f"{number}.yaml")
        made = laptop.made()
        return made.policy.version, [told(made, *call, body=b"").decision for call in CALLS]


def openness(*files):
    """How open each call is: 0 denied, 1 a person is asked, 2 permitted."""
    order = [Effect.DENY, Effect.REVIEW, Effect.PERMIT]
    return [order.index(each.effect) for each in outcomes(*files)[1]]


in_files = settings(max_examples=20, deadline=None, phases=PHASES)
lists = st.lists(written_rules(), min_size=1, max_size=5).map(numbered)


@in_files
@given(lists, st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_order_of_rules_and_of_files_changes_nothing(rules, count, random):
    shuffled = list(rules)
    random.shuffle(shuffled)
    files = [shuffled[number::count] for number in range(count)]
    assert outcomes(*files) == outcomes(rules)


@in_files
@given(lists, written_rules(st.just("deny")), st.integers(0, 5))
def test_a_rule_that_denies_never_opens_anything(rules, added, place):
    before, more = openness(rules), [*rules[:place], added, *rules[place:]]
    after = openness(more)
    assert all(new <= old for new, old in zip(after, before, strict=True))


@in_files
@given(lists, written_rules(st.just("permit")), st.integers(0, 5))
def test_without_a_rule_that_permits_nothing_more_is_open(rules, removed, place):
    with_it = openness([*rules[:place], removed, *rules[place:]])
    without = openness(rules)
    assert all(new <= old for new, old in zip(without, with_it, strict=True))


@in_files
@given(lists, written_rules(st.just("review")))
def test_a_rule_that_asks_people_never_permits_by_itself(rules, added):
    before, after = openness(rules), openness([*rules, added])
    assert all(new <= max(old, 1) for new, old in zip(after, before, strict=True))


@in_files
@given(lists, written_rules(), st.integers(0, 5))
def test_every_rule_counts_for_the_version(rules, added, place):
    more = [*rules[:place], added, *rules[place:]]
    assert outcomes(rules)[0] != outcomes(more)[0]


def test_randomly_shuffled_the_shipped_rules_decide_the_same():
    from ruamel.yaml import YAML  # noqa: PLC0415

    text = (Path(__file__).parents[2] / "etc" / "policy" / "okta.yaml").read_text()
    rules = YAML(typ="safe", pure=True).load(text)
    with tempfile.TemporaryDirectory() as folder:
        laptop = Laptop(Path(folder))
        laptop.settings(approvals={"groups": {"it-leads": ["a@acme.example"]}})
        laptop.masking([{"profile": "okta", "names": ["*secret"]}])
        versions = set()
        for seed in range(5):
            randomness.Random(seed).shuffle(rules)
            laptop.policy(*rules)
            versions.add(laptop.made().policy.version)
    assert len(versions) == 1
