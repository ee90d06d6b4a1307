"""The manifest: true to the plan, the same for readers and programs, and short."""

from __future__ import annotations

import json
import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ports import agent, review

from jitgate.core.access import terms_of
from jitgate.core.plan import Expectation, Kind, Prospect, TargetPlan
from jitgate.core.waiting import Patience
from jitgate.proxy.manifest import IN_FULL, Manifest, Trust, content, text
from jitgate.proxy.problems import ADVICE, problem_page
from jitgate.proxy.refusals import TITLES
from jitgate.proxy.tasks import moment
from jitgate.values import Decision, Denial, Effect, Obligation

NOW = 1_795_500_000.0
TRUST = Trust(b"", ("aa",))
TERMS = terms_of(Decision(Effect.REVIEW, "", "", "", review().obligations))
SCOPE = terms_of(
    Decision(
        Effect.REVIEW,
        "",
        "",
        "",
        review((("leads", "security"), 2), (("legal",), 1), uses=5, life=7200.0).obligations,
    )
)


def kinds(*names):
    return tuple(Kind(name, "GET", f"/{name}/{{id}}") for name in names)


def many(count, prefix="call"):
    return kinds(*(f"{prefix}{number}" for number in range(count)))


PERMITTED = Expectation(Prospect.PERMITTED, "readers", "They may look")
REVIEWED = Expectation(Prospect.REVIEWED, "people-changes", "IT looks\nat these", TERMS)
BY_BODY = Expectation(Prospect.BY_BODY, None, "A rule must see the body.")
BY_FACTS = Expectation(Prospect.BY_FACTS, None, "A rule looks at facts.")
UNTOLD = Expectation(Prospect.UNTOLD, None, "A rule could not judge it.")
DENIED = Expectation(Prospect.DENIED, "no-admins", "Never by agents.")
DEFAULT = Expectation(Prospect.DENIED, "default", "No rule permits this operation.")


def manifest(*found, target="things", hosts=("api.example:443",), **who):
    subject = agent(expires_at=NOW + 600, **who)
    return Manifest(NOW, Patience(), TRUST, subject, (TargetPlan(target, hosts, found),))


WHOLE = manifest(
    (PERMITTED, kinds("list")),
    (REVIEWED, kinds("drop")),
    (BY_BODY, kinds("make")),
    (BY_FACTS, kinds("change")),
    (UNTOLD, kinds("odd")),
    (DENIED, kinds("promote", "demote")),
    (DEFAULT, many(700)),
    hosts=("api.example:443", "api.example:8443"),
    humans=("bob@acme.com",),
)


def test_a_reader_learns_who_it_is():
    told = text(WHOLE)
    assert "You are `bot-7` of https://idp.example. Groups: `it-agents`." in told
    assert "You act for `bob@acme.com`, who cannot approve" in told
    assert "Your token is good until 2026-11-24T06:10:00Z" in told


def test_a_reader_learns_what_to_expect_of_each_call_by_whom_and_why():
    told = text(WHOLE)
    assert "### things: api.example, api.example:8443 (707 operations)" in told
    assert (
        "**Permitted at once** (1): They may look. (Rule `readers`)\n- list: GET /list/{id}" in told
    )
    assert (
        "**Needs approval** (1): IT looks at these. Must approve: 1 of `leads`. An approval is good for "
        "one call within 5 min. (Rule `people-changes`)\n- drop: GET /drop/{id}" in told
    )
    assert "**Depends on the body** (1)" in told
    assert "**Depends on facts from outside** (1)" in told
    assert "**Cannot be told beforehand** (1)" in told
    assert "**Denied** (2): Never by agents. (Rule `no-admins`)\npromote, demote" in told


def test_what_no_rule_speaks_of_is_a_number_and_not_a_list():
    told = text(WHOLE)
    assert "**Denied** (700): No rule permits this operation.\n" in told
    assert "call0" not in told
    assert "call0" not in json.dumps(content(WHOLE))


def test_an_approval_for_more_than_one_call_is_told_with_all_that_it_takes():
    told = text(manifest((Expectation(Prospect.REVIEWED, "r", "Look.", SCOPE), kinds("a", "b"))))
    assert "2 of `leads` or `security`, and 1 of `legal`" in told
    assert "good for 5 calls of one action on one resource within 2 h" in told


def test_of_many_calls_a_reader_gets_the_names_alone():
    told = text(manifest((PERMITTED, many(IN_FULL + 1)), (DEFAULT, kinds("x"))))
    assert "call0, call1, " in told
    assert "/call0/" not in told
    (listed, _) = content(manifest((PERMITTED, many(IN_FULL + 1)), (DEFAULT, kinds("x"))))[
        "targets"
    ][0]["operations"]
    assert listed["list"][0] == {"action": "call0", "method": "GET", "path": "/call0/{id}"}


def test_where_all_calls_go_alike_none_is_listed():
    told = text(manifest((PERMITTED, many(3))))
    assert "**Permitted at once** (all 3): They may look." in told
    assert "call1" not in told


