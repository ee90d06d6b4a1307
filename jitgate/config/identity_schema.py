"""Whose tokens and assertions are believed, as it stands in the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from jitgate.config.kinds import (
    Duration,
    FilePath,
    HttpsUrl,
    Name,
    Person,
    Section,
    a_path,
    an_https_url,
)

ClaimValue = str | int | bool
"""What a claim may be required to be."""

ClaimValues = Annotated[tuple[ClaimValue, ...], Field(min_length=1, strict=False)]

ClaimName = Annotated[str, Field(pattern=r"^[^/\x00-\x1f][^\x00-\x1f]*$|^(/[^/\x00-\x1f]*)+$")]
"""A claim by its name, or by a pointer where it lies deeper."""

ClaimNames = Annotated[tuple[ClaimName, ...], Field(min_length=1, strict=False)]


def _metadata(value: object, info: ValidationInfo) -> Path | str:
    if isinstance(value, str) and value.startswith("https://"):
        return an_https_url(value)
    if isinstance(value, str) and "://" in value:
        raise ValueError("a path or an https:// address was expected")
    return a_path(value, info)


Metadata = Annotated[Path | str, BeforeValidator(_metadata)]
"""Where an identity provider's metadata is: a file, or an https URL."""

EntityId = Annotated[str, Field(min_length=1, max_length=1024)]
"""SAML 2.0 Metadata, section 2.2.1."""

SignedWith = Literal[
    "rsa-sha256", "rsa-sha384", "rsa-sha512", "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512"
]
Texts = Annotated[tuple[str, ...], Field(min_length=1, strict=False)]


class OidcIssuer(Section):
    """One OpenID provider whose tokens are believed, and how far."""

    name: Name
    type: Literal["oidc"]
    profile: Literal["generic", "okta", "entra-v1", "entra-v2"] = "generic"
    issuer: HttpsUrl
    audience: str = Field(min_length=1)
    also_for: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=(), strict=False)
    jwks: FilePath | None = None
    discovery: HttpsUrl | None = None
    keys_max_age: Duration = Field(default=12 * 3600.0, ge=900.0, le=7 * 86400.0)
    trust: FilePath | None = None
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "ES384", "EdDSA"], ...] = Field(
        default=("RS256", "ES256"), min_length=1, strict=False
    )
    groups_claim: ClaimName | ClaimNames | None = None
    required: dict[ClaimName, ClaimValue | ClaimValues] = Field(default_factory=dict)
    owner_claim: ClaimName | None = None
    owners: dict[str, Person] = Field(default_factory=dict)


class SamlIssuer(Section):
    """One SAML 2.0 identity provider whose assertions are believed, and how far."""

    name: Name
    type: Literal["saml"]
    issuer: EntityId
    metadata: Metadata
    certificates: tuple[FilePath, ...] = Field(default=(), strict=False)
    keys_max_age: Duration = Field(default=12 * 3600.0, ge=900.0, le=7 * 86400.0)
    trust: FilePath | None = None
    audience: str = Field(min_length=1)
    recipient: str = Field(min_length=1)
    algorithms: tuple[SignedWith, ...] = Field(
        default=("rsa-sha256", "ecdsa-sha256"), min_length=1, strict=False
    )
    name_ids: tuple[Literal["persistent", "unspecified", "email"], ...] = Field(
        default=("persistent", "unspecified", "email"), min_length=1, strict=False
    )
    groups_attribute: str | None = Field(default=None, min_length=1)
    email_attribute: str | None = Field(default=None, min_length=1)
    required: dict[str, str | Texts] = Field(default_factory=dict)
    owners: dict[str, Person] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _a_url_alone_says_nothing(self) -> SamlIssuer:
        """Whoever answers at the URL could publish a certificate of their own."""
        if isinstance(self.metadata, Path):
            if self.certificates or self.trust is not None:
                raise ValueError("certificates and trust go with metadata at a URL")
        elif not self.certificates:
            raise ValueError("metadata at a URL needs certificates: the ones that are believed")
        return self


class PluginIssuer(Section):
    """One issuer whose JWTs a plugin's verifier of that name proves."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    type: Literal["plugin"]
    issuer: Annotated[str, Field(min_length=1, max_length=1024)]


Issuer = Annotated[OidcIssuer | SamlIssuer | PluginIssuer, Field(discriminator="type")]


class Identity(Section):
    """Whose tokens are believed."""

    issuers: tuple[Issuer, ...] = Field(min_length=1, strict=False)
