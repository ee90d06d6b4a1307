"""Reading the configuration again while the gateway serves: all of it replaces all, or nothing."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from jitgate import plugins
from jitgate.app.in_force import InForce
from jitgate.app.masking_sets import in_thread
from jitgate.approvers.commands import Reload
from jitgate.config import Configuration, read_all
from jitgate.errors import ConfigurationInvalid, MustStop, RecorderDown, traced
from jitgate.flow.recorder import Recorder
from jitgate.values import Entry, Reloaded

Make = Callable[[Configuration, list[str], InForce], InForce]
"""Makes of a configuration, and the problems found in it, what replaces what is in force.

Raises `ConfigurationInvalid`."""

Adopt = Callable[[InForce], None]
"""Goes by this from now on."""

HANGUP = {"signal": "SIGHUP"}
"""How the record names whoever sends the signal: the kernel does not say who that was."""

_STARTS = "The gateway starts: ask again once it serves."
_STOPS = "A process of the gateway stops and reads nothing again: reload once all serve."


class Others(Protocol):
    """Processes that serve by the same files: all of them go by others, or none does."""

    async def prepare(self, digest: bytes) -> Sequence[str]:
        """Have all read them, and see whether they come to this; what keeps one from it."""

    async def replace(self) -> None:
        """Have all go by what they have read; whoever cannot serves no more."""

    def abandon(self) -> None:
        """Have all go on as before."""


class Alone:
    """There is no other process."""

    async def prepare(self, digest: bytes) -> Sequence[str]:
        return ()

    async def replace(self) -> None:
        """Nobody has anything ready."""

    def abandon(self) -> None:
        """Nor here."""


class Reloading:
    """Replaces what is in force; one reload after the other. A part of the service.

    Whoever asks before the service serves, or once it stops, is refused. ``begun`` fires once it
    serves.
    ``adopters`` replace what each has, in one turn of the reactor; they do not fail. ``settle``
    sees to what is held by then.
    """

    _log = Logger()

    def __init__(
        self,
        in_force: InForce,
        make: Make,
        *,
        adopters: Sequence[Adopt],
        settle: Callable[[], Awaitable[None]],
        recorder: Recorder,
        reactor: Any,
        others: Others | None = None,
    ) -> None:
        self._others = others or Alone()
        self._in_force = in_force
        self._make = make
        self._adopters = adopters
        self._settle = settle
        self._recorder = recorder
        self._reactor = reactor
        self._turn = DeferredLock()
        self._closed: str | None = _STARTS
        self.begun: Deferred[None] = Deferred()

    async def start(self) -> None:
        """Let in who asks."""
        self._closed = None
        self.begun.callback(None)

    async def stop(self) -> None:
        """Let nobody in any more, and wait until the reload at hand is through."""
        self._closed = _STOPS
        await self._turn.acquire()
        self._turn.release()

    @property
    def _file(self) -> Path:
        return self._in_force.configuration.file

    async def reload(self, by: Mapping[str, object]) -> Reloaded:
        """Read everything again, and replace everything or nothing.

        What it has come to is on record and in the log when this returns.
        """
        await self._turn.acquire()
        try:
            done = await self._done(by)
        finally:
            self._turn.release()
        for problem in done.problems:
            self._log.error("Not reloaded: {problem}", problem=problem)
        for notice in done.notices:
            self._log.warn("{notice}", notice=notice)
        if done.replaced:
            self._log.info("Reloaded {file}: policy {policy}", file=done.file, policy=done.policy)
        return done

    async def _done(self, by: Mapping[str, object]) -> Reloaded:
        try:
            new = await self.read()
            await self._agreed(new)
            # As with everything that takes effect: first it is on record.
            await self._on_record(by, new, 0)
        except RecorderDown as down:
            self._others.abandon()
            return self._refused([f"{self._file}: it cannot be put on record: {down}"])
        except ConfigurationInvalid as invalid:
            refused = self._refused(invalid.problems)
        except MustStop as error:
            refused = self._refused([f"{self._file}: {error}"])
        except Exception as fault:  # noqa: BLE001 (whatever it is, what is in force stays so)
            self._log.critical("A reload has a fault: {how}", how=traced(fault))
            refused = self._refused([f"{self._file}: reading it failed; the log says how"])
        else:
            return await self._replaced(new)
        self._others.abandon()
        try:
            await self._on_record(by, None, len(refused.problems))
        except RecorderDown as down:
            self._log.error("A refused reload is not on record: {why}", why=f"{down}")
        return refused

    @property
    def digest(self) -> bytes:
        """Of what is in force."""
        return self._in_force.digest

    async def _agreed(self, new: InForce) -> None:
        """Raise `ConfigurationInvalid` unless all other processes have read the same."""
        problems = await self._others.prepare(new.digest)
        if problems:
            raise ConfigurationInvalid([*problems])

    async def read(self) -> InForce:
        """What the files come to now; nothing is replaced. Raises `ConfigurationInvalid`."""
        if self._closed is not None:
            raise ConfigurationInvalid([f"{self._file}: {self._closed}"])
        pool = self._reactor.getThreadPool()  # parsing takes a while: others go on meanwhile
        configuration, problems = await deferToThreadPool(self._reactor, pool, read_all, self._file)
        if configuration is None:
            raise ConfigurationInvalid(problems)
        try:
            new = self._make(configuration, problems, self._in_force)
        finally:
            plugins.settle(self._in_force.plugins)
        await in_thread(new.masking, self._reactor)
        return new

    async def _replaced(self, new: InForce) -> Reloaded:
        before = self._in_force
        others = Deferred.fromCoroutine(self._others.replace())
        await self.go_by(new)
        await others
        return Reloaded(f"{self._file}", before.version, new.version, (), tuple(new.notices))

    async def go_by(self, new: InForce) -> None:
        """Replace everything by this, and see to what is held by then."""
        self._in_force = new
        for adopt in self._adopters:
            adopt(new)
        plugins.settle(new.plugins)
        try:
            await self._settle()
        except Exception as fault:  # noqa: BLE001 (it is replaced all the same)
            self._log.error("What waits was not decided again: {how}", how=traced(fault))

    def _refused(self, problems: list[str]) -> Reloaded:
        version = self._in_force.version
        return Reloaded(f"{self._file}", version, version, tuple(problems))

    async def _on_record(
        self, by: Mapping[str, object], after: InForce | None, problems: int
    ) -> None:
        fields: dict[str, object] = {
            "by": dict(by),
            "file": f"{self._file}",
            "result": "refused" if after is None else "replaced",
            "before": self._in_force.version,
            "policy": None if after is None else after.version,
            "problems": problems,
        }
        if after is not None:
            fields["plugins"] = after.run_by
        await self._recorder.append(Entry("reload", self._reactor.seconds(), fields))


class OnHangup:
    """Reloads on SIGHUP, as long as the service runs. A part of it, the first.

    A signal that comes while the others start is seen to once ``begun`` has fired.
    """

    _log = Logger()

    def __init__(self, reload: Reload, begun: Deferred[None], reactor: Any) -> None:
        self._reload = reload
        self._begun = begun
        self._reactor = reactor
        self._before: Any = signal.SIG_DFL

    async def start(self) -> None:
        self._before = signal.signal(signal.SIGHUP, self._signalled)

    async def stop(self) -> None:
        if signal.getsignal(signal.SIGHUP) == self._signalled:  # else it is not heard any more
            signal.signal(signal.SIGHUP, self._before)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """Whatever the signal has interrupted comes to its end before anything else is done."""
        self._reactor.callFromThread(self._begun.addCallback, self._begin)

    def _begin(self, _: None) -> None:
        reloading = Deferred.fromCoroutine(self._reload(HANGUP))
        reloading.addErrback(lambda failure: self._log.failure("SIGHUP came to nothing", failure))
