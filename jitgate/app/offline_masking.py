"""What an agent would see of one response, without a gateway: to be shown and tried beforehand.

The response takes the gateway's own way, `jitgate.flow.release.Release`; only where its bytes come
from and where they go is another.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from jitgate.app.offline import Offline
from jitgate.config.reading import near
from jitgate.core.hiding import Hand
from jitgate.core.http1_events import Response
from jitgate.core.http1_reading import ResponseReader
from jitgate.core.masking import is_stated
from jitgate.core.profiles import CATALOG, UNMASKED, maskers_for, passes
from jitgate.errors import (
    ConfigurationInvalid,
    MaskingFault,
    PeerFault,
    UpstreamMalformed,
    with_place,
)
from jitgate.flow.account import Account
from jitgate.flow.accounts import hand_of
from jitgate.flow.masking_room import MaskingRoom
from jitgate.flow.release import WHOLE, Release
from jitgate.flow.timing import Timing
from jitgate.flow.witness import Start, Witness
from jitgate.interfaces import IMasker, IResponse, IUpstreamConnection
from jitgate.values import (
    Decision,
    Effect,
    Headers,
    Obligation,
    Operation,
    RequestHead,
    ResponseHead,
)

KEY: Final = b"jitgate offline"
"""Stands for the site key where that is not given: it is no secret, so digests under it are shown
to nobody but the one who has the response itself."""

SESSION: Final = "offline"
"""The one session of all responses that are tried, in which equal values are hashed alike."""

PIECE: Final = 64 * 1024
"""Bytes that are read at a time; a target's come in pieces of about that size."""


@dataclass(frozen=True, slots=True)
class Masking:
    """Who hides what of a response."""

    maskers: tuple[IMasker, ...]
    passes: bool = False
    """Whether a body that cannot be looked at holds no secret, as the profiles say."""
    unmarked: bool = False
    """Whether fields would be hidden that a catalog marks, and no call says which those are."""

    def how(self, rule: str) -> str:
        """How the rule of that name shows what it hides."""
        named = {each.name: each for each in self.maskers}
        masker = named.get(rule) or named.get(rule.rpartition("/")[0])
        return masker.how.value if masker is not None and is_stated(masker) else "plugin"


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one response."""

    hand: Hand
    """Knows what was hidden."""
    head: ResponseHead | None
    """As the agent is sent it; None: nothing is."""
    released: int
    """Bytes of the body that the agent is sent."""
    why: str | None = None
    """Why not all of it is."""


def masking_of(
    made: Offline, profiles: Sequence[str], target: str | None = None, action: str | None = None
) -> Masking:
    """What the profiles hide, in responses to an action of a target if they are named.

    Raises `ConfigurationInvalid` with what there is not.
    """
    problems = [
        problem
        for name in profiles
        if (problem := _near("masking profile", name, [*made.profiles, CATALOG, UNMASKED]))
    ]
    operation = Operation("", "", {}, "GET", "", "/")
    if target is not None:
        try:
            operation = _operation(made, target, action or "")
        except ConfigurationInvalid as error:
            problems += error.problems
    if problems:
        raise ConfigurationInvalid(problems)
    duties = tuple(Obligation("mask", name) for name in profiles)
    decision = Decision(Effect.PERMIT, "", "", "", duties)
    # What a profile for requests hides is shown here too.
    every = {name: replace(each, responses=True) for name, each in made.profiles.items()}
    marking = {CATALOG, *(name for name, each in made.profiles.items() if each.catalog)}
    return Masking(
        maskers_for(operation, decision, every),
        passes=target is not None and passes(operation, decision, every),
        unmarked=target is None and not marking.isdisjoint(profiles),
    )


def head_of(lines: bytes) -> ResponseHead:
    """The head that stands there, by the gateway's own reader.

    The length is not taken from it: what of the body is there tells it. Raises `PeerFault`.
    """
    events = ResponseReader("GET").feed(lines)
    for event in events:
        if isinstance(event, PeerFault):
            raise event
        if isinstance(event, Response) and not event.interim:
            return event.head._replace(length=None)
    raise UpstreamMalformed("This is no head of a response.")


def seen(
    masking: Masking,
    head: ResponseHead,
    pieces: Iterable[bytes],
    write: Callable[[bytes], object],
    key: bytes = KEY,
) -> Seen:
    """Let a response go through; what the agent may have of its body goes to ``write``.

    Of a body that ends within 64 KiB the length is known beforehand, as a target would announce it.
    """
    source = _Source(pieces)
    if head.length is None and source.is_whole:
        head = head._replace(length=len(source.first))
    account = _account(key)
    account.passes = masking.passes
    agent = _Agent(write)
    release = Release(
        account,
        cast(IResponse, agent),
        cast(IUpstreamConnection, source),
        masking.maskers,
        (),
        _at_once,
        MaskingRoom(),
        _at_once,
    )
    why = None
    try:
        _run(release.run(head))
    except MaskingFault as fault:
        why = with_place(fault)
    return Seen(account.hand, agent.head, agent.released, why)


def _account(key: bytes) -> Account:
    nothing = Start(hmac.new(key, digestmod="sha256"))
    return Account(
        id="",
        session=SESSION,
        subject=None,
        head=RequestHead("GET", "/", ()),
        timing=Timing(lambda: 0.0),
        sent=Witness(nothing, 0),
        released=Witness(nothing, 0),
        hand=hand_of(key, SESSION),
    )


class _Source:
    """A response's body: what of `IUpstreamConnection` is asked on a response's way out."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = filter(None, pieces)
        self.first = b""
        self.is_whole = False
        while len(self.first) <= WHOLE and not self.is_whole:
            piece = next(self._pieces, b"")
            self.first += piece
            self.is_whole = not piece

    async def read(self) -> bytes:
        first, self.first = self.first, b""
        return first or next(self._pieces, b"")

    def trailers(self) -> Headers:
        return ()


