"""Heads and trailers of HTTP/2 (RFC 9113, section 8), as strictly as those of HTTP/1.1 are read.

What was decoded is a list of names and values that may hold any byte. What may pass is said by
grammar: a value that would be another line, or another request, once it is written as HTTP/1.1, is
none that could have come as HTTP/1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from jitgate.core.heads import (
    HOST,
    NEVER_IN_TRAILERS,
    NO_HEAD,
    ambiguity,
    announced_length,
    expects_continue,
)
from jitgate.core.http1_writing import BODILESS
from jitgate.errors import HeadTooLarge, MalformedRequest, OurFault
from jitgate.values import METHODS, Fields, Headers, RequestHead, ResponseHead

Pairs = Sequence[tuple[bytes, bytes]]
"""What was decoded, in order."""

LISTED: Final = 32
"""Bytes that a field counts beside its name and value (RFC 9113, section 6.5.2)."""

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
"""A token without upper case (section 8.2.1)."""

_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
"""No control character but a tab, and no white space at either end."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_PATH = re.compile(rb"/[\x21-\x7e]*")
_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path"})
_OF_THE_CONNECTION = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""What no message of HTTP/2 has (section 8.2.2)."""

_FRAMING = frozenset({b"content-length", *_OF_THE_CONNECTION})
_CONTROLS = bytes([*range(9), *range(10, 32), 127])


class Asked(NamedTuple):
    """A request's head, and the hosts that it names."""

    head: RequestHead
    hosts: tuple[bytes, ...]


def list_size(most_bytes: int, most_fields: int) -> int:
    """How large a head may be as HTTP/2 counts it: what is decoded is no larger."""
    return most_bytes + LISTED * most_fields


def request_of(pairs: Pairs, *, ended: bool, most_bytes: int, most_fields: int) -> Asked:
    """The request that a decoded head is; ``ended``: no body follows it.

    Raises `MalformedRequest`, `HeadTooLarge`.
    """
    _bounded(pairs, most_bytes, most_fields)
    pseudo, fields = _divided(pairs)
    head = _fields(fields)
    method, path = _call(pseudo)
    hosts = _hosts(pseudo.get(b":authority"), head)
    length = announced_length(head)
    if isinstance(length, str):
        raise MalformedRequest(length)
    complaint = ambiguity(head)
    if complaint is not None:
        raise MalformedRequest(complaint)
    if ended and length:
        raise MalformedRequest("Content-Length announces what does not come.")
    known = 0 if ended else length
    waits = expects_continue(head) and known != 0
    return Asked(RequestHead(method, path, head, known, waits), hosts)


def begun(pairs: Pairs) -> RequestHead:
    """What is known of a head that is no request: for the record, as much as of HTTP/1.1's."""
    said = dict(reversed(pairs))  # of what stands twice the first
    method, path = said.get(b":method", b""), said.get(b":path", b"")
    if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(path):
        return NO_HEAD
    return RequestHead(method.decode("ascii"), path.decode("ascii"), ())


def check_trailers(pairs: Pairs, *, most_bytes: int, most_fields: int) -> None:
    """Raises where they may not stand behind a body; what is right is dropped, as in HTTP/1.1."""
    _bounded(pairs, most_bytes, most_fields)
    for name in _fields(pairs).names:
        if name in NEVER_IN_TRAILERS:
            raise MalformedRequest("A field that belongs in the head came in the trailers.")


def response_pairs(head: ResponseHead) -> list[tuple[bytes, bytes]]:
    """The head of a response to be encoded; its length is said where it is known.

    Raises `OurFault` for what would be read as something else.
    """
    fields = _outgoing(head.headers)
    if head.length is not None and head.status not in BODILESS:
        fields.append((b"content-length", b"%d" % head.length))
    return [(b":status", b"%d" % head.status), *fields]


def trailer_pairs(trailers: Headers) -> list[tuple[bytes, bytes]]:
    """Trailers to be encoded. Raises as `response_pairs` does."""
    return _outgoing(trailers)


def _bounded(pairs: Pairs, most_bytes: int, most_fields: int) -> None:
    if len(pairs) > most_fields:
        raise HeadTooLarge(f"The head has more than {most_fields} fields.")
    if sum([len(name) + len(value) for name, value in pairs]) > most_bytes:
        raise HeadTooLarge(f"The head is longer than {most_bytes} bytes.")


def _divided(pairs: Pairs) -> tuple[dict[bytes, bytes], Pairs]:
    """What stands in place of the first line, and the fields (section 8.3)."""
    pseudo: dict[bytes, bytes] = {}
    for at, (name, value) in enumerate(pairs):
        if not name.startswith(b":"):
            return pseudo, pairs[at:]
        if name not in _PSEUDO or name in pseudo:
            raise MalformedRequest("A pseudo-header field is unknown here, or stands twice.")
        pseudo[name] = value
    return pseudo, ()


def _fields(pairs: Pairs) -> Fields:
    """The fields, where each is one; the crumbs of a cookie are one again (section 8.2.3)."""
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise MalformedRequest("The name of a field is no token in lower case, or comes late.")
        if not _VALUE.fullmatch(value):
            raise MalformedRequest("A field's value holds what no field can.")
        if name in _OF_THE_CONNECTION or (name == b"te" and value.lower() != b"trailers"):
            raise MalformedRequest("A field speaks of the connection (RFC 9113, section 8.2.2).")
    crumbs = [value for name, value in pairs if name == b"cookie"]
    if len(crumbs) > 1:
        whole = (b"cookie", b"; ".join(crumbs))
        pairs = [*(pair for pair in pairs if pair[0] != b"cookie"), whole]
    return Fields([(bytes(name), bytes(value)) for name, value in pairs])


def _call(pseudo: dict[bytes, bytes]) -> tuple[str, str]:
    """Method and path, as a request line would have them."""
    method, path = pseudo.get(b":method"), pseudo.get(b":path")
    if method == b"CONNECT":
        raise MalformedRequest("CONNECT is not offered inside a tunnel.")
    if method is None or path is None or pseudo.get(b":scheme") != b"https":
        raise MalformedRequest("A request has a :method, a :path, and the :scheme https.")
    if not method.isascii() or method.decode("ascii") not in METHODS:
        raise MalformedRequest("The method is not offered.")
    if not _PATH.fullmatch(path) and (path, method) != (b"*", b"OPTIONS"):
        raise MalformedRequest("The :path is none (RFC 9113, section 8.3.1).")
    return method.decode("ascii"), path.decode("ascii")


def _hosts(authority: bytes | None, head: Fields) -> tuple[bytes, ...]:
    """Each host that is named, by :authority or by Host; whether they agree the gateway says."""
    named = [*([] if authority is None else [authority]), *head.values_of(b"host")]
    if not named or len(head.values_of(b"host")) > 1 or not all(map(HOST.fullmatch, named)):
        raise MalformedRequest("A request names one host (RFC 9113, section 8.3.1).")
    return tuple([each.lower() for each in named])


def _outgoing(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    pairs = [(name.lower(), value.strip(b" \t")) for name, value in fields]
    pairs = [pair for pair in pairs if pair[0] not in _FRAMING]
    together = b"".join([part for pair in pairs for part in pair])
    if len(together.translate(None, _CONTROLS)) != len(together):
        raise OurFault("A head that would be read as another one was not written.")
    return pairs
