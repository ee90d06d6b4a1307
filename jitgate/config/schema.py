"""What may stand in the configuration: every key, its kind, its default, its meaning.

Long, because it is one list: the sections of jitgate.yaml in their order, and a rule of a policy
file. Sections of which there are many kinds have schemas of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, PrivateAttr, Tag, model_validator

from jitgate.config.archive_schema import S3
from jitgate.config.credential_schema import (
    OktaCredential,
    StaticCredential,
    VaultCredential,
)
from jitgate.config.duty_schema import Budgets, GrantTerms, Quorums
from jitgate.config.identity_schema import Identity
from jitgate.config.keeper_schema import Keeper
from jitgate.config.kinds import (
    Address,
    Authority,
    CallPath,
    CatalogOf,
    Duration,
    FilePath,
    ForwardedName,
    HostName,
    Name,
    Person,
    Proxy,
    RiskWord,
    Secret,
    Section,
    Server,
    Size,
    Subprotocol,
    Uid,
    is_loopback,
)
from jitgate.config.masking_schema import Profile
from jitgate.config.slack_schema import Slack
from jitgate.config.store_schema import PostgresStore
from jitgate.config.webhook_schema import Webhook
from jitgate.core import limits
from jitgate.core.answers import SIGNED
from jitgate.core.duties import REUSED
from jitgate.core.fatigue import Fatigue
from jitgate.core.injection import COUNTING
from jitgate.core.limits import LIMITS
from jitgate.upstreams.address import is_public, literal

FATIGUE = Fatigue()

OWN_PAGES = "jitgate.internal:443"
"""The gateway's own pages, which a host of its own can stand for as for any target."""

ProvidedName = Annotated[str, Field(min_length=1, max_length=200)]
"""What a plugin calls something that it provides."""


class FromPlugin(Section):
    """What a plugin provides, by its name."""

    plugin: ProvidedName


def _branch(value: object) -> str:
    return "(plugin)" if isinstance(value, dict | FromPlugin) else "(word)"


class GroupElsewhere(Section):
    """A group of approvers that is kept elsewhere."""

    source: ProvidedName = Field(alias="from")
    """Who knows its members: what a plugin calls that."""
    group: str = Field(min_length=1, max_length=200)
    """What it is called there."""


def _kept(value: object) -> str:
    return "(elsewhere)" if isinstance(value, dict | GroupElsewhere) else "(listed)"


Group = Annotated[
    Annotated[tuple[Person, ...], Field(min_length=1, strict=False), Tag("(listed)")]
    | Annotated[GroupElsewhere, Tag("(elsewhere)")],
    Discriminator(_kept),
]


# --- jitgate.yaml


class ProxyTls(Section):
    """What agents check before they say anything to the proxy's port."""

    cert: FilePath
    key: Secret


class Reverse(ProxyTls):
    """Hosts of the gateway's own, each in the place of a target's, for agents without a proxy."""

    address: Address
    hosts: dict[HostName, Authority] = Field(min_length=1)


class Listen(Section):
    """Where agents, and those who watch, come in."""

    proxy: Address = ("127.0.0.1", 8080)
    proxy_tls: ProxyTls | None = None
    reverse: Reverse | None = None
    admin: Address = ("127.0.0.1", 8081)
    plugins: tuple[ProvidedName, ...] = Field(default=(), strict=False)
    insecure: bool = False

    @model_validator(mode="after")
    def _plain_is_for_loopback(self) -> Listen:
        proxy = () if self.proxy_tls is not None else (("proxy", self.proxy, ", set proxy_tls"),)
        for name, (host, _), way in (*proxy, ("admin", self.admin, "")):
            if not self.insecure and not is_loopback(host):
                raise ValueError(
                    f"listen.{name} is plain and {host} is no loopback address: tokens could be "
                    f"read on the way. Listen on loopback{way}, or set insecure: true knowingly"
                )
        return self


class PluginCredential(Section):
    """What a plugin's credential source of that name issues."""

    type: Literal["plugin"]
    name: ProvidedName


