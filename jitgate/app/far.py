"""Makes the far APIs that agents may go to."""

from __future__ import annotations

import hmac
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from twisted.internet import ssl
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from jitgate.app import fixed
from jitgate.app.callees import Callees, declared
from jitgate.app.ids import Fresh
from jitgate.app.own_calls import OwnCalls
from jitgate.app.problems import Problems
from jitgate.app.provided import Provided
from jitgate.config import credential_schema, schema
from jitgate.core.injection import COUNTING
from jitgate.credentials.circuit import Circuit
from jitgate.credentials.dpop import Nonces, Prover
from jitgate.credentials.holding import SHARED
from jitgate.credentials.kept import Kept
from jitgate.credentials.none import NoCredential
from jitgate.credentials.okta import OktaCredentials
from jitgate.credentials.okta_app import Client, OktaApp, OktaServer
from jitgate.credentials.revoking import Noted
from jitgate.credentials.signing import Signer, read_key
from jitgate.credentials.vault import VaultCredentials
from jitgate.errors import ConfigurationInvalid
from jitgate.flow.admission import Target
from jitgate.interfaces import ICredentialSource, ILastingSource, ILendingSource
from jitgate.provided import NEVER_ISSUED, ProvidedCredentials, ProvidedLending
from jitgate.stores.state import read_secret, secret_line
from jitgate.upstreams.endpoint import CheckedEndpoint
from jitgate.upstreams.https import HttpsUpstream
from jitgate.upstreams.nameservers import Nameservers
from jitgate.upstreams.resolving import Resolve, SystemResolver
from jitgate.upstreams.via import Via


class Far:
    """Makes targets; what is wrong with them goes to ``problems``."""

    def __init__(
        self,
        settings: schema.Settings,
        reactor: IReactorCore,
        problems: Problems,
        callees: Callees,
        provided: Provided,
        *,
        noted: Noted,
        nonces: Nonces,
    ) -> None:
        self._noted = noted
        self._nonces = nonces
        self._settings = settings
        self._provided = provided
        self._limits = settings.limits.bounds
        self._reactor: Any = reactor
        self._problems = problems
        self._resolve = resolver_of(settings, reactor)
        self._callees = callees
        self._vaults: dict[str, Circuit] = {}
        """One before each Vault, whatever targets' secrets it keeps."""
        self.upstreams: list[HttpsUpstream] = []
        """The ways to the targets that were made last, to be ended."""
        self.sources: list[ILastingSource] = []
        """Of their credentials, those that have something to end."""

    def targets(self, site_key: Callable[[], bytes]) -> dict[str, Target]:
        """By ``host:port``."""
        targets = {}
        self.upstreams, self.sources = [], []
        for target in self._settings.targets:
            credentials = self._problems.attempt(target.where, self._credentials, target, site_key)
            trust = self._problems.attempt(target.where, trust_in, target.trust)
            callee = self._callees[target.name]
            if credentials is None or trust is None or callee is None:
                continue
            for authority in target.hosts:
                host, _, port = authority.rpartition(":")
                named = host.strip("[]")
                endpoint = self._problems.attempt(
                    target.where, self._way_to, target, trust, named, int(port)
                )
                if endpoint is None:
                    continue
                upstream = HttpsUpstream(endpoint, self._reactor, self._limits)
                self.upstreams.append(upstream)
                targets[authority] = Target(
                    name=target.name,
                    manner=manner_of(target),
                    resends=manner_of(target) == "okta",
                    merges=callee.merges,
                    catalog=callee.catalog,
                    credentials=credentials,
                    upstream=upstream,
                    declared=callee.declared,
                    query_name=callee.query_name,
                    body_name=callee.body_name,
                    websockets=callee.websockets,
                )
        return targets

    def credential(self, target: schema.Target) -> ICredentialSource | ILendingSource | None:
        """The source of one target's credential, to be looked at: nothing is recorded of it."""
        return self._source(target, bytes)

    def _way_to(
        self, target: schema.Target, trust: IOpenSSLTrustRoot, host: str, port: int
    ) -> CheckedEndpoint:
        via = None if target.via is None else _via(target.via)
        return self._checked(trust, target.dial, host, port, via=via)

    def _checked(
        self,
        trust: IOpenSSLTrustRoot,
        dial: tuple[str, int] | None,
        host: str,
        port: int,
        *,
        via: Via | None = None,
    ) -> CheckedEndpoint:
        return CheckedEndpoint(
            host,
            port,
            reactor=self._reactor,
            resolve=self._resolve,
            trust=trust,
            dial=dial,
            limits=self._limits,
            via=via,
        )

    def _credentials(
        self, target: schema.Target, site_key: Callable[[], bytes]
    ) -> ILendingSource | None:
        source = self._source(target, site_key)
        if source is None:
            return None
        if isinstance(source, VaultCredentials):
            source.begin()
        lending = source if ILendingSource.providedBy(source) else Kept(source)
        lasting = ILastingSource.providedBy(lending)
        verifyObject(ILastingSource if lasting else ILendingSource, lending)
        return cast(ILendingSource, lending)

    def _source(
        self, target: schema.Target, site_key: Callable[[], bytes]
    ) -> ICredentialSource | ILendingSource | None:
        credential = target.credential
        if isinstance(credential, schema.NoCredential):
            source: object = NoCredential()
        elif isinstance(credential, credential_schema.StaticCredential):
            source = fixed.static(credential)
        elif isinstance(credential, credential_schema.VaultCredential):
            source = self._vault(credential, site_key)
        elif isinstance(credential, schema.PluginCredential):
            provided = self._provided.named(ICredentialSource, credential.name, target.where)
            if provided is None:
                return None
            counting = COUNTING | NEVER_ISSUED | declared(target)
            lends = ILendingSource.providedBy(provided)
            guards = ProvidedLending if lends else ProvidedCredentials
            source = guards(credential.name, provided, counting, self._reactor)
        else:
            okta = self._okta(target, credential, site_key)
            if okta is None:
                return None
            source = okta
        return cast(ICredentialSource, source)

    def _vault(
        self, credential: credential_schema.VaultCredential, site_key: Callable[[], bytes]
    ) -> VaultCredentials:
        """Its calls go to the Vault alone, whose address is checked as a target's is."""
        checked = partial(self._checked, trust_in(credential.trust), credential.dial)
        authority = _authority(credential.address)
        calls = OwnCalls(self._reactor, checked)
        keyed = _keyed(site_key, b"jitgate credential\0")
        circuit = self._vaults.setdefault(authority, Circuit("Vault", random.random))
        source = fixed.vault(
            credential, calls.to(authority), self._reactor, circuit, keyed=keyed, close=calls.stop
        )
        self.sources.append(source)
        return source

    def _okta(
        self,
        target: schema.Target,
        credential: credential_schema.OktaCredential,
        site_key: Callable[[], bytes],
    ) -> OktaCredentials | None:
        """Its calls go to the org and to the target alone, by the target's own checked way."""
        calls = OwnCalls(self._reactor, partial(self._way_to, target, trust_in(target.trust)))
        server = OktaServer(
            credential.org, calls.to(_authority(credential.org)), self._reactor, random.random
        )
        apps = [
            self._problems.attempt(each.where or target.where, self._app, each, server)
            for each in credential.every
        ]
        usable = [app for app in apps if app is not None]
        if len(usable) < len(apps):
            return None
        source = OktaCredentials(
            usable,
            reach=calls.to,
            noted=self._noted,
            clock=self._reactor,
            jitter=random.random,
            keyed=_keyed(site_key, b"jitgate credential\0"),
            nonces=self._nonces,
            close=calls.stop,
            alive=self._limits.exchanges + SHARED,
        )
        self.sources.append(source)
        return source

    def _app(self, app: credential_schema.OktaApp, server: OktaServer) -> OktaApp:
        new_id = Fresh(16)
        scopes = None if app.scopes is None else frozenset(app.scopes)
        return OktaApp(
            Client(app.name, app.client_id, frozenset(app.risks), scopes),
            Signer(read_key(read_secret(app.private_key)), {"kid": app.key_id}),
            Prover(self._reactor, new_id) if app.dpop else None,
            server,
            new_id=new_id,
            pause=partial(deferLater, self._reactor),
        )


