"""What an agent asks of the forwarder, and what the gateway is asked in its place. No I/O here."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import secrets
from dataclasses import dataclass, field

from jitgate.core.fields import end_to_end, values_of
from jitgate.core.http1_reading import Request, Tunnel
from jitgate.core.http1_writing import request_bytes
from jitgate.errors import HeadTooLarge, PeerFault
from jitgate.values import Headers, RequestHead

SECRET_BYTES = 24
"""Bytes of randomness in a run's secret; 16 are beyond guessing."""

_OURS = re.compile(r"http://jitgate\.internal(?::80)?/", re.IGNORECASE)
_NOT_PASSED_ON = frozenset({b"host", b"authorization", b"cookie", b"content-length"})


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an agent: its session's name, and the secret by which the forwarder knows it."""

    name: str
    secret: str = field(repr=False)

    @classmethod
    def named(cls, name: str | None = None) -> Run:
        """A run with a secret of its own, and a name of its own if none is given."""
        return cls(name or f"run-{secrets.token_hex(8)}", secrets.token_urlsafe(SECRET_BYTES))

    def proxy(self, port: int) -> str:
        """What the agent's proxy variables say."""
        return f"http://{self.name}:{self.secret}@127.0.0.1:{port}"

    def admits(self, fields: Headers) -> bool:
        """Whether a request comes from this run's agent (RFC 7617)."""
        given = values_of(fields, b"proxy-authorization")
        scheme, _, value = (given[0] if len(given) == 1 else b"").partition(b" ")
        try:
            pair = base64.b64decode(value.strip(), validate=True)
        except binascii.Error:
            return False
        mine = f"{self.name}:{self.secret}".encode()
        return scheme.lower() == b"basic" and hmac.compare_digest(pair, mine)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the gateway is to be asked. What follows in ``rest`` is for the tunnel."""

    head: RequestHead
    tunnel: bool
    rest: bytes = b""

    def as_sent(self, name: str, token: str) -> bytes:
        """The request as bytes; the session's name and the token make it the agent's."""
        pair = base64.b64encode(f"{name}:{token}".encode())
        authorization = (b"Proxy-Authorization", b"Basic " + pair)
        fields = (*self.head.headers, authorization)
        return request_bytes(RequestHead(self.head.method, self.head.target, fields))


@dataclass(frozen=True, slots=True)
class Refused:
    """What the forwarder answers by itself. The detail is a sentence, or a few."""

    status: int
    kind: str
    title: str
    detail: str

    def as_sent(self) -> bytes:
        """The answer as bytes.

        The detail is the reason phrase as well: of an answer to CONNECT, clients show nothing else.
        """
        problem = {
            "type": f"https://jitgate.internal/problems/{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        body = json.dumps(problem).encode()
        lines = [
            f"HTTP/1.1 {self.status} {self.detail}",
            "Content-Type: application/problem+json",
            "Cache-Control: no-store",
            *(['Proxy-Authenticate: Basic realm="jitgate exec"'] if self.status == 407 else []),
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        head = "\r\n".join(re.sub(r"[^ -~]", "?", line) for line in lines)
        return head.encode("ascii") + b"\r\n\r\n" + body


def asked(event: Request | Tunnel | PeerFault, run: Run) -> Asked | Refused:
    """What the first message on a connection asks for."""
    if isinstance(event, PeerFault):
        status = 431 if isinstance(event, HeadTooLarge) else 400
        return Refused(status, "malformed", "The request is malformed", f"{event}")
    request = event.request if isinstance(event, Tunnel) else event
    if not run.admits(request.head.headers):
        return Refused(
            407,
            "not-this-agent",
            "This proxy serves one agent only",
            "This proxy serves the agent that jitgate exec started, which has the address with a "
            "user name and a password in its HTTPS_PROXY.",
        )
    if isinstance(event, Tunnel):
        return _tunnel(event)
    return _page(event)


def _tunnel(event: Tunnel) -> Asked:
    """CONNECT, built anew: of the agent's fields, Host alone is its own to say."""
    target = event.request.head.target
    host = event.request.host or target.encode()
    return Asked(RequestHead("CONNECT", target, ((b"Host", host),)), tunnel=True, rest=event.rest)


def _page(event: Request) -> Asked | Refused:
    """One of the gateway's own pages, which are there without TLS; nothing else is."""
    head = event.head
    if head.method != "GET" or head.length != 0 or not _OURS.match(head.target):
        return Refused(
            403,
            "plain-http",
            "Plain HTTP does not go through the gateway",
            "Plain HTTP does not go through the gateway; use https. Only GET of "
            "http://jitgate.internal/ is answered without.",
        )
    kept = (pair for pair in end_to_end(head.headers) if pair[0].lower() not in _NOT_PASSED_ON)
    # One exchange a connection: where the response ends need not be understood here.
    fields = ((b"Host", b"jitgate.internal"), *kept, (b"Connection", b"close"))
    return Asked(RequestHead("GET", head.target, fields), tunnel=False)
