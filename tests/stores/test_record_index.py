import os
import re
import sqlite3
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores.site import START, Site, crash
from vectors.recording import make as vector

from jitgate.core.globs import globs_matcher
from jitgate.errors import StateUnusable
from jitgate.stores.facets import FACETS, facets
from jitgate.stores.findings import Progress
from jitgate.stores.index_place import IndexPlace, place_for, usual_place
from jitgate.stores.index_search import Wanted, phrase
from jitgate.stores.lines import timestamp
from jitgate.stores.reading import Recording, Sorter, sessions
from jitgate.values import Body, Entry

VECTOR = Path(vector.__file__).parent / "recordings"
SUBJECT = {"issuer": "https://issuer.example", "id": "bot-7", "groups": [], "humans": []}


def call(number, *, session="s", action="getUser", effect="permit", subject=SUBJECT):
    return Entry(
        "decision",
        START + number,
        {
            "exchange": f"x-{number}",
            "session": session,
            "subject": subject,
            "operation": {"target": "okta", "action": action, "method": "GET", "url": "/"},
            "effect": effect,
        },
    )


def outcome(number, *, session="s", status=200, word="completed", body=None, masked=()):
    bodies = {} if body is None else {"response": Body(body, len(body), complete=True)}
    hits = [{"path": path, "rule": rule, "hmac": "9f"} for path, rule in masked]
    fields = {"exchange": f"x-{number}", "session": session, "status": status, "outcome": word}
    return Entry("outcome", START + number, fields | {"masked": hits, "masks": {}}, bodies)


@pytest.fixture
def look(site, tmp_path):
    """Searches; the exchanges that are found."""

    def searching(wanted, **more):
        *_, found = IndexPlace(tmp_path / "index", site.folder).search(wanted, **more)
        return sorted(name for session in found for name in session.exchanges)

    return searching


@pytest.fixture
def index(tmp_path):
    return lambda suffix: next((tmp_path / "index").glob(f"*.{suffix}"))


@pytest.fixture
def filled(site):
    """Four calls: one read, one that was answered by people, one denied, one that never ended."""
    run = site.run()
    asked = {"access_request": "a-1", "session": "s"}
    run.append(
        [
            call(1),
            outcome(
                1,
                body=b'{"login": "jane@acme.com", "n": 1.10, "name": "Jos\\u00e9 Doe"}',
                masked=[("$['profile']['ssn']", "okta"), ("header x-api-key", "okta/jwt")],
            ),
            call(2, action="deactivateUser", effect="review"),
            Entry("access.opened", START + 2, {**asked, "exchange": "x-2", "subject": SUBJECT}),
            Entry("access.answered", START + 3, {**asked, "approver": "alice@acme.com"}),
            Entry(
                "grant.spent",
                START + 4,
                {"grant": "g", "session": "s", "exchange": "x-2", "approved_by": ["bob@acme.com"]},
            ),
            outcome(2, status=204, masked=[("$['it\\'s'][0]", "okta")]),
            call(3, session="t", effect="deny", action="assignRole"),
            outcome(3, session="t", status=403, word="denied"),
            call(4, session="t"),
        ]
    )
    run.close()
    return site


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["x-1", "x-2", "x-3", "x-4"]),
        ({"subject": ["BOT-*"]}, ["x-1", "x-2", "x-3", "x-4"]),
        ({"subject": ["bot"]}, []),
        ({"target": ["okta"], "action": ["deactivate*", "assignrole"]}, ["x-2", "x-3"]),
        ({"decision": ["deny"]}, ["x-3"]),
        ({"decision": ["deny"], "action": ["getUser"]}, []),
        ({"approver": ["alice@acme.com"]}, ["x-2"]),
        ({"approver": ["bob@*"]}, ["x-2"]),
        ({"status": ["2??"]}, ["x-1", "x-2"]),
        ({"status": ["denied"]}, ["x-3"]),
        ({"status": ["unknown"]}, ["x-4"]),
        ({"status": ["unknown", "403"]}, ["x-3", "x-4"]),
        ({"masked": ["ssn"]}, ["x-1"]),
        ({"masked": ["$*['ssn']"]}, ["x-1"]),
        ({"masked": ["x-api-key"]}, ["x-1"]),
        ({"masked": ["okta/jwt"]}, ["x-1"]),
        ({"masked": ["okta"]}, ["x-1", "x-2"]),
        ({"masked": ["profil"]}, []),
        ({"masked": ["it's"]}, ["x-2"]),
        ({"status": []}, []),
    ],
)
def test_sessions_are_found_by_what_their_exchanges_were(filled, look, wanted, found):
    assert look(Wanted(wanted)) == found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["jane@acme.com"], ["x-1"]),
        (["JANE"], ["x-1"]),
        (["jan*"], ["x-1"]),
        (["jose doe"], ["x-1"]),
        (["doe jose"], []),
        (["1.10"], ["x-1"]),
        (["getuser", "jane"], ["x-1"]),
        (["jane", "deactivateuser"], []),
        (["alice@acme.com"], ["x-2"]),
        (["204 completed"], []),  # two texts: they do not stand together
    ],
)
def test_words_are_found_in_entries_and_in_bodies(filled, look, words, found):
    assert look(Wanted(words=words)) == found


