"""One call on its way through the gateway: who brought it, what it is, and its two ports."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from jitgate.core import injection
from jitgate.core.placing import placed_body
from jitgate.core.websocket import opening_head
from jitgate.errors import CredentialUnavailable
from jitgate.flow.account import Account
from jitgate.flow.admission import Target
from jitgate.flow.bodies import HeldBody
from jitgate.flow.handshake import Handshake
from jitgate.flow.load import Span
from jitgate.flow.shown_requests import sent_fields
from jitgate.flow.slices import Share, Turn
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

    def leaving(self, body: IRequest, credential: Credential) -> tuple[RequestHead, IRequest]:
        """Head and body that go to the target, with this credential where it belongs."""
        head = self.head(body, credential)
        if credential.body is None:
            return head, body
        if not isinstance(body, HeldBody):
            raise CredentialUnavailable("The credential is for a body that is not held.")
        data = placed_body(head.headers, body.data, credential.body)
        return head._replace(length=len(data)), HeldBody(body, data)

    async def departs(self, head: RequestHead, credential: Credential, turn: Turn) -> None:
        """From now on the target may see something of it."""
        account = self.account
        token = account.next_token
        work = partial(sent_fields, head, credential, token, account.maskers)
        account.sent_fields = await Share(turn).done(work)
        account.requests += 1

    def head(self, body: IRequest, credential: Credential) -> RequestHead:
        """The head that goes to the target, with this body and this credential."""
        head = injection.upstream_head(
            body.head,
            self.operation,
            credential,
            token=self.account.next_token,
            declared=self.target.declared,
            masked=bool(self.account.maskers),
        )
        if self.handshake is None:
            return head
        return opening_head(head, self.operation, self.handshake.key)

    @property
    def handshake(self) -> Handshake | None:
        """The request, where it opens a WebSocket."""
        return self.request if isinstance(self.request, Handshake) else None
