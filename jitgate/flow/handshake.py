"""A WebSocket's handshake on its way to the target: a request without a body."""

from __future__ import annotations

import base64
import secrets

from zope.interface import implementer

from jitgate.interfaces import IRequest

KEY_BYTES = 16
"""RFC 6455, section 4.1."""


@implementer(IRequest)
class Handshake:
    """What is decided on, recorded and sent. What the agent sends behind it is ``stream``'s.

    ``key`` is the gateway's own for the target, which never sees the agent's.
    """

    def __init__(self, stream: IRequest) -> None:
        self.stream = stream
        self.key = base64.b64encode(secrets.token_bytes(KEY_BYTES))
        self.head = stream.head
        self.hosts: tuple[str, ...] = stream.hosts
        self.fault = stream.fault

    async def read(self) -> bytes:
        """It has no body."""
        return b""
