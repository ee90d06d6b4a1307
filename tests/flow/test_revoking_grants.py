"""A revocation ends what goes on under a grant, however far that has come."""

from __future__ import annotations

import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, review
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jitgate.errors import StoreDown
from jitgate.stores.access_memory import MemoryAccess
from jitgate.values import GrantState


def denial(told):
    return json.loads(told.data)["type"].rpartition("/")[2]


@ensureDeferred
async def test_what_is_revoked_while_its_spend_is_put_on_record_is_not_sent():
    stand = Stand(verdict=review())
    told, serving = stand.asked(Asked("POST", "/things/7", b"{}", JSON))
    stand.slow_disk = True
    answering = Deferred.fromCoroutine(stand.says())
    while (await stand.store.use("x-1")) is None:
        stand.waiting.pop(0).callback(None)
    revoking = Deferred.fromCoroutine(stand.access.revoke("g-1", "bob@acme.com", "Stop!"))
    stand.slow_disk = False
    while stand.waiting:
        stand.waiting.pop(0).callback(None)
    await answering
    await revoking
    await serving
    assert stand.sent == []
    assert denial(told) == "grant-revoked"


@pytest.mark.parametrize("how", ["told", "missed"])
@ensureDeferred
async def test_nor_is_it_where_another_gateway_revokes_it_meanwhile(how):
    store = MemoryAccess()
    clock, ids = Clock(), {"x": 0, "a": 0, "g": 0, "t": 0}
    one, other = (
        Stand(verdict=review(), store=store, clock=clock, ids=ids, called=name) for name in "ab"
    )
    told, serving = one.asked(Asked("POST", "/things/7", b"{}", JSON))
    one.slow_disk = True
    answering = Deferred.fromCoroutine(one.says())
    while (await store.use("x-1")) is None:
        one.waiting.pop(0).callback(None)
    await other.access.revoke("g-1", "bob@acme.com", "Stop!")
    await (one.grants.heard("g-1") if how == "told" else one.grants.look_again())
    one.slow_disk = False
    while one.waiting:
        one.waiting.pop(0).callback(None)
    await answering
    await serving
    assert one.sent == []
    assert denial(told) == "grant-revoked"
    assert (await store.use("x-1")).state is GrantState.REVOKED_IN_FLIGHT


async def under_way():
    """A gateway, and a call that is out under a grant."""
    stand = Stand(verdict=review())
    told, serving = stand.asked(Asked("POST", "/things/7", b"{}", JSON))
    stand.answer_when = Deferred()
    await stand.says()
    assert not serving.called
    return stand, told, serving


@ensureDeferred
async def test_what_is_revoked_while_the_store_is_down_ends_and_whoever_revoked_is_told():
    stand, told, serving = await under_way()
    stand.store.failure = OSError("No route to host")
    assert stand.access.goes_on("g-1")
    assert not stand.access.goes_on("g-")
    with pytest.raises(StoreDown):
        await stand.access.revoke("g-1", "bob@acme.com", "Stop!")
    assert serving.called
    await serving
    assert denial(told) == "grant-revoked"


@ensureDeferred
async def test_though_the_store_says_nothing_what_is_revoked_ends_and_its_agent_hears_within_a_second():
    stand, told, serving = await under_way()
    silence = Deferred()

    async def silent(key):
        await silence
        return await grant(key)

    grant, stand.store.grant = stand.store.grant, silent
    revoking = Deferred.fromCoroutine(stand.access.revoke("g-1", "bob@acme.com", "Stop!"))
    assert "release" not in stand.log
    stand.clock.advance(0.9)
    assert "release" in stand.log, "the way to the target is given up"
    assert serving.called
    await serving
    assert denial(told) == "grant-revoked"
    assert told.head.status == 403
    silence.callback(None)
    await revoking
    assert (await stand.store.use("x-1")).state is GrantState.REVOKED_IN_FLIGHT
