"""What comes back: every callback arrives over real HTTP, signed by the specification's library."""

import json
from dataclasses import replace

import pytest
from approvers.site import ALICE, BOB
from approvers.webhook.site import IN, OUT, HookSite
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.access import ask as asked
from support.access import at_once, subject
from support.receiver import called_back, secret
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater

from jitgate.approvers.commands import REASON_CHARS
from jitgate.approvers.webhook.answering import Answers
from jitgate.approvers.webhook.messages import BODY_CHARS
from jitgate.approvers.webhook.reading import Answering, Unread, read
from jitgate.approvers.webhook.resource import BODY_BYTES
from jitgate.core.access import EXPIRE
from jitgate.core.standard_webhooks import TOLERANCE
from jitgate.flow.refusals import EACH
from jitgate.values import AccessState, Less, Quorum, Risk, Shown, Terms

EVE = "eve@acme.com"


async def state_of(site, request):
    return (await site.store.request(request.id)).state


# --- what counts


@ensureDeferred
async def test_an_approval_counts_and_is_on_record_before_it_is_said(site):
    request = await site.ask()
    replied = await site.answer(request, reason="OPS-7")
    assert replied.status == 200
    after = await site.store.request(request.id)
    assert replied.said == {
        "counted": True,
        "access_request": {
            "id": request.id,
            "state": "approved",
            "why": f"Approved by {ALICE}.",
            "grant": after.grant,
        },
    }
    (entry,) = site.answered()
    assert (entry["approver"], entry["channel"], entry["reason"]) == (ALICE, "ops", "OPS-7")
    assert site.refused() == []


@ensureDeferred
async def test_a_denial_counts(site):
    request = await site.ask()
    replied = await site.answer(request, approves=False, reason="no ticket")
    assert (replied.status, replied.said["access_request"]["state"]) == (200, "denied")
    assert replied.said["access_request"]["why"] == f"Denied by {ALICE}: no ticket"


@ensureDeferred
async def test_an_approver_gives_less(site):
    terms = Terms((Quorum(("it-leads",)),), uses=5, life=300.0)
    request = await site.ask(asked=asked(terms=terms))
    replied = await site.answer(request, less={"uses": 2, "life": 60})
    grant = await site.store.grant(replied.said["access_request"]["grant"])
    assert (grant.left, grant.expires_at - grant.made_at) == (2, 60.0)


@ensureDeferred
async def test_an_answer_is_taken_back(site):
    terms = Terms((Quorum(("it-leads",), 2),))
    request = await site.ask(asked=asked(terms=terms))
    assert (await site.answer(request)).status == 200
    about = {"access_request": request.id, "approver": ALICE}
    replied = await site.say(about, kind="access_request.take_back", id="msg_back")
    assert replied.status == 200
    assert (await site.store.request(request.id)).answers == ()
    again = await site.say(about, kind="access_request.take_back", id="msg_back2")
    assert (again.status, again.said["counted"]) == (422, False)


@ensureDeferred
async def test_a_grant_is_revoked(site):
    request = await site.ask()
    key = (await site.answer(request)).said["access_request"]["grant"]
    about = {"grant": key, "approver": BOB, "reason": "too soon"}
    for _ in range(2):  # said twice, it holds as well
        replied = await site.say(about, kind="grant.revoke", id="msg_rev")
        assert replied.status == 200
        assert replied.said["grant"]["state"] == "revoked"
        assert replied.said["grant"]["why"] == f"Revoked by {BOB}: too soon"
    unknown = await site.say(about | {"grant": "g-none"}, kind="grant.revoke")
    assert unknown.status == 422


@ensureDeferred
async def test_whoever_signs_with_either_secret_is_believed_while_one_replaces_the_other(site):
    site.hooks.adopt([site.hook(ins=(secret("new"), IN))])
    one, other = await site.ask(), await site.ask("a-2")
    assert (await site.answer(one, key=secret("new"))).status == 200
    assert (await site.answer(other)).status == 200


# --- whose is not believed: nothing counts, and it is on record


