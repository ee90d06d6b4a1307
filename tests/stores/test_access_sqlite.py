"""The state's database: who may read it, what a crash or a bad disk leaves, when it has moved."""

import itertools
import os
import re
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.access import NOW, access_request, ask, at_once, everything, grant, now, use
from twisted.internet.defer import CancelledError, Deferred

from jitgate.core import access
from jitgate.core.recovery import recovery
from jitgate.errors import StateUnusable, StoreDown
from jitgate.stores import access_threaded
from jitgate.stores.access_schema import APPLICATION, MIGRATIONS
from jitgate.stores.access_sqlite import SqliteAccess
from jitgate.stores.access_threaded import QUEUE
from jitgate.values import Entry, GrantState, Mark, Shown

ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    return folder / "state.db"


def store_in(file, machine="m"):
    return SqliteAccess(file, in_thread=at_once, machine=machine)


def opened(file, machine="m"):
    store = store_in(file, machine)
    return store, now(store.open())


@pytest.fixture
def store(file):
    store, _ = opened(file)
    yield store
    try:
        now(store.close())
    except StoreDown:
        pass


def sql(store, statement):
    """What its own connection answers."""
    return store._database._connection.execute(statement).fetchall()


def beside(file, suffix):
    return file.with_name(file.name + suffix)


# --- who may read it


def test_all_of_its_files_are_for_its_owner_alone_whatever_the_umask(file):
    before = os.umask(0)
    try:
        store, _ = opened(file)
        now(store.commit([grant()]))
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()}
    finally:
        os.umask(before)
    now(store.close())
    assert modes == dict.fromkeys(["state.db", "state.db-wal", "state.db-shm"], 0o600)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("mode", [0o640, 0o602])
def test_files_that_others_may_use_are_refused(file, suffix, mode):
    store, _ = opened(file)
    now(store.commit([grant()]))
    path = beside(file, suffix)
    path.chmod(mode)
    with pytest.raises(StateUnusable, match=rf"{path} can be used by others.*chmod 600"):
        now(store_in(file).open())
    path.chmod(0o600)
    now(store.close())


def test_a_link_in_its_place_is_refused(file):
    file.symlink_to(file.with_name("elsewhere"))
    with pytest.raises(StateUnusable, match="not a regular file"):
        now(store_in(file).open())
    assert not file.exists()


# --- durability


def test_every_commit_waits_for_the_disk(store):
    settings = {
        name: sql(store, f"PRAGMA {name}")[0][0]
        for name in ("journal_mode", "synchronous", "busy_timeout", "temp_store")
    }
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "busy_timeout": 5000,
        "temp_store": 2,  # MEMORY
    }


def test_a_connection_that_can_neither_commit_nor_roll_back_is_made_again(store, file):
    now(store.commit([grant()]))
    broken = store._database._connection
    broken.set_authorizer(
        lambda _action, what, *_: sqlite3.SQLITE_DENY if what in ENDS else sqlite3.SQLITE_OK
    )
    with pytest.raises(StoreDown, match="not authorized"):
        now(store.commit([use()]))
    assert now(everything(store)) == [grant(revision=1)]
    assert now(store.commit([use()])) == 2
    assert store._database._connection is not broken
    test_every_commit_waits_for_the_disk(store)
    beside(file, "-wal").unlink()
    with pytest.raises(StoreDown, match="no such file"):
        now(store.commit([use("ex-2")]))


ENDS = ("COMMIT", "ROLLBACK")


TRACED = """
import sys
from pathlib import Path
from support.access import at_once, grant, now
from jitgate.errors import StoreDown
from jitgate.stores.access_sqlite import SqliteAccess

store = SqliteAccess(Path(sys.argv[1]), in_thread=at_once, machine="m")
now(store.open())
for number in range(int(sys.argv[2])):
    try:
        now(store.commit([grant(f"g-{number}")]))
        sys.stdout.write(f"kept {number}\\n")
    except StoreDown as down:
        sys.stdout.write(f"down {number} {down}\\n")
    sys.stdout.flush()
for number in range(int(sys.argv[2])):
    sys.stdout.write(f"{number} is there: {now(store.grant(f'g-{number}')) is not None}\\n")
sys.stdout.flush()
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
"""


