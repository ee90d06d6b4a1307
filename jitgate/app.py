"""Puts the gateway together: the only module that names concrete classes.

What it makes is one Twisted service, whose parts the configuration's ``services`` switches and
orders.
"""

from __future__ import annotations

import difflib
import hmac
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ParamSpec, TypedDict, TypeVar, cast

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from treq.client import HTTPClient
from twisted.internet import ssl
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IReactorCore, IStreamServerEndpoint
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from zope.interface.verify import verifyObject

from jitgate import plugins
from jitgate.admin.health import AdminSite
from jitgate.approvers.commands import Powers
from jitgate.approvers.control import ControlSocket
from jitgate.catalogs.okta import load_okta
from jitgate.config import Configuration, schema
from jitgate.core.access import person
from jitgate.core.globs import globs_matcher
from jitgate.core.operation import PathCatalog
from jitgate.core.policy import Policy, version_of
from jitgate.core.profiles import MaskingProfile
from jitgate.core.waiting import Patience, slow_down
from jitgate.credentials.none import NoCredential
from jitgate.credentials.okta import OktaCredentials
from jitgate.credentials.static import StaticHeader
from jitgate.errors import ConfigurationInvalid, MustStop
from jitgate.flow.access import Access, Limits
from jitgate.flow.account import Accounts
from jitgate.flow.admission import Target
from jitgate.flow.bodies import HeldBodies
from jitgate.flow.deciding import Decider
from jitgate.flow.gateway import DUTIES, Gateway
from jitgate.flow.grants import Grants
from jitgate.flow.ledger import Ledger
from jitgate.flow.recorder import InThread, Recorder
from jitgate.flow.sending import Sender
from jitgate.identity.keys import DiscoveredKeys, KeyFile
from jitgate.identity.oidc import Issuers, OidcVerifier
from jitgate.interfaces import (
    IAccessStore,
    IApproverChannel,
    ICatalog,
    ICredentialSource,
    IMasker,
    IRule,
)
from jitgate.maskers.names import NameMasker
from jitgate.proxy.authority import CertificateAuthority, load_or_create
from jitgate.proxy.internal import AUTHORITY, InternalRule, internal_target
from jitgate.proxy.listener import HttpProxyListener
from jitgate.proxy.pages import Pages
from jitgate.rules.match import Criteria, MatchRule
from jitgate.service import (
    Dismissed,
    GatewayService,
    Listening,
    Part,
    Served,
    TakenUp,
    Threaded,
)
from jitgate.stores.access_sqlite import SqliteAccess
from jitgate.stores.evidence import RecordedEvidence
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.state import StateFolder, read_secret
from jitgate.upstreams.endpoint import CheckedEndpoint, CheckedEndpoints, addresses_of
from jitgate.upstreams.https import HttpsUpstream
from jitgate.values import Effect, Obligation, Terms, Verdict

MACHINE_ID = Path("/etc/machine-id")

_LOADED = version("jitgate")


Made = TypeVar("Made")
Arguments = ParamSpec("Arguments")


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
    decided, served = assembly.checked(b"")
    rules, hosts = len(decided["policy"].rules) - 1, ", ".join(served["targets"])
    said = [f"in order: {rules} rules for {hosts}", *notices(configuration)]
    return "\n".join(said)


def notices(configuration: Configuration) -> list[str]:
    """What is no error and yet not what somebody may expect; said at the start."""
    settings = configuration.settings
    patience, said = _patience(settings.approvals), []
    sdks = {target.name for target in settings.targets if _manner(target) == "okta"}
    for rule in configuration.rules:
        if rule.effect != "review" or sdks.isdisjoint(rule.match.targets or sdks):
            continue
        life = Terms(()).life if rule.grant is None else rule.grant.life
        covered = slow_down(patience, life).expire
        if covered < patience.expire:
            said.append(
                f"{rule.where}: rule {rule.name}: an Okta SDK asks for {covered:.0f} s at most, so "
                f"its requests expire then, not after {patience.expire:.0f} s. A longer grant.life "
                "lets it wait longer."
            )
    reachable = {person(name) for name in settings.control.approvers.values()}
    for group, people in settings.approvals.groups.items():
        if not reachable & {person(each) for each in people}:
            said.append(
                f"Nobody of the group {group} can answer: no uid in control.approvers is theirs."
            )
    return said


