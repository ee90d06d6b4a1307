"""What every provider of the access store's port promises: memory, SQLite and PostgreSQL."""

from dataclasses import replace
from pathlib import Path

import pytest
import pytest_twisted
from pytest_twisted import ensureDeferred
from support.access import NOW, access_request, ask, everything, grant, kept_as, subject, use
from support.kept import InDatabase, InFile, place
from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from jitgate.core import access
from jitgate.errors import StoreDown
from jitgate.interfaces import IAccessStore
from jitgate.stores.access_memory import MemoryAccess
from jitgate.values import (
    AccessState,
    GrantState,
    Mark,
    Shown,
)


class Memory:
    def __init__(self, _folder):
        self.store = MemoryAccess()

    async def reopened(self):
        await self.store.close()
        return await self.store.open()

    def breaks(self):
        self.store.failure = OSError("No space left on device")

    def mends(self):
        self.store.failure = None

    async def end(self):
        await self.store.close()


@pytest_twisted.async_yield_fixture(params=[Memory, InFile, InDatabase])
async def kept(request, tmp_path: Path):
    it = request.param(place(request, tmp_path))
    try:
        await it.store.open()
        yield it
    finally:
        await it.end()


def all_of(coroutines):
    """What they all return, each begun before the first ends."""
    return gatherResults([Deferred.fromCoroutine(each) for each in coroutines])


# --- what is kept


@ensureDeferred
async def test_it_provides_the_port(kept):
    assert verifyObject(IAccessStore, kept.store)


@ensureDeferred
async def test_what_was_committed_is_found_by_its_id_with_its_revision(kept):
    values = [access_request(), grant(), use()]
    revision = await kept.store.commit(values)
    for value in values:
        assert await kept_as(kept.store, value) == replace(value, revision=revision)
        assert await kept_as(kept.store, replace(value, id="another")) is None


@ensureDeferred
async def test_it_outlives_the_store_that_kept_it(kept):
    values = [access_request(), grant(), use()]
    revision = await kept.store.commit(values)
    await kept.reopened()
    assert await everything(kept.store) == [replace(value, revision=revision) for value in values]
    assert await kept.store.pending(subject().key, values[0].ask.fingerprint) is not None


@ensureDeferred
async def test_every_commit_has_a_higher_revision_over_restarts_too(kept):
    revisions = [await kept.store.commit([grant(f"g-{number}")]) for number in range(3)]
    assert await kept.store.commit([grant("g-1")]) is None
    await kept.reopened()
    revisions.append(await kept.store.commit([grant("g-4")]))
    assert revisions == sorted(set(revisions))
    assert revisions[0] > 0


@ensureDeferred
async def test_one_id_of_two_kinds_is_two_values(kept):
    revision = await kept.store.commit([grant("x"), use("x", of="x")])
    assert await kept.store.request("x") is None
    assert (await kept.store.grant("x")).revision == revision
    assert (await kept.store.use("x")).grant == "x"


# --- each takes the place of the one it was made from, or none does


@ensureDeferred
async def test_a_value_takes_the_place_of_the_one_with_its_revision(kept):
    first = await kept.store.commit([access_request()])
    after = replace(access_request(revision=first), recalls=1)
    second = await kept.store.commit([after])
    assert await kept.store.request("ar-1") == replace(after, revision=second)


@pytest.mark.parametrize("revision", [0, 1, 3])
@ensureDeferred
async def test_a_value_that_was_made_from_another_is_refused(kept, revision):
    await kept.store.commit([use("other")])
    await kept.store.commit([grant()])
    assert await kept.store.commit([grant(uses=9, revision=revision)]) is None
    assert await kept.store.grant("g-1") == grant(revision=2)


@ensureDeferred
async def test_a_value_that_takes_the_place_of_nothing_kept_is_refused(kept):
    assert await kept.store.commit([grant(revision=1)]) is None
    assert await kept.store.grant("g-1") is None


@pytest.mark.parametrize("order", [1, -1])
@ensureDeferred
async def test_if_one_of_them_cannot_be_kept_none_is(kept, order):
    await kept.store.commit([grant()])
    values = [access_request(), use(), grant(uses=2), use("ex-2")]
    assert await kept.store.commit(values[::order]) is None
    assert await everything(kept.store) == [grant(revision=1)]


