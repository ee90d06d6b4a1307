"""The whole: one service of parts that the configuration's ``services`` switches and orders."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IReactorCore, IStreamServerEndpoint
from zope.interface.verify import verifyObject

from jitgate import plugins
from jitgate.admin.health import AdminSite
from jitgate.app.far import Far
from jitgate.app.notices import notices, patience_of
from jitgate.app.problems import Problems
from jitgate.app.rules import Decided, decided
from jitgate.approvers.commands import Powers
from jitgate.approvers.control import ControlSocket
from jitgate.config import Configuration
from jitgate.core.access import person
from jitgate.credentials.none import NoCredential
from jitgate.flow.access import Access, Limits
from jitgate.flow.account import Accounts
from jitgate.flow.admission import Target
from jitgate.flow.bodies import HeldBodies
from jitgate.flow.deciding import Decider
from jitgate.flow.gateway import Gateway
from jitgate.flow.grants import Grants
from jitgate.flow.ledger import Ledger
from jitgate.flow.load import Load
from jitgate.flow.recorder import Recorder
from jitgate.flow.sending import Sender
from jitgate.identity.oidc import Issuers
from jitgate.interfaces import IAccessStore, IApproverChannel
from jitgate.proxy.authority import CertificateAuthority, load_or_create
from jitgate.proxy.internal import AUTHORITY, internal_target
from jitgate.proxy.listener import HttpProxyListener
from jitgate.proxy.pages import Pages
from jitgate.service import (
    Dismissed,
    GatewayService,
    Listening,
    Part,
    Served,
    TakenUp,
    Threaded,
    Worker,
)
from jitgate.stores.access_sqlite import SqliteAccess
from jitgate.stores.evidence import RecordedEvidence
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.state import StateFolder

MACHINE_ID = Path("/etc/machine-id")

_LOADED = version("jitgate")


def make_service(
    configuration: Configuration, reactor: IReactorCore, problems: Sequence[str] = ()
) -> GatewayService:
    """The gateway that the configuration describes, ready to be started.

    ``problems`` are those that reading it has found already. Raises `ConfigurationInvalid` with
    them and every other that can be seen without serving, and `StateUnusable`. Nothing listens and
    nothing is recorded yet.
    """
    return _Assembly(configuration, reactor, problems).service()


def check(configuration: Configuration, reactor: IReactorCore, problems: Sequence[str] = ()) -> str:
    """What the configuration makes, in a sentence; nothing is started and no state is touched.

    Raises `ConfigurationInvalid` with every problem that can be seen without serving.
    """
    assembly = _Assembly(configuration, reactor, problems)
    policy, served = assembly.checked(b"")
    rules, hosts = len(policy["policy"].rules) - 1, ", ".join(served["targets"])
    said = [f"in order: {rules} rules for {hosts}", *notices(configuration)]
    return "\n".join(said)


class _Served(TypedDict):
    """Who may come, and where to."""

    targets: dict[str, Target]
    identity: Issuers


@dataclass(frozen=True, slots=True)
class _Story:
    """The flow, put together."""

    gateway: Gateway
    access: Access
    decider: Decider
    pages: Pages


class _Assembly:
    """One run of putting together; ``problems`` gathers what is wrong, to be said at once."""

    def __init__(
        self, configuration: Configuration, reactor: IReactorCore, problems: Sequence[str]
    ) -> None:
        self._configuration = configuration
        self._settings = configuration.settings
        self._reactor: Any = reactor
        self._problems = Problems(problems)
        self._far = Far(self._settings, reactor, self._problems)
        loaded = [
            self._problems.attempt(each.where, plugins.load, each.file, each.options)
            for each in self._settings.plugins
        ]
        self._plugins = [plugin for plugin in loaded if plugin is not None]

    def checked(self, site_key: bytes) -> tuple[Decided, _Served]:
        """What the configuration alone decides. Raises `ConfigurationInvalid`."""
        served = _Served(targets=self._far.targets(site_key), identity=self._far.identity())
        made = decided(self._configuration, self._plugins, self._problems)
        self._problems.raise_any()
        return made, served

    def service(self) -> GatewayService:
        self.checked(b"")  # what is wrong is said before any state is made
        control = self._settings.control
        uids = {*control.approvers, *control.operators, *control.auditors}
        state = StateFolder(self._settings.state, shared=bool(uids - {0, os.geteuid()}))
        state.lock()
        writer = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
        recorder, keeping = self._recorder(state, writer)
        channels: list[IApproverChannel] = []
        ledger, worker = self._ledger(state, recorder)
        authority = load_or_create(state.authority, time.time)
        ca = authority.certificate
        story = self._story(state.site_key(), recorder, ledger, channels, ca)
        socket = self._control(story.access, recorder)
        if "control" in self._settings.services:
            channels.append(socket)
        evidence = RecordedEvidence(self._configuration.recording.directory)
        taken_up = TakenUp(
            ledger, story.access, story.decider, evidence, run=writer, in_thread=worker
        )
        recording = [keeping, Threaded(taken_up, worker)]
        return self._ordered(story, recorder, recording, socket, authority)

    def _story(
        self,
        site_key: bytes,
        recorder: Recorder,
        ledger: Ledger,
        channels: Sequence[IApproverChannel],
        ca: bytes,
    ) -> _Story:
        """The flow: everything between an agent and a target."""
        clock = self._reactor
        policy, served = self.checked(site_key)
        approvals = self._settings.approvals
        grants = Grants(ledger, clock)
        access = Access(
            ledger,
            grants,
            channels=channels,
            people={
                group: frozenset(person(each) for each in people)
                for group, people in approvals.groups.items()
            },
            patience=patience_of(approvals),
            limits=Limits(approvals.per_agent, approvals.in_all),
            clock=clock,
            new_id=_new_id,
        )
        accounts = Accounts(recorder, clock=clock, new_id=partial(_new_id, "x"), site_key=site_key)
        bodies = HeldBodies(approvals.review_body, approvals.review_bodies)
        decider = Decider(
            **policy,
            access=access,
            bodies=bodies,
            accounts=accounts,
            clock=clock,
            site_key=site_key,
        )
        pages = Pages(
            access,
            grants,
            targets=served["targets"],
            decide=decider.foreseen,
            ca=ca,
            patience=patience_of(approvals),
            clock=clock,
        )
        served["targets"][AUTHORITY] = internal_target(pages, NoCredential())
        gateway = Gateway(
            **served,
            decider=decider,
            sender=Sender(grants, decider, accounts),
            accounts=accounts,
            bodies=bodies,
            load=Load(clock, self._settings.limits.bounds),
            recorder=recorder,
            clock=clock,
            new_id=partial(_new_id, "x"),
        )
        return _Story(gateway, access, decider, pages)

    def _ledger(self, state: StateFolder, recorder: Recorder) -> tuple[Ledger, Worker]:
        """What keeps access requests and grants over restarts, and the thread that it works in."""
        worker = Worker(self._reactor, "state")
        store = SqliteAccess(state.database, in_thread=worker, machine=_machine())
        verifyObject(IAccessStore, store)
        return Ledger(store, recorder, self._reactor), worker

    def _control(self, access: Access, recorder: Recorder) -> ControlSocket:
        control = self._settings.control
        powers = Powers(control.approvers, control.operators, control.auditors)
        path = self._configuration.control_socket
        clock = self._reactor
        return ControlSocket(
            path, access, powers, recorder=recorder, clock=clock, reactor=self._reactor
        )

    def _ordered(
        self,
        story: _Story,
        recorder: Recorder,
        recording: Sequence[Part],
        socket: ControlSocket,
        authority: CertificateAuthority,
    ) -> GatewayService:
        listen = self._settings.listen
        listening = Listening(self._settings.state / "ca.pem")
        parts: list[Part] = []
        for name in self._settings.services:
            if name == "recorder":
                parts += recording
            elif name == "control":
                parts.append(socket)
            elif name == "admin":
                note = partial(recorder.note, "admin.refused")
                endpoint = self._endpoint(listen.admin)
                admin = AdminSite(endpoint, lambda: recorder.down, note, self._reactor)
                listening.add("admin", admin)
                parts.append(admin)
            else:
                endpoint = self._endpoint(listen.proxy)
                proxy = HttpProxyListener(
                    story.gateway,
                    authority,
                    endpoint,
                    self._reactor,
                    story.pages.plain,
                    limits=self._settings.limits.bounds,
                    note=partial(recorder.note, "connections.dropped"),
                )
                listening.add("proxy", proxy)
                parts += [Served(proxy, self._far.upstreams), Dismissed(story.access)]
        return GatewayService(parts, self._reactor, listening, notices(self._configuration))

    # --- the recording

    def _recorder(self, state: StateFolder, writer: str) -> tuple[Recorder, Part]:
        state.signs(self._configuration.recording.directory)
        name, key = state.signing_key()
        store = RecordFiles(
            self._configuration.recording.directory,
            site=name,
            key=key,
            now=time.time,
            writer=writer,
            run={"jitgate": _LOADED, "pid": os.getpid()},
        )
        worker = Worker(self._reactor, "recorder")
        recorder = Recorder(store, clock=self._reactor, in_thread=worker)
        return recorder, Threaded(recorder, worker)

    # --- small things

    def _endpoint(self, address: tuple[str, int]) -> IStreamServerEndpoint:
        host, port = address
        kind = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
        return kind(self._reactor, port, backlog=1024, interface=host)


def _new_id(kind: str) -> str:
    """An id that nobody can guess; its first letter says of what."""
    return f"{kind}-{secrets.token_hex(8)}"


def _machine() -> str:
    """Which machine this is (machine-id(5)); nothing where that is not told."""
    try:
        return MACHINE_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
