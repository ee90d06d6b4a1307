"""A rule in Python: what changes something is denied outside office hours, in one time zone.

Named in the configuration's ``plugins``. It permits nothing itself: within the hours it says
nothing, and the other rules decide. A window that ends before it begins goes past midnight, and
``days`` are those on which it begins: with 22:00 to 06:00 on Fridays, Saturday at 3 is open. The
hours are those of a clock on the wall there, so that they hold through every change of it.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import field_validator, model_validator
from zope.interface import implementer

from jitgate.core.globs import globs_matcher
from jitgate.interfaces import IStatedRule
from jitgate.plugins import PluginOptions
from jitgate.values import Effect, Inquiry, Risk, Verdict

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

OWN_PAGES = "jitgate.internal"
"""The gateway's own target: agents read there how their calls fare, at any hour."""

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z|24:00\Z")


class Options(PluginOptions):
    """When the office is open, and which calls must wait until it is."""

    zone: str
    """As the tz database calls it: Europe/Berlin."""
    opens: str = "09:00"
    closes: str = "17:00"
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = [
        "mon",
        "tue",
        "wed",
        "thu",
        "fri",
    ]
    targets: list[str] = []
    """None: every target."""
    actions: list[str] = ["*"]
    risks: list[Literal["read", "write", "privileged", "destructive"]] = [
        "write",
        "privileged",
        "destructive",
    ]
    """An operation whose risk nobody knows is taken for one of these."""

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (OSError, ValueError, KeyError):
            raise ValueError(f"no time zone {value!r} is known here") from None
        return value

    @field_validator("opens", "closes")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        if not _TIME.match(value):
            raise ValueError("a time was expected, such as 09:00; 24:00 is the end of a day")
        return value

    @model_validator(mode="after")
    def _is_ever_open(self) -> Options:
        if minutes(self.opens) % DAY == minutes(self.closes) % DAY and self.opens != "00:00":
            raise ValueError("opens and closes are the same: for whole days write 00:00 and 24:00")
        if self.opens == self.closes or not self.days:
            raise ValueError("the office would never be open: write a rule that denies instead")
        return self


DAY = 24 * 60
"""Minutes of a day on the wall."""


def minutes(time: str) -> int:
    """Minutes from midnight."""
    hours, _, rest = time.partition(":")
    return int(hours) * 60 + int(rest)


@implementer(IStatedRule)
class OfficeHours:
    """Denies what the options name while the office is closed."""

    name = "office-hours"

    def __init__(self, options: Options) -> None:
        self.version = hashlib.sha256(options.model_dump_json().encode()).hexdigest()
        self._zone = ZoneInfo(options.zone)
        self._opens, self._closes = minutes(options.opens), minutes(options.closes)
        self._days = frozenset(DAYS.index(day) for day in options.days)
        self._targets = frozenset(options.targets)
        self._actions = globs_matcher(options.actions)
        self._risks = frozenset(options.risks)
        days = " ".join(day for day in DAYS if day in options.days)
        hours = f"{options.opens} to {options.closes}, {days}, {options.zone}"
        self.verdict = Verdict(Effect.DENY, f"This is for office hours only ({hours})")

    def judge(self, inquiry: Inquiry) -> Verdict | None:
        """Deny what is named while the office is closed; say nothing of all else."""
        asked = inquiry.operation
        if not self.concerns(asked.target, asked.action, asked.method, asked.risk):
            return None
        return self.judge_concerned(inquiry)

    def judge_concerned(self, inquiry: Inquiry) -> Verdict | None:
        """What it answers of what is named: neither body nor parameters count."""
        return None if self.is_open(inquiry.now) else self.verdict

    def is_open(self, now: float) -> bool:
        """Whether the office is, at so many seconds since the epoch."""
        there = datetime.fromtimestamp(now, self._zone)
        time, today = there.hour * 60 + there.minute, there.weekday()
        yesterday = (today - 1) % 7
        if self._opens < self._closes:
            return today in self._days and self._opens <= time < self._closes
        begun = today in self._days and time >= self._opens
        return begun or (yesterday in self._days and time < self._closes)

    def concerns(self, target: str, action: str, method: str, risk: Risk | None) -> bool:
        """Whether the options name it."""
        if target == OWN_PAGES and OWN_PAGES not in self._targets:
            return False
        return (
            (not self._targets or target in self._targets)
            and (risk is None or risk.value in self._risks)
            and self._actions(action) is not None
        )


def plugin(options: Options) -> OfficeHours:
    """What the configuration's ``plugins`` entry loads."""
    return OfficeHours(options)
