"""A source that has nothing to follow: what it issues is good as long as it is."""

from __future__ import annotations

from zope.interface import implementer

from jitgate.interfaces import ICredentialSource, ILendingSource
from jitgate.values import Credential, Operation, ResponseHead


@implementer(ILendingSource)
class Kept:
    """Lends what ``source`` issues. How long that is reused is the source's own affair."""

    def __init__(self, source: ICredentialSource) -> None:
        self._source = source

    async def lend(
        self, operation: Operation, *, reuse: float, granted: bool = False
    ) -> Credential:
        credential: Credential = await self._source.issue(operation)
        return credential

    def again(self, credential: Credential) -> Credential:
        return credential

    def heard(self, credential: Credential, answer: ResponseHead) -> str | None:
        return None

    def returned(self, credential: Credential) -> None:
        """Nothing is to be done."""
