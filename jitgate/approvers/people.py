"""The provider of `IPeople` that ships: whom the configuration lists as inactive."""

from __future__ import annotations

from zope.interface import implementer

from jitgate.core.answers import person
from jitgate.interfaces import IPeople


@implementer(IPeople)
class ListedPeople:
    """Everybody is active who is not listed. While ``failure`` is set, it is raised instead."""

    name = "configuration"
    deadline = 1.0

    def __init__(self, *inactive: str) -> None:
        self.deactivate(*inactive)
        self.failure: Exception | None = None

    def deactivate(self, *inactive: str) -> None:
        """List these, and nobody else."""
        self._inactive = frozenset(map(person, inactive))

    async def is_active(self, person: str) -> bool:
        if self.failure is not None:
            raise self.failure
        return person not in self._inactive
