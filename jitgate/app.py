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
from jitgate.catalogs.okta import load_okta
from jitgate.config import Configuration, schema
from jitgate.core.globs import globs_matcher
from jitgate.core.operation import PathCatalog
from jitgate.core.policy import Policy, version_of
from jitgate.core.profiles import MaskingProfile
from jitgate.credentials.none import NoCredential
from jitgate.credentials.okta import OktaCredentials
from jitgate.credentials.static import StaticHeader
from jitgate.errors import ConfigurationInvalid, MustStop
from jitgate.flow.admission import Target
from jitgate.flow.gateway import DUTIES, Gateway
from jitgate.flow.recorder import Recorder
from jitgate.identity.keys import DiscoveredKeys, KeyFile
from jitgate.identity.oidc import Issuers, OidcVerifier
from jitgate.interfaces import ICatalog, ICredentialSource, IMasker, IRule
from jitgate.maskers.names import NameMasker
from jitgate.proxy.authority import load_or_create
from jitgate.proxy.listener import HttpProxyListener
from jitgate.rules.match import Criteria, MatchRule
from jitgate.service import GatewayService, Listening, Part, Served, Threaded
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.state import StateFolder, read_secret
from jitgate.upstreams.endpoint import CheckedEndpoint, CheckedEndpoints, addresses_of
from jitgate.upstreams.https import HttpsUpstream
from jitgate.values import Effect, Obligation, Verdict

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
    gateway = _Assembly(configuration, reactor, problems).parts_of_the_gateway(b"")
    rules, hosts = len(gateway["policy"].rules), ", ".join(gateway["targets"])
    return f"in order: {rules} rules for {hosts}"


class _GatewayParts(TypedDict):
    targets: Mapping[str, Target]
    identity: Issuers
    policy: Policy
    profiles: Mapping[str, MaskingProfile]


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

    def parts_of_the_gateway(self, site_key: bytes) -> _GatewayParts:
        """What the configuration alone decides. Raises `ConfigurationInvalid`."""
        parts = _GatewayParts(
            targets=self._targets(site_key),
            identity=self._identity(),
            policy=self._policy(),
            profiles=self._profiles(),
        )
        if self._problems:
            raise ConfigurationInvalid(self._problems)
        return parts

    def service(self) -> GatewayService:
        self.parts_of_the_gateway(b"")  # what is wrong is said before any state is made
        state = StateFolder(self._settings.state)
        state.lock()
        site_key = state.site_key()
        recorder, threaded = self._recorder(state)
        gateway = Gateway(
            **self.parts_of_the_gateway(site_key),
            recorder=recorder,
            clock=self._reactor,
            new_id=lambda: "x-" + secrets.token_hex(8),
            site_key=site_key,
        )
        return self._ordered(gateway, recorder, threaded, state)

    def _ordered(
        self, gateway: Gateway, recorder: Recorder, threaded: Part, state: StateFolder
    ) -> GatewayService:
        listen = self._settings.listen
        listening = Listening(state.authority / "ca.pem")
        authority = load_or_create(state.authority, time.time)
        parts: list[Part] = []
        for name in self._settings.services:
            if name == "recorder":
                parts.append(threaded)
            elif name == "admin":
                admin = AdminSite(self._endpoint(listen.admin), lambda: recorder.down)
                listening.add("admin", admin)
                parts.append(admin)
            else:
                endpoint = self._endpoint(listen.proxy)
                proxy = HttpProxyListener(gateway, authority, endpoint, self._reactor)
                listening.add("proxy", proxy)
                parts.append(Served(proxy, self._upstreams))
        return GatewayService(parts, self._reactor, listening)

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

    def _targets(self, site_key: bytes) -> Mapping[str, Target]:
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
                    manner="okta" if target.catalog == "okta" else "problem",
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
        return _made_rule(rule)

    def _policy(self) -> Policy:
        written = self._configuration.rules
        rules = [self._try(each.where, self._rule, each) for each in written]
        provided = cast("list[IRule]", plugins.of_port(IRule, self._plugins))
        every = [*(rule for rule in rules if rule is not None), *provided]
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

    def _recorder(self, state: StateFolder) -> tuple[Recorder, Part]:
        state.signs(self._configuration.recording.directory)
        name, key = state.signing_key()
        started = time.gmtime()
        store = RecordFiles(
            self._configuration.recording.directory,
            site=name,
            key=key,
            now=time.time,
            writer=f"{time.strftime('%Y%m%dT%H%M%SZ', started)}-{secrets.token_hex(4)}",
            run={"jitgate": _LOADED, "pid": os.getpid()},
        )
        pool = ThreadPool(minthreads=1, maxthreads=1, name="recorder")

        def in_thread(work: Callable[..., object], *args: object) -> Deferred[object]:
            return deferToThreadPool(self._reactor, pool, work, *args)

        recorder = Recorder(store, clock=self._reactor, in_thread=in_thread)
        return recorder, Threaded(recorder, pool)

    # --- small things

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


def _made_rule(rule: schema.Rule) -> MatchRule:
    criteria = Criteria(**{name: getattr(rule.match, name) for name in schema.Match.model_fields})
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
