"""Calls of Slack's API, against a server that answers over TLS as a test has it answer."""

import json
import traceback
from urllib.parse import parse_qs

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from support.loopback import serve
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from jitgate.approvers.slack.calls import LARGEST, LONGEST_RETRY, RETRY_AFTER, TIMEOUT, Calls
from jitgate.errors import SlackBusy, SlackDown, SlackRefused

TOKEN = "xoxb" + "-1-not-a-real-one"
SHOWN = "what people are shown"


class Reactor:
    """The reactor, with a clock that a test moves."""

    def __init__(self):
        self.clock = Clock()
        self.seconds, self.callLater = self.clock.seconds, self.clock.callLater
        self.callFromThread = reactor.callFromThread


class Slack:
    """What was asked, and what is answered."""

    def __init__(self):
        self.asked = []
        self.status, self.fields, self.body = 200, {}, b'{"ok": true, "ts": "1.2"}'
        self.held = None

    def answer(self, request):
        self.asked.append((request.uri.decode(), request.getAllHeaders(), request.content.read()))
        request.setResponseCode(self.status)
        for name, value in self.fields.items():
            request.setHeader(name, value)
        if self.held is not None:
            self.held.append(request)
            return NOT_DONE_YET
        return self.body


@async_yield_fixture
async def slack(tmp_path):
    slack = Slack()
    slack.server = serve(slack.answer)
    slack.ca = tmp_path / "ca.pem"
    slack.ca.write_bytes(slack.server.pem)
    yield slack
    for request in slack.held or ():
        request.notifyFinish().addErrback(lambda _: None)
        request.transport.abortConnection()
    await slack.server.stop()


@async_yield_fixture
async def calls(slack):
    slack.reactor = Reactor()
    url = f"{slack.server.origin}/api/"
    calls = Calls(TOKEN, reactor=slack.reactor, base_url=url, trust=slack.ca, threads=2)
    await calls.start()
    yield calls
    await calls.stop()


async def until(seen):
    for _ in range(1000):
        if seen():
            return
        await deferLater(reactor, 0.005)
    raise AssertionError("it never came about")


@ensureDeferred
async def test_words_go_as_a_form_which_methods_that_read_take_alone(slack, calls):
    assert await calls.call("users.info", user="U1", include_locale=True, team_id=None) == {
        "ok": True, "ts": "1.2"
    }  # fmt: skip
    ((where, fields, body),) = slack.asked
    assert where == "/api/users.info"
    assert fields[b"authorization"] == f"Bearer {TOKEN}".encode()
    assert fields[b"content-type"] == b"application/x-www-form-urlencoded"
    assert parse_qs(body.decode()) == {"user": ["U1"], "include_locale": ["1"]}


@ensureDeferred
async def test_what_has_members_goes_as_json(slack, calls):
    blocks = [{"type": "divider"}]
    await calls.call("chat.postMessage", channel="C1", blocks=blocks, thread_ts=None)
    ((_, fields, body),) = slack.asked
    assert fields[b"content-type"] == b"application/json;charset=utf-8"
    assert json.loads(body) == {"channel": "C1", "blocks": blocks}


BUSY, REFUSED, DOWN = SlackBusy, SlackRefused, SlackDown


@pytest.mark.parametrize(
    ("status", "fields", "body", "fault", "told"),
    [
        (429, {"Retry-After": "7"}, b'{"ok": false, "error": "ratelimited"}', BUSY, 7),
        (429, {"Retry-After": "0"}, b"", BUSY, 1),
        (429, {"Retry-After": "999999"}, b"", BUSY, LONGEST_RETRY),
        (429, {"Retry-After": "tomorrow"}, b"", BUSY, RETRY_AFTER),
        (429, {}, b"<html>", BUSY, RETRY_AFTER),
        (200, {"Retry-After": "3"}, b'{"ok": false, "error": "ratelimited"}', BUSY, 3),
        (200, {}, b'{"ok": false, "error": "channel_not_found"}', REFUSED, "channel_not_found"),
        (200, {}, b'{"ok": false, "error": "invalid_auth"}', REFUSED, "invalid_auth"),
        (403, {}, b'{"ok": false, "error": "access_denied"}', REFUSED, "access_denied"),
        (200, {}, b'{"ok": false, "error": "internal_error"}', DOWN, None),
        (200, {}, b'{"ok": false, "error": "<!channel> Approve at once"}', DOWN, None),
        (200, {}, b'{"ok": false}', DOWN, None),
        (200, {}, b'["ok"]', DOWN, None),
        (200, {}, b'"ok"', DOWN, None),
        (200, {}, b"", DOWN, None),
        (200, {}, b"{", DOWN, None),
        (200, {}, b"\xff", DOWN, None),
        (200, {}, b'{"ok": true, "x": "' + b"x" * LARGEST + b'"}', DOWN, None),
        (500, {}, b'{"ok": true}', DOWN, None),
        (503, {"Retry-After": "3"}, b"", DOWN, None),
        (302, {"Location": "/api/elsewhere"}, b"", DOWN, None),
        (307, {"Location": "/api/elsewhere"}, b'{"ok": true}', DOWN, None),
    ],
)
@ensureDeferred
async def test_each_answer_is_what_it_is(slack, calls, status, fields, body, fault, told):
    slack.status, slack.fields, slack.body = status, fields, body
    with pytest.raises(fault) as raised:
        await calls.call("chat.update", channel="C1")
    if fault is BUSY:
        assert raised.value.retry_after == told
    if fault is REFUSED:
        assert raised.value.word == told
    assert len(slack.asked) == 1  # neither tried twice nor followed


