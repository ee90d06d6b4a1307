"""A configuration that is replaced while calls are on their way: what had no leave is asked anew."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import AUTHORITY, JSON, REFUSED, Asked, Stand, Told, agent, review
from twisted.internet.defer import Deferred

from jitgate.core.fatigue import Fatigue
from jitgate.core.waiting import Patience
from jitgate.errors import IdentityUnavailable, StoreDown
from jitgate.flow.admission import Tunnel
from jitgate.flow.bodies import HeldBodies
from jitgate.flow.holding import TOGETHER
from jitgate.flow.opening import Limits
from jitgate.values import AccessState, Denial, Effect, Refusal, Verdict


def post(body=b'{"n": 1}'):
    return Asked("POST", "/things/7", body, JSON)


def denial(told):
    return json.loads(told.data)["type"].rpartition("/")[2]


def replaced(stand, *, by=None, identity=None):
    """Let the gateway go by the target of another stand, or by none, or by other proofs."""
    targets = {} if by is None else {AUTHORITY: by.gateway._targets[AUTHORITY]}
    stand.gateway.adopt(targets, identity or stand.gateway._identity)


async def failing():
    raise StoreDown("It cannot be read.")


class Proofs:
    """Believes what a test says."""

    def __init__(self, proof):
        self.proof = proof
        self.tokens = []

    async def verify(self, token, *, again=False):
        self.tokens.append((token, again))
        if isinstance(self.proof, Exception):
            raise self.proof
        return self.proof


@ensureDeferred
async def test_an_open_tunnel_leads_where_its_host_leads_now():
    stand, new = Stand(), Stand()
    tunnel = await stand.tunnel()
    replaced(stand, by=new)
    told = Told()
    await stand.gateway.serve(tunnel, Asked(), told)
    assert (told.head.status, len(new.sent), stand.sent) == (200, 1, [])


@ensureDeferred
async def test_an_open_tunnel_to_a_host_that_nothing_names_any_more_leads_nowhere():
    stand = Stand()
    tunnel = await stand.tunnel()
    replaced(stand)
    told = Told()
    await stand.gateway.serve(tunnel, Asked(), told)
    assert (told.head.status, denial(told)) == (403, Denial.TARGET_UNKNOWN.value)
    assert stand.sent == []
    assert stand.entries("outcome")[0]["denial"] == Denial.TARGET_UNKNOWN.value


@pytest.mark.parametrize(
    ("proof", "status"),
    [(REFUSED, 401), (IdentityUnavailable("No keys."), 502), (agent(id="bot-8"), 200)],
)
@ensureDeferred
async def test_a_token_is_proved_again_once_others_are_believed(proof, status):
    stand, proofs = Stand(), Proofs(proof)
    tunnel = await stand.tunnel("the-token")
    replaced(stand, by=stand, identity=proofs)
    told = Told()
    await stand.gateway.serve(tunnel, Asked(), told)
    assert told.head.status == status
    assert proofs.tokens == [("the-token", True)]  # one that counts once counts for its tunnel
    assert len(stand.sent) == (status == 200)
    if status == 200:
        assert stand.entries("outcome")
        assert stand.entries("decision")[0]["effect"] == "permit"


@ensureDeferred
async def test_a_token_shows_in_no_tunnel():
    assert "the-token" not in repr(await Stand().tunnel("the-token"))


@ensureDeferred
async def test_a_tunnel_whose_token_was_refused_stays_refused():
    stand = Stand(subject=REFUSED)
    tunnel = await stand.tunnel()
    assert isinstance(tunnel, Tunnel)
    replaced(stand, by=stand, identity=Proofs(agent()))
    told = Told()
    await stand.gateway.serve(tunnel, Asked(), told)
    assert told.head.status == 401


@pytest.mark.parametrize("there", [True, False])
@ensureDeferred
async def test_what_waits_for_its_decisions_record_is_named_and_decided_anew(there):
    stand, new = Stand(), Stand()
    tunnel = await stand.tunnel()
    stand.slow_disk = True
    told = Told()
    serving = Deferred.fromCoroutine(stand.gateway.serve(tunnel, post(), told))
    assert len(stand.waiting) == 1
    replaced(stand, by=new if there else None)
    stand.slow_disk = False
    stand.waiting.pop().callback(None)
    await serving
    assert told.head.status == (200 if there else 403)
    assert (len(new.sent), stand.sent) == (int(there), [])


@ensureDeferred
async def test_a_held_call_goes_out_by_the_target_that_there_is_when_it_is_approved():
    """Also where the approval comes before anybody could wake it."""
    stand, new = Stand(verdict=review()), Stand()
    told, serving = stand.asked(post())
    replaced(stand, by=new)
    await stand.says()
    await serving
    assert told.head.status == 200
    ((_, body),) = new.sent
    assert (body, stand.sent) == (b'{"n": 1}', [])
    assert len(stand.entries("grant.spent")) == 1


@ensureDeferred
async def test_a_held_call_to_a_host_that_nothing_names_any_more_is_refused():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    replaced(stand)
    await stand.decider.reconsider()
    await serving
    assert denial(told) == Denial.TARGET_UNKNOWN.value
    assert stand.sent == []


@ensureDeferred
async def test_being_asked_anew_is_no_longer_hold():
    stand = Stand(verdict=review(), patience=Patience(hold=55.0))
    told, serving = stand.asked(post())
    for _ in range(5):
        stand.clock.advance(10.9)
        replaced(stand, by=stand)
        await stand.decider.reconsider()
    assert not serving.called
    stand.clock.advance(0.6)
    await serving
    assert told.head.status == 403
    assert denial(told) == Denial.APPROVAL_PENDING.value
    assert len(stand.entries("access.opened")) == 1


@ensureDeferred
async def test_other_people_patience_and_limits_hold_from_now_on():
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    stand.members.adopt({"leads": frozenset({"dave@acme.com"})})
    stand.access.adopt([], Patience(hold=1.0), Limits(per_agent=1))
    await stand.says("alice@acme.com")
    assert (await stand.store.request("a-1")).state is AccessState.PENDING
    another, refused = stand.asked(Asked("POST", "/things/8", b"{}", JSON))
    await refused
    assert denial(another) == Denial.OVERLOADED.value
    await stand.says("dave@acme.com")
    await serving
    assert told.head.status == 200


@ensureDeferred
async def test_what_cannot_be_decided_again_is_woken_all_the_same():
    """It is decided when it goes on, and by then by what policy is."""
    stand = Stand(verdict=review())
    told, serving = stand.asked(post())
    stand.verdict = Verdict(Effect.DENY, "No longer.")
    stand.decider.adopt(stand.policy(), {})
    listed, stand.store.requests = stand.store.requests, failing
    with pytest.raises(StoreDown):
        await stand.decider.reconsider()
    stand.store.requests = listed
    await serving
    assert told.head.status == 403
    assert stand.sent == []


@ensureDeferred
async def test_more_or_less_room_for_bodies_counts_what_is_held():
    bodies = HeldBodies(10, 80)
    held = await bodies.hold(Asked("POST", body=b"x" * 10), 0.0, "one")
    bodies.adopt(4, 12)
    assert isinstance(await bodies.hold(Asked("POST", body=b"x" * 5), 0.0, "two"), Refusal)
    assert isinstance(await bodies.hold(Asked("POST", body=b"x" * 4), 0.0, "two"), Refusal)
    bodies.drop(held)
    assert not isinstance(await bodies.hold(Asked("POST", body=b"x" * 4), 0.0, "two"), Refusal)


@ensureDeferred
async def test_many_held_calls_are_decided_again_a_few_at_a_time():
    """So that others go on meanwhile, and the recorder is not flooded."""
    count = 2 * TOGETHER + 1
    stand = Stand(verdict=review(), limits=Limits(count, fatigue=Fatigue(count, count)))
    held = [stand.asked(Asked("POST", f"/things/{n}", b"{}", JSON)) for n in range(count)]
    stand.verdict = Verdict(Effect.DENY, "No longer.")
    stand.decider.adopt(stand.policy(), {})
    deciding = Deferred.fromCoroutine(stand.decider.reconsider())
    assert sum(serving.called for _, serving in held) == TOGETHER
    stand.clock.advance(0)
    await deciding
    assert {told.head.status for told, _ in held} == {403}
    assert await stand.store.requests() == []
