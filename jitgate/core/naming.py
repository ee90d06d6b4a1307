"""Which operation a request is of one target: asked by the gateway, and by whoever tries policy.

There is one such function, so that what is tested offline is what is decided on.
"""

from __future__ import annotations

from typing import Protocol

from jitgate.core.fields import holds_calls, once, overriding
from jitgate.core.injection import misread
from jitgate.core.operation import canonical_target
from jitgate.core.placing import bare_body, bare_head, clear_body, has_names
from jitgate.core.websocket import WebSockets, opened
from jitgate.interfaces import ICatalog
from jitgate.values import Denial, Headers, NotCanonical, Operation, Refusal, RequestHead


class Named(Protocol):
    """What must be known of a target to name its calls."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    @property
    def catalog(self) -> ICatalog:
        """What its calls mean."""

    @property
    def declared(self) -> frozenset[bytes]:
        """Request fields, in lower case, that are forwarded beside the gateway's own tables."""

    @property
    def merges(self) -> bool:
        """Whether empty segments inside a path are taken for none."""

    @property
    def query_name(self) -> str | None:
        """The parameter of the query that its credential is in: an agent's own is no part of it."""

    @property
    def body_name(self) -> str | None:
        """The field of a form, or the member of a JSON object, that its credential is in."""

    @property
    def websockets(self) -> WebSockets:
        """Where it takes WebSockets."""


def named_operation(
    target: Named, authority: str, head: RequestHead, near: str | None = None
) -> Operation | Refusal:
    """The operation that a call is, or why it is none that policy could be asked about.

    ``near`` is the host of the gateway's own that the agent calls in the target's place.
    """
    bare = bare_head(head, target.query_name, target.body_name)
    if isinstance(bare, NotCanonical):
        return Refusal(Denial.MALFORMED, bare.reason)
    spelled = canonical_target(bare.target, head.method, merging=target.merges)
    if isinstance(spelled, NotCanonical):
        return Refusal(Denial.MALFORMED, spelled.reason)
    misleading = once(head.headers, _misleading, target.declared)
    if misleading is not None:
        return misleading
    operation = target.catalog.operation(authority, head.method, spelled.path, spelled.query)
    if isinstance(operation, NotCanonical):
        return Refusal(Denial.MALFORMED, operation.reason)
    if operation is None:
        return Refusal(
            Denial.OPERATION_UNKNOWN,
            f"{head.method} {spelled.path} is no operation known of {target.name}.",
        )
    return opened(operation, head, target.websockets, near) if head.websocket else operation


def is_looked_through(target: Named, head: RequestHead) -> bool:
    """Whether a body must be seen whole for the credential's name, whatever the rules say."""
    if target.body_name is not None:
        return True
    return target.query_name is not None and head.length != 0 and has_names(head.headers)


def looked_through(target: Named, head: RequestHead, body: bytes) -> bytes | NotCanonical:
    """A body without placeholders where the credential will stand; or why it cannot go with one."""
    if target.query_name is not None:
        refused = clear_body(head.headers, body, target.query_name)
        if refused is not None:
            return refused
    return body if target.body_name is None else bare_body(head, body, target.body_name)


def _misleading(fields: Headers, declared: frozenset[bytes]) -> Refusal | None:
    """Why the call may be another than its first line says, if its fields say so."""
    if overriding(fields):
        return Refusal(Denial.MALFORMED, "A field asks for another method or path.")
    if misread(fields, declared):
        return Refusal(
            Denial.MALFORMED,
            "The body is coded, or a part of something, and the target's `headers` do not say "
            "that it takes Content-Encoding or Content-Range.",
        )
    if holds_calls(fields):
        return Refusal(
            Denial.OPERATION_UNKNOWN,
            "By its Content-Type the body holds other calls, and nobody would see which.",
        )
    return None