@ensureDeferred
async def test_one_value_twice_is_refused(kept):
    assert await kept.store.commit([grant(), grant()]) is None
    revision = await kept.store.commit([grant()])
    twice = grant(revision=revision)
    assert await kept.store.commit([twice, replace(twice, why="again")]) is None
    assert await kept.store.grant("g-1") == twice


@ensureDeferred
async def test_a_refused_commit_takes_no_number(kept):
    await kept.store.commit([grant()])
    for _ in range(3):
        assert await kept.store.commit([grant()]) is None
    assert await kept.store.commit([use()]) == 2


@ensureDeferred
async def test_of_two_that_change_one_value_at_once_one_does(kept):
    revision = await kept.store.commit([grant()])
    for _ in range(20):
        current = await kept.store.grant("g-1")
        revisions = await all_of(
            kept.store.commit([replace(current, why=f"change {number}")]) for number in range(2)
        )
        assert sorted(revisions, key=bool) == [None, revision + 1]
        revision += 1


@ensureDeferred
async def test_of_a_thousand_that_take_one_grant_at_once_one_does(kept):
    await kept.store.commit([grant()])
    current = await kept.store.grant("g-1")
    takings = [access.taken(current, f"ex-{number}", "f1", NOW) for number in range(1000)]
    revisions = await all_of(kept.store.commit(taking) for taking in takings)
    assert len([each for each in revisions if each is not None]) == 1
    (taken,) = await kept.store.uses()
    assert taken == replace(takings[revisions.index(2)][1], revision=2)
    assert (await kept.store.grant("g-1")).tally == {GrantState.IN_USE: 1}


@ensureDeferred
async def test_whoever_is_refused_at_once_with_others_hurts_none_of_them(kept):
    await kept.store.commit([grant()])
    changes = [[use(f"ex-{n}")] if n % 3 else [use(f"ex-{n}"), grant()] for n in range(30)]
    revisions = await all_of(kept.store.commit(change) for change in changes)
    assert [each is None for each in revisions] == [n % 3 == 0 for n in range(30)]
    assert {each.id for each in await kept.store.uses()} == {f"ex-{n}" for n in range(30) if n % 3}


# --- one pending request for each subject and fingerprint


@ensureDeferred
async def test_a_second_pending_request_is_refused(kept):
    await kept.store.commit([access_request("ar-1", ask("f1"))])
    assert await kept.store.commit([access_request("ar-2", ask("f1"))]) is None
    assert await kept.store.commit([use(), access_request("ar-2", ask("f1"))]) is None
    assert await kept.store.uses() == []
    assert (await kept.store.pending(subject().key, "f1")).id == "ar-1"


@ensureDeferred
async def test_two_of_one_commit_are_refused(kept):
    values = [access_request("ar-1", ask("f1")), access_request("ar-2", ask("f1"))]
    assert await kept.store.commit(values) is None
    assert await kept.store.requests() == []


@ensureDeferred
async def test_of_four_that_open_one_at_once_one_does(kept):
    revisions = await all_of(
        kept.store.commit([access_request(f"ar-{number}", ask("f1"))]) for number in range(4)
    )
    assert sorted(map(bool, revisions)) == [False, False, False, True]
    assert len(await kept.store.requests()) == 1


@ensureDeferred
async def test_another_call_another_agent_and_other_humans_are_other_requests(kept):
    for number, asked in enumerate(
        [
            ask("f1"),
            ask("f2"),
            ask("f1", subject=subject(id="bot-8")),
            ask("f1", subject=subject(humans=("bob@acme.com",))),
        ]
    ):
        assert await kept.store.commit([access_request(f"ar-{number}", asked)]) is not None
        found = await kept.store.pending(asked.subject.key, asked.fingerprint)
        assert found.id == f"ar-{number}"


