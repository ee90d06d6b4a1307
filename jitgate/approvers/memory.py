"""The memory driver of the approvers' port: for tests, and to look at what people were shown."""

from __future__ import annotations

from zope.interface import implementer

from jitgate.interfaces import IGrantChannel
from jitgate.values import AccessRequest, Grant, Use


@implementer(IGrantChannel)
class MemoryChannel:
    """Keeps what it was told in a list. While ``failure`` is set, it is raised instead."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.told: list[AccessRequest] = []
        self.grants: list[tuple[Grant, Use | None]] = []
        self.failure: Exception | None = None

    async def tell(self, request: AccessRequest) -> None:
        if self.failure is not None:
            raise self.failure
        self.told.append(request)

    async def tell_grant(self, grant: Grant, use: Use | None) -> None:
        if self.failure is not None:
            raise self.failure
        self.grants.append((grant, use))
