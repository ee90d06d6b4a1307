"""The approver's commands, against a control socket that serves real access requests."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from approvers.site import ALICE, BOB, ME, Site
from pytest_twisted import async_yield_fixture, ensureDeferred
from support.access import access_request, grant, operation, subject
from support.access import ask as asked
from twisted.internet.threads import deferToThread

from jitgate.approvers import control
from jitgate.approvers.commands import Powers
from jitgate.approvers.shapes import request_content
from jitgate.cli import main
from jitgate.cli.asked import View, could_give, resource_words
from jitgate.flow.standing import Standing
from jitgate.values import (
    AccessState,
    Answer,
    Escalation,
    Less,
    Presence,
    Quorum,
    ResourceName,
    Risk,
    Shown,
    Terms,
)

NOW = 1_795_485_960.0
KEY = "a-3f9c21d04be87a10"
URL = "https://acme.okta.com/api/v1/users/00u1/lifecycle/deactivate"
DEACTIVATE = operation(target="okta", action="deactivateUser", resource={"userId": "00u1"})
HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\n\u202egpj.exe\u200b\x9b31m\x00\u2028\n  call  GET /harmless"


def deactivation(fingerprint="9f2c" * 16, **changes):
    return asked(fingerprint, **({"operation": DEACTIVATE, "shown": Shown(URL)} | changes))


class Told:
    def __init__(self, code, captured):
        self.code = code
        self.out = captured.out
        self.err = captured.err

    @property
    def content(self):
        return json.loads(self.out)


@async_yield_fixture
async def site(tmp_path, monkeypatch):
    site = Site(tmp_path, start=time.time())
    await site.start()
    monkeypatch.setenv("JITGATE_CONTROL", str(site.path))
    yield site
    await site.stop()


@pytest.fixture
def jitgate(capsys):
    """A command, run beside the reactor that answers it."""

    async def run(*arguments):
        code = await deferToThread(main, [str(each) for each in arguments])
        return Told(code, capsys.readouterr())

    return run


# --- how a request is shown


@pytest.fixture
def in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def shown(request, columns=100, *, may_answer=True, **how):
    content = request_content(request)
    return list(View(NOW + 120, columns, **how).request(content, may_answer=may_answer))


@pytest.mark.usefixtures("in_utc")
def test_a_request_is_shown_with_all_that_an_approver_has_to_know():
    who = subject(humans=("dana@acme.com",))
    request = access_request(KEY, deactivation(subject=who))
    assert shown(request, options=" --socket ./s") == [
        "Access request a-3f9c21d04be87a10 waits for an answer: 8 min left",
        "",
        "  action       deactivateUser on okta",
        "  resource     userId 00u1",
        f"  call         POST {URL}",
        "  body         no body",
        "",
        "  agent        bot-7, as https://idp.example says; session run-1",
        "  acts for     dana@acme.com",
        "  because      people-changes-need-a-human: Changes to people are looked at by IT",
        "  asked        one of it-leads",
        "  answer       none yet",
        "",
        "  approval     for this call alone, once, within 5 min of it",
        "  status       the agent waits for the answer",
        "  expires      02:16:00 UTC, in 8 min",
        "  opened       02:06:00 UTC",
        f"  fingerprint  {'9f2c' * 16}",
        "",
        "  jitgate approve a-3f9c21d04be87a10 --socket ./s",
        "  jitgate deny a-3f9c21d04be87a10 --socket ./s",
    ]


@pytest.mark.usefixtures("in_utc")
def test_a_scope_is_called_one_and_who_has_answered_is_told():
    terms = Terms((Quorum(("it-leads", "hr")), Quorum(("security",), 2)), 3, 90.0)
    body = '{"activate":true,"note":"漢字"}'
    call = Shown(
        "https://acme.okta.com/api/v1/users", (("content-type", "application/json"),), body, 34
    )
    request = access_request(
        KEY,
        deactivation(terms=terms, shown=call),
        presence=Presence.DETACHED,
        away_until=NOW + 130,
        answers=(Answer(BOB, True, NOW + 60, "cli", "fine"),),
    )
    lines = shown(request, may_answer=False)
    assert lines[4:11] == [
        "  call         POST https://acme.okta.com/api/v1/users",
        "  field        content-type: application/json",
        "  body         34 bytes; what is secret in it is masked",
        "  | {",
        '  |   "activate": true,',
        '  |   "note": "漢字"',
        "  | }",
    ]
    assert "  acts for     nobody that its token names" in lines
    assert "  asked        one of it-leads or hr, and 2 different people of security" in lines
    assert "  answer       bob@acme.com approved at 02:07:00 UTC by cli: fine" in lines
    said = " ".join(" ".join(lines).split())
    assert (
        "approval A SCOPE, NOT THIS CALL ALONE: up to 3 calls within 1 min 30 s of it, with any "
        "query, fields and body, of deactivateUser on okta, userId 00u1 status the agent is away"
    ) in said
    assert "withdrawn in 10 s unless it does" in said
    assert not any("jitgate approve" in line for line in lines)


@pytest.mark.parametrize("body", ["[" + "1," * 60 + "1]", '{"why":"' + "x" * 1000 + '"}'])
def test_whoever_has_not_seen_all_of_a_call_is_told_so_where_they_answer(body):
    request = access_request(KEY, deactivation(shown=Shown(URL, (), body, len(body))))
    lines = shown(request)
    at = lines.index(f"  jitgate approve {KEY}")
    assert "you have not seen all of it" in " ".join(" ".join(lines[at - 2 : at]).split())
    assert "have not seen all" not in " ".join(shown(request, whole=True))


def test_the_risk_of_an_operation_is_told():
    risky = operation(risk=Risk.DESTRUCTIVE)
    lines = shown(access_request(KEY, deactivation(operation=risky)))
    assert "  risk         destructive" in lines


def test_what_is_asked_ahead_of_a_call_is_not_said_to_have_no_body():
    terms = Terms((Quorum(("it-leads",)),), ahead=True)
    lines = shown(access_request(KEY, deactivation(terms=terms)))
    assert "  body         there is no call yet; any body and query may come" in lines
    said = " ".join(" ".join(lines).split())
    assert "AHEAD OF ANY CALL, FOR A TOKEN OF THE AGENT'S: 1 call within 5 min of it" in said
    assert "no body" not in said


def test_an_ended_request_says_how_it_ended_and_asks_for_nothing():
    why = f"Approved by {ALICE}."
    ended = replace(access_request(KEY), state=AccessState.APPROVED, why=why, grant="g-1")
    lines = shown(ended)
    assert lines[0] == f"Access request {KEY} is approved. {why}"
    assert "  grant        g-1" in lines
    assert not any("expires" in line or "jitgate" in line for line in lines)


def knowing(**names):
    """A request whose resource has this name, or none for this reason."""
    call = operation(target="okta", action="deactivateUser", resource={"userId": "00u1"})
    told = {"userId": ResourceName(**names)}
    return access_request(KEY, deactivation(operation=call, shown=Shown(URL, names=told)))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"name": "jane@acme.com"}, "(jane@acme.com)"),
        ({"name": "IT Leads (EU)"}, '("IT Leads (EU)")'),
        ({"name": "not found there"}, '("not found there")'),
        ({"why": "not found there", "lookup": "n-1"}, "(not found there)"),
        ({"name": 'a") approved'}, r'("a\") approved")'),
        ({"name": "\u202e\x1b[2J\n\x7f"}, r'("\u202e\u001b[2J\n\u007f")'),
        ({"name": "j\u0430ne@acme.com"}, r'("j\u0430ne@acme.com")'),
    ],
)
def test_a_name_stands_behind_its_id_and_cannot_pass_for_anything_else(names, said):
    request = knowing(**names)
    assert f"  resource     userId 00u1 {said}" in shown(request)
    content = request_content(request)
    assert resource_words(content) == f"userId 00u1 {said}"
    assert list(content["names"]) == ["userId"]
    scope = replace(request, ask=replace(request.ask, terms=Terms((Quorum(("it-leads",)),), 2)))
    assert f"userId 00u1 {said}" in " ".join(" ".join(shown(scope, 1000)).split())


def test_no_id_passes_for_one_with_a_name():
    call = operation(resource={"userId": "00u1 (jane@acme.com)"})
    lines = shown(access_request(KEY, deactivation(operation=call)))
    assert '  resource     userId "00u1 (jane@acme.com)"' in lines


def test_a_body_that_cannot_be_shown_is_said_to_be_there():
    request = access_request(KEY, deactivation(shown=Shown(URL, (), None, 4096)))
    said = "  body         4.0 KiB that cannot be shown: secrets in them could not be masked"
    assert said in shown(request)


def test_a_long_body_is_cut_where_that_is_seen_and_whole_when_all_is_asked_for():
    body = json.dumps({"long": "x" * 5000, "many": list(range(1000)), "last": "tail"})
    request = access_request(KEY, deactivation(shown=Shown(URL, (), body, len(body))))
    lines = shown(request)
    assert f"  … 966 more lines: jitgate requests {KEY} --all" in lines
    assert any("more characters: --all" in line for line in lines)
    assert "tail" not in "".join(lines)
    whole = "".join(line[4:] for line in shown(request, 80, whole=True) if line.startswith("  | "))
    assert json.loads(whole) == json.loads(body)


def hostile(key=KEY, text=HOSTILE, **changes):
    """A request in which everything that an agent can choose is hostile."""
    body = json.dumps({text: text * 3}, ensure_ascii=False)
    who = subject(id=text, issuer=text, humans=(text,), session=text)
    call = operation(target=text, action=text, resource={text: text}, method=text)
    return access_request(
        key,
        asked(
            text,
            subject=who,
            operation=call,
            session=text,
            rule=text,
            reason=text,
            shown=Shown(text, ((text, text),), body, len(body), names={text: ResourceName(text)}),
            terms=Terms((Quorum((text,)),), 2, 60.0),
        ),
        answers=(Answer(text, True, NOW, text, text),),
        why=text,
        **changes,
    )


@pytest.mark.parametrize("columns", [10, 40, 80, 1000])
@pytest.mark.parametrize(
    "text", [HOSTILE, "x" * 500 + " " * 300 + "call GET /harmless", "ᴀ\u0430" * 40]
)
def test_what_an_agent_wrote_keeps_to_its_place(columns, text):
    for line in shown(hostile(text=text), columns):
        assert line.isprintable()
        assert not line or line.startswith(("  ", "Access request "))
        if line.startswith("  | "):
            assert columns < 40 or len(line) <= columns


def test_a_body_of_a_mebibyte_is_shown_at_once():
    body = "x" * (1 << 20)
    before = time.monotonic()
    lines = shown(hostile(text="y" * 70_000), 80)
    lines += shown(access_request(KEY, asked(shown=Shown(URL, (), body, 1 << 20))), 80)
    assert len("".join(lines)) < 60_000
    assert time.monotonic() - before < 5


# --- what is listed


@ensureDeferred
async def test_where_nothing_waits_and_nothing_is_granted_that_is_said(site, jitgate):
    for command, said in (("requests", "Nothing waits.\n"), ("grants", "Nothing is granted.\n")):
        told = await jitgate(command)
        assert (told.code, told.out, told.err) == (0, said, "")
        assert (await jitgate(command, "--json")).content == []


@ensureDeferred
async def test_what_waits_is_a_table(site, jitgate):
    start = time.time()
    times = {"opened_at": start - 130, "expires_at": start + 470}
    away = {"presence": Presence.RECALLED, **times}
    await site.store.commit([access_request(KEY, deactivation(), **times)])
    await site.store.commit([access_request("a-2", deactivation("f2"), **away)])
    told = await jitgate("requests")
    heading, first, second, _, hint = told.out.splitlines()
    assert heading.split() == ["ID", "AGE", "EXPIRES", "AGENT", "ACTION", "RESOURCE", "STATUS"]
    assert first.startswith("a-2                 2 min 1")
    assert first.endswith("  away")
    assert second.startswith(f"{KEY}  2 min 1")
    assert second.endswith("bot-7  deactivateUser on okta  userId 00u1  waiting")
    assert hint == "To see one: jitgate requests ID"


@ensureDeferred
async def test_the_list_for_a_program_has_the_names_that_are_promised(site, jitgate):
    await site.store.commit([access_request(KEY, deactivation())])
    told = await jitgate("requests", "--json")
    (content,) = told.content
    promised = ["id", "state", "subject", "target", "action", "method", "url", "rule", "reason"]
    assert list(content)[:11] == [*promised, "fingerprint", "expires_at"]
    one = await jitgate("requests", KEY, "--json")
    assert one.content == content


@ensureDeferred
async def test_commands_to_paste_reach_the_same_gateway(site, jitgate, monkeypatch, tmp_path):
    later = {"expires_at": time.time() + 300}
    await site.store.commit([access_request(KEY, deactivation(), **later)])
    shown = await jitgate("requests", KEY[:10])
    assert shown.out.endswith(f"  jitgate approve {KEY}\n  jitgate deny {KEY}\n")
    monkeypatch.delenv("JITGATE_CONTROL")
    shown = await jitgate("requests", KEY, "--socket", site.path)
    assert f"  jitgate deny {KEY} --socket {site.path}\n" in shown.out
    folder = Path(shutil.copytree(Path(__file__).parents[2] / "etc", tmp_path / "etc"))
    file = folder / "jitgate.yaml"
    file.write_text(file.read_text().replace("socket: ./var/control.sock", f"socket: {site.path}"))
    shown = await jitgate("requests", KEY, "--config", file)
    assert f"  jitgate deny {KEY} --config {file}\n" in shown.out


@ensureDeferred
async def test_who_cannot_answer_is_not_told_how(site, jitgate):
    await site.store.commit([access_request(KEY, deactivation())])
    site.control.powers = Powers(auditors={ME: "eve@acme.com"})
    shown = await jitgate("requests", KEY)
    assert shown.code == 0
    assert "jitgate approve" not in shown.out


# --- what an answer does


@ensureDeferred
async def test_an_approval_that_is_enough_lets_the_call_go_out(site, jitgate):
    await site.store.commit([access_request(KEY, deactivation(), expires_at=time.time() + 60)])
    told = await jitgate("approve", KEY, "--reason", "IT-1")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines() == [
        f"{KEY}: deactivateUser on okta, asked by bot-7",
        "Approved: the agent's call goes out now.",
    ]
    assert (await site.access.request(KEY)).answers[0].reason == "IT-1"


@ensureDeferred
async def test_an_approval_that_is_not_enough_says_what_is_missing(site, jitgate):
    terms = Terms((Quorum(("it-leads",), 2), Quorum(("hr",))))
    times = {"expires_at": time.time() + 60}
    await site.store.commit([access_request(KEY, deactivation(terms=terms), **times)])
    told = await jitgate("approve", KEY)
    assert told.code == 0
    assert told.out.splitlines()[1:] == [
        "Approved; 2 more approvals are needed, of it-leads, hr.",
        "With them it gives: for this call alone, once, within 5 min of it.",
    ]


@ensureDeferred
async def test_an_approval_that_is_not_enough_says_what_it_gives_also_when_it_is_said_again(
    site, jitgate
):
    """The last answer counts: said again without --uses it gives all that policy offers."""
    terms = Terms((Quorum(("it-leads",), 2),), 5, 600.0)
    times = {"expires_at": time.time() + 60}
    await site.store.commit([access_request(KEY, deactivation(terms=terms), **times)])
    told = await jitgate("approve", KEY, "--uses", "2")
    assert "up to 2 calls within 10 min of it" in told.out
    assert "policy offers up to 5 calls within 10 min" in told.out
    assert "up to 5 calls within 10 min of it" in (await jitgate("approve", KEY)).out


@ensureDeferred
async def test_a_grant_for_an_agent_that_is_away_waits_for_it(site, jitgate):
    times = {"expires_at": time.time() + 60, "presence": Presence.DETACHED}
    await site.store.commit([access_request(KEY, deactivation(), **times)])
    told = await jitgate("approve", KEY)
    until = time.strftime("%H:%M:%S %Z", time.localtime(site.clock.seconds() + 300))
    assert told.out.splitlines()[1] == (
        f"Approved. The agent is away; the grant g-00000001 waits until {until} for it to send the "
        "call again."
    )


@pytest.mark.parametrize("presence", Presence)
@ensureDeferred
async def test_an_approval_ahead_of_a_call_says_that_the_agent_gets_a_token(
    site, jitgate, presence
):
    terms = Terms((Quorum(("it-leads",)),), ahead=True)
    times = {"expires_at": time.time() + 60, "presence": presence}
    await site.store.commit([access_request(KEY, deactivation(terms=terms), **times)])
    told = await jitgate("approve", KEY)
    until = time.strftime("%H:%M:%S %Z", time.localtime(site.clock.seconds() + 300))
    (said,) = told.out.splitlines()[1:]
    assert said == (
        "Approved: the agent now gets a token for it, whose calls go out under the grant g-00000001 "
        f"until {until}."
    )


@pytest.mark.parametrize(
    ("command", "exact"), [(["subjects", "revoke"], True), (["revoke"], False), (["deny"], False)]
)
def test_help_says_whether_the_beginning_of_an_id_will_do(capsys, command, exact):
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "The beginning of an id, eight characters at least, will do if it is unique." in said
    ) != exact
    assert ("as `jitgate sessions` shows it, and may be the program's client id." in said) == exact


@ensureDeferred
async def test_an_approval_of_a_scope_says_what_more_may_go_out(site, jitgate):
    terms = Terms((Quorum(("it-leads",)),), 3)
    times = {"expires_at": time.time() + 60}
    await site.store.commit([access_request(KEY, deactivation(terms=terms), **times)])
    told = await jitgate("approve", KEY)
    assert "goes out now, and up to 2 more like it until " in told.out
    told = await jitgate("grants")
    assert "3 of 3" in told.out
    assert "any deactivateUser on okta, userId 00u1" in told.out


@ensureDeferred
async def test_what_policy_approves_itself_asks_nobody(site, jitgate):
    asked = deactivation(terms=Terms((), auto=True))
    times = {"state": AccessState.APPROVED, "expires_at": time.time() + 60}
    await site.store.commit([access_request(KEY, asked, **times)])
    told = await jitgate("requests", KEY)
    assert "asked        nobody: policy approves it itself" in told.out
    told = await jitgate("approve", KEY)
    assert told.code == 1


@ensureDeferred
async def test_a_denial_and_a_revocation_say_what_they_do(site, jitgate):
    await site.store.commit([access_request(KEY, deactivation(), expires_at=time.time() + 60)])
    told = await jitgate("deny", KEY, "--reason", "no ticket")
    assert told.code == 0
    assert told.out.splitlines()[1].startswith("Denied. The agent is told so")
    await site.store.commit([grant("g-11111111", asked=deactivation())])
    told = await jitgate("revoke", "g-111111", "--reason", "too soon")
    assert told.code == 0
    assert told.out.splitlines()[1] == "Revoked: nothing goes out under it any more."


@ensureDeferred
async def test_answers_for_a_program_are_what_they_made(site, jitgate):
    await site.store.commit([access_request(KEY, deactivation(), expires_at=time.time() + 60)])
    told = await jitgate("approve", KEY, "--json")
    assert (told.content["id"], told.content["state"]) == (KEY, "approved")
    told = await jitgate("grants", "--json")
    assert told.content[0]["id"] == "g-00000001"
    told = await jitgate("revoke", "g-00000001", "--json")
    assert told.content["state"] == "revoked"


# --- no


@ensureDeferred
async def test_a_no_is_one_and_says_why(site, jitgate):
    own = deactivation(subject=subject(humans=(ALICE,)))
    await site.store.commit([access_request(KEY, own, expires_at=time.time() + 60)])
    for arguments, why in (
        (["approve", KEY], "Nobody answers what they"),
        (["deny", "a-99999999"], "No access request is called a-99999999"),
        (["requests", "a-99999999"], "No access request is called a-99999999"),
        (["approve", KEY[:4]], "needs 8 characters"),
        (["revoke", "g-99999999"], "no such grant"),
        (["approve", KEY, "--reason", "x" * 501], "A reason has at most 500 characters."),
        (["approve", KEY, "--reason", "\udcff"], "in UTF-8"),
        (["requests", "\x1b[2J" + "x" * 10], r"called \x1b[2Jxxx"),
    ):
        told = await jitgate(*arguments)
        assert (told.code, told.out) == (1, ""), told.err
        assert why in told.err
        assert told.err.count("\n") == 1
        assert told.err.rstrip("\n").isprintable()


@ensureDeferred
async def test_who_has_no_power_is_told_so_whatever_they_ask(site, jitgate):
    site.control.powers = Powers()
    for arguments in (["requests"], ["requests", "--follow"], ["approve", KEY], ["grants"]):
        told = await jitgate(*arguments)
        assert (told.code, told.out) == (1, "")
        assert f"uid {ME} has no power here." in told.err


@ensureDeferred
async def test_a_refusal_is_read_even_if_it_comes_before_the_question(site, jitgate):
    held = [socket.socket(socket.AF_UNIX) for _ in range(control.CONNECTIONS_OF_ONE)]
    for each in held:
        each.connect(str(site.path))
    told = await jitgate("requests")
    assert (told.code, told.err) == (1, "There are too many connections.\n")
    for each in held:
        each.close()


# --- it could not be told


@ensureDeferred
async def test_a_gateway_that_cannot_tell_is_no_yes_and_no_no(site, jitgate):
    site.store.failure = OSError("disk")
    for arguments in (["requests"], ["requests", "--follow"], ["approve", KEY], ["revoke", "g-1"]):
        told = await jitgate(*arguments)
        assert (told.code, told.out) == (2, "")
        assert told.err == "The access store was told to fail.\n"
    site.store.failure = None


@ensureDeferred
async def test_an_answer_that_is_cut_short_is_none(tmp_path, jitgate):
    whole = json.dumps(
        {"ok": True, "power": "approver", "request": request_content(access_request())}
    )
    for sent in (b"", whole.encode() + b"\n", whole.encode()[:50]):
        path = tmp_path / "s"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()

            def serve(listening=listening, sent=sent):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(9999)
                    connection.sendall(sent)

            serving = deferToThread(serve)
            told = await jitgate("requests", "--socket", path)
            await serving
        assert told.code == 2
        assert "before it had answered" in told.err
        assert "Nothing waits" not in told.out
        path.unlink()


def place(tmp_path, kind):
    """A path at which no gateway answers."""
    path = tmp_path / "control.sock"
    if kind == "left":
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
    elif kind == "file":
        path.touch()
    elif kind == "under a file":
        path.touch()
        return path / "control.sock"
    elif kind == "long":
        return tmp_path / ("x" * 120)
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("nothing", "There is no control socket at {path}: the gateway is not running, or its"),
        ("left", "Nobody answers at {path}: the gateway has ended without removing it."),
        ("file", "{path} is no socket."),
        ("under a file", "{path} cannot be reached: Not a directory."),
        ("long", "{path} cannot be reached: AF_UNIX path too long."),
    ],
)
@pytest.mark.parametrize("command", [["requests"], ["requests", "--follow"], ["approve", KEY],
                                     ["deny", KEY], ["grants"], ["revoke", "g-1"]])  # fmt: skip
def test_why_there_is_no_connection_is_told_in_a_sentence(tmp_path, capsys, kind, said, command):
    path = place(tmp_path, kind)
    code = main([*command, "--socket", str(path)])
    told = Told(code, capsys.readouterr())
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(said.format(path=path))
    assert told.err.count("\n") == 1


@pytest.mark.needs_root
def test_a_socket_behind_a_closed_folder_is_said_to_be_out_of_reach(tmp_path):
    script = (
        "import argparse, os, sys\n"
        "from jitgate.cli import answering, approving\n"
        "parser = argparse.ArgumentParser(); approving.register(parser.add_subparsers())\n"
        "options = parser.parse_args(['requests', '--socket', sys.argv[1]])\n"
        "os.setgroups([]); os.setgid(54321); os.setuid(54321)\n"
        "sys.exit(options.handler(options))"
    )
    path = place(tmp_path, "left")
    ran = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"{path} cannot be reached as uid 54321: a folder on the way")


def test_where_the_gateway_is_has_to_be_said_once(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("JITGATE_CONTROL", raising=False)
    assert main(["requests"]) == 2
    assert "--socket PATH" in capsys.readouterr().err
    for wrong in (
        ["requests", "--config", "x", "--socket", "y"],
        ["approve"],
        ["requests", "a", "b"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(wrong)
        assert ended.value.code == 2
    capsys.readouterr()
    assert main(["requests", KEY, "--follow", "--socket", "x"]) == 2
    assert capsys.readouterr().err == "Give an ID or --follow, not both.\n"
    (tmp_path / "jitgate.yaml").write_text("stat: ./var\n")
    assert main(["requests", "--config", str(tmp_path / "jitgate.yaml")]) == 2
    assert "The control socket alone will do" in capsys.readouterr().err


# --- in a process of its own


def started(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "jitgate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


async def read(process, count):
    """So many lines of its output."""
    return await deferToThread(lambda: [process.stdout.readline() for _ in range(count)])


async def ended(process):
    out, err = await deferToThread(process.communicate, timeout=30)
    return process.returncode, out, err


@ensureDeferred
async def test_a_follower_sees_a_block_for_what_comes_and_for_what_ends(site):
    process = started("requests", "--follow")
    assert await read(process, 2) == ["Nothing waits yet.\n", "\n"]
    request = access_request(KEY, deactivation(), expires_at=time.time() + 300)
    await site.store.commit([request])
    await site.control.tell(request)
    block = await read(process, 23)
    assert block[0].startswith(f"Access request {KEY} waits for an answer: ")
    assert block[-3:] == [f"  jitgate approve {KEY}\n", f"  jitgate deny {KEY}\n", "\n"]
    await site.ask("deny", id=KEY, reason="no")
    assert await read(process, 2) == [f"{KEY} has ended: denied. Denied by {ALICE}: no\n", "\n"]
    process.send_signal(signal.SIGINT)
    assert await ended(process) == (0, "", "")


@ensureDeferred
async def test_a_follower_sees_an_answer_that_is_not_the_last(site):
    terms = Terms((Quorum(("it-leads",), 2),))
    later = {"expires_at": time.time() + 300}
    await site.store.commit([access_request(KEY, deactivation(terms=terms), **later)])
    process = started("requests", "--follow")
    await read(process, 23)
    await site.ask("approve", id=KEY, reason="fine")
    first, second, _ = await read(process, 3)
    assert first.startswith(f"{KEY}: {ALICE} approved at ")
    assert second == "1 more approval is needed, of it-leads.\n"
    await site.control.stop()
    code, _, err = await ended(process)
    assert code == 2
    assert err.startswith("The gateway has ended the connection")


@ensureDeferred
async def test_a_program_follows_line_by_line(site):
    await site.store.commit([hostile()])
    process = started("requests", "--follow", "--json")
    (line,) = await read(process, 1)
    assert line.rstrip("\n").isprintable()
    assert json.loads(line)["resource"] == {HOSTILE: HOSTILE}
    await site.control.tell(access_request("a-2"))
    (line,) = await read(process, 1)
    assert json.loads(line)["id"] == "a-2"
    process.send_signal(signal.SIGINT)
    assert (await ended(process))[0] == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@ensureDeferred
async def test_nothing_that_an_agent_writes_is_obeyed_or_breaks_the_commands(site, encoding):
    start = time.time()
    times = {"opened_at": start, "expires_at": start + 300}
    await site.store.commit([hostile(**times)])
    foreign = asked("f2", shown=Shown(URL, (), json.dumps("漢\u0430\u202e", ensure_ascii=False), 9))
    await site.store.commit([access_request("a-22222222", foreign, **times)])
    await site.store.commit([grant("g-22222222", asked=hostile().ask, expires_at=start + 300)])
    for arguments in (
        ["requests"],
        ["requests", KEY],
        ["requests", KEY, "--all"],
        ["requests", "a-22222222"],
        ["grants"],
        ["approve", KEY],
        ["revoke", "g-22222222"],
        ["approve", "a-22222222"],
    ):
        code, out, err = await ended(started(*arguments, PYTHONIOENCODING=encoding))
        assert code == (1 if arguments == ["approve", KEY] else 0), err  # nobody is in that group
        for line in (out + err).split("\n"):
            assert line.isprintable(), repr(line)


def test_the_commands_start_without_what_the_gateway_needs():
    script = (
        "import sys; from jitgate.cli import main; main(['requests', '--socket', '/nowhere/s'])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"twisted", "pydantic", "cryptography", "ruamel", "zope"} & set(eval(ran.stdout))  # noqa: S307


# --- who may answer, and what they give


CLIMBING = Terms(
    (Quorum(("it-leads",), 2, (Escalation(300.0, ("security",)),), reason=True, denials=2),),
    uses=5,
    life=600.0,
)


@pytest.mark.usefixtures("in_utc")
def test_at_three_in_the_morning_a_request_says_all_that_it_takes():
    answers = (Answer(BOB, True, NOW + 60, "cli", "OPS-7", Less(uses=2, life=120.0)),)
    request = access_request(KEY, deactivation(terms=CLIMBING), answers=answers)
    request = replace(request, asked=4)
    standing = Standing(
        missing=(Quorum(("it-leads",)),), could_answer=("alice@acme.com",), objection=None
    )
    content = request_content(request, standing)
    lines = list(View(NOW + 120, 100).request(content, may_answer=True))
    begin = lines.index("  asked        2 different people of it-leads")
    assert lines[begin + 1 : begin + 11] == [
        "  answer       bob@acme.com approved up to 2 calls, for 2 min, at 02:07:00 UTC by cli: OPS-7",
        "  repeated     asked 4 times",
        "  missing      1 more approval is needed, of it-leads. Who could give it: alice@acme.com.",
        "  also asked   security, in 3 min, at 02:11:00 UTC",
        "  reason       an approval must say why",
        "  denial       2 people must deny it; one is not enough",
        "",
        "  approval     A SCOPE, NOT THIS CALL ALONE: up to 2 calls within 2 min of it, with any query,",
        "               fields and body, of deactivateUser on okta, userId 00u1; policy offers up to 5 calls",
        "               within 10 min",
    ]
    assert lines[-4:] == [
        f"  jitgate approve {KEY} --reason TEXT",
        f"  jitgate approve {KEY} --once --reason TEXT",
        f"  jitgate deny {KEY}",
        "  To give less: --once, for this call alone; --uses N; --life TIME, such as 2m.",
    ]


@pytest.mark.parametrize(
    ("could", "unknown", "empty", "said"),
    [
        ((), (), (), "Nobody is left who could give it."),
        ((), (), ("security",), "Nobody is left who could give it. Nobody is in security."),
        ((), ("it-leads",), (), "Who is in it-leads is not known yet."),
        (
            (ALICE,),
            ("security", "on\u202ecall"),
            ("a",),
            f"Who could give it: {ALICE}. Who is in security, on\\u202ecall is not known yet. Nobody is in a.",
        ),
    ],
)
def test_who_could_answer_is_said_as_far_as_it_is_known(could, unknown, empty, said):
    standing = Standing((Quorum(("it-leads",)),), could, None, unknown, empty)
    content = request_content(access_request(KEY, deactivation()), standing)
    assert could_give(content) == said


@pytest.mark.usefixtures("in_utc")
def test_those_who_are_asked_by_now_are_said_to_be():
    request = access_request(KEY, deactivation(terms=CLIMBING), escalated=300.0)
    assert "  also asked   security, since 02:11:00 UTC" in shown(request)


def test_who_may_not_answer_is_told_why_and_no_command():
    why = "Nobody answers what they, or an agent of theirs, asked for."
    content = request_content(access_request(KEY), Standing((), (), why))
    lines = list(View(NOW + 120, 200).request(content, may_answer=True))
    assert lines[-1] == f"  you          cannot answer it: {why}"
    assert not any("jitgate approve" in line for line in lines)


@ensureDeferred
async def test_a_window_is_given_in_part(site, jitgate):
    terms = Terms((Quorum(("it-leads",)),), 5, 600.0)
    later = {"expires_at": time.time() + 60}
    await site.store.commit([access_request(KEY, deactivation(terms=terms), **later)])
    refused = await jitgate("approve", KEY, "--uses", "6")
    assert (refused.code, refused.err) == (
        1,
        "Policy offers 1 to 5 uses here, and 6 cannot be given.\n",
    )
    told = await jitgate("approve", KEY, "--uses", "2", "--life", "2m")
    until = time.strftime("%H:%M:%S", time.localtime(site.clock.seconds() + 120))
    assert f"goes out now, and up to 1 more like it until {until}" in told.out
    (given,) = (await jitgate("grants", "--json")).content
    assert (given["left"], given["uses"], given["scope"]) == (2, 2, True)


@ensureDeferred
async def test_a_window_can_be_given_for_the_call_alone(site, jitgate):
    terms = Terms((Quorum(("it-leads",)),), 5, 600.0)
    later = {"expires_at": time.time() + 60}
    await site.store.commit([access_request(KEY, deactivation(terms=terms), **later)])
    told = await jitgate("approve", KEY, "--once")
    assert told.out.splitlines()[1] == "Approved: the agent's call goes out now."
    (given,) = (await jitgate("grants", "--json")).content
    assert (given["uses"], given["scope"]) == (1, False)
    told = await jitgate("requests", KEY)
    assert (
        "for this call alone, once, within 10 min of it; policy offers up to 5 calls"
        in " ".join(told.out.split())
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--uses", "many"], "uses is a whole number of at most 4 digits."),
        (["--uses", "-1"], "uses is a whole number of at most 4 digits."),
        (["--life", "long"], "life: a duration with its unit was expected, such as 500ms, 55s"),
        (["--life", "0s"], "Policy offers a life of 1 s to 5 min here, and 0 s cannot be given."),
    ],
)
@ensureDeferred
async def test_what_is_given_wrongly_is_said_and_nothing_is_approved(
    site, jitgate, arguments, says
):
    later = {"expires_at": time.time() + 60}
    await site.store.commit([access_request(KEY, deactivation(), **later)])
    told = await jitgate("approve", KEY, *[f"{'='.join(arguments)}"])
    assert told.code == 1
    assert told.err.startswith(says)
    assert (await site.store.request(KEY)).state is AccessState.PENDING


@ensureDeferred
async def test_an_approval_that_lacks_its_reason_is_refused_with_that_sentence(site, jitgate):
    terms = Terms((Quorum(("it-leads",), reason=True),))
    later = {"expires_at": time.time() + 60}
    await site.store.commit([access_request(KEY, deactivation(terms=terms), **later)])
    told = await jitgate("approve", KEY)
    sentence = "Policy wants a reason for this approval: say why it may go.\n"
    assert (told.code, told.err) == (1, sentence)
    assert (await jitgate("approve", KEY, "--reason", "OPS-7")).code == 0


@ensureDeferred
async def test_a_denial_that_is_not_enough_says_so(site, jitgate):
    terms = Terms((Quorum(("it-leads",), denials=2),))
    later = {"expires_at": time.time() + 60}
    await site.store.commit([access_request(KEY, deactivation(terms=terms), **later)])
    told = await jitgate("deny", KEY)
    assert told.out.splitlines()[1].startswith("Denied; 1 more of those who are asked must deny it")
    content = (await jitgate("requests", KEY, "--json")).content
    assert content["missing"] == [{"groups": ["it-leads"], "count": 1}]
    assert content["could_answer"] == sorted([ALICE, BOB])


def test_nothing_approves_more_than_one_request(capsys):
    for arguments in (["approve"], ["approve", "--all"], ["approve", "a-1", "a-2"]):
        with pytest.raises(SystemExit):
            main(arguments)
    capsys.readouterr()


@ensureDeferred
async def test_a_follower_sees_that_more_people_are_asked(site):
    request = access_request(KEY, deactivation(terms=CLIMBING), expires_at=time.time() + 300)
    await site.store.commit([request])
    process = started("requests", "--follow")
    while await read(process, 1) != [
        "  To give less: --once, for this call alone; --uses N; --life TIME, such as 2m.\n"
    ]:
        pass
    assert await read(process, 1) == ["\n"]
    (kept,) = await site.store.requests()
    revision = await site.store.commit([replace(kept, escalated=300.0)])
    await site.control.tell(replace(kept, escalated=300.0, revision=revision))
    assert await read(process, 2) == [f"{KEY}: security asked as well\n", "\n"]
    process.send_signal(signal.SIGINT)
    assert await ended(process) == (0, "", "")


@ensureDeferred
async def test_the_list_tells_how_often_the_same_was_asked(site, jitgate):
    later = {"expires_at": time.time() + 300}
    request = replace(access_request(KEY, deactivation(), **later), asked=4)
    await site.store.commit([request])
    assert (await jitgate("requests")).out.splitlines()[1].endswith("waiting, asked 4 times")
