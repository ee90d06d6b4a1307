"""Who a Slack user is here: asked of Slack, each time when it matters.

Slack says who somebody is, never what they may do: whose answer counts, core decides.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jitgate.approvers.slack.calls import Calls
from jitgate.core.access import NotCounted
from jitgate.core.answers import person
from jitgate.errors import SlackFault, SlackRefused

REMEMBERED = 60.0
"""Seconds for which what was told of somebody is good enough to show them something."""

MEMBER = 600.0
"""Seconds for which it is believed who the members of a group are: each takes two calls."""

PEOPLE = 1_000
"""Those who are remembered at a time."""

SLACKBOT = "USLACKBOT"
"""Slack's own bot, of which Slack does not say that it is one."""

_NONE = NotCounted("Slack knows no such user of this workspace.")
_UNTOLD = NotCounted(
    "Slack does not tell at present who you are, so this does not count. Try again in a moment."
)
_UNPROVED = NotCounted(
    "Slack tells no e-mail address of yours that is confirmed, so nobody can tell who you are. "
    "Whoever runs the gateway can name you under slack.people."
)
_TWICE = NotCounted(
    "Your e-mail address in Slack is somebody else's here, so nobody can tell who you are."
)


class Who:
    """Names people as the gateway knows them.

    Args:
        calls: Slack's API.
        team: The workspace whose members they are.
        people: Who somebody is whatever their address in Slack, by user.
        clock: What `REMEMBERED` goes by.
    """

    _log = Logger()

    def __init__(
        self, calls: Calls, team: str, people: Mapping[str, str], clock: IReactorTime
    ) -> None:
        self._calls = calls
        self._team = team
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._members: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self.adopt(people)

    def adopt(self, people: Mapping[str, str]) -> None:
        """Go by these from now on."""
        self._people = dict(people)
        self._named = {person(name): user for user, name in people.items()}
        self._known.clear()
        self._members.clear()

    async def now(self, user: str) -> str | NotCounted:
        """Who it is, as Slack says at this moment; or why nobody is, for them to read."""
        self._known.pop(user, None)
        try:
            told = await self._told(user)
        except SlackRefused as refused:
            if refused.word in {"user_not_found", "user_not_visible", "users_not_found"}:
                return _NONE
            self._log.error("Slack does not tell who somebody is: {why}", why=f"{refused}")
            return _UNTOLD
        except SlackFault as fault:
            self._log.warn("Slack does not tell who somebody is: {why}", why=f"{fault}")
            return _UNTOLD
        if isinstance(told, str):
            self._known[user] = self._clock.seconds(), told
            if len(self._known) > PEOPLE:
                self._known.popitem(last=False)
        return told

    async def member(self, user: str) -> str | None:
        """Who it is, as Slack said lately, to count them among a group; None: nobody who answers.

        Raises `SlackFault`. Whoever answers is asked of anew (`now`).
        """
        at, name = self._members.get(user, (0.0, ""))
        if name and 0 <= self._clock.seconds() - at < MEMBER:
            return name
        told = await self._told(user)
        if not isinstance(told, str):
            return None
        self._members[user] = self._clock.seconds(), told
        if len(self._members) > PEOPLE:
            self._members.popitem(last=False)
        return told

    async def lately(self, user: str) -> str | NotCounted:
        """The same, as it was within the last minute: to show something, never to decide."""
        at, name = self._known.get(user, (0.0, ""))
        if name and 0 <= self._clock.seconds() - at < REMEMBERED:
            return name
        return await self.now(user)

    async def _told(self, user: str) -> str | NotCounted:
        if user == SLACKBOT:
            return NotCounted("A bot answers nothing.")
        told = (await self._calls.call("users.info", user=user)).get("user")
        if not isinstance(told, Mapping) or told.get("id") != user:
            return _NONE
        why = _kept_out(told, self._team)
        if why is not None:
            return NotCounted(why)
        if user in self._people:
            return self._people[user]
        address = _address(told)
        if address is None:
            return _UNPROVED
        return address if await self._is_theirs(user, address) else _TWICE

    async def _is_theirs(self, user: str, address: str) -> bool:
        """Whether it is no other user's, by the configuration and by Slack itself."""
        if person(address) in self._named:
            return False
        found = (await self._calls.call("users.lookupByEmail", email=address)).get("user")
        return isinstance(found, Mapping) and found.get("id") == user


def _kept_out(told: Mapping[str, Any], team: str) -> str | None:
    """Why this is nobody who answers: only what is plainly said of a member lets them in."""
    if told.get("deleted") is not False:
        return "This Slack user is deactivated."
    if told.get("team_id") != team or told.get("is_stranger") is True:
        return "You are of another Slack workspace: only members of this one answer."
    if told.get("is_bot") is not False or told.get("is_workflow_bot") is True:
        return "A bot answers nothing."
    if told.get("is_restricted") is not False or told.get("is_ultra_restricted") is not False:
        return "You are a guest of this Slack workspace: only members answer."
    return None


def _address(told: Mapping[str, Any]) -> str | None:
    """Their e-mail address, if Slack has had it confirmed."""
    profile = told.get("profile")
    address = profile.get("email") if isinstance(profile, Mapping) else None
    is_confirmed = told.get("is_email_confirmed") is True
    return address if isinstance(address, str) and "@" in address and is_confirmed else None