class _Decided(TypedDict):
    """What says which call may go, and what of its answer is hidden."""

    policy: Policy
    profiles: Mapping[str, MaskingProfile]


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
        self._problems = list(problems)
        self._upstreams: list[HttpsUpstream] = []
        loaded = [
            self._try(each.where, plugins.load, each.file, each.options)
            for each in self._settings.plugins
        ]
        self._plugins = [plugin for plugin in loaded if plugin is not None]

    def checked(self, site_key: bytes) -> tuple[_Decided, _Served]:
        """What the configuration alone decides. Raises `ConfigurationInvalid`."""
        served = _Served(targets=self._targets(site_key), identity=self._identity())
        decided = _Decided(policy=self._policy(), profiles=self._profiles())
        if self._problems:
            raise ConfigurationInvalid(self._problems)
        return decided, served

    def service(self) -> GatewayService:
        self.checked(b"")  # what is wrong is said before any state is made
        control = self._settings.control
        uids = {*control.approvers, *control.operators, *control.auditors}
        state = StateFolder(self._settings.state, shared=bool(uids - {0, os.geteuid()}))
        state.lock()
        writer = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
        recorder, keeping = self._recorder(state, writer)
        channels: list[IApproverChannel] = []
        ledger, pool = self._ledger(state, recorder)
        authority = load_or_create(state.authority, time.time)
        ca = authority.certificate
        story = self._story(state.site_key(), recorder, ledger, channels, ca)
        socket = self._control(story.access, recorder)
        if "control" in self._settings.services:
            channels.append(socket)
        evidence = RecordedEvidence(self._configuration.recording.directory)
        threads = self._threads(pool)
        taken_up = TakenUp(
            ledger, story.access, story.decider, evidence, run=writer, in_thread=threads
        )
        recording = [keeping, Threaded(taken_up, pool)]
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
        decided, served = self.checked(site_key)
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
            patience=_patience(approvals),
            limits=Limits(approvals.per_agent, approvals.in_all),
            clock=clock,
            new_id=_new_id,
        )
        accounts = Accounts(recorder, clock=clock, new_id=partial(_new_id, "x"), site_key=site_key)
        bodies = HeldBodies(approvals.review_body, approvals.review_bodies)
        decider = Decider(
            **decided,
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
            patience=_patience(approvals),
            clock=clock,
        )
        served["targets"][AUTHORITY] = internal_target(pages, NoCredential())
        gateway = Gateway(
            **served,
            decider=decider,
            sender=Sender(grants, decider, accounts),
            accounts=accounts,
            bodies=bodies,
            recorder=recorder,
            clock=clock,
            new_id=partial(_new_id, "x"),
        )
        return _Story(gateway, access, decider, pages)

    def _ledger(self, state: StateFolder, recorder: Recorder) -> tuple[Ledger, ThreadPool]:
        """What keeps access requests and grants over restarts, and the thread that it works in."""
        pool = ThreadPool(minthreads=1, maxthreads=1, name="state")
        store = SqliteAccess(state.database, in_thread=self._threads(pool), machine=_machine())
        verifyObject(IAccessStore, store)
        return Ledger(store, recorder, self._reactor), pool

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
                admin = AdminSite(self._endpoint(listen.admin), lambda: recorder.down, note)
                listening.add("admin", admin)
                parts.append(admin)
            else:
                endpoint = self._endpoint(listen.proxy)
                proxy = HttpProxyListener(
                    story.gateway, authority, endpoint, self._reactor, story.pages.plain
                )
                listening.add("proxy", proxy)
                parts += [Served(proxy, self._upstreams), Dismissed(story.access)]
        return GatewayService(parts, self._reactor, listening, notices(self._configuration))

    # --- identity

    def _identity(self) -> Issuers:
        verifiers = {}
        for issuer in self._settings.identity.issuers:
            verifier = self._try(issuer.where, self._verifier, issuer)
            if verifier is not None:
                verifiers[issuer.issuer] = verifier
        return Issuers(verifiers)

    def _verifier(self, issuer: schema.Issuer) -> OidcVerifier:
        keys = (
            DiscoveredKeys(issuer.issuer, self._client(issuer.trust), self._reactor)
            if issuer.jwks is None
            else KeyFile(issuer.jwks)
        )
        return OidcVerifier(
            issuer=issuer.issuer,
            audience=issuer.audience,
            algorithms=issuer.algorithms,
            groups_claim=issuer.groups_claim,
            owner_claim=issuer.owner_claim,
            owners=issuer.owners,
            keys=keys,
            clock=self._reactor,
        )

    def _client(self, trust: Path | None) -> HTTPClient:
        """An HTTP client for an issuer: the operator's own choice of host, so any address."""
        policy = BrowserLikePolicyForHTTPS(trustRoot=_trust(trust))
        return HTTPClient(Agent(self._reactor, policy))

    # --- targets

    def _targets(self, site_key: bytes) -> dict[str, Target]:
        targets = {}
        self._upstreams = []
        for target in self._settings.targets:
            credentials = self._try(target.where, self._credentials, target, site_key)
            trust = self._try(target.where, _trust, target.trust)
            if credentials is None or trust is None:
                continue
            catalog = _catalog(target)
            for authority in target.hosts:
                host, _, port = authority.rpartition(":")
                named = host.strip("[]")
                endpoint = self._try(target.where, self._checked, named, int(port), target, trust)
                if endpoint is None:
                    continue
                upstream = HttpsUpstream(endpoint, self._reactor)
                self._upstreams.append(upstream)
                targets[authority] = Target(
                    name=target.name,
                    manner=_manner(target),
                    resends=_manner(target) == "okta",
                    catalog=catalog,
                    credentials=credentials,
                    upstream=upstream,
                    declared=frozenset(name.lower().encode() for name in target.headers),
                )
        return targets

    def _checked(
        self, host: str, port: int, target: schema.Target, trust: IOpenSSLTrustRoot
    ) -> CheckedEndpoint:
        return CheckedEndpoint(
            host,
            port,
            reactor=self._reactor,
            resolve=self._resolve,
            trust=trust,
            dial=target.dial,
        )

    async def _resolve(self, host: str) -> list[str]:
        pool = self._reactor.getThreadPool()
        return await deferToThreadPool(self._reactor, pool, addresses_of, host)

    def _credentials(self, target: schema.Target, site_key: bytes) -> ICredentialSource:
        credential = target.credential
        if isinstance(credential, schema.NoCredential):
            source: object = NoCredential()
        elif isinstance(credential, schema.StaticCredential):
            value = read_secret(credential.value).strip(b"\r\n")
            source = StaticHeader(credential.header, value)
        else:
            source = self._okta(target, credential, site_key)
        verifyObject(ICredentialSource, source)
        return cast(ICredentialSource, source)

    def _okta(
        self, target: schema.Target, credential: schema.OktaCredential, site_key: bytes
    ) -> OktaCredentials:
        """Its calls go to the org alone, by the target's own checked way."""
        host, _, port = credential.org.removeprefix("https://").rstrip("/").partition(":")
        endpoint = self._checked(host, int(port or 443), target, _trust(target.trust))
        agent = Agent.usingEndpointFactory(self._reactor, CheckedEndpoints(endpoint))
        return OktaCredentials(
            org=credential.org.rstrip("/"),
            client_id=credential.client_id,
            key_id=credential.key_id,
            private_key=read_secret(credential.private_key),
            http=HTTPClient(agent),
            clock=self._reactor,
            new_id=partial(secrets.token_urlsafe, 16),
            keyed=_keyed(site_key, b"jitgate credential\0"),
        )

    # --- policy and masking

    def _rule(self, rule: schema.Rule) -> MatchRule:
        _known_actions(rule, {each.name: _catalog(each).actions for each in self._settings.targets})
        return _made_rule(rule, tuple(target.name for target in self._settings.targets))

    def _policy(self) -> Policy:
        written = self._configuration.rules
        rules = [self._try(each.where, self._rule, each) for each in written]
        provided = cast("list[IRule]", plugins.of_port(IRule, self._plugins))
        every = [*(rule for rule in rules if rule is not None), *provided, InternalRule()]
        self._unique("rule", [rule.name for rule in every])
        parts = [f"plugin={each.digest}" for each in self._plugins]
        parts += [repr(each) for each in self._configuration.profiles]
        return Policy(tuple(every), version_of(every, parts), DUTIES)

    def _profiles(self) -> Mapping[str, MaskingProfile]:
        provided = cast("list[IMasker]", plugins.of_port(IMasker, self._plugins))
        self._unique("masker", [masker.name for masker in provided])
        known = {masker.name: masker for masker in provided}
        profiles = {}
        for each in self._configuration.profiles:
            missing = [name for name in each.maskers if name not in known]
            if missing:
                self._problems.append(
                    f"{each.where}: profile {each.profile}: no plugin provides {missing[0]!r}"
                )
            masker = self._try(each.where, _names, each)
            maskers = (*(masker or ()), *(known[name] for name in each.maskers if name in known))
            profiles[each.profile] = MaskingProfile(
                each.profile, maskers, catalog=each.secrets == "catalog"
            )
        return profiles

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
        pool = ThreadPool(minthreads=1, maxthreads=1, name="recorder")
        recorder = Recorder(store, clock=self._reactor, in_thread=self._threads(pool))
        return recorder, Threaded(recorder, pool)

    # --- small things

    def _threads(self, pool: ThreadPool) -> InThread:
        """Calls blocking functions in that pool's threads."""

        def in_thread(work: Callable[..., object], *args: object) -> Deferred[object]:
            return deferToThreadPool(self._reactor, pool, work, *args)

        return in_thread

    def _endpoint(self, address: tuple[str, int]) -> IStreamServerEndpoint:
        host, port = address
        kind = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
        return kind(self._reactor, port, backlog=1024, interface=host)

    def _unique(self, kind: str, names: Sequence[str]) -> None:
        twice = sorted({name for name in names if names.count(name) > 1})
        self._problems += [f"the {kind} {name!r} is provided more than once" for name in twice]

    def _try(
        self,
        where: str,
        make: Callable[Arguments, Made],
        *args: Arguments.args,
        **_: Arguments.kwargs,
    ) -> Made | None:
        """What ``make`` makes; if it cannot, a problem, and None."""
        try:
            return make(*args, **_)
        except ConfigurationInvalid as error:
            self._problems += [f"{where}: {problem}" for problem in error.problems]
        except (MustStop, ValueError) as error:
            self._problems.append(f"{where}: {error}")
        return None


