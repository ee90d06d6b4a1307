"""One run of an agent: the forwarder is up, the agent runs behind it, then all is taken down."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from jitgate.forwarding.agent import Agent, NotStarted, Signals, program_of, shut_to_debuggers
from jitgate.forwarding.asking import Run
from jitgate.forwarding.authority import placed
from jitgate.forwarding.environment import agent_environment, holding
from jitgate.forwarding.forwarder import Forwarder
from jitgate.forwarding.hop import Hop
from jitgate.forwarding.tokens import TokenSource

Spawning = Callable[[], AbstractContextManager[object]]
"""What is entered while a process is started."""


class AgentRun:
    """Runs one command behind a forwarder, which gets the process's ``signals``.

    ``tokens`` makes the source of tokens, ``ca`` gives the gateway's CA certificate, and ``say`` is
    given sentences for whoever started the run.
    """

    def __init__(
        self,
        words: Sequence[str],
        run: Run,
        hop: Hop,
        *,
        signals: Signals,
        tokens: Callable[[Spawning], TokenSource],
        ca: Callable[[], Awaitable[bytes]],
        outside: Mapping[str, str],
        reactor: Any,
        say: Callable[[str], object],
    ) -> None:
        self._words = words
        self._ca = ca
        self._outside = outside
        self._reactor = reactor
        self._say = say
        self._signals = signals
        self._tokens = tokens(signals.let_through)
        self._forwarder = Forwarder(run, hop, self._tokens, reactor, say)
        self._agent: Agent | None = None
        self._playing: Deferred[int] | None = None
        self._told: int | None = None

    async def play(self) -> int:
        """From start to end: the exit status. Raises a `JitgateError` where it cannot begin."""
        shut_to_debuggers()
        self._signals.take(self._reactor, self._take)
        self._playing = Deferred.fromCoroutine(self._played())
        return await self._playing

    async def _played(self) -> int:
        program = program_of(self._words[0], self._outside)
        if isinstance(program, NotStarted):
            return self._not_started(program)
        try:
            # What is wrong with the token or the gateway is said before the agent starts.
            token = await self._tokens.token()
            pem = await self._ca()
            with tempfile.TemporaryDirectory(prefix="jitgate-exec-") as folder:
                await self._forwarder.start()
                environment = self._environment(placed(pem, Path(folder)), token)
                return await self._behind_the_forwarder(program, environment)
        except CancelledError:
            if self._told is None:
                raise
            return 128 + self._told
        finally:
            self._tokens.stop()
            await self._forwarder.stop()

    async def _behind_the_forwarder(self, program: str, environment: Mapping[str, str]) -> int:
        agent = Agent.start(program, self._words, environment, self._signals.usual)
        if isinstance(agent, NotStarted):
            return self._not_started(agent)
        self._agent = agent
        return await agent.ended(self._reactor)

    def _environment(self, bundle: Path, token: str) -> dict[str, str]:
        for name in holding(self._outside, token):
            self._say(f"The variable {name} holds the token, so the agent does not get it.")
        proxy = self._forwarder.run.proxy(self._forwarder.port)
        return agent_environment(self._outside, proxy, bundle, token)

    def _not_started(self, why: NotStarted) -> int:
        self._say(why.why)
        return why.status

    def _take(self, number: int, from_terminal: bool) -> None:
        """A signal came: it is the agent's; before there is one, it ends the run."""
        if self._agent is not None:
            if not from_terminal:
                self._agent.pass_on(number)
        elif self._playing is not None and self._told is None:
            self._told = number
            self._playing.cancel()
