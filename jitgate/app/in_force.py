"""What one configuration makes: everything that a reload replaces, made and checked as a whole.

A start and a reload make it the same way. Making it touches no state and starts nothing, so what
has been made can be thrown away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from twisted.internet.interfaces import IReactorCore

from jitgate import plugins
from jitgate.app.archive import archive_of
from jitgate.app.callees import callees_of
from jitgate.app.far import Far
from jitgate.app.identities import Identities, KeysFrom, Published
from jitgate.app.keepers import keepers_of
from jitgate.app.masking_sets import sets_of
from jitgate.app.notices import notices, patience_of
from jitgate.app.problems import Problems
from jitgate.app.provided import Bound, Provided, channels_of, groups_of, loaded_of, people_of
from jitgate.app.rules import Decided, decided
from jitgate.app.slack_settings import Tokens, fixed, tokens_of, used
from jitgate.app.webhooks import hooks_of
from jitgate.approvers.commands import Powers
from jitgate.approvers.slack.groups import SlackGroups
from jitgate.approvers.webhook.hooks import Hook
from jitgate.config import Configuration, schema
from jitgate.config.identity_schema import PluginIssuer
from jitgate.core.waiting import Patience
from jitgate.credentials.dpop import Nonces
from jitgate.credentials.revoking import Noted
from jitgate.errors import ConfigurationInvalid
from jitgate.flow.admission import Target
from jitgate.flow.members import Groups
from jitgate.flow.opening import Limits
from jitgate.flow.resource_names import ResourceNames
from jitgate.identity.issuers import Issuers, TokenVerifier
from jitgate.interfaces import (
    IApproverChannel,
    IArchive,
    IIdentityVerifier,
    IKeeper,
    ILastingSource,
    IMasker,
    IOnce,
    IPeople,
)
from jitgate.proxy.certificate import PortCertificate
from jitgate.stores.once_memory import MemoryOnce
from jitgate.stores.state import ed25519_key, read_secret
from jitgate.upstreams.https import HttpsUpstream


@dataclass(frozen=True, slots=True)
class InForce:
    """What is served, by one configuration."""

    configuration: Configuration
    plugins: Sequence[plugins.Plugin]
    decided: Decided
    targets: Mapping[str, Target]
    ways: Sequence[HttpsUpstream]
    sources: Sequence[ILastingSource]
    identity: Issuers
    keys: Mapping[KeysFrom, Published]
    certificate: PortCertificate | None
    reverse: PortCertificate | None
    """That of the gateway's own hosts."""
    bound: Bound
    """What plugins provide that a reload cannot replace."""
    groups: Groups
    """Who answers for each group, or who knows that."""
    active: Sequence[IPeople]
    """Those who know whether people are still active."""
    channels: Mapping[str, IApproverChannel | None]
    """The ways to people in their order, by name; None stands for the gateway's own."""
    hooks: Sequence[Hook]
    """Those of them that are webhooks."""
    keepers: Sequence[IKeeper]
    """Where checkpoints of the recording are kept."""
    archive: IArchive | None
    """Where its sealed files are locked."""
    slack: Tokens | None
    """What Slack is called with, where people are asked there."""
    notices: Sequence[str]

    @property
    def version(self) -> str:
        """Of the policy, as it stands in each decision."""
        return self.decided["policy"].version

    @property
    def run_by(self) -> Sequence[Mapping[str, str]]:
        """Which plugins run, as the record names them, in order."""
        return [{"file": f"{each.file}", "sha256": each.digest} for each in self.plugins]

    @property
    def digest(self) -> bytes:
        """Of all that was read: what has the same was made of the same configuration."""
        which = [(f"{each.file}", each.digest, f"{each.provided}") for each in self.plugins]
        told = (self.configuration.model_dump_json(), self.version, which)
        return hashlib.sha256(repr(told).encode()).digest()

    @property
    def terms(self) -> Mapping[str, str]:
        """What each issuer's subjects are believed by, as a digest of its entry."""
        issuers = self.configuration.settings.identity.issuers
        verifiers = {
            each.name: each.version
            for plugin in self.plugins
            for each in plugin.provided
            if each.port == IIdentityVerifier.__name__
        }
        terms = {each.issuer: each.model_dump_json() for each in issuers}
        terms |= {
            each.issuer: f"{terms[each.issuer]} {verifiers.get(each.name)}"
            for each in issuers
            if isinstance(each, PluginIssuer)
        }
        return {issuer: hashlib.sha256(each.encode()).hexdigest() for issuer, each in terms.items()}

    @property
    def patience(self) -> Patience:
        return patience_of(self.configuration.settings.approvals)

    @property
    def limits(self) -> Limits:
        approvals = self.configuration.settings.approvals
        return Limits(approvals.per_agent, approvals.in_all, approvals.restraint)

    @property
    def http2(self) -> frozenset[str]:
        """The ``host:port`` in whose tunnels HTTP/2 is preferred."""
        targets = self.configuration.settings.targets
        return frozenset(host for each in targets if each.http2 for host in each.hosts)

    def name(self, names: ResourceNames) -> None:
        """Have what people are asked about looked up by this, unless that is switched off."""
        if self.configuration.settings.approvals.names:
            names.adopt(self.targets, self.decided["policy"], self.decided["profiles"])
        else:
            names.switch_off()

    @property
    def masking(self) -> Sequence[tuple[IMasker, ...]]:
        """Who may have to look at a response together."""
        return sets_of(self.targets, self.decided["profiles"])

    @property
    def powers(self) -> Powers:
        control = self.configuration.settings.control
        return Powers(control.approvers, control.operators, control.auditors)


