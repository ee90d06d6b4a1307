"""What approvers are shown beside an id: what it is called, where the agent may read that itself.

So people see through this nothing that policy would keep from the agent, and no right is made up
for it. Where a name cannot be had, the id stands alone and a few words say why; nothing is refused
for that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from jitgate.core.binding import within
from jitgate.core.policy import Policy
from jitgate.core.profiles import MaskingProfile, maskers_for
from jitgate.core.resource_names import FAILED, MAY_NOT, MOST, NameReads
from jitgate.errors import JitgateError, RuleFault, traced
from jitgate.flow.admission import Target
from jitgate.flow.looking_up import LookUp, Means, Wanted
from jitgate.flow.watching import check_maskers
from jitgate.values import Ask, Decision, Effect, Inquiry, Operation, ResourceName, Subject

KEPT_FOR = 60.0
"""Seconds that a name is shown without being read again: an approver takes as long to answer."""

KEPT = 1024
"""Names that are kept: some hundred bytes each."""

AT_ONCE = 64
"""Look-ups under way at a time: each has a connection, and agents' calls go first."""

_Key = tuple[str, str, str, Decision]
"""A read (authority, action, path), and the leave that policy gives for it."""


class _Known(NamedTuple):
    name: ResourceName
    since: float


class ResourceNames:
    """Knows what the resources of a call are called, for people. It is asked once a request."""

    _log = Logger()

    def __init__(self, means: Means, new_id: Callable[[str], str]) -> None:
        self._means = means
        self._new_id = new_id
        self._asking: dict[_Key, LookUp] = {}
        self.switch_off()

    def switch_off(self) -> None:
        """Look nothing up."""
        self.adopt({}, Policy((), "", frozenset()), {})

    def adopt(
        self,
        targets: Mapping[str, Target],
        policy: Policy,
        profiles: Mapping[str, MaskingProfile],
    ) -> None:
        """Go by these from now on: what was read, or is being read, by others counts no more."""
        self._targets, self._policy, self._profiles = targets, policy, profiles
        self._reads: dict[str, NameReads] = {}
        self._known: OrderedDict[_Key, _Known] = OrderedDict()
        """The last one read last."""
        before, self._asking = self._asking, {}
        for each in list(before.values()):
            each.end()

    async def shown(self, ask: Ask) -> Ask:
        """The call as people see it, with the names of its resources. Raises nothing of its own."""
        try:
            asked = self._asked(ask)
        except Exception as fault:  # noqa: BLE001 (a catalog's, say; the ids are there)
            self._log.error("Names could not be looked up: {how}", how=traced(fault))
            return ask
        names = {name: await told for name, told in asked.items()}
        return replace(ask, shown=replace(ask.shown, names=names)) if names else ask

    def _asked(self, ask: Ask) -> Mapping[str, Deferred[ResourceName]]:
        authority = ask.operation.authority
        target = self._targets.get(authority)
        if target is None or target.personal is not None:
            return {}
        reads = self._reads.get(authority)
        if reads is None:
            reads = self._reads[authority] = NameReads(target.catalog, authority)
        found = islice(reads.of(ask.operation), MOST)
        return {name: self._named(target, read, ask) for name, read in found}

    def _named(self, target: Target, read: Operation, ask: Ask) -> Deferred[ResourceName]:
        """What that read tells: known, or being asked, or asked for now."""
        permit = self._permit(read, ask.subject)
        if permit is None:
            return succeed(MAY_NOT)
        key = (read.authority, read.action, read.path, permit)
        known, asking = self._known.get(key), self._asking.get(key)
        if known is not None and 0 <= self._means.clock.seconds() - known.since < KEPT_FOR:
            return succeed(known.name)
        if asking is None:
            asking = self._begun(key, target, ask, read)
        return succeed(FAILED) if asking is None else asking.waited()

    def _permit(self, read: Operation, subject: Subject) -> Decision | None:
        """Policy's leave for the agent to read it, if it needs nothing that is not here."""
        binding = subject.binding
        if not within(binding, read) or (binding is not None and binding.once):
            return None
        try:
            said = self._policy.foretell(Inquiry(read, subject, self._means.clock.seconds()))
        except RuleFault:  # then the agent's own read would be denied
            return None
        if not isinstance(said, Decision) or said.effect is not Effect.PERMIT:
            return None
        return None if said.obliged("budget") else said

    def _begun(self, key: _Key, target: Target, ask: Ask, read: Operation) -> LookUp | None:
        """A look-up that has begun; None where there is no room, here or at the target."""
        try:
            maskers = maskers_for(read, key[-1], self._profiles)
            check_maskers(maskers)
        except JitgateError:
            return None
        if len(self._asking) >= AT_ONCE or not self._has_room(read):
            return None
        wanted = Wanted(target, read, key[-1], maskers)
        asking = self._asking[key] = LookUp(wanted, ask, self._new_id("n"), self._means)
        asking.waited().addCallback(self._told, key, self._asking, self._known)
        asking.begin()
        return asking

    def _has_room(self, read: Operation) -> bool:
        """Whether the target has not said to go slow: agents' own calls go before this one."""
        pace = self._means.pace
        return read.target not in pace.slowed() and pace.objection(read, approved=False) is None

    def _told(
        self,
        result: ResourceName,
        key: _Key,
        asking: dict[_Key, LookUp],
        known: OrderedDict[_Key, _Known],
    ) -> None:
        """It is over; a name is kept for a while, by the configuration that it was read by."""
        del asking[key]
        if result.name is None:
            return
        known[key] = _Known(result, self._means.clock.seconds())
        known.move_to_end(key)
        if len(known) > KEPT:
            known.popitem(last=False)
