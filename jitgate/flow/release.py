"""The response's way out: looked at, masked, kept for the record, held where it must wait.

What tells an agent that the body is whole is never released here before ``settled`` has returned:
the last piece of a body whose length was announced, the end of any other, the head itself where
there is no body (invariant 4).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from jitgate.core.fields import is_events, is_json, values_of
from jitgate.core.injection import agent_head, agent_trailers
from jitgate.core.json_masking import JsonMasker
from jitgate.core.literals import LiteralMasker
from jitgate.core.masking import Chain, Transformer
from jitgate.errors import AgentGone, MaskingFault
from jitgate.flow.account import Account
from jitgate.interfaces import IMasker, IResponse, IUpstreamConnection
from jitgate.values import ResponseHead

WHOLE = 64 * 1024
"""Bytes up to which a body of announced length is gathered before any of it is released.

Most answers are that small; a fault in one can then still become a refusal."""


def gathered(answer: ResponseHead) -> bool:
    """Whether nothing of the response is released before ``settled`` has returned."""
    length = answer.length
    return length is not None and length <= WHOLE and not is_events(answer.headers)


@dataclass(slots=True)
class Release:
    """Releases one response; the decision is on record, or else it is `gathered`.

    ``settled`` makes the decision and the outcome durable and is awaited exactly once.
    """

    account: Account
    response: IResponse
    upstream: IUpstreamConnection
    maskers: tuple[IMasker, ...]
    secrets: tuple[bytes, ...]
    settled: Callable[[], Awaitable[None]]

    async def run(self, answer: ResponseHead) -> None:
        """From the target's head to the last byte.

        Raises `MaskingFault` if the body cannot be looked at, and what the ports raise; whoever
        calls refuses, or truncates where a byte has gone already.
        """
        literals = LiteralMasker(self.secrets)
        fields = self._fields(answer)
        whole = gathered(answer)
        transform = literals if fields is None else Chain([fields, literals])
        held = await self._gathered(transform) if whole else b""
        length = len(held) if whole else None if fields is not None else answer.length
        if self.account.head.method == "HEAD":
            length = None if self.maskers else _announced(answer)
        hide, rewritten = literals.hide_in_fields, bool(self.maskers)
        head = agent_head(answer, length=length, rewritten=rewritten, hide=hide)
        self.account.answer = head
        if not whole:
            await self.response.start(head)
            held = await self._streamed(transform, length)
        trailers = self.upstream.trailers()
        if trailers:
            trailers = agent_trailers(trailers, hide)
        counts = {} if fields is None else dict(fields.counts)
        self.account.masks = counts | ({"credential": literals.count} if literals.count else {})
        if self.response.gone:
            raise AgentGone("The agent hung up before it had the answer.")
        await self.settled()
        if whole:
            await self.response.start(head, held)
        elif held:
            await self.response.write(held)
        await self.response.finish(trailers)

    def _fields(self, answer: ResponseHead) -> JsonMasker | None:
        """What masks the body's fields; None if nothing has to be looked for."""
        if answer.length == 0:
            return None
        if _is_coded(answer):
            raise MaskingFault("The response is coded, although identity was asked for.")
        if not self.maskers:
            return None
        if answer.status == HTTPStatus.PARTIAL_CONTENT:
            raise MaskingFault("The response is a part, although the whole was asked for.")
        if not is_json(answer.headers):
            raise MaskingFault("The response may hold secrets, but is not JSON.")
        return JsonMasker(self.maskers)

    async def _gathered(self, transform: Transformer) -> bytes:
        """The whole body as the agent may see it."""
        pieces = []
        while data := await self.upstream.read():
            pieces.append(self._witnessed(transform.feed(data)))
        pieces.append(self._witnessed(transform.finish()))
        return b"".join(pieces)

    async def _streamed(self, transform: Transformer, length: int | None) -> bytes:
        """Release the body as it comes; what completes an announced length is returned."""
        held = b""
        while data := await self.upstream.read():
            held += await self._passed_on(transform.feed(data), length)
        return held + await self._passed_on(transform.finish(), length)

    async def _passed_on(self, piece: bytes, length: int | None) -> bytes:
        """Release a piece; or return it, where it completes an announced length."""
        self._witnessed(piece)
        if length is not None and self.account.released.bytes >= length:
            return piece
        if piece:
            await self.response.write(piece)
        return b""

    def _witnessed(self, piece: bytes) -> bytes:
        """A piece of the body as the agent may see it, on the account."""
        if piece:
            self.account.released.saw(piece)
        return piece


def _announced(answer: ResponseHead) -> int | None:
    """How long the body would be that GET brings; nothing is read by it (RFC 9110, section 8.6)."""
    lengths = values_of(answer.headers, b"content-length")
    return int(lengths[0]) if lengths else None


def _is_coded(answer: ResponseHead) -> bool:
    """Whether the body has any coding but identity (RFC 9110, section 8.4)."""
    named = values_of(answer.headers, b"content-encoding")
    if not named:
        return False
    return any(coding.strip().lower() != b"identity" for coding in b",".join(named).split(b","))
