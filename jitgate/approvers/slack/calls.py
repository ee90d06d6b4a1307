"""Calls of Slack's Web API: by its SDK, in few threads of their own, each within a deadline.

Nothing is sent twice and no redirect is followed: whoever calls knows whether it may be sent again.
The SDK's exceptions hold the token, so none of them leaves this module, not even as a cause.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, cast
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, Request

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from jitgate.errors import SlackBusy, SlackDown, SlackFault, SlackRefused

BASE_URL: Final = "https://slack.com/api/"

TIMEOUT = 10.0
"""Seconds for one call, from when it is asked for: who clicked, and who waits for a card, expect an
answer in two or three."""

THREADS = 4
"""Calls under way at a time: cards take half of them at most, so that a click finds one."""

WAITING = 1_000
"""Calls that may wait for a thread: more would be late all."""

LARGEST = 4 * 1024 * 1024
"""Bytes of an answer: a page of 1,000 members has about one and a half mebibytes."""

RETRY_AFTER = 30.0
"""Seconds to wait where Slack does not say how long."""

LONGEST_RETRY = 3600.0
"""Seconds to wait at most, whatever Slack says."""

_WORD = re.compile(r"[a-z][a-z0-9_.]{0,79}")
"""What is taken for one of Slack's words for an error: nothing else of an answer is passed on."""

_ITS_OWN = {"internal_error", "fatal_error", "service_unavailable", "request_timeout"}
"""Words that mean that Slack is down; it may have done its work all the same."""

_SILENT = logging.Logger("slack", level=logging.CRITICAL + 1)  # noqa: LOG001 (nobody is to find it)
"""The SDK tells its logger what it sends and receives. This one tells nobody."""

_Answer = Mapping[str, Any]
_Job = tuple[Deferred[_Answer], str, Mapping[str, object]]


class Calls:
    """Slack's Web API as one app calls it, from `start` to `stop`.

    Args:
        token: The app's own ("xoxb-...").
        reactor: Where those who wait go on; its clock is what deadlines go by.
        base_url: Where the API is.
        trust: A PEM file of the authorities to believe, instead of the system's.
        timeout: Seconds for one call.
        threads: How many calls are under way at a time.
    """

    def __init__(
        self,
        token: str,
        *,
        reactor: Any,
        base_url: str = BASE_URL,
        trust: Path | None = None,
        timeout: float = TIMEOUT,
        threads: int = THREADS,
    ) -> None:
        self._client = Client(token, base_url, trust, timeout)
        self._reactor = reactor
        self._timeout = timeout
        self._threads = threads
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._waiting: set[Deferred[_Answer]] = set()
        self._closed: str | None = "Slack is not called yet."

    async def start(self) -> None:
        """Begin to call. The threads end with the process: one may hang in a name's resolution."""
        self._closed = None
        for number in range(self._threads):
            Thread(target=self._work, name=f"slack-{number}", daemon=True).start()

    async def stop(self) -> None:
        """Call nothing more. Whoever waits for an answer gets `SlackDown`."""
        if self._closed is not None:
            return
        self._closed = "Slack is not called any more."
        for answer in list(self._waiting):
            _deliver(answer, Failure(SlackDown(self._closed)))
        for _ in range(self._threads):
            self._jobs.put(None)

    async def call(self, method: str, **arguments: object) -> _Answer:
        """What Slack answers to a call of ``method``; arguments that are None are left out.

        Raises `SlackBusy`, `SlackRefused`, and `SlackDown`, after which nobody knows whether Slack
        has carried it out. Being cancelled passes as it is.
        """
        if self._closed is not None:
            raise SlackDown(self._closed)
        if len(self._waiting) >= WAITING:
            raise SlackDown("Too many calls of Slack wait already.")
        answer: Deferred[_Answer] = Deferred()
        self._waiting.add(answer)
        self._jobs.put((answer, method, arguments))
        answer.addTimeout(self._timeout, cast(IReactorTime, self._reactor), _late)
        try:
            return await answer
        finally:
            self._waiting.discard(answer)

    def _work(self) -> None:
        while job := self._jobs.get():
            answer, method, arguments = job
            if answer.called:
                continue  # nobody waits for it any more, so it is not sent
            try:
                result: object = self._client.answer(method, arguments)
            except SlackFault as fault:
                result = Failure(fault)
            self._reactor.callFromThread(_deliver, answer, result)


