"""What the operator got from the target: one fixed secret, the same for every call."""

from __future__ import annotations

from zope.interface import implementer

from jitgate.credentials.carriers import Carrier
from jitgate.interfaces import ICredentialSource
from jitgate.values import Credential, Operation


@implementer(ICredentialSource)
class StaticCredentials:
    """Issues the secret ``value`` as ``carrier`` carries it.

    Raises `ValueError`, which does not show the value, where it cannot be carried so.
    """

    def __init__(self, carrier: Carrier, value: bytes) -> None:
        self._credential = carrier.credential(value, {"kind": "static", **carrier.where})

    async def issue(self, operation: Operation) -> Credential:
        return self._credential
