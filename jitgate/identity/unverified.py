"""A token as it came: read strictly, believed in nothing.

The JWT library takes more than one spelling of a token (padding, duplicate members, any ``typ``),
so a token is read here first, and what has two readings never gets as far as a key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jitgate.core.strict_json import json_object
from jitgate.values import Denial, Refusal

MAX_TOKEN = 16 * 1024
"""Bytes of a token. Those of large providers, hundreds of groups included, stay below 8 KiB."""

MAX_CONTAINERS = 1024
"""Objects and lists in a token's claims. Keycloak's name two for each application with roles; each
takes time to read, and whoever reads a token does not know yet who made it."""

ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "ES384", "EdDSA"})
"""What tokens may be signed with (RFC 7518, section 3.1; RFC 8037); an issuer's list is a part.

Every one of them has a public key; whoever checks an HMAC could make one as well."""

_FORBIDDEN = ("crit", "jwk", "jku", "x5u", "x5c", "b64")
"""Header parameters that would change how the token is read or bring a key of its own along."""


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token in the compact form (RFC 7515, section 3.1) that anybody may have made."""

    text: str = field(repr=False)
    header: Mapping[str, Any] = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    payload: bytes = field(repr=False)
    """What the claims were read from."""

    @property
    def key_id(self) -> str | None:
        """Which of the issuer's keys the token says that it is signed with."""
        return self.header.get("kid")

    @property
    def algorithm(self) -> str:
        """What the token says that it is signed with."""
        return str(self.header["alg"])

    @property
    def type(self) -> str:
        """What the token says that it is (RFC 7515, section 4.1.9), "" if it does not say."""
        return str(self.header.get("typ", "")).lower().removeprefix("application/")


def token_refused(reason: str) -> Refusal:
    """The refusal of a token for a reason, which must hold nothing of the token."""
    return Refusal(
        Denial.TOKEN_REFUSED,
        f"The agent's token is refused: {reason}.",
        advice="Get a new token from the identity provider, then repeat the call.",
    )


def read_token(text: str) -> UnverifiedToken | Refusal:
    """The token's parts, or the refusal that says why it is no token. Checks no signature."""
    if len(text) > MAX_TOKEN:
        return token_refused(f"it is longer than {MAX_TOKEN} bytes")
    segments = text.split(".")
    if len(segments) != 3:
        return token_refused("it is not three segments with dots between them")
    decoded = [base64url_bytes(segment) for segment in segments]
    if None in decoded:
        return token_refused("a segment is not canonical base64url")
    payload = decoded[1] or b""
    header, claims = _part(decoded[0] or b""), _part(payload)
    if header is None or claims is None:
        return token_refused(
            "header or claims are not one unambiguous JSON object "
            f"of at most {MAX_CONTAINERS} objects and lists"
        )
    reason = _reason_in_header(header)
    return token_refused(reason) if reason else UnverifiedToken(text, header, claims, payload)


def _part(data: bytes) -> dict[str, Any] | None:
    """A part of a token, if it is a JSON object of a sane size; what is in texts counts as well."""
    if data.count(b"{") + data.count(b"[") > MAX_CONTAINERS:
        return None
    return json_object(data)


def _reason_in_header(header: Mapping[str, Any]) -> str | None:
    if any(name in header for name in _FORBIDDEN):
        return f"its header holds one of {', '.join(_FORBIDDEN)}"
    if not isinstance(header.get("alg"), str):
        return "its header names no algorithm"
    for name in ("kid", "cty", "x5t", "x5t#S256"):  # RFC 7515, section 4.1
        if not isinstance(header.get(name, ""), str):
            return f"its header's {name} is not a string"
    if "typ" in header and (not isinstance(header["typ"], str) or not header["typ"]):
        return "its header's typ is no word"
    return None


def base64url_bytes(text: str) -> bytes | None:
    """The bytes that ``text`` is the one base64url spelling of (RFC 7515, section 2), or None.

    The unused bits of the last letter must be zero, or a token would have several spellings.
    """
    try:
        data = base64.b64decode(
            text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True
        )
    except (UnicodeEncodeError, binascii.Error):
        return None
    return data if base64.urlsafe_b64encode(data).rstrip(b"=") == text.encode("ascii") else None
