"""What crosses the gateway: the request rebuilt from its parsed fields, the response's own fields.

Nothing is copied through. A field of the request is sent only if it stands in the table of those
that count or of those that are inert, or if its target declares it; everything else, every
credential the agent sent among it, is dropped by not being named (invariant 5).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final

from jitgate.core.fields import (
    HOP_BY_HOP,
    end_to_end,
    named_in_connection,
    names_of,
    once,
    values_of,
)
from jitgate.core.placing import placed_query
from jitgate.values import Credential, Headers, Operation, RequestHead, ResponseHead

_EXTENDED = b"x-okta-user-agent-extended"
"""Okta's own beside the User-Agent: by it programs say more of what they are."""

COUNTING = frozenset(
    {
        b"content-type",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-unmodified-since",
        b"prefer",
    }
)
"""Fields that change what a call does; they are part of what is approved."""

INERT = frozenset(
    {
        b"accept",
        b"accept-language",
        b"cache-control",
        b"pragma",
        b"traceparent",
        b"tracestate",
        _EXTENDED,
    }
)
"""Fields that change nothing a human would have to be asked about."""

NEVER = frozenset(
    {
        b"authorization",
        b"content-length",
        b"cookie",
        b"host",
        b"transfer-encoding",
        b"user-agent",
    }
)
"""Fields that no declaration of a target can let through: they are the gateway's to write."""

NOTHING_ISSUED: Final = Credential((), ())
"""In place of a credential while there is none yet: none of its fields counts."""

GATEWAY_ADDS: Headers = ((b"Accept-Encoding", b"identity"),)
"""What the gateway adds to every request, beside Host, User-Agent, framing and the credential.

A credential in a query or a body stands behind all else there (`jitgate.core.placing`)."""

AGENT_NAMED = 256
"""Bytes of the agent's own User-Agent that are sent on: programs and SDKs have 20 to 150."""

_PRODUCT = b"jitgate/"

_CUTTING = frozenset({b"range", b"if-range"})
_CONDITION = frozenset({b"if-none-match"})
_WHAT_THE_BODY_IS = frozenset({b"content-encoding", b"content-range"})
_NOT_FOR_AGENTS = frozenset({b"set-cookie", b"set-cookie2", b"alt-svc", b"content-length"})
_NOT_OF_REWRITTEN = _NOT_FOR_AGENTS | {
    b"accept-ranges",
    b"content-encoding",
    b"etag",
}
_VOUCHES = re.compile(rb"digest|checksum|signature|[-_](?:md5|sha-?[0-9]+|crc32c?|hash)\b")
"""Names of what is worked out from the body, standard (RFC 9530, RFC 9421) or clouds' own."""


def misread(asked: Headers, declared: frozenset[bytes]) -> bool:
    """Whether the body would be taken for something else once undeclared fields are dropped.

    A part of a resource (Content-Range) would be taken for the whole of it.
    """
    return not (_WHAT_THE_BODY_IS - declared).isdisjoint(names_of(asked))


def upstream_head(
    asked: RequestHead,
    operation: Operation,
    credential: Credential,
    *,
    token: str,
    declared: frozenset[bytes],
    masked: bool,
) -> RequestHead:
    """The head that goes to the target. ``declared`` are the target's own fields, in lower case.

    ``token`` is this one request's (`user_agent_token`): it ends the User-Agent.

    ``masked`` says that the response may hold what is masked: then nothing may ask whether its
    bytes are the same as before. If-None-Match asks that of a safe method only; of any other it is
    a condition for carrying it out, and stays. And no range may cut a value off from its name, nor
    the credential in two, which is hidden where it stands whole.
    """
    added = (*GATEWAY_ADDS, *credential.headers)
    ours = tuple([name.lower() for name, _ in added])
    never = _CUTTING if masked or credential.secrets else frozenset()
    if masked and not operation.changes:
        never |= _CONDITION
    kept, own = once(asked.headers, _theirs, declared, ours, never)
    host = operation.authority.removesuffix(":443").encode("ascii")
    query = operation.query
    if credential.query is not None:
        query = placed_query(query, credential.query)
    return RequestHead(
        method=operation.method,
        target=f"{operation.path}?{query}" if query else operation.path,
        headers=(
            (b"Host", host),
            *kept,
            (b"User-Agent", own + token.encode()),
            *added,
        ),
        length=asked.length,
    )


