"""One bounded HTTP exchange that the gateway makes for itself: for keys, for tokens.

No redirect is followed, nothing is tried twice, and the answer is read up to a limit.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

import orjson
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import RequestNotSent
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from jitgate.errors import JitgateError

USER_AGENT: Final = "jitgate"
"""Who asks, where the request has no name of its own (RFC 9110, section 10.1.5)."""

TIMEOUT = 10.0
"""Seconds for one exchange, connecting included: an agent waits at the other end, and gives up
after 30 to 60."""

NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})
"""Nothing beside what every request of the gateway's own says."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was answered; the body may hold secrets."""

    status: int
    body: bytes = field(repr=False)
    headers: Headers = field(default_factory=Headers, repr=False, compare=False)

    def header(self, name: str) -> str | None:
        """The value of a field that stands there once; None for one that does not, or is odd."""
        values = self.headers.getRawHeaders(name.encode("ascii")) or ()
        return _text(values[0]) if len(values) == 1 else None

    def every(self, name: str) -> Sequence[str]:
        """The values of a field that may stand there several times."""
        values = self.headers.getRawHeaders(name.encode("ascii")) or ()
        return [value.decode("latin-1") for value in values]


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Makes exchanges with one counterpart, which ``name`` names in what is raised.

    Being cancelled passes as it is.
    """

    http: HTTPClient
    clock: IReactorTime
    name: str
    fault: type[JitgateError]
    """What is raised, with a sentence, where there is no whole answer."""
    limit: int
    """Bytes of an answer's body that are read, after any content coding."""
    accept: str = "application/json"
    """The kinds of content that are asked for."""
    timeout: float = TIMEOUT
    """Seconds for one exchange."""
    authorization: str | None = field(default=None, repr=False)
    """What the counterpart knows the gateway by (RFC 9110, section 11.6.2)."""

    async def get(self, url: str, fields: Mapping[str, str] = NO_FIELDS) -> Fetched:
        """The answer to a GET with these fields beside, whatever its status."""
        return await self._within_time(self._exchange("GET", url, None, fields), self.timeout)

    async def head_of(self, url: str, fields: Mapping[str, str]) -> Fetched:
        """The answer to a GET, whose body is left out where it is longer than the limit."""
        exchange = self._exchange("GET", url, None, fields, whole=False)
        return await self._within_time(exchange, self.timeout)

    async def post(
        self,
        url: str,
        form: Mapping[str, str],
        fields: Mapping[str, str] = NO_FIELDS,
        *,
        within: float | None = None,
    ) -> Fetched:
        """The answer to a POST of a form, whatever its status; ``within`` seconds, if given."""
        seconds = self.timeout if within is None else within
        content = _Content("application/x-www-form-urlencoded", urlencode(dict(form)).encode())
        return await self._within_time(self._exchange("POST", url, content, fields), seconds)

    async def call(
        self,
        method: str,
        url: str,
        *,
        fields: Mapping[str, str],
        members: Mapping[str, object] | None = None,
    ) -> Fetched:
        """The answer to a call with these fields, whatever its status; ``members`` go as JSON."""
        content = None if members is None else _Content("application/json", orjson.dumps(members))
        return await self._within_time(self._exchange(method, url, content, fields), self.timeout)

    async def post_json(self, url: str, text: bytes, fields: Mapping[str, str]) -> Fetched:
        """The answer to a POST of a JSON text as it is, which the fields may be a signature of.

        Its body is left out where it is longer than the limit: then the status alone counts.
        """
        content = _Content("application/json", text)
        exchange = self._exchange("POST", url, content, fields, whole=False)
        return await self._within_time(exchange, self.timeout)

    async def _within_time(
        self, exchange: Coroutine[Deferred[Any], Any, Fetched], seconds: float
    ) -> Fetched:
        answer = Deferred.fromCoroutine(exchange)
        answer.addTimeout(seconds, self.clock, onTimeoutCancel=self._too_late)
        try:
            return await answer
        except self.fault:
            raise
        except Exception as error:  # Whatever fails in here, the caller gets its one fault.
            if _cancelled(error):
                raise CancelledError from error  # by whoever waits, who knows why
            raise self.fault(f"{self.name} cannot be asked: {_cause(error)}.") from error

    async def _exchange(
        self,
        method: str,
        url: str,
        content: _Content | None,
        fields: Mapping[str, str],
        *,
        whole: bool = True,
    ) -> Fetched:
        headers = Headers({"Accept": [self.accept], "User-Agent": [USER_AGENT]})
        for name, value in fields.items():
            headers.setRawHeaders(name, [value])
        if content is not None:
            headers.addRawHeader("Content-Type", content.kind)
        if self.authorization is not None:
            headers.addRawHeader("Authorization", self.authorization)
        response = await self.http.request(
            method,
            url,
            headers=headers,
            data=content,
            allow_redirects=False,
            unbuffered=True,
        )
        body = _BoundedBody(self.limit)
        response.deliverBody(body)
        try:
            return Fetched(response.code, await body.whole, response.headers)
        except _TooLarge:
            if whole:
                raise
            return Fetched(response.code, b"", response.headers)

    def _too_late(self, result: object, timeout: float) -> NoReturn:
        raise self.fault(f"{self.name} did not answer within {self.timeout:g} s.")


@implementer(IBodyProducer)
class _Content:
    """A form or a JSON text, which is written at once: it is there, and short."""

    def __init__(self, kind: str, data: bytes) -> None:
        self.kind = kind
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All of it is written."""

    def resumeProducing(self) -> None:
        """All of it is written."""

    def stopProducing(self) -> None:
        """All of it is written."""


class _TooLarge(Exception):
    """The answer's body is longer than it may be."""


class _BoundedBody(Protocol):
    """Collects a body up to ``limit`` bytes; one that is longer, or unwanted, ends its connection.

    Where nothing but the connection's end tells the body's end, that end is taken for it: what is
    fetched is JSON or XML, in which a missing end is found.
    """

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._pieces: list[bytes] = []
        self.whole: Deferred[bytes] = Deferred(lambda _: self._hang_up())

    def dataReceived(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room >= 0:
            self._pieces.append(data)
        elif not self.whole.called:
            self.whole.errback(_TooLarge())
            self._hang_up()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        if isinstance(reason.value, ResponseDone | PotentialDataLoss):
            self.whole.callback(b"".join(self._pieces))
        else:
            self.whole.errback(reason)

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def died(fault: BaseException) -> bool:
    """Whether a fault was a connection that ended before the answer was whole.

    A kept one may have been closed at the other end just then, and another may fare better.
    """
    cause = fault.__cause__
    reasons = [reason.value for reason in getattr(cause, "reasons", ())]
    return isinstance(cause, RequestNotSent) or any(
        isinstance(each, ConnectionClosed) for each in reasons
    )


def _cancelled(error: Exception) -> bool:
    """Whether an exchange failed because nobody waits for it any more."""
    reasons = [reason.value for reason in getattr(error, "reasons", ())]
    return any(isinstance(each, CancelledError) for each in (error, *reasons))


def _text(value: bytes) -> str | None:
    return value.decode("ascii") if value.isascii() else None


def _cause(error: BaseException) -> str:
    """Why an exchange failed, in words that can hold no secret: our own, or names of faults."""
    if isinstance(error, JitgateError):
        return str(error).rstrip(".")
    if isinstance(error, _TooLarge):
        return "its answer is too long"
    reasons = [reason.value for reason in getattr(error, "reasons", ()) if reason.value is not None]
    return ", ".join(map(_cause, reasons)) or type(error).__name__
