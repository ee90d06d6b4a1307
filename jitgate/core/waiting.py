"""How long an agent waits for humans, and what it is told meanwhile: arithmetic, no clock.

Clients differ in what they do with an answer that means "not yet". The SDKs that take a vendor's
"slow down" (429 with a time) send again by themselves, but only so often; a client that asks for
``respond-async`` (RFC 7240, section 4.1) takes a 202; others are told in a 403 when to come back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jitgate.core.fields import values_of
from jitgate.values import Headers

ATTEMPTS = 3
"""How often an SDK sends one call in all: Okta's send again twice, then they give up."""

RETURN_MARGIN = 30.0
"""Seconds of a grant's life that are left when an SDK comes back for it: clocks, connecting."""

RETURN_AFTER = 5.0
"""Seconds after which an agent that was told to come back may: it is held again then."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things wait, in seconds."""

    hold: float = 55.0
    """A connection, for an answer: less than the minute after which most clients hang up."""
    linger: float = 120.0
    """A request whose agent hung up without being told to come back: clients do so to send again,
    httpx after 5 s, PyGithub after 15, slack_sdk after 30."""
    expire: float = 600.0
    """A request in all."""

    def held(self, hold: float | None) -> Patience:
        """The same where rules have calls held for so long; never longer than without them."""
        return self if hold is None else replace(self, hold=min(hold, self.hold))


@dataclass(frozen=True, slots=True)
class SlowDown:
    """What an SDK that sends again by itself is told."""

    wait: float
    """Seconds between two attempts."""
    expire: float
    """Seconds after which the request expires: no later than its last attempt ends."""


def slow_down(patience: Patience, life: float) -> SlowDown:
    """Waits stretched so that the SDK's attempts cover ``expire``, as far as they can.

    An approval that comes just after an attempt must still be good at the next one: ``life`` is
    that of the grant.
    """
    stretched = (patience.expire - ATTEMPTS * patience.hold) / (ATTEMPTS - 1)
    wait = max(0.0, min(stretched, life - RETURN_MARGIN))
    covered = ATTEMPTS * patience.hold + (ATTEMPTS - 1) * wait
    return SlowDown(wait, min(patience.expire, covered))


@dataclass(frozen=True, slots=True)
class Preference:
    """What a client said of waiting in ``Prefer``."""

    asynchronous: bool
    wait: float | None
    """Seconds that it is ready to wait for the answer (section 4.3)."""


def preference(headers: Headers) -> Preference:
    """Read ``Prefer`` (RFC 7240, section 2); what is not understood is left unread."""
    asked: dict[str, str] = {}
    for value in values_of(headers, b"prefer"):
        for part in value.decode("latin-1").split(","):
            name, _, rest = part.partition(";")[0].partition("=")
            asked.setdefault(name.strip().lower(), rest.strip().strip('"'))
    wait = asked.get("wait", "")
    seconds = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 10 else None
    return Preference("respond-async" in asked, seconds)


@dataclass(frozen=True, slots=True)
class Wait:
    """How one exchange waits: until when, and what its agent is told then."""

    until: float
    expire: float
    """Seconds from its opening after which the access request expires."""
    again: float
    """Seconds after which the agent may send its call again."""
    manner: str | None
    """``slow-down``, ``accepted``, or None for the target's own."""


def waiting(
    patience: Patience, wish: Preference, *, since: float, resends: bool, life: float
) -> Wait:
    """How an exchange waits whose client wishes so, from ``since`` on.

    ``resends``: its SDK sends again itself. ``life`` is that of the grant that it waits for.
    """
    hold = patience.hold if wish.wait is None else min(patience.hold, wish.wait)
    if wish.asynchronous and wish.wait is None:
        hold = 0.0
    until = since + hold
    if wish.asynchronous:
        return Wait(until, patience.expire, RETURN_AFTER, "accepted")
    if resends:
        slow = slow_down(patience, life)
        return Wait(until, slow.expire, slow.wait, "slow-down")
    return Wait(until, patience.expire, RETURN_AFTER, None)