NEEDS_PSYCOPG = "type postgres needs a package: pip install 'jitgate[postgres]'"


@dataclass(frozen=True, slots=True)
class Lasting:
    """What a process has from its start to its end, for whatever a configuration makes.

    What its state holds is asked for once something is served: until then it need not be there.
    """

    site_key: Callable[[], bytes] = bytes
    noted: Noted = lambda *_: None
    """Puts something on record."""
    nonces: Nonces = field(default_factory=Nonces)
    """What APIs want to see in a proof."""
    once: Callable[[], IOnce] | None = None
    """What was taken once; None: remembered by what a configuration makes alone."""
    own: TokenVerifier | None = None
    """Believes the gateway's own tokens."""
    slack_groups: SlackGroups = field(default_factory=SlackGroups)
    signs: Callable[[], str] = str
    """The text form of the key that signs the recording."""


def made(
    configuration: Configuration,
    reactor: IReactorCore,
    problems: Sequence[str] = (),
    lasting: Lasting | None = None,
    before: InForce | None = None,
) -> InForce:
    """What the configuration makes; ``problems`` are those that reading it has found already.

    Raises `ConfigurationInvalid` with them and every other that can be seen without serving; where
    it is to replace what is in force ``before``, what would need a restart is one. It is one long
    list: everything that is replaced, in the order in which problems are told.
    """
    lasting, found = lasting or Lasting(), Problems(problems)
    if before is not None:
        for problem in _restarts(before.configuration, configuration):
            found.add(problem)
    settings = configuration.settings
    loaded = loaded_of(settings, found)
    provided = Provided(loaded, found)
    callees = callees_of(settings, provided, found)
    clock: Any = reactor
    far = Far(
        settings,
        reactor,
        found,
        callees,
        provided,
        noted=lasting.noted,
        nonces=lasting.nonces,
    )
    identities = Identities(
        settings.identity,
        clock,
        found,
        before={} if before is None else before.keys,
        once=lasting.once or (lambda: MemoryOnce(clock)),
        provided=provided,
        own=lasting.own,
    )
    targets, identity = far.targets(lasting.site_key), identities.made()
    rules = decided(configuration, loaded, callees, found)
    bound = Bound.of(settings, provided)
    if before is not None:
        for problem in bound.restarts(before.bound):
            found.add(problem)
    channels = channels_of(settings, provided, clock)
    groups = groups_of(settings, provided, found, lasting.slack_groups)
    hooks = hooks_of(settings, reactor, found)
    keepers = keepers_of(settings, reactor, found, lasting.signs)
    archive = archive_of(settings, found)
    _check_keys(configuration.recording, found)
    active = people_of(settings, provided, found)
    slack = used(settings)
    tokens = None if slack is None else found.attempt(slack.where, tokens_of, slack)
    served = _served(settings.listen, found)
    if settings.store is not None and find_spec("psycopg") is None:
        found.add(f"{settings.store.where}: {NEEDS_PSYCOPG}")
    found.raise_any()
    said = [*notices(configuration), *_doubts(settings.listen, served, clock.seconds())]
    return InForce(
        configuration=configuration,
        plugins=loaded,
        decided=rules,
        targets=targets,
        ways=far.upstreams,
        sources=far.sources,
        identity=identity,
        keys=identities.keys,
        certificate=served[0],
        reverse=served[1],
        bound=bound,
        groups=groups,
        active=active,
        channels=channels,
        keepers=keepers,
        archive=archive,
        hooks=hooks,
        slack=tokens,
        notices=said,
    )


