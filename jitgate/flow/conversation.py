"""A WebSocket's messages, both ways: each recorded, those to the agent masked, none on its own way.

The handshake has been an exchange like any other; this takes the place of its response's body. One
message of each direction is at hand, and nothing more is read until it has gone on, so that who
reads slowly holds back who writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList, FirstError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from jitgate.core.limits import Limits
from jitgate.core.masked_requests import of_request
from jitgate.core.websocket import agent_answer, misanswered
from jitgate.errors import (
    AgentGone,
    JitgateError,
    MaskingFault,
    UpstreamMalformed,
    UpstreamUnreachable,
)
from jitgate.flow.account import Account
from jitgate.flow.accounts import Accounts
from jitgate.flow.deadlines import Deadline
from jitgate.flow.frames import TOO_BIG, Broken, Closed, Heard, Message, Pinged, Side
from jitgate.flow.handshake import Handshake
from jitgate.flow.masking_room import MaskingRoom
from jitgate.flow.messages import Looks, from_agent, to_agent
from jitgate.flow.recorder import Kept
from jitgate.flow.slices import Share
from jitgate.interfaces import IResponse, ISwitchedConnection
from jitgate.values import Denial, Operation, Refusal, ResponseHead

AWAY: Final = 1001
POLICY: Final = 1008
FAULTY: Final = 1011
"""Codes of a close (RFC 6455, section 7.4.1; IANA's registry): what the gateway says by
itself. 1014 (bad gateway) would say more, but wsproto for one takes it for a fault."""

IN_FLIGHT: Final = 16
"""Messages of one side that may wait for the disk. Entries of all exchanges wait in one queue: tiny
messages by the thousand would take its room from everybody else."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ends: what the agent is told, by whom it ended, and why if not by its two parties."""

    code: int
    reason: str
    by: str
    refusal: Refusal | None = None


class Conversation:
    """Carries the messages of one WebSocket; `run` returns when the agent has been told its end."""

    def __init__(
        self,
        account: Account,
        accounts: Accounts,
        handshake: Handshake,
        response: IResponse,
        upstream: ISwitchedConnection,
        *,
        secrets: tuple[bytes, ...],
        limits: Limits,
        room: MaskingRoom,
        clock: IReactorTime,
    ) -> None:
        self._account = account
        self._accounts = accounts
        self._handshake = handshake
        self._response = response
        self._upstream = upstream
        self._limits = limits
        self._turn = accounts.turn
        self._share = Share(self._turn)
        self._agent = Side(limits.message_bytes, serves=True)
        self._target = Side(limits.message_bytes, serves=False)
        sides = self._agent, self._target
        self._looks = Looks(account, *sides, secrets=secrets, room=room, share=self._share)
        self._deadline = Deadline(clock)
        self._over: Deferred[Ending] = Deferred()
        self._kept: deque[Kept] = deque()
        """Of the target's messages, those of which it is not known that they are durable."""
        self._left: Closed | None = None
        """The agent's close, once it has said it."""

    async def run(self, operation: Operation, answer: ResponseHead) -> None:
        """From the target's 101 to the close. The decision is durable.

        Raises `UpstreamMalformed` for an answer that opens none, and what the ports raise; what
        ends it otherwise is told the agent by a close, once that is on record.
        """
        wrong = misanswered(answer, operation, self._handshake.key)
        if wrong is not None:
            raise UpstreamMalformed(wrong)
        account = self._account
        account.sent, account.released = self._accounts.witness(0), self._accounts.witness(0)
        account.answer = agent_answer(self._handshake.stream.head, answer)
        await self._response.start(account.answer)
        ending = await self._ended()
        if self._target.open:  # a word for it, for which nobody waits
            saying = self._upstream.write(self._target.close(AWAY))
            Deferred.fromCoroutine(saying).addErrback(self._failed)
        account.close = {"by": ending.by, "code": ending.code}
        outcome = "completed" if ending.refusal is None else "truncated"
        await self._accounts.settled(account, outcome, ending.refusal)
        await self._response.write(self._agent.close(ending.code, ending.reason))
        await self._response.finish()

    async def _ended(self) -> Ending:
        """Carry messages until something ends that."""
        with self._looks.begun():
            return await self._carried()

    async def _carried(self) -> Ending:
        self._heard_something()
        pumps = [Deferred.fromCoroutine(each) for each in (self._from_agent(), self._from_target())]
        for pump in pumps:
            pump.addCallbacks(self._end, self._failed)
        try:
            return await self._over
        finally:
            self._deadline.stop()
            for pump in pumps:
                pump.cancel()

    def _end(self, ending: Ending) -> None:
        """The first that ends it is how it ended."""
        if not self._over.called:
            self._over.callback(ending)

    def _failed(self, failure: Failure) -> None:
        """That the target is gone is an end like others; any other fault is the gateway's to deny.

        What comes of its end is no other end.
        """
        if self._over.called:
            failure.trap(CancelledError, JitgateError)
        elif failure.check(UpstreamUnreachable):
            self._over.callback(_gone(f"{failure.value}"))
        else:
            self._over.errback(failure)

    # --- from the agent

    async def _from_agent(self) -> Ending:
        """Until the agent breaks it; its close is the target's to answer."""
        while data := await self._handshake.stream.read():
            self._heard_something()
            try:
                last = await self._taken_from_agent(data)
            except MaskingFault as fault:
                why = f"A message may not leave. {of_request(fault)}"
                return Ending(POLICY, why, "gateway", Refusal(Denial.POLICY, why))
            if isinstance(last, Broken):
                denial = Denial.BODY_TOO_LARGE if last.code == TOO_BIG else Denial.MALFORMED
                return Ending(last.code, last.why, "gateway", Refusal(denial, last.why))
            if last is not None:
                await self._leave(last)
                await Deferred()  # the target has its time to answer
        raise AgentGone("The agent ended the connection without closing the WebSocket.")

    async def _taken_from_agent(self, data: bytes) -> Closed | Broken | None:
        """Pass on what came; the last of it, if there is one."""
        messages = list[Message]()
        coming = self._agent.feed(data)
        while (heard := await self._next(coming)) is not None:
            if isinstance(heard, Message):
                messages.append(heard)
                if len(messages) < IN_FLIGHT:
                    continue
            await self._pass_on(messages)
            messages.clear()
            if isinstance(heard, Message):
                continue
            if isinstance(heard, Pinged):
                if heard.payload is not None:
                    await self._response.write(self._agent.pong(heard.payload))
            else:
                return heard
        await self._pass_on(messages)
        return None

    async def _pass_on(self, messages: Sequence[Message]) -> None:
        """Send the target what the agent says, once that is durable: it may change something."""
        if not messages:
            return
        account = self._account
        messages = [await self._looks.let_out(each) for each in messages]
        bodies = [await from_agent(account, each, self._turn) for each in messages]
        kept = [
            self._accounts.said(account, each, body, by="agent")
            for each, body in zip(messages, bodies, strict=True)
        ]
        try:
            await DeferredList(kept, fireOnOneErrback=True, consumeErrors=True)
        except FirstError as first:
            first.subFailure.raiseException()
        if self._target.open:  # else it has closed meanwhile
            await self._upstream.write(b"".join(map(self._target.message, messages)))

    async def _leave(self, left: Closed) -> None:
        """The agent's close goes to the target, whose own is waited for, but not for long."""
        self._left = left
        self._deadline.set(self._limits.closing, lambda: self._end(Ending(left.code, "", "agent")))
        try:
            said = await self._looks.let_out(Message(left.reason.encode("utf-8"), is_text=True))
        except MaskingFault:
            said = Message(b"", is_text=True)
        if last := self._target.close(left.code, said.data.decode("utf-8")):
            await self._upstream.write(last)

    # --- from the target

    async def _from_target(self) -> Ending:
        """Until the target closes it, or breaks it."""
        while data := await self._upstream.read():
            if self._left is None:
                self._heard_something()
            coming = self._target.feed(data)
            while (heard := await self._next(coming)) is not None:
                ending = await self._taken_from_target(heard)
                if ending is not None:
                    return ending
        if self._left is not None:
            return Ending(self._left.code, "", "agent")
        return _gone("The target ended the connection without closing the WebSocket.")

    async def _taken_from_target(self, heard: Heard) -> Ending | None:
        if isinstance(heard, Message):
            # To an agent that has closed nothing can be said any more.
            return await self._shown(heard) if self._agent.open else None
        if isinstance(heard, Pinged):
            if heard.payload is not None and self._target.open:
                await self._upstream.write(self._target.pong(heard.payload))
            return None
        return await self._told(heard)

    async def _shown(self, message: Message) -> Ending | None:
        """Release a message as the agent may see it; one that cannot be looked at ends it."""
        try:
            shown = await self._looks.shown(message)
        except MaskingFault as fault:
            why = "A message is withheld: it may hold secrets, and cannot be looked at."
            told = self._looks.hide_in_words(f"{fault}")
            refusal = Refusal(Denial.RESPONSE_WITHHELD, f"{why} {told}")
            return Ending(POLICY, why, "gateway", refusal)
        body = await to_agent(self._account, shown, self._turn)
        if len(self._kept) >= IN_FLIGHT:
            await _settled(self._kept.popleft())
        if not self._agent.open:
            return None  # it has closed meanwhile
        kept = self._accounts.said(self._account, shown, body, by="target")
        if kept.called:  # it is refused at once
            await kept
        kept.addErrback(self._failed)
        self._kept.append(kept)
        await self._response.write(self._agent.message(shown))
        return None

    async def _next(self, heard: Iterator[Heard]) -> Heard | None:
        """The next of what was heard, which may be thousands of tiny frames.

        Raises `MaskingFault` where there is no room for what is not whole.
        """
        self._looks.holding.count()
        return await self._share.done(partial(next, heard, None))

    async def _told(self, heard: Closed | Broken) -> Ending:
        """The target's close, or what is none."""
        if isinstance(heard, Broken):
            why = f"The target's side: {heard.why}"
            refusal = Refusal(Denial.UPSTREAM_MALFORMED, why)
            return Ending(FAULTY, why, "gateway", refusal)
        reason = await self._reason(heard.reason)
        if self._left is not None:
            return Ending(heard.code, reason, "agent")
        await self._upstream.write(self._target.close(heard.code))
        return Ending(heard.code, reason, "target")

    async def _reason(self, reason: str) -> str:
        """Why the target closes, as the agent may see it."""
        try:
            shown = await self._looks.shown(Message(reason.encode("utf-8"), is_text=True))
        except MaskingFault:
            return ""
        return shown.data.decode("utf-8")

    # --- how long nothing may come

    def _heard_something(self) -> None:
        self._deadline.set(self._limits.silence, self._silent)

    def _silent(self) -> None:
        why = f"Neither side has sent anything for {self._limits.silence:g} s."
        self._end(Ending(AWAY, why, "gateway", Refusal(Denial.CUT_SHORT, why)))


async def _settled(kept: Kept) -> None:
    """Wait until it is known what became of an entry, whose fault somebody else takes.

    It is not ``kept`` that is waited for: to cancel that would look like its fault.
    """
    if not kept.called:
        waiting: Deferred[None] = Deferred()
        kept.addBoth(partial(_tell, waiting))
        await waiting


def _tell(waiting: Deferred[None], _: object) -> None:
    if not waiting.called:  # else whoever waited has been cancelled
        waiting.callback(None)


def _gone(why: str) -> Ending:
    return Ending(FAULTY, why, "gateway", Refusal(Denial.UPSTREAM_UNREACHABLE, why))
