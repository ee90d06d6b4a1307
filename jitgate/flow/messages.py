"""What looks at a WebSocket's message, and what of it is kept for the record."""

from __future__ import annotations

from typing import Final

from jitgate.core.masking import Maskers, Transformer
from jitgate.core.media import masker_of
from jitgate.core.profiles import SENSITIVE, MarkedFields
from jitgate.errors import MaskingFault
from jitgate.flow.account import Account
from jitgate.flow.frames import Message
from jitgate.flow.shown_bodies import masked_body
from jitgate.flow.slices import Turn
from jitgate.values import Body, Headers

_PLAIN: Final[Headers] = ((b"Content-Type", b"text/plain; charset=utf-8"),)
"""What a text is looked at as: as JSON where it is JSON, else by what stands in it."""

_JSON: Final[Headers] = ((b"Content-Type", b"application/json"),)


def looks_at(
    message: Message, maskers: Maskers, hidden: Transformer, *, passes: bool
) -> Transformer:
    """What hides in a message what the maskers say, and what ``hidden`` does.

    Raises `MaskingFault` for what cannot be looked at, unless that ``passes``.
    """
    if message.is_text and maskers.asked.maskers:
        return masker_of(_PLAIN, maskers, hidden, gathered=True)
    if message.is_text or passes:
        return hidden
    raise MaskingFault("It is binary, and no profile says that it holds no secret.")


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