def _check_keys(recording: schema.Recording, found: Problems) -> None:
    """Tell which of the keys that are to sign it cannot be read."""
    for key in (recording.key, recording.key_before):
        if key is not None:
            found.attempt(recording.where, ed25519_key, key)


def _served(listen: schema.Listen, found: Problems) -> Sequence[PortCertificate | None]:
    """What agents are shown at the proxy's own port, and at the gateway's own hosts."""
    return [
        None if each is None else found.attempt(each.where, _certificate, each)
        for each in (listen.proxy_tls, listen.reverse)
    ]


def _doubts(
    listen: schema.Listen, served: Sequence[PortCertificate | None], now: float
) -> Iterator[str]:
    """Why agents will not take what the ports show them."""
    reverse = listen.reverse
    names = [(), () if reverse is None else tuple(reverse.hosts)]
    for tls, certificate, meant in zip((listen.proxy_tls, reverse), served, names, strict=True):
        doubt = None if certificate is None else certificate.doubt(now, meant)
        if tls is not None and doubt is not None:
            yield f"{tls.where}: {tls.cert} {doubt}."


def _certificate(tls: schema.ProxyTls) -> PortCertificate:
    key = read_secret(tls.key)
    try:
        return PortCertificate.read(tls.cert.read_bytes(), key)
    except OSError as error:
        raise ConfigurationInvalid([f"{tls.cert}: cannot be read: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigurationInvalid([f"{tls.cert}, {tls.key}: {error}"]) from error


def _restarts(before: Configuration, after: Configuration) -> Iterator[str]:
    """What differs and cannot be replaced while the gateway runs."""
    was = {name: value for name, value, _ in _fixed(before)}
    for name, value, where in _fixed(after):
        if was[name] != value:
            yield f"{where or after.settings.where}: {name} is another: restart to change it"


def _fixed(configuration: Configuration) -> Iterator[tuple[str, object, str]]:
    """What a running gateway is bound to, and where it stands."""
    settings = configuration.settings
    listen, recording = settings.listen, configuration.recording
    yield "state", settings.state, settings.where
    yield "services", settings.services, settings.where
    yield "workers", settings.workers, settings.where
    yield "log", (settings.log.lines, settings.log.level), settings.log.where
    yield "listen.proxy", listen.proxy, listen.where
    yield "listen.proxy_tls", listen.proxy_tls is not None, listen.where
    yield "listen.reverse.address", listen.reverse and listen.reverse.address, listen.where
    yield "listen.admin", listen.admin, listen.where
    yield "control.socket", configuration.control_socket, settings.control.where
    yield "limits", settings.limits.bounds, settings.limits.where
    yield "recording.directory", recording.directory, recording.where
    yield "recording.key", recording.key, recording.where
    yield "recording.key_before", recording.key_before, recording.where
    yield "recording.keepers", [each.model_dump() for each in recording.keepers], recording.where
    archive = recording.archive
    yield "recording.archive", archive and archive.model_dump(), recording.where
    yield "recording.write_once", recording.write_once, recording.where
    yield "recording.retention", recording.retention, recording.where
    yield "recording.sealer", recording.sealer, recording.where
    yield from fixed(settings)
    store = settings.store
    yield "store", None if store is None else store.model_dump(), getattr(store, "where", "")


def shares(settings: schema.Settings, own: int) -> bool:
    """Whether others than root and the gateway's own uid are to reach the control socket."""
    control = settings.control
    return bool({*control.approvers, *control.operators, *control.auditors} - {0, own})
