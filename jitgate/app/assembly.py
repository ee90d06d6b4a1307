"""The whole: one service of parts that the configuration's ``services`` switches and orders."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IReactorCore, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger

from jitgate.admin.bounds import Refusals
from jitgate.admin.health import AdminSite
from jitgate.admin.phase import Phase, ServiceManager
from jitgate.app.admin_port import admin_of
from jitgate.app.channels import Channels
from jitgate.app.crew import About, Desk, Staff
from jitgate.app.ids import Ids
from jitgate.app.in_force import InForce, Lasting, made, shares
from jitgate.app.masking_sets import Prepared
from jitgate.app.provided import listeners_of
from jitgate.app.proxy_port import ports_of
from jitgate.app.recording import Recorded, recorded
from jitgate.app.reloading import Adopt, OnHangup, Reloading
from jitgate.app.storing import Storing, in_folder, shared
from jitgate.app.story import Ground, Story, story_of
from jitgate.app.taken_up import TakenUp
from jitgate.approvers.slack.groups import SlackGroups
from jitgate.config import Configuration
from jitgate.core.tally import Tally
from jitgate.errors import StateUnusable
from jitgate.flow.ledger import Ledger
from jitgate.flow.rates import Pace
from jitgate.flow.telling import Telling
from jitgate.identity.own_tokens import OwnTokens
from jitgate.interfaces import IApproverChannel
from jitgate.proxy.authority import CertificateAuthority, Signers, load_or_create
from jitgate.proxy.manifest import Trust
from jitgate.service import (
    Dismissed,
    Ended,
    GatewayService,
    Listener,
    Listening,
    Part,
    Served,
    Threaded,
    Together,
    Worker,
)
from jitgate.stores.evidence import RecordedEvidence
from jitgate.stores.state import StateFolder

_LOG = Logger()


def make_service(
    configuration: Configuration,
    reactor: IReactorCore,
    problems: Sequence[str] = (),
    *,
    hangup: bool = True,
) -> GatewayService:
    """The gateway that the configuration describes, ready to be started.

    ``problems`` are those that reading it has found already. Raises `ConfigurationInvalid` with
    them and every other that can be seen without serving, and `StateUnusable`. Nothing listens and
    nothing is recorded yet. ``hangup``: SIGHUP makes it read its files again.
    """
    return _Assembly(configuration, reactor, problems).service(hangup=hangup)


def check(configuration: Configuration, reactor: IReactorCore, problems: Sequence[str] = ()) -> str:
    """What the configuration makes, in a sentence; nothing is started and no state is touched.

    Raises `ConfigurationInvalid` with every problem that can be seen without serving.
    """
    checked = made(configuration, reactor, problems)
    rules, hosts = len(checked.decided["policy"].rules) - 1, ", ".join(checked.targets)
    said = [f"in order: {rules} rules for {hosts}", *checked.notices]
    return "\n".join(said)


class _Assembly:
    """One run of putting together, each step with what those before it have made.

    What is wrong is said before any state is made.
    """

    _kept: Recorded
    _storing: Storing
    _ground: Ground
    _story: Story
    _channels: Channels
    _refused: Refusals

    def __init__(
        self, configuration: Configuration, reactor: IReactorCore, problems: Sequence[str]
    ) -> None:
        self._configuration = configuration
        self._settings = configuration.settings
        self._reactor: Any = reactor
        self._problems = problems
        self._site_key = b""
        self._site = ""
        self._own = OwnTokens(lambda: self._site, cast(IReactorTime, reactor))
        self._tally = Tally()
        self._phase = Phase(ServiceManager(os.environ), cast(IReactorTime, reactor))
        self._staff = Staff(self._settings, reactor) if self._settings.workers > 1 else None
        self._slack_groups = SlackGroups()
        self._lasting = Lasting(
            site_key=lambda: self._site_key,
            noted=self._noted,
            once=lambda: self._storing.once,
            own=self._own,
            slack_groups=self._slack_groups,
            signs=self._signs,
        )
        self._adopters: list[Adopt] = []
        """Who goes by another configuration, in the order in which they take it up."""

    def _made(
        self, configuration: Configuration, problems: Sequence[str], before: InForce | None = None
    ) -> InForce:
        return made(configuration, self._reactor, problems, self._lasting, before)

    def _noted(self, kind: str, fields: Mapping[str, object]) -> None:
        self._kept.recorder.note(kind, fields)

    def _signs(self) -> str:
        return self._kept.public_key()

    def service(self, *, hangup: bool) -> GatewayService:
        first = self._made(self._configuration, self._problems)
        state = StateFolder(self._settings.state, shared=shares(self._settings, os.geteuid()))
        lock = state.lock()
        run = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
        self._kept = self._records(first, state, run)
        self._site_key = state.site_key()
        worker = Worker(self._reactor, "state")
        self._storing = self._stored(state, worker)
        authority = load_or_create(state.authority, time.time)
        opened: list[IApproverChannel] = []
        self._ground = self._ground_with(opened, lambda: authority.trust)
        self._story = story = story_of(first, self._ground)
        self._own.adopt(first.terms)
        self._adopters += [
            lambda new: self._own.adopt(new.terms),
            story.adopt,
            partial(_share, state),
            lambda _: authority.adopt(self._another_ca),
        ]
        reloading = self._reloading(first)
        self._refused = Refusals(partial(self._noted, "admin.refused"), self._reactor)
        self._channels = self._ways_to_people(first, opened, reloading, run)
        self._adopters.append(self._channels.adopt)
        self._equip(reloading, opened, run, lock)
        recording = self._recording(run, worker)
        ports = self._ports(first, authority)
        stop = self._settings.limits.bounds.stop
        listeners = listeners_of(first.bound, story.gateway, stop, self._reactor)
        parts, listening = self._ordered(recording, ports, listeners)
        every: list[Part] = [Prepared(first.masking, self._reactor), *parts, self._phase, reloading]
        if hangup:
            every.insert(0, OnHangup(reloading.reload, reloading.begun, self._reactor))
        return GatewayService(every, self._reactor, listening, first.notices)

    def _records(self, first: InForce, state: StateFolder, run: str) -> Recorded:
        """What records this run, which is called so."""
        recording = self._configuration.recording
        state.signs(recording.directory)
        keys = state.signing_keys(recording.key, recording.key_before)
        self._site = keys.site
        return recorded(
            first, run, keys=keys, state=state, tally=self._tally, reactor=self._reactor
        )

    def _stored(self, state: StateFolder, worker: Worker) -> Storing:
        """What keeps access requests and grants over restarts, with the thread it works in."""
        settings, reactor = self._settings.store, self._reactor
        if settings is not None:
            return shared(settings, self._site, self._site_key, worker, reactor)
        others = None if self._staff is None else self._staff.relay
        return in_folder(state.database, worker, reactor, others=others)

    def _ground_with(
        self, channels: Sequence[IApproverChannel], trust: Callable[[], Trust]
    ) -> Ground:
        recorder, storing = self._kept.recorder, self._storing
        return Ground(
            settings=self._settings,
            recorder=recorder,
            ledger=Ledger(storing.access, recorder, self._reactor, storing.gateway),
            storing=storing,
            channels=channels,
            own=self._own,
            trust=trust,
            pace=Pace(self._reactor),
            tally=self._tally,
            clock=self._reactor,
            new_id=Ids(),
            site_key=self._site_key,
        )

    def _another_ca(self, signers: Signers) -> None:
        """Put on record what signs what agents are shown, and what will."""
        told: dict[str, object] = {"signs": signers.first.sha256}
        if signers.following is not None:
            told |= {"next": signers.following.sha256, "switch_at": signers.switch_at}
        self._noted("ca", told)

    def _reloading(self, first: InForce) -> Reloading:
        return Reloading(
            first,
            self._made,
            adopters=self._adopters,
            settle=self._story.decider.reconsider,
            recorder=self._kept.recorder,
            reactor=self._reactor,
            others=None if self._staff is None else self._staff.crew,
        )

    def _ways_to_people(
        self, first: InForce, opened: list[IApproverChannel], reloading: Reloading, run: str
    ) -> Channels:
        return Channels(
            first,
            self._ground,
            self._story,
            self._kept,
            opened,
            reload=reloading.reload,
            slack_groups=self._slack_groups,
            refused=self._refused,
            run=run,
            reactor=self._reactor,
        )

    def _equip(
        self, reloading: Reloading, channels: Sequence[IApproverChannel], run: str, lock: int
    ) -> None:
        """Give workers, if there are any, what they need of this process."""
        if self._staff is not None:
            access, store = self._story.access, self._storing.access
            told = Telling(channels), self._slack_groups, self._reactor
            desk = Desk(self._kept.recorder, access, store, *told)
            about = About(self._configuration.file, self._site, run, lock)
            books, storing, own, story = self._kept.books, self._storing, self._own, self._story
            self._staff.equip(about, desk, story, reloading, books=books, storing=storing, own=own)

    def _recording(self, run: str, worker: Worker) -> list[Part]:
        """The parts that there are with the recorder, in the order in which they start."""
        story, slack = self._story, self._channels.slack
        taken_up = TakenUp(
            self._ground.ledger,
            story.access,
            story.decider,
            story.revocations,
            RecordedEvidence(self._configuration.recording.directory),
            run=run,
            in_thread=worker,
            following=story.following,
        )
        recording = [*self._kept.parts, Threaded(taken_up, worker), story.members]
        recording.append(Ended([story.knocked]))
        recording += [] if slack is None else [slack]
        return [*recording, self._channels.hooks]

    def _ports(self, first: InForce, authority: CertificateAuthority) -> Mapping[str, Listener]:
        """What agents come to, by name: this process's own ports, or those of its workers."""
        story, listen = self._story, self._settings.listen
        story.revocations.ends["calls"] = story.gateway.cut
        if self._staff is not None:
            return self._staff.doors
        return ports_of(
            first,
            story,
            authority,
            self._endpoint(listen.proxy),
            None if listen.reverse is None else self._endpoint(listen.reverse.address),
            adopters=self._adopters,
            recorder=self._kept.recorder,
            reactor=self._reactor,
        )

    def _ordered(
        self, recording: Sequence[Part], ports: Mapping[str, Listener], listeners: Sequence[Part]
    ) -> tuple[list[Part], Listening]:
        """The parts of all services in their order, and where they will listen."""
        listening = Listening(self._settings.state / "ca.pem")
        parts: list[Part] = []
        sources = Ended(self._story.sources)  # once nobody asks for a credential any more
        dismissed = Dismissed(self._story.access)  # before whoever waits for exchanges to end
        for name in self._settings.services:
            if name == "recorder":
                parts += recording
            elif name == "control":
                parts.append(self._channels.control)
            elif name == "admin":
                admin = self._admin()
                listening.add("admin", admin)
                parts.append(admin)
            else:
                for each, port in ports.items():
                    listening.add(each, port)
                crew = [] if self._staff is None else [self._staff.crew]
                served = Served(Together([*ports.values(), *crew]), self._story.ways)
                parts += [sources, served, *listeners, dismissed]
        if "proxy" not in self._settings.services and listeners:
            parts += [sources, *listeners, dismissed]
        return parts, listening

    def _admin(self) -> AdminSite:
        return admin_of(
            self._endpoint(self._settings.listen.admin),
            self._ground,
            self._story,
            self._kept,
            self._channels,
            staff=self._staff,
            phase=self._phase,
            refused=self._refused,
            reactor=self._reactor,
        )

    def _endpoint(self, address: tuple[str, int]) -> IStreamServerEndpoint:
        host, port = address
        kind = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
        return kind(self._reactor, port, backlog=1024, interface=host)


def _share(state: StateFolder, new: InForce) -> None:
    """Let those through to the control socket who have a power there now."""
    try:
        state.share(shares(new.configuration.settings, os.geteuid()))
    except StateUnusable as error:  # it could be done at the start, so the folder is no more
        _LOG.error("{why}", why=f"{error}")
