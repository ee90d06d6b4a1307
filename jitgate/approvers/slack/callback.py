"""Where Slack calls the gateway back over HTTP: a resource for the admin site.

Nothing is believed here but what is signed; who sends anything else is refused, on record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from slack_bolt import BoltResponse
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from jitgate.approvers.slack.bolt import NO_RETRY, Bolt

Refused = Callable[[Request, str], None]
"""Puts on record that a request was refused, and why."""

THREADS: Final = 32
"""Things that are done at a time: each takes two seconds at most, however slow Slack or a disk."""

WAITING: Final = 200
"""Those that wait for a thread, a click each. Their bodies are kept before it is known whose they
are."""

KINDS: Final = {"application/json", "application/x-www-form-urlencoded"}
"""What Slack sends: events are JSON, what people do is a form."""

_STAMP: Final = re.compile(r"[0-9]{1,12}\Z")
_SIGNATURE: Final = re.compile(r"v0=[0-9a-f]{64}\Z")

_WHY: Final = {
    401: "Its signature is not Slack's, or its time is not now.",
    404: "It is nothing that this app asks Slack for.",
}


class Callback(Resource):
    """``/slack/events``, and a part of the service, for the threads."""

    isLeaf = True  # noqa: N815 (twisted.web's name)
    _log = Logger()

    def __init__(self, bolt: Bolt, refused: Refused, reactor: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bolt = bolt
        self._refused = refused
        self._reactor = reactor
        self._pool = ThreadPool(0, THREADS, name="slack-events")
        self._at_hand = 0
        self._stopping = False
        self._idle: Deferred[None] = Deferred()

    async def start(self) -> None:
        """Begin to work."""
        self._pool.start()

    async def stop(self) -> None:
        """Take nothing more, and return once what is at hand is done: two seconds at most."""
        self._stopping = True
        if self._at_hand:
            await self._idle
        self._pool.stop()

    def render(self, request: Request) -> Any:
        if request.postpath != [b"events"]:
            return self._answer(request, 404, "There is nothing here.")
        if request.method != b"POST":
            request.setHeader(b"Allow", b"POST")
            return self._answer(request, 405, "Slack sends what it sends by POST.")
        fields = _fields(request)
        if isinstance(fields, str):
            return self._answer(request, 400, fields)
        content: Any = request.content
        try:
            body = content.read().decode()
        except UnicodeDecodeError:
            return self._answer(request, 400, "Its body is not UTF-8.")
        if self._at_hand >= THREADS + WAITING or self._stopping:
            return self._answer(request, 503, "Too much is at hand.")
        self._begin(request, body, fields)
        return NOT_DONE_YET

    def _begin(self, request: Request, body: str, fields: Mapping[str, str]) -> None:
        self._at_hand += 1
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        since, threads = self._bolt.now(), cast(IReactorThreads, self._reactor)
        doing = deferToThreadPool(threads, self._pool, self._bolt.signed, body, fields, since)
        doing.addBoth(self._one_less)
        doing.addCallback(self._done, request, gone)
        doing.addErrback(self._unanswered, request, gone)

    def _one_less(self, result: Any) -> Any:
        self._at_hand -= 1
        if self._stopping and not self._at_hand:
            self._idle.callback(None)
        return result

    def _done(self, response: BoltResponse, request: Request, gone: list[Failure]) -> None:
        said, status = response.body or "", response.status
        if status != 200:
            said = _WHY.get(status, said)
            self._refused(request, said)
        if gone:
            return  # Slack does not wait for it any more
        kind = response.headers.get("content-type", ["text/plain"])[0]
        request.setResponseCode(status)
        request.setHeader(b"Content-Type", kind.encode("latin-1"))
        for value in response.headers.get(NO_RETRY, []):
            request.setHeader(NO_RETRY.encode(), value.encode())
        request.setHeader(b"Cache-Control", b"no-store")
        request.write(said.encode())
        request.finish()

    def _unanswered(self, failure: Failure, request: Request, gone: list[Failure]) -> None:
        self._log.failure("Slack was not answered", failure)
        if not gone:
            request.setResponseCode(500)
            request.finish()

    def _answer(self, request: Request, status: int, why: str) -> bytes:
        self._refused(request, why)
        request.setResponseCode(status)
        request.setHeader(b"Cache-Control", b"no-store")
        return f"{why}\n".encode()


def _fields(request: Request) -> dict[str, str] | str:
    """What a request is verified by, each once and well-formed; or what is wrong with it."""
    wanted = {"x-slack-request-timestamp": _STAMP, "x-slack-signature": _SIGNATURE}
    found = {}
    for name, form in wanted.items():
        values = request.requestHeaders.getRawHeaders(name) or []
        if len(values) != 1 or not form.match(values[0]):
            return "It is not signed."
        found[name] = values[0]
    kinds = request.requestHeaders.getRawHeaders("content-type") or []
    kind = kinds[0].partition(";")[0].strip().lower() if len(kinds) == 1 else ""
    if kind not in KINDS:
        return "Its content is of no kind that Slack sends."
    return {**found, "content-type": kind}