def test_a_span_of_time_takes_in_what_happened_in_it(filled, look):
    assert look(Wanted(since=timestamp(START + 3), until=timestamp(START + 4))) == ["x-2"]
    assert look(Wanted(since=timestamp(START + 4))) == ["x-2", "x-3", "x-4"]
    assert look(Wanted(until=timestamp(START + 2))) == ["x-1"]
    assert look(Wanted(since=timestamp(START + 9))) == []


SYNTAX = st.sampled_from(
    ['"', '""', "' OR 1=1 --", "a AND b", "NOT x", "text : a", "{text} : a", "NEAR(a b, 2)", "^a",
     "a + b", "-a", "(", ")", "*", "a*b", "\\", "\0", "a\0b", "\ud800", "\ue000", "%", "?"]
)  # fmt: skip


@given(st.lists(SYNTAX | st.text(max_size=8), min_size=1, max_size=4).map("".join))
def test_nothing_in_words_is_a_part_of_the_indexs_language(words):
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE texts USING fts5 (text, other)")
    database.execute("INSERT INTO texts VALUES ('sentinel a b x', 'elsewhere')")
    found = database.execute("SELECT * FROM texts WHERE texts MATCH ?", (phrase(words),)).fetchall()
    stem, has = words.rstrip("*"), "sentinel a b x elsewhere"
    tokens = [each for each in re.split(r"[^0-9a-z]+", stem.lower()) if each]
    if found and stem.isascii():
        assert all(token in has for token in tokens)
    database.close()


def test_words_that_look_like_the_indexs_language_are_words(filled, look):
    assert look(Wanted(words=['jane" OR "alice'])) == []
    assert look(Wanted(words=["text:jane"])) == []
    assert look(Wanted(words=["jane OR alice"])) == []


# --- kept up to date, and thrown away


def test_what_is_new_is_taken_in_and_nothing_else_is_read_again(site, look):
    run = site.run(segment_bytes=400)
    run.append([call(1), outcome(1)])
    assert look(Wanted()) == ["x-1"]
    run.append([call(2)])
    run.append([call(3), outcome(2)])
    assert look(Wanted({"status": ["unknown"]})) == ["x-3"]
    run.append([outcome(3)])
    run.close()
    assert look(Wanted({"status": ["unknown"]})) == []
    assert look(Wanted()) == ["x-1", "x-2", "x-3"]


def test_an_index_is_read_once_for_the_same_files(filled, tmp_path):
    def steps():
        place = IndexPlace(tmp_path / "index", filled.folder)
        return sum(isinstance(step, Progress) for step in place.search(Wanted()))

    assert (steps(), steps()) == (13, 0)  # one before anything is read, and one for each entry


def test_files_that_were_copied_or_touched_are_looked_through_and_not_taken_in_again(
    filled, look, index
):
    look(Wanted())
    before = index("sqlite").stat().st_ino
    for path in filled.folder.rglob("*.jsonl"):
        path.chmod(0o400)
    assert look(Wanted({"decision": ["deny"]})) == ["x-3"]
    assert index("sqlite").stat().st_ino == before


def test_a_changed_file_is_read_anew(filled, look):
    assert look(Wanted({"action": ["deactivateUser"]})) == ["x-2"]
    path = filled.folder / "logs/run-1/000000000000.jsonl"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"deactivateUser", b"reactivateUser"))
    assert look(Wanted({"action": ["deactivateUser"]})) == []
    assert look(Wanted({"action": ["reactivateUser"]})) == ["x-2"]


def test_what_never_counted_is_forgotten(site, look):
    run = site.run()
    run.append([call(1)])
    site.disk.failing = "sync"
    with pytest.raises(OSError, match="error"):
        run.append([call(2)])
    assert look(Wanted()) == ["x-1", "x-2"]
    site.disk.failing = None
    run.recover()
    run.append([call(3)])
    assert look(Wanted()) == ["x-1", "x-3"]
    crash(run)


def test_a_log_that_has_gone_is_forgotten(filled, look):
    run = filled.run()
    run.append([call(9)])
    run.close()
    assert "x-9" in look(Wanted())
    for path in (filled.folder / "logs/run-2").iterdir():
        path.unlink()
    assert "x-9" not in look(Wanted())


