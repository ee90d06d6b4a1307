"""The whole: one service of parts that the configuration's ``services`` switches and orders."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, cast
from weakref import WeakSet

from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IReactorCore, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger

from jitgate.admin.health import AdminSite
from jitgate.app.in_force import InForce, made, shares
from jitgate.app.provided import listeners_of, open_ways
from jitgate.app.reloading import Adopt, OnHangup, Reloading
from jitgate.app.storing import Storing, in_folder, shared
from jitgate.approvers.commands import Reload
from jitgate.approvers.control import ControlSocket
from jitgate.config import Configuration
from jitgate.credentials.dpop import Nonces
from jitgate.credentials.kept import Kept
from jitgate.credentials.none import NoCredential
from jitgate.credentials.revoking import Noted
from jitgate.errors import StateUnusable
from jitgate.flow.access import Access
from jitgate.flow.account import Accounts
from jitgate.flow.admission import Target
from jitgate.flow.bodies import HeldBodies
from jitgate.flow.budgets import Budgets
from jitgate.flow.deciding import Decider
from jitgate.flow.following import Following
from jitgate.flow.gateway import Gateway
from jitgate.flow.grants import Grants
from jitgate.flow.ledger import Ledger
from jitgate.flow.load import Load
from jitgate.flow.rates import Pace
from jitgate.flow.recorder import Recorder
from jitgate.flow.revoking import Revocations
from jitgate.flow.sending import Sender
from jitgate.flow.tokens import TokenExchange
from jitgate.identity.own_tokens import OwnTokens
from jitgate.interfaces import IApproverChannel, ILastingSource, IRecordStore
from jitgate.proxy.authority import CertificateAuthority, load_or_create
from jitgate.proxy.certificate import PortTls
from jitgate.proxy.internal import AUTHORITY, internal_target
from jitgate.proxy.listener import HttpProxyListener
from jitgate.proxy.pages import Pages
from jitgate.service import (
    Dismissed,
    Ended,
    GatewayService,
    Listening,
    Part,
    Served,
    TakenUp,
    Threaded,
    Worker,
)
from jitgate.stores.both import BothStores
from jitgate.stores.evidence import RecordedEvidence
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.state import StateFolder
from jitgate.upstreams.https import HttpsUpstream

_LOADED = version("jitgate")
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


@dataclass(frozen=True, slots=True)
class _Story:
    """The flow, put together, and all else that goes by what is in force."""

    gateway: Gateway
    access: Access
    bodies: HeldBodies
    decider: Decider
    pages: Pages
    tokens: TokenExchange
    revocations: Revocations
    ways: WeakSet[HttpsUpstream]
    """The connections to the targets; those of before too, while something goes on there."""
    sources: WeakSet[ILastingSource]
    """The sources of their credentials, as long, and those that have something to end: whatever
    they still wait for holds them."""
    following: Following | None

    def adopt(self, new: InForce) -> None:
        """Go by this from now on, all at once. `Decider.reconsider` what is held then."""
        approvals = new.configuration.settings.approvals
        self.decider.adopt(**new.decided)
        self.access.adopt(new.people, new.active, new.patience, new.limits)
        self.bodies.adopt(approvals.review_body, approvals.review_bodies)
        self.pages.adopt(new.targets, new.patience)
        self.tokens.adopt(new.targets, new.identity)
        self.gateway.adopt(_with_own(new.targets, self.pages), new.identity)
        for way in list(self.ways):
            way.retire()
        for source in list(self.sources):
            source.retire()
        self.ways.update(new.ways)
        self.sources.update(new.sources)


def _with_own(targets: Mapping[str, Target], pages: Pages) -> Mapping[str, Target]:
    """The targets, and the gateway's own pages."""
    return {**targets, AUTHORITY: internal_target(pages, Kept(NoCredential()))}


