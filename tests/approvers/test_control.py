"""The control socket: who gets what there, over a real socket with the kernel's own credentials."""

import json
import os
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from approvers.site import ALICE, BOB, ME, Site, ask, connected, lines_of
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.access import NOW, access_request, operation, subject
from support.access import ask as asked
from support.access import now as run_now
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from zope.interface.verify import verifyObject

from jitgate.approvers import control
from jitgate.approvers.carrying_out import BEGINNING_CHARS
from jitgate.approvers.commands import MAY, Power, Powers
from jitgate.errors import ApproversUnreachable, StateUnusable
from jitgate.flow import refusals
from jitgate.interfaces import IApproverChannel
from jitgate.testing.approvers import ChannelContract
from jitgate.values import AccessState, Shown

KEY = "a-00000000000001"
STRANGER = 54321
COMMANDS = ["requests", "request", "follow", "approve", "deny", "grants", "revoke", "reload"]
TAKING_AN_ID = {"request", "approve", "deny", "revoke"}

HOSTILE = (
    '\x1b[2J\x1b]0;owned\x07\r\n\u202egpj.exe\u200b\x9b31m\x00\u2028\U000e0041\n{"ok": true}\n'
)


def turn(seconds=0.0):
    """Let the reactor work."""
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    return deferLater(reactor, seconds)


async def until(condition):
    """Wait for what the reactor is about to do."""
    for _ in range(2000):
        if condition():
            return
        await turn(0.005)
    raise AssertionError("it does not happen")


def given_power(site, power, person=ALICE):
    """Let whoever runs the test have this power; None: none."""
    lists = {Power.APPROVER: "approvers", Power.OPERATOR: "operators", Power.AUDITOR: "auditors"}
    site.control.powers = Powers(**({} if power is None else {lists[power]: {ME: person}}))


# --- what is asked and answered


@ensureDeferred
async def test_the_requests_are_listed_the_earliest_first_and_the_end_is_told(site):
    await site.keep("a-1", opened_at=NOW - 20)
    await site.keep("a-2", opened_at=NOW - 10)
    first, second, end = await site.ask("requests")
    assert [each["request"]["id"] for each in (first, second)] == ["a-1", "a-2"]
    assert first["ok"] is second["ok"] is True
    assert end == {"ok": True, "end": True}


@ensureDeferred
async def test_a_request_has_the_names_that_programs_rely_on(site):
    await site.keep(KEY)
    (line,) = await site.ask("request", id=KEY)
    content = line["request"]
    assert list(content)[:11] == [
        "id",
        "state",
        "subject",
        "target",
        "action",
        "method",
        "url",
        "rule",
        "reason",
        "fingerprint",
        "expires_at",
    ]
    assert (content["id"], content["state"], content["subject"]) == (KEY, "pending", "bot-7")
    assert content["expires_at"] == "2026-11-24T02:16:00.000000Z"
    assert content["quorums"] == [{"groups": ["it-leads"], "count": 1}]
    assert (content["uses"], content["life"], content["scope"]) == (1, 300.0, False)
    assert (content["body"], content["body_bytes"]) == ('{"why": "left"}', 15)
    assert content["headers"] == [["Content-Type", "application/json"]]


@ensureDeferred
async def test_an_approval_makes_a_grant_which_can_be_seen_and_revoked(site):
    await site.keep(KEY)
    (approved,) = await site.ask("approve", id=KEY, reason="looks right")
    request = approved["request"]
    assert request["state"] == "approved"
    answer = {"approver": ALICE, "approves": True, "reason": "looks right", "channel": "cli"}
    assert request["answers"] == [answer | {"at": "2026-11-24T02:06:00.000000Z", "less": None}]
    seen, _ = await site.ask("grants")
    assert (seen["grant"]["id"], seen["grant"]["left"]) == (request["grant"], 1)
    assert seen["grant"]["approved_by"] == [ALICE]
    (revoked,) = await site.ask("revoke", id=request["grant"], reason="too soon")
    assert (revoked["grant"]["state"], revoked["grant"]["left"]) == ("revoked", 0)
    assert revoked["grant"]["why"] == f"Revoked by {ALICE}: too soon"
    assert site.refused() == []