class NoCredential(Section):
    """Calls go out without any."""

    type: Literal["none"]


Credential = Annotated[
    OktaCredential | StaticCredential | VaultCredential | PluginCredential | NoCredential,
    Field(discriminator="type"),
]

Catalog = Annotated[
    Annotated[CatalogOf, Tag("(word)")] | Annotated[FromPlugin, Tag("(plugin)")],
    Discriminator(_branch),
]
"""Its tags are none of the words of the configuration, and not shown."""


class Via(Section):
    """A proxy before a target: it resolves the name, and decides where it connects to."""

    proxy: Proxy
    authorization: Secret | None = None


class WebSocket(Section):
    """Where a target takes WebSockets."""

    paths: tuple[CallPath, ...] = Field(min_length=1, strict=False)
    protocols: tuple[Subprotocol, ...] = Field(default=(), strict=False)


class Target(Section):
    """A far API."""

    name: Name
    hosts: tuple[Authority, ...] = Field(min_length=1, strict=False)
    catalog: Catalog
    credential: Credential
    dial: Address | None = None
    via: Via | None = None
    trust: FilePath | None = None
    http2: bool = False
    headers: tuple[ForwardedName, ...] = Field(default=(), strict=False)
    websocket: WebSocket | None = None

    @model_validator(mode="after")
    def _credential_changes_nothing_that_counts(self) -> Target:
        """A field that is part of what people approve is the agent's alone to send."""
        counting = COUNTING | {b"user-agent"} | {name.lower().encode() for name in self.headers}
        credential = self.credential
        if isinstance(credential, VaultCredential):
            name = credential.carried.header
        else:
            name = credential.header if isinstance(credential, StaticCredential) else None
        if name is not None and name.lower().encode() in counting:
            raise ValueError(f"the field {name} is part of a call: it cannot be a credential")
        return self

    @model_validator(mode="after")
    def _one_way(self) -> Target:
        """Only the operator's explicit word leads inside: a host alone is not one."""
        if self.dial is not None and self.via is not None:
            raise ValueError("dial and via exclude each other: a proxy resolves the name itself")
        if self.dial is None and self.via is None:
            for host in self.hosts:
                address = literal(host.rpartition(":")[0])
                if address is not None and not is_public(address):
                    raise ValueError(f"{address} is not a public address: name it in dial too")
        return self