class _Assembly:
    """One run of putting together. What is wrong is said before any state is made."""

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
        self._new_id = _Ids()
        self._pace = Pace(cast(IReactorTime, reactor))
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
            before=before,
        )

    def _noted(self, kind: str, fields: Mapping[str, object]) -> None:
        self._note(kind, fields)

    def service(self, *, hangup: bool) -> GatewayService:
        first = self._made(self._configuration, self._problems)
        state = StateFolder(self._settings.state, shared=shares(self._settings, os.geteuid()))
        state.lock()
        writer = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
        recorder, keeping = self._recorder(state, writer, first)
        self._note = recorder.note
        channels: list[IApproverChannel] = []
        self._site_key = state.site_key()
        ledger, worker = self._ledger(state, recorder)
        authority = load_or_create(state.authority, time.time)
        story = self._story(first, recorder, ledger, channels, authority.certificate)
        self._own.adopt(first.terms)
        adopters: list[Adopt] = [
            lambda new: self._own.adopt(new.terms),
            story.adopt,
            partial(_share, state),
        ]
        reloading = self._reloading(first, story, adopters, recorder)
        socket = self._control(first, story, recorder, reloading.reload)
        adopters.append(lambda new: socket.adopt(new.powers))
        ways = partial(
            open_ways, channels, socket if "control" in self._settings.services else None
        )
        ways(first.channels)
        adopters.append(lambda new: ways(new.channels))
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
        recording = [keeping, Threaded(taken_up, worker)]
        proxy = self._proxy(first, story, authority, adopters, recorder)
        story.revocations.ends |= {"calls": story.gateway.cut, "tunnels": proxy.end_of}
        stop = self._settings.limits.bounds.stop
        listeners = listeners_of(first.bound, story.gateway, stop, self._reactor)
        parts, listening = self._ordered(
            story, recorder, recording, socket=socket, proxy=proxy, listeners=listeners
        )
        every = [*parts, reloading]
        if hangup:
            every.insert(0, OnHangup(reloading.reload, reloading.begun, self._reactor))
        return GatewayService(every, self._reactor, listening, first.notices)

    def _story(
        self,
        in_force: InForce,
        recorder: Recorder,
        ledger: Ledger,
        channels: Sequence[IApproverChannel],
        ca: bytes,
    ) -> _Story:
        """The flow: everything between an agent and a target."""
        clock, site_key = self._reactor, self._site_key
        approvals = self._settings.approvals
        grants = Grants(ledger, clock)
        access = Access(
            ledger,
            grants,
            channels=channels,
            people=in_force.people,
            active=in_force.active,
            counts=self._storing.budgets,
            patience=in_force.patience,
            limits=in_force.limits,
            clock=clock,
            new_id=self._new_id,
        )
        accounts = Accounts(
            recorder, clock=clock, new_id=partial(self._new_id, "x"), site_key=site_key
        )
        bodies = HeldBodies(approvals.review_body, approvals.review_bodies)
        budgets = Budgets(self._storing.budgets, clock)
        decider = Decider(
            **in_force.decided,
            access=access,
            bodies=bodies,
            accounts=accounts,
            budgets=budgets,
            clock=clock,
            site_key=site_key,
        )
        revocations = Revocations(self._storing.once, access, recorder, clock)
        news = self._storing.news
        following = None if news is None else Following(news, access, grants, revocations, clock)
        tokens = TokenExchange(
            targets=in_force.targets,
            identity=in_force.identity,
            decide=decider.ahead,
            scope_print=decider.scope_print,
            access=access,
            budgets=budgets,
            source=self._own,
            revocations=revocations,
            clock=clock,
            new_id=self._new_id,
        )
        pages = Pages(
            access,
            grants,
            targets=in_force.targets,
            decide=decider.foreseen,
            ca=ca,
            patience=in_force.patience,
            tokens=tokens,
            clock=clock,
        )
        gateway = Gateway(
            targets=_with_own(in_force.targets, pages),
            identity=in_force.identity,
            decider=decider,
            sender=Sender(grants, decider, accounts, revocations, clock, pace=self._pace),
            accounts=accounts,
            bodies=bodies,
            load=Load(clock, self._settings.limits.bounds),
            revocations=revocations,
            recorder=recorder,
            clock=clock,
            new_id=partial(self._new_id, "x"),
        )
        every = WeakSet(in_force.ways), WeakSet(in_force.sources)
        return _Story(
            gateway, access, bodies, decider, pages, tokens, revocations, *every, following
        )

    def _ledger(self, state: StateFolder, recorder: Recorder) -> tuple[Ledger, Worker]:
        """What keeps access requests and grants over restarts, and the thread that it works in."""
        worker = Worker(self._reactor, "state")
        settings, reactor = self._settings.store, self._reactor
        if settings is None:
            storing = in_folder(state.database, worker, reactor)
        else:
            storing = shared(settings, self._site, self._site_key, worker, reactor)
        self._storing = storing
        return Ledger(storing.access, recorder, reactor, storing.gateway), worker

    def _reloading(
        self, first: InForce, story: _Story, adopters: Sequence[Adopt], recorder: Recorder
    ) -> Reloading:
        return Reloading(
            first,
            self._made,
            adopters=adopters,
            settle=story.decider.reconsider,
            recorder=recorder,
            reactor=self._reactor,
        )

    def _control(
        self, in_force: InForce, story: _Story, recorder: Recorder, reload: Reload
    ) -> ControlSocket:
        return ControlSocket(
            self._configuration.control_socket,
            story.access,
            in_force.powers,
            recorder=recorder,
            clock=self._reactor,
            reactor=self._reactor,
            reload=reload,
            revoke=story.revocations.revoke_subject,
        )

    def _proxy(
        self,
        in_force: InForce,
        story: _Story,
        authority: CertificateAuthority,
        adopters: list[Adopt],
        recorder: Recorder,
    ) -> HttpProxyListener:
        tls, certificate = None, in_force.certificate
        if certificate is not None:
            port = PortTls(certificate)
            adopters.append(lambda new: port.adopt(new.certificate))
            tls = port.connection
        endpoint, plain = self._endpoint(self._settings.listen.proxy), story.pages.plain
        return HttpProxyListener(
            story.gateway,
            authority,
            endpoint,
            self._reactor,
            plain,
            limits=self._settings.limits.bounds,
            note=partial(recorder.note, "connections.dropped"),
            tls=tls,
        )

    def _ordered(
        self,
        story: _Story,
        recorder: Recorder,
        recording: Sequence[Part],
        *,
        socket: ControlSocket,
        proxy: HttpProxyListener,
        listeners: Sequence[Part],
    ) -> tuple[list[Part], Listening]:
        listening = Listening(self._settings.state / "ca.pem")
        parts: list[Part] = []
        sources = Ended(story.sources)  # once nobody asks for a credential any more
        dismissed = Dismissed(story.access)  # before whoever waits for exchanges to end
        for name in self._settings.services:
            if name == "recorder":
                parts += recording
            elif name == "control":
                parts.append(socket)
            elif name == "admin":
                note = partial(recorder.note, "admin.refused")
                endpoint = self._endpoint(self._settings.listen.admin)
                off, slowed = story.decider.switched_off, self._pace.slowed
                down = {"recorder": lambda: recorder.down, **self._storing.states}
                admin = AdminSite(endpoint, down, note, self._reactor, off, slowed=slowed)
                listening.add("admin", admin)
                parts.append(admin)
            else:
                listening.add("proxy", proxy)
                parts += [sources, Served(proxy, story.ways), *listeners, dismissed]
        if "proxy" not in self._settings.services and listeners:
            parts += [sources, *listeners, dismissed]
        return parts, listening

    # --- the recording

    def _recorder(self, state: StateFolder, writer: str, first: InForce) -> tuple[Recorder, Part]:
        state.signs(self._configuration.recording.directory)
        name, key = state.signing_key()
        self._site = name
        store = RecordFiles(
            self._configuration.recording.directory,
            site=name,
            key=key,
            now=time.time,
            writer=writer,
            run={
                "jitgate": _LOADED,
                "pid": os.getpid(),
                "policy": first.version,
                "plugins": first.run_by,
            },
        )
        beside, worker = first.bound.store, Worker(self._reactor, "recorder")
        kept: IRecordStore = store if beside is None else BothStores(store, beside)
        recorder = Recorder(kept, clock=self._reactor, in_thread=worker)
        return recorder, Threaded(recorder, worker)

    # --- small things

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


class _Ids:
    """Makes ids that nobody can guess; the first letter says of what.

    The system is asked for the randomness of many at once.
    """

    def __init__(self) -> None:
        self._fresh: list[str] = []

    def __call__(self, kind: str) -> str:
        if not self._fresh:
            random = secrets.token_hex(8 * 256)
            self._fresh = [random[at : at + 16] for at in range(0, len(random), 16)]
        return f"{kind}-{self._fresh.pop()}"