@pytest.mark.parametrize("state", [each for each in AccessState if each.value != "pending"])
@ensureDeferred
async def test_one_that_ended_makes_room_for_the_next(kept, state):
    revision = await kept.store.commit([access_request("ar-1", ask("f1"))])
    over = access_request("ar-1", ask("f1"), revision=revision, state=state)
    await kept.store.commit([over])
    assert await kept.store.pending(subject().key, "f1") is None
    assert await kept.store.requests() == []
    assert (await kept.store.request("ar-1")).state is state
    assert await kept.store.commit([access_request("ar-2", ask("f1"))]) is not None


@pytest.mark.parametrize("order", [1, -1])
@ensureDeferred
async def test_one_that_ends_makes_room_in_the_same_commit(kept, order):
    revision = await kept.store.commit([access_request("ar-1", ask("f1"))])
    over = access_request(
        "ar-1", ask("f1"), revision=revision, state=AccessState.SUPERSEDED
    )  # fmt: skip
    values = [over, access_request("ar-2", ask("f1"))]
    assert await kept.store.commit(values[::order]) is not None
    assert (await kept.store.pending(subject().key, "f1")).id == "ar-2"


@ensureDeferred
async def test_one_that_comes_back_to_a_place_that_was_taken_is_refused(kept):
    over = access_request("ar-1", ask("f1"), state=AccessState.EXPIRED)
    revision = await kept.store.commit([over])
    await kept.store.commit([access_request("ar-2", ask("f1"))])
    back = replace(over, state=AccessState.PENDING, revision=revision)
    assert await kept.store.commit([back]) is None


# --- lists


@ensureDeferred
async def test_pending_requests_come_in_the_order_of_their_opening(kept):
    times = [5.0, -1.0, 3.5, 3.25, 3.5]
    for number, time in enumerate(times):
        await kept.store.commit([access_request(f"ar-{number}", opened_at=time)])
    found = [each.id for each in await kept.store.requests()]
    assert found == ["ar-1", "ar-3", "ar-2", "ar-4", "ar-0"]