def child(program, *arguments, under=()):
    return subprocess.Popen(
        [*under, sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )


@pytest.mark.needs_debian("strace")
def test_the_disk_has_it_before_anybody_is_told(file, tmp_path):
    log = tmp_path / "calls"
    calls = "trace=pwrite64,fdatasync,fsync,write"
    with child(TRACED, file, 8, under=("strace", "-f", "-yy", "-e", calls, "-o", log)) as tracing:
        tracing.communicate()
    told, is_synced = 0, False
    for line in log.read_text().splitlines():
        wrote = re.search(r"pwrite64\(\d+<([^>]*)>", line)
        synced = re.search(r"fdatasync\(\d+<([^>]*)>\)\s+= 0$", line)
        if wrote and wrote[1] == f"{file}-wal":
            is_synced = False
        elif synced and synced[1] == f"{file}-wal":
            is_synced = True
        elif re.search(r'write\(1<[^>]*>, "kept', line):
            told += 1
            assert is_synced
            is_synced = False
    assert told == 8
    assert re.search(rf"fsync\(\d+<{file.parent}>\)\s+= 0", log.read_text())


@pytest.mark.needs_debian("strace")
def test_a_disk_that_fails_to_sync_keeps_nothing_and_all_goes_on_when_it_can(file):
    failing = "inject=fdatasync:error=EIO:when=6..7"
    how = ("strace", "-f", "-o", "/dev/null", "-P", f"{file}-wal", "-e", failing)
    with child(TRACED, file, 8, under=how) as failing:
        said, _ = failing.communicate()
    kept = {int(number) for number in re.findall(r"kept (\d)", said)}
    down = {int(number) for number in re.findall(r"down (\d) .*disk I/O error", said)}
    there = {int(number) for number in re.findall(r"(\d) is there: True", said)}
    assert kept | down == set(range(8))
    assert len(down) == 2
    assert 7 in kept
    assert there == kept
    store, mark = opened(file)
    assert {each.id for each in now(store.grants())} == {f"g-{number}" for number in kept}
    assert mark.revision == 6
    now(store.close())


BUSY_CHILD = """
import sys
from functools import partial
from pathlib import Path
from support.access import grant, use
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from jitgate.stores.access_sqlite import SqliteAccess

pool = ThreadPool(1, 1)
pool.start()
in_thread = partial(deferToThreadPool, reactor, pool)
store = SqliteAccess(Path(sys.argv[1]), in_thread=in_thread, machine="m")

async def agent(name):
    number = 0
    while True:
        key, number = f"{name}-{number}", number + 1
        revision = await store.commit([grant(key), use(key, of=key)])
        sys.stdout.write(f"{key} {revision}\\n")
        sys.stdout.flush()

async def begin():
    await store.open()
    await store.mark(sys.argv[2], 0)
    for number in range(40):
        Deferred.fromCoroutine(agent(f"{sys.argv[2]}-{number}"))

reactor.callWhenRunning(lambda: Deferred.fromCoroutine(begin()))
reactor.run(installSignalHandlers=False)
"""


def test_killed_at_work_it_has_kept_all_that_it_acknowledged_and_nothing_by_half(file):
    acknowledged = {}
    for round_ in range(5):
        with child(BUSY_CHILD, file, f"run-{round_}") as worker:
            lines = [worker.stdout.readline() for _ in range(41 + 333 * round_)]
            os.kill(worker.pid, signal.SIGKILL)
            rest, _ = worker.communicate()
        lines += [f"{line}\n" for line in rest.split("\n")[:-1]]
        acknowledged.update(line.split() for line in lines)
        store, mark = opened(file)
        assert mark.run == f"run-{round_}"
        assert not mark.moved
        assert mark.revision >= max(map(int, acknowledged.values()))
        grants = {each.id: each.revision for each in now(store.grants())}
        uses = {each.id: each.revision for each in now(store.uses())}
        assert grants == uses
        assert {key: grants.get(key) for key in acknowledged} == {
            key: int(revision) for key, revision in acknowledged.items()
        }
        now(store.close())


# --- group commit


class Desk:
    """A store whose thread waits until the test lets it go on."""

    def __init__(self, file):
        self.held = []
        self.slow = False
        self.calls = []
        self.store = SqliteAccess(file, in_thread=self.in_thread, machine="m")

    async def in_thread(self, work, *args):
        self.calls.append(work.__name__)
        if self.slow:
            gate = Deferred()
            self.held.append(gate)
            await gate
        return work(*args)

    def let_go(self):
        self.held.pop(0).callback(None)

    def commit(self, *values):
        """What becomes of a commit: a list that holds its answer once it is known."""
        fate = []
        Deferred.fromCoroutine(self.store.commit(values)).addBoth(fate.append)
        return fate


@pytest.fixture
def desk(file):
    it = Desk(file)
    now(it.store.open())
    it.slow = True
    yield it
    it.slow = False
    now(it.store.close())


def test_what_comes_while_one_is_written_goes_together_in_the_next_transaction(desk):
    statements = []
    desk.store._database._connection.set_trace_callback(statements.append)
    fates = [desk.commit(use(f"ex-{number}")) for number in range(101)]
    desk.let_go()
    assert fates[0] == [1]
    assert fates[1:] == [[]] * 100
    desk.let_go()
    assert fates == [[number + 1] for number in range(101)]
    assert desk.calls == ["open", "commit", "commit"]
    assert statements.count("COMMIT") == 2


def test_a_change_waits_for_a_part_of_a_long_list_and_not_for_all_of_it(desk):
    desk.slow = False
    now(
        desk.store.commit(
            [access_request(f"ar-{number}") for number in range(3 * access_threaded.PAGE)]
        )
    )
    desk.slow, listed = True, []
    Deferred.fromCoroutine(desk.store.requests()).addCallback(listed.append)
    fate = desk.commit(use())
    desk.let_go()
    desk.let_go()
    assert (fate, listed) == ([2], [])
    while desk.held:
        desk.let_go()
    assert desk.calls[2:] == ["live", "commit", "live", "live", "live"]
    assert len(listed[0]) == 3 * access_threaded.PAGE


def test_each_of_them_is_judged_by_itself_in_the_order_in_which_they_came(desk):
    first = desk.commit(grant())
    one = grant(revision=1)
    fates = [
        desk.commit(replace(one, why="taken"), use("ex-1")),
        desk.commit(replace(one, why="taken too"), use("ex-2")),
        desk.commit(use("ex-3"), use("ex-1")),
        desk.commit(use("ex-3")),
    ]
    desk.let_go()
    desk.let_go()
    assert [first, *fates] == [[1], [2], [None], [None], [3]]
    desk.slow = False
    assert [each.id for each in now(desk.store.uses())] == ["ex-1", "ex-3"]
    assert now(desk.store.grant("g-1")).why == "taken"


def test_a_read_sees_what_was_committed_before_it_was_asked(desk):
    fate = desk.commit(grant())
    found = []
    desk.let_go()
    assert fate == [1]
    Deferred.fromCoroutine(desk.store.grant("g-1")).addCallback(found.append)
    desk.commit(grant(why="later", revision=1))
    desk.let_go()
    desk.let_go()
    assert found == [grant(revision=1)]


def test_whoever_no_longer_waits_keeps_nobody_else_waiting(desk):
    gone = Deferred.fromCoroutine(desk.store.commit([use("ex-1")]))
    stays = desk.commit(use("ex-2"))
    gone.cancel()
    gone.addErrback(lambda failure: failure.trap(CancelledError))
    desk.let_go()
    desk.let_go()
    assert stays == [2]


def test_a_disk_that_never_returns_lets_only_so_many_wait(desk):
    desk.commit(use("first"))
    fates = [desk.commit() for _ in range(QUEUE + 1)]
    assert [len(fate) for fate in fates[:QUEUE]] == [0] * QUEUE
    fates[QUEUE][0].trap(StoreDown)
    assert "keep up" in str(fates[QUEUE][0].value)
    desk.let_go()
    desk.let_go()


def test_it_is_closed_when_what_was_asked_is_written(desk):
    fates = [desk.commit(use(f"ex-{number}")) for number in range(3)]
    closed = Deferred.fromCoroutine(desk.store.close())
    late = desk.commit(use("late"))
    late[0].trap(StoreDown)
    while desk.held:
        desk.let_go()
    assert fates == [[1], [2], [3]]
    assert closed.called
    assert desk.calls == ["open", "commit", "commit", "close"]


# --- bad disks


def full(store):
    (pages,) = sql(store, "PRAGMA page_count")[0]
    sql(store, f"PRAGMA max_page_count = {pages}")


def read_only(store):
    sql(store, "PRAGMA query_only = ON")


def limited(store):
    """As a disk that takes no more: the system refuses to let any file grow."""
    size = beside(store._database._file, "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def mended(store):
    sql(store, "PRAGMA query_only = OFF")
    sql(store, "PRAGMA max_page_count = 1073741823")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


BIG = access_request("big", ask("big", shown=Shown("u", (), "secret-body " * 20_000, 1)))


@pytest.mark.parametrize(
    ("fails", "why"),
    [
        (full, "database or disk is full"),
        (read_only, "attempt to write a readonly database"),
        (limited, "disk I/O error"),
    ],
)
def test_a_disk_that_cannot_be_written_keeps_nothing_by_half_and_harms_nothing(store, fails, why):
    now(store.commit([grant()]))
    fails(store)
    try:
        for _ in range(2):
            with pytest.raises(
                StoreDown, match=rf"^The state database cannot be written: {why}\.$"
            ):
                now(store.commit([grant(revision=1, why="x"), use(), BIG]))
        assert now(everything(store)) == [grant(revision=1)]
    finally:
        mended(store)
    assert now(store.commit([grant(revision=1, why="x"), use(), BIG])) == 2
    assert len(now(everything(store))) == 3
    assert sql(store, "PRAGMA integrity_check") == [("ok",)]


def test_all_of_a_group_fail_with_the_disk_and_each_may_try_again(desk):
    fates = [desk.commit(use("first")), *(desk.commit(use(f"ex-{n}")) for n in range(5))]
    read_only(desk.store)
    desk.let_go()
    desk.let_go()
    assert {fate[0].type for fate in fates} == {StoreDown}
    assert len({id(fate[0].value) for fate in fates}) == 6
    mended(desk.store)
    fates = [desk.commit(use("first")), *(desk.commit(use(f"ex-{n}")) for n in range(5))]
    desk.let_go()
    desk.let_go()
    assert fates == [[number] for number in range(1, 7)]


def filled_up(store):
    """How many requests the disk took."""
    for number in range(1000):
        asked = ask(f"{number}", reason="x" * 9000)
        try:
            now(store.commit([access_request(f"ar-{number}", asked)]))
        except StoreDown as down:
            assert "disk is full" in str(down)
            return number
    raise AssertionError("the disk is not full")


@pytest.mark.needs_root
def test_a_full_disk_is_told_and_its_end_resumes(file):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", file.parent], check=True)
    try:
        store, _ = opened(file)
        kept = filled_up(store)
        assert kept > 10
        for _ in range(3):
            with pytest.raises(StoreDown, match="disk is full"):
                now(store.commit([replace(BIG, id="big")]))
            assert len(now(store.requests())) == kept
        subprocess.run(["mount", "-o", "remount,size=8m", file.parent], check=True)
        assert now(store.commit([BIG])) == kept + 1
        now(store.close())
        store, _ = opened(file)
        assert len(now(store.requests())) == kept + 1
        now(store.close())
    finally:
        subprocess.run(["umount", "-l", file.parent], check=True)


def test_somebody_elses_lock_is_waited_for_and_then_told(store, file):
    sql(store, "PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreDown, match="database is locked"):
            now(store.commit([grant()]))
        other.rollback()
    assert now(store.commit([grant()])) == 1


def test_of_two_gateways_on_one_database_one_takes_the_grant(store, file):
    other, _ = opened(file)
    now(store.commit([grant()]))
    takings = [access.taken(now(each.grant("g-1")), "ex", "f1", NOW) for each in (store, other)]
    assert now(other.commit(takings[1])) == 2
    assert now(store.commit(takings[0])) is None
    assert now(store.grant("g-1")).tally == {GrantState.IN_USE: 1}
    now(other.close())


# --- a database that is not where it was


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_file_that_is_taken_away_while_it_is_open_is_missed_at_once(store, file, suffix):
    now(store.commit([grant()]))
    path = beside(file, suffix)
    path.rename(file.with_name("away"))
    for ask_it in (
        lambda: store.commit([use()]),
        lambda: store.grant("g-1"),
        store.grants,
        lambda: store.mark("run-2", 9),
    ):
        with pytest.raises(StoreDown, match="no such file"):
            now(ask_it())
    file.with_name("away").rename(path)
    assert now(everything(store)) == [grant(revision=1)]


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_that_is_taken_away_while_it_is_written_keeps_nothing(store, file, suffix):
    path = beside(file, suffix)
    store._database._connection.set_trace_callback(
        lambda statement: statement == "COMMIT" and path.rename(file.with_name("away"))
    )
    with pytest.raises(StoreDown, match="no such file"):
        now(store.commit([use()]))
    store._database._connection.set_trace_callback(None)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_another_file_in_its_place_is_not_written_to(store, file, suffix):
    now(store.commit([grant()]))
    path = beside(file, suffix)
    shutil.copy2(path, file.with_name("copy"))
    path.unlink()
    file.with_name("copy").rename(path)
    with pytest.raises(StoreDown, match="taken away"):
        now(store.commit([use()]))
    with pytest.raises(StoreDown, match="taken away"):
        now(store.grants())


def test_it_is_at_home_where_it_was_written(file):
    store, mark = opened(file)
    assert mark == Mark(None, 0, moved=False)
    now(store.mark("run-1", 0))
    now(store.commit([grant()]))
    now(store.close())
    store, mark = opened(file)
    assert mark == Mark("run-1", 1, moved=False)
    now(store.close())


def moved_as_a_folder(file):
    """As a restored backup: the same bytes, another file."""
    copy = file.parent.with_name("restored")
    shutil.copytree(file.parent, copy)
    shutil.rmtree(file.parent)
    copy.rename(file.parent)


def copied_over(file):
    shutil.copy2(file, file.with_name("copy"))
    file.with_name("copy").replace(file)


@pytest.mark.parametrize(
    ("happens", "machine"),
    [(moved_as_a_folder, "m"), (copied_over, "m"), (lambda _: None, "another")],
    ids=["folder", "file", "machine"],
)
def test_elsewhere_it_says_that_it_has_moved_until_it_is_marked(file, happens, machine):
    store, _ = opened(file)
    now(store.mark("run-1", 0))
    now(store.commit([grant()]))
    now(store.close())
    happens(file)
    for _ in range(2):
        store, mark = opened(file, machine)
        assert mark == Mark("run-1", 1, moved=True, copied=True)
        assert recovery(mark, []).distrust
        assert now(store.grants()) == [grant(revision=1)]
        now(store.close())
    store, _ = opened(file, machine)
    now(store.mark("run-2", 1))
    now(store.close())
    store, mark = opened(file, machine)
    assert mark == Mark("run-2", 1, moved=False)
    now(store.close())


@pytest.mark.parametrize("lost", ["a copy put back", "the write-ahead log lost"])
def test_an_older_state_in_the_same_file_tells_an_older_number(file, lost):
    """The file is the one it was. That the record knows of more is for core.recovery to see."""
    store, _ = opened(file)
    now(store.mark("run-1", 0))
    now(store.commit([grant()]))
    now(store.close())
    older = file.read_bytes()
    store, _ = opened(file)
    now(store.commit([grant(revision=1, tally={GrantState.IN_USE: 1}), use()]))
    if lost == "the write-ahead log lost":
        older = file.read_bytes()
    now(store.close())
    file.write_bytes(older)
    store, mark = opened(file)
    assert mark == Mark("run-1", 1, moved=False)
    assert recovery(mark, [Entry("grant.spent", NOW, SPENT)]).distrust
    now(store.close())


SPENT = {"grant": "g-1", "use": "ex-1", "fingerprint": "f1", "revision": 2}


# --- files that are not what they should be


def test_a_file_that_is_no_database_is_not_touched(file):
    file.write_bytes(b"not a database, but somebody's notes. " * 200)
    file.chmod(0o600)
    before = file.read_bytes()
    with pytest.raises(StateUnusable, match=rf"{file} is damaged: move it away"):
        now(store_in(file).open())
    assert file.read_bytes() == before


def test_another_programs_database_is_not_touched(file):
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE theirs (a)")
    file.chmod(0o600)
    before = file.read_bytes()
    with pytest.raises(StateUnusable, match="another program's database"):
        now(store_in(file).open())
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def filled(file, count=200):
    store, _ = opened(file)
    for number in range(count):
        now(store.commit([access_request(f"ar-{number}")]))
    now(store.close())


PAGE, INDEX_LEAF = 4096, 10  # as the file format of SQLite has them (section 1.6)


@pytest.mark.parametrize("where", [0, 18, 100, PAGE, 3 * PAGE + 5, -PAGE, "an index"])
def test_a_damaged_database_is_found_when_it_is_opened(file, where):
    filled(file)
    data = bytearray(file.read_bytes())
    if where == "an index":
        where = max(at for at in range(0, len(data), PAGE) if data[at] == INDEX_LEAF) + PAGE - 1024
    start = where % len(data)
    data[start : start + 512] = bytes(each ^ 0xFF for each in data[start : start + 512])
    file.write_bytes(data)
    with pytest.raises(StateUnusable, match=r"is damaged|newer|cannot be opened"):
        now(store_in(file).open())


def test_a_database_that_was_cut_is_found_when_it_is_opened(file):
    filled(file)
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(StateUnusable, match="is damaged"):
        now(store_in(file).open())


def test_damage_that_comes_while_it_is_open_is_a_fault(file):
    filled(file)
    store, _ = opened(file)
    with file.open("r+b") as opened_file:
        opened_file.seek(2 * 4096)
        opened_file.write(b"\xff" * (file.stat().st_size - 3 * 4096))
    sql(store, "PRAGMA shrink_memory")
    with pytest.raises(StoreDown, match="malformed"):
        now(store.requests())


@pytest.mark.parametrize(
    "document", [b"", b"{}", b"null", b"\xff", b'{"id":"ar-1","secret":"secret-1"}', None]
)
def test_what_cannot_be_read_is_named_and_not_told(store, document):
    revision = now(store.commit([access_request("ar-1", ask(reason="secret-1")), grant()]))
    if document is None:  # that of another
        now(store.commit([access_request("ar-2", ask("f2", reason="secret-1"))]))
        (document,) = sql(store, "SELECT document FROM kept WHERE id = 'ar-2'")[0]
    connection = store._database._connection
    connection.execute("UPDATE kept SET document = ? WHERE id = 'ar-1'", (document,))
    for ask_it in (lambda: store.request("ar-1"), store.requests):
        with pytest.raises(StoreDown) as raised:
            now(ask_it())
        assert str(raised.value) == "The request 'ar-1' cannot be read from the state database."
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert now(store.grants()) == [grant(revision=revision)]


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_a_database_of_any_older_version_is_brought_to_this_one_with_what_is_in_it(file, version):
    filled(file)
    store, _ = opened(file)
    before = now(store.grants()), now(store.requests())
    rows = sql(store, "SELECT * FROM kept"), sql(store, "SELECT run, revision FROM mark")
    now(store.close())
    file.unlink()
    file.touch(mode=0o600)
    older = sqlite3.connect(file)
    for statement in itertools.chain(*MIGRATIONS[:version]):
        older.execute(statement)
    older.executemany("INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows[0])
    older.executemany("UPDATE mark SET run = ?, revision = ?", rows[1])
    older.execute(f"PRAGMA application_id = {APPLICATION}")
    older.execute(f"PRAGMA user_version = {version}")
    older.commit()
    older.close()
    store, _ = opened(file)
    assert (now(store.grants()), now(store.requests())) == before
    assert sql(store, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    now(store.commit([grant("g-9")]))
    now(store.close())


def test_a_newer_database_is_left_alone(file):
    store, _ = opened(file)
    sql(store, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    now(store.close())
    before = file.read_bytes()
    with pytest.raises(StateUnusable, match=r"newer jitgate.*run that one, or take a new state"):
        now(store_in(file).open())
    assert file.read_bytes() == before


def test_a_file_that_a_crash_left_empty_is_taken_up(file):
    file.touch(mode=0o600)
    store, mark = opened(file)
    assert mark == Mark()
    assert now(store.commit([grant()])) == 1
    now(store.close())


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StoreDown, match="cannot be opened: no such file or directory"):
        now(store_in(tmp_path / "none" / "state.db").open())


@pytest.mark.parametrize("name", ["state?mode=memory.db", "a#b%20.db", "ü 'x'.db"])
def test_its_name_may_be_any(file, name):
    store, _ = opened(file.with_name(name))
    now(store.commit([grant()]))
    assert file.with_name(name) in file.parent.iterdir()
    now(store.close())
