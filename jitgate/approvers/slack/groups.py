"""Slack's user groups as groups of approvers: the provider of `IGroups` that goes with Slack.

Who is in one is asked by `jitgate.approvers.slack.user_groups`, once Slack is called. This here
is made with the configuration, and loads nothing of Slack's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

from zope.interface import implementer

from jitgate.errors import PeopleUnknown
from jitgate.interfaces import IGroups

_ID: Final = re.compile(r"S[A-Z0-9]{2,20}\Z")


class Asked(Protocol):
    """Who knows the members."""

    async def members(self, group: str) -> Sequence[str]:
        """Everybody in a user group. Raises `PeopleUnknown`."""


@implementer(IGroups)
class SlackGroups:
    """User groups by their ids; ``asked`` is set once Slack is called."""

    name = "slack"
    deadline = 8.0

    def __init__(self) -> None:
        self.asked: Asked | None = None

    def misnamed(self, group: str) -> str | None:
        if _ID.match(group):
            return None
        return "the id of a Slack user group was expected, such as S0123ABCD"

    async def members(self, group: str) -> Sequence[str]:
        if self.asked is None:
            raise PeopleUnknown("Slack is not asked.")
        return await self.asked.members(group)
