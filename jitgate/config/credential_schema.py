"""What targets need to accept a call, as the configuration speaks of it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from jitgate.config.kinds import (
    Address,
    Duration,
    FilePath,
    HeaderName,
    HttpsUrl,
    Name,
    RiskWord,
    Secret,
    Section,
)
from jitgate.core.fields import HOP_BY_HOP
from jitgate.values import Risk

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_OF_THE_MESSAGE = HOP_BY_HOP | {b"host", b"content-length", b"expect"}


def _carries(name: str) -> str:
    if name.lower().encode() in _OF_THE_MESSAGE:
        raise ValueError(f"the field {name} says where a call goes, or how: it is no credential")
    return name


def _user(name: str) -> str:
    if ":" in name or _CONTROL.search(name):
        raise ValueError("a user name was expected: text without a colon")
    return name


CarryingHeader = Annotated[HeaderName, AfterValidator(_carries)]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{1,64}$")]
UserName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_user)]


class OktaApp(Section):
    """One service app of several: which operations it is for."""

    name: Name
    client_id: str = Field(min_length=1)
    key_id: str = Field(min_length=1)
    private_key: Secret
    dpop: bool = True
    risks: tuple[RiskWord, ...] = Field(min_length=1, strict=False)
    scopes: tuple[str, ...] | None = Field(default=None, min_length=1, strict=False)


class OktaCredential(Section):
    """A service app of an Okta org, or several by risk: a token is minted for each operation."""

    type: Literal["okta"]
    org: HttpsUrl
    client_id: str | None = Field(default=None, min_length=1)
    key_id: str | None = Field(default=None, min_length=1)
    private_key: Secret | None = None
    dpop: bool = True
    apps: tuple[OktaApp, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _one_app_or_several(self) -> OktaCredential:
        alone = {"client_id", "key_id", "private_key", "dpop"} & self.model_fields_set
        if "apps" not in self.model_fields_set:
            if missing := {"client_id", "key_id", "private_key"} - alone:
                raise ValueError(f"{', '.join(sorted(missing))} is missing, or else a list of apps")
            return self
        if alone:
            raise ValueError(f"{', '.join(sorted(alone))} stands in each of apps instead")
        if not self.apps:
            raise ValueError("apps is empty: no operation is covered")
        names = [app.name for app in self.apps]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two apps are named {twice}")
        return self

    @property
    def every(self) -> tuple[OktaApp, ...]:
        """All of its apps; one alone is named by its client id, and is for everything."""
        if self.client_id is None or self.key_id is None or self.private_key is None:
            return self.apps
        return (
            OktaApp.model_construct(
                name=self.client_id,
                client_id=self.client_id,
                key_id=self.key_id,
                private_key=self.private_key,
                dpop=self.dpop,
                risks=tuple(Risk),
            ),
        )


class BasicPair(Section):
    """Basic authentication (RFC 7617)."""

    username: UserName
    password: Secret


class StaticCredential(Section):
    """One fixed secret, for every call: in a header field, as Basic, in the query or the body."""

    type: Literal["static"]
    header: CarryingHeader | None = None
    basic: BasicPair | None = None
    query: ParameterName | None = None
    body: ParameterName | None = None
    value: Secret | None = None

    @model_validator(mode="after")
    def _is_carried_in_one_way(self) -> StaticCredential:
        _one_way(self)
        if (self.value is None) is (self.basic is None):
            raise ValueError("value goes with header, query and body; basic has its password")
        return self


VaultPath = Annotated[
    str, Field(max_length=512, pattern=r"^[A-Za-z0-9_.@ -]+(/[A-Za-z0-9_.@ -]+)*$")
]
"""Segments with a slash between them; what stands in one is escaped."""


class AppRole(Section):
    """A role of a Vault's, and the secret that proves it."""

    role_id: str = Field(min_length=1, max_length=255)
    secret_id: Secret
    mount: VaultPath = "approle"


class VaultAuth(Section):
    """By what a Vault knows the gateway: a token, or a role that tokens are made for."""

    token: Secret | None = None
    approle: AppRole | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> VaultAuth:
        if (self.token is None) is (self.approle is None):
            raise ValueError("one of token and approle was expected")
        return self


class BasicName(Section):
    """The user name that goes with a password that is kept elsewhere."""

    username: UserName


class Carried(Section):
    """What carries a secret that is kept elsewhere."""

    header: CarryingHeader | None = None
    prefix: str = Field(default="", max_length=64, pattern=r"^[!-~]?[ -~]*$")
    basic: BasicName | None = None
    query: ParameterName | None = None
    body: ParameterName | None = None

    @model_validator(mode="after")
    def _is_carried_in_one_way(self) -> Carried:
        _one_way(self)
        if self.prefix and self.header is None:
            raise ValueError("prefix goes with header")
        return self


class VaultCredential(Section):
    """One secret that a Vault keeps, or an OpenBao: a field in a KV engine, version 2."""

    type: Literal["vault"]
    address: HttpsUrl
    trust: FilePath | None = None
    dial: Address | None = None
    namespace: VaultPath | None = None
    auth: VaultAuth
    mount: VaultPath = "secret"
    path: VaultPath
    field: str = Field(min_length=1, max_length=255)
    carried: Carried = Field(alias="as")
    fresh: Duration = Field(default=60.0, ge=1.0, le=3600.0)
    oldest: Duration = Field(default=300.0, ge=1.0, le=86400.0)

    @model_validator(mode="after")
    def _fits_together(self) -> VaultCredential:
        host = self.address.removeprefix("https://").rstrip("/")
        if "/" in host:
            raise ValueError("address is a host and nothing more, such as https://vault.acme:8200")
        if self.oldest < self.fresh:
            raise ValueError("oldest is shorter than fresh: nothing would be kept so long")
        if any(set(part) == {"."} for part in (*self.mount.split("/"), *self.path.split("/"))):
            raise ValueError("a path goes down, and nowhere else")
        return self


def _one_way(section: Section) -> None:
    """One thing carries a secret: two could be read as two secrets."""
    ways = ("header", "basic", "query", "body")
    if len(section.model_fields_set.intersection(ways)) != 1:
        raise ValueError("one of header, basic, query and body was expected")
