"""What the control socket can be asked, and who may ask for what: no bytes move here.

A uid stands in one list of the configuration, and has that list's power. Who is at the other end
the kernel has said (`jitgate.approvers.control`); whose answer counts `jitgate.core.answers` says.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Final

import orjson

from jitgate.approvers.shapes import grant_content, request_content
from jitgate.core.access import NotCounted
from jitgate.core.durations import WANTED, duration
from jitgate.flow.access import Access
from jitgate.flow.revoking import Revoked
from jitgate.values import AccessRequest, Grant, Less, Reloaded

ID_CHARS = 1000
"""The longest id that is read; ours have about twenty characters, those of subjects can be URLs."""

REASON_CHARS = 500
"""The longest reason: a paragraph, as long as the reason of a rule may be."""

USES_CHARS = 4
"""The longest number of uses: policy offers 1,000 at most."""

BEGINNING_CHARS = 8
"""The shortest beginning of an id that stands for it: with fewer, a request that came a moment ago
could be meant by what was typed for one that has ended."""

Line = Mapping[str, object]
"""One line of an answer, to be written as JSON."""


class Power(enum.Enum):
    """What somebody may do here: all that goes with one of these."""

    APPROVER = "approver"
    OPERATOR = "operator"
    AUDITOR = "auditor"


_READING = frozenset({"requests", "request", "follow", "grants"})

_RETAINING = frozenset({"retention", "hold", "release", "delete-expired"})

MAY: Final[Mapping[Power, frozenset[str]]] = {
    Power.APPROVER: _READING | {"approve", "deny", "revoke"},
    Power.OPERATOR: _READING | {"revoke", "reload", "revoke-subject", "rotate-key"} | _RETAINING,
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


class Commands:
    """Does what is asked by those who may; ``channel`` is what records call this way to answer.

    Each raises what `Access` raises where it cannot tell.
    """

    def __init__(
        self,
        access: Access,
        channel: str,
        reload: Reload,
        revoke: Revoke,
        *,
        retain: Retain = retains_nothing,
        copies: Copies = copies_nothing,
        rotate: Rotate = rotates_nothing,
    ) -> None:
        self._access = access
        self._rotated = rotate
        self.copies = copies
        self._retain = retain
        self._revoke_all = revoke
        self._channel = channel
        self._read_again = reload
        self._does = {
            "requests": self._requests,
            "request": self._request,
            "approve": self._answer,
            "deny": self._answer,
            "grants": self._grants,
            "revoke": self._revoke,
            "reload": self._reload,
            "revoke-subject": self._revoke_subject,
            "rotate-key": self._rotate,
            **dict.fromkeys(_RETAINING, self._retention),
        }

    async def carry_out(self, command: Command, caller: Caller) -> Iterable[Line] | Refused:
        """The lines of the answer, made one by one, because each may hold a body."""
        assert command.name is not None  # noqa: S101 (`objection` has seen to it)
        return await self._does[command.name](command, caller)

    def shown(self, request: AccessRequest, caller: Caller) -> Line:
        """The line that shows a request to somebody, with what power they have over it."""
        power = None if caller.power is None else caller.power.value
        someone = caller.person if caller.power is Power.APPROVER else None
        content = request_content(request, self._access.standing(request, someone))
        return {"ok": True, "power": power, "request": content}

    async def _requests(self, command: Command, caller: Caller) -> Iterable[Line]:
        pending = await self._access.requests()
        return chain((self.shown(each, caller) for each in pending), [END])

    async def _request(self, command: Command, caller: Caller) -> Iterable[Line] | Refused:
        key = await self._request_meant(command)
        if isinstance(key, Refused):
            return key
        request = await self._access.request(key)
        if request is None:
            return Refused(f"No access request is called {key} any more.")
        return [self.shown(request, caller)]

    async def _answer(self, command: Command, caller: Caller) -> Iterable[Line] | Refused:
        key = await self._request_meant(command)
        if isinstance(key, Refused):
            return key
        after = await self._access.answer(
            key,
            f"{caller.person}",
            approves=command.name == "approve",
            reason=command.reason,
            channel=self._channel,
            less=command.less,
        )
        if isinstance(after, NotCounted):
            return Refused(after.reason, key)
        return [self.shown(after, caller)]

    async def _grants(self, command: Command, caller: Caller) -> Iterable[Line]:
        grants = await self._access.grants()
        return chain((_grant_line(each) for each in grants), [END])

    async def _revoke(self, command: Command, caller: Caller) -> Iterable[Line] | Refused:
        key: str | Refused = command.id or ""
        if not self._access.goes_on(
            f"{key}"
        ):  # else nothing is asked first of a store that is down
            key = _in_full(f"{key}", [each.id for each in await self._access.grants()])
        if isinstance(key, Refused):
            return key
        after = await self._access.revoke(key, f"{caller.person}", command.reason)
        if isinstance(after, NotCounted):
            return Refused(after.reason, key)
        return [_grant_line(after)]

    async def _revoke_subject(self, command: Command, caller: Caller) -> Iterable[Line]:
        done = await self._revoke_all(command.id or "", f"{caller.person}", command.reason)
        said = {"id": command.id, "why": done.why, "ended": dict(done.ended)}
        return [{"ok": True, "revoked": said}]

    async def _retention(self, command: Command, caller: Caller) -> Iterable[Line] | Refused:
        name, key = command.name or "", command.id or ""
        done = await self._retain(name, key, f"{caller.person}", command.reason)
        if isinstance(done, Refused):
            return done
        return chain(({"ok": True, **each} for each in done), [END])

    async def _rotate(self, command: Command, caller: Caller) -> Iterable[Line] | Refused:
        done = await self._rotated(f"{caller.person}", command.reason)
        return done if isinstance(done, Refused) else [*done, END]

    async def _reload(self, command: Command, caller: Caller) -> Iterable[Line]:
        """What came of it, and before that a line for each problem or notice."""
        by = {"uid": caller.uid, "pid": caller.pid, "person": caller.person}
        done = await self._read_again(by)
        said = [{"ok": True, "problem": each} for each in done.problems]
        said += [{"ok": True, "notice": each} for each in done.notices]
        facts = {"file": done.file, "before": done.before, "policy": done.policy}
        return [*said, {"ok": True, "reload": {"replaced": done.replaced, **facts}}]

    async def _request_meant(self, command: Command) -> str | Refused:
        """The id in full; only what is pending can be meant by the beginning of an id."""
        key = command.id or ""
        if await self._access.request(key) is not None:
            return key
        pending = [each.id for each in await self._access.requests()]
        meant = _in_full(key, pending)
        if isinstance(meant, Refused) or meant in pending:
            return meant
        return Refused(f"No access request is called {key}, and none that is pending begins so.")


END: Final[Line] = {"ok": True, "end": True}
"""After the last of several, so that a list that was cut short does not look whole."""


def _grant_line(grant: Grant) -> Line:
    return {"ok": True, "grant": grant_content(grant)}


def _in_full(key: str, ids: Sequence[str]) -> str | Refused:
    """The id that begins so, if that is one alone; else ``key`` as it is."""
    if key in ids:
        return key
    found = [each for each in ids if each.startswith(key)]
    if found and len(key) < BEGINNING_CHARS:
        return Refused(f"The beginning of an id needs {BEGINNING_CHARS} characters at least.")
    if len(found) > 1:
        return Refused(f"{len(found)} ids begin with {key}: give more of it.")
    return found[0] if found else key