@ensureDeferred
async def test_a_denial_ends_a_request(site):
    await site.keep(KEY)
    (denied,) = await site.ask("deny", id=KEY, reason="no ticket")
    assert (denied["request"]["state"], denied["request"]["grant"]) == ("denied", None)
    assert denied["request"]["why"] == f"Denied by {ALICE}: no ticket"


@ensureDeferred
async def test_an_id_may_be_cut_to_a_beginning_that_is_unique_and_long_enough(site):
    await site.keep("a-0000000001", "a-0000000002", "a-1111111111")
    (cut,) = await site.ask("request", id="a-1111111111"[:BEGINNING_CHARS])
    assert cut["request"]["id"] == "a-1111111111"
    for beginning in ("a-111", "", "a-00000000", "a-2222222222"):
        for command in ("request", "approve"):
            (told,) = await site.ask(command, id=beginning)
            assert (told["ok"], told["refused"]) == (False, True)
    assert not (await site.store.grants())


@ensureDeferred
async def test_hostile_text_of_a_mebibyte_arrives_as_it_is_and_in_one_line(site):
    body = json.dumps({HOSTILE: HOSTILE * 20_000}, ensure_ascii=False)
    assert len(body) > 1 << 20
    fields = {"session": HOSTILE, "reason": HOSTILE, "rule": HOSTILE}
    who = subject(id=HOSTILE, issuer=HOSTILE, humans=(HOSTILE,))
    call = operation(action=HOSTILE, resource={HOSTILE: HOSTILE})
    shown = Shown(HOSTILE, ((HOSTILE, HOSTILE),), body, len(body))
    hostile = asked(subject=who, operation=call, shown=shown, **fields)
    await site.keep(KEY, asked=hostile)
    line, end = await site.ask("requests")
    assert end == {"ok": True, "end": True}
    assert [line] == await site.ask("request", id=KEY)
    assert line["request"]["body"] == body
    assert line["request"]["resource"] == {HOSTILE: HOSTILE}


# --- who gets it


@pytest.mark.parametrize("power", [*Power, None])
@pytest.mark.parametrize("command", COMMANDS)
@ensureDeferred
async def test_everybody_gets_what_goes_with_their_power_and_nothing_else(site, power, command):
    await site.keep(KEY)
    given_power(site, power)
    more = {"id": KEY} if command in TAKING_AN_ID else {}
    if power is not None and command in MAY[power]:
        if command != "follow":
            told = await site.ask(command, **more)
            assert told[0]["ok"] is (command != "revoke")  # there is nothing to revoke
        return
    (told,) = await site.ask(command, **more)
    assert (told["ok"], told["refused"]) == (False, True)
    (entry,) = site.refused()
    about = {"grant" if command == "revoke" else "access_request": KEY} if more else {}
    assert entry == {
        "uid": ME,
        "pid": os.getpid(),
        "person": None if power is None else ALICE,
        "command": command,
        **about,
        "why": told["error"],
    }
    assert (await site.access.request(KEY)).answers == ()
    assert site.reloaded == []


def test_no_power_but_an_approvers_answers_and_none_but_an_operators_reloads():
    assert {power for power in Power if MAY[power] & {"approve", "deny"}} == {Power.APPROVER}
    assert {power for power in Power if "reload" in MAY[power]} == {Power.OPERATOR}


@ensureDeferred
async def test_an_operator_reloads_and_reads_what_came_of_it(site):
    given_power(site, Power.OPERATOR)
    (done,) = await site.ask("reload")
    versions = {"file": "/etc/jitgate.yaml", "before": "p1", "policy": "p2"}
    assert done == {"ok": True, "reload": {"replaced": True, **versions}}
    assert site.reloaded == [{"uid": ME, "pid": os.getpid(), "person": ALICE}]
    site.reloads = replace(site.reloads, policy="p1", problems=("a.yaml:1: wrong", "b"))
    first, second, done = await site.ask("reload")
    assert [first["problem"], second["problem"]] == ["a.yaml:1: wrong", "b"]
    assert done["reload"]["replaced"] is False
    (told,) = await site.ask("reload", id=KEY)
    assert told["error"] == "reload takes nothing beside its name."


def test_a_uid_has_one_power():
    with pytest.raises(ValueError, match="more than one list"):
        Powers(approvers={1: ALICE}, operators={1: BOB})