def damaged(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def emptied(path):
    path.write_bytes(b"")


def shortened(path):
    path.write_bytes(path.read_bytes()[:-4096])


def other_format(path):
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def lying(path):
    with sqlite3.connect(path) as database:
        database.execute("UPDATE facets SET value = 'permit' WHERE name = 'decision'")
    database.close()


@pytest.mark.parametrize("harm", [damaged, emptied, shortened, other_format, lying, Path.unlink])
def test_an_index_that_is_not_as_it_was_left_is_made_anew(filled, look, index, harm):
    look(Wanted())
    harm(index("sqlite"))
    assert look(Wanted({"decision": ["deny"]})) == ["x-3"]
    assert look(Wanted({"decision": ["permit"]})) == ["x-1", "x-4"]


def witnessed(index):
    """Make the index's digest that of what it holds now, as an old version would have left it."""
    digest = subprocess.run(["sha256sum", index("sqlite")], capture_output=True, check=True)
    index("sha256").write_bytes(digest.stdout[:64])


def test_one_of_another_format_is_made_anew(filled, look, index):
    look(Wanted())
    other_format(index("sqlite"))
    witnessed(index)
    assert look(Wanted({"decision": ["deny"]})) == ["x-3"]


@pytest.mark.parametrize(
    "lie",
    [
        "UPDATE exchanges SET session = 1, name = name || id",
        "UPDATE entries SET exchange = 1",
        "UPDATE entries SET offset = offset + 1",
        "UPDATE entries SET segment = 7",
        "DELETE FROM entries",
    ],
)
def test_an_index_that_leads_elsewhere_is_made_anew(filled, look, index, lie, tmp_path):
    look(Wanted())
    with sqlite3.connect(index("sqlite")) as database:
        database.execute(lie)
    database.close()
    witnessed(index)
    place = IndexPlace(tmp_path / "index", filled.folder)
    *_, (session,) = place.search(Wanted({"decision": ["deny"]}))
    assert (session.id, list(session.exchanges)) == ("t", ["x-3"])


def test_it_is_made_anew_at_will(filled, look, index):
    look(Wanted())
    lying(index("sqlite"))
    witnessed(index)
    assert look(Wanted({"decision": ["deny"]})) == []
    assert look(Wanted({"decision": ["deny"]}), anew=True) == ["x-3"]


def test_verify_knows_of_no_index():
    script = (
        "import sys, jitgate.stores.verifying, jitgate.cli.verification;"
        "print([name for name in sys.modules if 'index' in name and name.startswith('jitgate')])"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert told.stdout == b"[]\n"


# --- where it stands


def everything(folder):
    return {
        str(path): (
            path.stat().st_mtime_ns,
            path.stat().st_mode,
            path.is_dir() or path.read_bytes(),
        )
        for path in [folder, *folder.rglob("*")]
    }


def test_the_recording_is_not_touched_by_a_search(filled, look):
    before = everything(filled.folder)
    look(Wanted(words=["jane"]))
    assert everything(filled.folder) == before


def test_the_index_is_for_us_alone(filled, look, tmp_path):
    look(Wanted())
    assert (tmp_path / "index").stat().st_mode & 0o077 == 0
    assert [
        path.suffix for path in (tmp_path / "index").glob("*") if path.stat().st_mode & 0o077
    ] == []


def test_it_is_never_kept_in_the_recording(filled):
    with pytest.raises(StateUnusable, match="no part of a recording"):
        IndexPlace(filled.folder / "logs", filled.folder)


def test_a_folder_that_others_can_write_to_is_not_used(filled, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(StateUnusable, match="Others may write"):
        IndexPlace(shared, filled.folder)


def test_a_link_in_the_place_of_the_index_is_not_followed(filled, look, index, tmp_path):
    look(Wanted())
    precious = tmp_path / "precious"
    precious.write_text("keep")
    index("sqlite").unlink()
    (tmp_path / "index" / index("lock").with_suffix(".sqlite").name).symlink_to(precious)
    assert look(Wanted({"decision": ["deny"]})) == ["x-3"]
    assert precious.read_text() == "keep"


def test_where_none_can_be_kept_one_is_made_for_the_time_being(filled, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    (tmp_path / "file").touch()
    with place_for(filled.folder, None) as (place, why_not):
        *_, found = place.search(Wanted({"decision": ["deny"]}))
    assert [list(session.exchanges) for session in found] == [["x-3"]]
    assert why_not.startswith(f"No index can be kept in {tmp_path / 'file'}")
    with pytest.raises(StateUnusable), place_for(filled.folder, tmp_path / "file" / "x"):
        pass


def test_the_usual_place_is_the_users_cache(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/far/cache")
    assert usual_place() == Path("/far/cache/jitgate")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/home/eve")
    assert usual_place() == Path("/home/eve/.cache/jitgate")


def test_bodies_that_cannot_be_read_are_counted_and_the_rest_is_found(filled, tmp_path):
    path = filled.folder / "logs/run-1/000000000000.bodies"
    path.chmod(0o600)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    place = IndexPlace(tmp_path / "index", filled.folder)
    assert list(place.search(Wanted(words=["jane"])))[-1] == []
    assert [len(found.exchanges) for found in list(place.search(Wanted(words=["completed"])))[-1]]
    assert place.unread == 1


def test_bodies_that_come_later_are_looked_into(filled, tmp_path):
    """A share that was not mounted, a copy that was under way; no file of lines has changed."""
    path = filled.folder / "logs/run-1/000000000000.bodies"
    away = path.rename(tmp_path / "away")
    place = IndexPlace(tmp_path / "index", filled.folder)
    wanted = Wanted(words=["jane"])
    assert (list(place.search(wanted))[-1], place.unread) == ([], 1)
    assert (list(place.search(wanted))[-1], place.unread) == ([], 1)
    away.rename(path)
    for _ in range(2):
        (found,) = list(place.search(wanted))[-1]
        assert (list(found.exchanges), place.unread) == (["x-1"], 0)


@pytest.mark.parametrize("change", ["gone", "shorter", "another", "a byte"])
def test_words_of_bodies_that_are_not_there_any_more_are_not_found(filled, tmp_path, change):
    path = filled.folder / "logs/run-1/000000000000.bodies"
    place, wanted = IndexPlace(tmp_path / "index", filled.folder), Wanted(words=["jane"])
    assert list(place.search(wanted))[-1]
    data = path.read_bytes()
    path.unlink()
    if change != "gone":
        changed = {"shorter": data[:-1], "another": b"x", "a byte": b"x" + data[1:]}[change]
        path.write_bytes(changed)
    assert (list(place.search(wanted))[-1], place.unread) == ([], 1)


# --- against a reader of its own


VALUES = st.sampled_from(["a", "b*", "A", "ß", "\x1b[2J\n", "x" * 70, '"', "%", "\ud7ff\0"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["decision", "outcome", "access.opened", "access.answered", "grant.spent"]),
        st.fixed_dictionaries(
            {"session": VALUES, "exchange": VALUES},
            optional={
                "subject": st.fixed_dictionaries({"issuer": VALUES, "id": VALUES}),
                "operation": st.fixed_dictionaries({"target": VALUES, "action": VALUES}),
                "effect": st.sampled_from(["permit", "deny"]),
                "status": st.sampled_from([200, 403, None]),
                "outcome": st.sampled_from(["completed", "denied"]),
                "approver": VALUES,
                "access_request": VALUES,
                "approved_by": st.lists(VALUES, max_size=2),
            },
        ),
    ),
    max_size=8,
)
WANTED = st.dictionaries(
    st.sampled_from(FACETS), st.lists(VALUES | st.sampled_from(["*", "4??", "unknown"]), min_size=1, max_size=2), max_size=2
)  # fmt: skip
NUMBERS = count()


def plainly(folder, wanted):
    """The exchanges that are wanted, by reading everything."""
    told = {}
    sorter = Sorter()
    for kept in Recording(folder).every_entry():
        if (place := sorter.place(kept)) is not None:
            told.setdefault(place, {}).setdefault("entry", set()).add("")
            for name, value in facets(kept):
                told[place].setdefault(name, set()).add(value)
    found = set()
    for place, having in told.items():
        if place.exchange is not None:
            having.setdefault("status", {"unknown"})
        fits = (
            any(map(globs_matcher(globs, re.IGNORECASE), having.get(name, ())))
            for name, globs in wanted.items()
        )
        if all(fits) and place.exchange is not None:
            found.add((place.session, place.exchange))
    return found


@settings(max_examples=40)
@given(STEPS, STEPS, WANTED)
def test_the_index_finds_what_reading_everything_finds_however_it_grew(
    tmp_path_factory, first, second, wanted
):
    folder = tmp_path_factory.getbasetemp() / f"grown-{next(NUMBERS)}"
    site = Site(folder / "recording")
    run = site.run()
    place = IndexPlace(folder / "index", site.folder)
    for steps in (first, second):
        run.append([Entry(kind, START, fields) for kind, fields in steps])
        found = list(place.search(Wanted(wanted)))[-1]
        shown = {(session.id, name) for session in found for name in session.exchanges}
        assert shown == plainly(site.folder, wanted)
    crash(run)


def test_everything_is_found_where_nothing_is_asked_for(tmp_path):
    *_, found = IndexPlace(tmp_path / "index", VECTOR).search(Wanted())
    assert found == sessions(Recording(VECTOR))
    assert os.path.lexists(VECTOR / "site")
