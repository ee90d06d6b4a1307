"""No credential at all: for targets that answer anybody."""

from __future__ import annotations

from typing import Final

from zope.interface import implementer

from jitgate.core.literals import Literals
from jitgate.interfaces import ICredentialSource
from jitgate.values import Credential, Operation

_NOTHING: Final = Credential((), Literals(), {"kind": "none"})


@implementer(ICredentialSource)
class NoCredential:
    """Issues a credential that adds nothing to the request."""

    async def issue(self, operation: Operation) -> Credential:
        return _NOTHING
