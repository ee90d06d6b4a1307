"""One page of the gateway's own: who asks for it, and how it is put together."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from jitgate.values import Headers, ResponseHead, Subject

Page = tuple[ResponseHead, bytes]

JSON = b"application/json"
PLAIN = "about:blank"
"""The type of a problem that its status says all about (RFC 9457, section 4.2.1)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a page, and with what beside the path."""

    subject: Subject
    session: str
    headers: Headers = field(repr=False)
    body: bytes = field(default=b"", repr=False)


def page(code: int, kind: bytes, data: bytes, *more: tuple[bytes, bytes]) -> Page:
    """A page of some kind."""
    fields = ((b"Content-Type", kind), (b"Cache-Control", b"no-store"), *more)
    return ResponseHead(code, fields, len(data)), data


def json_page(code: int, content: object, *more: tuple[bytes, bytes]) -> Page:
    """A page for programs."""
    return page(code, JSON, orjson.dumps(content), *more)


def problem(code: int, kind: str, title: str, detail: str, *more: tuple[bytes, bytes]) -> Page:
    """What is wrong with what was asked (RFC 9457)."""
    said = {"type": kind, "title": title, "status": code, "detail": detail}
    return page(code, b"application/problem+json", orjson.dumps(said), *more)
