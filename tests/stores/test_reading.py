import json
import shutil
from pathlib import Path

import pytest
from stores.site import START, crash, entries, entry
from vectors.recording import make as vector

from jitgate.exports.exchanges import of_every_log
from jitgate.exports.following import Follower as Exported
from jitgate.stores.following import Follower
from jitgate.stores.frames import FrameInvalid
from jitgate.stores.reading import Recording, sessions, timelines
from jitgate.values import Body, Entry

VECTOR = Recording(Path(vector.__file__).parent / "recordings")


def test_there_is_a_recording_where_there_is_a_site_log(site):
    assert VECTOR.exists
    assert not Recording(site.folder).exists


def test_entries_come_in_order_over_all_segments(site):
    records = site.run(segment_bytes=300)
    for number in range(9):
        records.append([entry(number)])
    records.close()
    kept = list(Recording(site.folder).entries("run-1"))
    assert [one.seq for one in kept] == list(range(len(kept)))
    assert len([one for one in kept if one.type == "decision"]) == 9


def test_what_never_counted_is_not_read(site):
    records = site.run()
    records.append(entries(0, 2))
    site.disk.failing = "sync"
    with pytest.raises(OSError, match="error"):
        records.append(entries(2, 4))
    site.disk.failing = None
    records.recover()
    records.append(entries(4, 5))
    crash(records)
    with (site.folder / "logs/run-1/000000000003.jsonl").open("ab") as file:
        file.write(b'{"seq":5,')
    read = [one.text("exchange") for one in Recording(site.folder).every_entry()]
    assert read == [None, "ex-0", "ex-1", None, "ex-4"]


def test_an_entry_is_found_by_its_log_and_number():
    assert VECTOR.entry(vector.FIRST, 3).content["exchange"] == "ex-1"
    assert VECTOR.entry("site", 0).type == "site.open"
    assert VECTOR.entry(vector.FIRST, 99) is None
    assert VECTOR.entry("nowhere", 0) is None


def test_what_the_site_log_does_not_name_is_no_part_of_the_recording(site, tmp_path):
    records = site.run()
    recording, following = Recording(site.folder), Follower(site.folder)
    records.append(entries(0, 2))
    records.checkpoint()
    (site.folder / "logs/run-1").rename(tmp_path / "elsewhere")
    (site.folder / "logs/run-1").symlink_to(tmp_path / "elsewhere")
    shutil.copytree(tmp_path / "elsewhere", site.folder / "logs/run-0")
    assert list(recording.every_entry()) == list(Follower(site.folder).grown()) == []
    assert list(Exported(site.folder).more()) == list(of_every_log(recording)) == []
    assert recording.entry("run-0", 1) is recording.entry("run-1", 1) is None
    assert recording.strangers == ["run-0"]
    (site.folder / "logs/run-1").unlink()
    (tmp_path / "elsewhere").rename(site.folder / "logs/run-1")
    assert [kept.log for kept in following.grown()] == ["run-1"] * 3
    crash(records)
    crash(site.run())  # a log that begins while they read
    assert {kept.log for kept in recording.every_entry()} == {"run-1", "run-2"}
    assert [kept.log for kept in following.grown()] == ["run-2"]


def test_an_entry_of_any_segment_is_found(site):
    records = site.run(segment_bytes=300)
    records.append(entries(0, 4))
    records.append(entries(4, 8))
    records.close()
    recording = Recording(site.folder)
    every = list(recording.entries("run-1"))
    assert len(list((site.folder / "logs/run-1").glob("*.jsonl"))) > 1
    assert [recording.entry("run-1", kept.seq) for kept in every] == every
    assert recording.entry("run-1", len(every)) is None


def test_how_far_the_reading_is_is_told(site):
    records = site.run()
    records.append(entries(0, 3))
    records.close()
    read = []
    every = list(Recording(site.folder, read.append).every_entry())
    size = (site.folder / "logs/run-1/000000000000.jsonl").stat().st_size
    assert len(read) == len(every)
    assert (read, read[-1]) == (sorted(read), size)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file", "a\0b"),
        ("file", "."),
        ("file", "0.bodies"),
        ("offset", 2**64 - 1),
        ("length", 2**63),
    ],
)
def test_a_body_that_cannot_be_where_its_entry_says_is_a_fault_and_no_crash(site, field, value):
    records = site.run()
    records.append([entry(1, body=b"data")])
    records.close()
    recording = Recording(site.folder)
    kept = recording.entry("run-1", 1)
    kept.content["bodies"]["response"][field] = value
    with pytest.raises(FrameInvalid):
        recording.body(kept, "response")


