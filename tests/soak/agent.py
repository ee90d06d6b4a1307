"""An agent: its subject, its token, its connections, and what has come of its calls."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson
from support.wire import Reply, Tunnel

from .far import SECRET
from .judging import Answered, Trouble
from .site import Site

PATIENCE = 60.0
"""Seconds that an agent waits for an answer: a disk that is slow delays many."""

JSON = "Content-Type: application/json\r\n"
LATER = "Prefer: respond-async\r\n"

_numbers = count(1)


class Unexpected(Exception):
    """A call did not end as it should have."""


@dataclass
class Tally:
    """What has come of calls, over all agents."""

    calls: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def done(self, kind: str, took: float) -> None:
        with self._lock:
            self.calls[kind] = self.calls.get(kind, 0) + 1
            self.seconds.setdefault(kind, []).append(took)

    def trouble(self, trouble: Trouble) -> None:
        with self._lock:
            self.troubles.append(trouble)

    @property
    def count(self) -> int:
        return sum(self.calls.values())


class Agent:
    """One agent: its subject, its connections, its chances."""

    def __init__(self, site: Site, tally: Tally, seed: str) -> None:
        self.site, self.tally = site, tally
        self.chance = random.Random(seed)
        self.subject = f"bot-{seed}"
        self._kept: Tunnel | None = None
        self._left = 0
        self._token, self._until = "", 0.0

    # --- connections

    @property
    def token(self) -> str:
        """As programs do it keeps one for some minutes."""
        if time.monotonic() > self._until:
            self._token = self.site.tokens.token(self.subject, life=600)
            self._until = time.monotonic() + 300
        return self._token

    def tunnel(self, **how: Any) -> Tunnel:
        gateway = self.site.gateway
        token = how.pop("token", None) or self.token
        tunnel = Tunnel(gateway.proxy, gateway.ca, token, **how)
        if tunnel.tls is None:
            status = tunnel.answer.split(b"\r\n", 1)[0].decode("latin-1") or "nothing"
            tunnel.close()
            raise Unexpected(f"CONNECT was answered with {status}")
        tunnel.tls.settimeout(PATIENCE)
        return tunnel

    @property
    def kept(self) -> Tunnel:
        """A tunnel that serves twenty calls or so."""
        if self._kept is None or self._left <= 0:
            self.hang_up()
            self._kept, self._left = self.tunnel(), self.chance.randint(5, 40)
        self._left -= 1
        return self._kept

    def hang_up(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    # --- what is expected

    def path(self, kind: str) -> str:
        return f"/{kind}/{next(_numbers)}"

    def expect(self, reply: Reply, path: str, *statuses: int) -> bytes:
        if reply.status not in statuses:
            raise Unexpected(f"{reply.status} {reason(reply.body)}")
        self.tally.answered.append(Answered(path, reply.status, time.monotonic()))
        self.is_clean(reply.body)
        return reply.body

    def is_clean(self, body: bytes) -> None:
        if SECRET.encode() in body:
            raise Unexpected("A SECRET REACHED THE AGENT")


def reason(body: bytes) -> str:
    """What a refusal says."""
    try:
        told = orjson.loads(body)
    except ValueError:
        return f"{body[:80]!r}"
    if "type" in told:
        return f"{str(told['type']).rpartition(':')[2].rpartition('/')[2]}: {told.get('detail')}"
    return str(told.get("errorSummary") or told)


def same(found: object, wanted: object) -> None:
    if found != wanted:
        raise Unexpected(f"{found!r:.80} came where {wanted!r:.80} was wanted")
