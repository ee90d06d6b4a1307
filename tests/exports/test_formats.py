"""What HAR and OCSF are told of an exchange, whatever its entries hold."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores.site import START, Site
from support.exports import har_problems, ocsf_problems
from vectors.recording import make as vector

from jitgate.errors import StateUnusable
from jitgate.exports.exchanges import exchanges
from jitgate.exports.har import har
from jitgate.exports.ocsf import event
from jitgate.stores.lines import timestamp
from jitgate.stores.reading import Kept, Recording, timelines
from jitgate.values import Body, Entry

RECORDING = Recording(Path(vector.__file__).parent / "recordings")
NOW = timestamp(START)

DECIDED = {
    "exchange": "x-1",
    "session": "run-1",
    "subject": {"issuer": "https://idp.example", "id": "bot", "groups": ["g"], "humans": ["a@b"]},
    "operation": {
        "target": "okta",
        "action": "deactivateUser",
        "resource": {"userId": "00u1"},
        "method": "POST",
        "url": "https://acme.okta.example/api/v1/users/00u1/lifecycle/deactivate?sendEmail=true",
        "risk": "destructive",
        "parameters": {},
    },
    "request": {"method": "POST", "target": "/api/v1/users/00u1/lifecycle/deactivate"},
    "effect": "permit",
    "rule": "r",
    "reason": "why",
    "policy": "0" * 64,
}
CAME = {
    "exchange": "x-1",
    "session": "run-1",
    "status": 200,
    "outcome": "completed",
    "request": {"bytes": 0, "hmac": "1"},
    "released": {"bytes": 2, "hmac": "2"},
    "masks": {},
    "seconds": 0.5,
    "response": {"headers": [["Content-Type", "application/json"]]},
}
SPENT = {"exchange": "x-1", "session": "run-1", "grant": "g-1", "approved_by": ["bob@b"]}


def kept(kind, fields, seconds=0.0, seq=1):
    return Kept("w", {"seq": seq, "time": timestamp(START + seconds), "type": kind, **fields})


def told(decided=DECIDED, came=CAME, spent=None):
    entries = [kept("decision", decided, 0.1)]
    entries += [kept("grant.spent", spent, 0.3, 2)] if spent else []
    entries += [kept("outcome", came, 0.5, 3)] if came else []
    (found,) = exchanges(entries)
    return found, entries


def archived(entries, recording=RECORDING):
    log, found = har(recording, [entries], "0")
    return {"log": {**log, "entries": list(found)}}


# --- OCSF

STATES = [
    ({}, {}, None, (1, 1, 1)),
    ({}, {"status": 404}, None, (2, 1, 1)),
    ({}, {"outcome": "truncated"}, None, (2, 1, 1)),
    ({}, {"outcome": "failed", "status": 502, "denial": "upstream"}, None, (2, 1, 1)),
    ({"effect": "deny"}, {"outcome": "denied", "status": 403, "why": "No."}, None, (2, 2, 2)),
    ({"effect": "review"}, {"outcome": "pending", "status": 403}, None, (99, 2, 14)),
    ({"effect": "review"}, {"outcome": "denied", "status": 403}, None, (2, 2, 2)),
    ({"effect": "review"}, {"grant": "g-1"}, SPENT, (1, 1, 8)),
    ({"effect": "permit"}, None, None, (0, 0, 0)),
    ({"effect": "review"}, None, SPENT, (0, 1, 8)),
]


@pytest.mark.parametrize(("decided", "came", "spent", "said"), STATES)
def test_an_event_says_what_was_done_about_it_and_what_came_of_it(decided, came, spent, said):
    found, _ = told(DECIDED | decided, came if came is None else CAME | came, spent)
    made = event(found, "0")
    assert ocsf_problems(made) == []
    assert (made["status_id"], made["action_id"], made["disposition_id"]) == said
    assert made["metadata"]["version"] == "1.8.0"
    assert made["class_uid"] == 6003
    assert made["severity"] == "High"
    assert made["resources"] == [{"type": "userId", "uid": "00u1"}]
    assert made["unmapped"].get("approved_by") == (["bob@b"] if spent else None)


@pytest.mark.parametrize(
    ("method", "risk", "activity"),
    [("GET", None, 2), ("HEAD", None, 2), ("PUT", "write", 3), ("PATCH", "write", 3),
     ("DELETE", "destructive", 4), ("POST", "read", 2), ("POST", "write", 99), ("BREW", None, 99)],
)  # fmt: skip
def test_what_kind_of_activity_it_is_goes_by_method_and_risk(method, risk, activity):
    operation = DECIDED["operation"] | {"method": method, "risk": risk}
    made = event(told(DECIDED | {"operation": operation})[0], "0")
    assert ocsf_problems(made) == []
    assert made["activity_id"] == activity
    assert made["type_uid"] == 600300 + activity
    assert ("http_method" in made["http_request"]) is (method != "BREW")


def test_an_event_has_its_times_in_milliseconds():
    made = event(told()[0], "0")
    assert (made["start_time"], made["end_time"]) == (START * 1000, START * 1000 + 500)
    assert (made["time"], made["duration"]) == (START * 1000, 500)


# --- HAR


def test_times_are_from_the_record_and_add_up():
    (entry,) = archived(told(spent=SPENT)[1])["log"]["entries"]
    timings = entry["timings"]
    assert entry["startedDateTime"] == timestamp(START)
    assert entry["time"] == 500
    assert (timings["blocked"], timings["wait"]) == (300, 200)
    assert timings["send"] == timings["receive"] == 0


def test_what_its_parts_took_is_told_apart_where_that_is_on_record():
    parts = {"people": 0.2, "credential": 0.05, "connect": 0.03, "answer": 0.1, "body": 0.07}
    came = CAME | {
        "timings": parts,
        "response": {"headers": [], "trailers": [["X-Sum", "1"]]},
    }
    archive = archived(told(came=came)[1])
    assert har_problems(archive) == []
    (entry,) = archive["log"]["entries"]
    timings = entry["timings"]
    assert [timings[name] for name in ("blocked", "connect", "wait", "receive")] == [
        300,
        30,
        100,
        70,
    ]
    assert (timings["_people"], timings["_credential"]) == (200, 50)
    assert sum(value for name, value in timings.items() if name in SUMMED) == entry["time"]
    assert entry["response"]["_trailers"] == [{"name": "X-Sum", "value": "1"}]
    for wrong in ({"answer": "1"}, {"answer": -1}, {"body": 2.0**40}, [], None):
        timings = archived(told(came=came | {"timings": wrong})[1])["log"]["entries"][0]["timings"]
        assert timings["connect"] == -1


SUMMED = {"blocked", "connect", "send", "wait", "receive"}


def test_what_is_not_known_is_not_made_up():
    archive = archived(told(DECIDED | {"operation": None}, None)[1])
    assert har_problems(archive) == []
    (entry,) = archive["log"]["entries"]
    request, response = entry["request"], entry["response"]
    assert request["url"].startswith("https://not-recorded.invalid/api/v1/users")
    assert request["comment"] == "The host is not on record."
    assert (request["bodySize"], response["bodySize"], response["status"]) == (-1, -1, 0)
    assert "text" not in response["content"]
    assert response["comment"] == "What became of it is not on record."


BODIES = [
    (Body(b'{"a":1}', 7, complete=True), "application/json", '{"a":1}', None, None),
    (Body("ä€\u202e".encode(), 8, complete=True), "text/plain", "ä€\u202e", None, None),
    (Body("ä".encode(), 2, complete=True), 'text/x; charset="UTF-8"', "ä", None, None),
    (Body("ä".encode(), 2, complete=True), "text/plain; charset=latin-1", b"\xc3\xa4", None, None),
    (Body(b"\xff\x00", 2, complete=True), "image/png", b"\xff\x00", None, None),
    (Body(b"a\x1b[2J", 5, complete=True), "text/plain", b"a\x1b[2J", None, None),
    (Body(b"part", 9, complete=False), "text/plain", "part", 9, "The first 4 of 9 bytes are on"),
    (Body(b"***", 3, complete=True), "text/plain", "***", 5, "More is hidden in the record than"),
]


@pytest.mark.parametrize(("body", "kind", "shown", "released", "comment"), BODIES)
def test_a_body_is_text_only_where_its_text_is_its_bytes(
    tmp_path, body, kind, shown, released, comment
):
    came = CAME | {
        "response": {"headers": [["content-type", kind]]},
        "released": {"bytes": released or body.length},
    }
    archive = written(tmp_path, came, {"response": body})
    assert har_problems(archive) == []
    (entry,) = archive["log"]["entries"]
    content = entry["response"]["content"]
    if isinstance(shown, bytes):
        assert content["encoding"] == "base64"
        assert base64.b64decode(content["text"]) == shown
    else:
        assert "encoding" not in content
        assert content["text"] == shown
    assert content["size"] == (released or body.length)
    assert content.get("comment", "").startswith(comment or "")


def test_a_request_that_is_no_text_stands_beside_it(tmp_path):
    came = CAME | {"request": {"bytes": 2}}
    archive = written(tmp_path, came, {"request": Body(b"\xff\x00", 2, complete=True)})
    assert har_problems(archive) == []
    (entry,) = archive["log"]["entries"]
    assert entry["request"]["postData"]["text"] == ""
    assert base64.b64decode(entry["request"]["postData"]["_base64"]) == b"\xff\x00"


def test_a_body_that_rules_left_out_is_said_to_be(tmp_path):
    (entry,) = written(tmp_path, CAME | {"record": "head"}, {})["log"]["entries"]
    assert entry["response"]["content"]["comment"] == "Rules left it out of the record."


@pytest.mark.parametrize("file", ["../../lock", "", ".", "\0", "gone.bodies"])
def test_a_body_that_cannot_be_read_is_said_to_be(file):
    _, entries = told()
    body = {"file": file, "offset": 0, "length": 1, "sha256": "0", "plain_length": 1,
            "plain_sha256": "0", "of": 1, "complete": True}  # fmt: skip
    entries[-1].content["bodies"] = {"response": body}
    (entry,) = archived(entries)["log"]["entries"]
    assert "text" not in entry["response"]["content"]
    assert entry["response"]["content"]["comment"].startswith("It cannot be read: ")
    assert entry["_jitgate"]["unreadable"] == ["response"]


def test_cookies_and_where_it_leads_are_read_from_the_header():
    fields = [["Set-Cookie", "a=b; Path=/"], ["set-cookie", "odd"], ["Location", "/there"], ["x"]]
    (entry,) = archived(told(came=CAME | {"response": {"headers": fields}})[1])["log"]["entries"]
    response = entry["response"]
    assert response["cookies"] == [{"name": "a", "value": "b"}, {"name": "odd", "value": ""}]
    assert response["redirectURL"] == "/there"
    assert len(response["headers"]) == 3


def written(tmp_path, came, bodies):
    site = Site(tmp_path / "recordings")
    run = site.run()
    run.append([Entry("decision", START, DECIDED), Entry("outcome", START, came, bodies)])
    run.close()
    recording = Recording(site.folder)
    (entries,) = timelines(recording, "run-1")
    return archived(entries, recording)


# --- whatever stands in an entry

ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["https://[", "//", "http://a:b@c:99999/?&=", "GET", "POST", "deny", "read"]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=6,
)


@st.composite
def odd(draw, fields):
    """The fields, some of them, or of what is within them, something else or gone."""
    changed = json.loads(json.dumps(fields))
    for name in draw(st.sets(st.sampled_from(sorted(fields)))):
        within = changed[name]
        if isinstance(within, dict) and within and draw(st.booleans()):
            within[draw(st.sampled_from(sorted(within)))] = draw(ODD)
        else:
            changed[name] = draw(ODD)
    return changed


@settings(max_examples=150, deadline=None)
@given(odd(DECIDED), odd(CAME) | st.none(), odd(SPENT) | st.none())
def test_whatever_stands_in_entries_what_is_exported_has_its_form(decided, came, spent):
    entries = [kept("decision", decided)]
    entries += [kept("grant.spent", spent, 0.2)] if spent else []
    entries += [kept("outcome", came, 0.5)] if came else []
    assert har_problems(archived(entries)) == []
    for found in exchanges(entries):
        assert ocsf_problems(event(found, "0")) == []


def test_the_last_moment_of_all_is_exported():
    last = Kept(
        "w", {"seq": 0, "time": "9999-12-31T23:59:59.999999Z", "type": "decision", **DECIDED}
    )
    assert har_problems(archived([last])) == []


def test_a_time_that_there_is_none_of_is_told_in_a_sentence():
    bad = Kept(
        "w", {"seq": 0, "time": "2026-99-99T00:00:00.000000Z", "type": "decision", **DECIDED}
    )
    with pytest.raises(StateUnusable, match="The entry w:0 has a time that there is none of"):
        archived([bad])


def test_what_a_websocket_said_stands_where_browser_tools_look_for_it(tmp_path):
    site = Site(tmp_path / "recordings")
    run = site.run()
    said = {"exchange": "x-1", "session": "run-1", "bytes": 2, "hmac": "3"}
    body = {"message": Body(b'{"a":1}', 7, complete=True)}
    run.append(
        [
            Entry("decision", START, DECIDED),
            Entry("message", START, {**said, "by": "agent", "number": 1, "kind": "text"}, body),
            Entry("message", START, {**said, "by": "agent", "number": 2, "kind": "text"}),
            Entry("message", START, {**said, "by": "target", "number": 1, "kind": "binary"}, body),
            Entry("outcome", START, CAME | {"status": 101}),
        ]
    )
    run.close()
    recording = Recording(site.folder)
    (entries,) = timelines(recording, "run-1")
    archive = archived(entries, recording)
    assert not har_problems(archive)
    (entry,) = archive["log"]["entries"]
    assert [
        (each["type"], each["opcode"], each["data"]) for each in entry["_webSocketMessages"]
    ] == [
        ("send", 1, '{"a":1}'),
        ("send", 1, ""),
        ("receive", 2, base64.b64encode(b'{"a":1}').decode()),
    ]


def test_a_request_is_shown_as_the_target_got_it():
    fields = [["Content-Type", "application/json"], ["Authorization", "***"], ["odd", 7], "odd"]
    came = CAME | {"request": {"bytes": 2, "hmac": "1", "headers": fields}}
    (entry,) = archived(told(came=came)[1])["log"]["entries"]
    request = entry["request"]
    assert [(each["name"], each["value"]) for each in request["headers"]] == [
        ("Content-Type", "application/json"),
        ("Authorization", "***"),
    ]
    assert request["postData"]["mimeType"] == "application/json"
    (entry,) = archived(told()[1])["log"]["entries"]
    assert entry["request"]["headers"] == []
