"""Asks Slack who is in a user group, and who they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from jitgate.approvers.slack.calls import Calls
from jitgate.approvers.slack.who import Who
from jitgate.core.answers import person
from jitgate.errors import PeopleUnknown, SlackFault

MOST: Final = 200
"""Members of a group: each is looked up, and more than that need no user group to be asked."""

AT_ONCE: Final = 2
"""Members who are looked up at a time: a click finds a thread that calls Slack all the same."""


class UserGroups:
    """Knows who is in user groups; who is no member of the workspace is in none."""

    def __init__(self, calls: Calls, who: Who) -> None:
        self._calls = calls
        self._who = who
        self._turns = DeferredSemaphore(AT_ONCE)

    async def members(self, group: str) -> Sequence[str]:
        """Everybody in a group, as `person` spells them. Raises `PeopleUnknown`."""
        users = await self._users(group)
        if len(users) > MOST:
            raise PeopleUnknown(f"{group} has more than {MOST} members.")
        asking = [self._turns.run(self._begin, user) for user in users]
        found = await gatherResults(asking)
        for each in found:
            if isinstance(each, SlackFault):
                raise PeopleUnknown(f"{each}")
        return sorted({person(each) for each in found if isinstance(each, str)})

    async def _users(self, group: str) -> Sequence[str]:
        try:
            told = await self._calls.call("usergroups.users.list", usergroup=group)
        except SlackFault as fault:
            raise PeopleUnknown(f"{fault}") from fault
        users = told.get("users")
        if not isinstance(users, list) or not all(isinstance(each, str) for each in users):
            raise PeopleUnknown(f"Slack does not tell who is in {group}.")
        return users

    def _begin(self, user: str) -> Deferred[str | SlackFault | None]:
        return Deferred.fromCoroutine(self._member(user))

    async def _member(self, user: str) -> str | SlackFault | None:
        """Who it is, or why that cannot be told: a value, for others are being asked of as well."""
        try:
            return await self._who.member(user)
        except SlackFault as fault:
            return fault
