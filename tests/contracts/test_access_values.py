"""Every value comes back as it was, and SQLite does what memory does, whatever is done."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from support.access import (
    access_request,
    ask,
    at_once,
    everything,
    grant,
    kept_as,
    now,
    subject,
    use,
)

from jitgate.errors import StoreDown
from jitgate.stores.access_documents import document, read
from jitgate.stores.access_memory import MemoryAccess
from jitgate.stores.access_postgres import PostgresAccess
from jitgate.stores.access_sqlite import SqliteAccess
from jitgate.values import (
    AccessRequest,
    AccessState,
    Answer,
    Ask,
    Escalation,
    Given,
    Grant,
    GrantState,
    Less,
    Operation,
    Presence,
    Quorum,
    ResourceName,
    Risk,
    Shown,
    Subject,
    Terms,
    Use,
)

TEXTS = st.text() | st.sampled_from(
    ["", "\0", "a\0b", '"', "'; DROP TABLE kept; --", "\\", "\x7f\x85\u2028", "\ufeff", "𝒳", "NULL"]
)
NUMBERS = st.integers(0, 2**63 - 1)
TIMES = st.floats(allow_nan=False, allow_infinity=False)


def tuples(of, most=3):
    return st.lists(of, max_size=most).map(tuple)


SUBJECTS = st.builds(
    Subject,
    issuer=TEXTS,
    id=TEXTS,
    groups=st.frozensets(TEXTS, max_size=3),
    expires_at=TIMES,
    humans=tuples(TEXTS),
    session=st.none() | TEXTS,
)
OPERATIONS = st.builds(
    Operation,
    target=TEXTS,
    action=TEXTS,
    resource=st.dictionaries(TEXTS, TEXTS, max_size=3),
    method=st.sampled_from(["GET", "POST"]),
    authority=TEXTS,
    path=TEXTS,
    query=TEXTS,
    scopes=tuples(TEXTS),
    secrets=st.frozensets(TEXTS, max_size=3),
    risk=st.none() | st.sampled_from(Risk),
    parameters=st.dictionaries(TEXTS, TEXTS, max_size=3),
    in_body=tuples(TEXTS),
    json=st.booleans(),
    by_name=st.booleans(),
)
ESCALATIONS = st.builds(Escalation, TIMES, tuples(TEXTS))
QUORUMS = st.builds(
    Quorum, tuples(TEXTS), NUMBERS, tuples(ESCALATIONS), st.booleans(), denials=NUMBERS
)
TERMS = st.builds(Terms, quorums=tuples(QUORUMS), uses=NUMBERS, life=TIMES)
SHOWN = st.builds(
    Shown,
    url=TEXTS,
    headers=tuples(st.tuples(TEXTS, TEXTS)),
    body=st.none() | TEXTS | st.just('"\\é\0' * 40_000),
    length=NUMBERS,
    names=st.dictionaries(
        TEXTS, st.builds(ResourceName, st.none() | TEXTS, TEXTS, st.none() | TEXTS), max_size=3
    ),
)
ASKS = st.builds(
    Ask,
    subject=SUBJECTS,
    operation=OPERATIONS,
    fingerprint=TEXTS,
    terms=TERMS,
    rule=TEXTS,
    reason=TEXTS,
    policy=TEXTS,
    session=TEXTS,
    exchange=TEXTS,
    shown=SHOWN,
)
ANSWERS = st.builds(
    Answer,
    approver=TEXTS,
    approves=st.booleans(),
    at=TIMES,
    channel=TEXTS,
    reason=TEXTS,
    less=st.none() | st.builds(Less, st.none() | NUMBERS, st.none() | TIMES, st.booleans()),
)
REQUESTS = st.builds(
    AccessRequest,
    id=TEXTS,
    ask=ASKS,
    opened_at=TIMES,
    expires_at=TIMES,
    state=st.sampled_from(AccessState),
    presence=st.sampled_from(Presence),
    away_until=st.none() | TIMES,
    recalls=NUMBERS,
    answers=tuples(ANSWERS),
    grant=st.none() | TEXTS,
    why=TEXTS,
    asked=NUMBERS,
    escalated=TIMES,
    revision=st.just(0),
    gateway=TEXTS,
)
GRANTS = st.builds(
    Grant,
    id=TEXTS,
    access_request=TEXTS,
    ask=ASKS,
    approved_by=tuples(TEXTS),
    made_at=TIMES,
    expires_at=TIMES,
    tally=st.dictionaries(st.sampled_from(GrantState), NUMBERS),
    why=TEXTS,
    revision=st.just(0),
    less=st.none() | st.builds(Given, NUMBERS, TIMES, st.booleans()),
)
USES = st.builds(
    Use,
    id=TEXTS,
    grant=TEXTS,
    fingerprint=TEXTS,
    taken_at=TIMES,
    state=st.sampled_from(GrantState),
    revision=st.just(0),
    gateway=TEXTS,
)


def fast_folder():
    """A folder in memory where there is one: what is tried a thousand times needs no disk."""
    memory = Path("/dev/shm")  # noqa: S108 (its names are random, and it is ours alone)
    return Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))


@pytest.fixture(scope="module")
def folder():
    path = fast_folder()
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("values", [REQUESTS, GRANTS, USES], ids=["requests", "grants", "uses"])
@pytest.mark.parametrize("driver", ["memory", "sqlite", "postgres"])
def test_every_value_comes_back_as_it_was(request, folder, driver, values):
    server = request.getfixturevalue("postgres").server() if driver == "postgres" else None

    def made():
        if driver == "memory":
            return MemoryAccess()
        if driver == "postgres":
            return PostgresAccess(server, in_thread=at_once, gateway="g", site=b"s")
        file = folder / "state.db"
        file.unlink(missing_ok=True)
        return sqlite(file)

    @settings(max_examples=settings().max_examples // (4 if driver == "postgres" else 1))
    @given(value=values)
    def comes_back(value):
        store = made()
        now(store.open())
        if driver == "postgres":
            with store.database.transaction() as connection:
                connection.execute("TRUNCATE kept")
                connection.execute("UPDATE mark SET revision = 0")
        assert now(store.commit([value])) == 1
        again = now(kept_as(store, value))
        assert again == replace(value, revision=1)
        assert now(store.commit([again])) == 2
        listed = now(everything(store))
        assert listed in ([], [replace(value, revision=2)])
        if isinstance(value, AccessRequest) and listed:
            asked = value.ask
            assert now(store.pending(asked.subject.key, asked.fingerprint)) == listed[0]
        now(store.close())

    comes_back()


def sqlite(file):
    return SqliteAccess(file, in_thread=at_once, machine="m")


OF_PEOPLE = {"asked", "escalated", "less", "escalations", "reason", "denials"}
OF_SEVERAL = {"gateway"}
OF_NAMES = {"names"}


@pytest.mark.parametrize(
    "later", [OF_PEOPLE | OF_SEVERAL | OF_NAMES, OF_PEOPLE, OF_SEVERAL, OF_NAMES]
)
@pytest.mark.parametrize(
    "value", [access_request(), grant(), use()], ids=["request", "grant", "use"]
)
def test_what_an_older_version_kept_is_read_as_what_it_meant(value, later):
    """Members that came later are missing in it: all that policy offered was given, asked once,
    there was one gateway, and nothing was looked up."""

    def older(content):
        if isinstance(content, dict):
            quorum = content.keys() >= {"groups", "count"}
            gone = later if quorum else later - {"reason"}  # an ask has a reason of its own
            return {name: older(each) for name, each in content.items() if name not in gone}
        return [older(each) for each in content] if isinstance(content, list) else content

    kept = json.dumps(older(json.loads(document(value)))).encode()
    assert not any(f'"{name}"'.encode() in kept for name in later - {"reason"})
    assert read(type(value), value.id, 0, kept) == value


# --- SQLite does what memory does, whatever is done


@st.composite
def changes(draw):
    """Values of few ids, few agents and few calls, so that they get in each other's way."""
    asked = ask(
        draw(st.sampled_from(["f1", "f2"])), subject=subject(id=draw(st.sampled_from("xy")))
    )
    key, time = draw(st.sampled_from("abc")), draw(st.sampled_from([1.0, 2.0, 2.5]))
    states = st.lists(st.sampled_from(GrantState), min_size=1, max_size=2)
    value = draw(
        st.sampled_from(
            [
                access_request(
                    key, asked, opened_at=time, state=draw(st.sampled_from(AccessState))
                ),
                grant(key, asked=asked, made_at=time, tally=dict.fromkeys(draw(states), 1)),
                use(key, draw(st.sampled_from("abc")), taken_at=time, state=draw(states)[0]),
            ]
        )
    )
    return value, draw(st.sampled_from([0, 0, 0, 0, 1, -1]))


