"""The gateway's CA certificate: asked for over the hop, and put where clients read it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from jitgate.core.http1_reading import Data, End, Event, Response, ResponseReader
from jitgate.core.http1_writing import request_bytes
from jitgate.errors import ConfigurationInvalid, GatewayUnreachable, PeerFault
from jitgate.forwarding.hop import Address, Hop, HopProtocol, certificates, lost
from jitgate.values import RequestHead

CA_PAGE = "http://jitgate.internal/ca.pem"
"""Where the gateway has its CA certificate for whoever asks; a certificate is no secret."""

CA_BYTES = 64 * 1024
"""Bytes of the page; one certificate has under 2 KiB."""

ANSWER_WITHIN = 10.0
"""Seconds for the gateway to give it; it is at hand there."""

FILE = "ca.pem"


async def fetched(hop: Hop, clock: IReactorTime) -> bytes:
    """The CA certificate as the gateway gives it. Raises `GatewayUnreachable`."""
    page = await hop.connect(_Page)
    return certificates(await page.body(clock), f"What {hop.gateway} gives as its CA certificate")


def placed(pem: bytes, folder: Path) -> Path:
    """Write the certificates into a folder of their own. Raises `ConfigurationInvalid`.

    Nobody else may write there, and everybody may read: the agent may run as another user.
    """
    file = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        new = folder / f".{FILE}.new"
        new.write_bytes(pem)
        new.chmod(0o644)
        new.replace(file)
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise ConfigurationInvalid([f"{file} cannot be written: {why}."]) from error
    return file


def folder_for(pem: bytes, cache: Path) -> Path:
    """The folder that always holds these certificates and no others, below a cache."""
    return cache / "jitgate" / f"ca-{hashlib.sha256(pem).hexdigest()[:16]}"


class _Page(HopProtocol):
    """One GET of the CA's page, and its response."""

    def __init__(self, gateway: Address) -> None:
        super().__init__(gateway)
        self._reader = ResponseReader("GET")
        self._status = 0
        self._body = b""
        self._whole: Deferred[bytes] | None = None

    async def body(self, clock: IReactorTime) -> bytes:
        """The response's body. Raises `GatewayUnreachable`."""
        fields = ((b"Host", b"jitgate.internal"), (b"Connection", b"close"))
        self._whole = Deferred(lambda _: self.abort())
        self.transport.write(request_bytes(RequestHead("GET", CA_PAGE, fields)))
        return await self._whole.addTimeout(ANSWER_WITHIN, clock, onTimeoutCancel=self._silent)

    def dataReceived(self, data: bytes) -> None:
        for event in self._reader.feed(data):
            self._take(event)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        for event in self._reader.eof() if reason.check(ConnectionDone) else ():
            self._take(event)
        self._end(lost(self.gateway, reason))

    def _take(self, event: Event) -> None:
        if isinstance(event, Response):
            self._status = event.head.status
        elif isinstance(event, Data):
            self._body += event.data
        if isinstance(event, PeerFault) or len(self._body) > CA_BYTES:
            self._end(GatewayUnreachable(f"What answers at {self.gateway} is no jitgate gateway."))
        elif isinstance(event, End):
            self._end(self._body if self._status == 200 else self._withheld())

    def _end(self, result: bytes | GatewayUnreachable) -> None:
        """Give the result to whoever waits; the first one counts."""
        if self._whole is None or self._whole.called:
            return
        if isinstance(result, bytes):
            self._whole.callback(result)
        else:
            self._whole.errback(result)
        self.abort()

    def _withheld(self) -> GatewayUnreachable:
        return GatewayUnreachable(
            f"The gateway at {self.gateway} answered {self._status} instead of its CA certificate; "
            "name its file with --ca, or its configuration with --config."
        )

    def _silent(self, _: object, timeout: float) -> NoReturn:
        raise GatewayUnreachable(
            f"The gateway at {self.gateway} did not give its CA certificate within {timeout:g} s."
        )
