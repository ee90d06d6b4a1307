"""Points in time and spans of it, in words and as they are typed."""

from __future__ import annotations

from datetime import datetime


def seconds(instant: str) -> float:
    """An instant in RFC 3339 as seconds since the epoch."""
    return datetime.fromisoformat(instant).timestamp()


def typed(text: str) -> float | None:
    """A time with its zone, as somebody has typed it; None where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def clock(instant: str) -> str:
    """An instant as the time of day where this runs."""
    return clock_at(seconds(instant))


def clock_at(moment: float) -> str:
    """Seconds since the epoch as the time of day where this runs, with its zone."""
    return datetime.fromtimestamp(moment).astimezone().strftime("%H:%M:%S %Z")


def ahead(instant: str, now: float) -> str:
    """How far ahead an instant is."""
    left = seconds(instant) - now
    return f"in {span(left)}" if left > 0 else "now"


def span(length: float) -> str:
    """A number of seconds, in its largest unit and the next."""
    left = max(round(length), 0)
    for unit, name, part, smaller in _UNITS:
        if left >= unit:
            rest = left % unit // part
            return f"{left // unit} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{left} s"


_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
