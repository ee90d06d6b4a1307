"""Where a fresh token comes from: a file that somebody renews, or a command that prints one.

No message here holds anything of a token, or of what a command printed.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jitgate.errors import TokenUnavailable

TOKEN_BYTES = 16 * 1024
"""Bytes of a token; the gateway takes no longer one."""

RENEW_AHEAD = 60.0
"""Seconds before its end from which on a token is not used for new tunnels, where it lives long."""

RENEW_PART = 0.75
"""The part of its life after which a token is renewed that lives too short for `RENEW_AHEAD`."""

OPAQUE_AGE = 300.0
"""Seconds that a token is used which does not tell its end; most live an hour, few under five
minutes."""

PAUSE = 1.0
"""Seconds between two runs of the command, if it prints tokens that have ended already."""

_TOKEN = re.compile(rb"[!-~]+\Z")


class TokenSource(Protocol):
    """Where tokens come from."""

    async def token(self) -> str:
        """A token that is good for a new tunnel. Raises `TokenUnavailable`."""
        ...

    def stop(self) -> None:
        """No more tokens are needed."""


@dataclass(frozen=True, slots=True)
class Held:
    """A token, and by the clock of this machine when to renew it and when it ends."""

    text: str = field(repr=False)
    renew_at: float
    ends_at: float

    @classmethod
    def since(cls, text: str, now: float) -> Held:
        """A token that was had now."""
        end = expiry(text)
        if end is None:
            return cls(text, now + OPAQUE_AGE, now + OPAQUE_AGE)
        renew_at = max(end - RENEW_AHEAD, now + RENEW_PART * (end - now), now + PAUSE)
        return cls(text, renew_at, end)


def expiry(token: str) -> float | None:
    """When a JWT says that it ends (RFC 7519, section 4.1.4), believed unverified; None: unknown.

    Nothing is decided by it but when to look for another one.
    """
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        end = claims["exp"]
        if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
            return None
        return float(end)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None


def token_in(data: bytes, source: str) -> str:
    """The one token that is all of the data, but for space around it."""
    text = data.strip()
    if not text:
        raise TokenUnavailable(f"{source} holds no token: it is empty.")
    if len(text) > TOKEN_BYTES or not _TOKEN.match(text):
        raise TokenUnavailable(
            f"{source} holds something else than one token of at most {TOKEN_BYTES} bytes."
        )
    return text.decode("ascii")


class Command(Protocol):
    """What prints a token each time it is run."""

    async def output(self) -> bytes:
        """What it prints. Raises `TokenUnavailable`."""
        ...

    def stop(self) -> None:
        """End a run that is under way."""


class TokenFile:
    """A file that somebody else keeps fresh, as Kubernetes does a projected token.

    It is read for every tunnel, which costs nothing beside the tunnel, so that no change is missed
    however it is made.
    """

    def __init__(self, file: Path, clock: IReactorTime) -> None:
        self._file = file
        self._clock = clock
        self._held: Held | None = None

    async def token(self) -> str:
        data = self._read()
        try:
            text = token_in(data, f"The token file {self._file}")
        except TokenUnavailable:
            # Between the two halves of rewriting it in place a file holds nothing, or half a line.
            if self._held is None or self._held.ends_at <= self._clock.seconds():
                raise
            return self._held.text
        self._held = Held.since(text, self._clock.seconds())
        return text

    def stop(self) -> None:
        """Nothing is open."""

    def _read(self) -> bytes:
        try:
            with open(self._file, "rb", opener=_at_once) as opened:
                if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                    raise TokenUnavailable(
                        f"The token file {self._file} is not a regular file; for a pipe's output "
                        "there is --token-command."
                    )
                return opened.read(2 * TOKEN_BYTES)
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise TokenUnavailable(
                f"The token file {self._file} cannot be read: {why}. Put the agent's token there."
            ) from error


def _at_once(file: str, flags: int) -> int:
    """Opens without waiting for another end, as a pipe in the place of a file would."""
    return os.open(file, flags | os.O_NONBLOCK)


class TokenCommand:
    """A command that prints a token, run when the one before is about to end.

    Callers who need a run share one; a run that fails leaves the token there is in use until its
    end.
    """

    def __init__(self, command: Command, clock: IReactorTime) -> None:
        self._command = command
        self._clock = clock
        self._held: Held | None = None
        self._waiting: list[Deferred[str | None]] = []

    async def token(self) -> str:
        why = None
        if self._held is None or self._held.renew_at <= self._clock.seconds():
            why = await self._renewed()
        held = self._held
        if held is None or (why is not None and held.ends_at <= self._clock.seconds()):
            raise TokenUnavailable(why or "The token command was not run.")
        return held.text

    def stop(self) -> None:
        self._command.stop()

    async def _renewed(self) -> str | None:
        """Wait for the run that is under way, or for a new one; why it failed, if it did.

        It goes on by itself, so that an agent that hangs up ends nobody else's wait.
        """
        waiter: Deferred[str | None] = Deferred()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            Deferred.fromCoroutine(self._renew())
        return await waiter

    async def _renew(self) -> None:
        why: str | None = "The token command failed; run it by hand to see why."
        try:
            text = token_in(await self._command.output(), "What the token command printed")
            self._held = Held.since(text, self._clock.seconds())
            why = None
        except TokenUnavailable as fault:
            why = f"{fault}"
        finally:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(why)