@ensureDeferred
async def test_what_a_caller_says_of_itself_is_not_believed(site):
    await site.keep(KEY)
    given_power(site, None)
    said = {"uid": "0", "person": BOB, "power": "approver"}
    (told,) = await site.ask("approve", id=KEY, **said)
    assert not told["ok"]
    given_power(site, Power.APPROVER)
    (told,) = await site.ask("approve", id=KEY, approver=BOB)
    assert told["error"] == "approve takes id, life, once, reason, uses beside its name."
    assert (await site.access.request(KEY)).state is AccessState.PENDING


def as_user(uid, path, line):
    """What another user gets, in a process of its own."""
    script = (
        "import os, socket, sys\n"
        "os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[2])\n"
        "s.sendall(sys.argv[3].encode())\n"
        "while data := s.recv(65536): sys.stdout.write(data.decode())\n"
    )
    command = [sys.executable, "-I", "-c", script, str(uid), str(path), line]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(each) for each in ran.stdout.splitlines()]


@pytest.mark.needs_root
@ensureDeferred
async def test_another_user_is_who_the_kernel_says(site):
    await site.keep(KEY, "a-00000000000002")
    site.control.powers = Powers(approvers={STRANGER: BOB}, auditors={STRANGER + 1: ALICE})
    approve = json.dumps({"command": "approve", "id": KEY}) + "\n"
    (told,) = await deferToThread(as_user, STRANGER + 1, site.path, approve)
    assert told["error"] == (
        f"{ALICE} is an auditor and cannot approve: "
        "that takes a uid which stands in control.approvers."
    )
    (told,) = await deferToThread(as_user, STRANGER + 2, site.path, approve)
    assert "has no power here" in told["error"]
    (told,) = await deferToThread(as_user, STRANGER, site.path, approve)
    assert told["request"]["answers"][0]["approver"] == BOB
    assert [(e["uid"], e["person"]) for e in site.refused()] == [
        (STRANGER + 1, ALICE),
        (STRANGER + 2, None),
    ]


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ({"id": ALICE}, "Nobody answers what they"),
        ({"humans": (ALICE.upper(),)}, "Nobody answers what they"),
    ],
)
@ensureDeferred
async def test_nobody_approves_what_they_asked_for_and_who_tries_is_on_record(site, who, why):
    await site.keep(KEY, asked=asked(subject=subject(**who)))
    (told,) = await site.ask("approve", id=KEY[:10], reason="mine")
    assert why in told["error"]
    (entry,) = site.refused()
    assert (entry["access_request"], entry["person"], entry["why"]) == (KEY, ALICE, told["error"])


@ensureDeferred
async def test_who_is_not_asked_does_not_count_and_is_on_record(site):
    given_power(site, Power.APPROVER, "carol@acme.com")
    await site.keep(KEY)
    (told,) = await site.ask("deny", id=KEY)
    assert "in none of the groups" in told["error"]
    assert len(site.refused()) == 1


# --- what is no request


