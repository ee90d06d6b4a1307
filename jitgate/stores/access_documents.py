"""Access requests, grants and uses as JSON documents, and what each of them is found by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from jitgate.errors import StoreDown
from jitgate.values import AccessRequest, AccessState, Grant, GrantState, Stored, Use

Kind = TypeVar("Kind", AccessRequest, Grant, Use)

WORDS: Final[Mapping[type[Stored], str]] = {AccessRequest: "request", Grant: "grant", Use: "use"}
"""What each kind is called where it is kept."""

_ADAPTERS: Final[Mapping[type[Stored], TypeAdapter[Any]]] = {
    kind: TypeAdapter(kind) for kind in WORDS
}


Place = tuple[float, str]
"""Where a value stands in the order of its kind: when it was opened, made or taken, and its id."""

FIRST: Final[Place] = (-math.inf, "")
"""Before all of them."""


class Columns(NamedTuple):
    """What a value is found by, and how long it is kept."""

    kind: str
    id: str
    live: bool
    """Whether it may still change: it is pending, has a use left or in use, or is in use."""
    at: float
    """When it was opened, made or taken."""
    subject: str | None = None
    """The key of its subject; a use has that of its grant."""
    fingerprint: str | None = None
    """Of an access request: one may be pending for each subject and fingerprint."""
    under: str | None = None
    """Of a use: its grant."""

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.id

    @property
    def slot(self) -> tuple[str | None, str | None] | None:
        """The place that only one access request may hold; None if it holds none."""
        return (self.subject, self.fingerprint) if self.live and self.kind == "request" else None


class Row(NamedTuple):
    """A value as it is to be kept in the place of the one with its key and ``revision``."""

    columns: Columns
    revision: int
    document: bytes


def columns(value: Stored) -> Columns:
    """What ``value`` is found by."""
    kind = WORDS[type(value)]
    if isinstance(value, AccessRequest):
        live, subject = value.state is AccessState.PENDING, value.ask.subject.key
        return Columns(kind, value.id, live, value.opened_at, subject, value.ask.fingerprint)
    if isinstance(value, Grant):
        live = bool(value.left or value.tally.get(GrantState.IN_USE, 0))
        return Columns(kind, value.id, live, value.made_at, value.ask.subject.key)
    live = value.state is GrantState.IN_USE
    return Columns(kind, value.id, live, value.taken_at, under=value.grant)


def document(value: Stored) -> bytes:
    """The document of ``value``. Its ``revision`` is the one that it takes the place of.

    Raises `StoreDown` for what would not be read back as it is (text that is not Unicode, a time
    that is no number): it would be found at the next start, which it would prevent.
    """
    try:
        data = orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
        faithful = _ADAPTERS[type(value)].validate_json(data, strict=True) == value
    except (TypeError, ValidationError):
        faithful = False
    if not faithful:
        # What the libraries say of it may hold some of it.
        raise StoreDown(f"The {_named(type(value), value.id)} cannot be kept as it is.") from None
    return data


def read(kind: type[Kind], key: str, revision: int, data: bytes) -> Kind:
    """The value that was kept; raises `StoreDown`, which names it and tells nothing of it."""
    unreadable = StoreDown(f"The {_named(kind, key)} cannot be read from the state database.")
    try:
        value: Kind = _ADAPTERS[kind].validate_json(data, strict=True)
    except ValidationError:
        raise unreadable from None
    if value.id != key:
        raise unreadable
    return replace(value, revision=revision)


def _named(kind: type[Stored], key: str) -> str:
    return f"{WORDS[kind]} {key!r}"


def _plain(value: object) -> object:
    """What frozen values hold that JSON has no form for."""
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError
