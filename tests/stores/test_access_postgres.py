"""What PostgreSQL adds to the contract: several gateways, a server that fails, and who it is."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from pytest_twisted import ensureDeferred
from support.access import NOW, access_request, at_once, grant, now, use
from support.counterparts import TestCA
from support.postgres import PASSWORD, cutting, front, running
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread

from jitgate.core import access
from jitgate.core.recovery import DOUBTED, recovery
from jitgate.errors import StateUnusable, StoreDown
from jitgate.stores.access_documents import Row, columns, document
from jitgate.stores.access_postgres import PostgresAccess
from jitgate.stores.budgets_postgres import PostgresBudgets
from jitgate.stores.once_postgres import PostgresOnce
from jitgate.stores.postgres_link import Server
from jitgate.stores.postgres_news import PostgresNews
from jitgate.stores.postgres_schema import migrations
from jitgate.values import Changed, Charge, GrantState, Mark, SecretAt

SITE = b"the site's"


@pytest.fixture
def opener(postgres):
    """Makes stores over one schema; all are closed in the end."""
    server, stores = postgres.server(), []

    def opened(gateway="a", site=SITE, **more):
        store = PostgresAccess(
            postgres.server(server.schema, **more), in_thread=at_once, gateway=gateway, site=site
        )
        stores.append(store)
        store.mark_found = now(store.open())
        return store

    opened.schema = server.schema
    yield opened
    for store in stores:
        now(store.close())


# --- several at once


def test_of_two_gateways_that_take_the_last_use_at_once_one_does(opener):
    stores = [opener("a"), opener("b")]
    for number in range(20):
        now(stores[0].commit([grant(f"g-{number}")]))
        current = now(stores[0].grant(f"g-{number}"))
        together = threading.Barrier(2)

        def take(each, current=current, together=together, number=number):
            gateway, store = each
            taking = access.taken(current, f"x-{gateway}-{number}", "f1", NOW, gateway)
            together.wait()
            return now(store.commit(taking))

        with ThreadPoolExecutor(2) as pool:
            fates = list(pool.map(take, zip("ab", stores, strict=True)))
        assert sum(fate is not None for fate in fates) == 1
        assert now(stores[1].grant(f"g-{number}")).tally == {GrantState.IN_USE: 1}


def test_of_two_gateways_that_take_the_last_room_at_once_one_does(opener):
    clock = Clock()
    stores = [opener("a"), opener("b")]
    both = [PostgresBudgets(each.database, in_thread=at_once, clock=clock) for each in stores]
    for number in range(20):
        charge = Charge(f"rule {number}", 1, 60.0)
        together = threading.Barrier(2)

        def take(budgets, charge=charge, together=together):
            together.wait()
            return now(budgets.take([charge]))

        with ThreadPoolExecutor(2) as pool:
            full = list(pool.map(take, both))
        assert sorted(each is None for each in full) == [False, True]


def test_of_many_that_come_first_at_once_each_finds_the_tables(opener):
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(opener, "abcd"))
    assert all(store.mark_found == Mark() for store in stores)
    assert now(stores[0].commit([grant()])) == 1
    assert now(stores[3].grant("g-1")) is not None


def test_each_gateway_has_its_own_run_and_all_have_one_count(opener):
    one, other = opener("a"), opener("b")
    now(one.mark("run-a", 0))
    now(other.mark("run-b", 7))
    now(one.commit([grant()]))
    for store in (one, other):
        now(store.close())
    assert opener("a").mark_found == Mark("run-a", 8)
    assert opener("b").mark_found == Mark("run-b", 8)
    assert opener("c").mark_found == Mark(None, 8)


def test_whoever_has_another_site_key_is_refused(opener):
    opener("a")
    with pytest.raises(StateUnusable, match="site-hmac.key"):
        opener("b", site=b"another")


def test_two_of_one_name_do_not_run_at_once(opener):
    one = opener("a")
    with pytest.raises(StateUnusable, match="Another gateway"):
        opener("a")
    now(one.close())
    opener("a")


def test_a_use_is_kept_with_the_gateway_that_carries_it_out(opener):
    now(opener("a").commit([use(gateway="a"), access_request(gateway="a")]))
    other = opener("b")
    assert now(other.use("ex-1")).gateway == now(other.request("ar-1")).gateway == "a"


# --- whether it is the one that was last written


def test_a_start_that_did_not_trust_it_and_ended_early_is_remembered_for_all(opener):
    one = opener("a")
    now(one.mark("run-a", 0))
    now(one.mark(DOUBTED, 0))
    other = opener("b")
    assert recovery(other.mark_found, ()).distrust is not None
    now(other.mark("run-b", 0))
    assert opener("c").mark_found == Mark()


def put_back(postgres, schema):
    """The table as a dump would make it anew, with what was in it."""
    with postgres.admin() as connection:
        for statement in (
            "CREATE TABLE {0}.again (LIKE {0}.mark INCLUDING ALL)",
            "INSERT INTO {0}.again SELECT * FROM {0}.mark",
            "DROP TABLE {0}.mark",
            "ALTER TABLE {0}.again RENAME TO mark",
            "ALTER TABLE {0}.mark OWNER TO jitgate",
        ):
            connection.execute(statement.format(schema))


def cut(postgres):
    """End every connection, as a server does that is started again."""
    with postgres.admin() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE usename = 'jitgate'"
        )


@pytest.mark.parametrize("gateway", ["a", "b"])
def test_a_dump_that_was_put_back_is_told_to_whoever_comes_first_known_or_not(
    postgres, opener, gateway
):
    one = opener("a")
    now(one.mark("run-a", 0))
    now(one.close())
    put_back(postgres, opener.schema)
    assert opener(gateway).mark_found.moved
    assert "restored" in recovery(Mark(None, 0, moved=True), ()).distrust


def test_while_a_gateway_runs_a_dump_that_was_put_back_stops_it(postgres, opener):
    one = opener("a")
    now(one.mark("run-a", 0))
    put_back(postgres, opener.schema)
    cut(postgres)
    for _ in range(2):
        with pytest.raises(StoreDown, match="restart the gateway"):
            now(one.grants())
        time.sleep(0.3)


def test_while_a_gateway_runs_a_database_that_has_gone_back_stops_it(postgres, opener):
    one = opener("a")
    now(one.commit([grant()]))
    other = opener("b")
    now(other.commit([grant("g-2")]))
    assert now(one.grant("g-2")).revision == 2  # which it knows of the other alone
    with postgres.admin() as connection:
        connection.execute(f"SET search_path = {opener.schema}")
        connection.execute("UPDATE mark SET revision = 1")
    cut(postgres)
    with pytest.raises(StoreDown, match="restart the gateway"):
        now(one.grants())
    with pytest.raises(StoreDown, match="restart the gateway"):
        now(other.grants())


def test_tables_of_the_version_before_are_brought_up_to_date_with_what_they_hold(postgres):
    server = postgres.server()
    with postgres.admin() as connection:
        connection.execute(f"CREATE SCHEMA {server.schema} AUTHORIZATION jitgate")
        connection.execute("SET ROLE jitgate")
        connection.execute(f"SET search_path = {server.schema}")
        connection.execute("CREATE TABLE version (number integer PRIMARY KEY, since timestamptz)")
        connection.execute(migrations()[0])
        connection.execute("INSERT INTO version VALUES (1, now())")
        row = Row(columns(access_request("ar-1")), 0, document(access_request("ar-1")))
        values = (*row.columns[:2], True, NOW, "s", "f", None, 1, row.document)
        connection.execute(
            "INSERT INTO kept VALUES (%s, convert_to(%s, 'UTF8'), %s, %s, convert_to(%s, 'UTF8'), "
            "convert_to(%s, 'UTF8'), %s, %s, %s)",
            values,
        )
    store = PostgresAccess(server, in_thread=at_once, gateway="a", site=SITE)
    now(store.open())
    assert [each.id for each in now(store.requests())] == ["ar-1"]
    now(store.close())


def test_how_a_statement_is_carried_out_is_planned_for_the_tables_as_they_are(opener):
    """What is planned once, for tables that are empty, reads all of them when they are full."""
    store = opener("a")
    for number in range(20):
        now(store.commit([access_request(f"ar-{number}")]))
    with store.database.transaction() as connection:
        once, anew = connection.execute(
            "SELECT sum(generic_plans), sum(custom_plans) FROM pg_prepared_statements "
            "WHERE cardinality(parameter_types) > 0"  # what has none can only be planned once
        ).fetchone()
    assert once == 0
    assert anew > 20


def test_one_of_a_newer_version_is_left_alone(postgres, opener):
    now(opener("a").close())
    with postgres.admin() as connection:
        connection.execute(f"SET search_path = {opener.schema}")
        connection.execute("INSERT INTO version VALUES (%s, now())", (len(migrations()) + 1,))
    with pytest.raises(StateUnusable, match="newer jitgate"):
        opener("a")


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_server_that_may_lose_what_it_says_is_kept_is_refused(postgres, opener, setting):
    with postgres.admin() as connection:

        def change(how):
            connection.execute(f"ALTER SYSTEM {how}")
            connection.execute("SELECT pg_reload_conf()")
            time.sleep(0.3)  # it says so at once, and does it soon

        change(f"SET {setting} = off")
        try:
            with pytest.raises(StateUnusable, match=f"{setting} = off"):
                opener("a")
        finally:
            change(f"RESET {setting}")


# --- who it is, and as whom the gateway comes


def test_a_role_that_may_do_no_more_than_use_its_own_schema_will_do(postgres, opener):
    with postgres.admin() as connection:
        connection.execute("ALTER DATABASE jitgate OWNER TO postgres")
        try:
            with pytest.raises(StoreDown, match="permission denied"):
                opener("a")
            connection.execute(f"CREATE SCHEMA {opener.schema} AUTHORIZATION jitgate")
            assert now(opener("a").commit([grant()])) == 1
        finally:
            connection.execute("ALTER DATABASE jitgate OWNER TO jitgate")


def secret(folder, text):
    file = folder / "password"
    file.touch(mode=0o600)
    file.write_text(text)
    return file


def test_over_the_network_it_comes_with_its_password(opener, tmp_path):
    password = secret(tmp_path, f"{PASSWORD}\n")
    store = opener("a", host="127.0.0.1", password=password)
    assert now(store.commit([grant()])) == 1
    now(store.close())
    password.write_text("another")
    with pytest.raises(StoreDown) as refused:
        opener("a", host="127.0.0.1", password=password)
    assert "127.0.0.1" not in f"{refused.value}", "agents see what is said of it"
    password.write_bytes(b"\xff")
    with pytest.raises(StateUnusable, match="holds no text"):
        opener("a", host="127.0.0.1", password=password)


def test_its_password_may_stand_wherever_a_secret_may(opener, monkeypatch):
    monkeypatch.setenv("JITGATE_TESTS_PASSWORD", PASSWORD)
    secret_at = SecretAt("env", "JITGATE_TESTS_PASSWORD")
    for _ in range(2):  # it is taken out of the environment with the first connection
        now(opener("a", host="127.0.0.1", password=secret_at).close())


ELSEWHERE = {
    "PGHOST": "127.0.0.9",
    "PGHOSTADDR": "127.0.0.9",
    "PGPORT": "1",
    "PGDATABASE": "template1",
    "PGUSER": "postgres",
    "PGSSLMODE": "require",
    "PGOPTIONS": "-c search_path=public -c statement_timeout=0",
    "PGTARGETSESSIONATTRS": "standby",
}


@pytest.mark.parametrize("host", ["127.0.0.1", None], ids=["address", "socket"])
def test_the_environment_leads_it_nowhere_else(opener, tmp_path, monkeypatch, host):
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    more = {} if host is None else {"host": host, "password": secret(tmp_path, PASSWORD)}
    store = opener("a", **more)
    assert now(store.commit([grant()])) == 1
    with store.database.transaction() as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("5s",)


def test_who_is_trusted_vouches_for_the_servers_name_or_nothing_is_said_to_it(
    postgres, opener, tmp_path
):
    ca, other = (TestCA.create(tmp_path, name=name) for name in ("one", "two"))
    with front(postgres, ca.leaf("localhost")) as port:
        store = opener("a", host="localhost", port=port, trust=ca.pem)
        assert now(store.commit([grant()])) == 1
        now(store.close())
        with pytest.raises(StoreDown):
            opener("a", host="localhost", port=port, trust=other.pem)
        with pytest.raises(StoreDown):
            opener("a", host="127.0.0.1", port=port, trust=ca.pem)
    with pytest.raises(StoreDown):  # a server that speaks no TLS
        opener("a", host="localhost", port=postgres.port, trust=ca.pem)


# --- a server that fails


def test_a_server_that_stands_still_holds_nobody_up_for_long():
    with running() as server:
        store = PostgresAccess(server.server(), in_thread=at_once, gateway="a", site=SITE)
        now(store.open())
        now(store.commit([grant()]))
        server.signal(signal.SIGSTOP)
        begun = time.monotonic()
        for _ in range(100):  # those who come after the first wait no longer
            with pytest.raises(StoreDown):
                now(store.grants())
        took = time.monotonic() - begun
        server.signal(signal.SIGCONT)
        assert took < 30
        assert store.database.down is not None
        for _ in range(100):
            try:
                found = now(store.grants())
                break
            except StoreDown:
                time.sleep(0.1)
        assert [each.id for each in found] == ["g-1"]
        assert store.database.down is None
        now(store.close())


def test_a_gateway_that_stands_still_within_a_change_holds_the_others_up_for_no_longer(
    postgres, opener
):
    one, other = opener("a"), opener("b")
    with one.database.transaction() as connection:
        connection.execute("SELECT FROM mark FOR UPDATE")
        with pytest.raises(StoreDown, match="lock timeout"):
            now(other.commit([grant()]))
    assert now(other.commit([grant()])) == 1


def test_a_server_that_takes_no_more_changes_is_given_up_and_another_looked_for(postgres, opener):
    store = opener()
    with postgres.read_only():
        for number in range(1000):  # each process of the server hears of it in its own time
            with suppress(StoreDown):
                now(store.commit([grant(f"g{number}")]))
                continue
            break
        assert "read-only" in f"{store.database.down}"
        with pytest.raises(StoreDown):
            now(store.grants())
    assert now(store.commit([grant("g-1")])) is not None
    assert store.database.down is None


@pytest.mark.parametrize("after", [True, False], ids=["done", "not done"])
def test_a_change_whose_end_was_not_heard_of_is_asked_after(postgres, opener, tmp_path, after):
    password = secret(tmp_path, PASSWORD)
    cut_with = []
    with cutting(postgres, cut_with) as port:
        store = opener("a", host="127.0.0.1", port=port, password=password)
        cut_with.append(after)
        if after:
            assert now(store.commit([grant()])) == 1
        else:
            with pytest.raises(StoreDown, match="no connection"):
                now(store.commit([grant()]))
        assert (now(store.grant("g-1")) is not None) == after


# --- what is told


class Ear:
    """What a gateway hears."""

    def __init__(self, store, gateway):
        self.heard = []
        self.news = PostgresNews(store.database, gateway, in_thread=deferToThread, reactor=reactor)

    async def until(self, wanted):
        for _ in range(1000):
            if wanted in self.heard:
                return
            await deferLater(reactor, 0.02)
        raise AssertionError(self.heard)


@ensureDeferred
async def test_what_one_changes_the_others_hear_of_and_not_it_itself(opener):
    one, other = opener("a"), opener("b")
    mine, theirs = Ear(one, "a"), Ear(other, "b")
    try:
        for ear in (mine, theirs):
            await ear.news.start(ear.heard.append)
        await one.commit([access_request(), grant(), use()])
        await theirs.until([Changed("request", "ar-1"), Changed("grant", "g-1")])
        once = PostgresOnce(other.database, in_thread=at_once, clock=reactor)
        await once.take("revoked-subject", "bot-7", time.time() + 60)
        await mine.until([Changed("once", "revoked-subject")])
        assert len(mine.heard) == len(theirs.heard) == 1
    finally:
        await mine.news.stop()
        await theirs.news.stop()


@ensureDeferred
async def test_what_does_not_fit_into_one_notification_is_told_in_several(opener):
    one, ear = opener("a"), Ear(opener("b"), "b")
    try:
        await ear.news.start(ear.heard.append)
        await one.commit([grant(f"g-{number}") for number in range(1000)])
        await one.commit([grant("x" * 9000)])
        await ear.until(None)
        told = {change.id for changes in ear.heard[:-1] for change in changes}
        assert told == {f"g-{number}" for number in range(1000)}
        assert len(ear.heard) > 2
    finally:
        await ear.news.stop()


@ensureDeferred
async def test_once_it_can_hear_again_it_says_that_something_may_be_missed(postgres, opener):
    ear = Ear(opener("b"), "b")
    try:
        await ear.news.start(ear.heard.append)
        postgres.shut_out()
        await deferLater(reactor, 0.5)
        assert ear.heard == []
        postgres.let_in()
        await ear.until(None)
        now(opener("a").commit([grant()]))
        await ear.until([Changed("grant", "g-1")])
    finally:
        await ear.news.stop()


@pytest.mark.parametrize("payload", ["", "nonsense", "[]", '["a", 7]', '["a", [["grant"]]]', "{}"])
@ensureDeferred
async def test_a_notification_that_is_none_is_a_reason_to_look(postgres, opener, payload):
    ear = Ear(opener("b"), "b")
    try:
        await ear.news.start(ear.heard.append)
        with postgres.admin() as connection:
            connection.execute("SELECT pg_notify(%s, %s)", (opener.schema, payload))
        await ear.until(None)
    finally:
        await ear.news.stop()


def test_without_a_server_there_is_no_start(tmp_path):
    server = Server(f"{tmp_path}", 5432, "jitgate", "jitgate")
    store = PostgresAccess(server, in_thread=at_once, gateway="a", site=SITE)
    with pytest.raises(StoreDown, match="cannot be reached"):
        now(store.open())
