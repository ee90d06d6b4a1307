"""The whole: one service of parts that the configuration's ``services`` switches and orders."""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IReactorCore, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger

from jitgate.admin.bounds import Note, Refusals
from jitgate.admin.health import AdminSite, unready
from jitgate.admin.metrics import Metrics
from jitgate.admin.phase import Phase, ServiceManager
from jitgate.app.crew import About, Desk, Staff
from jitgate.app.ids import Ids
from jitgate.app.in_force import InForce, made, shares
from jitgate.app.masking_sets import Prepared
from jitgate.app.measuring import Measures, load_of
from jitgate.app.provided import CONTROL, listeners_of, open_ways
from jitgate.app.proxy_port import proxy_of, reverse_of
from jitgate.app.recording import Recorded, recorded
from jitgate.app.reloading import Adopt, OnHangup, Reloading
from jitgate.app.slack_settings import SLACK, slack_way
from jitgate.app.storing import Storing, in_folder, shared
from jitgate.app.story import Ground, Story, story_of
from jitgate.approvers.commands import Doers, Reload
from jitgate.approvers.control import ControlSocket
from jitgate.approvers.slack.groups import SlackGroups
from jitgate.approvers.webhook.hooks import Webhooks
from jitgate.approvers.webhook.resource import SEGMENT
from jitgate.config import Configuration
from jitgate.core.tally import Tally
from jitgate.credentials.dpop import Nonces
from jitgate.credentials.revoking import Noted
from jitgate.errors import StateUnusable
from jitgate.flow.ledger import Ledger
from jitgate.flow.rates import Pace
from jitgate.flow.recorder import Recorder
from jitgate.flow.telling import Telling
from jitgate.identity.own_tokens import OwnTokens
from jitgate.interfaces import IApproverChannel
from jitgate.proxy.authority import CertificateAuthority, Signers, load_or_create
from jitgate.proxy.manifest import Trust
from jitgate.proxy.port import ends_in
from jitgate.service import (
    Dismissed,
    Ended,
    GatewayService,
    Listener,
    Listening,
    Part,
    Served,
    TakenUp,
    Threaded,
    Together,
    Worker,
)
from jitgate.stores.evidence import RecordedEvidence
from jitgate.stores.state import StateFolder

