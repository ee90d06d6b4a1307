"""What may stand in the configuration: every key, its kind, its default, its meaning."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)\Z")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_AUTHORITY = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?\Z"
)
_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)|(localhost)):([0-9]{1,5})\Z")
_NAME = r"^[a-z0-9][a-z0-9-]{0,63}$"
_NOT_TO_DECLARE = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    }
)
"""Fields that the gateway writes, that carry credentials, or that change which call it is."""

_FIELD_NAME = re.compile(r"[A-Za-z0-9-]{1,64}\Z")


# --- the kinds of values


def _duration(value: object) -> float:
    matched = _DURATION.match(value) if isinstance(value, str) else None
    if matched is None:
        raise ValueError("a duration with its unit was expected, such as 500ms, 55s, 2m, 1h")
    return int(matched[1]) * _UNITS[matched[2]]


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("a path was expected")
    base: Path = (info.context or {}).get("base", Path())
    try:
        return (base / value).resolve()
    except (OSError, RuntimeError):
        raise ValueError("this path leads nowhere: a link in it points to itself") from None


def _secret_file(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value.startswith("file:"):
        raise ValueError("file:PATH was expected: secrets do not stand in the configuration")
    return _path(value.removeprefix("file:"), info)


def _address(value: object) -> tuple[str, int]:
    matched = _ADDRESS.match(value) if isinstance(value, str) else None
    host = next(filter(None, matched.groups()), "") if matched else ""
    if matched is None or int(matched[4]) > 65535 or not (matched[3] or _is_address(host)):
        raise ValueError("ADDRESS:PORT was expected, such as 127.0.0.1:8080 or [::1]:8080")
    return host, int(matched[4])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def _authority(value: str) -> str:
    matched = _AUTHORITY.match(value.lower())
    if matched is None or int(matched[1] or 443) > 65535:
        raise ValueError("a host or host:port was expected, such as acme.okta.com")
    host = value.lower()
    return host if ":" in host.rpartition("]")[2] else f"{host}:443"


def _https(value: str) -> str:
    if not re.match(r"https://[a-zA-Z0-9.\[\]:-]+(/[!-~]*)?\Z", value):
        raise ValueError("an https:// address was expected")
    return value


def _header(value: str) -> str:
    if not _FIELD_NAME.match(value):
        raise ValueError("the name of a header field was expected")
    return value


def _forwarded(value: str) -> str:
    if value.lower() in _NOT_TO_DECLARE or value.lower().startswith("proxy-"):
        raise ValueError(f"the field {value} is never forwarded")
    return value


Duration = Annotated[float, BeforeValidator(_duration)]
FilePath = Annotated[Path, BeforeValidator(_path)]
SecretFile = Annotated[Path, BeforeValidator(_secret_file)]
Address = Annotated[tuple[str, int], BeforeValidator(_address)]
Authority = Annotated[str, AfterValidator(_authority)]
HttpsUrl = Annotated[str, AfterValidator(_https)]
HeaderName = Annotated[str, AfterValidator(_header)]
ForwardedName = Annotated[HeaderName, AfterValidator(_forwarded)]
Name = Annotated[str, Field(pattern=_NAME)]


class Section(BaseModel):
    """A mapping of which every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    _where: str = PrivateAttr("")

    @property
    def where(self) -> str:
        """``FILE:LINE`` of its first key."""
        return self._where

    def located(self, where: str) -> None:
        """Remember where it stands; called once, by whoever read it."""
        self._where = where

    @field_validator("*", mode="after")
    @classmethod
    def _something_is_written(cls, value: Any) -> Any:
        """A key without a value is unfinished: taken for "none", a rule would match too much."""
        if value is None:
            raise ValueError("a value was expected; leave the key out if there is none")
        return value


# --- jitgate.yaml


class Listen(Section):
    """Where agents, and those who watch, come in."""

    proxy: Address = ("127.0.0.1", 8080)
    admin: Address = ("127.0.0.1", 8081)
    insecure: bool = False

    @model_validator(mode="after")
    def _plain_is_for_loopback(self) -> Listen:
        for name, (host, _) in (("proxy", self.proxy), ("admin", self.admin)):
            if not self.insecure and not _is_loopback(host):
                raise ValueError(
                    f"listen.{name} is plain and {host} is no loopback address: tokens could be "
                    "read on the way. Listen on loopback, or set insecure: true knowingly"
                )
        return self


class Issuer(Section):
    """One OpenID provider whose tokens are believed, and how far."""

    name: Name
    type: Literal["oidc"]
    issuer: HttpsUrl
    audience: str = Field(min_length=1)
    jwks: FilePath | None = None
    trust: FilePath | None = None
    algorithms: tuple[Literal["RS256", "ES256"], ...] = Field(
        default=("RS256", "ES256"), min_length=1, strict=False
    )
    groups_claim: str = "groups"
    owner_claim: str | None = None
    owners: dict[str, str] = Field(default_factory=dict)