async def refused(site, request, replied, status, words):
    """It was refused, for this reason, which is on record; and nothing came of it."""
    assert replied.status == status, replied.said
    assert replied.said["counted"] is False
    assert words in replied.said["why"]
    assert site.refused()[-1]["why"] == replied.said["why"]
    assert site.refused()[-1]["status"] == status
    assert site.refused()[-1]["webhook"] == "ops"
    assert await state_of(site, request) is AccessState.PENDING
    assert (await site.store.request(request.id)).answers == ()
    assert site.answered() == []


@pytest.mark.parametrize("key", [secret("wrong"), OUT])
@ensureDeferred
async def test_who_has_another_secret_or_that_of_the_messages_is_not_believed(site, key):
    request = await site.ask()
    await refused(site, request, await site.answer(request, key=key), 401, "by a key")


@ensureDeferred
async def test_a_message_of_ours_that_comes_back_is_no_answer(site, receiver):
    request = await site.ask()
    await site.settle()
    (told,) = receiver.received
    fields = {name: value for name, value in told.fields.items() if name.startswith("webhook-")}
    fields["content-type"] = "application/json"
    await refused(site, request, await site.post(fields, told.body), 401, "by a key")


@pytest.mark.parametrize("at", [-TOLERANCE - 5, TOLERANCE + 5])
@ensureDeferred
async def test_a_message_that_is_too_old_or_of_the_future_is_not_believed(site, at):
    request = await site.ask()
    await refused(site, request, await site.answer(request, at=at), 401, "timestamp")


@ensureDeferred
async def test_an_altered_body_is_not_believed(site):
    request = await site.ask()
    data = {
        "access_request": request.id,
        "fingerprint": request.ask.fingerprint,
        "approves": False,
        "approver": ALICE,
    }
    fields, body = called_back(data, IN, site.clock.seconds())
    altered = body.replace(b"false", b"true ")
    await refused(site, request, await site.post(fields, altered), 401, "by a key")


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@ensureDeferred
async def test_a_field_that_stands_twice_or_lacks_is_not_believed(site, name):
    request = await site.ask()
    data = {
        "access_request": request.id,
        "fingerprint": request.ask.fingerprint,
        "approves": True,
        "approver": ALICE,
    }
    fields, body = called_back(data, IN, site.clock.seconds())
    twice = fields | {name: [fields[name], fields[name]]}
    await refused(site, request, await site.post(twice, body), 401, "each once")
    lacks = {each: value for each, value in fields.items() if each != name}
    await refused(site, request, await site.post(lacks, body), 401, "each once")


@pytest.mark.parametrize(
    ("more", "status"), [("v1a,AAAA", 200), ("v2,AAAA v1,AAAA", 200), ("v1,AAAA " * 10, 401)]
)
@ensureDeferred
async def test_other_signatures_beside_the_right_one_change_nothing(site, more, status):
    request = await site.ask()
    data = {
        "access_request": request.id,
        "fingerprint": request.ask.fingerprint,
        "approves": True,
        "approver": ALICE,
    }
    fields, body = called_back(data, IN, site.clock.seconds())
    right = fields["webhook-signature"]
    fields["webhook-signature"] = f"{more.strip()} {right}"
    assert (await site.post(fields, body)).status == status


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", []],
)
@ensureDeferred
async def test_what_is_not_said_to_be_json_is_not_read(site, kind):
    request = await site.ask()
    replied = await site.answer(request, fields={"content-type": kind})
    await refused(site, request, replied, 415, "Content-Type")


@ensureDeferred
async def test_json_in_utf_8_may_be_said_to_be_so(site):
    request = await site.ask()
    kind = "Application/JSON; charset=UTF-8"
    assert (await site.answer(request, fields={"content-type": kind})).status == 200


# --- what it says has one reading


def said(**changes):
    """A message as text, with members changed; None: left out."""
    data = {"access_request": "a-1", "fingerprint": "f", "approves": True, "approver": ALICE}
    data = {name: value for name, value in (data | changes).items() if value is not None}
    return json.dumps({"type": "access_request.answer", "data": data})


