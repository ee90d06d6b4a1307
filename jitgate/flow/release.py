"""The response's way out: looked at, masked, kept for the record, held where it must wait.

What tells an agent that the body is whole is never released here before ``settled`` has returned:
the last piece of a body whose length was announced, the end of any other, the head itself where
there is no body (invariant 4).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Protocol

from jitgate.core.codings import codings_of, memory_of
from jitgate.core.fields import is_events, values_of
from jitgate.core.injection import agent_head, agent_trailers
from jitgate.core.known_names import keep_known
from jitgate.core.literals import LiteralMasker
from jitgate.core.masked_fields import MaskedFields
from jitgate.core.masking import Maskers, Transformer
from jitgate.core.media import bare_of, denies, masker_of
from jitgate.core.near import near_fields
from jitgate.core.pieces import Pieces
from jitgate.errors import AgentGone, MaskingFault
from jitgate.flow.account import Account
from jitgate.flow.decoding import Decoded
from jitgate.flow.masking_room import FREE, Holding, MaskingRoom
from jitgate.flow.slices import Share, Slices, Straight, Turn
from jitgate.interfaces import IMasker, IResponse, IUpstreamConnection
from jitgate.values import Headers, ResponseHead

WHOLE = 64 * 1024
"""Bytes up to which a body of announced length is gathered before any of it is released, and one
that may yet be denied is. Of any other in which a fault can be found its first byte is awaited.