def _known_actions(rule: schema.Rule, known: Mapping[str, frozenset[str]]) -> None:
    """Refuse an action that no target of the rule knows: a rule for it would never match."""
    targets = known if rule.match.targets is None else rule.match.targets
    actions = sorted({action for name in targets for action in known.get(name, ())})
    for pattern in rule.match.actions or ():
        if not any(globs_matcher((pattern,))(action) for action in actions):
            close = difflib.get_close_matches(pattern, actions, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"rule {rule.name}: no action {pattern!r} is known{hint}")


def _made_rule(rule: schema.Rule, targets: tuple[str, ...]) -> MatchRule:
    """A rule that names no target is for all that are configured, not for `jitgate.internal`."""
    written = {name: getattr(rule.match, name) for name in schema.Match.model_fields}
    if written["targets"] is None:
        written["targets"] = targets
    criteria = Criteria(**written)
    return MatchRule(rule.name, criteria, Verdict(Effect(rule.effect), rule.reason, _duties(rule)))


def _duties(rule: schema.Rule) -> tuple[Obligation, ...]:
    duties = []
    if rule.mask is not None:
        duties.append(Obligation("mask", rule.mask))
    if rule.approvers is not None:
        duties.append(Obligation("approvers", (rule.approvers.groups, rule.approvers.quorum)))
    if rule.grant is not None:
        duties.append(Obligation("grant", (rule.grant.uses, rule.grant.life)))
    return tuple(duties)


