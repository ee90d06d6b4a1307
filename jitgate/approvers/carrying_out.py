"""Does what was asked at the control socket, for those who may: no bytes move here.

That they may `jitgate.approvers.commands` has said; whose answer counts says
`jitgate.core.answers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from jitgate.approvers.commands import END, RETAINING, Caller, Command, Doers, Line, Power, Refused
from jitgate.approvers.shapes import grant_content, request_content
from jitgate.core.access import NotCounted
from jitgate.flow.access import Access
from jitgate.values import AccessRequest, Grant

BEGINNING_CHARS = 8
"""The shortest beginning of an id that stands for it: with fewer, a request that came a moment ago
could be meant by what was typed for one that has ended."""


class Commands:
    """Does what is asked by those who may; ``channel`` is what records call this way to answer.

    Each raises what `Access` raises where it cannot tell.
    """

    def __init__(self, access: Access, channel: str, doers: Doers) -> None:
        self._access = access
        self._channel = channel
        self._doers = doers
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
            **dict.fromkeys(RETAINING, self._retention),
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
        if not self._access.goes_on(f"{key}"):  # else a store that is down is asked nothing first
            key = _in_full(f"{key}", [each.id for each in await self._access.grants()])
        if isinstance(key, Refused):
            return key
        after = await self._access.revoke(key, f"{caller.person}", command.reason)
        if isinstance(after, NotCounted):
            return Refused(after.reason, key)
        return [_grant_line(after)]

    async def _revoke_subject(self, command: Command, caller: Caller) -> Iterable[Line]:
        done = await self._doers.revoke(command.id or "", f"{caller.person}", command.reason)
        said = {"id": command.id, "why": done.why, "ended": dict(done.ended)}
        return [{"ok": True, "revoked": said}]

    async def _retention(self, command: Command, caller: Caller) -> Iterable[Line] | Refused:
        name, key = command.name or "", command.id or ""
        done = await self._doers.retain(name, key, f"{caller.person}", command.reason)
        if isinstance(done, Refused):
            return done
        return chain(({"ok": True, **each} for each in done), [END])

    async def _rotate(self, command: Command, caller: Caller) -> Iterable[Line] | Refused:
        done = await self._doers.rotate(f"{caller.person}", command.reason)
        return done if isinstance(done, Refused) else [*done, END]

    async def _reload(self, command: Command, caller: Caller) -> Iterable[Line]:
        """What came of it, and before that a line for each problem or notice."""
        by = {"uid": caller.uid, "pid": caller.pid, "person": caller.person}
        done = await self._doers.reload(by)
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
