"""Header fields, whatever the protocol that carries them (RFC 9110)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, TypeVarTuple

from jitgate.values import Fields, Headers

_Given = TypeVarTuple("_Given")
_Told = TypeVar("_Told")

HOP_BY_HOP = frozenset(
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
"""Fields that concern one hop only, whatever Connection says."""


def _spellings(name: bytes) -> list[bytes]:
    """A name with "-" or "_" at each of its places: CGI reads both as the same."""
    first, *rest = name.split(b"-")
    found = [first]
    for part in rest:
        found = [before + dash + part for before in found for dash in (b"-", b"_")]
    return found


_OVERRIDING = frozenset(
    spelling
    for name in (
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-url",
        b"x-rewrite-url",
    )
    for spelling in _spellings(name)
)
"""Fields by which some servers take a call for another one than its first line says."""


def names_of(fields: Headers) -> Sequence[bytes]:
    """The names of the fields in order, in lower case."""
    return fields.names if isinstance(fields, Fields) else [name.lower() for name, _ in fields]


def overriding(fields: Headers) -> bool:
    """Whether a field asks for another method or path."""
    return not _OVERRIDING.isdisjoint(names_of(fields))


def values_of(fields: Headers, name: bytes) -> list[bytes]:
    """The values of every field of that name; ``name`` is in lower case."""
    if isinstance(fields, Fields):
        return fields.values_of(name)
    return [value for key, value in fields if key.lower() == name]


def once(fields: Headers, ask: Callable[[Headers, *_Given], _Told], *given: *_Given) -> _Told:
    """What a pure function tells of the fields, as `Fields.once` where they are such."""
    return fields.once(ask, *given) if isinstance(fields, Fields) else ask(fields, *given)


def named_in_connection(fields: Headers) -> frozenset[bytes]:
    """The names of fields that Connection says are for one hop only, in lower case."""
    values = values_of(fields, b"connection")
    if not values:
        return frozenset()
    return frozenset([name.strip().lower() for value in values for name in value.split(b",")])


def end_to_end(fields: Headers, dropped: frozenset[bytes] = frozenset()) -> Headers:
    """The fields without those that concern one hop only (RFC 9110, section 7.6.1).

    Nor those whose names are ``dropped``.
    """
    drop = HOP_BY_HOP.union(dropped, named_in_connection(fields))
    named = zip(names_of(fields), fields, strict=True)
    return tuple([pair for name, pair in named if name not in drop])


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


_HOLDING_CALLS = frozenset({b"multipart/mixed", b"multipart/batch", b"application/http"})
_SPEAKING_OTHERWISE = (b"application/graphql", b"application/json-rpc", b"application/jsonrpc")


def holds_calls(headers: Headers) -> bool:
    """Whether a Content-Type says that the body holds calls of its own, which nobody would see."""
    kinds = [
        each.lower().partition(b";")[0].strip() for each in values_of(headers, b"content-type")
    ]
    return any(each in _HOLDING_CALLS or each.startswith(_SPEAKING_OTHERWISE) for each in kinds)


def is_form(headers: Headers) -> bool:
    """Whether the one Content-Type says that the body is a form (WHATWG URL, section 5)."""
    types = values_of(headers, b"content-type")
    kind = b"application/x-www-form-urlencoded"
    return len(types) == 1 and types[0].lower().partition(b";")[0].strip() == kind
