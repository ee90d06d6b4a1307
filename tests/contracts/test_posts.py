"""What every provider of the port for posts promises: in memory, SQLite and PostgreSQL."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
import pytest_twisted
from pytest_twisted import ensureDeferred
from support.access import NOW, access_request, grant
from support.kept import InDatabase, InFile, place
from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from jitgate.errors import StoreDown
from jitgate.interfaces import IPosts
from jitgate.stores.access_memory import MemoryAccess
from jitgate.stores.posts_memory import MemoryPosts
from jitgate.stores.posts_postgres import PostgresPosts
from jitgate.stores.posts_sqlite import SqlitePosts
from jitgate.values import AccessState, GrantState, Post

POST = Post("slack", "ar-1", "C01")
FULL = Post("slack", "ar-1", "C01", "C01/1716.0002", 7, "g-1", NOW + 5.5, False, '{"é": "\\u0000"}')


class Memory:
    def __init__(self, _folder):
        self.store = MemoryAccess()
        self.posts = MemoryPosts(self.store)

    async def reopened(self):
        pass

    def breaks(self):
        self.posts.failure = OSError("No space left on device")

    def mends(self):
        self.posts.failure = None

    async def end(self):
        await self.store.close()


class Sqlite(InFile):
    def made(self):
        super().made()
        self.posts = SqlitePosts(self.store.database, in_thread=self.in_thread)


class Postgres(InDatabase):
    def made(self):
        super().made()
        self.posts = PostgresPosts(self.store.database, in_thread=self.in_thread)


@pytest_twisted.async_yield_fixture(params=[Memory, Sqlite, Postgres])
async def kept(request, tmp_path):
    it = request.param(place(request, tmp_path))
    try:
        await it.store.open()
        yield it
    finally:
        await it.end()


@ensureDeferred
async def test_it_provides_the_port(kept):
    assert verifyObject(IPosts, kept.posts)


@ensureDeferred
async def test_what_was_kept_is_found_as_it_was_over_a_restart_too(kept):
    kept_as = await kept.posts.keep(FULL)
    assert kept_as == replace(FULL, revision=1)
    await kept.reopened()
    assert await kept.posts.of("slack", "ar-1") == [kept_as]
    assert await kept.posts.at("slack", FULL.place) == kept_as
    over = await kept.posts.keep(replace(kept_as, is_over=True, due=None, grant=None))
    assert await kept.posts.of("slack", "ar-1") == [over] == [
        replace(FULL, is_over=True, due=None, grant=None, revision=2)
    ]  # fmt: skip


@ensureDeferred
async def test_of_several_who_would_show_a_request_in_a_slot_one_does(kept):
    claims = [Deferred.fromCoroutine(kept.posts.keep(POST)) for _ in range(20)]
    assert sorted(map(bool, await gatherResults(claims))) == [False] * 19 + [True]
    (claimed,) = await kept.posts.of("slack", "ar-1")
    taken = [
        Deferred.fromCoroutine(kept.posts.keep(replace(claimed, document=f"{n}")))
        for n in range(20)
    ]
    won = [each for each in await gatherResults(taken) if each is not None]
    assert await kept.posts.of("slack", "ar-1") == won
    assert len(won) == 1


@pytest.mark.parametrize("revision", [0, 1, 3])
@ensureDeferred
async def test_a_post_that_was_made_from_another_is_refused(kept, revision):
    second = await kept.posts.keep(await kept.posts.keep(POST))
    assert await kept.posts.keep(replace(POST, place="elsewhere", revision=revision)) is None
    assert await kept.posts.of("slack", "ar-1") == [second]


@ensureDeferred
async def test_a_post_that_takes_the_place_of_nothing_is_refused(kept):
    assert await kept.posts.keep(replace(POST, revision=1)) is None
    assert await kept.posts.of("slack", "ar-1") == []


@ensureDeferred
async def test_another_slot_another_request_and_another_channel_are_other_posts(kept):
    posts = [replace(POST, place="1"), replace(POST, slot="C02", place="2")]
    posts += [replace(POST, request="ar-2", place="3"), replace(POST, channel="chat", place="1")]
    one, two, three, four = [await kept.posts.keep(each) for each in posts]
    assert await kept.posts.of("slack", "ar-1") == [one, two]
    assert await kept.posts.of("slack", "ar-2") == [three]
    assert await kept.posts.at("chat", "1") == four
    assert await kept.posts.at("chat", "2") is None


@ensureDeferred
async def test_what_is_nowhere_yet_is_found_at_no_place(kept):
    await kept.posts.keep(POST)
    assert await kept.posts.at("slack", "") is None


# --- what there is to show


@ensureDeferred
async def test_pending_requests_without_a_post_are_to_be_shown(kept):
    ended = access_request("ar-2", state=AccessState.EXPIRED)
    revision = await kept.store.commit([access_request("ar-1"), ended])
    assert await kept.posts.behind("slack", NOW) == ["ar-1"]
    await kept.posts.keep(replace(POST, shown=revision))
    assert await kept.posts.behind("slack", NOW) == []
    assert await kept.posts.behind("chat", NOW) == ["ar-1"]


@ensureDeferred
async def test_what_has_changed_since_it_was_shown_is_to_be_shown_again(kept):
    revision = await kept.store.commit([access_request("ar-1"), access_request("ar-2")])
    await kept.posts.keep(replace(POST, shown=revision))
    second = await kept.posts.keep(Post("slack", "ar-2", "C01", "C01/1", shown=revision))
    changed = replace(access_request("ar-2"), asked=2, revision=revision)
    assert await kept.store.commit([changed]) == revision + 1
    assert await kept.posts.behind("slack", NOW) == ["ar-2"]
    await kept.posts.keep(replace(second, shown=revision + 1))
    assert await kept.posts.behind("slack", NOW) == []


@ensureDeferred
async def test_a_grant_that_has_changed_is_to_be_shown_again(kept):
    ended = access_request("ar-1", state=AccessState.APPROVED, grant="g-1")
    revision = await kept.store.commit([ended, grant("g-1"), grant("g-2")])
    await kept.posts.keep(replace(POST, shown=revision, grant="g-1"))
    other = replace(grant("g-2"), tally={GrantState.REVOKED: 1}, revision=revision)
    await kept.store.commit([other])
    assert await kept.posts.behind("slack", NOW) == []
    await kept.store.commit(
        [replace(grant("g-1"), tally={GrantState.REVOKED: 1}, revision=revision)]
    )
    assert await kept.posts.behind("slack", NOW) == ["ar-1"]


@ensureDeferred
async def test_one_slot_that_is_behind_is_enough(kept):
    revision = await kept.store.commit([access_request("ar-1")])
    await kept.posts.keep(replace(POST, shown=revision))
    await kept.posts.keep(replace(POST, slot="C02"))
    assert await kept.posts.behind("slack", NOW) == ["ar-1"]


@ensureDeferred
async def test_what_is_due_by_then_is_to_be_looked_at(kept):
    revision = await kept.store.commit([access_request("ar-1")])
    await kept.posts.keep(replace(POST, shown=revision, due=NOW + 60))
    assert await kept.posts.behind("slack", NOW + 59) == []
    assert await kept.posts.behind("slack", NOW + 60) == ["ar-1"]


@ensureDeferred
async def test_what_is_over_is_not_looked_at_again(kept):
    await kept.store.commit([access_request("ar-1", state=AccessState.DENIED)])
    await kept.posts.keep(replace(POST, is_over=True, due=NOW))
    assert await kept.posts.behind("slack", NOW) == []


@ensureDeferred
async def test_it_is_forgotten_with_its_request(kept):
    ended = access_request("ar-2", state=AccessState.DENIED)
    await kept.store.commit([access_request("ar-1"), ended])
    posts = [await kept.posts.keep(replace(POST, request=key)) for key in ("ar-1", "ar-2")]
    await kept.posts.forget()
    assert await kept.posts.of("slack", "ar-2") == [posts[1]]
    await kept.store.forget(NOW + 1)
    await kept.posts.forget()
    assert await kept.posts.of("slack", "ar-1") == [posts[0]]
    assert await kept.posts.of("slack", "ar-2") == []


# --- when it is down


METHODS = {
    "keep": (replace(POST, slot="C02"),),
    "of": ("slack", "ar-1"),
    "at": ("slack", "C01/1"),
    "behind": ("slack", NOW),
    "forget": (),
}


def test_every_method_is_tried():
    assert {*METHODS} == set(IPosts)


@pytest.mark.parametrize("name", METHODS)
@ensureDeferred
async def test_a_store_that_cannot_tell_says_so_until_it_can(kept, name):
    await kept.store.commit([access_request("ar-1")])
    post = await kept.posts.keep(POST)
    kept.breaks()
    with pytest.raises(StoreDown):
        await getattr(kept.posts, name)(*METHODS[name])
    kept.mends()
    assert await kept.posts.of("slack", "ar-1") == [post]
    await getattr(kept.posts, name)(*METHODS[name])


@ensureDeferred
async def test_a_database_from_before_there_was_such_a_table_gets_one(tmp_path):
    kept = Sqlite(tmp_path / "state.db")
    try:
        await kept.store.open()
        await kept.store.close()
        with closing(sqlite3.connect(kept.file)) as connection:
            connection.executescript("DROP TABLE post; DROP INDEX uses_of; PRAGMA user_version = 3")
        kept.made()
        await kept.store.open()
        assert await kept.posts.keep(POST) is not None
    finally:
        await kept.end()
