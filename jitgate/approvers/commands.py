"""What the control socket can be asked, and who may ask for what: no bytes move here.

A uid stands in one list of the configuration, and has that list's power. Who is at the other end
the kernel has said (`jitgate.approvers.control`); what may be done `jitgate.approvers.carrying_out`
does.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Final

import orjson

from jitgate.core.durations import WANTED, duration
from jitgate.flow.revoking import Revoked
from jitgate.values import Less, Reloaded

ID_CHARS = 1000
"""The longest id that is read; ours have about twenty characters, those of subjects can be URLs."""

REASON_CHARS = 500
"""The longest reason: a paragraph, as long as the reason of a rule may be."""

USES_CHARS = 4
"""The longest number of uses: policy offers 1,000 at most."""

Line = Mapping[str, object]
"""One line of an answer, to be written as JSON."""

END: Final[Line] = {"ok": True, "end": True}
"""After the last of several, so that a list that was cut short does not look whole."""


class Power(enum.Enum):
    """What somebody may do here: all that goes with one of these."""

    APPROVER = "approver"
    OPERATOR = "operator"
    AUDITOR = "auditor"


_READING = frozenset({"requests", "request", "follow", "grants"})

RETAINING = frozenset({"retention", "hold", "release", "delete-expired"})

MAY: Final[Mapping[Power, frozenset[str]]] = {
    Power.APPROVER: _READING | {"approve", "deny", "revoke"},
    Power.OPERATOR: _READING | {"revoke", "reload", "revoke-subject", "rotate-key"} | RETAINING,
    Power.AUDITOR: _READING | {"retention", "hold", "copy"},
}
"""What each may ask for. An operator may take away, and cannot give; an approver cannot reload."""

_TAKES: Final[Mapping[str, frozenset[str]]] = {
    "requests": frozenset(),
    "follow": frozenset(),
    "grants": frozenset(),
    "request": frozenset({"id"}),
    "approve": frozenset({"id", "reason", "uses", "life", "once"}),
    "deny": frozenset({"id", "reason"}),
    "revoke": frozenset({"id", "reason"}),
    "reload": frozenset(),
    "revoke-subject": frozenset({"id", "reason"}),
    "retention": frozenset(),
    "hold": frozenset({"id", "reason"}),
    "release": frozenset({"id", "reason"}),
    "delete-expired": frozenset(),
    "copy": frozenset({"reason"}),
    "rotate-key": frozenset({"reason"}),
}
"""Every command, and what it takes beside its name."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The process at the other end, as the kernel says, and who that is here, if anybody."""

    pid: int
    uid: int
    person: str | None = None
    power: Power | None = None


@dataclass(frozen=True, slots=True)
class Powers:
    """Who has which power: people by their uid. Whoever is not named has none."""

    approvers: Mapping[int, str] = field(default_factory=dict)
    operators: Mapping[int, str] = field(default_factory=dict)
    auditors: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lists = (self.approvers, self.operators, self.auditors)
        if len(set(chain(*lists))) < sum(map(len, lists)):
            raise ValueError("a uid stands in more than one list")

    def caller(self, pid: int, uid: int) -> Caller:
        """Who a process is here."""
        for power, people in (
            (Power.APPROVER, self.approvers),
            (Power.OPERATOR, self.operators),
            (Power.AUDITOR, self.auditors),
        ):
            if uid in people:
                return Caller(pid, uid, people[uid], power)
        return Caller(pid, uid)


@dataclass(frozen=True, slots=True)
class Command:
    """What is asked for, as far as it could be read; ``wrong`` says why it cannot be done."""

    name: str | None = None
    id: str | None = None
    reason: str = ""
    wrong: str | None = None
    less: Less | None = None
    """What is given, where an approval gives less than policy offers."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why something is not done, in a sentence for whoever asked."""

    why: str
    about: str | None = None
    """The id of what it was about, in full; None if that is not known."""


