"""No credential at all: for targets that answer anybody."""

from __future__ import annotations

from zope.interface import implementer

from jitgate.interfaces import ICredentialSource
from jitgate.values import Credential, Operation


@implementer(ICredentialSource)
class NoCredential:
    """Issues a credential that adds nothing to the request."""

    async def issue(self, operation: Operation) -> Credential:
        return Credential((), (), {"kind": "none"})
