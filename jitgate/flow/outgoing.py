"""Requests that may not leave as they came: looked at, and masked or kept in, before all else."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

from jitgate.core.known_names import keep_known
from jitgate.core.literals import LiteralMasker
from jitgate.core.masked_requests import masked_request, of_request
from jitgate.core.masking import Maskers
from jitgate.core.profiles import (
    MaskingProfile,
    maskers_of_request,
    request_passes,
)
from jitgate.errors import MaskingFault
from jitgate.flow.accounts import Accounts
from jitgate.flow.bodies import HeldBodies, HeldBody
from jitgate.flow.call import Call
from jitgate.flow.slices import Share
from jitgate.flow.watching import check_maskers
from jitgate.interfaces import IMasker, IRequest
from jitgate.values import Decision, Denial, Effect, Refusal

LOOKS: Final = 4
"""How often a request is looked at: each time policy may name others who look at what is left."""

Ready = Callable[[tuple[IMasker, ...]], Coroutine[Any, Any, None]]
"""Returns once what looks for what these hide has been made."""


class Rewritten(NamedTuple):
    """The request as it may leave: what policy is asked about in the place of the first."""

    request: IRequest


async def at_once(_: tuple[IMasker, ...]) -> None:
    """Nothing has to be made first."""


class Outgoing:
    """Lets those look at a request whom a decision names, before anything comes of that."""

    def __init__(
        self,
        profiles: Mapping[str, MaskingProfile],
        bodies: HeldBodies,
        accounts: Accounts,
        ready: Ready,
    ) -> None:
        self._bodies = bodies
        self._accounts = accounts
        self._ready = ready
        self.adopt(profiles)

    def adopt(self, profiles: Mapping[str, MaskingProfile]) -> None:
        """Go by these from now on."""
        self._profiles = profiles
        self._any = any(each.requests for each in profiles.values())

    def _maskers(self, call: Call, decision: Decision) -> tuple[IMasker, ...]:
        return maskers_of_request(call.operation, decision, self._profiles)

    def waits(self, call: Call, decision: Decision) -> bool:
        """Whether those must look at the request first that the decision names."""
        if decision.effect is Effect.DENY:
            return False
        if not self._any and not call.account.outgoing:  # as mostly
            return False
        return self._maskers(call, decision) != call.account.outgoing

    async def looked(self, call: Call, held: HeldBody, decision: Decision) -> Refusal | Rewritten:
        """The request without what must not leave. Policy decides anew then: on what does leave.

        What cannot be looked at, or masked, is denied.
        """
        account, maskers = call.account, self._maskers(call, decision)
        check_maskers(maskers)
        await call.span.within(self._ready(maskers))
        passing = request_passes(call.operation, decision, self._profiles)
        looking = Maskers(maskers, account.outgoing_hand)
        keep_known(looking, LiteralMasker(()))  # the credential is not there yet
        look = partial(
            masked_request,
            held.head,
            call.operation,
            held.data,
            looking,
            declared=call.target.declared,
            passes=passing,
        )
        account.looks += 1
        try:
            head, data = await Share(self._accounts.turn).done(look)
        except MaskingFault as fault:
            return await self._kept_in(call, decision, of_request(fault))
        if account.looks > LOOKS:
            return await self._kept_in(call, decision, "Each look at it finds something else.")
        account.outgoing, account.outgoing_passes = maskers, passing
        if head is held.head:
            return Rewritten(call.request)
        if call.handshake is not None:
            return await self._kept_in(call, decision, "It opens a WebSocket, and is not masked.")
        account.held = self._bodies.rewritten(held, head, data)
        account.sent = self._accounts.witness()
        account.sent.saw(data)
        return Rewritten(account.held)

    async def _kept_in(self, call: Call, decision: Decision, why: str) -> Refusal:
        """The request may not leave, and that is on record as what policy said."""
        told = f"The request may not leave. {why}"
        denied = replace(decision, effect=Effect.DENY, reason=told)
        await self._accounts.kept_in(call.account, denied)
        return Refusal(Denial.POLICY, told, decision.rule)