class Recording(Section):
    """Where the evidence is kept, and how far from change."""

    directory: FilePath = Field(default_factory=Path)
    """Left out: `recordings` in the state folder."""
    plugin: ProvidedName | None = None
    key: Secret | None = None
    key_before: Secret | None = None
    write_once: Literal["required", "preferred", "off"] = "off"
    sealer: FilePath = Path("/run/jitgate-sealer/socket")
    retention: Duration | None = Field(default=None, ge=86400.0)
    keepers: tuple[Keeper, ...] = Field(default=(), strict=False)
    archive: S3 | None = None

    @model_validator(mode="after")
    def _deleted_by_the_sealer(self) -> Recording:
        if self.retention is not None and self.write_once == "off":
            raise ValueError("retention needs write_once: only a sealer deletes what has expired")
        return self

    @model_validator(mode="after")
    def _one_key_after_another(self) -> Recording:
        if self.key_before is not None and self.key in {None, self.key_before}:
            raise ValueError("key_before is the key that another one, in key, takes over from")
        return self

    @model_validator(mode="after")
    def _each_name_once(self) -> Recording:
        names = [each.name for each in self.keepers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two keepers are called {twice[0]}")
        return self


class Control(Section):
    """The Unix socket at which people answer and look; the kernel says who they are, by uid."""

    socket: FilePath | None = None
    approvers: dict[Uid, Person] = Field(default_factory=dict)
    operators: dict[Uid, Person] = Field(default_factory=dict)
    auditors: dict[Uid, Person] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_power_each(self) -> Control:
        lists = (self.approvers, self.operators, self.auditors)
        uids = [uid for each in lists for uid in each]
        twice = sorted({uid for uid in uids if uids.count(uid) > 1})
        if twice:
            raise ValueError(f"the uid {twice[0]} stands in two lists; each gives another power")
        return self


class FatigueBounds(Section):
    """How often people are asked, in any window of ``within``."""

    per_agent: int = Field(default=FATIGUE.per_agent, ge=1, le=100_000)
    per_approver: int = Field(default=FATIGUE.per_approver, ge=1, le=100_000)
    denials: int = Field(default=FATIGUE.denials, ge=1, le=1000)
    after_denials: int = Field(default=FATIGUE.after_denials, ge=1, le=10_000)
    alike: int = Field(default=FATIGUE.alike, ge=1, le=1000)
    within: Duration = Field(default=FATIGUE.within, ge=1.0, le=7 * 86400.0)


class Approvals(Section):
    """How calls wait for people, and who these are."""

    hold: Duration = Field(default=55.0, le=3600.0)
    linger: Duration = Field(default=120.0, le=86400.0)
    expire: Duration = Field(default=600.0, ge=1.0, le=7 * 86400.0)
    channels: tuple[ProvidedName, ...] = Field(default=("cli",), min_length=1, strict=False)
    groups: dict[str, Group] = Field(default_factory=dict)
    per_agent: int = Field(default=100, ge=1, le=100_000)
    in_all: int = Field(default=20_000, ge=1, le=1_000_000)
    inactive: tuple[Person, ...] = Field(default=(), strict=False)
    people: tuple[ProvidedName, ...] = Field(default=(), max_length=10, strict=False)
    cool_down: Duration = Field(default=FATIGUE.cool_down, le=7 * 86400.0)
    fatigue: FatigueBounds = FatigueBounds()
    names: bool = True
    review_body: Size = Field(default=1024 * 1024, ge=1, le=64 * 1024 * 1024)
    review_bodies: Size = Field(default=256 * 1024 * 1024, ge=1)

    @property
    def restraint(self) -> Fatigue:
        """The value that is handed to whoever keeps people from being asked too often."""
        return Fatigue(**self.fatigue.model_dump(), cool_down=self.cool_down)

    @model_validator(mode="after")
    def _fits_together(self) -> Approvals:
        if self.expire < self.hold:
            raise ValueError("expire is shorter than hold: nobody could answer in time")
        if self.review_bodies < self.review_body:
            raise ValueError("review_bodies has no room for one review_body")
        return self


class Limits(Section):
    """How much, and for how long; what each means stands in `jitgate.core.limits.Limits`."""

    head_bytes: Size = Field(default=LIMITS.head_bytes, ge=1024, le=1024**2)
    head_fields: int = Field(default=LIMITS.head_fields, ge=10, le=1000)
    body_bytes: Size = Field(default=LIMITS.body_bytes, ge=1, le=1024**4)
    message_bytes: Size = Field(default=LIMITS.message_bytes, ge=1024, le=64 * 1024**2)
    connect: Duration = Field(default=LIMITS.connect, ge=0.1, le=600.0)
    handshake: Duration = Field(default=LIMITS.handshake, ge=0.1, le=600.0)
    idle: Duration = Field(default=LIMITS.idle, ge=0.1, le=86400.0)
    head: Duration = Field(default=LIMITS.head, ge=0.1, le=600.0)
    stalled: Duration = Field(default=LIMITS.stalled, ge=0.1, le=3600.0)
    total: Duration = Field(default=LIMITS.total, ge=0.1, le=7 * 86400.0)
    closing: Duration = Field(default=LIMITS.closing, ge=0.1, le=600.0)
    stop: Duration = Field(default=LIMITS.stop, ge=1.0, le=3600.0)
    dial: Duration = Field(default=LIMITS.dial, ge=0.1, le=600.0)
    dial_handshake: Duration = Field(default=LIMITS.dial_handshake, ge=0.1, le=600.0)
    silence: Duration = Field(default=LIMITS.silence, ge=0.1, le=86400.0)
    connections: int = Field(default=LIMITS.connections, ge=1, le=1_000_000)
    connections_per_agent: int = Field(default=LIMITS.connections_per_agent, ge=1, le=1_000_000)
    unproved: int = Field(default=LIMITS.unproved, ge=8, le=1_000_000)
    http2_streams: int = Field(default=LIMITS.http2_streams, ge=1, le=10_000)
    http2_resets: int = Field(default=LIMITS.http2_resets, ge=1, le=100_000)
    http2_frames: int = Field(default=LIMITS.http2_frames, ge=10, le=1_000_000)
    exchanges: int = Field(default=LIMITS.exchanges, ge=1, le=1_000_000)
    exchanges_per_agent: int = Field(default=LIMITS.exchanges_per_agent, ge=1, le=1_000_000)
    masking_bytes: Size = Field(default=LIMITS.masking_bytes, ge=32 * 1024**2, le=1024**4)

    @property
    def bounds(self) -> limits.Limits:
        """The value that is handed to those who hold the bounds."""
        return limits.Limits(**self.model_dump())


class Plugin(Section):
    """A plugin file with its own options."""

    file: FilePath
    options: dict[str, Any] = Field(default_factory=dict)

    others: ClassVar[tuple[str, ...]] = ("options",)

    _written: Any = PrivateAttr(None)

    def kept(self, written: Any) -> None:
        """Remember where the options stand."""
        self._written = written

    @property
    def written(self) -> Any:
        """The options, as `jitgate.config.reading.Written`."""
        return self._written


Service = Literal["recorder", "control", "admin", "proxy"]


class Log(Section):
    """What the gateway itself says, on standard error."""

    lines: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warn", "error", "critical"] = "info"


class Settings(Section):
    """The whole of jitgate.yaml, as written."""

    state: FilePath
    listen: Listen = Listen()
    services: tuple[Service, ...] = Field(
        default=("recorder", "control", "admin", "proxy"), strict=False
    )
    workers: int = Field(default=1, ge=1, le=64)
    """How many processes carry exchanges; 1: the one there is."""
    log: Log = Log()
    control: Control = Control()
    identity: Identity
    resolver: tuple[Server, ...] = Field(default=(), max_length=3, strict=False)
    targets: tuple[Target, ...] = Field(min_length=1, strict=False)
    policy: tuple[str, ...] = Field(min_length=1, strict=False)
    masking: tuple[str, ...] = Field(default=(), strict=False)
    approvals: Approvals = Approvals()
    limits: Limits = Limits()
    recording: Recording | None = None
    store: PostgresStore | None = None
    webhooks: tuple[Webhook, ...] = Field(default=(), max_length=20, strict=False)
    slack: Slack | None = None
    plugins: tuple[Plugin, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _names_stand_once(self) -> Settings:
        _unique("target", [target.name for target in self.targets])
        _unique("host", [host for target in self.targets for host in target.hosts])
        if any(
            host.startswith("jitgate.internal:") for each in self.targets for host in each.hosts
        ):
            raise ValueError("jitgate.internal is the gateway's own host: no target can have it")
        _unique("issuer", [issuer.issuer for issuer in self.identity.issuers])
        _unique("issuer's name", [issuer.name for issuer in self.identity.issuers])
        _unique("service", self.services)
        _unique("channel", self.approvals.channels)
        _unique("webhook", [each.name for each in self.webhooks])
        if any(each.name in {"cli", "slack"} for each in self.webhooks):
            raise ValueError(
                "cli is the control socket and slack is Slack: no webhook can be called so"
            )
        _unique("source of people", self.approvals.people)
        _unique("listener", self.listen.plugins)
        return self

    @model_validator(mode="after")
    def _workers_can_work(self) -> Settings:
        if self.workers == 1:
            return self
        missing = {"recorder", "proxy"}.difference(self.services)
        if missing:
            raise ValueError(f"workers need the service {min(missing)}")
        if self.services.index("proxy") < self.services.index("recorder"):
            raise ValueError("workers need the recorder before the proxy among the services")
        if self.recording is not None and self.recording.plugin is not None:
            raise ValueError(
                "workers: each writes a log of its own, and a plugin keeps one: take workers: 1"
            )
        return self

    @model_validator(mode="after")
    def _own_hosts_stand_for_targets(self) -> Settings:
        """What agents call in a target's place leads to one, and none is a target's own name."""
        hosts = {host for each in self.targets for host in each.hosts} | {OWN_PAGES}
        for name, meant in (
            {} if self.listen.reverse is None else self.listen.reverse.hosts
        ).items():
            if meant not in hosts:
                raise ValueError(f"listen.reverse.hosts: {meant} is no target's host")
            if any(host.rpartition(":")[0] == name for host in hosts):
                raise ValueError(f"listen.reverse.hosts: {name} is a target's own name")
        return self


# --- policy files


Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Match(Section):
    """What a rule applies to: every test that is written must pass; one of each list is enough."""

    targets: tuple[str, ...] | None = Field(default=None, strict=False)
    actions: tuple[str, ...] | None = Field(default=None, strict=False)
    groups: tuple[str, ...] | None = Field(default=None, strict=False)
    methods: tuple[Method, ...] | None = Field(default=None, strict=False)
    paths: tuple[str, ...] | None = Field(default=None, strict=False)
    issuers: tuple[str, ...] | None = Field(default=None, strict=False)
    subjects: tuple[str, ...] | None = Field(default=None, strict=False)
    agents: tuple[str, ...] | None = Field(default=None, strict=False)
    risk: tuple[RiskWord, ...] | None = Field(default=None, strict=False)


class Rule(Section):
    """One statement of policy."""

    pictured = ("when",)

    name: Name
    reason: str = Field(min_length=1, max_length=500)
    match: Match
    when: str | None = Field(default=None, min_length=1)
    effect: Literal["permit", "review", "deny"]
    mode: Literal["enforce", "observe"] = "enforce"
    approvers: Quorums | None = None
    grant: GrantTerms | None = None
    auto: bool = False
    hold: Duration | None = Field(default=None, le=3600.0)
    mask: str | None = None
    record: Literal["head", "bodies"] | None = None
    budget: Budgets | None = None
    reuse: Duration | None = Field(default=None, le=REUSED)
    """How long a credential that was minted for such a call may serve others of the same scopes."""

    @model_validator(mode="after")
    def _fits_its_effect(self) -> Rule:
        written = self.model_fields_set
        if self.effect != "review" and written & {"approvers", "grant", "auto", "hold"}:
            raise ValueError("approvers, grant, auto and hold go with effect: review")
        if self.effect == "review" and self.approvers is None and not self.auto:
            raise ValueError("effect: review needs approvers, or auto: true")
        if self.approvers is not None and self.auto:
            raise ValueError(
                "approvers and auto exclude each other: people approve, or policy does"
            )
        if any(each.signs for each in self.approvers or ()):
            never = [each.value for each in self.match.risk or () if each not in SIGNED]
            if never:
                raise ValueError(f"signs: a sign is no answer to what is {' or '.join(never)}")
        if self.auto and self.hold is not None:
            raise ValueError("hold does not go with auto: nobody is waited for")
        if self.effect != "permit" and "reuse" in written:
            raise ValueError("reuse goes with effect: permit")
        for name in ("mask", "record", "budget"):
            if self.effect == "deny" and name in written:
                raise ValueError(f"{name} does not go with effect: deny")
        return self


class Configuration(Section):
    """Everything that was configured, checked."""

    file: Path
    """Where it was read from, to be read again."""
    settings: Settings
    rules: tuple[Rule, ...]
    profiles: tuple[Profile, ...]

    @property
    def state(self) -> Path:
        return self.settings.state

    @property
    def recording(self) -> Recording:
        said = self.settings.recording or Recording()
        if "directory" in said.model_fields_set:
            return said
        return said.model_copy(update={"directory": self.settings.state / "recordings"})

    @property
    def control_socket(self) -> Path:
        """Where people answer."""
        return self.settings.control.socket or self.settings.state / "control.sock"


def _unique(kind: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(f"the {kind} {twice[0]!r} stands more than once")