def read_command(line: bytes) -> Command:
    """What one line asks for."""
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        return Command(wrong="A request is one JSON object in UTF-8, on one line.")
    if not isinstance(content, dict) or not all(isinstance(each, str) for each in content.values()):
        return Command(wrong="A request is a JSON object whose values are all text.")
    name, key, reason = (content.get(each) for each in ("command", "id", "reason"))
    command = Command(name and name[:ID_CHARS], key and key[:ID_CHARS], reason or "")
    wrong = _wrong(command, content)
    if wrong is None:
        less = _less(content)
        if not isinstance(less, str):
            return replace(command, less=less)
        wrong = less
    return Command(command.name, command.id, wrong=wrong)


def _less(content: Mapping[str, str]) -> Less | str | None:
    """By how much less is given than policy offers, or what is wrong with how that is said."""
    uses, life, once = (content.get(each) for each in ("uses", "life", "once"))
    if uses is not None and not (uses.isascii() and uses.isdigit() and len(uses) <= USES_CHARS):
        return f"uses is a whole number of at most {USES_CHARS} digits."
    seconds = None if life is None else duration(life)
    if life is not None and seconds is None:
        return f"life: {WANTED}."
    if once is not None and once != "true":
        return 'once is "true", or left out.'
    if once is not None and uses is not None:
        return "Give once or uses, not both."
    if uses is life is once is None:
        return None
    return Less(None if uses is None else int(uses), seconds, once is not None)


def _wrong(command: Command, content: Mapping[str, str]) -> str | None:
    takes = _TAKES.get(command.name or "")
    if takes is None:
        return f"There is no such command; there are {', '.join(_TAKES)}."
    if not content.keys() <= takes | {"command"}:
        known = ", ".join(sorted(takes)) or "nothing"
        return f"{command.name} takes {known} beside its name."
    if "id" in takes and not command.id:
        return f"{command.name} takes an id."
    if len(content.get("id", "")) > ID_CHARS:
        return f"An id has at most {ID_CHARS} characters."
    if len(command.reason) > REASON_CHARS:
        return f"A reason has at most {REASON_CHARS} characters."
    return None


def objection(command: Command, caller: Caller) -> Refused | None:
    """Why this caller does not get this command done, or None."""
    if caller.power is None:
        return Refused(
            f"uid {caller.uid} has no power here. The section control of the gateway's "
            "configuration says who has."
        )
    if command.wrong is not None:
        return Refused(command.wrong)
    if command.name not in MAY[caller.power]:
        able = " or ".join(f"control.{each.value}s" for each in Power if command.name in MAY[each])
        return Refused(
            f"{caller.person} is an {caller.power.value} and cannot {command.name}: "
            f"that takes a uid which stands in {able}."
        )
    return None


Reload = Callable[[Mapping[str, object]], Coroutine[Any, Any, Reloaded]]
"""Reads the configuration again for somebody, as the record is to name them."""


Revoke = Callable[[str, str, str], Coroutine[Any, Any, Revoked]]
"""Believes a subject no more: who it is, who says so, and for which reason."""


Retain = Callable[[str, str, str, str], Coroutine[Any, Any, Sequence[Line] | Refused]]
"""What the recording's retention is asked: which command, about what, by whom, for which reason."""


async def retains_nothing(_name: str, _key: str, _person: str, _reason: str) -> Refused:
    """The answer of a gateway that deletes nothing."""
    return Refused("recording.retention is not configured: everything is kept for ever.")


Rotate = Callable[[str, str], Coroutine[Any, Any, Sequence[Line] | Refused]]
"""Has another key sign the recording from now on: by whom, for which reason."""


async def rotates_nothing(_person: str, _reason: str) -> Refused:
    """The answer of a gateway that does not make its own key."""
    return Refused(
        "The key stands where recording.key says: put the new one there, name the old one as "
        "recording.key_before, and start the gateway again."
    )


Copies = Callable[[Caller, str], AsyncGenerator[Line, None]]
"""The recording for somebody, for a reason, which is on record before the first line."""


async def copies_nothing(_caller: Caller, _reason: str) -> AsyncGenerator[Line, None]:
    """The lines of a gateway without a recording that could be copied: none."""
    return
    yield


@dataclass(frozen=True, slots=True)
class Doers:
    """Who does what is asked here, answers and grants apart: other parts of the gateway."""

    reload: Reload
    revoke: Revoke
    retain: Retain = retains_nothing
    copies: Copies = copies_nothing
    rotate: Rotate = rotates_nothing
