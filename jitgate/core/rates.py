"""How many more calls a target takes: what its answers say of that, and which calls wait for it.

Read are ``X-Rate-Limit-*`` (Okta), ``X-RateLimit-*`` (GitHub and others) and Retry-After (RFC 9110,
section 10.2.3). Whatever they say, nothing waits for longer than `LONGEST`.
"""

from __future__ import annotations

import functools
import math
from email.utils import mktime_tz, parsedate_tz
from typing import NamedTuple

from jitgate.core.fields import names_of, values_of
from jitgate.values import Headers, Operation, ResponseHead

SHARE = 20
"""The reserve is this part of a limit, at least one call: it is for calls that were approved, and
for what else draws on the same limit."""

LONGEST = 300.0
"""Seconds that calls wait at most for what one answer said. Okta's windows are a minute long; where
one is longer, a call goes out after this time and hears how it stands."""

TRIAL = 5.0
"""Seconds in which the first call after a wait is answered, or given up for lost; the others of its
kind wait for that."""

KEPT = 1024
"""Kinds of calls to a target of which anything is remembered: a catalog has some 700."""

SPREAD = 5.0
"""Seconds over which those who wait for one moment are spread, or as many as they wait, if that is
less: all at once they would meet the limit again."""

_PATH_CHARS = 256
"""Of a path that are told apart: a longer one is a name of something, not an endpoint."""

_PREFIXES = (b"x-rate-limit-", b"x-ratelimit-")
_WATCHED = frozenset({b"retry-after", *(each + b"remaining" for each in _PREFIXES)}) | {
    each + b"reset" for each in _PREFIXES
}
_REFUSING = frozenset({429, 503})
"""Statuses whose Retry-After speaks of further requests (RFC 6585, section 4; RFC 9110, 15.6.4)."""

_REFUSED = math.inf
"""In the place of a window: no later answer to an earlier call ends what a refusal began."""

_TRYING = -math.inf
"""In the place of a window: a call is out to hear how it stands, and any answer tells more."""

_DIGITS = 15
"""Of a number: more than of any time and of any limit."""
_DATE_BYTES = 40
"""A date has 29 (RFC 9110, section 5.6.7), in its obsolete forms up to 33."""

Kind = tuple[str, str]


def kind_of(operation: Operation) -> Kind:
    """What is remembered apart: the action; where no catalog names it, the path as well."""
    unnamed = operation.action == operation.method
    return operation.action, operation.path[:_PATH_CHARS] if unnamed else ""


class Told(NamedTuple):
    """What one answer says of the calls to come."""

    until: float
    """When it says nothing any more, by the gateway's own clock."""
    remaining: int
    reserve: int
    window: float
    """The reset as the target writes it: it tells windows apart."""
    ends: float
    """When that is by the gateway's own clock, however far away."""