@ensureDeferred
async def test_no_exception_has_the_token_nor_what_slack_said(slack, calls):
    slack.status, slack.body = 200, json.dumps({"ok": False, "error": f"Bad {TOKEN}"}).encode()
    for method in ("auth.test", "chat.update"):
        with pytest.raises(SlackDown) as raised:
            await calls.call(method, blocks=[{"text": SHOWN}])
        assert raised.value.__cause__ is raised.value.__context__ is None
        told = (
            "".join(traceback.format_exception(raised.value)) + Failure(raised.value).getTraceback()
        )
        assert TOKEN not in told
        assert SHOWN not in told
    assert TOKEN not in repr(vars(calls)) + repr(calls)


@ensureDeferred
async def test_a_token_that_cannot_be_sent_is_not_shown_either(slack):
    calls = Calls(TOKEN + "\nX: y", reactor=Reactor(), base_url=slack.server.origin, trust=slack.ca)
    await calls.start()
    with pytest.raises(SlackDown) as raised:
        await calls.call("auth.test")
    assert TOKEN not in f"{raised.value}"
    assert raised.value.__context__ is None
    await calls.stop()


@ensureDeferred
async def test_nobody_is_told_the_token_whose_certificate_is_not_trusted(slack):
    calls = Calls(TOKEN, reactor=Reactor(), base_url=slack.server.origin)
    await calls.start()
    with pytest.raises(SlackDown, match="certificate is not trusted"):
        await calls.call("auth.test")
    assert slack.asked == []
    await calls.stop()


@ensureDeferred
async def test_the_environment_leads_it_through_no_proxy(slack, calls, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    url = f"{slack.server.origin}/api/"
    other = Calls(TOKEN, reactor=Reactor(), base_url=url, trust=slack.ca)
    await other.start()
    assert (await other.call("auth.test"))["ok"]
    await other.stop()


@ensureDeferred
async def test_who_does_not_answer_in_time_is_down_and_what_waits_is_not_sent(slack, calls):
    slack.held = []
    waiting = [Deferred.fromCoroutine(calls.call("auth.test")) for _ in range(3)]
    await until(lambda: len(slack.held) == 2)  # as many as there are threads
    slack.reactor.clock.advance(TIMEOUT)
    for each in waiting:
        with pytest.raises(SlackDown, match="10 seconds"):
            await each
    for request in slack.held:
        request.write(slack.body)
        request.finish()
    slack.held = None
    assert (await calls.call("auth.test"))["ok"]
    assert len(slack.asked) == 3


@ensureDeferred
async def test_one_that_is_cancelled_is_not_sent_and_takes_no_room(slack, calls):
    slack.held = []
    first = [Deferred.fromCoroutine(calls.call("auth.test")) for _ in range(2)]
    await until(lambda: len(slack.held) == 2)
    left = Deferred.fromCoroutine(calls.call("auth.test"))
    left.cancel()
    with pytest.raises(CancelledError):
        await left
    assert len(calls._waiting) == 2
    for request in slack.held:
        request.write(slack.body)
        request.finish()
    slack.held = None
    for each in first:
        await each
    assert not calls._waiting


@ensureDeferred
async def test_after_the_stop_nothing_is_sent_and_nobody_waits(slack, calls):
    slack.held = []
    waiting = Deferred.fromCoroutine(calls.call("auth.test"))
    await until(lambda: slack.held)
    await calls.stop()
    with pytest.raises(SlackDown, match="any more"):
        await waiting
    with pytest.raises(SlackDown, match="any more"):
        await calls.call("auth.test")
    assert len(slack.asked) == 1


@ensureDeferred
async def test_before_the_start_nothing_is_sent():
    with pytest.raises(SlackDown, match="yet"):
        await Calls(TOKEN, reactor=Reactor()).call("auth.test")
