"""The timeline's words for what people asked, answered and were refused."""

import argparse
import json
from pathlib import Path

import pytest
from cli.test_audit import HOSTILE
from hypothesis import given
from hypothesis import strategies as st
from stores.site import START, Site

from jitgate.cli import replaying
from jitgate.cli.timeline import timeline
from jitgate.core.columns import columns_of
from jitgate.stores.reading import Kept, Recording
from jitgate.values import Entry

COMMON = {"session": "run-1", "revision": 3}
READ = {"action": "getUser", "url": "https://acme.okta.com/api/v1/users/00u1"}
ASKED = {**COMMON, "access_request": "a-1"}
GIVEN = {**COMMON, "grant": "g-1", "exchange": "x-1"}
OPENED = {
    **ASKED,
    "exchange": "x-1",
    "subject": {"issuer": "https://idp.example", "id": "bot-7"},
    "operation": {
        "target": "okta",
        "action": "deactivateUser",
        "resource": {"userId": "00u1"},
        "method": "POST",
        "url": "https://acme.okta.com/api/v1/users/00u1/lifecycle/deactivate",
    },
    "fingerprint": "9f2c",
    "rule": "people-changes",
    "reason": "Looked at by IT",
    "quorums": [{"groups": ["it-leads", "hr"], "count": 1}, {"groups": ["sec"], "count": 2}],
    "uses": 1,
    "life": 300.0,
    "expires_at": START + 600,
}
REFUSED = {"uid": 1001, "pid": 7, "person": None, "command": "approve", "why": "No power."}

HIT = {"path": "$['client']['secret']", "rule": "okta", "hmac": "0123456789abcdef" * 4}

TOLD = [
    (
        "outcome",
        {
            **COMMON,
            "exchange": "x-1",
            "status": 200,
            "outcome": "completed",
            "seconds": 0.1,
            "timings": {"body": 0.01, "people": 0.05, "credential": 0.0, "answer": 0.04},
            "masks": {"okta": 22},
            "masked": [HIT] * 22,
        },
        [
            "200, completed; 0.1 s  [exchange x-1]",
            "of that: 0.05 s for people, 0.0 s for the credential, 0.04 s for the target's answer, 0.01 s from there to the end",
            "masked: okta 22",
            *["$['client']['secret'] by okta (hmac 0123456789abcdef)"] * 20,
            "and 2 more, which `jitgate show` tells",
        ],
    ),
    (
        "access.opened",
        OPENED,
        [
            "deactivateUser on okta waits for approval by 1 of it-leads or hr, and 2 of sec  [access request a-1, exchange x-1]",
            "an approval is for this call, once, within 5 min; it is waited for until 2026-11-24T02:16:00Z",
        ],
    ),
    (
        "access.answered",
        {**ASKED, "approver": "alice@acme.com", "approves": True, "reason": "ok", "channel": "cli"},
        ["alice@acme.com approves, by cli: ok  [access request a-1]"],
    ),
    (
        "access.answered",
        {**ASKED, "approver": "alice@acme.com", "approves": False, "reason": "", "channel": "cli"},
        ["alice@acme.com denies, by cli  [access request a-1]"],
    ),
    (
        "access.answered",
        {
            **ASKED,
            "approver": "alice@acme.com",
            "approves": True,
            "reason": "",
            "channel": "cli",
            "less": {"uses": 2, "life": None, "once": False},
        },
        [
            "alice@acme.com approves, by cli  [access request a-1]",
            "gives less than policy offers: uses 2",
        ],
    ),
    (
        "access.void",
        {**ASKED, "approver": "bob@acme.com", "approves": True, "why": "They are deactivated."},
        [
            "What bob@acme.com answered counts no longer  [access request a-1]",
            "They are deactivated.",
        ],
    ),
    (
        "access.escalated",
        {**ASKED, "groups": ["it-leads", "security"]},
        ["More people are asked: it-leads, security from now on  [access request a-1]"],
    ),
    (
        "name.looked-up",
        {"session": "run-1", "exchange": "x-1", "operation": READ, "name": "jane@acme.com\u202e"},
        [
            "The name is looked up for people: jane@acme.com\\u202e  [exchange x-1]",
            "by getUser: GET https://acme.okta.com/api/v1/users/00u1",
        ],
    ),
    (
        "name.looked-up",
        {"session": "run-1", "exchange": "x-1", "operation": READ, "why": "not found there"},
        [
            "The name is looked up for people: not found there  [exchange x-1]",
            "by getUser: GET https://acme.okta.com/api/v1/users/00u1",
        ],
    ),
    (
        "message",
        {
            "session": "run-1",
            "exchange": "x-1",
            "by": "agent",
            "number": 2,
            "kind": "text",
            "bytes": 11,
        },
        ["The agent says, in its message 2: text, 11 bytes  [exchange x-1]"],
    ),
    (
        "access.ended",
        {**ASKED, "state": "expired", "why": "Nobody answered in time."},
        ["The access request is expired  [access request a-1]", "Nobody answered in time."],
    ),
    (
        "grant.made",
        {
            **ASKED,
            "grant": "g-1",
            "approved_by": ["alice@acme.com", "bob@acme.com"],
            "uses": 3,
            "life": 300.0,
            "fingerprint": "9f2c",
            "expires_at": START + 300,
        },
        [
            "Granted by alice@acme.com, bob@acme.com: 3 uses until 2026-11-24T02:11:00Z  [access request a-1, grant g-1]"
        ],
    ),
    (
        "grant.spent",
        {**GIVEN, "use": "x-1", "fingerprint": "9f2c", "left": 2},
        [
            "The grant is used; 2 left of it  [grant g-1, exchange x-1]",
            "leaves with the fingerprint 9f2c",
        ],
    ),
    (
        "grant.settled",
        {**GIVEN, "use": "x-1", "state": "unknown"},
        ["The use of the grant is unknown  [grant g-1, exchange x-1]"],
    ),
    (
        "grant.ended",
        {**COMMON, "grant": "g-1", "state": "revoked", "why": "Revoked by root."},
        ["The grant is revoked  [grant g-1]", "Revoked by root."],
    ),
    (
        "control.refused",
        REFUSED | {"access_request": "a-1"},
        [
            "Refused at the control socket: uid 1001, which asked for approve  [access request a-1]",
            "No power.",
        ],
    ),
    (
        "control.refused",
        {**REFUSED, "person": "eve", "command": None, "why": "", "left_out": 12},
        [
            "Refused at the control socket: uid 1001 (eve)",
            "12 more before it have no entry of their own",
        ],
    ),
    (
        "webhook.refused",
        {"webhook": "ops", "person": "eve", "access_request": "a-1", "why": "No.", "left_out": 3},
        [
            "Refused at the callback of ops for eve  [access request a-1]",
            "No.",
            "3 more before it have no entry of their own",
        ],
    ),
]