class SameAsMemory(RuleBasedStateMachine):
    """The second store is one that outlives its process."""

    @initialize()
    def begin(self):
        self.prepare()
        self.stores = [MemoryAccess(), self.made()]
        self.both(lambda store: store.open())

    def prepare(self):
        self.folder = fast_folder()
        self.file = self.folder / "state.db"

    def made(self):
        return sqlite(self.file)

    def breaks(self):
        self.file.rename(self.folder / "away")

    def mends(self):
        (self.folder / "away").rename(self.file)

    def remove(self):
        shutil.rmtree(self.folder)

    def both(self, act):
        """What both answer."""
        in_memory, kept = (now(act(store)) for store in self.stores)
        assert in_memory == kept
        return in_memory

    @rule(chosen=st.lists(changes(), max_size=4))
    def commit(self, chosen):
        values = []
        for value, off in chosen:
            current = self.both(lambda store, value=value: kept_as(store, value))
            revision = 0 if current is None else current.revision
            values.append(replace(value, revision=max(0, revision + off)))
        self.both(lambda store: store.commit(values))

    @rule(before=st.sampled_from([0.0, 2.0, 2.25, 3.0]))
    def forget(self, before):
        self.both(lambda store: store.forget(before))

    @rule(run=st.sampled_from(["run-1", "run-2"]), revision=st.integers(0, 20))
    def mark(self, run, revision):
        self.both(lambda store: store.mark(run, revision))

    @rule()
    def reopen(self):
        self.both(lambda store: store.close())
        self.stores[1] = self.made()
        self.both(lambda store: store.open())

    @rule()
    def fail(self):
        """What fails changes nothing."""
        self.stores[0].failure = OSError()
        self.breaks()
        for store in self.stores:
            with pytest.raises(StoreDown):
                now(store.commit([access_request("d")]))
        self.stores[0].failure = None
        self.mends()

    @invariant()
    def they_list_the_same(self):
        if not hasattr(self, "stores"):
            return
        self.both(everything)
        for whose in "xy":
            who = subject(id=whose).key
            self.both(lambda store, who=who: store.grants(who))
            for fingerprint in ("f1", "f2"):
                self.both(lambda store, who=who, f=fingerprint: store.pending(who, f))

    def teardown(self):
        if hasattr(self, "stores"):
            self.both(lambda store: store.close())
            self.remove()


TestSameAsMemory = SameAsMemory.TestCase
TestSameAsMemory.settings = settings(stateful_step_count=30)


def test_postgresql_does_what_memory_does_too(postgres):
    class SameInPostgres(SameAsMemory):
        def prepare(self):
            self.server = postgres.server()

        def made(self):
            return PostgresAccess(self.server, in_thread=at_once, gateway="g", site=b"s")

        def breaks(self):
            """It is not what is tried here: the contract's own tests shut a gateway out."""
            self.stores[1].database._link.down = "The test says so."
            self.stores[1].database._link._opened = False

        def mends(self):
            self.stores[1].database._link._opened = True

        def remove(self):
            with postgres.admin() as connection:
                connection.execute(f"DROP SCHEMA {self.server.schema} CASCADE")

    steps = settings(stateful_step_count=15, max_examples=max(12, settings().max_examples // 8))
    run_state_machine_as_test(SameInPostgres, settings=steps)


def test_a_document_from_before_operations_had_parameters_is_read():
    kept = json.loads(document(grant()))
    for name in ("risk", "parameters", "in_body", "json", "by_name"):
        del kept["ask"]["operation"][name]
    assert read(Grant, "g-1", 0, json.dumps(kept).encode()) == grant()
