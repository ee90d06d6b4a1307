"""What of a WebSocket's message is kept for the record."""

from __future__ import annotations

from typing import Final

from jitgate.core.profiles import SENSITIVE, MarkedFields
from jitgate.flow.account import Account, masked_body
from jitgate.flow.frames import Message
from jitgate.flow.slices import Turn
from jitgate.values import Body, Headers

_JSON: Final[Headers] = ((b"Content-Type", b"application/json"),)


async def from_agent(account: Account, message: Message, turn: Turn) -> Body | None:
    """As bodies of requests are: only what is JSON, masked; of everything the digest is."""
    if not account.keeps_bodies or not message.is_text:
        return None
    return await masked_body(_JSON, message.data, [SENSITIVE, *account.maskers], turn)


async def to_agent(account: Account, message: Message, turn: Turn) -> Body | None:
    """As it is released; but for what the catalog marks as secret."""
    if not account.keeps_bodies:
        return None
    operation = account.operation
    marked = frozenset() if operation is None else operation.secrets
    if not marked or any(isinstance(masker, MarkedFields) for masker in account.maskers):
        return Body(message.data, len(message.data), complete=True)
    if not message.is_text:
        return None
    return await masked_body(_JSON, message.data, [MarkedFields(marked)], turn)
