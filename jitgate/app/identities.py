"""Makes who may come: a verifier for each issuer of tokens and each identity provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificate
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import Agent
from zope.interface.verify import verifyObject

from jitgate.app.far import certificates_in, trusting
from jitgate.app.problems import Problems
from jitgate.app.provided import Provided
from jitgate.config.believing import saml_trust_of, trust_of
from jitgate.config.identity_schema import Identity, OidcIssuer, PluginIssuer, SamlIssuer
from jitgate.core.binding import ISSUER
from jitgate.identity.discovery import DiscoveredKeys
from jitgate.identity.issuers import Issuers, TokenVerifier
from jitgate.identity.keys import KeyFile
from jitgate.identity.oidc import OidcVerifier
from jitgate.identity.saml_metadata import FetchedMetadata, MetadataFile
from jitgate.identity.saml_verifier import SamlVerifier
from jitgate.identity.vendors import VENDORS, discovered_at
from jitgate.interfaces import IIdentityVerifier, IOnce
from jitgate.provided import ProvidedVerifier
from jitgate.trust import NamedPolicy

KeysFrom = tuple[object, ...]
"""All that the keys that an issuer publishes depend on: who it is, where it is asked, how long they
count, and the certificates that are trusted or pinned."""

Published = DiscoveredKeys | FetchedMetadata
"""Keys as an issuer publishes them."""


class Identities:
    """Makes the verifiers of all issuers; what is wrong with them goes to ``problems``.

    Keys that are known ``before`` are not asked for anew: an issuer that is down keeps nobody from
    reloading.
    """

    def __init__(
        self,
        identity: Identity,
        reactor: IReactorTime,
        problems: Problems,
        *,
        before: Mapping[KeysFrom, Published],
        once: Callable[[], IOnce],
        provided: Provided,
        own: TokenVerifier | None = None,
    ) -> None:
        self._identity = identity
        self._provided = provided
        self._reactor = reactor
        self._problems = problems
        self._before = before
        self._once = once
        self._own = own
        self.keys: dict[KeysFrom, Published] = {}
        """The keys that issuers publish, as far as they are fetched."""

    def made(self) -> Issuers:
        """Whose tokens are believed."""
        verifiers: dict[str, TokenVerifier] = {}
        providers: dict[str, IIdentityVerifier] = {}
        for issuer in self._identity.issuers:
            if isinstance(issuer, OidcIssuer):
                verifier = self._problems.attempt(issuer.where, self._oidc, issuer)
                if verifier is not None:
                    verifiers[issuer.issuer] = verifier
            elif isinstance(issuer, PluginIssuer):
                named = self._provided.named(IIdentityVerifier, issuer.name, issuer.where)
                if named is not None:
                    verifiers[issuer.issuer] = ProvidedVerifier(
                        issuer.issuer, issuer.name, named, self._reactor
                    )
            else:
                provider = self._problems.attempt(issuer.where, self._saml, issuer)
                if provider is not None:
                    providers[issuer.issuer] = provider
        if ISSUER in verifiers or ISSUER in providers:
            self._problems.add(f"{self._identity.where}: {ISSUER} is the gateway itself")
        if self._own is not None:
            verifiers[ISSUER] = self._own
        return Issuers(verifiers, self._reactor, providers)

    # --- OpenID Connect

    def _oidc(self, issuer: OidcIssuer) -> OidcVerifier:
        keys = self._discovered(issuer) if issuer.jwks is None else KeyFile(issuer.jwks)
        algorithms = frozenset(issuer.algorithms)
        return OidcVerifier(trust_of(issuer), algorithms=algorithms, keys=keys, clock=self._reactor)

    def _discovered(self, issuer: OidcIssuer) -> DiscoveredKeys:
        pems = _trusted(issuer.trust)
        place = issuer.discovery or discovered_at(VENDORS[issuer.profile], issuer.issuer)
        source = "oidc", issuer.issuer, place, issuer.keys_max_age, pems
        keys = self._before.get(source)
        if not isinstance(keys, DiscoveredKeys):
            keys = DiscoveredKeys(
                issuer.issuer,
                self._client(pems),
                self._reactor,
                place=place,
                max_age=issuer.keys_max_age,
            )
        self.keys[source] = keys
        return keys

    # --- SAML

    def _saml(self, issuer: SamlIssuer) -> SamlVerifier:
        source: FetchedMetadata | MetadataFile
        if isinstance(issuer.metadata, Path):
            source = MetadataFile(issuer.metadata, issuer.issuer)
        else:
            source = self._fetched(issuer, issuer.metadata)
        verifier = SamlVerifier(
            saml_trust_of(issuer), source=source, once=self._once, clock=self._reactor
        )
        verifyObject(IIdentityVerifier, verifier)
        return verifier

    def _fetched(self, issuer: SamlIssuer, url: str) -> FetchedMetadata:
        pems = _trusted(issuer.trust)
        pinned = tuple(pem for file in issuer.certificates for pem in certificates_in(file))
        source = "saml", issuer.issuer, url, issuer.keys_max_age, pems, pinned
        metadata = self._before.get(source)
        if not isinstance(metadata, FetchedMetadata):
            metadata = FetchedMetadata(
                url,
                issuer.issuer,
                [load_pem_x509_certificate(pem) for pem in pinned],
                self._client(pems),
                self._reactor,
                max_age=issuer.keys_max_age,
            )
        self.keys[source] = metadata
        return metadata

    def _client(self, pems: tuple[bytes, ...] | None) -> HTTPClient:
        """For one issuer alone: the operator's own choice of host, so any address."""
        return HTTPClient(Agent(self._reactor, NamedPolicy(trusting(pems))))


def _trusted(file: Path | None) -> tuple[bytes, ...] | None:
    return None if file is None else certificates_in(file)