def resolver_of(settings: schema.Settings, reactor: Any) -> Resolve:
    """Who is asked for the addresses of far hosts."""
    if settings.resolver:
        return Nameservers(reactor, reactor, settings.resolver)
    return SystemResolver(reactor, reactor)


def _authority(org: str) -> str:
    host = urlsplit(org).netloc
    return host if host.rpartition(":")[2].isdecimal() else f"{host}:443"


def trust_in(file: Path | None) -> IOpenSSLTrustRoot:
    """The system's bundle, or the certificates of a PEM file. Raises `ConfigurationInvalid`."""
    return trusting(None if file is None else certificates_in(file))


def certificates_in(file: Path) -> tuple[bytes, ...]:
    """The certificates of a PEM file, each by itself. Raises `ConfigurationInvalid`."""
    try:
        certificates = load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationInvalid([f"{file}: no certificates can be read: {error}"]) from error
    return tuple(each.public_bytes(Encoding.PEM) for each in certificates)


def trusting(pems: Sequence[bytes] | None) -> IOpenSSLTrustRoot:
    """Who is trusted: certificates (PEM) as authorities, or the system's bundle."""
    if pems is None:
        return cast(IOpenSSLTrustRoot, ssl.platformTrust())
    roots = [ssl.Certificate.loadPEM(pem) for pem in pems]
    return cast(IOpenSSLTrustRoot, ssl.trustRootFromCertificates(roots))


def _via(via: schema.Via) -> Via:
    host, port = via.proxy
    if via.authorization is None:
        return Via(host, port)
    return Via(host, port, secret_line(via.authorization))


def _keyed(key: Callable[[], bytes], domain: bytes) -> Callable[[bytes], str]:
    """A digest that only those who hold the site's key can check."""
    return lambda data: hmac.digest(key(), domain + data, "sha256").hex()


def manner_of(target: schema.Target) -> str:
    """The form of refusals that the target's clients show."""
    return "okta" if target.catalog == "okta" else "problem"
