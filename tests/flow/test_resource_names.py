"""Approvers see what an id is called, where the agent may read that itself; else why not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pytest_twisted import ensureDeferred
from support.access import ask
from support.ports import (
    AUTHORITY,
    JSON,
    SECRET,
    Asked,
    Stand,
    agent,
    permit,
    review,
)
from twisted.internet.defer import Deferred

from jitgate.core.catalog import CatalogRow
from jitgate.core.fatigue import Fatigue
from jitgate.core.policy import NEEDS_BODY
from jitgate.core.profiles import MarkedFields, MaskingProfile
from jitgate.core.resource_names import FAILED, HIDDEN, MAY_NOT, NAMELESS, NOT_FOUND
from jitgate.core.waiting import Preference
from jitgate.errors import (
    AddressRefused,
    CredentialBusy,
    CredentialRefused,
    CredentialUnavailable,
    UpstreamGone,
    UpstreamMalformed,
    UpstreamUnreachable,
    UpstreamUntrusted,
)
from jitgate.flow.access import Limits
from jitgate.flow.looking_up import LARGEST, WITHIN
from jitgate.flow.resource_names import AT_ONCE, KEPT, KEPT_FOR
from jitgate.proxy.tasks import status
from jitgate.values import (
    Binding,
    Budget,
    Denial,
    Effect,
    Inquiry,
    ResourceName,
    ResponseHead,
    Risk,
    Undecided,
    Verdict,
)

USER = {"id": "00u1", "profile": {"login": "jane@acme.com", "displayName": "Jane"}}
WHOLE = json.dumps(USER).encode()
ROWS = (
    CatalogRow("GET", "/users/{id}", "getUser", ("users.read",), risk=Risk.READ),
    CatalogRow("GET", "/groups/{id}", "getGroup", ("groups.read",), risk=Risk.READ),
    CatalogRow("POST", "/users/{id}/stop", "stopUser", risk=Risk.WRITE),
    CatalogRow("PUT", "/groups/{groupId}/users/{userId}", "addUser", risk=Risk.WRITE),
)
STOP = "/users/00u1/stop"


def standing(body=WHOLE, head=None, **more):
    """A gateway that permits reads and asks people about the rest."""
    answer = ResponseHead(200, JSON, len(body)) if head is None else head
    facts = {"verdict": review(), "reads": permit(), "rows": ROWS}
    return Stand(**{**facts, "answer": answer, "pieces": (body,), **more})


def post(target=STOP, headers=JSON):
    return Asked("POST", target, b"{}", headers)


async def shown(stand, key="a-1"):
    """What people see of the names."""
    request = await stand.store.request(key)
    return dict(request.ask.shown.names)


async def told(stand, call=None, subject=None):
    """What people see of the one name of a call that is about to wait."""
    stand.asked(call or post(), subject)
    names = await shown(stand)
    assert list(names) == ["id"]
    return replace(names["id"], lookup=None)


# --- the name


@ensureDeferred
async def test_people_see_the_name_and_the_read_of_it_is_a_call_of_its_own():
    stand = standing()
    stand.asked(post(headers=(*JSON, (b"Prefer", b"wait=1"), (b"X-Mine", b"1"))))
    assert await shown(stand) == {"id": ResourceName("jane@acme.com", lookup="n-1")}
    ((head, body),) = stand.sent
    assert (head.method, head.target, body) == ("GET", "/users/00u1", b"")
    assert dict(head.headers) == {
        b"Host": b"api.example",
        b"Accept": b"application/json",
        b"User-Agent": b"jitgate/n-1",
        b"Accept-Encoding": b"identity",
        b"Authorization": b"Bearer " + SECRET,
    }
    assert (stand.granted, stand.lent, stand.fresh_asked) == ([False], [], [False])
    assert stand.log.count("returned") == 1
    assert stand.log.count("heard") == 1


@ensureDeferred
async def test_it_is_on_record_between_the_decision_and_the_request_that_shows_it():
    stand = standing()
    stand.asked(post())
    kinds = [entry.type for entry in stand.records.entries]
    assert kinds == ["decision", "name.looked-up", "access.opened"]
    (entry,) = stand.entries("name.looked-up")
    assert entry == {
        "lookup": "n-1",
        "exchange": "x-1",
        "session": "s-1",
        "subject": {
            "issuer": "https://idp.example",
            "id": "bot-7",
            "groups": ["it-agents"],
            "humans": [],
        },
        "operation": {
            "target": "things",
            "action": "getUser",
            "resource": {"id": "00u1"},
            "method": "GET",
            "url": "https://api.example/users/00u1",
            "risk": "read",
            "parameters": {},
        },
        "rule": "the-rule",
        "policy": entry["policy"],
        "status": 200,
        "seconds": 0.0,
        "name": "jane@acme.com",
        "hmac": entry["hmac"],
        "credential": {"kind": "test"},
        "user_agent_token": "jitgate/n-1",
    }
    assert stand.entries("access.opened")[0]["names"] == {"id": {"lookup": "n-1"}}


@ensureDeferred
async def test_where_bodies_are_not_kept_the_record_has_the_digest_alone():
    stand = standing(reads=permit(record="head"))
    assert await told(stand) == ResourceName("jane@acme.com")
    (entry,) = stand.entries("name.looked-up")
    assert "name" not in entry
    assert len(entry["hmac"]) == 64
    assert not any("jane" in str(each) for each in stand.records.entries)


@ensureDeferred
async def test_no_name_is_shown_before_it_is_on_record():
    stand = standing()
    stand.slow_disk = True
    stand.asked(post())
    stand.waiting.pop().callback(None)  # the decision
    assert stand.sent
    assert await stand.store.requests() == []
    stand.waiting.pop().callback(None)  # the look-up
    assert list(await shown(stand)) == ["id"]


@ensureDeferred
async def test_what_could_not_be_recorded_is_not_shown():
    stand = standing()

    async def failing(what):
        if what == "record" and stand.sent and not stand.entries("name.looked-up"):
            stand.pause = None
            raise OSError("full")

    stand.pause = failing
    stand.asked(post())
    stand.clock.advance(1)
    assert "jane" not in repr(await stand.store.requests())


@ensureDeferred
async def test_several_resources_are_looked_up_at_once():
    stand = standing()
    stand.answer_when = Deferred()
    stand.asked(Asked("PUT", "/groups/00g1/users/00u1", b"{}", JSON))
    assert [head.target for head, _ in stand.sent] == ["/groups/00g1", "/users/00u1"]
    stand.answer_when.callback(None)
    assert {name: each.name for name, each in (await shown(stand)).items()} == {
        "groupId": "jane@acme.com",
        "userId": "jane@acme.com",
    }


@ensureDeferred
async def test_of_a_path_through_many_things_four_are_looked_up():
    parts = [f"/t{number}s/{{t{number}Id}}" for number in range(7)]
    ways = ["".join(parts[: number + 1]) for number in range(7)]
    rows = [CatalogRow("GET", way, f"get{number}") for number, way in enumerate(ways)]
    stand = standing(rows=(*rows, CatalogRow("POST", f"{ways[-1]}/go", "go")))
    stand.asked(post("".join(f"/t{number}s/{number}" for number in range(7)) + "/go"))
    assert list(await shown(stand)) == ["t0Id", "t1Id", "t2Id", "t3Id"]
    assert len(stand.sent) == 4


@ensureDeferred
async def test_it_is_looked_up_once_a_request_not_each_time_that_the_call_is_sent():
    stand = standing()
    first, serving = stand.asked(post())
    first.hang_up()
    await serving
    stand.clock.advance(KEPT_FOR + 1)
    stand.asked(post())
    assert (await stand.store.request("a-1")).asked == 2
    assert len(stand.sent) == 1


@ensureDeferred
async def test_it_spends_nothing_and_leaves_the_agents_own_call_as_it_was():
    stand = standing()
    answer, serving = stand.asked(post())
    await stand.says()
    await serving
    assert answer.head.status == 200
    assert [head.target for head, _ in stand.sent] == ["/users/00u1", STOP]
    kinds = [entry.type for entry in stand.records.entries]
    assert kinds.count("grant.spent") == 1
    assert stand.entries("outcome")[0]["user_agent_tokens"] == ["jitgate/x-1"]
    assert stand.log.count("returned") == 2


@ensureDeferred
async def test_the_agent_sees_nothing_of_it():
    stand = standing()
    answer, serving = stand.asked(post(headers=(*JSON, (b"Prefer", b"respond-async"))))
    stand.clock.advance(0)
    await serving
    assert answer.head.status == 202
    assert b"jane" not in answer.data
    assert "jane" not in repr(answer.head.headers)
    request = await stand.store.request("a-1")
    assert request.ask.shown.names["id"].name == "jane@acme.com"
    assert "jane" not in json.dumps(status(request, None))


# --- who may


def binding(action="stopUser", **more):
    facts = {"target": "things", "action": action, "resource": {"id": "00u1"}}
    return agent(binding=Binding("t-1", **{**facts, **more}))


@pytest.mark.parametrize(
    "reads",
    [
        Verdict(Effect.DENY, "No."),
        review(),
        permit(budget=Budget("the-rule", 10, 60.0)),
    ],
)
@ensureDeferred
async def test_what_policy_does_not_simply_permit_is_not_looked_up(reads):
    stand = standing(reads=reads)
    assert await told(stand) == MAY_NOT
    assert (stand.sent, stand.granted, stand.entries("name.looked-up")) == ([], [], [])
    assert stand.entries("access.opened")[0]["names"] == {"id": {"why": MAY_NOT.why}}


class OfReads:
    """A rule that answers of reads what a test wants."""

    name, version = "of-reads", "1"
    facts = frozenset()

    def __init__(self, answer):
        self.answer = answer

    def judge(self, inquiry: Inquiry):
        if inquiry.operation.changes:
            return None
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    "answer", [NEEDS_BODY, RuntimeError("broken"), 7, Verdict(Effect.DENY, "No.")]
)
@ensureDeferred
async def test_what_cannot_be_decided_ahead_is_not_looked_up(answer):
    stand = standing(rules=(OfReads(answer),))
    assert await told(stand) == MAY_NOT
    assert stand.sent == []


@ensureDeferred
async def test_what_no_rule_permits_is_not_looked_up():
    stand = standing(reads=Undecided("It lacks a fact."))
    assert await told(stand) == MAY_NOT
    assert stand.sent == []


@pytest.mark.parametrize(
    ("subject", "sent"),
    [
        (agent(), 1),
        (binding(), 0),
        (binding(target=None), 1),
        (binding(target=None, once=True), 0),
    ],
)
@ensureDeferred
async def test_a_token_that_is_bound_to_the_call_reads_nothing_else(subject, sent):
    stand = standing()
    name = await told(stand, subject=subject)
    assert len(stand.sent) == sent
    assert name == (ResourceName("jane@acme.com") if sent else MAY_NOT)


@ensureDeferred
async def test_who_asks_too_often_has_nothing_looked_up():
    stand = standing(limits=Limits(fatigue=Fatigue(per_agent=1)))
    stand.asked(post())
    stand.asked(post("/users/00u2/stop"))
    assert len(await stand.store.requests()) == 1
    assert [head.target for head, _ in stand.sent] == ["/users/00u1"]


@ensureDeferred
async def test_nothing_is_looked_up_where_that_is_switched_off():
    stand = standing()
    stand.names.switch_off()
    stand.asked(post())
    assert await shown(stand) == {}
    assert stand.sent == []
    assert "names" not in stand.entries("access.opened")[0]


# --- what is masked


@ensureDeferred
async def test_what_the_agent_may_not_see_people_are_not_shown_by_this():
    hiding = MaskingProfile("people", (MarkedFields(frozenset({"login"}), "logins"),))
    stand = standing(reads=permit(mask="people"), profiles={"people": hiding})
    assert await told(stand) == ResourceName("Jane")
    whole = MaskingProfile("people", (MarkedFields(frozenset({"profile"}), "profiles"),))
    stand = standing(reads=permit(mask="people"), profiles={"people": whole})
    assert await told(stand) == HIDDEN
    assert "jane" not in repr(stand.records.entries)


@ensureDeferred
async def test_what_the_catalog_marks_is_masked_without_a_word():
    rows = (replace(ROWS[0], secrets=frozenset({"login", "displayName"})), *ROWS[1:])
    stand = standing(rows=rows)
    assert await told(stand) == HIDDEN


@ensureDeferred
async def test_a_profile_that_there_is_not_hides_all():
    stand = standing(reads=permit(mask="nowhere"))
    assert await told(stand) == FAILED
    assert stand.sent == []


@ensureDeferred
async def test_a_credential_that_the_target_echoes_is_no_name():
    body = json.dumps({"name": f"you sent {SECRET.decode()}"}).encode()
    stand = standing(body)
    assert await told(stand) == HIDDEN
    assert SECRET.decode() not in repr(stand.records.entries)
    assert SECRET.decode() not in repr(await stand.store.requests())


# --- what goes wrong: the id is shown, nothing is denied

FAULTS = [
    ("credential", CredentialUnavailable("down")),
    ("credential", CredentialRefused("no app")),
    ("credential", CredentialBusy("busy", 60.0)),
    ("connect", UpstreamUnreachable("down")),
    ("connect", UpstreamUntrusted("bad")),
    ("connect", AddressRefused("loopback")),
    ("send", UpstreamGone("dead")),
    ("send", UpstreamMalformed("odd")),
    ("read", UpstreamUnreachable("cut")),
    ("credential", RuntimeError("a plugin's")),
    ("connect", RuntimeError("a bug")),
]


@pytest.mark.parametrize(("stage", "fault"), FAULTS)
@ensureDeferred
async def test_whatever_breaks_the_request_is_opened(stage, fault, nothing_unnoticed):
    stand = standing(fail={stage: fault})
    assert await told(stand) == FAILED
    assert stand.log.count("returned") == (stage != "credential")
    assert stand.lent == []
    (entry,) = stand.entries("name.looked-up")
    assert entry["why"] == FAILED.why
    assert ("user_agent_token" in entry) is (stage in {"send", "read"})
    assert ("credential" in entry) is (stage != "credential")
    stand.fail.clear()
    assert (await stand.says()).state.value == "approved"


ODD = {
    "not found": (404, JSON, WHOLE, NOT_FOUND),
    "forbidden": (403, JSON, WHOLE, FAILED),
    "a challenge": (401, JSON, WHOLE, FAILED),
    "too many": (429, JSON, WHOLE, FAILED),
    "elsewhere": (302, ((b"Location", b"https://evil.example/"),), b"", FAILED),
    "empty": (204, (), b"", FAILED),
    "a part": (206, JSON, WHOLE, FAILED),
    "down": (503, JSON, WHOLE, FAILED),
    "a page": (200, ((b"Content-Type", b"text/html"),), WHOLE, FAILED),
    "no type": (200, (), WHOLE, FAILED),
    "coded": (200, (*JSON, (b"Content-Encoding", b"gzip")), WHOLE, FAILED),
    "no JSON": (200, JSON, b"{jane", FAILED),
    "half": (200, JSON, WHOLE[:-3], FAILED),
    "a lone surrogate": (200, JSON, b'{"name":"\\ud800"}', FAILED),
    "too deep": (200, JSON, b'{"name":' + b"[" * 30_000 + b"]" * 30_000 + b"}", FAILED),
    "nameless": (200, JSON, b'{"profile":{"login":7}}', NAMELESS),
    "a list": (200, JSON, b"[" + WHOLE + b"]", NAMELESS),
    "hostile": (
        200,
        JSON,
        json.dumps({"name": "\u202e\x1b[2J)\n approved"}).encode(),
        ResourceName("\u202e\x1b[2J)\n approved"),
    ),
}


@pytest.mark.parametrize("odd", ODD)
@ensureDeferred
async def test_whatever_is_answered_the_request_is_opened(odd, nothing_unnoticed):
    status, fields, body, name = ODD[odd]
    stand = standing(body, ResponseHead(status, fields, len(body)))
    assert await told(stand) == name
    assert stand.entries("name.looked-up")[0]["status"] == status
    assert stand.log.count("release") == 1


@pytest.mark.parametrize("announced", [True, False])
@ensureDeferred
async def test_a_long_answer_is_not_read_to_its_end(announced):
    body = json.dumps({"name": "jane", "more": "x" * LARGEST}).encode()
    stand = standing(head=ResponseHead(200, JSON, len(body) if announced else None))
    stand.pieces = (body[:1000],) * 300
    assert await told(stand) == FAILED
    assert stand.log.count("read more") <= LARGEST // 1000 + 1


@ensureDeferred
async def test_one_that_just_fits_is_read():
    start = b'{"name":"jane","more":"'
    body = start + b"x" * (LARGEST - len(start) - 2) + b'"}'
    assert len(body) == LARGEST
    assert await told(standing(body, ResponseHead(200, JSON, None))) == ResourceName("jane")


@pytest.mark.parametrize("stage", ["credential", "connect", "answer"])
@ensureDeferred
async def test_what_takes_too_long_is_given_up(stage):
    stand = standing()
    stuck = Deferred()

    async def slowly(what):
        if what == stage:
            await stuck

    stand.pause = slowly
    stand.asked(post())
    stand.clock.advance(WITHIN - 0.01)
    assert await stand.store.requests() == []
    stand.clock.advance(0.01)
    assert replace((await shown(stand))["id"], lookup=None) == FAILED
    assert stand.entries("name.looked-up")[0]["seconds"] == WITHIN
    assert stand.lent == []
    stand.pause = None
    assert (await stand.says()).state.value == "approved"


@ensureDeferred
async def test_one_who_does_not_let_go_keeps_nobody_waiting():
    stand = standing()
    stuck = Deferred()

    async def stubborn(what):
        if what == "credential":
            try:
                await Deferred()
            except Exception:  # noqa: BLE001 (whatever it is asked to)
                await stuck

    stand.pause = stubborn
    stand.asked(post())
    stand.clock.advance(WITHIN)
    assert replace((await shown(stand))["id"], lookup=None) == FAILED
    stand.pause = None
    stuck.callback(None)
    assert len(stand.entries("name.looked-up")) == 1
    assert stand.lent == []


# --- pace and number


@ensureDeferred
async def test_a_target_that_has_no_room_is_not_asked_for_names():
    stand = standing(head=ResponseHead(429, (*JSON, (b"Retry-After", b"60")), len(WHOLE)))
    assert await told(stand) == FAILED
    stand.answer = ResponseHead(200, JSON, len(WHOLE))
    stand.asked(post("/users/00u2/stop"))
    stand.asked(Asked("PUT", "/groups/00g1/users/00u3", b"{}", JSON))
    assert len(stand.sent) == 1
    assert set((await shown(stand, "a-3")).values()) == {FAILED}


@ensureDeferred
async def test_the_last_of_what_a_target_takes_is_left_to_agents():
    fields = ((b"X-Rate-Limit-Remaining", b"1"), (b"X-Rate-Limit-Limit", b"20"))
    head = ResponseHead(200, (*JSON, *fields, (b"X-Rate-Limit-Reset", b"60")), len(WHOLE))
    stand = standing(head=head)
    assert (await told(stand)).name == "jane@acme.com"
    stand.asked(post("/users/00u2/stop"))
    assert len(stand.sent) == 1


@ensureDeferred
async def test_a_name_is_read_again_after_a_minute():
    stand = standing()
    for number, (later, sent) in enumerate([(0, 1), (KEPT_FOR - 1, 1), (1, 2)], start=1):
        stand.clock.advance(later)
        stand.asked(Asked("POST", STOP, f"{number}".encode(), JSON))
        assert (await shown(stand, f"a-{number}"))["id"].name == "jane@acme.com"
        assert len(stand.sent) == sent
    assert (await shown(stand, "a-2"))["id"].lookup == "n-1"


@ensureDeferred
async def test_what_is_being_read_is_not_read_twice():
    stand = standing()
    stand.answer_when = Deferred()
    for number in range(50):
        stand.asked(Asked("POST", STOP, f"{number}".encode(), JSON))
    assert len(stand.sent) == 1
    stand.answer_when.callback(None)
    names = [each.ask.shown.names["id"].name for each in await stand.store.requests()]
    assert names == ["jane@acme.com"] * 50


@ensureDeferred
async def test_what_failed_is_asked_again():
    stand = standing(head=ResponseHead(404, JSON, len(WHOLE)))
    stand.asked(post())
    stand.asked(Asked("POST", STOP, b"2", JSON))
    assert len(stand.sent) == 2


@ensureDeferred
async def test_a_name_that_was_read_by_one_leave_is_not_shown_by_another():
    hiding = MaskingProfile("people", (MarkedFields(frozenset({"profile"}), "profiles"),))
    stand = standing(profiles={"people": hiding})
    stand.asked(post())
    stand.reads = permit(mask="people")
    stand.asked(Asked("POST", STOP, b"2", JSON))
    assert (await shown(stand, "a-1"))["id"].name == "jane@acme.com"
    assert (await shown(stand, "a-2"))["id"].why == HIDDEN.why
    stand.reads = Verdict(Effect.DENY, "No more.")
    stand.asked(Asked("POST", STOP, b"3", JSON))
    assert (await shown(stand, "a-3"))["id"] == MAY_NOT


@ensureDeferred
async def test_so_many_are_read_at_a_time_and_no_more():
    stand = standing(limits=Limits(fatigue=Fatigue(per_agent=1000, per_approver=1000)))
    stand.answer_when = Deferred()
    for number in range(AT_ONCE + 5):
        stand.asked(post(f"/users/{number}/stop"))
    assert len(stand.sent) == AT_ONCE
    waiting = await stand.store.requests()
    assert {each.ask.shown.names["id"] for each in waiting} == {FAILED}
    assert len(waiting) == 5
    stand.answer_when.callback(None)
    assert len(await stand.store.requests()) == AT_ONCE + 5


def test_few_are_kept(monkeypatch):
    monkeypatch.setattr("jitgate.flow.resource_names.KEPT", 3)
    stand = standing()
    for number in range(5):
        stand.asked(post(f"/users/{number}/stop"))
    assert len(stand.names._known) == 3 < KEPT
    assert [key[2] for key in stand.names._known] == ["/users/2", "/users/3", "/users/4"]


@ensureDeferred
async def test_a_reload_ends_what_is_being_read_and_forgets_what_was():
    stand = standing()
    stand.asked(post())
    stand.answer_when = Deferred()
    stand.asked(post("/users/00u2/stop"))
    targets = stand.names._targets
    assert len(stand.sent) == 2
    stand.names.adopt(targets, stand.policy(), stand.profiles)
    assert (await shown(stand, "a-2"))["id"].why == FAILED.why
    stand.answer_when = None
    stand.asked(Asked("POST", STOP, b"2", JSON))
    assert len(stand.sent) == 3


@ensureDeferred
async def test_a_catalog_that_breaks_costs_the_names_alone(nothing_unnoticed):
    stand = standing()
    target = stand.names._targets[AUTHORITY]

    class Broken:
        def samples(self, authority):
            raise RuntimeError("a plugin's")

    broken = {AUTHORITY: replace(target, catalog=Broken())}
    stand.names.adopt(broken, stand.policy(), stand.profiles)
    stand.asked(post())
    assert await shown(stand) == {}
    assert stand.sent == []


@ensureDeferred
async def test_a_credential_for_a_body_is_none_for_a_read():
    stand = standing(in_body="token")
    assert await told(stand) == FAILED
    assert (stand.sent, stand.lent) == ([], [])


@ensureDeferred
async def test_a_credential_in_a_query_is_on_no_record():
    stand = standing(in_query="key")
    assert (await told(stand)).name == "jane@acme.com"
    assert stand.sent[0][0].target == f"/users/00u1?key={SECRET.decode()}"
    assert SECRET.decode() not in repr(stand.records.entries)


@ensureDeferred
async def test_reads_of_names_share_a_credential_as_the_rule_says():
    stand = standing(reads=permit(reuse=300.0))
    seen = []

    async def look(what):
        if what == "answer":
            seen.extend(stand.lent)

    stand.pause = look
    await told(stand)
    assert seen == [300.0]


@ensureDeferred
async def test_what_others_opened_meanwhile_leaves_no_room():
    stand = standing(limits=Limits(per_agent=2))
    stand.answer_when = Deferred()
    catalog = stand.names._targets[AUTHORITY].catalog
    opening = []
    for number in range(3):
        stop = catalog.operation(AUTHORITY, "POST", f"/users/{number}/stop", "")
        asking = ask(f"f{number}", subject=agent(), operation=stop)
        wait = stand.access.waiting.wait(asking, Preference(False, None), since=0.0, resends=False)
        opening.append(Deferred.fromCoroutine(stand.access.waiting.ahead(asking, wait)))
    assert len(stand.sent) == 3
    stand.answer_when.callback(None)
    came_to = [(await each).denial for each in opening]
    assert came_to == [Denial.APPROVAL_PENDING, Denial.APPROVAL_PENDING, Denial.OVERLOADED]
    assert len(await stand.store.requests()) == 2
