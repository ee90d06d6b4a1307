"""The fields of a target's response as an agent needs them that calls a host of the gateway's own.

A URL of the target's there would lead the agent around the gateway, and its token with it.
"""

from __future__ import annotations

import functools
import re

from jitgate.values import Headers

_LEADING = frozenset({b"content-location", b"link", b"location"})
"""Fields whose URLs clients follow (RFC 9110, sections 8.7 and 10.2.2; RFC 8288)."""

_OF_THE_HOST = frozenset({b"strict-transport-security"})
"""What a target says of its own host name, and nobody of the gateway's."""


def near_fields(fields: Headers, far: str, near: str) -> Headers:
    """The fields with ``near`` in the place of ``far``, both ``host[:port]``, in URLs of https.

    URLs of any other origin stay as they are.
    """
    origin, instead = _origin(far), b"https://" + near.encode("ascii")
    return tuple(
        [
            (name, origin.sub(lambda found: found[1] + instead, value) if leads else value)
            for name, value in fields
            if (lowered := name.lower()) not in _OF_THE_HOST
            for leads in [lowered in _LEADING]
        ]
    )


@functools.lru_cache(maxsize=256)
def _origin(far: str) -> re.Pattern[bytes]:
    """Finds the origin where a URL begins: a field's value, or what stands in angle brackets."""
    host, _, port = far.rpartition(":")
    at = re.escape(host) + (f"(?::{port})?" if port == "443" else f":{port}")
    return re.compile(rf"(?i)(\A\s*|<\s*)(?:https:)?//{at}(?=[/?#>\s]|\Z)".encode("ascii"))