def test_an_access_request_and_a_grant_have_timelines(site):
    records = site.run()
    asked = {"session": "s", "access_request": "a-1"}
    records.append(
        [
            Entry("access.opened", START, {**asked, "exchange": "x-1"}),
            Entry("access.answered", START, asked),
            Entry("grant.made", START, {**asked, "grant": "g-1"}),
            Entry("grant.spent", START, {"session": "s", "grant": "g-1", "exchange": "x-2"}),
        ]
    )
    records.close()
    recording = Recording(site.folder)
    told = {
        name: [kept.type for kept in timelines(recording, name)[0]]
        for name in ("a-1", "g-1", "x-1", "x-2")
    }
    assert told == {
        "a-1": ["access.opened", "access.answered", "grant.made"],
        "g-1": ["grant.made", "grant.spent"],
        "x-1": ["access.opened"],
        "x-2": ["grant.spent"],
    }


def test_a_name_that_is_a_path_is_no_log(site):
    records = site.run()
    records.close()
    assert Recording(site.folder).entry("../site", 0) is None


def test_a_body_is_read_back():
    kept = VECTOR.entry(vector.FIRST, 3)
    assert VECTOR.body(kept, "response") == vector.USERS


def test_a_body_that_was_changed_is_not_shown(site):
    records = site.run()
    records.append([entry(1, body=b"data")])
    records.close()
    path = site.folder / "logs/run-1/000000000000.bodies"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    recording = Recording(site.folder)
    with pytest.raises(FrameInvalid, match="not those that were written"):
        recording.body(recording.entry("run-1", 1), "response")


def test_a_bodys_file_is_never_elsewhere(site):
    records = site.run()
    records.append([entry(1, body=b"data")])
    records.close()
    recording = Recording(site.folder)
    kept = recording.entry("run-1", 1)
    kept.content["bodies"]["response"]["file"] = "../../lock"
    with pytest.raises(FrameInvalid, match="not in the folder"):
        recording.body(kept, "response")


def test_sessions_tell_what_each_exchange_was_and_came_to():
    first, second = sessions(VECTOR)
    assert (first.id, first.subject["id"]) == ("run-1", "bot-7")
    assert (second.id, second.subject, second.exchanges) == ("run-1", {}, {})
    listed = [
        (one.id, one.action, one.effect, one.status, one.outcome)
        for one in first.exchanges.values()
    ]
    assert listed == [
        ("ex-1", "listUsers", "permit", 200, "completed"),
        ("ex-2", "listGroups", "permit", None, "unknown"),
        ("ex-3", "assignRoleToUser", "deny", 403, "denied"),
    ]


def test_an_operation_that_is_not_known_is_told_by_what_was_asked(site):
    fields = {"exchange": "e", "session": "s", "operation": None, "effect": "deny"}
    request = {"method": "POST", "target": "/odd"}
    records = site.run()
    records.append([Entry("decision", START, fields | {"request": request})])
    records.close()
    (session,) = sessions(Recording(site.folder))
    (exchange,) = session.exchanges.values()
    assert (exchange.method, exchange.url, exchange.action) == ("POST", "/odd", None)


def test_one_name_under_two_subjects_is_two_sessions(site):
    records = site.run()
    for number, name in enumerate(("a", "b")):
        subject = {"issuer": "i", "id": name, "groups": [], "humans": []}
        fields = {"exchange": f"e{number}", "session": "same", "subject": subject}
        records.append([Entry("decision", START, fields)])
        done = {"exchange": f"e{number}", "session": "same", "status": 200, "outcome": "completed"}
        records.append([Entry("outcome", START, done, {"response": Body(b"x", 1, complete=True)})])
    records.close()
    found = sessions(Recording(site.folder))
    assert [(one.subject["id"], list(one.exchanges)) for one in found] == [
        ("a", ["e0"]),
        ("b", ["e1"]),
    ]
    assert [len(one) for one in timelines(Recording(site.folder), "same")] == [2, 2]


def test_a_timeline_is_that_of_a_session_or_of_one_exchange():
    assert [len(one) for one in timelines(VECTOR, "run-1")] == [7, 1]
    (exchange,) = timelines(VECTOR, "ex-1")
    assert [kept.type for kept in exchange] == ["decision", "outcome"]
    assert timelines(VECTOR, "nobody") == []


def test_fields_of_odd_types_are_survived(site):
    records = site.run()
    odd = {"session": ["s"], "exchange": 7, "subject": "x", "operation": [], "request": 1}
    records.append(
        [Entry("decision", START, odd), Entry("decision", START, odd | {"session": "s"})]
    )
    records.close()
    (session,) = sessions(Recording(site.folder))
    assert (session.id, session.exchanges) == ("s", {})
    json.dumps(session.subject)