def _names(profile: schema.Profile) -> tuple[IMasker, ...]:
    return (NameMasker(profile.profile, profile.names),) if profile.names else ()


def _catalog(target: schema.Target) -> ICatalog:
    return load_okta(target.name) if target.catalog == "okta" else PathCatalog(target.name)


def _trust(file: Path | None) -> IOpenSSLTrustRoot:
    """The system's bundle, or the certificates of a PEM file. Raises `ConfigurationInvalid`."""
    if file is None:
        return cast(IOpenSSLTrustRoot, ssl.platformTrust())
    try:
        certificates = load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationInvalid([f"{file}: no certificates can be read: {error}"]) from error
    pems = (each.public_bytes(Encoding.PEM) for each in certificates)
    roots = [ssl.Certificate.loadPEM(pem) for pem in pems]
    return cast(IOpenSSLTrustRoot, ssl.trustRootFromCertificates(roots))


def _keyed(key: bytes, domain: bytes) -> Callable[[bytes], str]:
    """A digest that only those who hold the site's key can check."""
    return lambda data: hmac.digest(key, domain + data, "sha256").hex()


def _patience(approvals: schema.Approvals) -> Patience:
    return Patience(approvals.hold, approvals.linger, approvals.expire)


def _manner(target: schema.Target) -> str:
    """The form of refusals that the target's clients show."""
    return "okta" if target.catalog == "okta" else "problem"


def _new_id(kind: str) -> str:
    """An id that nobody can guess; its first letter says of what."""
    return f"{kind}-{secrets.token_hex(8)}"


def _machine() -> str:
    """Which machine this is (machine-id(5)); nothing where that is not told."""
    try:
        return MACHINE_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
