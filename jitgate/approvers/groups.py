"""The provider of `IGroups` that ships: groups in memory, for tests and to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zope.interface import implementer

from jitgate.errors import PeopleUnknown
from jitgate.interfaces import IGroups


@implementer(IGroups)
class MemoryGroups:
    """Knows the groups that it is given. While ``failure`` is set, it is raised instead."""

    deadline = 2.0

    def __init__(self, groups: Mapping[str, Sequence[str]], name: str = "memory") -> None:
        self.name = name
        self.groups = dict(groups)
        self.failure: Exception | None = None

    def misnamed(self, group: str) -> str | None:
        return None

    async def members(self, group: str) -> Sequence[str]:
        if self.failure is not None:
            raise self.failure
        if group not in self.groups:
            raise PeopleUnknown(f"There is no group {group!r}.")
        return self.groups[group]
