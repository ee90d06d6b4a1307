"""An agent that asks ahead of its call, in AuthZEN's forms; and one that would like to get more."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.authzen import checked, inquiry, submission
from support.ports import JSON, agent, permit, review
from support.site import Site, fields, given_up, kind, problem
from twisted.internet.defer import Deferred

from jitgate.catalogs.okta import load_okta
from jitgate.core.access import scope
from jitgate.core.policy import NEEDS_BODY, Policy, version_of
from jitgate.core.waiting import Patience
from jitgate.errors import StoreDown
from jitgate.flow.access import Limits
from jitgate.flow.admission import Target
from jitgate.flow.evaluating import REQUESTABLE
from jitgate.flow.gateway import DUTIES
from jitgate.flow.tokens import Wanted
from jitgate.proxy.authzen import DEEPEST, Unreadable, inquiry_of, submission_of
from jitgate.proxy.internal import BODY, InternalRule
from jitgate.values import Budget, Effect, Obligation, Operation, Verdict

EVALUATION, REQUESTS = "/access/v1/evaluation", "/access-requests"
OTHER = agent(id="bot-8")
PROBLEM = b"application/problem+json"


class Agent:
    """One agent at a site."""

    def __init__(self, site, who=None):
        self.site, self.who = site, who or agent()

    def posts(self, path, content, *headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.site.ask("POST", path, self.who, headers=(*JSON, *headers), body=body)

    async def evaluates(self, asked=None, **more):
        asked = inquiry(subject=self.who.id, **more) if asked is None else asked
        told = await self.posts(EVALUATION, asked)
        assert told.head.status == 200, told.data
        return checked(told.data, "decision")

    async def submitting(self, asked=None, **more):
        """The body of a submission after a denial."""
        asked = asked or inquiry(subject=self.who.id)
        return submission(await self.evaluates(asked), asked, **more)

    async def requests(self, asked=None, *headers, **more):
        return await self.posts(REQUESTS, await self.submitting(asked, **more), *headers)

    async def task(self, key="a-1"):
        told = await self.site.ask("GET", f"{REQUESTS}/{key}", self.who)
        return checked(told.data, "response")

    def wants(self, details):
        named = {name: details[name] for name in ("target", "action", "resource")}
        return self.site.tokens.exchange(self.who, Wanted("t", **named), "s-1")


class Down:
    """A store that cannot be read."""

    async def request(self, key):
        raise StoreDown("The state cannot be read.")

    grants = request


class ReadsBody:
    """Cannot tell without the body."""

    name, version = "reader", "1"

    def judge(self, inquiry):
        return NEEDS_BODY if inquiry.operation.target == "things" else None


def opened(site):
    return len(site.stand.entries("access.opened"))


def error(told):
    """The word of an error, whose form is looked at as well."""
    assert kind(told) == PROBLEM
    assert checked(told.data, "problem")["status"] == told.head.status
    return told.head.status, problem(told)


# --- discovery


@ensureDeferred
async def test_a_program_finds_where_to_ask():
    told = await Site().ask("GET", "/.well-known/authzen-configuration")
    assert (told.head.status, kind(told)) == (200, b"application/json")
    assert checked(told.data, "metadata") == {
        "policy_decision_point": "https://jitgate.internal",
        "access_evaluation_endpoint": "https://jitgate.internal/access/v1/evaluation",
        "access_request_endpoint": "https://jitgate.internal/access-requests",
        "capabilities": ["urn:openid:authzen:capability:access-request"],
    }


# --- what would become of a call

FULL = Obligation("budget", Budget("the-rule", 1, 100.0))
VERDICTS = {
    "permitted": (permit(), None),
    "denied": (Verdict(Effect.DENY, "Never."), "policy_denied"),
    "reviewed": (review(), "approval_required"),
    "reviewed by nobody": (Verdict(Effect.REVIEW, "Look."), "policy_denied"),
}


@pytest.mark.parametrize("name", VERDICTS)
@ensureDeferred
async def test_it_is_told_what_policy_says(name):
    verdict, reason = VERDICTS[name]
    site = Site(verdict)
    found = await Agent(site).evaluates()
    assert (found["decision"], found["context"].get("reason")) == (reason is None, reason)
    assert ("access_request" in found["context"]) is (name == "reviewed")
    assert opened(site) == 0


@ensureDeferred
async def test_what_is_unknown_or_full_or_goes_by_its_body_is_not_requestable():
    site = Site(Verdict(Effect.REVIEW, "Look at it.", (*review().obligations, FULL)))
    told, serving = site.held()
    await site.stand.says()
    await serving
    assert told.head.status == 200
    asker = Agent(site)
    full = (await asker.evaluates())["context"]
    assert (full["reason"], "access_request" in full) == ("budget_spent", False)
    for asked in (
        {**inquiry(), "resource": {"type": "others", "id": "/things/7"}},
        inquiry(action="deactivateUser"),
        inquiry(path="/things/../7"),
        inquiry(path="/things//7"),
        inquiry(path="/things/7?x=1"),
        inquiry(path="https://api.example/things/7"),
        inquiry(path=""),
    ):
        found = await asker.evaluates(asked)
        assert (found["decision"], found["context"]["reason"]) == (False, "unknown_operation")


@ensureDeferred
async def test_what_policy_decides_by_the_body_is_for_the_call_to_find_out():
    site, rules = Site(), (ReadsBody(), InternalRule())
    site.stand.decider.adopt(Policy(rules, version_of(rules), DUTIES), {})
    found = (await Agent(site).evaluates())["context"]
    assert (found["reason"], "access_request" in found) == ("body_needed", False)


@ensureDeferred
async def test_an_action_is_one_that_the_target_has():
    site = Site(permit())
    assert (await Agent(site).evaluates(action="GET"))["decision"] is True
    assert (await Agent(site).evaluates(action="BREW"))["decision"] is False


@ensureDeferred
async def test_nobody_asks_about_another():
    site = Site(permit())
    for asked in (
        inquiry(subject="bot-8"),
        {**inquiry(), "subject": {"type": "agent", "id": "bot-7", "properties": {"act": {}}}},
        {**inquiry(), "subject": {"type": "user", "id": "bot-7", "properties": {"act": "bot-7"}}},
    ):
        found = await Agent(site).evaluates(asked)
        assert found["decision"] is False
        assert found["context"]["reason"] == "jitgate.internal/subject_not_caller"
        assert "evaluation_id" not in found["context"]


@ensureDeferred
async def test_its_own_actor_it_may_name():
    site = Site(permit())
    for act in ({"sub": "bot-7"}, {"sub": "bot-7", "iss": "https://idp.example"}):
        subject = {"type": "user", "id": "bot-7", "properties": {"act": act}}
        assert (await Agent(site).evaluates({**inquiry(), "subject": subject}))["decision"] is True
    acting = agent(id="alice@acme.com", agent="bot-7", humans=("alice@acme.com",))
    for name, right in (("bot-7", True), ("bot-8", False), ("alice@acme.com", False)):
        subject = {"type": "user", "id": "alice@acme.com", "properties": {"act": {"sub": name}}}
        found = await Agent(site, acting).evaluates({**inquiry(), "subject": subject})
        assert found["decision"] is right


@ensureDeferred
async def test_its_name_for_the_request_comes_back():
    site = Site()
    told = await Agent(site).posts(EVALUATION, inquiry(), (b"X-Request-ID", b"mine-1"))
    assert fields(told)[b"x-request-id"] == b"mine-1"
    for names in ([b"1", b"2"], [b"x" * 256], []):
        fields_sent = [(b"X-Request-ID", name) for name in names]
        told = await Agent(site).posts(EVALUATION, b"{}", *fields_sent)
        assert (told.head.status, b"x-request-id" in fields(told)) == (400, False)


# --- the whole way


@ensureDeferred
async def test_from_a_denial_to_the_token_for_the_call():
    site = Site()
    asker = Agent(site)
    told = await asker.requests()
    task = checked(told.data, "response")["task"]
    assert told.head.status == 202
    assert fields(told)[b"location"].decode() == task["status_endpoint"]
    assert fields(told)[b"retry-after"] == b"5"
    assert task["status"] == "pending"
    assert "/token gives you a token" in task["display"]["description"]
    assert (await asker.task())["task"] == task
    await site.stand.says()
    done = await asker.task()
    assert done["task"]["status"] == "approved"
    approval = done["result"]["approval"]
    (details,) = done["result"]["jitgate.internal/authorization_details"]
    again = await asker.evaluates(context={"approval": approval, "time": "1970-01-01T00:00:00Z"})
    assert again["decision"] is True
    assert again["context"]["approval"] == {
        "id": approval["id"],
        "approved_until": approval["approved_until"],
    }
    _, binding = await asker.wants(details)
    assert binding.grant == approval["id"] == "g-1"


@ensureDeferred
async def test_an_approval_ahead_lets_no_call_go_that_does_not_bring_its_token():
    site = Site()
    asker = Agent(site)
    await asker.requests()
    await site.stand.says()
    told, serving = site.held()
    assert not serving.called  # people are asked about the call itself
    assert opened(site) == 2
    await given_up(told, serving)
    assert (await site.stand.store.grant("g-1")).left == 1


@ensureDeferred
async def test_what_policy_approves_itself_is_approved_at_once():
    site = Site(Verdict(Effect.REVIEW, "Policy looks.", (Obligation("auto", True),)))
    told = await Agent(site).requests()
    assert told.head.status == 201
    done = checked(told.data, "response")
    assert (done["task"]["status"], done["result"]["approval"]["id"]) == ("approved", "g-1")
    assert b"retry-after" not in fields(told)


@ensureDeferred
async def test_what_is_approved_already_is_not_asked_for_again():
    site = Site()
    asker = Agent(site)
    body = await asker.submitting()
    await asker.posts(REQUESTS, body)
    await site.stand.says()
    told = await asker.posts(REQUESTS, body)
    assert (told.head.status, checked(told.data, "response")["task"]["id"]) == (201, "a-1")
    assert opened(site) == 1


@ensureDeferred
async def test_four_that_submit_the_same_at_once_make_one_request():
    site = Site()
    asker = Agent(site)
    bodies = [await asker.submitting() for _ in range(4)]
    waiting = [Deferred.fromCoroutine(asker.posts(REQUESTS, each)) for each in bodies]
    told = [await each for each in waiting]
    assert {checked(each.data, "response")["task"]["id"] for each in told} == {"a-1"}
    assert opened(site) == 1


# --- bound to its denial


def changed(body, where, value):
    body = copy.deepcopy(body)
    *path, last = where
    part = body
    for name in path:
        part = part[name]
    part[last] = value
    return body


CHANGES = [
    (("resource", "id"), "/things/8"),
    (("resource", "type"), "other"),
    (("resource", "properties"), {"owner": "alice"}),
    (("action", "name"), "DELETE"),
    (("action", "properties"), {"force": True}),
    (("subject", "id"), "bot-8"),
    (("subject", "type"), "user"),
    (("subject", "properties"), {"admin": True}),
    (("denial", "evaluation_id"), "e-1"),
    (("denial", "evaluation_id"), ""),
    (("denial", "evaluation_id"), "e-1.600." + "0" * 64),
    (("denial", "evaluation_id"), "e-1.99999999999999999999." + "0" * 64),
    (("denial", "evaluation_id"), "é.600.x"),
    (("denial", "evaluation_id"), "e-1.\u0661\u0662.x"),
    (("denial", "evaluation_id"), 5),
    (("denial", "binding_token"), "eyJ.x.y"),
    (("denial",), None),
    (("denial",), {}),
    (("denial",), "e-1"),
]


@pytest.mark.parametrize(("where", "value"), CHANGES)
@ensureDeferred
async def test_a_request_for_anything_but_what_was_denied_is_none(where, value):
    site = Site()
    asker = Agent(site)
    body = changed(await asker.submitting(), where, value)
    assert error(await asker.posts(REQUESTS, body)) == (400, "invalid_denial_binding")
    assert opened(site) == 0


@ensureDeferred
async def test_a_denial_is_good_for_no_longer_than_it_says():
    site = Site()
    asker = Agent(site)
    body = await asker.submitting()
    late = body["denial"]["evaluation_id"].replace(f".{REQUESTABLE}.", f".{REQUESTABLE * 9}.")
    moved = changed(body, ("denial", "evaluation_id"), late)
    assert error(await asker.posts(REQUESTS, moved)) == (400, "invalid_denial_binding")
    site.stand.clock.advance(REQUESTABLE + 1)
    later = changed(body, ("denial", "expires_at"), "2100-01-01T00:00:00Z")
    for each in (body, later):
        assert error(await asker.posts(REQUESTS, each)) == (410, "expired_denial")
    assert opened(site) == 0


@pytest.mark.parametrize(
    "who",
    [
        OTHER,
        agent(issuer="https://other.example"),
        agent(humans=("bob@acme.com",)),
        agent(agent="bot-9"),
    ],
)
@ensureDeferred
async def test_anothers_denial_looks_like_none(who):
    site = Site()
    theirs = await Agent(site).submitting()
    mine = await Agent(site, who).posts(REQUESTS, theirs)
    none = await Agent(site, who).posts(
        REQUESTS, changed(theirs, ("denial", "evaluation_id"), "e-9.600.x")
    )
    assert error(mine) == (400, "invalid_denial_binding")
    assert (mine.head, mine.data) == (none.head, none.data)
    assert opened(site) == 0


@ensureDeferred
async def test_another_gateway_of_the_site_and_the_next_process_take_it_too():
    body = await Agent(Site()).submitting()
    told = await Agent(Site()).posts(REQUESTS, body)
    assert told.head.status == 202


@ensureDeferred
async def test_what_policy_no_longer_sends_to_people_is_not_requestable():
    site = Site()
    asker = Agent(site)
    body = await asker.submitting()
    for verdict in (permit(), Verdict(Effect.DENY, "Never.")):
        site.stand.verdict = verdict
        assert error(await asker.posts(REQUESTS, body)) == (400, "not_requestable")
    assert opened(site) == 0


@ensureDeferred
async def test_what_was_not_requestable_cannot_be_requested():
    site = Site(permit())
    asker = Agent(site)
    found = await asker.evaluates()
    site.stand.verdict = review()
    denial = {
        "evaluation_id": found["context"]["evaluation_id"],
        "expires_at": "2100-01-01T00:00:00Z",
    }
    told = await asker.posts(REQUESTS, {**inquiry(), "denial": denial})
    assert error(told) == (400, "invalid_denial_binding")


# --- an approval that is brought


async def found_under(asker, approval, **asked):
    context = (await asker.evaluates(context={"approval": {"id": approval}}, **asked))["context"]
    return context["reason"], context["next_action"], "access_request" in context


@ensureDeferred
async def test_an_approval_of_ones_own_invention_is_worth_nothing():
    site = Site()
    other = Agent(site, OTHER)
    await other.requests()
    await site.stand.says()
    asker = Agent(site)
    unknown = ("approval_unverifiable", "none", False)
    assert await found_under(asker, "g-1") == unknown  # another's
    assert await found_under(asker, "g-9") == unknown
    assert await found_under(asker, "a-1") == unknown
    assert (await other.evaluates(context={"approval": {"id": "g-1"}}))["decision"] is True
    assert await found_under(other, "g-2") == unknown


@pytest.mark.parametrize("brought", ["", "g-1\0", "g 1", "g" * 65, "ü", 7, {}, "x\ud800"])
@ensureDeferred
async def test_no_store_is_asked_for_what_can_be_no_id(brought):
    told = await Agent(Site()).posts(EVALUATION, inquiry(context={"approval": {"id": brought}}))
    assert error(told) == (400, "blank")
    told = await Agent(Site()).posts(EVALUATION, inquiry(context={"approval": brought}))
    assert error(told) == (400, "blank")


@ensureDeferred
async def test_an_approval_for_something_else_is_out_of_scope():
    site = Site()
    asker = Agent(site)
    await asker.requests()
    await site.stand.says()
    found = await found_under(asker, "g-1", path="/things/8")
    assert found == ("out_of_scope", "request", True)
    told, serving = site.held()
    await given_up(told, serving)
    await site.stand.says(key="a-2")  # for that call alone
    assert await found_under(asker, "g-2", path="/things/8") == ("out_of_scope", "none", False)


@pytest.mark.parametrize("how", ["revoked", "out of time"])
@ensureDeferred
async def test_an_approval_that_is_over_can_be_asked_for_again(how):
    site = Site()
    asker = Agent(site)
    await asker.requests()
    await site.stand.says()
    if how == "revoked":
        await site.stand.access.revoke("g-1", "root", "")
    else:
        site.stand.clock.advance(301)
    assert await found_under(asker, "g-1") == ("approval_expired", "request", True)
    told = await asker.requests()
    assert (told.head.status, checked(told.data, "response")["task"]["id"]) == (202, "a-2")


@ensureDeferred
async def test_policy_that_says_no_says_so_whatever_was_approved():
    site = Site()
    asker = Agent(site)
    await asker.requests()
    await site.stand.says()
    site.stand.verdict = Verdict(Effect.DENY, "Never.")
    assert await found_under(asker, "g-1") == ("policy_denied", "none", False)


# --- what becomes of a request


@ensureDeferred
async def test_what_was_denied_is_not_opened_again_by_a_new_submission():
    site = Site()
    asker = Agent(site)
    await asker.requests()
    await site.stand.says(approves=False)
    assert (await asker.task())["task"]["status"] == "denied"
    told = await asker.requests()
    assert error(told) == (403, "approval-denied")
    assert b"retry-after" not in fields(told)
    assert opened(site) == 1


@ensureDeferred
async def test_what_expired_can_be_requested_again_at_once():
    site = Site()
    asker = Agent(site)
    await asker.requests()
    site.stand.clock.advance(Patience().expire)
    assert (await asker.task())["task"]["status"] == "expired"
    told = await asker.requests()
    assert checked(told.data, "response")["task"]["id"] == "a-2"


@ensureDeferred
async def test_one_that_is_cancelled_ends_once():
    site = Site()
    asker = Agent(site)
    task = checked((await asker.requests()).data, "response")["task"]
    path = task["links"]["cancel"].removeprefix("https://jitgate.internal")
    told = await asker.posts(path, {"reason": "obsolete", "comment": "Not needed."})
    assert checked(told.data, "response")["task"]["status"] == "cancelled"
    assert error(await asker.posts(path, {})) == (409, "invalid_task_state")
    assert error(await Agent(site, OTHER).posts(path, {})) == (404, "unknown_task")


@ensureDeferred
async def test_of_an_approval_and_a_withdrawal_at_once_one_counts():
    site = Site()
    asker = Agent(site)
    await asker.requests()
    both = [
        Deferred.fromCoroutine(site.stand.says()),
        Deferred.fromCoroutine(site.ask("DELETE", f"{REQUESTS}/a-1", asker.who)),
    ]
    _, told = [await each for each in both]
    state = (await asker.task())["task"]["status"]
    assert (told.head.status, state) in {(200, "cancelled"), (409, "approved")}
    assert bool(await site.stand.grants.listed()) is (state == "approved")


@ensureDeferred
async def test_an_agent_lists_what_waits_of_its_own_and_nothing_else():
    site = Site()
    asker, other = Agent(site), Agent(site, OTHER)
    await asker.requests(inquiry(path="/things/1"))
    await asker.requests(inquiry(path="/things/2"))
    await other.requests()
    told, serving = site.held()
    await site.ask("DELETE", f"{REQUESTS}/a-2", asker.who)
    listed = json.loads((await site.ask("GET", REQUESTS, asker.who)).data)["tasks"]
    assert [each["id"] for each in listed] == ["a-1", "a-4"]
    for each in listed:
        checked(json.dumps({"task": each}).encode(), "response")
    listed = json.loads((await site.ask("GET", REQUESTS, other.who)).data)["tasks"]
    assert [each["id"] for each in listed] == ["a-3"]
    nobody = await site.ask("GET", REQUESTS, agent(id="bot-9"))
    assert json.loads(nobody.data) == {"tasks": []}
    await given_up(told, serving)


@ensureDeferred
async def test_whoever_has_too_many_waiting_is_told_when_to_come_back():
    site = Site()
    site.stand.access.adopt([site.stand.directory], Patience(), Limits(per_agent=1))
    asker = Agent(site)
    await asker.requests()
    told = await asker.requests(inquiry(path="/things/8"))
    assert error(told) == (429, "overloaded")
    assert fields(told)[b"retry-after"] == b"5"


@ensureDeferred
async def test_where_the_store_is_down_nothing_is_made_up():
    site = Site()
    asker = Agent(site)
    body = await asker.submitting()

    site.stand.grants._ledger.store = site.stand.access._store = Down()
    assert error(await asker.posts(REQUESTS, body)) == (502, "store-down")
    assert error(await asker.posts(EVALUATION, inquiry())) == (502, "store-down")


# --- submitted twice

KEY = (b"Idempotency-Key", b"7b8d0f0d")


@ensureDeferred
async def test_a_key_brings_the_same_task_whatever_became_of_it():
    site = Site()
    asker = Agent(site)
    body = await asker.submitting()
    first = await asker.posts(REQUESTS, body, KEY)
    assert first.head.status == 202
    site.stand.clock.advance(Patience().expire)
    reordered = dict(reversed(body.items()))
    told = await asker.posts(REQUESTS, reordered, KEY)
    task = checked(told.data, "response")["task"]
    assert (told.head.status, task["id"], task["status"]) == (201, "a-1", "expired")
    assert opened(site) == 1


@ensureDeferred
async def test_a_key_is_for_one_submission():
    site = Site()
    asker, other = Agent(site), Agent(site, OTHER)
    await asker.requests(None, KEY)
    told = await asker.requests(inquiry(path="/things/8"), KEY)
    assert error(told) == (409, "duplicate_request")
    assert opened(site) == 1
    assert (await other.requests(None, KEY)).head.status == 202  # of each agent by itself


@ensureDeferred
async def test_a_key_whose_submission_failed_is_free():
    site = Site(permit())
    asker = Agent(site)
    site.stand.verdict = review()
    body = await asker.submitting()
    store = site.stand.access._store
    site.stand.access._store = Down()
    assert error(await asker.posts(REQUESTS, body, KEY)) == (502, "store-down")
    site.stand.access._store = store
    other = await asker.submitting(inquiry(path="/things/8"))
    assert (await asker.posts(REQUESTS, other, KEY)).head.status == 202


@pytest.mark.parametrize("keys", [[b""], [b"x" * 256], [b"1", b"1"]])
@ensureDeferred
async def test_a_key_that_is_none_is_refused(keys):
    site = Site()
    sent = [(b"Idempotency-Key", key) for key in keys]
    assert error(await Agent(site).requests(None, *sent)) == (400, "blank")
    assert opened(site) == 0


# --- hostile bodies

WHOLE = {**inquiry(), "denial": {"evaluation_id": "e-1", "expires_at": "1970-01-01T00:10:00Z"}}
NEVER = {
    "nothing": b"",
    "no JSON": b"{",
    "an array": b"[]",
    "a text": b'"x"',
    "UTF-16": json.dumps(WHOLE).encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(WHOLE).encode(),
    "a lone surrogate": json.dumps({**WHOLE, "x": "\ud800"}).encode(),
    "NaN": json.dumps({**WHOLE, "x": float("nan")}).encode(),
    "more than a double": json.dumps(WHOLE).encode()[:-1] + b',"x":1e999}',
    "a member twice": json.dumps(WHOLE).encode()[:-1] + b',"denial":{"evaluation_id":"e-2"}}',
    "a member twice, deep": json.dumps(WHOLE).encode()[:-1] + b',"x":[{"y":1,"y":2}]}',
    "deep": json.dumps(WHOLE).encode()[:-1] + b',"x":' + b"[" * 7000 + b"]" * 7000 + b"}",
    "deep objects": json.dumps(WHOLE).encode()[:-1]
    + b',"x":'
    + b'{"x":' * 2000
    + b"1"
    + b"}" * 2001,
    "a long number": json.dumps(WHOLE).encode()[:-1] + b',"x":' + b"9" * 9000 + b"}",
    "something behind": json.dumps(WHOLE).encode() + b"{}",
    "a subject that is null": json.dumps({**WHOLE, "subject": None}).encode(),
    "a context that is a text": json.dumps({**WHOLE, "context": "x"}).encode(),
    "properties that are a list": json.dumps(
        {**WHOLE, "resource": {"type": "things", "id": "/", "properties": []}}
    ).encode(),
    "an id that is a number": json.dumps(
        {**WHOLE, "resource": {"type": "things", "id": 7}}
    ).encode(),
}

for part, member in (("subject", "type"), ("subject", "id"), ("resource", "type"),
                     ("resource", "id"), ("action", "name")):  # fmt: skip
    rest = {name: value for name, value in WHOLE[part].items() if name != member}
    NEVER[f"{part} without {member}"] = json.dumps({**WHOLE, part: rest}).encode()
    without = {name: value for name, value in WHOLE.items() if name != part}
    NEVER[f"no {part}"] = json.dumps(without).encode()


@pytest.mark.parametrize("path", [EVALUATION, REQUESTS])
@pytest.mark.parametrize("name", NEVER)
@ensureDeferred
async def test_a_body_that_is_none_is_refused_and_nothing_is_asked(path, name):
    site = Site()
    assert error(await Agent(site).posts(path, NEVER[name])) == (400, "blank")
    assert opened(site) == 0


@pytest.mark.parametrize(("levels", "status"), [(DEEPEST - 2, 200), (DEEPEST - 1, 400)])
@ensureDeferred
async def test_a_body_is_only_so_deep(levels, status):
    deep = json.loads("[" * levels + "]" * levels)
    told = await Agent(Site()).posts(EVALUATION, inquiry(context={"x": deep}))
    assert told.head.status == status


@pytest.mark.parametrize("path", [EVALUATION, REQUESTS])
@ensureDeferred
async def test_a_body_is_json_by_its_type_and_no_longer_than_is_read(path):
    site = Site()
    body = json.dumps(inquiry()).encode()
    for headers in ((), ((b"Content-Type", b"text/plain"),), (*JSON, *JSON)):
        told = await site.ask("POST", path, headers=headers, body=body)
        assert told.head.status == 400
    long = body[:-1] + b" " * BODY + b"}"
    assert (await site.ask("POST", path, headers=JSON, body=long)).head.status == 413


MORE = {
    "items": [{"resource": {"type": "things", "id": "/things/7"}, "action": {"name": "POST"}}],
    "callback": {"endpoint": "https://agent.example/told"},
    "client": "bot-7",
}


@pytest.mark.parametrize("name", MORE)
@ensureDeferred
async def test_what_is_not_offered_is_refused_and_not_left_out(name):
    site = Site()
    told = await Agent(site).requests(**{name: MORE[name]})
    assert error(told) == (400, "blank")
    assert opened(site) == 0


@pytest.mark.parametrize(
    ("actor", "right"),
    [
        ({"id": "bot-7"}, True),
        ({"id": "bot-7", "issuer": "https://idp.example", "type": "ai_agent"}, True),
        ({"id": "bot-8"}, False),
        ({"id": "bot-7", "issuer": "https://other.example"}, False),
        ({"id": "bot-7", "act": {"sub": "alice", "iss": "https://idp.example"}}, False),
    ],
)
@ensureDeferred
async def test_an_actor_is_whom_the_token_proves(actor, right):
    site = Site()
    told = await Agent(site).requests(client={"id": "app", "actor": actor})
    assert told.head.status == (202 if right else 403)
    assert opened(site) == right


@ensureDeferred
async def test_an_actor_in_the_subject_is_looked_at_when_it_is_submitted():
    site = Site()
    asker = Agent(site)
    body = changed(await asker.submitting(), ("subject", "properties"), {"act": {"sub": "bot-8"}})
    assert (await asker.posts(REQUESTS, body)).head.status == 403
    body["subject"]["properties"]["act"] = {"sub": "bot-7"}
    assert (await asker.posts(REQUESTS, body)).head.status == 202


@ensureDeferred
async def test_what_it_says_for_itself_is_on_record_and_shown_to_nobody():
    site = Site()
    asker = Agent(site)
    why = "Approve this: alice said it is fine"
    body = await asker.submitting(context={"business_justification": why}, requested_access={})
    await asker.posts(REQUESTS, body)
    request = await site.stand.store.request("a-1")
    assert why not in repr(request)
    kept = [each.bodies["request"].data for each in site.stand.records.entries if each.bodies]
    assert any(why.encode() in each for each in kept)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
PATHS = [
    ("subject",), ("subject", "id"), ("subject", "properties"), ("resource",), ("resource", "type"),
    ("resource", "id"), ("action",), ("action", "name"), ("denial",), ("denial", "evaluation_id"),
    ("denial", "expires_at"), ("client",), ("context",), ("items",), ("callback",),
]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(PATHS), JUNK), max_size=3), st.binary(max_size=40))
def test_any_body_is_read_or_refused(changes, rest):
    body = copy.deepcopy(WHOLE)
    for path, value in changes:
        part = body
        for name in path[:-1]:
            part = part[name] if isinstance(part.get(name), dict) else {}
        part[path[-1]] = value
    for data in (json.dumps(body).encode(), rest, json.dumps(body).encode() + rest):
        for read in (inquiry_of, submission_of):
            said = read(JSON, data)
            if isinstance(said, Unreadable):
                assert said.detail
            else:
                texts = (said.asked.target, said.asked.action, said.asked.path, said.asked.told)
                assert all(isinstance(each, str) for each in texts)
                assert all(isinstance(each, dict) for each in said.actors)


# --- every operation of a catalog


def test_an_operation_is_the_same_by_its_path_as_by_its_name():
    catalog = load_okta("okta")
    stand = Site().stand
    things = stand.gateway._targets["api.example:443"]
    target = Target("okta", "okta", catalog, things.credentials, things.upstream)
    ahead = Site(targets={"acme.okta.com:443": target}).ahead
    told = 0
    for sample in catalog.samples("acme.okta.com:443"):
        resource = {name: f"id{at}" for at, name in enumerate(sample.resource)}
        named = ahead.named("okta", sample.action, resource)
        if named is None:
            continue
        found = ahead.at("okta", sample.action, named.path)
        assert isinstance(found, Operation)
        assert (scope(found), found.method) == (scope(named), named.method)
        told += 1
    assert told > 700


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_named_is_an_operation_or_none(target, action, path):
    ahead = Site().ahead
    for each in (target, "things"):
        for name in (action, "POST"):
            found = ahead.at(each, name, path)
            assert found is None or (found.target, found.action, found.path) == (each, name, path)
