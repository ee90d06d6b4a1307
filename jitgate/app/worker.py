"""A worker of a gateway of several processes: it carries exchanges, and nothing else.

It is made of the same parts as a gateway of one process. What there is one of, the control process
has: people are asked through it, and it signs for what is written here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger

from jitgate.app.crew import Facts
from jitgate.app.ids import Ids
from jitgate.app.in_force import InForce, Lasting, made
from jitgate.app.masking_sets import Prepared
from jitgate.app.measuring import load_of
from jitgate.app.proxy_port import ports_of
from jitgate.app.recording import RecordedApart, recorded_apart
from jitgate.app.reloading import Adopt, Reloading
from jitgate.app.storing import Storing, in_folder, shared
from jitgate.app.story import Ground, Story, story_of
from jitgate.approvers.slack.groups import SlackGroups
from jitgate.config import Configuration
from jitgate.core.tally import Tally
from jitgate.errors import ConfigurationInvalid, MustStop, StateUnusable, traced
from jitgate.flow.following import Following
from jitgate.flow.ledger import Ledger
from jitgate.flow.rates import Pace
from jitgate.identity.own_tokens import OwnTokens
from jitgate.proxy.authority import CertificateAuthority, load_or_create
from jitgate.proxy.manifest import Trust
from jitgate.proxy.port import AgentPort
from jitgate.service import (
    Dismissed,
    Ended,
    GatewayService,
    Listening,
    Part,
    Served,
    Threaded,
    Together,
    Worker,
)
from jitgate.stores.state import StateFolder
from jitgate.workers.bond import Announced, Bond, Joined, WireChannel, WireGroups, Witness
from jitgate.workers.share import Counters, Share, SharedEndpoint
from jitgate.workers.wire import COUNTERS, LISTENING, REVERSE, REVERSE_COUNTERS, WIRE


def make_worker(
    configuration: Configuration,
    reactor: IReactorCore,
    problems: Sequence[str],
    facts: Facts,
) -> GatewayService:
    """The worker that the control process has started with these facts, ready to be started.

    Raises `ConfigurationInvalid`, `StateUnusable`.
    """
    return _Assembly(configuration, reactor, problems, facts).service()


class _Assembly:
    """One run of putting together."""

    def __init__(
        self,
        configuration: Configuration,
        reactor: IReactorCore,
        problems: Sequence[str],
        facts: Facts,
    ) -> None:
        self._settings = configuration.settings
        self._reactor: Any = reactor
        clock: Any = reactor
        self._facts = facts
        self._bond = Bond(reactor, self._cut_off)
        self._own = OwnTokens(lambda: facts.site, clock, seed=b"", born=facts.born)
        groups = SlackGroups()
        groups.asked = WireGroups(self._bond)
        self._lasting = Lasting(
            site_key=lambda: self._site_key,
            noted=self._noted,
            once=lambda: self._storing.once,
            own=self._own,
            slack_groups=groups,
        )
        self._pace = Pace(clock)
        self._tally = Tally()
        self._state = StateFolder(self._settings.state, shared=None)
        self._site_key = self._state.site_key()
        self._worker = Worker(clock, "state")
        self._storing = self._stored()
        self._first = self._made(configuration, problems)
        self._recorded = self._records()

    def _made(
        self, configuration: Configuration, problems: Sequence[str], before: InForce | None = None
    ) -> InForce:
        return made(configuration, self._reactor, problems, self._lasting, before)

    def _noted(self, kind: str, fields: Mapping[str, object]) -> None:
        self._recorded.recorder.note(kind, fields)

    def _cut_off(self) -> None:
        """Nobody signs for anything any more, so that nothing passes; and nobody starts another."""
        with suppress(ReactorNotRunning):  # it is stopping already
            self._reactor.stop()

    def _stored(self) -> Storing:
        settings, facts, reactor = self._settings.store, self._facts, self._reactor
        if settings is not None:
            return shared(settings, facts.gateway, self._site_key, self._worker, reactor)
        return in_folder(
            self._state.database,
            self._worker,
            reactor,
            gateway=facts.gateway,
            others=self._bond,
        )

    def _records(self) -> RecordedApart:
        self._witness = Witness(
            self._bond,
            lambda: self._recorded.in_thread(self._recorded.files.head),
            self._told,
            self._tally.news,
            self._reactor,
        )
        return recorded_apart(
            self._first,
            self._facts.log,
            site=self._facts.site,
            witness=self._witness,
            tally=self._tally,
            reactor=self._reactor,
        )

    def service(self) -> GatewayService:
        recorder = self._recorded.recorder
        self._bond.connect(WIRE)
        ledger = Ledger(self._storing.access, recorder, self._reactor, self._facts.gateway)
        authority = load_or_create(self._state.authority, time.time)
        self._story = story = story_of(self._first, self._ground(ledger, lambda: authority.trust))
        self._own.adopt(self._first.terms)
        adopters: list[Adopt] = [lambda new: self._own.adopt(new.terms), story.adopt]
        adopters.append(lambda _: authority.adopt())
        story.revocations.ends["calls"] = story.gateway.cut
        ports = self._ports(authority, adopters)
        reloading = Reloading(
            self._first,
            self._made,
            adopters=adopters,
            settle=story.decider.reconsider,
            recorder=recorder,
            reactor=self._reactor,
        )
        self._bond.heeding = Obedience(story, reloading)
        return self._serving(ledger, ports, reloading)

    def _ports(
        self, authority: CertificateAuthority, adopters: list[Adopt]
    ) -> Mapping[str, AgentPort]:
        """What it has of the ports that all workers accept from."""
        facts, reverse = self._facts, None
        if facts.reverse is not None:
            reverse = self._endpoint(REVERSE, REVERSE_COUNTERS, facts.reverse)
        return ports_of(
            self._first,
            self._story,
            authority,
            self._endpoint(LISTENING, COUNTERS, facts.family),
            reverse,
            adopters=adopters,
            recorder=self._recorded.recorder,
            reactor=self._reactor,
        )

    def _serving(
        self, ledger: Ledger, ports: Mapping[str, AgentPort], reloading: Reloading
    ) -> GatewayService:
        """All parts in the order in which they start."""
        story = self._story
        assert story.following is not None  # noqa: S101 (there is news of the others)
        listening = Listening(self._settings.state / "ca.pem")
        for name, port in ports.items():
            listening.add(name, port)
        parts: list[Part] = [
            Prepared(self._first.masking, self._reactor),
            Joined(self._bond, lambda: reloading.digest, self._seeded, self._last),
            self._recorded.part,
            self._witness,
            Threaded(TakenOver(ledger, story, story.following, self._facts), self._worker),
            story.members,
            Ended([story.knocked]),
            Ended(story.sources),
            Served(Together(list(ports.values())), story.ways),
            Dismissed(story.access),
            reloading,
            Announced(self._bond),
        ]
        says = f"Worker {self._facts.slot + 1} accepts connections: {{where}}"
        return GatewayService(parts, self._reactor, listening, says=says)

    def _ground(self, ledger: Ledger, trust: Callable[[], Trust]) -> Ground:
        return Ground(
            settings=self._settings,
            recorder=self._recorded.recorder,
            ledger=ledger,
            storing=self._storing,
            channels=[WireChannel(self._bond, self._reactor)],
            own=self._own,
            trust=trust,
            pace=self._pace,
            tally=self._tally,
            clock=self._reactor,
            new_id=Ids(),
            site_key=self._site_key,
            workers=self._facts.workers,
        )

    def _endpoint(self, listening: int, counters: int, family: int) -> SharedEndpoint:
        """Where all workers accept, each its share."""
        share = Share(Counters(counters, self._facts.workers), self._facts.slot)
        return SharedEndpoint(listening, family, share, self._reactor)

    def _seeded(self, seed: bytes) -> None:
        self._own.seed = seed

    def _last(self) -> tuple[int, str]:
        return self._recorded.files.last

    def _told(self) -> Mapping[str, object]:
        """What the health page shows of it."""
        down = self._storing.down
        return {
            "recorder": self._recorded.recorder.down,
            "store": None if down is None else down(),
            "off": list(self._story.decider.switched_off()),
            "slowed": dict(self._pace.slowed()),
            "load": load_of(self._story, self._recorded.recorder),
        }


class TakenOver:
    """The part that keeps access requests and grants: the control process has vouched for them."""

    def __init__(self, ledger: Ledger, story: Story, following: Following, facts: Facts) -> None:
        self._store = ledger.store
        self._story = story
        self._following = following
        self._facts = facts

    async def start(self) -> None:
        """Raises `StateUnusable` where the store is not what was vouched for."""
        mark = await self._store.open()
        older = mark.revision < self._facts.revision
        if mark.moved or mark.doubted or older or mark.run not in {None, self._facts.run}:
            raise StateUnusable("The state is not the one that the gateway was started with.")
        await self._following.start()
        await self._story.revocations.recover()
        await self._following.everything()

    async def stop(self) -> None:
        self._story.access.stop()
        await self._following.stop()
        await self._store.close()


class Obedience:
    """Does what the control process says."""

    _log = Logger()

    def __init__(self, story: Story, reloading: Reloading) -> None:
        self._story = story
        self._reloading = reloading
        self._ready: InForce | None = None

    async def prepare(self, digest: bytes) -> Sequence[str]:
        """Have ready what the files come to; what is wrong with that."""
        self._ready = None
        try:
            new = await self._reloading.read()
        except ConfigurationInvalid as invalid:
            return invalid.problems
        except MustStop as error:
            return [f"{error}"]
        except Exception as fault:  # noqa: BLE001 (whatever it is, what is in force stays so)
            self._log.critical("A reload has a fault: {how}", how=traced(fault))
            return ["Reading it failed in a worker; the log says how."]
        if new.digest != digest:
            return ["Files changed while they were read: reload again."]
        self._ready = new
        return ()

    async def replace(self) -> None:
        """Go by it from now on."""
        new, self._ready = self._ready, None
        if new is None:
            raise StateUnusable("Nothing is ready.")
        settled = Deferred.fromCoroutine(self._reloading.go_by(new))
        settled.addErrback(lambda failure: self._log.failure("A reload has a fault", failure))

    def abandon(self) -> None:
        """Go on as before."""
        self._ready = None

    def cut(self, grant: str) -> None:
        """End what goes on under a grant."""
        self._story.grants.cut(grant)

    def disbelieve(self, name: str, at: float, why: str) -> Mapping[str, int]:
        """Believe a subject no more; what has ended of it."""
        return self._story.revocations.believe_no_more(name, at, why)
