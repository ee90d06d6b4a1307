"""What looks at a WebSocket's messages, and what of them is kept for the record."""

from __future__ import annotations

from typing import Final

from jitgate.core.known_names import keep_known
from jitgate.core.literals import LiteralMasker, Literals
from jitgate.core.masking import Chain, Maskers, Transformer
from jitgate.core.media import masker_of
from jitgate.core.profiles import SENSITIVE, MarkedFields
from jitgate.errors import MaskingFault
from jitgate.flow.account import Account
from jitgate.flow.frames import Message, Side
from jitgate.flow.masking_room import Holding, MaskingRoom
from jitgate.flow.shown_bodies import masked_body
from jitgate.flow.slices import Share, Slices, Turn
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


class Looks:
    """Looks at the messages of one WebSocket, one of each direction at most at a time.

    What its sides have of messages, and what looks at them, takes ``room``.
    """

    def __init__(
        self,
        account: Account,
        agent: Side,
        target: Side,
        *,
        secrets: tuple[bytes, ...],
        room: MaskingRoom,
        share: Share,
    ) -> None:
        self._account = account
        self._agent = agent
        self._target = target
        self._secrets = Literals(secrets)
        self._maskers = Maskers(account.maskers, account.hand)
        self._room = room
        self._share = share
        self._starred = 0
        """How often the credential was found where no masker hid it."""
        self._looking: list[Transformer] = []
        """What looks at messages just now."""
        self.holding = Holding(room, "", 0)
        """What it all holds."""

    def begun(self) -> Holding:
        """From now on messages come, until this is left. Raises `MaskingFault` without room."""
        owner = "" if self._account.subject is None else self._account.subject.key
        self.holding = self._room.one(owner)
        self._hold()
        keep_known(self._maskers, LiteralMasker(self._secrets))
        return self.holding

    async def let_out(self, message: Message) -> Message:
        """The message as it may leave. Raises `MaskingFault`."""
        account = self._account
        if not account.outgoing:
            return message
        maskers = Maskers(account.outgoing, account.outgoing_hand)
        looks = looks_at(message, maskers, Chain(()), passes=account.outgoing_passes)
        return await self._through(looks, message)

    async def shown(self, message: Message) -> Message:
        """The message without what the agent must not see. Raises `MaskingFault`."""
        account, literals = self._account, LiteralMasker(self._secrets)
        looks = looks_at(message, self._maskers, literals, passes=account.passes)
        shown = await self._through(looks, message)
        self._count(literals)
        return shown

    async def _through(self, looks: Transformer, message: Message) -> Message:
        """What these make of a message; what they hold of it counts. Raises `MaskingFault`."""
        slices = Slices(looks, self._share, self.holding.count)
        self._looking.append(looks)
        self._hold()
        try:
            data = await slices.feed(message.data) + await slices.finish()
        finally:
            self._looking.remove(looks)
            self._hold()
        self.holding.count()  # what was held is free again, though nothing else may come
        return Message(data, message.is_text)

    def _hold(self) -> None:
        """Say what is at hand of messages, and of what is told of them."""
        hands = self._account.hand, self._account.outgoing_hand
        self.holding.of(self._agent, self._target, *hands, *self._looking)

    def _count(self, literals: LiteralMasker) -> None:
        """Note what has been hidden so far, for the record."""
        self._starred += literals.count
        hand, count = self._account.hand, self._starred + self._account.hand.secrets
        self._account.masks = {**hand.counts, **({"credential": count} if count else {})}

    def hide_in_words(self, words: str) -> str:
        """Words about a message without the credential that went out."""
        return LiteralMasker(self._secrets).hide_in_words(words)


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
