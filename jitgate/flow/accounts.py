"""Opens an account for each exchange, and puts what is in it on record and in the tally."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from twisted.internet.interfaces import IReactorTime

from jitgate.core.hiding import Hand
from jitgate.core.tally import (
    ANSWERS,
    DECISIONS,
    EXCHANGE_SECONDS,
    EXCHANGES,
    MASKED,
    PEOPLE_SECONDS,
    REFUSALS,
    RELEASED,
    STAGE_SECONDS,
    Tally,
)
from jitgate.errors import RecorderDown
from jitgate.flow.account import Account
from jitgate.flow.admission import Tunnel
from jitgate.flow.frames import Message
from jitgate.flow.recorder import Kept, Recorder, durable
from jitgate.flow.shown_bodies import shown_request, shown_response
from jitgate.flow.shown_requests import shown_target
from jitgate.flow.slices import Share, Turn
from jitgate.flow.timing import PARTS, Timing
from jitgate.flow.witness import Start, Witness
from jitgate.interfaces import IRequest
from jitgate.values import Body, Decision, Entry, Refusal

RECORD_BODY = 1024 * 1024
"""Bytes kept of each body for the record; what is longer is digested whole and kept in part."""

SHORT = 200
"""Characters of a request target that takes no time to look at."""

SESSIONS = 1024
"""Sessions for which it is remembered how values are digested; an agent has one at a time."""


class Accounts:
    """Opens an account for each exchange, and puts its entries on record.

    ``elapsed`` gives seconds by a clock that nobody sets; without it the one of the entries' times.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        clock: IReactorTime,
        new_id: Callable[[], str],
        site_key: bytes,
        turn: Turn,
        tally: Tally,
        elapsed: Callable[[], float] | None = None,
    ) -> None:
        self.tally = tally
        self._timers = {part: tally.timer(STAGE_SECONDS, part) for part in PARTS}
        self._timers["people"] = tally.timer(PEOPLE_SECONDS)
        self._recorder = recorder
        self._clock = clock
        self._elapsed = elapsed or clock.seconds
        self._new_id = new_id
        self._site_key = site_key
        self.turn = turn
        self._start = Start(hmac.new(site_key, b"jitgate body\0", "sha256"))

    def opened(self, tunnel: Tunnel, request: IRequest) -> Account:
        """The account of an exchange that begins."""
        return Account(
            id=self._new_id(),
            session=tunnel.session,
            subject=tunnel.subject,
            head=request.head,
            timing=Timing(self._elapsed),
            sent=self.witness(),
            released=self.witness(),
            hand=hand_of(self._site_key, tunnel.session),
            outgoing_hand=hand_of(self._site_key, ""),  # or each session would send another
            near=tunnel.near,
        )

    def counted(self, account: Account) -> None:
        """The exchange has ended: it counts, once."""
        add, target = self.tally.add, _target(account)
        effect = "none" if account.decision is None else account.decision.effect.value
        add(EXCHANGES, target, effect, account.outcome)
        if account.denial is not None:
            add(REFUSALS, target, account.denial)
        if account.upstream_status is not None:
            add(ANSWERS, target, f"{account.upstream_status // 100}xx")
        for what, count in account.masks.items():
            add(MASKED, target, what if what == "credential" else "value", by=count)
        if account.released.bytes:
            add(RELEASED, target, by=account.released.bytes)
        self.tally.took(EXCHANGE_SECONDS, account.timing.seconds(), effect)
        for part, seconds in account.timing.parts().items():
            self._timers[part](seconds)

    def token_print(self, token: str) -> str:
        """By it the entries about one token are found, also where nobody asked whose it is."""
        data = b"jitgate token\0" + token.encode("utf-8", "surrogatepass")
        return hmac.digest(self._site_key, data, "sha256").hex()

    def witness(self, keeps: int = RECORD_BODY) -> Witness:
        """Its digest is keyed: a plain one of a body with a secret would help to guess it."""
        return Witness(self._start, keeps)

    def said(self, account: Account, message: Message, body: Body | None, *, by: str) -> Kept:
        """Record a message as it goes on; fires when it is durable.

        Args:
            account: Whose WebSocket it is; it counts and digests its messages.
            message: As it goes on.
            body: What of it is kept.
            by: ``agent`` or ``target``.
        """
        witness = account.released if by == "target" else account.sent
        witness.saw(message.data)
        own = self.witness(0)
        own.saw(message.data)
        account.messages[by] += 1
        fields: dict[str, object] = {
            "exchange": account.id,
            "session": account.session,
            "by": by,
            "number": account.messages[by],
            "kind": "text" if message.is_text else "binary",
            "bytes": own.bytes,
            "hmac": own.digest,
        }
        bodies = {} if body is None else {"message": body}
        return self._recorder.append(Entry("message", self._clock.seconds(), fields, bodies))

    async def looked(self, account: Account) -> None:
        """Have found what is shown of its URL, and let others have their turn meanwhile.

        It is remembered for the entries that tell it, which keep everybody waiting.
        """
        if len(account.head.target) <= SHORT:
            return
        for url in _urls(account):
            await Share(self.turn).done(partial(shown_target, url, account.maskers))

    def decided(self, account: Account, refusal: Refusal | None = None) -> Kept:
        """Record the decision, best once it is `looked` at; fires when it is durable."""
        entry = account.decision_entry(self._clock.seconds(), refusal)
        said = account.decision
        if said is not None:
            self.tally.add(DECISIONS, _target(account), said.effect.value, said.rule)
        account.shown = account.known
        account.recorded = self._recorder.append(entry)
        return account.recorded

    async def durably_decided(self, account: Account) -> None:
        """Record the decision; returns when it is durable."""
        await self.looked(account)
        await self.decided(account)

    async def kept_in(self, account: Account, denied: Decision) -> None:
        """Go by this decision; if another one is on record, this one is durable on return."""
        account.decision = denied
        if account.recorded is not None:
            await self.durably_decided(account)

    async def settled(self, account: Account, outcome: str, refusal: Refusal | None) -> None:
        """Make the outcome durable, and the decision before it if it is not yet on record."""
        account.outcome = outcome
        account.denial = None if refusal is None else refusal.denial.value
        if account.recorded is None:
            await self.looked(account)
        recorded = account.recorded or self.decided(account, refusal)
        if refusal is None and recorded.called:
            await recorded  # if it is lost nothing is released, so that nothing was completed
        account.request_body = await shown_request(account, self.turn)
        account.response_body = await shown_response(account, self.turn)
        entry = account.outcome_entry(self._clock.seconds(), outcome, refusal)
        account.settled = True  # also if this is cancelled: there is one outcome
        try:
            await durable([recorded, self._recorder.append(entry)])
        except RecorderDown:
            account.settled = False
            raise


def _urls(account: Account) -> Sequence[str]:
    """What entries tell of: mostly with the same query."""
    asked_for = account.head.target
    return [asked_for] if account.operation is None else [asked_for, account.operation.url]


def _target(account: Account) -> str:
    return "" if account.operation is None else account.operation.target


def hand_of(site_key: bytes, session: str) -> Hand:
    """What shows values that are hidden from one session; its digests tell other ones nothing."""
    keyed = partial(_keyed, site_key)
    return Hand(keyed(b"jitgate masked\0"), keyed(b"jitgate session\0", session))


@lru_cache(maxsize=SESSIONS)
def _keyed(site_key: bytes, use: bytes, session: str = "") -> Callable[[bytes], str]:
    """Digests values for one use."""
    of = len(session).to_bytes(4) + session.encode() if session else b""
    return lambda value: hmac.digest(site_key, use + of + value, "sha256").hex()
