"""Header fields, whatever the protocol that carries them (RFC 9110)."""

from __future__ import annotations

from jitgate.values import Headers

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-authentication-info",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)


_OVERRIDING = frozenset(
    {
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-url",
        b"x-rewrite-url",
    }
)
"""Fields by which some servers take a call for another one than its first line says."""


def overriding(fields: Headers) -> bool:
    """Whether a field asks for another method or path; CGI reads "_" and "-" as the same."""
    return any(name.lower().replace(b"_", b"-") in _OVERRIDING for name, _ in fields)


def values_of(fields: Headers, name: bytes) -> list[bytes]:
    """The values of every field of that name; ``name`` is in lower case."""
    return [value for key, value in fields if key.lower() == name]


def end_to_end(fields: Headers) -> Headers:
    """The fields without those that concern one hop only (RFC 9110, section 7.6.1)."""
    drop = _HOP_BY_HOP | {
        name.strip().lower()
        for value in values_of(fields, b"connection")
        for name in value.split(b",")
    }
    return tuple((name, value) for name, value in fields if name.lower() not in drop)


def is_json(headers: Headers) -> bool:
    """Whether the one Content-Type says JSON (RFC 8259; +json: RFC 6839) in UTF-8."""
    types = values_of(headers, b"content-type")
    if len(types) != 1:
        return False
    kind, _, parameters = types[0].lower().partition(b";")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    return charset in {b"", b"charset=utf-8"} and (
        kind.strip() == b"application/json" or kind.strip().endswith(b"+json")
    )


def is_events(headers: Headers) -> bool:
    """Whether the one Content-Type says that it is a stream of events (WHATWG HTML, 9.2)."""
    types = values_of(headers, b"content-type")
    kind = b"text/event-stream"
    return len(types) == 1 and types[0].lower().partition(b";")[0].strip() == kind


def is_form(headers: Headers) -> bool:
    """Whether the one Content-Type says that the body is a form (WHATWG URL, section 5)."""
    types = values_of(headers, b"content-type")
    kind = b"application/x-www-form-urlencoded"
    return len(types) == 1 and types[0].lower().partition(b";")[0].strip() == kind