def told(tmp_path, kind, fields):
    content = {"seq": 1, "time": "2026-11-24T02:06:00.000000Z", "type": kind, **fields}
    return list(timeline(Recording(tmp_path), [Kept("run-1", content)]))


@pytest.mark.parametrize(("kind", "fields", "lines"), TOLD)
def test_every_entry_about_people_is_told_in_words(tmp_path, kind, fields, lines):
    first, *rest = told(tmp_path, kind, fields)[4:]
    assert first == f"  +0.000 s  {lines[0]}"
    assert [line.strip() for line in rest] == lines[1:]


@pytest.mark.parametrize(("kind", "fields"), [each[:2] for each in TOLD])
@pytest.mark.parametrize("value", [HOSTILE, [HOSTILE], {HOSTILE: HOSTILE}, [], 1e300, -1, None])
def test_whatever_stands_in_an_entry_it_is_shown_in_a_line_and_not_obeyed(
    tmp_path, kind, fields, value
):
    for field in fields:
        assert all(line.isprintable() for line in told(tmp_path, kind, fields | {field: value}))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({field for _, fields, _ in TOLD for field in fields} | {"operation", "response"})


@given(
    st.sampled_from(
        [kind for kind, *_ in TOLD] + ["decision", "outcome", "tunnel", "refused", "x"]
    ),
    st.dictionaries(st.sampled_from(FIELDS), ANY, max_size=6),
    st.binary(max_size=300) | ANY.map(lambda value: json.dumps(value).encode()),
    st.integers(40, 200),
)
def test_whatever_is_told_fits_the_terminal_and_keeps_to_its_margin(kind, fields, data, columns):
    bodies = {"bodies": {"response": {"of": 9}}}
    content = {"seq": 1, "time": "2026-11-24T02:06:00.000000Z", "type": kind, **fields, **bodies}
    lines = list(timeline(Holding(data), [Kept("run-1", content)], columns))
    assert all(columns_of(line) <= columns and line.isprintable() for line in lines)
    ours = ("Session ", "  who ", "  started ", "  +0.000 s  ", " " * 10)
    assert all(line.startswith(ours) for line in lines if line)


class Holding(Recording):
    """A recording of which every body is this one."""

    def __init__(self, data):
        super().__init__(Path("nowhere"))
        self._data = data

    def body(self, kept, name, most=None):
        return self._data


def test_a_value_without_end_is_cut_and_it_is_said_how_it_is_seen_whole(tmp_path):
    fields = {"exchange": "e", "reason": "x" * 100_000, "subject": {"id": "y" * 100_000}}
    lines = told(tmp_path, "decision", fields)
    assert max(map(len, lines)) < 2100
    assert lines[-1].endswith("more characters: jitgate show run-1:1")


def test_a_scope_is_told_as_one(tmp_path):
    lines = told(tmp_path, "access.opened", OPENED | {"uses": 3})
    assert "an approval is for a scope, 3 times, within 5 min" in lines[-1]


def test_what_policy_approves_itself_waits_for_nobody(tmp_path):
    first, second = told(tmp_path, "access.opened", OPENED | {"auto": True, "quorums": []})[4:]
    assert "deactivateUser on okta is for policy itself to approve  [access request a-1" in first
    assert second.strip() == "an approval is for this call, once, within 5 min"


def test_what_a_request_is_called_in_the_targets_own_log_is_told(tmp_path):
    tokens = ["jitgate/x-17", "jitgate/x-17.2"]
    lines = told(tmp_path, "outcome", {"exchange": "x-17", "user_agent_tokens": tokens})
    assert lines[-1].strip() == "in the target's own log: jitgate/x-17, jitgate/x-17.2"


def test_how_a_websocket_was_closed_is_told(tmp_path):
    lines = told(tmp_path, "outcome", {"exchange": "x-1", "close": {"by": "target", "code": 4001}})
    assert lines[-1].strip() == "closed by the target, with code 4001"


def test_a_session_is_replayed_with_what_people_did(tmp_path, capsys):
    site = Site(tmp_path / "recordings")
    run = site.run()
    run.append([Entry(kind, START, fields) for kind, fields, _ in TOLD])
    run.close()
    where = {
        "recordings": site.folder,
        "config": None,
        "json": False,
        "follow": False,
        "speed": None,
        "pause": None,
    }
    assert replaying.replay(argparse.Namespace(id="run-1", **where)) == 0
    out = capsys.readouterr().out
    for kind, _, lines in TOLD:
        assert (lines[0] in out) is (not kind.endswith(".refused"))  # that is no session's