@ensureDeferred
async def test_a_long_list_has_each_that_is_pending_all_the_while_once(kept):
    every = [
        access_request(f"ar-{number:03}", opened_at=NOW + number // 50) for number in range(350)
    ]
    revision = await kept.store.commit(every[::-1])
    ends = replace(every[349], revision=revision, state=AccessState.EXPIRED)
    changes = [replace(each, revision=revision, why="seen") for each in every[:300:7]]
    listed, *_ = await all_of(
        [kept.store.requests(), *(kept.store.commit([each]) for each in [ends, *changes])]
    )
    found = [each.id for each in listed if each.id != ends.id]
    assert found == [each.id for each in every[:349]]
    assert [each.id for each in await kept.store.requests()] == found


TALLIES = [
    ({GrantState.ACTIVE: 1}, True),
    ({GrantState.IN_USE: 1}, True),
    ({GrantState.SPENT: 4, GrantState.ACTIVE: 1}, True),
    ({GrantState.ACTIVE: 0, GrantState.SPENT: 2}, False),
    ({GrantState.REVOKED_IN_FLIGHT: 1, GrantState.UNKNOWN: 1}, False),
    ({GrantState.EXPIRED: 1, GrantState.REVOKED: 1}, False),
    ({}, False),
]


@pytest.mark.parametrize(("tally", "listed"), TALLIES)
@ensureDeferred
async def test_grants_with_a_use_left_or_in_use_are_listed(kept, tally, listed):
    revision = await kept.store.commit([grant(tally=tally)])
    for found in (await kept.store.grants(), await kept.store.grants(subject().key)):
        assert found == ([grant(tally=tally, revision=revision)] if listed else [])
    assert await kept.store.grant("g-1") == grant(tally=tally, revision=revision)


@ensureDeferred
async def test_grants_come_in_order_of_one_subject_or_of_all(kept):
    other = subject(id="bot-8")
    for number, (time, whose) in enumerate(
        [(3.0, subject()), (1.0, other), (2.0, subject()), (0.0, other)]
    ):
        asked = ask(subject=whose)
        await kept.store.commit([grant(f"g-{number}", asked=asked, made_at=time)])
    assert [each.id for each in await kept.store.grants()] == ["g-3", "g-1", "g-2", "g-0"]
    assert [each.id for each in await kept.store.grants(other.key)] == ["g-3", "g-1"]
    assert await kept.store.grants("nobody") == []


@pytest.mark.parametrize("state", GrantState)
@ensureDeferred
async def test_uses_are_listed_while_they_are_in_use(kept, state):
    revision = await kept.store.commit([use(state=state)])
    listed = [use(state=state, revision=revision)] if state is GrantState.IN_USE else []
    assert await kept.store.uses() == listed
    assert await kept.store.use("ex-1") is not None


@ensureDeferred
async def test_the_uses_of_a_grant_come_in_order_whatever_became_of_them(kept):
    first = use("ex-2", taken_at=1.0, state=GrantState.SPENT, status=200, ended_at=1.5)
    second, other = use("ex-1", taken_at=2.0), use("ex-3", of="g-2")
    revision = await kept.store.commit([second, other, first])
    listed = [replace(each, revision=revision) for each in (first, second)]
    assert await kept.store.uses_of("g-1") == listed
    assert await kept.store.uses_of("nobody") == []


# --- forgetting


@ensureDeferred
async def test_what_ended_before_is_forgotten_and_nothing_else(kept):
    ended = {"state": AccessState.DENIED}
    over = {"tally": {GrantState.SPENT: 1}}
    stays = [
        access_request("pending", opened_at=1.0),
        access_request("later", opened_at=2.0, **ended),
        grant("active", made_at=1.0),
        grant("in use", made_at=1.0, tally={GrantState.IN_USE: 1}),
        grant("later", made_at=2.0, **over),
        use("in use", taken_at=1.0),
        use("later", taken_at=2.0, state=GrantState.SPENT),
    ]
    goes = [
        access_request("over", opened_at=1.75, **ended),
        grant("over", made_at=1.75, **over),
        use("over", taken_at=1.75, state=GrantState.UNKNOWN),
    ]
    revision = await kept.store.commit([*stays, *goes])
    await kept.store.forget(2.0)
    for value in stays:
        assert await kept_as(kept.store, value) == replace(value, revision=revision)
    for value in goes:
        assert await kept_as(kept.store, value) is None
    assert await kept.store.commit([goes[0]]) == revision + 1


@ensureDeferred
async def test_the_uses_of_a_grant_that_has_more_are_not_forgotten(kept):
    some = grant(made_at=1.0, tally={GrantState.SPENT: 1, GrantState.ACTIVE: 1})
    await kept.store.commit([some, use(taken_at=1.0, state=GrantState.SPENT)])
    await kept.store.forget(2.0)
    assert await kept.store.use("ex-1") is not None
    done = grant(made_at=1.0, tally={GrantState.SPENT: 1, GrantState.EXPIRED: 1}, revision=1)
    await kept.store.commit([done])
    await kept.store.forget(2.0)
    assert await kept.store.use("ex-1") is None


# --- the mark


@ensureDeferred
async def test_a_new_store_has_the_mark_of_no_run(kept):
    assert await kept.reopened() == Mark()


@ensureDeferred
async def test_the_mark_tells_the_run_and_the_last_change(kept):
    await kept.store.mark("run-1", 0)
    for number in range(3):
        await kept.store.commit([grant(f"g-{number}")])
    assert await kept.reopened() == Mark("run-1", 3)
    await kept.store.mark("run-2", 3)
    assert await kept.reopened() == Mark("run-2", 3)


@ensureDeferred
async def test_the_next_change_has_a_number_beyond_what_the_mark_was_given(kept):
    await kept.store.mark("run-1", 41)
    assert await kept.store.commit([grant()]) == 42
    await kept.store.mark("run-1", 7)
    assert await kept.store.commit([use()]) == 43
    assert await kept.reopened() == Mark("run-1", 43)


@ensureDeferred
async def test_forgetting_is_no_change_and_leaves_the_number(kept):
    await kept.store.commit([use(state=GrantState.SPENT)])
    await kept.store.forget(NOW + 1)
    assert await kept.reopened() == Mark(None, 1)


# --- when it is down


METHODS = {
    "mark": ("run-1", 1),
    "commit": ([use("ex-2")],),
    "request": ("ar-1",),
    "pending": ("s", "f"),
    "requests": (),
    "grant": ("g-1",),
    "grants": (),
    "use": ("ex-1",),
    "uses": (),
    "uses_of": ("g-1",),
    "forget": (NOW,),
}


def test_every_method_is_tried():
    assert {*METHODS, "open", "close"} == set(IAccessStore)


@pytest.mark.parametrize("name", METHODS)
@ensureDeferred
async def test_a_store_that_cannot_tell_says_so_until_it_can(kept, name):
    await kept.store.commit([grant()])
    kept.breaks()
    for _ in range(2):
        with pytest.raises(StoreDown):
            await getattr(kept.store, name)(*METHODS[name])
    kept.mends()
    assert await kept.store.use("ex-2") is None
    assert await everything(kept.store) == [grant(revision=1)]
    await getattr(kept.store, name)(*METHODS[name])


@ensureDeferred
async def test_all_who_wait_are_told_that_it_is_down(kept):
    kept.breaks()
    fates = [Deferred.fromCoroutine(kept.store.commit([use(f"ex-{n}")])) for n in range(20)]
    for fate in fates:
        with pytest.raises(StoreDown):
            await fate
    kept.mends()
    assert await kept.store.uses() == []
    assert await kept.store.commit([use()]) is not None


@pytest.mark.parametrize("name", METHODS)
@ensureDeferred
async def test_a_closed_store_tells_nothing(kept, name):
    await kept.store.close()
    with pytest.raises(StoreDown, match=r"open|closed"):
        await getattr(kept.store, name)(*METHODS[name])


@ensureDeferred
async def test_to_close_twice_is_no_fault(kept):
    await kept.store.close()
    await kept.store.close()


@ensureDeferred
async def test_what_was_asked_before_it_is_closed_is_kept(kept):
    fates = [Deferred.fromCoroutine(kept.store.commit([use(f"ex-{n}")])) for n in range(30)]
    await kept.store.close()
    assert sorted(await gatherResults(fates)) == list(range(1, 31))
    await kept.store.open()
    assert len(await kept.store.uses()) == 30


# --- what cannot be kept as it is


@pytest.mark.parametrize(
    "value",
    [
        use("\ud800"),
        use(fingerprint="a\udcff"),
        access_request(why="\udfff"),
        access_request(asked=ask("\ud800")),
        grant(asked=ask(subject=subject(id="\ud800"))),
        grant(made_at=float("nan")),
        access_request(expires_at=float("inf")),
        access_request(asked=ask(shown=Shown("u", (), b"bytes"))),
        use(state="in use"),
    ],
    ids=repr,
)
@ensureDeferred
async def test_what_would_not_come_back_as_it_is_is_refused_alone(kept, value):
    fates = [
        Deferred.fromCoroutine(kept.store.commit(each)) for each in ([use()], [value], [grant()])
    ]
    with pytest.raises(StoreDown, match=r"cannot be kept"):
        await fates[1]
    assert [await fates[0], await fates[2]] == [1, 2]
    assert len(await everything(kept.store)) == 2


@ensureDeferred
async def test_a_refusal_tells_nothing_of_the_value(kept):
    value = access_request(asked=ask(reason="secret-1"), why="secret-2 \ud800")
    with pytest.raises(StoreDown) as raised:
        await kept.store.commit([value])
    fault = raised.value
    assert "secret" not in f"{fault!r} {fault.__cause__!r}"
    assert fault.__suppress_context__


@ensureDeferred
async def test_nothing_is_found_by_what_is_no_text(kept):
    await kept.store.commit([grant()])
    assert await kept.store.request("\ud800") is None
    assert await kept.store.pending("\ud800", "f1") is None
    assert await kept.store.grants("\udcff") == []


@ensureDeferred
async def test_a_body_of_a_mebibyte_comes_back_as_it_was(kept):
    body = ('\0"é\n𝒳' * 200_000)[: 1024 * 1024]
    asked = ask(shown=Shown("u", (), body, len(body)))
    await kept.store.commit([access_request(asked=asked)])
    assert (await kept.store.request("ar-1")).ask.shown.body == body