Most answers are that small; a fault in one can then still become a refusal."""


def gathered(answer: ResponseHead) -> bool:
    """Whether nothing of the response is released before ``settled`` has returned."""
    length = answer.length
    is_small = length is not None and length <= WHOLE
    return is_small and not is_events(answer.headers) and (length == 0 or not is_coded(answer))


class Body(Protocol):
    """Where a body comes from."""

    async def read(self) -> bytes:
        """The next bytes; empty once there are no more."""


@dataclass(slots=True)
class Release:
    """Releases one response; the decision is on record, or else it is `gathered`.

    ``settled`` makes the decision and the outcome durable and is awaited exactly once. ``turn``
    lets others have their turn.
    """

    account: Account
    response: IResponse
    upstream: IUpstreamConnection
    maskers: tuple[IMasker, ...]
    secrets: tuple[bytes, ...]
    settled: Callable[[], Awaitable[None]]
    room: MaskingRoom
    turn: Turn
    _holding: Holding = field(init=False)
    _pieces: Pieces[bytes] = field(default_factory=lambda: Pieces(b""), init=False)
    """What may go on and is still here: it waits for more of its body, or for its agent."""

    async def run(self, answer: ResponseHead) -> None:
        """From the target's head to the last byte.

        Raises `MaskingFault` if the body cannot be looked at, and what the ports raise; whoever
        calls refuses, or truncates where a byte has gone already.
        """
        literals = LiteralMasker(self.secrets)
        try:
            codings = () if answer.length == 0 else codings_of(answer.headers)
            owner = "" if self.account.subject is None else self.account.subject.key
            with self.room.one(owner, memory_of(codings)) as self._holding:
                body = Decoded(self.upstream, codings, self.turn) if codings else self.upstream
                await self._released(answer, body, literals)
        except MaskingFault as fault:  # it may say what the response says that it is
            fault.args = (literals.hide_in_words(f"{fault}"),)
            raise
        finally:
            self._count(literals)

    async def _released(self, answer: ResponseHead, body: Body, literals: LiteralMasker) -> None:
        """Release head, body and end, in the order that is promised above.

        It is one function, long as it is: what the head says hangs on what of the body is held by
        then, and what is still to be released on what the head has said.
        """
        maskers = Maskers(self.maskers, self.account.hand)
        keep_known(maskers, literals)
        transform = self._transform(answer, maskers, literals)
        whole = gathered(answer)
        held, ended = b"", whole
        self._holding.of(transform, maskers.hand, self._pieces)
        is_bare, count, share = transform is literals, self._holding.count, Share(self.turn)
        slices = Straight(transform, count) if is_bare else Slices(transform, share, count)
        if whole or self._waits(answer, is_bare):
            ended = await self._held(body, slices, self._most(answer))
            held = self._pieces.joined()
        rewritten = bool(self.maskers) or is_coded(answer)

        def hide(fields: Headers) -> Headers:
            shown = MaskedFields(maskers).shown(fields) if self.maskers else fields
            return self._near(literals.hide_in_fields(shown))

        trailers = await self._trailers(share, hide) if ended else ()
        length = None if rewritten else answer.length
        if ended and not trailers:  # HTTP/1.1 has none behind a body whose length is announced
            length = len(held)
        if self.account.head.method == "HEAD":
            length = None if rewritten else _announced(answer)
        starred = literals.count > 0 if ended else bool(self.secrets)
        is_other = rewritten or starred
        looked = partial(agent_head, answer, length=length, rewritten=is_other, hide=hide)
        head = await share.done(looked) if self.maskers else looked()
        self.account.answer = head
        if not ended:
            is_whole = length is not None and len(held) >= length
            await self.response.start(head, b"" if is_whole else held)
            self._pieces.clear()
            rest = await self._streamed(body, slices, length)
            held = held + rest if is_whole else rest
            trailers = await self._trailers(share, hide)
        if self.response.gone:
            raise AgentGone("The agent hung up before it had the answer.")
        self.account.trailers = trailers
        self._count(literals)
        await self.settled()
        if ended:
            await self.response.start(head, held)
        elif held:
            await self.response.write(held)
        await self.response.finish(trailers)

    async def _trailers(self, share: Share, hide: Callable[[Headers], Headers]) -> Headers:
        """The trailers of what was read, as the agent gets them."""
        trailers = self.upstream.trailers() if self.response.takes_trailers else ()
        return await share.done(partial(agent_trailers, trailers, hide)) if trailers else ()

    def _near(self, fields: Headers) -> Headers:
        """The fields as they lead an agent that calls a host of the gateway's own."""
        near, operation = self.account.near, self.account.operation
        if near is None or operation is None:
            return fields
        return near_fields(fields, operation.authority, near)

    def _count(self, literals: LiteralMasker) -> None:
        """Note what has been hidden so far, for the record."""
        hand = self.account.hand
        count = literals.count + hand.secrets
        self.account.masks = {**hand.counts, **({"credential": count} if count else {})}

    def _transform(
        self, answer: ResponseHead, maskers: Maskers, literals: LiteralMasker
    ) -> Transformer:
        """What the body goes through. Raises `MaskingFault` where it cannot be looked at."""
        is_part = answer.status == HTTPStatus.PARTIAL_CONTENT
        if answer.length == 0:
            return literals
        if is_part and is_coded(answer):
            raise MaskingFault("The response is a part of what is coded.")
        if (self.maskers or self.secrets) and (is_part or _is_cut(answer)):
            raise MaskingFault("The response is a part, although the whole was asked for.")
        if not self.maskers:
            return bare_of(answer.headers, literals)
        return masker_of(
            answer.headers,
            maskers,
            literals,
            passes=self.account.passes,
            gathered=gathered(answer),
        )

    def _waits(self, answer: ResponseHead, bare: bool) -> bool:
        """Whether the head waits for what the body begins with: a fault in that is then a refusal.

        So it is wherever a fault can be found. It costs nothing: there is nothing to read before.
        Only who listens to events is told at once that it may, for the first of them can be hours
        off; not where it has changed something, and the events are the answer to that.
        """
        if is_events(answer.headers) and not self._changes:
            return False
        return not bare or is_coded(answer)

    @property
    def _changes(self) -> bool:
        """Whether the call may have changed something."""
        return self.account.operation is not None and self.account.operation.changes

    def _most(self, answer: ResponseHead) -> int | None:
        """How many bytes of a body that waits go on no later than the next; None: it ends first.

        An event goes once it is whole, and is denied by itself.
        """
        if gathered(answer):
            return None
        if is_events(answer.headers):
            return 0
        is_small = answer.length is not None and answer.length <= WHOLE
        return WHOLE if is_small or denies(self.maskers) else 0

    async def _held(self, body: Body, slices: Straight | Slices, most: int | None) -> bool:
        """Keep the beginning of the body as the agent may see it; whether that is all of it.

        One that has no byte is no JSON, and holds nothing.
        """
        is_empty = True
        while data := await body.read():
            is_empty = False
            self._pieces.add(self._witnessed(await slices.feed(data)))
            if most is not None and self._pieces.size > most:
                return False
        if not is_empty:
            self._pieces.add(self._witnessed(await slices.finish()))
        return True

    async def _streamed(self, body: Body, slices: Straight | Slices, length: int | None) -> bytes:
        """Release the body as it comes; what completes an announced length is returned."""
        held = b""
        while data := await body.read():
            piece = await slices.feed(data)
            del data  # a slow agent costs one copy, not two
            held += await self._passed_on(piece, length)
        return held + await self._passed_on(await slices.finish(), length)

    async def _passed_on(self, piece: bytes, length: int | None) -> bytes:
        """Release a piece; or return it, where it completes an announced length."""
        self._witnessed(piece)
        if length is not None and self.account.released.bytes >= length:
            return piece
        if len(piece) <= FREE:
            if piece:
                await self.response.write(piece)
            return b""
        self._pieces.add(piece)
        self._holding.count()
        try:
            await self.response.write(piece)
        finally:
            self._pieces.clear()
        return b""

    def _witnessed(self, piece: bytes) -> bytes:
        """A piece of the body as the agent may see it, on the account."""
        if piece:
            self.account.released.saw(piece)
        return piece


def _is_cut(answer: ResponseHead) -> bool:
    """Whether it says that it is a part, whatever its status; a 416 tells of what there is none."""
    is_told = bool(values_of(answer.headers, b"content-range"))
    return is_told and answer.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


def _announced(answer: ResponseHead) -> int | None:
    """How long the body would be that GET brings; nothing is read by it (RFC 9110, section 8.6)."""
    lengths = values_of(answer.headers, b"content-length")
    return int(lengths[0]) if lengths else None


def is_coded(answer: ResponseHead) -> bool:
    """Whether the body has any coding but identity (RFC 9110, section 8.4)."""
    named = values_of(answer.headers, b"content-encoding")
    if not named:
        return False
    return any(coding.strip().lower() != b"identity" for coding in b",".join(named).split(b","))
