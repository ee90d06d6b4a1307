"""What the gateway answers for itself at ``https://jitgate.internal``: a target like every other.

So identity, policy and the recorder apply to it without a special case, and who read or cancelled
what is on record. Only the way there differs: it ends inside the process, and leads each subject to
what is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from zope.interface import implementer

from jitgate.core.catalog import Catalog, PathCatalog
from jitgate.core.profiles import UNMASKED
from jitgate.errors import UpstreamUnreachable
from jitgate.flow.admission import Target
from jitgate.interfaces import (
    ICatalog,
    ILendingSource,
    IRequest,
    IRule,
    IUpstream,
    IUpstreamConnection,
)
from jitgate.proxy.page import Asked
from jitgate.proxy.pages import CALLS, Pages, too_large
from jitgate.values import (
    Effect,
    Headers,
    Inquiry,
    NotCanonical,
    Obligation,
    Operation,
    RequestHead,
    ResponseHead,
    Subject,
    Verdict,
)

NAME = "jitgate.internal"
AUTHORITY = f"{NAME}:443"

BODY = 16 * 1024
"""Bytes that a request may carry: the note of an agent that cancels, which the record keeps."""

TOKENS_BODY = 96 * 1024
"""The same where a token is brought: a SAML assertion of 64 KiB, in base64 and in a form."""

DECLARED = frozenset({b"idempotency-key", b"x-request-id"})
"""What of a request's fields the pages read beside those that count anywhere."""

_PERMITTED = Verdict(
    Effect.PERMIT,
    "Every agent may read what the gateway tells it of itself.",
    (Obligation("mask", UNMASKED),),
)
"""It gets the tokens that it asks for; in the record they are masked all the same."""


@implementer(ICatalog)
class InternalCatalog:
    """The pages that there are. Of any other call it knows the method alone; that is a 404."""

    actions = CALLS.actions

    def __init__(self) -> None:
        self._pages = Catalog(NAME, CALLS)
        self._others = PathCatalog(NAME)

    def samples(self, authority: str) -> Iterable[Operation]:
        return self._pages.samples(authority)

    def operation(
        self, authority: str, method: str, path: str, query: str
    ) -> Operation | NotCanonical | None:
        call = authority, method, path, query
        return self._pages.operation(*call) or self._others.operation(*call)

    def named(self, authority: str, action: str, resource: Mapping[str, str]) -> Operation | None:
        return None  # nothing here needs a token for itself


@implementer(IRule)
class InternalRule:
    """Permits these pages to every proven subject, which sees its own alone; speaks of no other."""

    name = "jitgate-internal"
    version = "1"

    def judge(self, inquiry: Inquiry) -> Verdict | None:
        return _PERMITTED if inquiry.operation.target == NAME else None


@implementer(IUpstream)
class InternalUpstream:
    """Leads one subject to the pages. Nothing is connected to, and nothing stays open."""

    def __init__(self, pages: Pages, subject: Subject, session: str) -> None:
        self._pages = pages
        self._subject = subject
        self._session = session

    async def connect(self, *, fresh: bool) -> InternalConnection:
        return InternalConnection(self._pages, self._subject, self._session)

    async def stop(self) -> None:
        """There is nothing to end."""


@implementer(IUpstreamConnection)
class InternalConnection:
    """One exchange with the gateway itself."""

    fresh = True

    def __init__(self, pages: Pages, subject: Subject, session: str) -> None:
        self._pages = pages
        self._subject = subject
        self._session = session
        self._left = b""

    async def send(self, head: RequestHead, body: IRequest) -> ResponseHead:
        limit = TOKENS_BODY if head.target in {"/token", "/revoke"} else BODY
        taken = await _read(body, limit)
        if taken is None:
            answer, data = too_large(limit)
        else:
            asked = Asked(self._subject, self._session, head.headers, taken)
            answer, data = await self._pages.answer(asked, head)
        if head.method == "HEAD":
            return ResponseHead(answer.status, answer.headers, 0)
        self._left = data
        return answer

    async def read(self) -> bytes:
        data, self._left = self._left, b""
        return data

    def trailers(self) -> Headers:
        return ()

    def release(self) -> None:
        """There is nothing to give back."""

    def abort(self) -> None:
        """There is nothing that could not be waited for."""


async def _read(body: IRequest, limit: int) -> bytes | None:
    """A request's body; of one that is too large no more is read than that shows."""
    pieces, taken = [], 0
    while piece := await body.read():
        pieces.append(piece)
        taken += len(piece)
        if taken > limit:
            return None
    return b"".join(pieces)


@implementer(IUpstream)
class _NobodysUpstream:
    """The way for whoever has not been proved: none."""

    async def connect(self, *, fresh: bool) -> IUpstreamConnection:
        raise UpstreamUnreachable("Nobody has been proved.")

    async def stop(self) -> None:
        """There is nothing to end."""


def internal_target(pages: Pages, credentials: ILendingSource) -> Target:
    """The target that leads to the pages; ``credentials`` issue none."""
    return Target(
        name=NAME,
        manner="problem",
        catalog=InternalCatalog(),
        credentials=credentials,
        upstream=_NobodysUpstream(),
        declared=DECLARED,
        personal=partial(InternalUpstream, pages),
    )
