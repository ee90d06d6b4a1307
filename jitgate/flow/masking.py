"""By which maskers a call goes: noted on its account, and made before it goes on."""

from __future__ import annotations

from collections.abc import Mapping

from jitgate.core.profiles import MaskingProfile, maskers_for, maskers_of_request, passes
from jitgate.errors import MaskingFault
from jitgate.flow.call import Call
from jitgate.flow.outgoing import Outgoing, Ready
from jitgate.flow.watching import check_maskers
from jitgate.interfaces import IMasker
from jitgate.values import Decision


class Masking:
    """Goes by what the profiles of decisions name."""

    def __init__(
        self, profiles: Mapping[str, MaskingProfile], outgoing: Outgoing, ready: Ready
    ) -> None:
        self.profiles = profiles
        """Those that are gone by from now on."""
        self._outgoing = outgoing
        self._ready = ready

    async def hide_all(self, call: Call, decision: Decision) -> None:
        """Have the record hide all that the decision's profiles do, in requests and responses.

        So it is before anything is held or looked at: whatever keeps the call in from here on, its
        URL stands in the entry that says so.
        """
        answer = maskers_for(call.operation, decision, self.profiles)
        request = maskers_of_request(call.operation, decision, self.profiles)
        await self._hide(call, tuple(dict.fromkeys((*answer, *request))) if request else answer)

    async def _hide(self, call: Call, maskers: tuple[IMasker, ...]) -> None:
        """Have the record hide what these do, and return once what looks for that is made."""
        account = call.account
        if maskers == account.maskers:
            return
        account.maskers = maskers
        if maskers:
            await call.span.within(self._ready(maskers))

    async def mask(self, call: Call, decision: Decision) -> None:
        """Note what hides in the answer what the agent must not see. Raises `MaskerOff`.

        Raises `MaskingFault` for a request that has not been looked at and had to be.
        """
        if self._outgoing.waits(call, decision):
            raise MaskingFault("The request has not been looked at.")
        maskers = maskers_for(call.operation, decision, self.profiles)
        check_maskers(maskers)  # else the call would be carried out, and its answer withheld
        await self._hide(call, maskers)
        call.account.passes = bool(maskers) and passes(call.operation, decision, self.profiles)
