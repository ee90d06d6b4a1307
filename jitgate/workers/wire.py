"""What the control process and a worker say to each other, in AMP over a pair of Unix sockets.

Each end is inherited, so nobody else can connect. Texts in JSON are bounded by AMP's own 64 KiB.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final

import orjson
from twisted.logger import Logger
from twisted.protocols import amp

from jitgate.core.tally import Row, Series
from jitgate.errors import JitgateError, traced
from jitgate.values import Changed

WIRE: Final = 3
LISTENING: Final = 4
COUNTERS: Final = 5
LOCK: Final = 6
REVERSE: Final = 7
REVERSE_COUNTERS: Final = 8
"""The descriptors that a worker is started with: its end of the wire, the socket that all accept
from, the connections of each, and the lock on the state folder, which outlives nobody."""

AT_ONCE: Final = 500
"""Changes in one message: an id is at most 100 bytes long."""


COUNTS_AT_ONCE: Final = 80
"""Series in one message: with their labels and buckets less than half a KiB each."""


class Refused(Exception):
    """The other side did not do it; the message says why."""


_LOG = Logger()


def refusing(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Says no where what was asked for cannot be done, and why if that is anybody's to know."""

    async def done(self: object, **fields: object) -> Any:
        try:
            return await work(self, **fields)
        except Refused:
            raise
        except JitgateError as fault:
            raise Refused(f"{fault}") from fault
        except Exception as fault:
            _LOG.critical("What another process asked for has a fault: {how}", how=traced(fault))
            raise Refused("It has a fault, and its log says which.") from fault

    return done


class _Command(amp.Command):
    errors: ClassVar = {Refused: b"REFUSED"}


# --- a worker to the control process


class Join(_Command):
    """A worker has read its files. Its log is on the site log once this is answered."""

    arguments: ClassVar = [(b"digest", amp.String())]
    """Of what it would serve by: it must be what is in force."""
    response: ClassVar = [(b"seed", amp.String())]
    """Of which the keys of the gateway's own tokens are made."""


class Serving(_Command):
    """It accepts connections from now on."""


class Report(_Command):
    """So far its log has grown, and so it is with it. Said twice a second."""

    arguments: ClassVar = [
        (b"size", amp.Integer()),
        (b"root", amp.Unicode()),
        (b"told", amp.String()),
    ]
    response: ClassVar = [(b"down", amp.Unicode()), (b"held_up", amp.Unicode())]
    """Why nobody witnesses what it writes, or nothing new may begin; empty while all is well."""


class Counted(_Command):
    """What it counts has come to this; of what is not named nothing has changed."""

    arguments: ClassVar = [(b"counts", amp.String())]
    requiresAnswer = False  # noqa: N815 (AMP's name)


class Closed(_Command):
    """Its log has ended, and is so long."""

    arguments: ClassVar = [(b"size", amp.Integer()), (b"root", amp.Unicode())]


class Tell(_Command):
    """People are to see an access request as it is now."""

    arguments: ClassVar = [(b"request", amp.Unicode())]


class TellGrant(_Command):
    """The same of a grant, and of a use of it, if there is one."""

    arguments: ClassVar = [(b"grant", amp.Unicode()), (b"use", amp.Unicode())]


class Members(_Command):
    """Who is in a group that only the control process can ask of."""

    arguments: ClassVar = [(b"group", amp.Unicode())]
    response: ClassVar = [(b"members", amp.String())]


# --- either way


class Changes(_Command):
    """What was changed in the store, and is durable; nothing: all is to be looked at."""

    arguments: ClassVar = [(b"changes", amp.String())]
    requiresAnswer = False  # noqa: N815 (AMP's name)


# --- the control process to a worker


class Prepare(_Command):
    """Read everything again, and keep it ready if it comes to this digest."""

    arguments: ClassVar = [(b"digest", amp.String())]
    response: ClassVar = [(b"problems", amp.String())]


class Replace(_Command):
    """Go by what is ready from now on."""


class Abandon(_Command):
    """Drop what is ready."""

    requiresAnswer = False  # noqa: N815 (AMP's name)


class Cut(_Command):
    """End what goes on under a grant."""

    arguments: ClassVar = [(b"grant", amp.Unicode())]
    requiresAnswer = False  # noqa: N815 (AMP's name)


class Disbelieve(_Command):
    """Believe a subject no more that was revoked at that time, and end what is open of it."""

    arguments: ClassVar = [(b"name", amp.Unicode()), (b"at", amp.Float()), (b"why", amp.Unicode())]
    response: ClassVar = [(b"ended", amp.String())]


def counts_in(news: Iterable[tuple[Series, Row]]) -> Iterator[bytes]:
    """What is said of them, in as many messages as it takes."""
    told = list(news)
    for at in range(0, len(told), COUNTS_AT_ONCE):
        yield orjson.dumps(told[at : at + COUNTS_AT_ONCE])


def counts_of(data: bytes) -> Sequence[tuple[Series, Row]]:
    """What such a message says."""
    return [(tuple(series), row) for series, row in orjson.loads(data)]


def changes_in(changes: Sequence[Changed] | None) -> Iterator[bytes]:
    """What is said of them, in as many messages as it takes."""
    if changes is None:
        yield orjson.dumps(None)
        return
    for at in range(0, len(changes), AT_ONCE):
        yield orjson.dumps([tuple(each) for each in changes[at : at + AT_ONCE]])


def changes_of(data: bytes) -> Sequence[Changed] | None:
    """What such a message says."""
    told = orjson.loads(data)
    return None if told is None else [Changed(*each) for each in told]
