"""The fingerprint: one digest that stands for exactly one request, whatever carries it.

It is taken over a head as it leaves (`jitgate.core.injection.upstream_head`), so that the same
function answers "what was approved?" and "what is about to be sent?". Outside the process it is
shown keyed only: a plain digest of a body with a new password in it would help to guess that.
"""

from __future__ import annotations

import hashlib

from jitgate.core.fields import values_of
from jitgate.core.injection import COUNTING
from jitgate.values import Headers, RequestHead

_OPENING = frozenset({b"sec-websocket-protocol", b"upgrade"})
"""No other request that leaves has them: the gateway writes them itself."""

_DOMAIN = b"jitgate fingerprint 1"


def fingerprint(head: RequestHead, body: bytes, declared: frozenset[bytes]) -> bytes:
    """SHA-256 (32 bytes) over what a call does: what it leaves out can change without a human.

    Every part is preceded by its length, and the number of fields by itself, so that no two
    requests have the same encoding. In order: method, authority, path, query, the fields that
    count (those of `COUNTING` and ``declared``, and those by which a WebSocket is opened, names in
    lower case) as they stand, the body's length and its SHA-256. ``declared`` are the target's own
    fields, in lower case.
    """
    path, _, query = head.target.partition("?")
    fields = counting_fields(head.headers, declared)
    parts = [
        _DOMAIN,
        head.method.encode("ascii"),
        b", ".join(values_of(head.headers, b"host")),
        path.encode("ascii"),
        query.encode("ascii"),
        len(fields).to_bytes(8),
        *(part for field in fields for part in field),
        len(body).to_bytes(8),
        hashlib.sha256(body).digest(),
    ]
    return hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).digest()


def counting_fields(headers: Headers, declared: frozenset[bytes]) -> Headers:
    """The fields that are part of what is approved, names in lower case, in order."""
    counting = COUNTING | declared
    counting |= _OPENING
    return tuple((name.lower(), value) for name, value in headers if name.lower() in counting)
