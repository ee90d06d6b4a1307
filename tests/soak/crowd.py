"""Who calls: all agents, each in a thread, and how often each kind of call is made."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable

from jitgate.cli.calling import NotTold, SaidNo

from . import calls, long_calls
from .agent import PATIENCE, Agent, Tally, Unexpected
from .judging import Trouble
from .site import Site

Call = Callable[[Agent], None]

QUICK: dict[Call, int] = {
    calls.read: 60,
    calls.once: 8,
    calls.http2: 6,
    calls.reverse: 6,
    calls.upload: 6,
    calls.download: 2,
    calls.denied: 2,
    calls.own_pages: 1,
    calls.okta: 4,
    calls.reset: 2,
    calls.malformed: 2,
    calls.cut: 1,
    calls.garbled: 2,
    calls.elsewhere: 1,
}
"""What is asked as often as there is room for it, with how often each is."""

SLOW: tuple[Call, ...] = (
    long_calls.held,
    long_calls.held,
    long_calls.later,
    long_calls.flight,
    long_calls.disowned,
    long_calls.events,
    long_calls.websocket,
    long_calls.websocket,
    calls.vanish,
    calls.slowly,
    calls.stall,
    calls.expired,
)
"""What takes its time: each has an agent of its own, who rests between two calls."""

REST, ASKED_REST = 1.0, 5.0
"""Seconds on average, and for who asks people: Slack takes a message a second (and a card has
two or three)."""

ASKING = (long_calls.held, long_calls.later, long_calls.flight)


class Pace:
    """So many calls a second over all agents; without a rate, as many as there can be."""

    def __init__(self) -> None:
        self.rate: float | None = None
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self, over: threading.Event) -> None:
        if self.rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now - 1) + 1 / self.rate
            pause = self._next - now
        if pause > 0:
            over.wait(pause)


class Crowd:
    """All agents, each in a thread."""

    def __init__(self, site: Site, tally: Tally, seed: int, quick: int) -> None:
        self.pace = Pace()
        self._site, self._tally = site, tally
        mix = {call: weight for call, weight in QUICK.items() if self._can(call)}
        self._mix = list(mix), list(mix.values())
        self._jobs: list[tuple[Agent, Call | None]] = [
            (Agent(site, tally, f"{seed}-quick-{number}"), None) for number in range(quick)
        ]
        self._jobs += [
            (Agent(site, tally, f"{seed}-{call.__name__}-{number}"), call)
            for number, call in enumerate(SLOW)
        ]
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()

    def _can(self, call: Call) -> bool:
        if call is calls.okta:
            return self._site.org is not None
        return call is not calls.reverse or "reverse" in self._site.gateway.ports

    def start(self) -> None:
        self._over.clear()
        self._threads = [
            threading.Thread(target=self._work, args=job, daemon=True) for job in self._jobs
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End: each finishes its call, and hangs up."""
        self._over.set()
        for thread in self._threads:
            thread.join(3 * PATIENCE)
            if thread.is_alive():
                raise RuntimeError("an agent hangs")

    def _work(self, agent: Agent, call: Call | None) -> None:
        try:
            while not self._over.is_set():
                if call is None:
                    self.pace.wait(self._over)
                    (now,) = agent.chance.choices(*self._mix)
                    self._do(agent, now)
                else:
                    self._do(agent, call)
                    rest = ASKED_REST if call in ASKING else REST
                    self._over.wait(agent.chance.uniform(0, 2 * rest))
        finally:
            agent.hang_up()

    def _do(self, agent: Agent, call: Call) -> None:
        begun = time.monotonic()
        try:
            call(agent)
        except (Unexpected, OSError, ValueError, NotTold, SaidNo, AssertionError) as error:
            self._trouble(agent, call, begun, error)
        except http.client.HTTPException as error:
            self._trouble(agent, call, begun, error)
        else:
            self._tally.done(call.__name__, time.monotonic() - begun)

    def _trouble(self, agent: Agent, call: Call, begun: float, error: Exception) -> None:
        agent.hang_up()
        what = f"{error}" if isinstance(error, Unexpected) else f"{type(error).__name__}: {error}"
        self._tally.trouble(Trouble(begun, time.monotonic(), f"{call.__name__}: {what}"))
        self._over.wait(0.05)  # whoever is turned away does not come again at once
