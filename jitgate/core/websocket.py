"""A WebSocket's opening handshake (RFC 6455, section 4): read, and written, for both sides.

To open one is an operation like any other: the GET of a path, which changes things, because what
goes through it may. Extensions are not spoken, so that each message is its own bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from typing import Final

from jitgate.core.fields import values_of
from jitgate.core.operation import PathTemplate
from jitgate.values import (
    Denial,
    Fields,
    Headers,
    Operation,
    Refusal,
    RequestHead,
    ResponseHead,
    Risk,
)

SWITCHED: Final = 101
"""The status that ends HTTP on a connection (RFC 9110, section 15.2.2)."""

ASKING: Final = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
)
"""What an agent writes that opens one, but for its key."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
_OURS = re.compile(rb"(?i)upgrade|connection|sec-websocket-.*")


@dataclass(frozen=True, slots=True)
class WebSockets:
    """Where a target takes WebSockets, and the subprotocols that may be spoken there."""

    paths: tuple[PathTemplate, ...] = ()
    protocols: frozenset[str] = frozenset()


NONE: Final = WebSockets()


def is_handshake(fields: Fields, options: frozenset[bytes]) -> bool:
    """Whether a request's fields ask for a WebSocket, as RFC 6455 says, and for nothing else.

    ``options`` are what Connection says, in lower case. That it is a GET of HTTP/1.1 without a body
    is for whoever has read the line.
    """
    upgrades = [value.strip().lower() for value in fields.values_of(b"upgrade")]
    keys = fields.values_of(b"sec-websocket-key")
    return (
        upgrades == [b"websocket"]
        and b"upgrade" in options
        and len(keys) == 1
        and _KEY.fullmatch(keys[0]) is not None
        and fields.values_of(b"sec-websocket-version") == [b"13"]
        and not fields.values_of(b"http2-settings")
    )


def opened(
    operation: Operation, head: RequestHead, taken: WebSockets, near: str | None = None
) -> Operation | Refusal:
    """The operation that a handshake is, or why it is none.

    ``near`` is the host of the gateway's own that the agent calls in the target's place. Browsers
    open a WebSocket for any page and say by Origin for which (RFC 6454): only the target's own
    pages may have one with the gateway's credential.
    """
    if not any(each.matches(operation.path) for each in taken.paths):
        return Refusal(Denial.MALFORMED, "Upgrading to another protocol is not offered.")
    hosts = [operation.authority.removesuffix(":443"), *([near] if near else [])]
    own = [f"https://{host}".encode() for host in hosts]
    if any(origin.lower() not in own for origin in values_of(head.headers, b"origin")):
        return Refusal(Denial.POLICY, "A page of another origin opens no WebSocket of the target.")
    offered = tuple([each for each in protocols_of(head.headers) if each in taken.protocols])
    said = {"upgrade": "websocket"} | ({"subprotocols": ", ".join(offered)} if offered else {})
    return replace(
        operation,
        opens=offered,
        risk=Risk.WRITE if operation.risk is Risk.READ else operation.risk,
        parameters={**operation.parameters, **said},
    )


def protocols_of(fields: Headers) -> list[str]:
    """The subprotocols that fields name, in order."""
    named = b",".join(values_of(fields, b"sec-websocket-protocol")).decode("latin-1").split(",")
    return [each.strip() for each in named if each.strip()]


def opening_head(head: RequestHead, operation: Operation, key: bytes) -> RequestHead:
    """The head with the handshake that goes to the target: the gateway's own, with its own key."""
    kept = [pair for pair in head.headers if not _OURS.fullmatch(pair[0])]
    fields = [
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", key),
    ]
    if operation.opens:
        fields.append((b"Sec-WebSocket-Protocol", ", ".join(operation.opens).encode("ascii")))
    return head._replace(headers=(*kept, *fields), websocket=True)


def misanswered(answer: ResponseHead, operation: Operation, key: bytes) -> str | None:
    """What is wrong with the target's 101, in a sentence, if anything is."""
    fields = answer.headers
    upgrades = [value.lower() for value in values_of(fields, b"upgrade")]
    options = b",".join(values_of(fields, b"connection")).lower().split(b",")
    upgraded = upgrades == [b"websocket"] and b"upgrade" in [each.strip() for each in options]
    if not upgraded or values_of(fields, b"sec-websocket-accept") != [accept(key)]:
        return "The target's answer to the handshake is none of a WebSocket."
    if values_of(fields, b"sec-websocket-extensions"):
        return "The target speaks an extension that was not offered."
    if not set(chosen := protocols_of(fields)) <= set(operation.opens or ()) or len(chosen) > 1:
        return "The target speaks a subprotocol that was not offered."
    return None


def agent_answer(asked: RequestHead, answer: ResponseHead) -> ResponseHead:
    """The 101 that the agent gets: nothing of the target's but the subprotocol."""
    (key,) = values_of(asked.headers, b"sec-websocket-key")
    fields = [
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Accept", accept(key)),
        *[
            (b"Sec-WebSocket-Protocol", each.encode("ascii"))
            for each in protocols_of(answer.headers)
        ],
    ]
    return ResponseHead(SWITCHED, tuple(fields), None)


def accept(key: bytes) -> bytes:
    """What answers a key (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