MALFORMED = [
    b"\n",
    b"\xff\xfe\n",
    b"[]\n",
    b'"approve"\n',
    b"{}\n",
    b'{"command": "reboot"}\n',
    b'{"command": ["approve"]}\n',
    b'{"command": "approve"}\n',
    b'{"command": "approve", "id": 7}\n',
    b'{"command": "approve", "id": ""}\n',
    b'{"command": "approve", "id": "\\ud800"}\n',
    b'{"command": "requests", "id": "a-1"}\n',
    b'{"command": "request", "id": "' + b"x" * 101 + b'"}\n',
    b'{"command": "deny", "id": "a-1", "reason": "' + b"x" * 501 + b'"}\n',
    b'{"command": "requests", "pad": "' + b" " * control.REQUEST_BYTES + b'"}\n',
    b"x" * (control.REQUEST_BYTES + 1),
    b"[" * 5000 + b"\n",
    b"GET / HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("line", MALFORMED)
@ensureDeferred
async def test_what_is_no_request_is_refused_in_a_sentence_and_on_record(site, line):
    told = await site.raw(line)
    if told:  # whoever sends more than a line may be cut off before
        assert (told[0]["ok"], told[0]["refused"]) == (False, True)
        assert told[0]["error"].endswith((".", "name"))
    assert len(site.refused()) == 1
    json.dumps(site.refused()).encode("utf-8")


SPOILED = st.dictionaries(
    st.sampled_from(["command", "id", "reason", "uid"]) | st.text(max_size=5),
    st.sampled_from([*COMMANDS, KEY]) | st.text() | st.integers() | st.none(),
).map(lambda each: json.dumps(each | {"": ""}).encode() + b"\n")


@ensureDeferred
async def test_whatever_bytes_come_nothing_breaks_and_nothing_is_answered(site):
    await site.keep(KEY)

    @given(st.lists(st.binary() | SPOILED, max_size=4).map(b"".join))
    def holds(data):
        assert not any(line["ok"] for line in ask(site.path, data.rstrip(b"\n") + b"\n"))

    await deferToThread(holds)
    assert (await site.access.request(KEY)).state is AccessState.PENDING
    assert (await site.ask("requests"))[0]["ok"]


@ensureDeferred
async def test_a_connection_asks_one_thing(site):
    await site.keep(KEY, "a-00000000000002")
    lines = [{"command": "deny", "id": KEY}, {"command": "deny", "id": "a-00000000000002"}]
    await site.raw("".join(json.dumps(each) + "\n" for each in lines).encode())
    assert (await site.access.request("a-00000000000002")).state is AccessState.PENDING


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@ensureDeferred
async def test_a_file_that_is_sent_along_is_closed_and_its_sender_refused(site, folder):
    before = open_files()

    def send():
        with connected(site.path) as connection, (folder / "file").open("w") as file:
            socket.send_fds(connection, [b"{"], [file.fileno()] * 20)
            return lines_of(connection)

    assert not any(line["ok"] for line in await deferToThread(send))
    assert site.refused()[0]["why"] == "No file is taken."
    await until(lambda: not site.control.open)
    assert open_files() == before


# --- on record, first


@ensureDeferred
async def test_a_refusal_is_answered_once_it_is_on_record(site):
    given_power(site, None)
    gate = Deferred()

    async def held(work, *args):
        if args:
            await gate
        return work(*args)

    site.recorder._in_thread = held
    answer = Deferred.fromCoroutine(site.ask("requests"))
    await until(lambda: site.control.open)
    await turn(0.05)
    assert not answer.called
    gate.callback(None)
    (told,) = await answer
    assert not told["ok"]
    assert len(site.refused()) == 1


@ensureDeferred
async def test_with_the_recorder_down_who_is_refused_stays_refused(site):
    given_power(site, None)
    site.records.failure = OSError(28, "No space left on device")
    for _ in range(3):
        (told,) = await site.ask("requests")
        assert (told["ok"], told["refused"]) == (False, True)
    site.records.failure = None
    site.clock.advance(1)
    await site.ask("requests")
    (entry,) = site.refused()
    assert entry["left_out"] == 3


@ensureDeferred
async def test_a_flood_of_refusals_is_counted_and_the_next_entry_says_how_many(site):
    given_power(site, None)
    for _ in range(refusals.EACH + 7):
        await site.ask("approve", id=KEY)
    assert len(site.refused()) == refusals.EACH
    site.clock.advance(refusals.SPAN)
    assert len(site.refused()) == refusals.EACH + 1
    assert (site.refused()[-1]["uid"], site.refused()[-1]["left_out"]) == (ME, 7)
    await site.ask("approve", id=KEY)
    assert site.refused()[-1]["command"] == "approve"
    site.clock.advance(refusals.SPAN)
    site.clock.advance(refusals.SPAN)
    assert len(site.refused()) == refusals.EACH + 2


@ensureDeferred
async def test_what_was_only_counted_is_on_record_when_the_socket_closes(site):
    given_power(site, None)
    for _ in range(refusals.EACH + 2):
        await site.ask("approve", id=KEY)
    await site.control.stop()
    assert site.refused()[-1]["left_out"] == 2


@ensureDeferred
async def test_a_user_of_many_uids_fills_the_record_no_faster(site):
    noted = site.control.attempts
    command = control.Command("approve", KEY)
    for uid in range(1000, 1000 + refusals.APART + 5):
        for _ in range(refusals.EACH + 1):
            await noted.note(control.Caller(1, uid), command, control.Refused("No."))
    assert len(site.refused()) == refusals.EACH * (refusals.APART + 1)
    site.clock.advance(refusals.SPAN)
    left_out = sum(entry.get("left_out", 0) for entry in site.refused())
    assert left_out + refusals.EACH * (refusals.APART + 1) == (refusals.EACH + 1) * (
        refusals.APART + 5
    )


# --- bounds


@ensureDeferred
async def test_who_does_not_ask_in_time_is_let_go(site):
    with connected(site.path) as silent:
        silent.sendall(b'{"command": ')
        await until(lambda: site.control.open)
        site.clock.advance(control.REQUEST_WITHIN)
        (told,) = await deferToThread(lines_of, silent)
    assert told["error"] == "No request came within 5 seconds."


@ensureDeferred
async def test_a_stranger_that_connects_and_says_nothing_is_on_record(site):
    connected(site.path).close()
    await until(lambda: not site.control.open)
    await turn(0.02)
    assert site.refused() == []
    given_power(site, None)
    connected(site.path).close()
    await until(site.refused)
    assert site.refused()[0]["command"] is None


@ensureDeferred
async def test_nobody_takes_all_the_connections(site):
    held = [connected(site.path) for _ in range(control.CONNECTIONS_OF_ONE)]
    (told,) = await site.ask("requests")
    assert told["error"] == "There are too many connections."
    held.pop().close()
    await until(lambda: len(site.control.open) < control.CONNECTIONS_OF_ONE)
    assert (await site.ask("requests"))[0]["ok"]
    for each in held:
        each.close()


@ensureDeferred
async def test_those_without_power_share_what_connections_they_may_have(site, monkeypatch):
    await until(lambda: not site.control.open)

    class Held:
        def __init__(self, caller):
            self.caller = caller

    strangers = [Held(control.Caller(1, uid)) for uid in range(control.CONNECTIONS_OF_ONE + 1)]
    monkeypatch.setattr(site.control, "open", set(strangers))
    assert not site.control.has_room(strangers[0].caller)
    assert site.control.has_room(control.Caller(1, 0, ALICE, Power.APPROVER))
    people = [Held(control.Caller(1, n, ALICE, Power.APPROVER)) for n in range(300)]
    monkeypatch.setattr(site.control, "open", set(people))
    assert not site.control.has_room(people[0].caller)


@ensureDeferred
async def test_who_does_not_read_is_cut_off(site):
    body = "x" * (1 << 20)
    for number in range(4):
        shown = Shown("https://api.example/", (), body, len(body))
        await site.keep(f"a-{number}", asked=asked(f"f{number}", shown=shown))
    with connected(site.path) as lazy:
        lazy.sendall(b'{"command": "requests"}\n')
        await until(lambda: any(each._room for each in site.control.open))
        site.clock.advance(control.UNREAD)
        await until(lambda: not site.control.open)
    told = await site.ask("requests")
    assert len(told) == 5


# --- following


class Follower:
    """A program that follows, and reads when it is told to."""

    def __init__(self, path):
        self.connection = connected(path)
        self.connection.sendall(b'{"command": "follow"}\n')
        self.lines = self.connection.makefile("rb")

    async def line(self):
        return await deferToThread(self.lines.readline)

    async def next(self):
        return json.loads(await self.line())

    async def rest(self):
        return [json.loads(line) for line in await deferToThread(self.lines.readlines)]

    def close(self):
        self.lines.close()
        self.connection.close()


@pytest.fixture
def follow(site):
    opened = []

    def open_one():
        opened.append(Follower(site.path))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@ensureDeferred
async def test_a_follower_sees_what_is_pending_and_then_everything_that_happens(site, follow):
    await site.keep(KEY)
    follower = follow()
    assert (await follower.next())["request"]["id"] == KEY
    assert await follower.next() == {"ok": True, "end": True}
    await site.ask("deny", id=KEY)
    line = (await follower.next())["request"]
    assert (line["id"], line["state"]) == (KEY, "denied")
    new = access_request("a-00000000000009")
    await site.control.tell(new)
    await site.control.tell(replace(new, state=AccessState.EXPIRED))
    assert [(await follower.next())["request"]["state"] for _ in "12"] == ["pending", "expired"]


@ensureDeferred
async def test_a_follower_is_not_shown_what_it_has_seen_newer(site, follow):
    await site.keep(KEY)
    follower = follow()
    kept = (await follower.next(), await follower.next())[0]
    assert kept["request"]["id"] == KEY
    await site.control.tell(access_request(KEY))  # told when it was opened, read when it was kept
    await site.control.tell(access_request("a-2"))
    assert (await follower.next())["request"]["id"] == "a-2"


@pytest.mark.parametrize("power", [Power.OPERATOR, None])
@ensureDeferred
async def test_a_follower_who_is_somebody_else_by_now_follows_no_longer(site, follow, power):
    follower = follow()
    assert await follower.next() == {"ok": True, "end": True}
    site.control.adopt(site.powers)
    await site.keep(KEY)
    await site.control.tell(await site.access.request(KEY))
    assert (await follower.next())["request"]["id"] == KEY
    given_power(site, power, BOB)
    site.control.adopt(site.control.powers)
    await site.control.tell(await site.access.request(KEY))
    assert await follower.line() == b""
    (told, *_) = await site.ask("requests")
    assert told["ok"] is (power is not None)


@ensureDeferred
async def test_a_copy_ends_with_the_power_to_take_it(site):
    begun, on = [], Deferred()

    async def copies(_caller, _reason):
        begun.append(True)
        await on
        yield {"ok": True, "file": "site/000000000000.jsonl", "data": ""}

    site.control.copies = copies
    given_power(site, Power.AUDITOR, BOB)
    asked = Deferred.fromCoroutine(site.ask("copy"))
    await until(lambda: begun)
    given_power(site, None)
    site.control.adopt(site.control.powers)
    on.callback(None)
    assert await asked == []


@ensureDeferred
async def test_a_follower_that_does_not_keep_up_is_cut_off_and_no_other(site, follow):
    lazy, good = follow(), follow()
    assert await lazy.next() == await good.next()
    shown = Shown("https://api.example/", (), "x" * (1 << 20), 1 << 20)
    big = access_request(KEY, asked(shown=shown))
    for _ in range(control.AHEAD + 8):
        await site.control.tell(big)
        assert (await good.next())["request"]["id"] == KEY
    await until(lambda: len(site.control.open) == 1)


@ensureDeferred
async def test_a_follower_that_goes_on_asking_is_cut_off(site, follow):
    follower = follow()
    await follower.next()
    follower.connection.sendall(b'{"command": "requests"}\n')
    await until(lambda: not site.control.open)


@ensureDeferred
async def test_a_follower_that_leaves_is_forgotten(site, follow):
    follower = follow()
    await follower.next()
    follower.close()
    await until(lambda: not site.control.open)
    await site.control.tell(access_request(KEY))


@ensureDeferred
async def test_followers_are_let_go_when_it_stops(site, follow):
    follower = follow()
    await follower.next()
    await site.control.stop()
    assert await follower.rest() == []


@ensureDeferred
async def test_an_answer_at_hand_is_finished_when_it_stops(site):
    await site.keep(KEY)
    gate = Deferred()

    async def held(work, *args):
        if args:
            await gate
        return work(*args)

    site.recorder._in_thread = held
    answer = Deferred.fromCoroutine(site.ask("deny", id=KEY))
    await until(lambda: site.control.open)
    await turn(0.02)
    stopping = Deferred.fromCoroutine(site.control.stop())
    await turn(0.02)
    assert not stopping.called
    gate.callback(None)
    (told,) = await answer
    assert told["request"]["state"] == "denied"
    await stopping


@ensureDeferred
async def test_who_does_not_read_does_not_keep_it_from_stopping(site):
    shown = Shown("https://api.example/", (), "x" * (1 << 20), 1 << 20)
    await site.keep(KEY, asked=asked(shown=shown))
    with connected(site.path) as lazy:
        lazy.sendall(b'{"command": "requests"}\n')
        await until(lambda: any(each._room for each in site.control.open))
        stopping = Deferred.fromCoroutine(site.control.stop())
        await turn(0.02)
        assert not stopping.called
        site.clock.advance(control.GRACE)
        await stopping


# --- the channel


def test_it_is_a_channel(folder):
    assert verifyObject(IApproverChannel, Site(folder).control)


def test_nobody_can_be_told_where_there_is_no_socket(folder):
    with pytest.raises(ApproversUnreachable):
        run_now(Site(folder).control.tell(access_request()))


# --- faults


@ensureDeferred
async def test_what_is_down_is_told_as_such_and_nothing_is_done(site):
    await site.keep(KEY)
    site.store.failure = OSError("disk")
    for command in ("requests", "follow", "approve"):
        (told,) = await site.ask(command, **({"id": KEY} if command == "approve" else {}))
        assert (told["ok"], told["refused"]) == (False, False)
        assert told["error"] == "The access store was told to fail."
    site.store.failure = None
    assert (await site.access.request(KEY)).state is AccessState.PENDING


@ensureDeferred
async def test_of_an_unforeseen_fault_the_message_is_for_nobody(site, nothing_unnoticed):
    async def broken():
        raise ValueError("secret-0001")

    site.access.requests = broken
    for command in ("requests", "follow"):
        (told,) = await site.ask(command)
        assert told == {"ok": False, "error": control.FAULT, "refused": False}
    said = [event["how"] for event in nothing_unnoticed]
    assert len(said) == 2
    assert all("ValueError at" in each and "secret-0001" not in each for each in said)
    nothing_unnoticed.clear()


# --- the file


@ensureDeferred
async def test_everybody_can_connect_so_that_everybody_can_be_refused(site):
    mode = site.path.lstat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o666
    assert [each.name for each in site.path.parent.iterdir()] == ["control.sock"]


@ensureDeferred
async def test_the_file_goes_with_the_socket(site):
    await site.control.stop()
    assert not site.path.exists()


@ensureDeferred
async def test_a_file_that_is_anothers_by_now_stays(site):
    site.path.unlink()
    site.path.write_text("mine")
    await site.control.stop()
    assert site.path.read_text() == "mine"


@ensureDeferred
async def test_a_socket_that_a_crash_left_is_replaced(folder):
    site = Site(folder)
    for name in ("control.sock", "control.sock.new"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(folder / name))
    await site.start()
    assert await site.ask("requests") == [{"ok": True, "end": True}]
    await site.stop()


def in_the_way(folder, kind):
    path = folder / "control.sock"
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to a file":
        (folder / "file").write_text("mine")
        path.symlink_to(folder / "file")
    elif kind == "link to nothing":
        path.symlink_to(folder / "nothing")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "another's datagrams":
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
            left.bind(str(path))
            yield
    elif kind == "file of the other name":
        path.with_name("control.sock.new").write_text("mine")
    yield


@pytest.mark.parametrize(
    "kind",
    ["file", "folder", "link to a file", "link to nothing", "pipe", "another's datagrams",
     "file of the other name"],
)  # fmt: skip
@ensureDeferred
async def test_what_is_no_socket_left_by_a_crash_is_not_touched(folder, kind):
    held = in_the_way(folder, kind)
    next(held)
    before = sorted((each.name, each.lstat().st_ino) for each in folder.iterdir())
    with pytest.raises(StateUnusable) as refused:
        await Site(folder).control.start()
    assert str(folder / "control.sock") in str(refused.value)
    assert str(refused.value).endswith(".")
    assert sorted((each.name, each.lstat().st_ino) for each in folder.iterdir()) == before
    held.close()


@ensureDeferred
async def test_a_socket_that_somebody_answers_at_is_not_taken_away(site):
    await site.keep(KEY)
    with pytest.raises(StateUnusable, match="Another gateway answers"):
        await site.another().start()
    assert (await site.ask("requests"))[0]["request"]["id"] == KEY


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
@ensureDeferred
async def test_a_folder_in_which_others_could_put_their_own_is_refused(folder, mode):
    folder.chmod(mode)
    with pytest.raises(StateUnusable, match="can be written to by others"):
        await Site(folder).control.start()
    assert list(folder.iterdir()) == []


@ensureDeferred
async def test_a_path_that_no_socket_can_have_is_said_to_be_too_long(folder):
    with pytest.raises(StateUnusable, match="too long"):
        await Site(folder / ("x" * 100)).control.start()
    (folder / "file").touch()
    with pytest.raises(StateUnusable, match="file exists"):
        await Site(folder / "file").control.start()


@ensureDeferred
async def test_a_folder_that_is_not_there_is_made(folder):
    site = Site(folder / "run" / "jitgate")
    await site.start()
    assert (await site.ask("grants")) == [{"ok": True, "end": True}]
    await site.stop()


class TestSocket(ChannelContract):
    """What is asked of a site's own channels."""

    @pytest.fixture(autouse=True)
    def _there(self, site):
        self.site = site

    def make(self):
        made = self.site.control
        made.version = "1"
        return made

    def unreachable(self):
        return self.site.another()