def _deliver(answer: Deferred[_Answer], result: Any) -> None:
    """What came, to who waits for it; who was told that it is late, or of the stop, does not."""
    if not answer.called:
        answer.callback(result)


def _late(_: object, seconds: float) -> _Answer:
    raise SlackDown(f"Slack has not answered within {seconds:g} seconds.")


class Client(WebClient):
    """The SDK's client, which tries nothing twice, logs nothing, and goes straight to Slack."""

    def __init__(self, token: str, base_url: str, trust: Path | None, timeout: float) -> None:
        super().__init__(
            token,
            base_url,
            timeout=cast(int, timeout),
            user_agent_prefix="jitgate",
            logger=_SILENT,
            retry_handlers=[],
        )
        context = ssl.create_default_context(cafile=trust)
        self._opener = OpenerDirector()  # an empty one: no redirects, and no proxy out of the
        handler = HTTPHandler() if base_url.startswith("http:") else HTTPSHandler(context=context)
        self._opener.add_handler(handler)  # environment, whose variables may lead to this gateway

    def answer(self, method: str, arguments: Mapping[str, object]) -> _Answer:
        """What was answered. Blocking; raises `SlackFault`, without what the SDK raised."""
        given = {name: value for name, value in arguments.items() if value is not None}
        # Methods that read take a form alone, and those that write take JSON as well.
        form = all(isinstance(value, str | int | float) for value in given.values())
        try:
            response = (
                self.api_call(method, params=given) if form else self.api_call(method, json=given)
            )
            data = response.data
        except SlackApiError as error:
            fault = _fault(
                method, error.response.status_code, error.response.headers, error.response.data
            )
        except Exception as error:  # noqa: BLE001 (whatever it was, there is no answer)
            fault = SlackDown(f"Slack does not answer: {_why(error)}.")
        else:
            if isinstance(data, dict):
                return data
            fault = SlackDown("Slack does not answer as Slack does.")
        raise fault  # out here, where it has no cause

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        """One exchange, in the place of the SDK's own, which reads without a limit."""
        deadline = time.monotonic() + self.timeout
        with self._opener.open(req, timeout=self.timeout) as response:
            body = bytearray()
            while piece := response.read1(64 * 1024):
                body += piece
                if len(body) > LARGEST:
                    raise SlackDown("the answer is too large")
                if time.monotonic() > deadline:
                    raise SlackDown("the answer does not end")
        return {"status": response.status, "headers": response.headers, "body": body.decode()}


def _fault(method: str, status: int, headers: Mapping[str, str], data: object) -> SlackFault:
    """What an answer means that does not say that all is well."""
    word = data.get("error") if isinstance(data, dict) else None
    if status == HTTPStatus.TOO_MANY_REQUESTS or word in {"ratelimited", "rate_limited"}:
        return SlackBusy(method, _retry_after(headers))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or word in _ITS_OWN:
        return SlackDown(f"Slack does not work: {status} to {method}.")
    if not isinstance(word, str) or not _WORD.fullmatch(word):
        return SlackDown(f"Slack does not answer as Slack does: {status} to {method}.")
    return SlackRefused(method, word)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Whole seconds (RFC 9110, section 10.2.3), or what is usual where they make no sense."""
    said = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    if not re.fullmatch(r"[0-9]{1,9}", said):
        return RETRY_AFTER
    return min(max(float(said), 1.0), LONGEST_RETRY)


def _why(error: BaseException) -> str:
    """What went wrong on the way, in the system's words; nothing of what was sent."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, SlackDown):
        return f"{reason}"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({reason.verify_message})"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return type(reason).__name__
