"""Conditions: what is wrong is said at load, and what cannot be told afterwards is never a yes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from jitgate.core.parameters import completed
from jitgate.interfaces import ICondition
from jitgate.rules.cel import LONGEST, CelCondition, ConditionInvalid
from jitgate.rules.cel_values import BODY_BYTES, VALUES
from jitgate.values import Inquiry, Operation, Risk, Subject, Unevaluated

NOON = 1782900000.0  # 2026-07-01T10:00:00Z: noon in Berlin
OPERATION = Operation(
    "okta",
    "deactivateUser",
    {"userId": "00u1"},
    "POST",
    "acme.okta.com:443",
    "/api/v1/users/00u1/lifecycle/deactivate",
    "sendEmail=true",
    ("okta.users.manage",),
    risk=Risk.DESTRUCTIVE,
    parameters={"sendEmail": "true"},
    json=True,
)
SUBJECT = Subject(
    "https://idp.example",
    "bot-7",
    frozenset({"it-agents", "hr"}),
    NOON + 600,
    ("bob@acme.com",),
    agent="crawler",
)
FACTS = {"ticket": {"open": True, "number": "CHG1", "risk": 3}, "on call": {"who": ["ann"]}}


def inquiry(body=None, *, is_json=True, facts=FACTS, **changes):
    return Inquiry(replace(OPERATION, **changes), SUBJECT, NOON, body, is_json, facts)


def held(text, asked=None):
    return CelCondition(text).holds(inquiry() if asked is None else asked)


def of_body(text, value):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return held(text, inquiry(body))


def test_it_provides_the_port():
    assert verifyObject(ICondition, CelCondition("true"))


@pytest.mark.parametrize(
    "text",
    [
        'operation.target == "okta" && operation.action == "deactivateUser"',
        'operation.method == "POST"',
        'operation.authority == "acme.okta.com:443" && operation.host == "acme.okta.com"',
        'operation.path.endsWith("/deactivate") && operation.path.contains("/lifecycle/")',
        'operation.path.matches("^/api/v1/users/[^/]+/lifecycle/(de)?activate$")',
        'operation.query == "sendEmail=true" && operation.parameters["sendEmail"] == "true"',
        'operation.resource["userId"] != subject.id && operation.resource.userId == "00u1"',
        "has(operation.resource.userId) && !has(operation.resource.groupId)",
        'operation.risk in ["privileged", "destructive"]',
        'operation.scopes == ["okta.users.manage"]',
        'subject.issuer == "https://idp.example" && subject.agent == "crawler"',
        '"hr" in subject.groups && !("admins" in subject.groups) && subject.groups[0] == "hr"',
        'subject.humans.exists(h, h.endsWith("@acme.com"))',
        'subject.expires_at - environment.time >= duration("10m")',
        'environment.time.getHours("Europe/Berlin") == 12 && environment.time.getHours() == 10',
        'environment.time.getHours("+05:30") == 15 && environment.time.getMinutes("+05:30") == 30',
        'environment.time.getDayOfWeek("Asia/Tokyo") == 3',
        'environment.time < timestamp("2026-07-01T12:00:00+01:00")',
        'facts.ticket.open && facts["ticket"]["number"] == "CHG1" && facts["on call"].who[0] == "ann"',
        "has(facts.ticket.open) && !has(facts.ticket.closed)",
        '"日本" != "日" && size("日本") == 2 && "é" == "\\u00e9"',
        'operation.resource["none"] == "x" || true',
        "type(facts.ticket.risk) == int && facts.ticket.risk > 2",
        '{"read": 1, "destructive": 4}[operation.risk] > 3 && subject.groups[size(subject.id) - 5] == "hr"',
    ],
)  # fmt: skip
def test_what_is_so(text):
    assert held(text) is True
    assert held(f"!({text})") is False


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ('body.profile.login == "ann@acme.com"', {"profile": {"login": "ann@acme.com"}}),
        ('body["a b"] == null && !has(body.c)', {"a b": None}),
        ("body.n == 9223372036854775807", {"n": 2**63 - 1}),
        ("body.n == -9223372036854775808", {"n": -(2**63)}),
        ("body.n == 1.5 && body.m < body.n", {"n": 1.5, "m": 1}),
        ("body.n == 1", b'{"n": 1e0}'),
        ('body.ids.all(id, id.startsWith("00u")) && size(body.ids) == 2', {"ids": ["00u1", "00u2"]}),
        ('body[1] == "b"', ["a", "b"]),
        ('body == "\U0001f600"', b'"\\ud83d\\ude00"'),
        ("body.all(name, name in ['a', 'b'])", {"a": 1, "b": 2}),
        ('{"x": body}.x.y == true', {"y": True}),
    ],
)  # fmt: skip
def test_what_is_so_of_a_body(text, body):
    assert of_body(text, body) is True
    assert of_body(f"!({text})", body) is False


MISSING, TYPE, NEITHER = "is not there", "another type", "neither true nor false"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('operation.resource["groupId"] == "x"', MISSING),
        ('operation.resource.groupId == "x"', MISSING),
        ("facts.ticket.closed", MISSING),
        ("facts.ticket", NEITHER),
        ("facts.ticket.number", NEITHER),
        ("facts.ticket.risk", NEITHER),
        ("facts.ticket.number < 3", TYPE),
        ("facts.ticket.number && true", TYPE),
        ("has(facts.ticket.number.x)", TYPE),
        ("1 % (facts.ticket.risk - 3) == 1", "failed"),
        ("9223372036854775807 + facts.ticket.risk > 0", "failed"),
        ("int(operation.path) == 1", "failed"),
        ("timestamp(operation.path) < environment.time", "failed"),
        ("subject.groups[7] == 'hr'", ""),
    ],
)
def test_what_cannot_be_evaluated_is_neither_yes_nor_no(text, why):
    answer = held(text)
    assert isinstance(answer, Unevaluated)
    assert why in answer.reason


JSON = "everybody reads alike"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", JSON),
        (b"a=1", JSON),
        (b'{"a": 1', JSON),
        (b'{"a": 1} {"a": 1}', JSON),
        (b'\xef\xbb\xbf{"a": 1}', JSON),
        (b'{"a": 1, "b": "\xff"}', JSON),
        ('{"a": 1}'.encode("utf-16"), JSON),
        (b'{"a": 1, "b": NaN}', JSON),
        (b'{"a": 1, "b": Infinity}', JSON),
        (b'{"a": 1, "b": "\\ud800"}', JSON),
        (b"{'a': 1}", JSON),
        (b'{"a": 01}', JSON),
        (b'{"a": 1, "a": 1}', "twice"),
        (b'{"a": 1, "\\u0061": 2}', "twice"),
        (b'{"a": 1, "b": [{"c": 1, "c": 1}]}', "twice"),
        (b'{"a": 1, "b": 9223372036854775808}', "64 bits"),
        (b'{"a": 1, "b": -9223372036854775809}', "64 bits"),
        (b'{"a": 1, "b": ' + b"9" * 10_000 + b"}", ""),
        (b'{"a": 1, "b": 1e400}', JSON),
        (b'{"a": 1, "b": 9007199254740993.0}', "too large"),
        (b'{"a": 1, "b": "x\\u0000y"}', "NUL"),
        (b'{"a": 1, "b": ' + b"[" * 101 + b"]" * 101 + b"}", "deep"),
        (b'{"a": 1, "b": ' + b"[" * 5000 + b"]" * 5000 + b"}", ""),
        (b'{"a": 1, "b": [' + b"0," * VALUES + b"0]}", "too large"),
        (b'{"a": 1, "b": "' + b"x" * BODY_BYTES + b'"}', "too large"),
    ],
)
def test_a_body_that_is_not_one_unambiguous_json_text_tells_nothing(body, why):
    """Also where the expression looks at none of what is odd."""
    answer = of_body("body.a == 1", body)
    assert isinstance(answer, Unevaluated)
    assert why in answer.reason
    assert isinstance(of_body("body.a == 1 || true", body), Unevaluated)


def test_a_body_counts_only_where_catalog_and_request_say_that_it_is_json():
    condition = CelCondition("body.a == 1")
    assert condition.holds(inquiry(b'{"a": 1}')) is True
    for asked in (inquiry(b'{"a": 1}', is_json=False), inquiry(b'{"a": 1}', json=False)):
        assert isinstance(condition.holds(asked), Unevaluated)


def test_nothing_of_the_body_stands_in_a_reason():
    for body in ({"s": "hunter2"}, {"s": {"hunter2": 2**62}}, {"hunter2": 1}, ["hunter2"]):
        for text in ("body.s > 3", "body.s.x == 1", "facts.ticket[body.s] == 1", "body.s + 1 == 2"):
            answer = of_body(text, body)
            assert isinstance(answer, Unevaluated)
            assert "hunter" not in answer.reason


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ('operation.path == "/a"', inquiry(path="/a\0b")),
        ('operation.host == "a"', inquiry(authority="a\0b:443")),
        ('operation.resource["userId"] == "00u1"', inquiry(resource={"userId": "00u1\0x"})),
        ('"userId" in operation.resource', inquiry(resource={"userId\0": "x"})),
        ('facts.ticket == "a"', inquiry(facts={"ticket": "a\0b"})),
        ('facts.ticket == {"a": [1]}', inquiry(facts={"ticket": {"a\0": [1]}})),
        ('facts.ticket[0] == "a"', inquiry(facts={"ticket": ["a\0b"]})),
    ],
)
def test_a_text_is_never_compared_up_to_its_first_nul_alone(text, asked):
    assert isinstance(held(text, asked), Unevaluated)


def test_a_group_is_never_compared_up_to_its_first_nul_alone():
    asked = inquiry()._replace(subject=replace(SUBJECT, groups=frozenset({"it-agents\0"})))
    assert isinstance(held('"it-agents" in subject.groups', asked), Unevaluated)


@pytest.mark.parametrize(
    "odd",
    [2**63, -(2**63) - 1, float("nan"), float("inf"), 2.0**60, b"x", {1, 2}, {1: 2}, "\ud800", object()],
)  # fmt: skip
def test_facts_that_are_not_jsons_or_not_exact_tell_nothing(odd):
    for facts in ({"t": {"x": 1, "odd": odd}}, {"t": {"x": 1, "odd": [odd]}}):
        assert isinstance(held("facts.t.x == 1", inquiry(facts=facts)), Unevaluated)
    assert held("facts.ticket.open", inquiry(facts={**FACTS, "other": odd})) is True


def test_facts_are_bounded():
    deep = 1
    for _ in range(200):
        deep = [deep]
    for odd in (deep, [0] * (VALUES + 1)):
        assert isinstance(
            held("facts.t.x == 1", inquiry(facts={"t": {"x": 1, "y": odd}})), Unevaluated
        )


def test_what_it_reads_is_known_at_load():
    condition = CelCondition(
        'facts.a.x == facts["b c"].y || has(facts.d.z) || facts.e[facts.f] == 1'
    )
    assert condition.facts == {"a", "b c", "d", "e", "f"}
    assert not CelCondition("true").facts
    assert CelCondition("body.x == 1").needs_body(OPERATION)
    assert not CelCondition("facts.body == 1").needs_body(OPERATION)
    parameters = CelCondition('operation.parameters["activate"] == "true"')
    assert not parameters.needs_body(OPERATION)
    assert parameters.needs_body(replace(OPERATION, in_body=("activate",)))
    assert not CelCondition('operation.path == ""').needs_body(replace(OPERATION, in_body=("a",)))


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"{}", True),
        (b'{"sendEmail": true}', True),
        (b'{"sendEmail": "true"}', True),
        (b'{"sendEmail": false, "other": "true"}', False),
        (b'{"sendEmail": ["true"]}', False),
        (b'{"sendEmail": "true\\u0000"}', None),
    ],
)
def test_a_parameter_that_is_a_member_of_the_body_is_what_the_body_says(body, answer):
    operation = completed(replace(OPERATION, in_body=("sendEmail",)), body, is_json=True)
    told = held('operation.parameters["sendEmail"] == "true"', Inquiry(operation, SUBJECT, NOON))
    assert isinstance(told, Unevaluated) if answer is None else told is answer


numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(-(2.0**53), 2.0**53, exclude_max=True)
arithmetic = st.recursive(
    st.sampled_from(["body.a", "body.b", "body.c", "0.0", "9007199254740991.0", "double(7)"])
    | st.sampled_from(["double(int(body.a))", "double(size(body))"]),
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner)
        | st.builds("({} / {})".format, inner, st.sampled_from(["0.5", "-3", "1e-10"]))
    ),
    max_leaves=14,
)


@settings(max_examples=300)
@given(arithmetic, st.lists(numbers, min_size=3, max_size=3))
@example("body.a" + " * body.a" * 25 + " - body.b" + " * body.b" * 25, [2.0**52] * 3)
@example("body.a / body.b", [0.0] * 3)
@example("double(body.a)", ["nan"] * 3)
@example("1e400 - 1e400", [0.0] * 3)
def test_a_number_from_outside_is_never_one_that_compares_with_nothing(expression, values):
    """NaN is neither less than a number, nor more, nor the same: a rule that denies would not."""
    try:
        condition = CelCondition(f"({expression}) == ({expression})")
    except ConditionInvalid:
        return
    body = json.dumps(dict(zip("abc", values, strict=True))).encode()
    assert condition.holds(inquiry(body)) is not False


OTHER_CASE = "nothing but the case"


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("has(body.credentials)", {"Credentials": {}}),
        ("has(body.credentials)", {"credentials": {}, "CREDENTIALS": {}}),
        ("has(body.kind)", {"\u212aind": 1}),
        ("has(body.status)", {"\u017ftatus": 1}),
        ("has(body.a.b)", {"a": {"B": 1}}),
        ("has(body.a.b)", {"x": [{"y": {"A": 1}}]}),
        ('body["a"]["b"] == 1', {"a": {"B": 1}}),
        ('"credentials" in body', {"Credentials": 1}),
        ('!("credentials" in body.a)', {"a": {"Credentials": 1}}),
        ("body.users.exists(user, user.admin)", {"users": [{"Admin": True}]}),
        ('body.users.exists(user, user["admin"])', {"users": [{"ADMIN": True}]}),
        ('body.exists(name, name == "a")', {"A": 1}),
        ('body.all(name, name in ["a", "b"])', {"A": 1}),
        ('body.exists(name, name.startsWith("a"))', {"A": 1}),
        ("(subject.id == 'x' ? 'a' : 'b') in body", {"A": 1}),
        ('body == {"a": 1}', {"A": 1}),
        ("{'x': body}.x.y == 1", {"Y": 1}),
        ("[body][0].y == 1", {"Y": 1}),
        ("(subject.id == 'x' ? body : body.a).y == 1", {"Y": 1}),
        ("body[0].a == 1", [{"A": 1}]),
    ],
)
def test_a_member_that_differs_from_one_that_is_read_in_case_alone_tells_nothing(text, body):
    """Some targets read names in either case: what a rule says of one must be so of the other."""
    answer = of_body(text, body)
    assert isinstance(answer, Unevaluated)
    assert OTHER_CASE in answer.reason
    assert isinstance(of_body(f"{text} || true", body), Unevaluated)


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("has(body.a) && has(body.A)", {"a": 1, "A": 2}),
        ('body.a == 1 && operation.resource["userId"] == "00u1"', {"a": 1, "USERID": 2}),
        ("body.a == 1 && operation.resource.userId == '00u1'", {"a": 1, "USERID": 2}),
        ("body.a == 1 && facts.ticket.number == 'CHG1'", {"a": 1, "Number": 2, "chg1": 3}),
        ("body.a == 1 && operation.method == 'POST'", {"a": 1, "post": 2}),
        ("body.a == 1 && operation.risk in ['read', 'destructive']", {"a": 1, "Read": 2}),
        ("body.a.matches('^x$')", {"a": "x", "^X$": 1}),
    ],
)
def test_a_member_that_is_none_that_is_read_may_be_spelled_in_any_case(text, body):
    assert of_body(text, body) is True


# --- what is wrong is said at load


def wrong(text):
    with pytest.raises(ConditionInvalid) as caught:
        CelCondition(text)
    return [(each.at, each.message) for each in caught.value.findings]


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ('operaton.resource["userId"] != subject.id', 0, "undeclared reference to 'operaton'; did you mean 'operation'?"),
        ('true && operation.pth == "x"', 18, "operation has no 'pth'; did you mean 'path'?"),
        ("subject.group == []", 8, "subject has no 'group'; did you mean 'groups'?"),
        ("environment.now == environment.time", 12, "environment has no 'now'"),
        ("operation == 1", 0, "operation needs one of its fields"),
        ("facts.size() > 0", 0, "must be written out"),
        ('"x" in facts', 7, "must be written out"),
        ("facts[operation.path].x == 1", 0, "must be written out"),
        ("facts.all(k, true)", 0, "must be written out"),
        ("has(operation.path)", 4, "always there"),
        ('has(operation.path) == "x"', 4, "always there"),
        ("operation.path", 0, "true or false"),
        ("size(body)", 0, "true or false"),
        ('[operation.path == ""]', 0, "true or false"),
        ("operation.path == 1", 15, "no matching overload"),
        ("operation.path > 3u", 15, "no matching overload"),
        ('operation.path.upper() == "x"', 20, "undeclared reference to 'upper'"),
        ("operation.path ==", 17, "something is missing at the end"),
        ("operation.path == 'x", 18, "'x cannot stand here"),
        ("operation.path = 'x'", 15, "= cannot stand here: what is equal is asked by =="),
        ("true and true", 5, "and cannot stand here: it is written &&"),
        ("(true", 5, "missing ')' at the end"),
        ("operation.path == 'x')", 21, ") cannot stand here"),
        ("true # always", 5, "# cannot stand here"),
        ("9223372036854775808 > 1", 0, "invalid int literal"),
        ('"😀" == operation.paht', 17, "did you mean 'path'?"),
        ("true &&\n  fo", 10, "undeclared reference to 'fo'"),
        ('operation.path.matches("(")', 23, "no regular expression"),
        ('operation.path.matches("a{5000}{5000}")', 23, "no regular expression"),
        ("operation.path.matches(subject.id)", 30, "must be written out"),
        ("matches(operation.path, body.p)", 28, "must be written out"),
        ('environment.time.getHours("Europe/Berln") > 1', 26, "no time zone"),
        ("environment.time.getHours(body.zone) > 1", 30, "must be written out"),
        ('environment.time > timestamp("2026-13-01")', 29, "no timestamp"),
        ('duration("5 minutes") > duration("1s")', 9, "no duration"),
        ("google.protobuf.Timestamp{} < environment.time", 0, "cannot be made"),
        ("double(body.a) > 1.0", 11, "takes 'nan' from outside"),
        ("double(operation.path) > 1.0", 16, "takes 'nan' from outside"),
        ("double('nan') > 1.0", 7, "takes 'nan' from outside"),
        ("body.a / body.b > 1.0", 13, "may only be divided by"),
        ("body.a / 0.0 > 1.0", 9, "may only be divided by"),
        ("body.a / 0 > 1", 9, "may only be divided by"),
        ("body.a / 1e-300 > 1.0", 9, "may only be divided by"),
        ("body.a / '2' > 1.0", 9, "may only be divided by"),
        ("body.a < 1e400", 9, "too large"),
        ("body.a * -1e308 < 1.0", 9, "too large"),
        ("9007199254740992.0 < body.a", 0, "too large"),
        ("body.a" + " * body.a" * 11 + " > 1.0", 97, "10 times"),
        ("body[subject.id] == 1", 12, "must be written out"),
        ("body.x['a' + 'b'] == 1", 11, "must be written out"),
        ("body.x.exists(a, a[subject.id] == 1)", 26, "must be written out"),
        ("body.x.exists(a, body.y.exists(b, a == b))", 30, "a loop within a loop"),
        ("body.x.map(a, a) == []", 10, "map() and filter()"),
        ("body.x.filter(a, a > 1) == []", 13, "map() and filter()"),
        ("body.x.exists(a, body.s.contains(a))", 32, "'contains' in a loop"),
        ('body.x.exists(a, operation.path.matches("a+"))', 39, "matches() in a loop"),
        ("body.x.exists(a, a.s.contains(a.t))", 31, "what contains() looks for"),
        ("body.a.contains(body.b)", 20, "what contains() looks for"),
        ("operation.path.contains(body.b)", 28, "what contains() looks for"),
        ("body.a.contains(operation.path)", 25, "what contains() looks for"),
        ("body.a.contains('a' + subject.id)", 20, "what contains() looks for"),
        ("body.a.contains(facts.x.y)", 23, "what contains() looks for"),
        ("body.x.exists(a, body.y == body.z)", 24, "compares what is not the loop's own"),
        ("body.x.exists(a, [a, body.y] != [a, body.z])", 29, "compares what is not the loop's own"),
        ("body.x.exists(a, body.y < body.z)", 24, "compares what is not the loop's own"),
        ("body.x.exists(a, (a ? body.y : body.z) == body.z)", 39, "compares what is not the loop's own"),
        ("body.x.exists(a, body.y.startsWith(body.z))", 34, "compares what is not the loop's own"),
        ("body.x.exists(a, body.y.endsWith(operation.path))", 32, "compares what is not the loop's own"),
        ("body.x.exists(a, a in body.y)", 19, "'in' in a loop"),
        ("body.x.exists(a, a + operation.path == '')", 19, "'+' in a loop"),
        ("body.x.exists(operation, operation == 1)", 13, "cannot be called 'operation'"),
        ("true\0 && false", 4, "control character"),
        ("true &&\r\nfalse", 7, "control character"),
        ("true && " * 260 + "true", LONGEST, "2000 characters at most"),
        ("(" * 40 + "true" + ")" * 40, 0, "too deeply"),
        ("[" * 40 + "1" + "]" * 40 + " == []", 0, "too deeply"),
        ("1" + "+1" * 900 + " == 1", 0, "too deeply"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_load_with_its_place(text, at, message):
    found = wrong(text)
    assert any(at == each and message in said for each, said in found), found


def test_everything_that_is_wrong_is_said_at_once():
    found = wrong('operaton.path == "x" && operation.pth == "y" && subject.id == 1')
    assert [at for at, _ in found] == [0, 34, 59]


def test_a_loop_over_what_the_agent_sends_is_short():
    text = "body.all(x, x == 0)"
    assert of_body(text, [0] * (VALUES // 2)) is True
    assert isinstance(of_body(text, [0] * (VALUES * 2)), Unevaluated)


@pytest.mark.parametrize(
    "text",
    [
        'body.x.exists(a, a in ["b"] || a in subject.groups)',
        'body.x.all(a, a.name.startsWith(subject.id) && a.name.contains("b") && size(a.name) > 3)',
        "body.x.exists(a, a == body.y || body.z != a.z || a.startsWith(body.s) || body.s < a)",
        "body.x.exists(a, a.b && body.y == 1) && body.a.contains(subject.id)",
        "body.x.exists_one(a, a == operation.path) && body.y.all(b, b.z != null)",
    ],
)
def test_loops_that_cost_no_more_than_what_they_go_over_are_taken(text):
    assert CelCondition(text).needs_body(OPERATION)


@given(
    st.text(max_size=60) | st.from_regex(r"[a-z.()&|!=\"' \[\]{}0-9?:,\n]{0,80}", fullmatch=True)
)
def test_whatever_is_written_is_a_condition_or_is_refused_with_places_in_it(text):
    try:
        condition = CelCondition(text)
    except ConditionInvalid as error:
        assert error.findings
        assert all(0 <= each.at <= len(text) for each in error.findings)
        assert error.described(lambda at: f"f:{at}")
    else:
        assert condition.holds(inquiry(b"{}")) in {True, False} or isinstance(
            condition.holds(inquiry(b"{}")), Unevaluated
        )


def test_without_the_systems_tzdata_a_named_zone_is_refused_at_load_and_an_offset_works(tmp_path):
    """The library looks in TZDIR, else in /usr/share/zoneinfo, and has no zones of its own."""
    script = (
        "from jitgate.rules.cel import CelCondition, ConditionInvalid\n"
        "CelCondition('environment.time.getHours(\"+02:00\") == 1')\n"
        "CelCondition('environment.time.getHours(\"UTC\") == 1')\n"
        "try: CelCondition('environment.time.getHours(\"Europe/Berlin\") == 1')\n"
        "except ConditionInvalid as error: print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TZDIR": f"{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'Europe/Berlin' is no time zone that is known here" in ran.stdout