def test_a_message_is_read():
    less = {"uses": 3, "life": 1.5}
    found = read(said(less=less, reason="r").encode())
    assert found == Answering("a-1", "f", ALICE, approves=True, reason="r", less=Less(3, 1.5))
    stamped = json.dumps({"timestamp": "2026-11-30T00:00:00Z"} | json.loads(said()))
    assert read(stamped.encode()) == Answering("a-1", "f", ALICE, approves=True)


@pytest.mark.parametrize(
    "text",
    [
        said().replace('"approves"', '"approves": false, "approves"'),
        said().replace('"type"', '"type": "grant.revoke", "type"'),
        said() + "{}",
        said().replace("true", "tru"),
        said().replace('"f"', "NaN"),
        "[]",
        "",
        '"x"',
        "[" * 5000,
        said().encode().replace(b'"f"', b'"\xff"'),
        said(approves="true"),
        said(approves=1),
        said(approves=None),
        said(approver=None),
        said(approver=""),
        said(approver=["alice"]),
        said(fingerprint=None),
        said(access_request=None),
        said(access_request="x" * 1001),
        said(reason="x" * (REASON_CHARS + 1)),
        said(channel="cli"),
        said(less={}),
        said(less=[]),
        said(less={"uses": True}),
        said(less={"uses": 1.5}),
        said(less={"uses": -1}),
        said(less={"uses": 10**30}),
        said(less={"uses": "1"}),
        said(less={"uses": 1, "once": True}),
        said(less={"once": False}),
        said(less={"life": 1, "more": 1}),
        json.dumps({"type": "access_request.opened", "data": json.loads(said())["data"]}),
        json.dumps({"type": "grant.revoke", "data": json.loads(said())["data"]}),
        json.dumps({"data": json.loads(said())["data"]}),
        json.dumps({"type": "access_request.answer"}),
        json.dumps({"type": "access_request.answer", "data": 1}),
        json.dumps({"extra": 1} | json.loads(said())),
    ],
)
def test_what_has_another_reading_or_none_is_not_read(text):
    assert isinstance(read(text if isinstance(text, bytes) else text.encode()), Unread)


@given(
    st.binary()
    | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(
        lambda value: json.dumps(
            {"type": "access_request.answer", "data": {"less": value}}
        ).encode()
    )
)
def test_whatever_comes_is_read_or_is_not_and_never_fails(body):
    read(body)


@ensureDeferred
async def test_duplicate_members_are_refused_over_the_wire(site):
    request = await site.ask()
    twice = said(access_request=request.id, fingerprint=request.ask.fingerprint).replace(
        '"approves"', '"approves": false, "approves"'
    )
    await refused(site, request, await site.say({}, body=twice), 400, "each member once")


# --- whom it speaks for


@ensureDeferred
async def test_it_speaks_only_for_those_whom_the_configuration_names(site):
    request = await site.ask()
    await refused(site, request, await site.answer(request, EVE), 422, "not among those")
    assert site.refused()[-1]["person"] == EVE
    assert site.refused()[-1]["access_request"] == request.id


@ensureDeferred
async def test_whoever_it_names_must_be_one_who_is_asked_as_well(site):
    site.hooks.adopt([site.hook(people=(EVE,))])
    request = await site.ask()
    await refused(site, request, await site.answer(request, EVE), 422, "none of the groups")


@ensureDeferred
async def test_nobody_approves_what_they_asked_for(site):
    request = await site.ask(asked=asked(subject=subject(humans=(ALICE,))))
    await refused(site, request, await site.answer(request), 422, "an agent of theirs")
    assert (await site.answer(request, BOB)).status == 200


@ensureDeferred
async def test_a_person_counts_once_however_they_are_spelled(site):
    request = await site.ask(asked=asked(terms=Terms((Quorum(("it-leads",), 2),))))
    assert (await site.answer(request)).status == 200
    assert (await site.answer(request, ALICE.upper() + "\u200b", id="msg_2")).status == 200
    assert {each["approver"] for each in site.answered()} == {ALICE}
    assert await state_of(site, request) is AccessState.PENDING


