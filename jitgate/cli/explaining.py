"""What the gateway would make of a token, found out by the verifiers that it uses itself."""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.cli.columns import width
from jitgate.cli.configured import configuration, named_file
from jitgate.cli.token_words import Explained, Outcome, as_json, in_words
from jitgate.config import schema
from jitgate.config.believing import saml_trust_of, trust_of
from jitgate.config.identity_schema import Issuer, OidcIssuer, PluginIssuer, SamlIssuer
from jitgate.config.reading import near
from jitgate.errors import ConfigurationInvalid, IdentityUnavailable
from jitgate.identity.claims import objection
from jitgate.identity.issuers import Issuers, TokenVerifier
from jitgate.identity.keys import KeyFile, KeySource, PublicKey
from jitgate.identity.oidc import OidcVerifier
from jitgate.identity.saml_metadata import MetadataFile, Provider, ProviderSource
from jitgate.identity.saml_verifier import SamlVerifier, named_issuer, read_assertion
from jitgate.identity.unverified import UnverifiedToken, read_token, token_refused
from jitgate.identity.vendors import VENDORS, discovered_at
from jitgate.stores.once_memory import MemoryOnce
from jitgate.values import Refusal, Subject

READ_AT_MOST = 1024 * 1024
"""Bytes of standard input: more than any verifier takes, so that what is too long is told so."""

_BEFORE_MARKUP = b" \t\r\n\0\xef\xbb\xbf\xfe\xff"
"""What may stand before the first "<" of XML in UTF-8, UTF-16 or UTF-32: space, and marks."""


def check(arguments: argparse.Namespace) -> int:
    """Explain the token on standard input."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever it says, it is shown
    settings = _restricted(configuration(named_file(arguments.config)).settings, arguments.issuer)
    token = _token()
    outcome: Outcome
    read = read_assertion(token) if arguments.saml else None
    if isinstance(read, Refusal):  # where a JWT could be meant, it might be accepted as one
        outcome = read
    else:
        outcome = _fetching(settings, token) if arguments.fetch else _offline(settings, token)
    asserted = arguments.saml or "." not in token
    explain = _asserted if asserted else _claimed
    explained = explain(settings.identity.issuers, token, outcome)
    if arguments.json:
        print(json.dumps(as_json(explained), indent=2))
    else:
        for line in in_words(explained, width()):
            print(line)
    if isinstance(outcome, IdentityUnavailable):
        return 2
    return 0 if isinstance(outcome, Subject) else 1


def _token() -> str:
    """What stands on standard input, as it is presented. Raises `ConfigurationInvalid`.

    That is a token but for the end of its last line, or an assertion's document in base64url, as it
    stands there byte for byte: what is wrong with it is told by whoever verifies it.
    """
    if sys.stdin.isatty():
        print("Paste the token, then press Return and Ctrl-D.", file=sys.stderr)
    data = sys.stdin.buffer.read(READ_AT_MOST)
    if not data.strip():
        raise ConfigurationInvalid(["There is no token on standard input."])
    if data.lstrip()[:7].lower() == b"bearer ":
        raise ConfigurationInvalid(
            ["The token is wanted alone, without the word Bearer that stands before it."]
        )
    if data.lstrip(_BEFORE_MARKUP).startswith(b"<"):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    return data.rstrip(b"\r\n").decode("utf-8", "surrogateescape")


def _restricted(settings: schema.Settings, name: str | None) -> schema.Settings:
    """The settings, as if that issuer alone were configured. Raises `ConfigurationInvalid`."""
    if name is None:
        return settings
    named = {issuer.name: issuer for issuer in settings.identity.issuers}
    if name not in named:
        meant = near(name, named) or "."
        raise ConfigurationInvalid([f"No issuer is configured by the name {name!r}{meant}"])
    alone = settings.identity.model_copy(update={"issuers": (named[name],)})
    return settings.model_copy(update={"identity": alone})


def _claimed(issuers: Sequence[Issuer], token: str, outcome: Outcome) -> Explained:
    """Of a JWT what it says of itself is told."""
    said = read_token(token)
    if isinstance(said, Refusal):
        return Explained(outcome, issuers, time.time())
    named = [each for each in issuers if each.issuer == said.claims.get("iss")]
    meant = named[0] if named else None
    parts = {"header": said.header, "claims": said.claims}
    return Explained(outcome, issuers, time.time(), meant, _key_ids(meant), parts)


def _asserted(issuers: Sequence[Issuer], token: str, outcome: Outcome) -> Explained:
    """Of an assertion only its issuer is told: all else is what the verifier makes of it."""
    named = named_issuer(token)
    meant = [each for each in issuers if isinstance(each, SamlIssuer) and each.issuer == named]
    said = {"assertion": {"issuer": named}} if isinstance(named, str) else None
    return Explained(outcome, issuers, time.time(), meant[0] if meant else None, None, said)


def _key_ids(issuer: Issuer | None) -> list[str] | None:
    """The keys of an issuer whose keys are in a file: the id of each, and what it counts for."""
    if not isinstance(issuer, OidcIssuer) or issuer.jwks is None:
        return None
    return [f"{key.key_id} ({key.algorithm})" for key in KeyFile(issuer.jwks).keys.keys]


# --- with what is at hand


class NotAtHand:
    """Keys that the issuer publishes, which is not asked for them."""

    def __init__(self, name: str, place: str, key: str) -> None:
        self._why = (
            f"The keys of {name} are fetched from {place}, and nothing is fetched here. Let them "
            f"be fetched with --fetch, or save what is there in a file and name it ({key}) in the "
            "issuer's entry."
        )

    async def key(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """Raises `IdentityUnavailable`, always."""
        raise IdentityUnavailable(self._why)

    async def provider(self) -> Provider:
        """Raises `IdentityUnavailable`, always."""
        raise IdentityUnavailable(self._why)


class NotAsked:
    """A plugin that proves an issuer's tokens, and is not asked."""

    def __init__(self, name: str) -> None:
        self._why = f"The tokens of {name} are proved by a plugin: let it be asked with --fetch."

    async def verify_read(self, read: UnverifiedToken) -> Subject | Refusal:
        """Raises `IdentityUnavailable`, always."""
        raise IdentityUnavailable(self._why)