def told(answer: ResponseHead, now: float) -> Told | None:
    """What an answer that came at ``now`` says, if it says anything that can be believed.

    Times are the target's, so that its Date tells what they mean here.
    """
    fields = answer.headers
    if _WATCHED.isdisjoint(names_of(fields)):
        return None
    dates = values_of(fields, b"date")
    date = _date(dates[0]) if len(dates) == 1 else None
    there = now if date is None else date
    if answer.status in _REFUSING:
        after = _retry_after(fields, there)
        if after is not None:
            return _told(now, after, 0, 0, _REFUSED)
    for prefix in _PREFIXES:
        reset = _least(fields, prefix + b"reset")
        if reset is None:
            continue
        if answer.status == 429:
            return _told(now, reset - there, 0, 0, _REFUSED)
        remaining = _least(fields, prefix + b"remaining")
        if remaining is not None:
            reserve = max(1, (_least(fields, prefix + b"limit") or 0) // SHARE)
            return _told(now, reset - there, remaining, reserve, reset)
    return None


def refused_for(seconds: float, now: float) -> Told:
    """What is made of a refusal that does not say for how long."""
    return Told(now + seconds, 0, 0, _REFUSED, now + seconds)


def spread(wait: float, chance: float) -> float:
    """How many seconds one of those is told who wait so long; ``chance`` is from 0 to 1."""
    return wait + chance * min(wait, SPREAD)


class Rates:
    """What is known of each kind of call to a target: a machine without a clock."""

    def __init__(self) -> None:
        self._known: dict[Kind, Told] = {}
        """The newest last."""

    def take(self, kind: Kind, now: float, *, approved: bool) -> float | None:
        """Count a call that is about to leave; or the time until which it waits, uncounted.

        One that was ``approved`` goes while anything remains: its approval would run out. After a
        wait the first goes, and the others wait until it has been answered: what the target takes
        by then only an answer tells.
        """
        known = self._known.get(kind)
        if known is None:
            return None
        if known.until <= now:
            if known.remaining > known.reserve:
                del self._known[kind]
            else:
                until = now + TRIAL
                self._known[kind] = known._replace(until=until, window=_TRYING, ends=until)
            return None
        if known.remaining <= (0 if approved else known.reserve):
            return known.until
        self._known[kind] = _at(known, known.remaining - 1)
        return None

    def hear(self, kind: Kind, new: Told | None, now: float) -> None:
        """Remember what an answer said. Answers can come in another order than they were given."""
        known = self._known.get(kind)
        if new is None:
            if known is not None and known.window == _TRYING:
                del self._known[kind]
            return
        if known is not None and known.until > now:
            if new.window < known.window and not _counts_beside(known, new, now):
                return
            if new.window == known.window != _REFUSED:
                new = _at(known, min(new.remaining, known.remaining))
        self._known.pop(kind, None)
        self._known[kind] = new
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]

    def slowed(self, now: float) -> float | None:
        """Until when any calls wait; None: none do."""
        slow = (
            each
            for each in self._known.values()
            if each.remaining <= each.reserve and each.window != _TRYING
        )
        return max((each.until for each in slow if each.until > now), default=None)


def _counts_beside(known: Told, new: Told, now: float) -> bool:
    """Whether an answer of an earlier window holds calls back, and that window is not over yet.

    So it is where a target has several limits, or once wrote a reset that was far off.
    """
    over = known.ends - (known.window - new.window)
    return new.remaining <= new.reserve and over > now


def _at(known: Told, remaining: int) -> Told:
    return Told(known.until, remaining, known.reserve, known.window, known.ends)


def _told(now: float, seconds: float, remaining: int, reserve: int, window: float) -> Told | None:
    if seconds <= 0:
        return None
    return Told(now + min(seconds, LONGEST), remaining, reserve, window, now + seconds)


def _least(fields: Headers, name: bytes) -> int | None:
    """The number in a field, the least of several; None where any of them is no number."""
    values = values_of(fields, name)
    if len(values) == 1:
        return _number(values[0])
    numbers = [number for each in values if (number := _number(each)) is not None]
    return min(numbers) if numbers and len(numbers) == len(values) else None


def _number(value: bytes) -> int | None:
    return int(value) if value.isdigit() and len(value) <= _DIGITS else None


def _retry_after(fields: Headers, there: float) -> float | None:
    """The seconds of a Retry-After, in either of its forms."""
    values = values_of(fields, b"retry-after")
    if len(values) != 1:
        return None
    seconds = _number(values[0])
    if seconds is not None:
        return seconds
    date = _date(values[0])
    return None if date is None else date - there


@functools.lru_cache(maxsize=64)
def _parsed(value: bytes) -> float | None:
    try:
        parts = parsedate_tz(value.decode("ascii"))
        return None if parts is None else mktime_tz((*parts[:9], parts[9] or 0))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _date(value: bytes) -> float | None:
    """A date of HTTP (RFC 9110, section 5.6.7) in seconds since 1970; None if it is none."""
    return _parsed(value) if len(value) <= _DATE_BYTES else None
