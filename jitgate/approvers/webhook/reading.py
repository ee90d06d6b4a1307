"""What a callback says: read strictly, for a message with two readings would be two answers.

Types and members are a promise (docs/webhooks.md). Whose it is has been proved before; whose answer
counts is not for here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jitgate.approvers.commands import ID_CHARS, REASON_CHARS
from jitgate.core.strict_json import json_object
from jitgate.values import Less

MOST_USES: Final = 9999
"""The largest number of uses that is read; policy offers 1,000 at most."""

MOST_SECONDS: Final = 1e9
"""The longest life that is read: some thirty years."""


@dataclass(frozen=True, slots=True)
class Answering:
    """Somebody approves or denies what was shown to them with this fingerprint."""

    access_request: str
    fingerprint: str
    approver: str
    approves: bool
    reason: str = ""
    less: Less | None = None


@dataclass(frozen=True, slots=True)
class TakingBack:
    """Somebody takes their answer back."""

    access_request: str
    approver: str


@dataclass(frozen=True, slots=True)
class Revoking:
    """Somebody revokes a grant."""

    grant: str
    approver: str
    reason: str = ""


Asked = Answering | TakingBack | Revoking


@dataclass(frozen=True, slots=True)
class Unread:
    """Why a message says nothing that is known here, in a sentence."""

    why: str


class _Wrong(Exception):
    """Why a member cannot be taken, in a sentence."""


def read(body: bytes) -> Asked | Unread:
    """What a message asks for."""
    message = json_object(body)
    if message is None:
        return Unread("It is not one JSON object in UTF-8, with each member once.")
    try:
        data = _Members(message, "The message")
        kind, content = data.text("type", ID_CHARS), data.members("data")
        data.text("timestamp", ID_CHARS, optional=True)
        data.end()
        reader = _READERS.get(kind)
        if reader is None:
            return Unread(f"Its type is none of {', '.join(_READERS)}.")
        asked = reader(content)
        content.end()
    except _Wrong as wrong:
        return Unread(f"{wrong}")
    return asked


def _answering(data: _Members) -> Answering:
    return Answering(
        data.text("access_request", ID_CHARS),
        data.text("fingerprint", ID_CHARS),
        data.text("approver", ID_CHARS),
        data.truth("approves"),
        data.text("reason", REASON_CHARS, optional=True),
        _less(data.members("less")) if data.has("less") else None,
    )


def _taking_back(data: _Members) -> TakingBack:
    return TakingBack(data.text("access_request", ID_CHARS), data.text("approver", ID_CHARS))


def _revoking(data: _Members) -> Revoking:
    return Revoking(
        data.text("grant", ID_CHARS),
        data.text("approver", ID_CHARS),
        data.text("reason", REASON_CHARS, optional=True),
    )


_READERS: Final[Mapping[str, Callable[[_Members], Asked]]] = {
    "access_request.answer": _answering,
    "access_request.take_back": _taking_back,
    "grant.revoke": _revoking,
}


def _less(data: _Members) -> Less:
    """By how much less is given than policy offers."""
    uses, life = data.number("uses", MOST_USES), data.number("life", MOST_SECONDS)
    once = data.truth("once", optional=True)
    data.end()
    if uses is not None and not isinstance(uses, int):
        raise _Wrong("uses is a whole number.")
    if once and uses is not None:
        raise _Wrong("Give once or uses, not both.")
    if uses is None and life is None and not once:
        raise _Wrong("less has uses, life or once.")
    return Less(uses, None if life is None else float(life), once)


class _Members:
    """The members of an object, each of which is asked for; what is left at the end is wrong."""

    def __init__(self, found: Mapping[str, Any], whose: str) -> None:
        self._left = dict(found)
        self._whose = whose

    def has(self, name: str) -> bool:
        return name in self._left

    def text(self, name: str, longest: int, *, optional: bool = False) -> str:
        value = self._left.pop(name, "" if optional else None)
        if not isinstance(value, str) or len(value) > longest or not (value or optional):
            raise _Wrong(f"{self._whose} has a {name}: a text of at most {longest} characters.")
        return value

    def truth(self, name: str, *, optional: bool = False) -> bool:
        value = self._left.pop(name, False if optional else None)
        if not isinstance(value, bool):
            raise _Wrong(f"{name} is true or false.")
        return value

    def number(self, name: str, most: float) -> int | float | None:
        if name not in self._left:
            return None
        value = self._left.pop(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= most:
            raise _Wrong(f"{name} is a number up to {most:.0f}.")
        found: int | float = value
        return found

    def members(self, name: str) -> _Members:
        value = self._left.pop(name, None)
        if not isinstance(value, dict):
            raise _Wrong(f"{name} is an object.")
        return _Members(value, name)

    def end(self) -> None:
        if self._left:
            raise _Wrong(f"{self._whose} has members that are not known here.")
