"""What differs between those who issue tokens, as data: nothing here decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Vendor:
    """How the tokens of one kind of issuer look."""

    types: frozenset[str] = frozenset({"jwt", "at+jwt", "jose", ""})
    """What their ``typ`` may be, in lower case and without "application/"; "": it may be missing.

    Issuers that set it on every token tell by it what a token is for (RFC 8725, section 3.11)."""
    groups: tuple[str, ...] = ("groups",)
    """The claims that name groups: names, or pointers (RFC 6901) where they lie deeper."""
    agent: tuple[str, ...] = ("azp", "client_id")
    """The claims that name the OAuth client; the first that is there counts."""
    people: tuple[str, ...] = ("email", "preferred_username", "upn")
    """Claims that name the human once more, beside ``sub``: no human approves under any name.

    They are read of every actor as well, and whether they were verified does not matter."""
    fixed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Claims that have this value in every token."""
    tenant: str | None = None
    """The claim whose value is a part of the issuer's path."""
    discovered_at: str = "{issuer}"
    """Where the discovery document is, before its well-known path."""


VENDORS: Final[Mapping[str, Vendor]] = {
    "generic": Vendor(),
    # developer.okta.com, "Build a JWT for client authentication" and the tokens' references.
    "okta": Vendor(
        types=frozenset({"jwt", "at+jwt", "okta-internal-at+jwt", ""}),
        agent=("cid",),
        people=("uid", "email", "preferred_username"),
    ),
    # learn.microsoft.com, "Access token claims reference". Application permissions are ``roles``.
    "entra-v1": Vendor(
        types=frozenset({"jwt"}),
        groups=("groups", "roles"),
        agent=("appid",),
        people=("oid", "upn", "unique_name", "email"),
        fixed=MappingProxyType({"ver": "1.0"}),
        tenant="tid",
        discovered_at="https://login.microsoftonline.com/{tenant}",
    ),
    "entra-v2": Vendor(
        types=frozenset({"jwt"}),
        groups=("groups", "roles"),
        agent=("azp",),
        people=("oid", "upn", "preferred_username", "email"),
        fixed=MappingProxyType({"ver": "2.0"}),
        tenant="tid",
    ),
}
"""By the name of the ``profile`` in the configuration."""


def discovered_at(vendor: Vendor, issuer: str) -> str:
    """The URL before the well-known path of the issuer's discovery document."""
    parts = urlsplit(issuer).path.split("/")
    return vendor.discovered_at.format(issuer=issuer, tenant=parts[1] if len(parts) > 1 else "")