if TYPE_CHECKING:
    from jitgate.app.slack import SlackWay

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
    """One run of putting together. What is wrong is said before any state is made."""

    _kept: Recorded
    _note: Noted
    _storing: Storing

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
        self._new_id = Ids()
        self._pace = Pace(cast(IReactorTime, reactor))
        self._tally = Tally()
        self._measures = Measures(self._tally)
        self._phase = Phase(ServiceManager(os.environ), cast(IReactorTime, reactor))
        self._staff = Staff(self._settings, reactor) if self._settings.workers > 1 else None
        self._others = None if self._staff is None else self._staff.relay
        self._slack_groups = SlackGroups()
        self._nonces = Nonces()
        """What APIs want to see in a proof: that stays so when the configuration is read again."""

    def _made(
        self, configuration: Configuration, problems: Sequence[str], before: InForce | None = None
    ) -> InForce:
        # What the state holds is there once anything is served.
        return made(
            configuration,
            self._reactor,
            problems,
            site_key=lambda: self._site_key,
            noted=self._noted,
            nonces=self._nonces,
            once=lambda: self._storing.once,
            own=self._own,
            slack_groups=self._slack_groups,
            signs=self._signs,
            before=before,
        )

    def _signs(self) -> str:
        return self._kept.public_key()

    def _noted(self, kind: str, fields: Mapping[str, object]) -> None:
        self._note(kind, fields)

    def service(self, *, hangup: bool) -> GatewayService:
        first = self._made(self._configuration, self._problems)
        state = StateFolder(self._settings.state, shared=shares(self._settings, os.geteuid()))
        lock = state.lock()
        writer = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
        state.signs(self._configuration.recording.directory)
        signed = self._configuration.recording
        keys = state.signing_keys(signed.key, signed.key_before)
        self._site = keys.site
        self._kept = recorded(
            first, writer, keys=keys, state=state, tally=self._tally, reactor=self._reactor
        )
        recorder = self._kept.recorder
        self._note = recorder.note
        channels: list[IApproverChannel] = []
        self._site_key = state.site_key()
        ledger, worker = self._ledger(state, recorder)
        authority = load_or_create(state.authority, time.time)
        story = story_of(first, self._ground(recorder, ledger, channels, lambda: authority.trust))
        self._own.adopt(first.terms)
        adopters: list[Adopt] = [
            lambda new: self._own.adopt(new.terms),
            story.adopt,
            partial(_share, state),
            lambda _: authority.adopt(self._another_ca),
        ]
        reloading = self._reloading(first, story, adopters, recorder)
        socket = self._control(first, story, recorder, reloading.reload)
        adopters.append(lambda new: socket.adopt(new.powers))
        hooks = self._webhooks(story, recorder)
        refused = Refusals(partial(recorder.note, "admin.refused"), self._reactor)
        slack = self._slack(first, story, recorder, refused, writer)
        own: dict[str, IApproverChannel] = {}
        if "control" in self._settings.services:
            own[CONTROL] = socket
        if slack is not None:
            own[SLACK] = slack.channel
            adopters.append(lambda new: slack.adopt(new.configuration.settings.slack))
        opened = partial(_opened, channels, own, hooks)
        opened(first)
        adopters.append(opened)
        self._equip(story, reloading, channels, writer, lock)
        evidence = RecordedEvidence(self._configuration.recording.directory)
        taken_up = TakenUp(
            ledger,
            story.access,
            story.decider,
            story.revocations,
            evidence,
            run=writer,
            in_thread=worker,
            following=story.following,
        )
        recording = [*self._kept.parts, Threaded(taken_up, worker), story.members]
        recording.append(Ended([story.knocked]))
        recording += [] if slack is None else [slack]
        ports = self._ports(first, story, authority, adopters, recorder)
        stop = self._settings.limits.bounds.stop
        listeners = listeners_of(first.bound, story.gateway, stop, self._reactor)
        parts, listening = self._ordered(
            story,
            recorder,
            recording,
            socket=socket,
            hooks=hooks,
            ports=ports,
            listeners=listeners,
            slack=slack,
            refused=refused,
        )
        every: list[Part] = [Prepared(first.masking, self._reactor), *parts, self._phase, reloading]
        if hangup:
            every.insert(0, OnHangup(reloading.reload, reloading.begun, self._reactor))
        return GatewayService(every, self._reactor, listening, first.notices)

    def _ground(
        self,
        recorder: Recorder,
        ledger: Ledger,
        channels: Sequence[IApproverChannel],
        trust: Callable[[], Trust],
    ) -> Ground:
        return Ground(
            settings=self._settings,
            recorder=recorder,
            ledger=ledger,
            storing=self._storing,
            channels=channels,
            own=self._own,
            trust=trust,
            pace=self._pace,
            tally=self._tally,
            clock=self._reactor,
            new_id=self._new_id,
            site_key=self._site_key,
        )

    def _another_ca(self, signers: Signers) -> None:
        """Put on record what signs what agents are shown, and what will."""
        told: dict[str, object] = {"signs": signers.first.sha256}
        if signers.following is not None:
            told |= {"next": signers.following.sha256, "switch_at": signers.switch_at}
        self._note("ca", told)

    def _ledger(self, state: StateFolder, recorder: Recorder) -> tuple[Ledger, Worker]:
        """What keeps access requests and grants over restarts, and the thread that it works in."""
        worker = Worker(self._reactor, "state")
        settings, reactor = self._settings.store, self._reactor
        if settings is None:
            storing = in_folder(state.database, worker, reactor, others=self._others)
        else:
            storing = shared(settings, self._site, self._site_key, worker, reactor)
        self._storing = storing
        return Ledger(storing.access, recorder, reactor, storing.gateway), worker

    def _reloading(
        self, first: InForce, story: Story, adopters: Sequence[Adopt], recorder: Recorder
    ) -> Reloading:
        return Reloading(
            first,
            self._made,
            adopters=adopters,
            settle=story.decider.reconsider,
            recorder=recorder,
            reactor=self._reactor,
            others=None if self._staff is None else self._staff.crew,
        )

    def _control(
        self, in_force: InForce, story: Story, recorder: Recorder, reload: Reload
    ) -> ControlSocket:
        return ControlSocket(
            self._configuration.control_socket,
            story.access,
            in_force.powers,
            Doers(
                reload,
                story.revocations.revoke_subject,
                self._kept.retain,
                self._kept.copies,
                self._kept.rotate,
            ),
            recorder=recorder,
            clock=self._reactor,
            reactor=self._reactor,
        )

    def _slack(
        self, first: InForce, story: Story, recorder: Recorder, refused: Note, run: str
    ) -> SlackWay | None:
        return slack_way(
            self._settings,
            first.slack,
            groups=self._slack_groups,
            access=story.access,
            storing=self._storing,
            recorder=recorder,
            refused=refused,
            reactor=self._reactor,
            run=run,
        )

    def _webhooks(self, story: Story, recorder: Recorder) -> Webhooks:
        return Webhooks(
            story.access,
            store=self._storing.access,
            posts=self._storing.posts,
            once=self._storing.once,
            recorder=recorder,
            clock=self._reactor,
            jitter=random.random,
        )

    def _equip(
        self,
        story: Story,
        reloading: Reloading,
        channels: Sequence[IApproverChannel],
        run: str,
        lock: int,
    ) -> None:
        """Give workers, if there are any, what they need of this process."""
        if self._staff is not None:
            access, store = story.access, self._storing.access
            told = Telling(channels), self._slack_groups, self._reactor
            desk = Desk(self._kept.recorder, access, store, *told)
            about = About(self._configuration.file, self._site, run, lock)
            books, storing, own = self._kept.books, self._storing, self._own
            self._staff.equip(about, desk, story, reloading, books=books, storing=storing, own=own)

    def _ports(
        self,
        first: InForce,
        story: Story,
        authority: CertificateAuthority,
        adopters: list[Adopt],
        recorder: Recorder,
    ) -> Mapping[str, Listener]:
        """What agents come to, by name: this process's own ports, or those of its workers."""
        story.revocations.ends["calls"] = story.gateway.cut
        if self._staff is not None:
            return self._staff.doors
        proxy = proxy_of(
            first,
            story,
            authority,
            self._endpoint(self._settings.listen.proxy),
            adopters=adopters,
            recorder=recorder,
            reactor=self._reactor,
        )
        if self._settings.listen.reverse is None:
            return {"proxy": proxy}
        reverse = reverse_of(
            first,
            story,
            self._endpoint(self._settings.listen.reverse.address),
            adopters=adopters,
            recorder=recorder,
            reactor=self._reactor,
        )
        story.revocations.ends["tunnels"] = ends_in([proxy, reverse])
        return {"proxy": proxy, "reverse": reverse}

    def _ordered(
        self,
        story: Story,
        recorder: Recorder,
        recording: Sequence[Part],
        *,
        socket: ControlSocket,
        hooks: Webhooks,
        ports: Mapping[str, Listener],
        listeners: Sequence[Part],
        slack: SlackWay | None,
        refused: Note,
    ) -> tuple[list[Part], Listening]:
        listening = Listening(self._settings.state / "ca.pem")
        parts: list[Part] = []
        sources = Ended(story.sources)  # once nobody asks for a credential any more
        dismissed = Dismissed(story.access)  # before whoever waits for exchanges to end
        for name in self._settings.services:
            if name == "recorder":
                parts += [*recording, hooks]
            elif name == "control":
                parts.append(socket)
            elif name == "admin":
                endpoint = self._endpoint(self._settings.listen.admin)
                off: Callable[[], Sequence[str]] = story.decider.switched_off
                slowed = self._pace.slowed
                if self._staff is not None:
                    off, slowed = self._staff.switched_off(off), self._staff.slowed(slowed)
                own = {"recorder": lambda: recorder.down, "webhooks": hooks.down}
                down = {**own, **self._storing.states, **({} if slack is None else slack.down)}
                down |= self._kept.states
                if self._staff is not None:
                    down |= self._staff.states
                callbacks = {SEGMENT: hooks.site, **({} if slack is None else slack.callbacks)}
                self._measure(story, hooks, slack, down=down, off=off, slowed=slowed)
                measures = self._measures
                admin = AdminSite(
                    endpoint,
                    down,
                    refused,
                    off,
                    slowed=slowed,
                    phase=self._phase.why,
                    metrics=Metrics(measures.counts, measures.readings, self._reactor),
                    callbacks=callbacks,
                )
                listening.add("admin", admin)
                parts.append(admin)
            else:
                for each, port in ports.items():
                    listening.add(each, port)
                crew = [] if self._staff is None else [self._staff.crew]
                served = Served(Together([*ports.values(), *crew]), story.ways)
                parts += [sources, served, *listeners, dismissed]
        if "proxy" not in self._settings.services and listeners:
            parts += [sources, *listeners, dismissed]
        return parts, listening

    def _measure(
        self,
        story: Story,
        hooks: Webhooks,
        slack: SlackWay | None,
        *,
        down: Mapping[str, Callable[[], str | None]],
        off: Callable[[], Sequence[str]],
        slowed: Callable[[], Mapping[str, float]],
    ) -> None:
        """Say what a scrape is told."""
        measures, recorder = self._measures, self._kept.recorder
        measures.load = partial(load_of, story, recorder)
        measures.others = None if self._staff is None else self._staff.crew
        measures.parts, measures.switched_off, measures.slowed = down, off, slowed
        measures.ready = lambda: not unready(self._phase.why, down)
        measures.policy = story.decider.version
        measures.pending = lambda: len(story.access.pending)
        measures.archive, measures.late = self._kept.archive, self._kept.late
        shown = {} if slack is None else {SLACK: slack.channel}
        measures.outboxes = lambda: {
            **hooks.waiting(),
            **{name: each.waiting for name, each in shown.items()},
        }

    # --- small things

    def _endpoint(self, address: tuple[str, int]) -> IStreamServerEndpoint:
        host, port = address
        kind = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
        return kind(self._reactor, port, backlog=1024, interface=host)


def _opened(
    channels: list[IApproverChannel],
    own: Mapping[str, IApproverChannel],
    hooks: Webhooks,
    new: InForce,
) -> None:
    """Ask people in these ways from now on."""
    hooks.adopt(new.hooks)
    open_ways(channels, {**own, **hooks.channels}, new.channels)


def _share(state: StateFolder, new: InForce) -> None:
    """Let those through to the control socket who have a power there now."""
    try:
        state.share(shares(new.configuration.settings, os.geteuid()))
    except StateUnusable as error:  # it could be done at the start, so the folder is no more
        _LOG.error("{why}", why=f"{error}")