def test_a_long_list_of_denied_calls_is_a_number():
    told = content(manifest((DENIED, many(IN_FULL + 1))))["targets"][0]["operations"][0]
    assert (told["count"], "list" in told) == (IN_FULL + 1, False)


def test_of_a_target_without_a_list_it_says_so():
    told = text(manifest())
    assert "### things: api.example\n\nThere is no list of its calls" in told
    assert content(manifest())["targets"][0]["known_operations"] is None


def test_what_policy_approves_itself_is_told_as_that():
    said = (Obligation("auto", True),)
    terms = terms_of(Decision(Effect.REVIEW, "small", "Policy looks.", "1", said))
    found = (Expectation(Prospect.APPROVED, "small", "Policy looks.", terms), kinds("a"))
    told = text(manifest(found))
    assert "**Approved by policy** (all 1): Policy looks. Approved at once, by policy" in told
    assert "Must approve" not in told
    (expected,) = content(manifest(found))["targets"][0]["operations"]
    assert (expected["prospect"], expected["approvers"]) == ("approved-by-policy", [])


def test_a_program_learns_the_same():
    told = orjson.loads(orjson.dumps(content(WHOLE)))
    assert told["subject"] == {
        "issuer": "https://idp.example",
        "id": "bot-7",
        "groups": ["it-agents"],
        "acts_for": ["bob@acme.com"],
        "token_expires_at": "2026-11-24T06:10:00Z",
    }
    (target,) = told["targets"]
    assert target["hosts"] == ["api.example", "api.example:8443"]
    assert target["known_operations"] == 707
    prospects = [each["prospect"] for each in target["operations"]]
    assert prospects == [
        *(each.value for each in Prospect if each is not Prospect.APPROVED),
        "denied",
    ]
    reviewed = target["operations"][1]
    assert reviewed["approvers"] == [{"groups": ["leads"], "count": 1}]
    assert reviewed["grant"] == {"uses": 1, "seconds": 300.0}
    assert told["waiting"]["hold_seconds"] == 55.0
    assert told["as_of"] == "2026-11-24T06:00:00Z"


def test_waiting_is_told_with_the_times_that_are_in_force():
    told = text(Manifest(NOW, Patience(hold=20.0, linger=90.0, expire=7200.0), TRUST, agent()))
    assert "held for up to 20 s" in told
    assert "within 90 s: it joins" in told
    assert "After 2 h without an answer" in told


def test_whoever_brings_no_token_learns_how_to_and_of_nobody():
    told = text(Manifest(NOW, Patience(), TRUST))
    assert "HTTPS_PROXY=http://RUN:TOKEN@HOST:PORT" in told
    assert "http://jitgate.internal/ca.pem" in told
    assert "What you may call" not in told
    assert content(Manifest(NOW, Patience(), TRUST))["subject"] is None


def test_the_part_that_is_the_same_for_everybody_stays_short():
    """An agent pays for each word: this is about a thousand tokens."""
    assert len(text(Manifest(NOW, Patience(), TRUST, agent()))) < 4800
    assert max(map(len, text(Manifest(NOW, Patience(), TRUST)).splitlines())) <= 120


names = st.text(st.sampled_from("ab \n\r\u2028#`-"), min_size=1)


@given(reason=names, rule=names, who=names)
def test_what_others_write_cannot_look_like_another_part(reason, rule, who):
    """Reasons and rules are the operator's words; ids and groups come with a token."""
    named = {"id": who, "groups": frozenset({who}), "humans": (who,)}
    told = text(manifest((Expectation(Prospect.DENIED, rule, reason), kinds("a")), **named))
    plain = text(manifest((DENIED, kinds("a")), humans=("x",)))
    marks = re.compile(r"^[-#*]+", re.MULTILINE)
    assert marks.findall(told) == marks.findall(plain)


# --- the pages about refusals


@pytest.mark.parametrize("denial", Denial)
def test_every_kind_of_refusal_is_explained(denial):
    told = problem_page(denial.value)
    assert told.startswith(f"# {TITLES[denial]}\n")
    assert ADVICE[denial] in told
    assert f"`{denial.value}`" in told


@pytest.mark.parametrize("name", ["", "nothing", "POLICY", "denied-by-policy "])
def test_nothing_else_is(name):
    assert problem_page(name) is None


def test_that_another_ca_is_to_sign_is_told_to_whoever_asks():
    coming = Manifest(NOW, Patience(), Trust(b"", ("aa", "bb"), NOW + 86400))
    assert content(coming)["trust"] == {
        "ca_certificates": "https://jitgate.internal/ca.pem",
        "sha256": ["aa", "bb"],
        "next_signs_from": moment(NOW + 86400),
    }
    assert f"From {moment(NOW + 86400)} on another CA signs" in text(coming)
    assert "another CA" not in text(Manifest(NOW, Patience(), TRUST))