@ensureDeferred
async def test_nobody_takes_back_or_revokes_for_others_than_are_named(site):
    request = await site.ask(asked=asked(terms=Terms((Quorum(("it-leads",), 2),))))
    await site.answer(request)
    about = {"access_request": request.id, "approver": EVE}
    assert (await site.say(about, kind="access_request.take_back")).status == 422
    about = {"grant": "g-1", "approver": EVE}
    assert "not among" in (await site.say(about, kind="grant.revoke")).said["why"]
    assert len((await site.store.request(request.id)).answers) == 1


# --- what was shown is what is answered


@ensureDeferred
async def test_an_answer_to_what_was_not_shown_does_not_count(site):
    old = await site.ask()
    await site.access.pending.end(old.id, EXPIRE, "Nobody answered in time.")
    request = await site.ask("a-2")
    data = {"approves": True, "approver": ALICE, "access_request": request.id}
    for other in (old.ask.fingerprint, request.ask.fingerprint[:-1], "ä"):
        replied = await site.say(data | {"fingerprint": other})
        await refused(site, request, replied, 422, "fingerprint")
    assert (await site.answer(old)).status == 422
    assert (await site.say(data | {"access_request": "a-3", "fingerprint": "f"})).status == 422


@ensureDeferred
async def test_what_was_not_shown_whole_is_not_approved_but_may_be_denied(site):
    long = Shown("https://api.example/", (), "x" * (BODY_CHARS + 1), BODY_CHARS + 1)
    request = await site.ask(asked=asked(shown=long))
    await refused(site, request, await site.answer(request), 422, "too long for a message")
    assert (await site.answer(request, approves=False)).status == 200


@ensureDeferred
async def test_what_policy_wants_of_an_approval_it_wants_here_too(site):
    terms = Terms((Quorum(("it-leads",), reason=True),))
    call = replace(asked().operation, risk=Risk.DESTRUCTIVE)
    request = await site.ask(asked=asked(terms=terms, operation=call))
    await refused(site, request, await site.answer(request), 422, "wants a reason")
    replied = await site.answer(request, less={"uses": 5}, reason="x", id="msg_5")
    await refused(site, request, replied, 422, "a single use")
    assert (await site.answer(request, reason="OPS-7", id="msg_6")).status == 200


# --- once


def many_answers():
    return asked(terms=Terms((Quorum(("it-leads",), 2),)))


@ensureDeferred
async def test_a_message_that_comes_again_is_not_counted_again(site):
    request = await site.ask(asked=many_answers())
    for _ in range(2):
        replied = await site.answer(request, id="msg_1")
        assert (replied.status, replied.said["counted"]) == (200, True)
    assert len(site.answered()) == 1


@ensureDeferred
async def test_what_was_taken_back_is_not_given_again_by_a_replay(folder, site, receiver):
    """Not by another gateway either, nor after a restart."""
    request = await site.ask(asked=many_answers())
    fields, body = called_back(
        {
            "access_request": request.id,
            "fingerprint": request.ask.fingerprint,
            "approves": True,
            "approver": ALICE,
        },
        IN,
        site.clock.seconds(),
    )
    assert (await site.post(fields, body)).status == 200
    about = {"access_request": request.id, "approver": ALICE}
    assert (await site.say(about, kind="access_request.take_back")).status == 200
    replied = await site.post(fields, body)
    assert (replied.status, replied.said["counted"]) == (409, False)
    other = HookSite(folder, receiver, others=site)
    await other.start()
    assert (await other.post(fields, body)).status == 409
    await other.stop()
    assert (await site.store.request(request.id)).answers == ()
    assert len(site.answered()) == 1
    assert site.refused()[-1]["status"] == 409


@ensureDeferred
async def test_of_two_at_once_one_counts(site):
    request = await site.ask(asked=many_answers())
    both = [Deferred.fromCoroutine(site.answer(request, id="msg_1")) for _ in range(2)]
    statuses = {(await each).status for each in both}
    assert statuses <= {200, 409}
    assert len(site.answered()) == 1


