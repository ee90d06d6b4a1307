"""One call on its way through the gateway: who brought it, what it is, and its two ports."""

from __future__ import annotations

from typing import NamedTuple

from jitgate.core import injection
from jitgate.flow.account import Account
from jitgate.flow.admission import Target
from jitgate.flow.load import Span
from jitgate.interfaces import IRequest, IResponse
from jitgate.values import Credential, Operation, RequestHead, Subject


class Call(NamedTuple):
    """A call that has been named, of a subject that has been proved."""

    account: Account
    subject: Subject
    session: str
    target: Target
    operation: Operation
    request: IRequest
    response: IResponse
    span: Span

    def head(self, body: IRequest, credential: Credential) -> RequestHead:
        """The head that goes to the target, with this body and this credential."""
        return injection.upstream_head(
            body.head,
            self.operation,
            credential,
            declared=self.target.declared,
            masked=bool(self.account.maskers),
        )