class Identity(Section):
    """Whose tokens are believed."""

    issuers: tuple[Issuer, ...] = Field(min_length=1, strict=False)


class OktaCredential(Section):
    """A service app of an Okta org: a token is minted for each operation."""

    type: Literal["okta"]
    org: HttpsUrl
    client_id: str = Field(min_length=1)
    key_id: str = Field(min_length=1)
    private_key: SecretFile


class StaticCredential(Section):
    """A header field with a fixed value."""

    type: Literal["static"]
    header: HeaderName
    value: SecretFile


class NoCredential(Section):
    """Calls go out without any."""

    type: Literal["none"]


Credential = Annotated[
    OktaCredential | StaticCredential | NoCredential, Field(discriminator="type")
]


class Target(Section):
    """A far API."""

    name: Name
    hosts: tuple[Authority, ...] = Field(min_length=1, strict=False)
    catalog: Literal["okta", "none"]
    credential: Credential
    dial: Address | None = None
    trust: FilePath | None = None
    headers: tuple[ForwardedName, ...] = Field(default=(), strict=False)


class Recording(Section):
    """Where the evidence is kept."""

    directory: FilePath


class Plugin(Section):
    """A plugin file with its own options."""

    file: FilePath
    options: dict[str, Any] = Field(default_factory=dict)


Service = Literal["recorder", "admin", "proxy"]


class Settings(Section):
    """The whole of jitgate.yaml, as written."""

    state: FilePath
    listen: Listen = Listen()
    services: tuple[Service, ...] = Field(default=("recorder", "admin", "proxy"), strict=False)
    identity: Identity
    targets: tuple[Target, ...] = Field(min_length=1, strict=False)
    policy: tuple[str, ...] = Field(min_length=1, strict=False)
    masking: tuple[str, ...] = Field(default=(), strict=False)
    recording: Recording | None = None
    plugins: tuple[Plugin, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _names_stand_once(self) -> Settings:
        _unique("target", [target.name for target in self.targets])
        _unique("host", [host for target in self.targets for host in target.hosts])
        _unique("issuer", [issuer.issuer for issuer in self.identity.issuers])
        _unique("issuer's name", [issuer.name for issuer in self.identity.issuers])
        _unique("service", self.services)
        return self


# --- policy and masking files


Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Match(Section):
    """What a rule applies to: every test that is written must pass; one of each list is enough."""

    targets: tuple[str, ...] | None = Field(default=None, strict=False)
    actions: tuple[str, ...] | None = Field(default=None, strict=False)
    groups: tuple[str, ...] | None = Field(default=None, strict=False)
    methods: tuple[Method, ...] | None = Field(default=None, strict=False)
    paths: tuple[str, ...] | None = Field(default=None, strict=False)


class Approvers(Section):
    """Who may answer for an operation that needs approval."""

    groups: tuple[str, ...] = Field(min_length=1, strict=False)
    quorum: int = Field(default=1, ge=1, le=10)


class GrantTerms(Section):
    """What an approval gives."""

    uses: int = Field(default=1, ge=1, le=1000)
    life: Duration = 300.0


class Rule(Section):
    """One statement of policy."""

    name: Name
    reason: str = Field(min_length=1, max_length=500)
    match: Match
    effect: Literal["permit", "review", "deny"]
    approvers: Approvers | None = None
    grant: GrantTerms | None = None
    mask: str | None = None

    @model_validator(mode="after")
    def _fits_its_effect(self) -> Rule:
        if self.effect != "review" and (self.approvers or self.grant):
            raise ValueError("approvers and grant go with effect: review")
        if self.effect == "review" and self.approvers is None:
            raise ValueError("effect: review needs approvers")
        if self.effect == "deny" and self.mask is not None:
            raise ValueError("mask does not go with effect: deny")
        return self


class Profile(Section):
    """What is masked in the responses that a rule names this profile for."""

    profile: Name
    secrets: Literal["catalog"] | None = None
    names: tuple[str, ...] = Field(default=(), strict=False)
    maskers: tuple[str, ...] = Field(default=(), strict=False)


class Configuration(Section):
    """Everything that was configured, checked."""

    settings: Settings
    rules: tuple[Rule, ...]
    profiles: tuple[Profile, ...]

    @property
    def state(self) -> Path:
        return self.settings.state

    @property
    def recording(self) -> Recording:
        return self.settings.recording or Recording.model_construct(
            directory=self.settings.state / "recordings"
        )


def _unique(kind: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(f"the {kind} {twice[0]!r} stands more than once")