@pytest.mark.parametrize("held", ["access.answered", "access.ended"])
@pytest.mark.parametrize("fails", [False, True])
@ensureDeferred
async def test_a_message_that_comes_again_meanwhile_is_not_told_what_is_not_on_record(
    site, fails, held
):
    """What follows from an answer holds once it is on record, though it is kept before."""
    request = await site.ask()
    waiting = []

    async def slowly(work, *args):
        if args and held in {entry.type for entry in args[0]}:
            waiting.append(Deferred())
            await waiting[-1]
        return work(*args)

    site.recorder._in_thread = slowly
    both = [Deferred.fromCoroutine(site.answer(request, id="msg_1"))]
    while not waiting:
        await deferLater(reactor, 0.01)
    is_kept = held == "access.ended"
    kept = AccessState.APPROVED if is_kept else AccessState.PENDING
    assert await state_of(site, request) is kept
    both.append(Deferred.fromCoroutine(site.answer(request, id="msg_1")))
    await deferLater(reactor, 0.2)
    told = [each.called for each in both]
    site.records.failure = OSError("full") if fails else None
    site.recorder._in_thread = at_once
    waiting[0].callback(None)
    assert told == [False, False]
    assert (await both[0]).status == (503 if fails else 200)
    assert (await both[1]).status in ({409, 503} if fails else {200, 409})
    after = AccessState.PENDING if fails else AccessState.APPROVED
    assert await state_of(site, request) is after
    assert len(site.answered()) == (0 if fails and not is_kept else 1)


@ensureDeferred
async def test_what_did_not_count_may_count_when_it_is_sent_again(site):
    request = await site.ask()
    site.access._active._sources[0].failure = OSError("gone")
    for _ in range(3):
        replied = await site.answer(request, id="msg_1")
        assert (replied.status, replied.said["counted"]) == (422, False)
    site.access._active._sources[0].failure = None
    assert (await site.answer(request, id="msg_1")).status == 200
    assert len(site.answered()) == 1


@ensureDeferred
async def test_ids_of_one_webhook_are_none_of_another(site):
    other = site.hook(name="other", ins=(secret("theirs"),))
    site.hooks.adopt([site.hook(), other])
    request = await site.ask(asked=many_answers())
    assert (await site.answer(request, id="msg_1")).status == 200
    data = {
        "access_request": request.id,
        "fingerprint": request.ask.fingerprint,
        "approves": True,
        "approver": BOB,
    }
    path = "/webhooks/other"
    assert (await site.say(data, id="msg_1", path=path)).status == 401
    assert (await site.say(data, key=secret("theirs"), id="msg_1", path=path)).status == 200
    assert await state_of(site, request) is AccessState.APPROVED


# --- what cannot be told


@ensureDeferred
async def test_a_store_that_is_down_is_no_answer_and_the_message_counts_later(site):
    request = await site.ask()
    site.once.failure = OSError("gone")
    replied = await site.answer(request, id="msg_1")
    assert (replied.status, replied.said["counted"]) == (503, None)
    site.once.failure = None
    assert (await site.answer(request, id="msg_1")).status == 200


@ensureDeferred
async def test_an_answer_that_cannot_be_recorded_is_none_and_counts_later(site):
    request = await site.ask()
    site.records.failure = OSError("full")
    replied = await site.answer(request, id="msg_1")
    assert (replied.status, replied.said["counted"]) == (503, None)
    assert await state_of(site, request) is AccessState.PENDING
    site.records.failure = None
    for _ in range(50):
        await site.later(1)
        if site.recorder.down is None:
            break
    assert (await site.answer(request, id="msg_1")).status == 200


@ensureDeferred
async def test_a_gateway_that_dies_between_the_id_and_the_answer_never_counts_it_later(site):
    """Nobody knows whether it had counted: what holds is said, and nothing else."""
    request = await site.ask(asked=many_answers())
    until = site.clock.seconds() + 1000
    assert await site.once.take("webhook", "ops msg_1 0", until)
    replied = await site.answer(request, id="msg_1")
    assert (replied.status, replied.said["counted"]) == (409, False)
    assert "another id" in replied.said["why"]
    assert (await site.answer(request, id="msg_2")).status == 200


@ensureDeferred
async def test_a_gateway_that_dies_between_the_answer_and_its_reply_tells_the_truth_later(site):
    """The message comes again, to the next one that runs over what was kept."""
    request = await site.ask()
    data = {
        "access_request": request.id,
        "fingerprint": request.ask.fingerprint,
        "approves": True,
        "approver": ALICE,
    }
    fields, body = called_back(data, IN, site.clock.seconds())
    callback = site.hooks.site.callbacks["ops"]
    came = {name: (value.encode(),) for name, value in fields.items()}
    await Answers(site.access, site.once, site.clock).take(callback, came, body)
    replied = await site.post(fields, body)
    assert (replied.status, replied.said["access_request"]["state"]) == (200, "approved")
    assert len(site.answered()) == 1


@ensureDeferred
async def test_an_unforeseen_fault_is_no_answer(site, noticed):
    request = await site.ask()
    site.hooks.site._answers._once = None
    replied = await site.answer(request)
    assert (replied.status, replied.said["counted"]) == (503, None)
    assert "fault" in replied.said["why"]
    (told,) = noticed.told()
    assert "A callback has a fault" in told
    assert await state_of(site, request) is AccessState.PENDING


# --- the wire


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@ensureDeferred
async def test_only_post_is_taken(site, method):
    replied = await site.post({}, b"", method=method)
    assert (replied.status, replied.fields["Allow"]) == (405, "POST")
    assert site.refused()[-1]["status"] == 405


@pytest.mark.parametrize("path", ["/webhooks", "/webhooks/", "/webhooks/none", "/webhooks/ops/x"])
@ensureDeferred
async def test_there_is_nothing_else(site, path):
    request = await site.ask()
    replied = await site.post({"content-type": "application/json"}, b"{}", path)
    assert replied.status == 404
    assert await state_of(site, request) is AccessState.PENDING


@ensureDeferred
async def test_a_body_that_is_too_long_is_not_read(site):
    request = await site.ask()
    replied = await site.answer(request, reason="x" * BODY_BYTES)
    await refused(site, request, replied, 413, "at most")


@ensureDeferred
async def test_whoever_hangs_up_has_answered_all_the_same(site):
    request = await site.ask()
    data = {
        "access_request": request.id,
        "fingerprint": request.ask.fingerprint,
        "approves": True,
        "approver": ALICE,
    }
    fields, body = called_back(data, IN, site.clock.seconds())
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", site.admin.port.getHost().port)
    caller = await connectProtocol(endpoint, Protocol())
    begin = f"POST /webhooks/ops HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    caller.transport.write(f"{begin}{head}\r\n".encode() + body)
    caller.transport.loseConnection()
    for _ in range(100):
        await deferLater(reactor, 0.01)
        if await state_of(site, request) is AccessState.APPROVED:
            break
    assert await state_of(site, request) is AccessState.APPROVED
    assert (await site.post(fields, body)).status == 200
    assert len(site.answered()) == 1


@ensureDeferred
async def test_a_body_that_does_not_come_keeps_nobody_waiting(site):
    request = await site.ask()
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", site.admin.port.getHost().port)
    slow = await connectProtocol(endpoint, Protocol())
    slow.transport.write(b"POST /webhooks/ops HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    await deferLater(reactor, 0.05)
    assert (await site.answer(request)).status == 200
    slow.transport.loseConnection()
    await deferLater(reactor, 0.05)


@ensureDeferred
async def test_a_flood_of_refusals_does_not_fill_the_recording(site):
    request = await site.ask()
    for _ in range(EACH + 5):
        assert (await site.answer(request, key=secret("wrong"))).status == 401
    assert len(site.refused()) == EACH
    assert (await site.answer(request, EVE)).status == 422
    assert site.refused()[-1]["person"] == EVE  # whose is known is not crowded out
    site.clock.advance(61)
    await site.settle()
    assert any(each.get("left_out") for each in site.refused())