@dataclass(slots=True)
class _Agent:
    """Whom the response goes to: what of `IResponse` is asked on its way out."""

    _write: Callable[[bytes], object]
    head: ResponseHead | None = None
    released: int = 0
    gone: bool = field(default=False, init=False)
    takes_trailers: bool = field(default=False, init=False)

    async def start(self, head: ResponseHead, first: bytes = b"") -> None:
        self.head = head
        await self.write(first)

    async def write(self, data: bytes) -> None:
        self.released += len(data)
        self._write(data)

    async def finish(self, trailers: Headers = ()) -> None:
        pass


async def _at_once() -> None:
    """Nobody else waits for a turn, and nothing is put on record."""


def _run(steps: Coroutine[Any, Any, None]) -> None:
    """Take all steps: none of them has to wait."""
    try:
        steps.send(None)
    except StopIteration:
        return
    steps.close()
    raise RuntimeError("a step waits that has nothing to wait for")


# --- what is named


def _operation(made: Offline, target: str, action: str) -> Operation:
    """An operation of that name, with all that the catalog marks of any of that name."""
    named = {each.name: (authority, each) for authority, each in made.targets.items()}
    problem = _near("target", target, list(named))
    if problem is None:
        authority, callee = named[target]
        problem = _near(f"action of {target}", action, sorted(callee.catalog.actions))
    if problem is not None:
        raise ConfigurationInvalid([problem])
    samples = [each for each in callee.catalog.samples(authority) if each.action == action]
    secrets = frozenset[str]().union(*(each.secrets for each in samples))
    first = samples[0] if samples else Operation(target, action, {}, "GET", authority, "/")
    return Operation(target, action, {}, first.method, authority, first.path, secrets=secrets)


def _near(what: str, name: str, known: Sequence[str]) -> str | None:
    """That there is no such thing, and what may be meant; None if there is."""
    if name in known:
        return None
    return f"There is no {what} {name!r}{near(name, known) or '.'}"
