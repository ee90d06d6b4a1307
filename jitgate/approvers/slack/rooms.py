"""Which channel of Slack's a slot is: of a person, the direct messages with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from jitgate.approvers.slack.places import TO, Showing
from jitgate.errors import SlackRefused

Call = Callable[..., Awaitable[Mapping[str, Any]]]
"""`jitgate.approvers.slack.calls.Calls.call`."""

KEPT_FOR: Final = 600.0
"""Seconds for which it is believed who is whom: somebody who left is written to no longer."""

MOST_KEPT: Final = 10_000
"""People of whom it is remembered."""


class Rooms:
    """Finds channels by ``call``, as ``showing`` has it at the time."""

    def __init__(self, call: Call, showing: Callable[[], Showing], clock: IReactorTime) -> None:
        self._call = call
        self._showing = showing
        self._clock = clock
        self._known: dict[tuple[str, str | None], tuple[float, str]] = {}

    async def of(self, slot: str) -> str:
        """The id of the channel. Raises `SlackFault`: `SlackRefused` where there is none."""
        if not slot.startswith(TO):
            return slot
        someone = slot.removeprefix(TO)
        named = self._showing().user(someone)
        until, room = self._known.get((someone, named), (0.0, ""))
        if self._clock.seconds() >= until:
            room = await self._opened(someone, named)
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            self._known[someone, named] = self._clock.seconds() + KEPT_FOR, room
        return room

    async def _opened(self, someone: str, user: str | None) -> str:
        if user is None:
            user = await self._found(someone)
        answer = await self._call("conversations.open", users=user)
        return str(answer["channel"]["id"])

    async def _found(self, email: str) -> str:
        """The user who has an address, as far as Slack has proved that it is theirs."""
        method = "users.lookupByEmail"
        found = (await self._call(method, email=email))["user"]
        if any(found.get(each) for each in _NOBODY) or found.get("is_email_confirmed") is False:
            raise SlackRefused(method, "users_not_found")
        return str(found["id"])


_NOBODY: Final = ("deleted", "is_bot", "is_stranger")
"""What somebody is whom nothing is shown (docs.slack.dev/reference/objects/user-object)."""
