"""What the gateway answers for itself: to each agent its own, and the same nothing to every other."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import AUTHORITY as THINGS
from support.ports import JSON, Asked, Stand, Told, agent, review
from support.site import CA, Site, fields, given_up, kind, problem
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jitgate.catalogs.okta import load_okta
from jitgate.core.catalog import PathCatalog
from jitgate.core.plan import STEP
from jitgate.core.policy import Policy, version_of
from jitgate.credentials.kept import Kept
from jitgate.credentials.none import NoCredential
from jitgate.errors import StoreDown, UpstreamUnreachable
from jitgate.flow.admission import Knock, Target
from jitgate.flow.gateway import DUTIES
from jitgate.flow.tokens import Wanted
from jitgate.interfaces import (
    ICatalog,
    IFacts,
    IInformedRule,
    IRule,
    IUpstream,
    IUpstreamConnection,
)
from jitgate.proxy.internal import (
    AUTHORITY,
    BODY,
    InternalCatalog,
    InternalRule,
    InternalUpstream,
    internal_target,
)
from jitgate.proxy.pages import CALLS
from jitgate.values import (
    Budget,
    Denial,
    Effect,
    Inquiry,
    Obligation,
    Operation,
    Refusal,
    Verdict,
)

OTHER = agent(id="bot-8")


# --- what everybody is shown


@pytest.mark.parametrize("path", ["/", "/manifest"])
@ensureDeferred
async def test_an_agent_reads_what_it_may_call(path):
    site = Site()
    told = await site.ask("GET", path)
    assert (told.head.status, kind(told)) == (200, b"text/markdown")
    assert fields(told)[b"cache-control"] == b"no-store"
    assert b"You are `bot-7` of https://idp.example" in told.data
    assert b"### things: api.example" in told.data


@ensureDeferred
async def test_a_program_gets_it_as_json():
    site = Site()
    told = await site.ask("GET", "/manifest.json")
    assert (told.head.status, kind(told)) == (200, b"application/json")
    content = json.loads(told.data)
    assert content["subject"]["id"] == "bot-7"
    assert [target["target"] for target in content["targets"]] == ["things"]


ACCEPTED = {
    b"": b"text/markdown",
    b"*/*": b"text/markdown",
    b"application/json": b"application/json",
    b"application/json, text/plain, */*": b"application/json",
    b"text/html;q=0.9, Application/JSON ; q=0.8": b"application/json",
    b"text/markdown, application/json": b"text/markdown",
    b"text/markdown;q=0.5, application/json;q=0.6": b"application/json",
    b"application/json;q=0": b"text/markdown",
    b"application/json;q=nan, application/json;q=": b"text/markdown",
    b"\xff, ;q=1, ,;;": b"text/markdown",
}


@pytest.mark.parametrize("accept", ACCEPTED)
@ensureDeferred
async def test_accept_chooses_the_form_of_the_manifest(accept):
    site = Site()
    told = await site.ask("GET", "/", headers=((b"Accept", accept),))
    assert kind(told) == ACCEPTED[accept]


@ensureDeferred
async def test_the_ca_is_there_as_a_file():
    site = Site()
    told = await site.ask("GET", "/ca.pem")
    assert (told.data, kind(told)) == (CA, b"application/x-pem-file")


@pytest.mark.parametrize("denial", Denial)
@ensureDeferred
async def test_every_refusal_leads_to_a_page(denial):
    told = await Site().ask("GET", f"/problems/{denial.value}")
    assert (told.head.status, kind(told)) == (200, b"text/markdown")
    assert denial.value.encode() in told.data


@pytest.mark.parametrize(
    "path", ["/manifest", "/manifest.json", "/ca.pem", "/problems/fault", "/none"]
)
@ensureDeferred
async def test_a_head_request_is_answered_by_the_head_alone(path):
    site = Site()
    whole, told = await site.ask("GET", path), await site.ask("HEAD", path)
    assert (told.head.status, kind(told)) == (whole.head.status, kind(whole))
    assert told.data == b""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/none"),
        ("GET", "/manifest/"),
        ("PUT", "/access-requests"),
        ("DELETE", "/access-requests"),
        ("GET", "/access/v1/evaluation"),
        ("POST", "/access/v1/evaluations"),
        ("POST", "/.well-known/authzen-configuration"),
        ("GET", "/access-requests/a-1/cancel"),
        ("GET", "/problems/none"),
        ("POST", "/manifest"),
        ("PUT", "/ca.pem"),
        ("DELETE", "/"),
        ("POST", "/access-requests/a-1"),
        ("PATCH", "/access-requests/a-1/cancel"),
        ("OPTIONS", "/manifest"),
    ],
)
@ensureDeferred
async def test_there_is_nothing_else(method, path):
    told = await Site().ask(method, path)
    assert (told.head.status, kind(told)) == (404, b"application/problem+json")


# --- who may


@ensureDeferred
async def test_whoever_proves_nothing_gets_no_tunnel_and_a_forger_no_page():
    site = Site()
    turned_away = await site.stand.gateway.admit(Knock(AUTHORITY, None))
    assert turned_away.refusal.denial is Denial.TOKEN_MISSING
    told = await site.ask("GET", "/manifest", Refusal(Denial.TOKEN_REFUSED, "Forged."))
    assert told.head.status == 401
    assert b"bot-7" not in told.data


@ensureDeferred
async def test_an_expired_token_reads_nothing_more():
    site = Site()
    told = await site.ask("GET", "/manifest", agent(expires_at=0.0))
    assert told.head.status == 401


@ensureDeferred
async def test_another_host_inside_the_tunnel_is_refused():
    site = Site()
    told, serving = Told(), site.stand.gateway
    tunnel = await serving.admit(Knock(AUTHORITY, "t"))
    await serving.serve(tunnel, Asked("GET", "/manifest", hosts=(AUTHORITY, THINGS)), told)
    assert told.head.status == 421


@ensureDeferred
async def test_whoever_was_not_proved_is_led_nowhere():
    target = internal_target(Site().pages, Kept(NoCredential()))
    with pytest.raises(UpstreamUnreachable):
        await target.upstream.connect(fresh=True)
    await target.upstream.stop()


@ensureDeferred
async def test_what_is_read_and_cancelled_is_on_record():
    site = Site()
    told, serving = site.held()
    await site.ask("GET", "/manifest")
    await site.ask("DELETE", "/access-requests/a-1")
    await serving
    shown = [
        (entry["operation"]["target"], entry["operation"]["action"], entry["effect"], entry["rule"])
        for entry in site.stand.entries("decision")
    ]
    assert shown == [
        ("things", "POST", "review", "the-rule"),
        ("jitgate.internal", "getManifest", "permit", "jitgate-internal"),
        ("jitgate.internal", "cancelAccessRequest", "permit", "jitgate-internal"),
    ]
    assert site.stand.entries("access.ended")[0]["why"] == "The agent cancelled it."
    assert told.head.status == 403


@ensureDeferred
async def test_with_the_recorder_down_nothing_is_shown():
    site = Site()
    await site.stand.recorder.stop()
    told = await site.ask("GET", "/access-requests/a-1")
    assert (told.head.status, problem(told)) == (502, "recorder-down")


def test_the_rule_permits_these_pages_to_everybody_and_speaks_of_nothing_else():
    own = Operation("jitgate.internal", "getManifest", {}, "GET", AUTHORITY, "/")
    other = Operation("okta", "getManifest", {}, "GET", AUTHORITY, "/")
    assert InternalRule().judge(Inquiry(own, agent(), 0.0)).effect is Effect.PERMIT
    assert InternalRule().judge(Inquiry(other, agent(), 0.0)) is None


@ensureDeferred
async def test_a_deny_of_the_sites_own_goes_before():
    site = Site()

    class Never:
        name, version = "never", "1"

        def judge(self, inquiry):
            return Verdict(Effect.DENY, "Not at night.")

    policy = site.stand.decider._policy
    site.stand.decider._policy = Policy((*policy.rules, Never()), "2", DUTIES)
    assert (await site.ask("GET", "/manifest")).head.status == 403


@ensureDeferred
async def test_the_parts_keep_their_ports_promises():
    upstream = InternalUpstream(Site().pages, agent(), "s")
    verifyObject(ICatalog, InternalCatalog())
    verifyObject(IRule, InternalRule())
    verifyObject(IUpstream, upstream)
    verifyObject(IUpstreamConnection, await upstream.connect(fresh=False))


def test_every_call_has_its_name():
    samples = list(InternalCatalog().samples(AUTHORITY))
    assert {sample.action for sample in samples} == CALLS.actions
    found = InternalCatalog().operation(AUTHORITY, "GET", "/access-requests/a-1", "")
    assert (found.action, found.resource) == ("getAccessRequest", {"id": "a-1"})


# --- an access request


@ensureDeferred
async def test_an_agent_sees_how_its_request_stands():
    site = Site()
    told, serving = site.held()
    page = await site.ask("GET", "/access-requests/a-1")
    assert (page.head.status, fields(page)[b"retry-after"]) == (200, b"5")
    assert json.loads(page.data) == {
        "task": {
            "id": "a-1",
            "status": "pending",
            "status_endpoint": "https://jitgate.internal/access-requests/a-1",
            "expires_at": "1970-01-01T00:10:00Z",
            "progress": {"awaiting": ["leads"]},
            "links": {"cancel": "https://jitgate.internal/access-requests/a-1/cancel"},
            "display": {
                "title": "Waits for approval",
                "description": "Send the same call again: it goes out once it has been approved.",
                "jitgate.internal/call": {
                    "target": "things",
                    "action": "POST",
                    "method": "POST",
                    "url": "https://api.example/things/7?token=***",
                    "rule": "the-rule",
                    "reason": "Look at it.",
                },
            },
        }
    }
    await given_up(told, serving)


@ensureDeferred
async def test_it_does_not_learn_who_has_answered_while_others_are_asked():
    site = Site(review((("leads", "security"), 2)))
    told, serving = site.held()
    await site.stand.says("alice@acme.com")
    page = await site.ask("GET", "/access-requests/a-1")
    progress = json.loads(page.data)["task"]["progress"]
    assert progress == {"awaiting": ["leads", "security"], "current_step": 2, "total_steps": 2}
    assert b"alice" not in page.data
    await given_up(told, serving)


@ensureDeferred
async def test_once_approved_it_learns_until_when_to_send_the_call():
    site = Site()
    told, serving = site.held()
    await given_up(told, serving)
    await site.stand.says()
    content = json.loads((await site.ask("GET", "/access-requests/a-1")).data)
    assert content["task"]["status"] == "approved"
    assert "expires_at" not in content["task"]
    assert "before 1970-01-01T00:05:00Z" in content["task"]["display"]["description"]
    assert content["result"] == {
        "mode": "reevaluate",
        "approval": {
            "id": "g-1",
            "approved_at": "1970-01-01T00:00:00Z",
            "approved_until": "1970-01-01T00:05:00Z",
        },
        "jitgate.internal/uses_left": 1,
    }


@ensureDeferred
async def test_an_approval_for_more_calls_says_how_many_are_left():
    site = Site(review(uses=3))
    _, serving = site.held()
    await site.stand.says()
    await serving
    content = json.loads((await site.ask("GET", "/access-requests/a-1")).data)
    assert content["result"]["jitgate.internal/uses_left"] == 2
    assert "2 more calls of POST" in content["task"]["display"]["description"]


@pytest.mark.parametrize("how", ["used", "revoked", "out of time"])
@ensureDeferred
async def test_an_approval_that_is_good_no_more_does_not_look_as_if_it_were(how):
    site = Site()
    told, serving = site.held()
    if how != "used":
        await given_up(told, serving)
    await site.stand.says()
    await serving
    if how == "revoked":
        await site.stand.access.revoke("g-1", "root", "")
    if how == "out of time":
        site.stand.clock.advance(301)
    content = json.loads((await site.ask("GET", "/access-requests/a-1")).data)
    assert content["task"]["status"] == "approved"
    assert content["result"]["jitgate.internal/uses_left"] == 0
    assert content["result"]["approval"]["approved_until"] == "1970-01-01T00:05:00Z"
    assert "Look whether the call has been carried out" in json.dumps(content["task"])


@ensureDeferred
async def test_after_a_denial_it_learns_the_reason():
    site = Site()
    _, serving = site.held()
    await site.stand.access.answer(
        "a-1", "alice@acme.com", approves=False, reason="She is on leave.", channel="memory"
    )
    await serving
    page = await site.ask("GET", "/access-requests/a-1")
    content = json.loads(page.data)
    assert content["task"]["status"] == "denied"
    assert "She is on leave." in content["task"]["display"]["description"]
    assert "result" not in content
    assert b"retry-after" not in fields(page)


@ensureDeferred
async def test_an_expired_request_was_denied_by_nobody():
    site = Site()
    _, serving = site.held()
    site.stand.clock.advance(55)  # it is told to come back
    await serving
    site.stand.clock.advance(600)
    content = json.loads((await site.ask("GET", "/access-requests/a-1")).data)
    assert content["task"]["status"] == "expired"
    assert "denied" not in json.dumps(content)


@ensureDeferred
async def test_a_request_that_policy_no_longer_makes_counts_as_cancelled():
    site = Site()
    told, serving = site.held()
    await given_up(told, serving)
    site.stand.verdict = Verdict(Effect.DENY, "Never.")
    await site.stand.decider.reconsider()
    content = json.loads((await site.ask("GET", "/access-requests/a-1")).data)
    assert content["task"]["status"] == "cancelled"
    assert content["task"]["display"]["title"] == "Policy has changed"


# --- cancelling


CANCELS = [
    ("DELETE", "/access-requests/a-1"),
    ("POST", "/access-requests/a-1/cancel"),
    ("DELETE", "/access-requests/a-1/cancel"),
]


@pytest.mark.parametrize(("method", "path"), CANCELS)
@ensureDeferred
async def test_an_agent_cancels_its_own_request_once(method, path):
    site = Site()
    told, serving = site.held()
    page = await site.ask(method, path)
    assert (page.head.status, json.loads(page.data)["task"]["status"]) == (200, "cancelled")
    await serving
    assert problem(told) == "approval-withdrawn"
    again = await site.ask(method, path)
    assert (again.head.status, problem(again)) == (409, "invalid_task_state")


@ensureDeferred
async def test_what_was_answered_cannot_be_cancelled():
    site = Site()
    told, serving = site.held()
    await given_up(told, serving)
    await site.stand.says()
    assert (await site.ask("DELETE", "/access-requests/a-1")).head.status == 409
    assert (await site.stand.store.grant("g-1")).left == 1


@ensureDeferred
async def test_why_it_was_cancelled_is_on_record():
    site = Site()
    _, serving = site.held()
    note = b'{"reason":"obsolete","comment":"The user came back."}'
    await site.ask("POST", "/access-requests/a-1/cancel", headers=JSON, body=note)
    await serving
    kept = [
        entry.bodies["request"].data for entry in site.stand.records.entries[-3:] if entry.bodies
    ]
    assert note in kept


# --- somebody else's


@pytest.mark.parametrize(
    "who",
    [
        OTHER,
        agent(issuer="https://other.example"),
        agent(humans=("bob@acme.com",)),
        agent(id="bot-7 "),
    ],
)
@ensureDeferred
async def test_anothers_request_is_as_good_as_none(who):
    site = Site()
    told, serving = site.held()
    for method, path in [("GET", "/access-requests/a-1"), *CANCELS]:
        mine = await site.ask(method, path, who)
        none = await site.ask(method, path.replace("a-1", "a-2"), who)
        assert mine.head.status == 404
        assert problem(mine) == "unknown_task"
        assert (mine.head, mine.data) == (none.head, none.data)
    assert not serving.called
    await given_up(told, serving)


@ensureDeferred
async def test_an_id_that_does_not_exist_costs_the_same_as_anothers():
    site = Site()
    told, serving = site.held()
    looked = []
    store = site.stand.access._store
    request = store.request

    async def counted(key):
        looked.append(key)
        return await request(key)

    store.request = counted
    await site.ask("DELETE", "/access-requests/a-1", OTHER)
    await site.ask("DELETE", "/access-requests/a-2", OTHER)
    assert looked == ["a-1", "a-2"]
    await given_up(told, serving)


@pytest.mark.parametrize(
    "path",
    [
        "/access-requests/../ca.pem",
        "/access-requests/%2e%2e/ca.pem",
        "/access-requests/%2E%2e/manifest",
        "/access-requests/a-1%2Fcancel",
        "/access-requests/a-1%00",
        "/access-requests/a-1%0d%0aX:%20y",
        "/access-requests/a-1;cancel",
        "/access-requests//a-1",
        "/access-requests\\a-1",
        "/access-requests/a-1%25%30%61",
        "/access-requests/%ff",
        "/access-requests/a-1?_method=DELETE",
        "//ca.pem",
        "https://jitgate.internal/ca.pem",
        "/manifest#x",
    ],
)
@ensureDeferred
async def test_a_path_with_two_readings_is_none(path):
    site = Site()
    told, serving = site.held()
    page = await site.ask("GET", path)
    assert page.head.status == 400
    assert not serving.called
    await given_up(told, serving)


@pytest.mark.parametrize(
    "path",
    [
        "/access-requests/%61-1x",
        "/access-requests/a-1%20",
        "/access-requests/A-1",
        "/access-requests/" + "a" * 60_000,
        "/access-requests/%27%20OR%201=1--",
        "/access-requests/*",
        "/access-requests/%F0%9F%92%A9",
        "/access-requests/x-1",
        "/access-requests/g-1",
    ],
)
@ensureDeferred
async def test_an_id_is_looked_for_as_it_is(path):
    page = await Site().ask("GET", path)
    assert (page.head.status, problem(page)) == (404, "unknown_task")
    assert len(page.data) < 300


@ensureDeferred
async def test_a_method_in_a_field_changes_nothing():
    site = Site()
    told, serving = site.held()
    override = ((b"X-HTTP-Method-Override", b"DELETE"), (b"X-Method-Override", b"DELETE"))
    page = await site.ask("GET", "/access-requests/a-1", headers=override)
    assert page.head.status == 400
    assert not serving.called
    await given_up(told, serving)


@pytest.mark.parametrize("method", ["GET", "POST"])
@ensureDeferred
async def test_a_body_is_taken_up_to_a_bound(method):
    site = Site()
    told, serving = site.held()
    path = "/access-requests/a-1" if method == "GET" else "/access-requests/a-1/cancel"
    page = await site.ask(method, path, body=b"x" * (BODY + 1))
    assert (page.head.status, kind(page)) == (413, b"application/problem+json")
    assert not serving.called
    page = await site.ask(method, path, body=b"x" * BODY)
    assert page.head.status == 200
    await given_up(told, serving)


@ensureDeferred
async def test_with_the_store_down_the_agent_is_told_so_and_no_more():
    site = Site()

    async def down(key):
        raise StoreDown("The state cannot be read.")

    site.stand.access._store.request = down
    page = await site.ask("GET", "/access-requests/a-1")
    assert (page.head.status, problem(page)) == (502, "store-down")


# --- the plan, a little at a time


class Turns:
    """A clock that counts how often others are let go first."""

    def __init__(self, clock):
        self.taken = 0
        self._clock = clock

    def seconds(self):
        return self._clock.seconds()

    def callLater(self, delay, call, *args, **named):
        self.taken += 1
        return self._clock.callLater(delay, call, *args, **named)


def okta(stand):
    things = stand.gateway._targets[THINGS]
    return Target("okta", "okta", load_okta("okta"), things.credentials, things.upstream)


@ensureDeferred
async def test_a_large_catalog_holds_nobody_up():
    stand = Stand()
    site = Site(targets={"acme.okta.com:443": okta(stand)})
    turns = site.pages._clock = Turns(site.stand.clock)
    told, serving = site.begun("GET", "/manifest.json")
    assert not serving.called
    site.stand.clock.advance(0)
    assert turns.taken == 776 // STEP
    (target,) = json.loads(told.data)["targets"]
    assert target["known_operations"] == 776
    await serving


@ensureDeferred
async def test_a_rule_that_raises_leaves_the_manifest_standing():
    stand = Stand()
    site = Site(targets={"acme.okta.com:443": okta(stand)})
    del site.stand.verdict
    told, serving = site.begun("GET", "/manifest")
    site.stand.clock.advance(0)
    await serving
    assert told.head.status == 200
    assert b"**Cannot be told beforehand** (all 776)" in told.data


@ensureDeferred
async def test_a_target_without_a_catalog_is_named_at_least():
    stand = Stand()
    things = stand.gateway._targets[THINGS]
    plain = Target("plain", "problem", PathCatalog("plain"), things.credentials, things.upstream)
    site = Site(targets={"plain.example:8443": plain})
    told = await site.ask("GET", "/manifest")
    assert b"### plain: plain.example:8443\n\nThere is no list of its calls" in told.data


# --- without proof


@pytest.mark.parametrize("path", ["/", "/manifest", "/manifest.json", "/ca.pem"])
def test_what_anybody_may_have_tells_of_nobody(path):
    head, body = Site().pages.plain(path)
    assert head.status == 200
    assert b"bot-7" not in body
    assert b"api.example" not in body


@pytest.mark.parametrize(
    "path", ["", "/access-requests/a-1", "/problems/fault", "/ca.pem?x", "/manifest/", "//"]
)
def test_and_it_is_nothing_but_that(path):
    assert Site().pages.plain(path) is None


# --- tokens that are asked for ahead of the call


def wanted():
    return Wanted("t", target="things", action="POST", resource={"path": "/things/7"})


@ensureDeferred
async def test_nobody_is_asked_ahead_for_what_has_no_room():
    budget = Obligation("budget", Budget("the-rule", 1, 100.0))
    site = Site(Verdict(Effect.REVIEW, "Look at it.", (*review().obligations, budget)))
    told, serving = site.held()
    await site.stand.says()
    await serving
    assert told.head.status == 200
    declined = await site.tokens.exchange(agent(), wanted(), "s-1")
    assert (declined.error, declined.pending) == ("access_denied", None)
    assert declined.description.startswith("At most 1 call in 100 s for this subject; room again")
    assert len(site.stand.entries("access.opened")) == 1
    site.stand.clock.advance(100)
    declined = await site.tokens.exchange(agent(), wanted(), "s-1")
    assert declined.error == "authorization_pending"


@ensureDeferred
async def test_policy_approves_itself_ahead_of_the_call_too_and_asks_nobody():
    site = Site(Verdict(Effect.REVIEW, "Policy looks.", (Obligation("auto", True),)))
    _, binding = await site.tokens.exchange(agent(), wanted(), "s-1")
    assert binding.grant == "g-1"
    (opened,), (made,) = (site.stand.entries(kind) for kind in ("access.opened", "grant.made"))
    assert (opened["ahead"], opened["auto"]) == (True, True)
    assert made["approved_by"] == ["policy:the-rule"]
    assert await site.stand.access.requests() == []


# --- facts


@implementer(IFacts)
class OnCall:
    """Knows who is on call, if it is there."""

    name, version, deadline, max_age = "on-call", "1", 1.0, 0.0

    def __init__(self, who):
        self.who = who

    def key(self, operation, subject):
        return operation.target

    async def gather(self, operation, subject):
        return {"who": self.who}


@implementer(IInformedRule)
class OnlyOnCall:
    """Permits whoever is on call."""

    name, version, facts = "only-on-call", "1", frozenset({"on-call"})

    def judge(self, inquiry):
        is_on_call = inquiry.facts["on-call"]["who"] == inquiry.subject.id
        return Verdict(Effect.PERMIT, "They are on call.") if is_on_call else None


@pytest.mark.parametrize(("who", "made"), [("bot-7", True), ("bot-8", False)])
@ensureDeferred
async def test_a_token_ahead_of_a_call_is_given_by_facts_that_are_gathered_for_it(who, made):
    site, rules = Site(), (OnlyOnCall(), InternalRule())
    policy = Policy(rules, version_of(rules), DUTIES)
    site.stand.decider.adopt(policy, {}, (OnCall(who),))
    wanted = Wanted("t", target="things", action="GET", resource={"path": "/things"})
    given = await site.tokens.exchange(agent(), wanted, "s-1")
    assert isinstance(given, tuple) is made
    assert made or given.error == "access_denied"
