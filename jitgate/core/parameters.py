"""The parameters that change what a call means: from its query, and from its body once it is read.

What policy judged must be what the target reads. So a parameter has one reading here, or the call
is refused: servers differ in what they take for a separator, for the same name, and for the value
of a name that stands twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NoReturn
from urllib.parse import unquote_plus, unquote_to_bytes

from jitgate.values import NotCanonical, Operation

# --- in the query

DECODINGS: Final = 3
"""How often a name is decoded to see what a server could take it for; some decode twice."""

BOOLEANS: Final = frozenset({"true", "false"})

_BLANK = "\x00\t\n\v\f\r "
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def in_query(
    wanted: Sequence[tuple[str, str | None]], query: str
) -> Mapping[str, str] | NotCanonical:
    """The ``wanted`` parameters (name, default) of a raw query, decoded, with defaults filled in.

    Refused is one that stands twice, or is written in a way that some servers read otherwise: its
    name with escapes, in other letters (``SENDEMAIL``) or with brackets; a semicolon beside it; a
    value that is missing, is no UTF-8, or holds ``+`` or a control character. One whose default is
    ``true`` or ``false`` is one of them: a server may take ``1`` or ``TRUE`` for the same.
    """
    found = {name: default for name, default in wanted if default is not None}
    if not query or not wanted:
        return found
    known = {name.casefold(): (name, default) for name, default in wanted}
    met: set[str] = set()
    for piece in query.split("&"):
        for part in piece.split(";"):
            written, _, raw = part.partition("=")
            parameter = known.get(_as_read(written))
            if parameter is None:
                continue
            name, default = parameter
            if name in met:
                return NotCanonical(f"The parameter {name} stands twice in the query.")
            if part != piece or written != name:
                return NotCanonical(
                    f"The parameter {name} is spelled in a way that has another reading."
                )
            value = _value(raw) if "=" in part else None
            if value is None or (default in BOOLEANS and value not in BOOLEANS):
                return NotCanonical(f"The value of the parameter {name} has no single reading.")
            met.add(name)
            found[name] = value
    return found


def _as_read(written: str) -> str:
    """What the most lenient server could take a name in a query for."""
    name = written
    for _ in range(DECODINGS):
        if "%" not in name and "+" not in name:
            break
        name = unquote_plus(name)
    return name.partition("[")[0].strip(_BLANK).casefold()


def _value(raw: str) -> str | None:
    """What a raw value stands for; None if that is not one text."""
    if "+" in raw:
        return None
    try:
        value = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(value) else value


# --- in the body

LARGEST_BODY: Final = 256 * 1024
"""Bytes of a body whose members are looked at: above what APIs send; it is read while all wait."""

MOST_VALUES: Final = 2_000
"""Commas and opening brackets of such a body, within texts too: more take longer than others can
be let wait."""

LONGEST: Final = 16 * 1024
"""Characters of one such member, which people see and the record keeps, twice."""

_TOO_LARGE = NotCanonical(
    f"The body of this operation is looked at: it may have {LARGEST_BODY // 1024} KiB, "
    f"{MOST_VALUES:,} values, and {LONGEST // 1024} KiB in each member that changes what is asked."
)
_NO_OBJECT = NotCanonical(
    "The body of this operation is looked at, and is not one JSON object in UTF-8 with one reading."
)


def completed(operation: Operation, body: bytes, is_json: bool) -> Operation | NotCanonical:
    """The operation with those of its parameters that are members of its body, which is bounded.

    ``is_json``: whether the request says so of its body. Refused is a body that is not one JSON
    object (RFC 8259) in UTF-8 without a byte order mark, that has a member twice at any depth, or
    one whose name differs from a parameter's in nothing but the case. Strings stand as themselves,
    all else as compact JSON; a member that is not there is no parameter.
    """
    if not operation.in_body:
        return operation
    if len(body) > LARGEST_BODY or sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        return _TOO_LARGE
    found = _found(operation.in_body, body) if is_json else None
    if found is None:
        return _NO_OBJECT
    if any(len(each) > LONGEST for each in found.values()):
        return _TOO_LARGE
    return replace(operation, parameters={**operation.parameters, **found})


def _found(wanted: Sequence[str], body: bytes) -> dict[str, str] | None:
    """Those of the members that are there, as text; None where the body has no single reading."""
    members = _members(body)
    spelled = {name.casefold(): name for name in wanted}
    if members is None or any(spelled.get(name.casefold(), name) != name for name in members):
        return None
    try:
        return {name: _text(members[name]) for name in wanted if name in members}
    except RecursionError:
        return None


class _Number(str):
    """A number as it is written: reading it would make 1e400 and 1e500 the same."""

    __slots__ = ()


def _members(body: bytes) -> dict[str, Any] | None:
    """The members of a body that is one object with one reading, else None."""
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_once,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refused,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # no lone surrogate anywhere
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError("a member stands twice")
        members[name] = value
    return members


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _text(value: Any) -> str:
    """A string as itself, a number as it was written, all else as compact JSON."""
    return str(value) if isinstance(value, str) else _compact(value)


def _compact(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        members = (f"{_compact(name)}:{_compact(each)}" for name, each in value.items())
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_compact, value))}]"
    return json.dumps(value, ensure_ascii=False)
