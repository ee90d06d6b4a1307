"""Where a request belongs in Slack: in rooms of the groups that are asked, or with each person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from jitgate.core.answers import asked, person
from jitgate.flow.standing import Standing
from jitgate.values import AccessRequest

MOST_PEOPLE: Final = 50
"""People who are written to about one request; more would be a room."""

TO: Final = "@"
"""What the slot of a person begins with; that of a room is the channel's id."""


@dataclass(frozen=True, slots=True)
class Room:
    """A channel of Slack's where a group is asked."""

    channel: str
    """Its id ("C0123ABCD"): a name can be given to another one."""
    mention: str | None = None
    """The id of the user group ("S0123ABCD") that is called when the group is asked."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """When people are reminded of what is still open."""

    share: float = 1 / 3
    """What is left then, of the time that a request has."""
    least: float = 30.0
    """Seconds that are left at least."""

    def at(self, request: AccessRequest) -> float | None:
        """When, in seconds since the epoch; None: there is no time for one."""
        life = request.expires_at - request.opened_at
        left = max(life * self.share, self.least)
        return request.expires_at - left if left < life else None


@dataclass(frozen=True, slots=True)
class Showing:
    """What the configuration says of where and when things are shown."""

    default: str
    """The channel of groups that have none of their own."""
    rooms: Mapping[str, Room] = field(default_factory=lambda: MappingProxyType({}))
    """Those of groups, by their names."""
    users: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Slack users ("U0123ABCD") by who they are; of others the e-mail address says it."""
    reminder: Reminder | None = field(default_factory=Reminder)

    def room(self, group: str) -> Room:
        """Where a group is asked."""
        return self.rooms.get(group) or Room(self.default)

    def slots(self, request: AccessRequest, standing: Standing) -> Sequence[str]:
        """Where a request is to be shown, each once."""
        if request.ask.terms.privately:
            people = [f"{TO}{person(each)}" for each in standing.could_answer]
            return tuple(dict.fromkeys(people))[:MOST_PEOPLE]
        return tuple(dict.fromkeys(self.room(group).channel for group in asked(request)))

    def user(self, someone: str) -> str | None:
        """The Slack user that the configuration names for somebody, as `person` spells them."""
        return next((user for name, user in self.users.items() if person(name) == someone), None)
