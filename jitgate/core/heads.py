"""What the fields of a message's head say, whichever version of HTTP frames it (RFC 9110).

There is one place that knows this, so that no version lets pass what another refuses.
"""

from __future__ import annotations

import re
from typing import Final

from jitgate.errors import MalformedRequest
from jitgate.values import Fields, RequestHead

NO_HEAD: Final = RequestHead("", "", ())
"""Of what does not begin like a request: it is refused and recorded all the same."""

HEAD_BYTES = 64 * 1024
"""Bytes of a head, or of the trailers. Tokens travel in heads: Entra's reach 16 KiB."""

HEAD_FIELDS = 100
"""Fields of a head, or of the trailers. SDKs send about 10; a hundred leaves room."""

LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,17}")
"""No leading zero, which some read as octal, and no more digits than 64 bits hold."""

HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

NEVER_IN_TRAILERS: Final = frozenset(
    {
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"http2-settings",
        b"if-modified-since",
        b"if-unmodified-since",
        b"keep-alive",
        b"location",
        b"max-forwards",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""What frames, routes, authenticates or describes the content stands before it (9110, 6.5.1)."""

_SINGLE = (b"content-type", b"if-modified-since", b"if-unmodified-since", b"location")
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"')


def ambiguity(head: Fields) -> str | None:
    """What two readers could take one value each of (RFC 9110, section 5.3), if there is any."""
    if head.repeats:
        for name in _SINGLE:
            if len(head.values_of(name)) > 1:
                return f"{name.decode()} stands at most once."
    for value in head.values_of(b"content-type"):
        if b"," in value and b"," in _QUOTED.sub(b"", value):
            return "content-type names one type."
    return None


def announced_length(head: Fields) -> int | str | None:
    """The one number that Content-Length says; None if nothing; or what is wrong with it."""
    lengths = head.values_of(b"content-length")
    if not lengths:
        return None
    if len(lengths) > 1 or not LENGTH.fullmatch(lengths[0]):
        return "Content-Length is one decimal number."
    return int(lengths[0])


def expects_continue(head: Fields) -> bool:
    """Whether leave to go on is waited for. Raises `MalformedRequest` for anything else."""
    expectations = head.values_of(b"expect")
    if expectations and [each.lower() for each in expectations] != [b"100-continue"]:
        raise MalformedRequest("The only expectation is 100-continue, once.")
    return bool(expectations)