def _offline(settings: schema.Settings, token: str) -> Outcome:
    """What is made of it with the keys that are in files. Raises `ConfigurationInvalid`."""
    clock = Clock()
    clock.advance(time.time())
    issuers = settings.identity.issuers
    verifiers: dict[str, TokenVerifier] = {
        each.issuer: _oidc(each, clock) for each in issuers if isinstance(each, OidcIssuer)
    }
    verifiers |= {
        each.issuer: NotAsked(each.name) for each in issuers if isinstance(each, PluginIssuer)
    }
    providers = {
        each.issuer: _saml(each, clock) for each in issuers if isinstance(each, SamlIssuer)
    }
    believed = Issuers(verifiers, clock, providers)
    outcomes: list[Outcome] = []
    Deferred.fromCoroutine(_asked(believed, token)).addCallback(outcomes.append)
    outcome = outcomes[0]
    if isinstance(outcome, IdentityUnavailable) and "." in token:
        return _beyond_keys(issuers, token, clock.seconds()) or outcome
    return outcome


def _beyond_keys(issuers: Sequence[Issuer], token: str, now: float) -> Refusal | None:
    """The refusal of a token that no key could mend, None if it depends on who signed it."""
    read = read_token(token)
    if isinstance(read, Refusal):
        return read
    for issuer in issuers:
        if isinstance(issuer, OidcIssuer) and issuer.issuer == read.claims.get("iss"):
            why = objection(read.claims, trust_of(issuer), now)
            return None if why is None else token_refused(f"whoever signed it, {why}")
    return None


def _oidc(issuer: OidcIssuer, clock: Clock) -> TokenVerifier:
    place = issuer.discovery or discovered_at(VENDORS[issuer.profile], issuer.issuer)
    keys: KeySource = NotAtHand(issuer.name, place, "jwks")
    if issuer.jwks is not None:
        keys = KeyFile(issuer.jwks)
    algorithms = frozenset(issuer.algorithms)
    return OidcVerifier(trust_of(issuer), algorithms=algorithms, keys=keys, clock=clock)


def _saml(issuer: SamlIssuer, clock: Clock) -> SamlVerifier:
    source: ProviderSource = NotAtHand(issuer.name, f"{issuer.metadata}", "metadata")
    if isinstance(issuer.metadata, Path):
        source = MetadataFile(issuer.metadata, issuer.issuer)
    trust = saml_trust_of(issuer)
    return SamlVerifier(trust, source=source, once=lambda: MemoryOnce(clock), clock=clock)


async def _asked(issuers: Issuers, token: str) -> Outcome:
    try:
        return await issuers.verify(token)
    except IdentityUnavailable as fault:
        return fault


# --- with what the issuer publishes


def _fetching(settings: schema.Settings, token: str) -> Outcome:
    """What the gateway's own parts make of it, which ask the issuer for its keys.

    Raises `ConfigurationInvalid`.
    """
    from twisted.internet import reactor as installed

    from jitgate.app.identities import Identities
    from jitgate.app.problems import Problems
    from jitgate.app.provided import Provided, loaded_of

    reactor: Any = installed
    problems = Problems()
    once = MemoryOnce(reactor)
    provided = Provided(loaded_of(settings, problems), problems)
    identities = Identities(
        settings.identity, reactor, problems, before={}, once=lambda: once, provided=provided
    )
    issuers = identities.made()
    problems.raise_any()
    outcomes: list[Any] = []
    log = _Log()
    globalLogPublisher.addObserver(log)

    async def play() -> None:
        outcomes.append(await _asked(issuers, token))

    reactor.callWhenRunning(lambda: _until(play(), outcomes, reactor))
    reactor.run()
    globalLogPublisher.removeObserver(log)
    outcome: Outcome | Failure = outcomes[0]
    if isinstance(outcome, Failure):
        outcome.raiseException()
    if isinstance(outcome, IdentityUnavailable):
        return IdentityUnavailable(" ".join([*log.warnings, "So it cannot be verified."]))
    return outcome


_FETCHING = "jitgate.identity.freshness"


@implementer(ILogObserver)
class _Log:
    """What the fetching of keys tells the gateway's log: why it failed."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def __call__(self, event: Any) -> None:
        if str(event.get("log_namespace", "")).startswith(_FETCHING):
            self.warnings.append(formatEvent(event))


def _until(story: Coroutine[Any, Any, None], outcomes: list[Any], reactor: Any) -> None:
    """Let the reactor run until the story has ended, in whatever way."""
    playing = Deferred.fromCoroutine(story)
    playing.addErrback(outcomes.append)
    playing.addBoth(lambda _: reactor.stop())