def _theirs(
    asked: Headers,
    declared: frozenset[bytes],
    ours: tuple[bytes, ...],
    never: frozenset[bytes],
) -> tuple[Headers, bytes]:
    """What the agent says that passes: the fields, and what its User-Agent begins with."""
    forward = _forwarded(declared, ours, never)
    one_hop = named_in_connection(asked)
    if not forward.isdisjoint(one_hop):
        forward -= one_hop
    said = () if b"user-agent" in one_hop else values_of(asked, b"user-agent")
    own = _own(b" ".join(said)[:AGENT_NAMED]) if said else b""
    return tuple(_kept(asked, forward)), own


def user_agent_token(exchange: str, number: int) -> str:
    """The product (RFC 9110, section 10.1.5) that names one request: ``jitgate/x-17``.

    ``number`` counts the requests of the exchange: the second one's is ``jitgate/x-17.2``.
    """
    return f"jitgate/{exchange}" if number == 1 else f"jitgate/{exchange}.{number}"


@functools.lru_cache(maxsize=256)
def _own(said: bytes) -> bytes:
    """What stands before the token: as the agent said it, but for words that could be one."""
    said = _unnamed(said)
    return said + b" " if said else b""


def _unnamed(said: bytes) -> bytes:
    if _PRODUCT in said.lower():
        said = b" ".join([word for word in said.split() if _PRODUCT not in word.lower()])
    return said


def _kept(asked: Headers, forward: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """The agent's fields that pass. What else tells an agent's programs has no token in it."""
    names = names_of(asked)
    kept = [pair for name, pair in zip(names, asked, strict=True) if name in forward]
    if _EXTENDED in names:
        return [
            (name, _unnamed(value) if name.lower() == _EXTENDED else value) for name, value in kept
        ]
    return kept


@functools.lru_cache(maxsize=256)
def _forwarded(
    declared: frozenset[bytes], added: tuple[bytes, ...], never: frozenset[bytes]
) -> frozenset[bytes]:
    """The names of what passes through; ``added`` are those that the gateway writes itself."""
    return (COUNTING | INERT | declared) - NEVER - HOP_BY_HOP - set(added) - never


def forwarded(declared: frozenset[bytes]) -> frozenset[bytes]:
    """The names of all that may pass of an agent's fields, its User-Agent among them."""
    return (COUNTING | INERT | declared) - NEVER - HOP_BY_HOP | {b"user-agent"}


def unvouched(fields: Headers) -> Headers:
    """Those that are not worked out from a body, which is another one now."""
    named = zip(names_of(fields), fields, strict=True)
    return tuple([field for name, field in named if _VOUCHES.search(name) is None])


def agent_head(
    answer: ResponseHead, *, length: int | None, rewritten: bool, hide: Callable[[Headers], Headers]
) -> ResponseHead:
    """The head that the agent gets. ``hide`` masks literals in fields.

    ``rewritten`` says that the body may differ from the target's: fields about it would be wrong,
    or would let a masked value be guessed.
    """
    if rewritten:
        fields = _of_rewritten(answer.headers)
    else:
        fields = end_to_end(answer.headers, _NOT_FOR_AGENTS)
    return ResponseHead(answer.status, hide(fields), length)


def agent_trailers(trailers: Headers, hide: Callable[[Headers], Headers]) -> Headers:
    """The trailers that the agent gets: none that frames, routes or vouches for the body."""
    return hide(_of_rewritten(trailers)) if trailers else ()


def _of_rewritten(fields: Headers) -> Headers:
    """Those that say nothing of the body as the target sent it."""
    return unvouched(end_to_end(fields, _NOT_OF_REWRITTEN))
