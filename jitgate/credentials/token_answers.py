"""What a token endpoint answers, read strictly (RFC 6749, section 5): a token, or why none."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from jitgate.credentials.dpop import BAD_PROOF, WANTS_NONCE
from jitgate.errors import CredentialUnavailable
from jitgate.fetching import USER_AGENT, Fetched

MAX_SKEW = 30.0
"""Seconds that two clocks may differ before that is taken for why an assertion is refused."""

LONGEST_LIFE = 86400.0
"""Seconds that a token may live, and after which any is taken for expired: no org's live as
long."""

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""A bearer token (RFC 6750, section 2.1): nothing that could end a header field."""

_ACCESS_TOKEN = re.compile(rb'"access_token"[ \t\r\n]*+:[ \t\r\n]*+("(?>[^"\\]|\\.)*+")')

MOST_TOKENS = 8
"""Tokens of one answer that are revoked: it was asked for one."""

_ID = re.compile(r"[\x21-\x7e]{1,128}")
"""A ``jti`` that goes on record: visible ASCII, and no longer than ids are."""

_ERROR_CODE = re.compile(r"[a-z_]{1,40}")
_OF_TIME = frozenset({"invalid_client", BAD_PROOF})
"""What an endpoint says of an assertion or a proof, which have a time in them."""


class TokenRefused(CredentialUnavailable):
    """The endpoint answered, and with no token.

    Args:
        said: Why, in a sentence or two.
        status: Of the answer.
        code: The error code of RFC 6749, section 5.2, or "".
    """

    def __init__(self, said: str, status: int, code: str) -> None:
        super().__init__(said)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, and what may be said of it."""

    secret: bytes = field(repr=False)
    app: str
    scopes: tuple[str, ...]
    dpop: bool
    asked_at: float
    """Before it was minted, in seconds since 1970."""
    expires_at: float
    id: str | None = None
    """Its ``jti``, if it is a JWT."""
    user_agent: str = USER_AGENT
    """What the gateway's own requests about it say in their User-Agent."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The token that was asked for: by which app, with which scopes, bound to a key, and when."""

    app: str
    scopes: tuple[str, ...]
    dpop: bool
    asked_at: float
    user_agent: str = USER_AGENT

    def token(self, text: str, scopes: tuple[str, ...] = (), life: float | None = None) -> Token:
        """A token that came of it; ``scopes``: those that it is known to have."""
        expires_at = self.asked_at + (LONGEST_LIFE if life is None else life)
        return Token(
            text.encode(),
            self.app,
            scopes,
            self.dpop,
            self.asked_at,
            expires_at,
            _token_id(text),
            self.user_agent,
        )


class Unwanted(CredentialUnavailable):
    """The endpoint's token is not what was asked for: it is good for something else.

    Args:
        why: In a sentence.
        tokens: All that the answer holds.
    """

    def __init__(self, why: str, *tokens: Token) -> None:
        super().__init__(why)
        self.tokens = tokens


def token_in(answer: Fetched, wanted: Wanted) -> Token:
    """The token that a successful answer holds, if it is exactly what was asked for.

    Raises `Unwanted` where it holds another one, and `CredentialUnavailable` for everything else.
    """
    members = members_of(answer)
    if members is None:
        raise _unusable("The token endpoint's answer is not one JSON object.", answer, wanted)
    secret, life = members.get("access_token"), members.get("expires_in")
    if not isinstance(secret, str) or not _TOKEN.fullmatch(secret):
        why = "The token endpoint's token is not one that a header can hold."
        raise _unusable(why, answer, wanted)
    lives = life if type(life) is int and 0 < life <= LONGEST_LIFE else None
    asked = _as_asked(members, secret, wanted.scopes)
    token = wanted.token(secret, wanted.scopes if asked else (), lives)
    if wrong := _wrong_type(members.get("token_type"), wanted.app, wanted.dpop):
        raise Unwanted(wrong, token)
    if lives is None:
        raise Unwanted(
            "The token endpoint does not say how long its token lives, or longer than a day.", token
        )
    if not asked:
        raise Unwanted("The token endpoint granted other scopes than asked for.", token)
    return token


def tokens_in(answer: Fetched, wanted: Wanted) -> list[Token]:
    """The tokens in an answer that none is taken from.

    They are looked for in its text, which need not be JSON: what is cut short or has two readings
    may hold a token that is as good as any.
    """
    texts = [_text_of(match[1]) for match in _ACCESS_TOKEN.finditer(answer.body)]
    return [wanted.token(text) for text in dict.fromkeys(texts) if text][:MOST_TOKENS]


def _unusable(why: str, answer: Fetched, wanted: Wanted) -> CredentialUnavailable:
    tokens = tokens_in(answer, wanted)
    return Unwanted(why, *tokens) if tokens else CredentialUnavailable(why)


def _text_of(literal: bytes) -> str:
    """What a string of JSON's says; nothing where it is none, or cannot be sent anywhere."""
    try:
        text: str = json.loads(literal)
        text.encode()
    except ValueError:
        return ""
    return text


def members_of(answer: Fetched) -> Mapping[str, Any] | None:
    """The answer's JSON object, each member of it named once; None if it is none."""
    try:
        text = answer.body.decode("utf-8")
        members = json.loads(text, object_pairs_hook=_once, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None


def code_of(answer: Fetched) -> str:
    """The error code of RFC 6749, section 5.2, if it is a plain word; nothing else is repeated."""
    code = (members_of(answer) or {}).get("error")
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""


def refusal(answer: Fetched, now: float, *, dpop: bool) -> str:
    """Why an answer is no success, in a sentence or two."""
    code = code_of(answer)
    said = f"The token endpoint answered {answer.status}{f' ({code})' if code else ''}."
    if code == BAD_PROOF and not dpop:
        return f"{said} It wants a proof: set dpop: true for this app."
    if code == WANTS_NONCE:
        return f"{said} It gives no nonce, or another after each."
    behind = _behind(answer, now)
    if code in _OF_TIME and abs(behind) > MAX_SKEW:
        side = "behind" if behind > 0 else "ahead of"
        said += f" The gateway's clock is {abs(behind):.0f} s {side} that of the token endpoint."
    return said


def _behind(answer: Fetched, now: float) -> float:
    """Seconds that this clock is behind the answer's Date (RFC 9110, section 6.6.1)."""
    try:
        date = parsedate_to_datetime(answer.header("Date") or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):  # it is no date, or none that a clock can show
        return 0.0


def _as_asked(members: Mapping[str, Any], secret: str, scopes: tuple[str, ...]) -> bool:
    """Whether it has the scopes that were asked for: so it is where none are named.

    Where the answer names none, a JWT may: in ``scope`` (RFC 9068, section 2.2.3), or ``scp``,
    which is Okta's own.
    """
    if "scope" in members:
        granted = members["scope"]
        return isinstance(granted, str) and set(granted.split(" ")) == set(scopes)
    claims = _claims(secret)
    named = [claims[name] for name in ("scp", "scope") if name in claims]
    return all(_scopes_in(each) == set(scopes) for each in named)


def _scopes_in(claim: object) -> set[str] | None:
    """The scopes that a claim names, in a list or one text; None where it does neither."""
    names = claim.split(" ") if isinstance(claim, str) else claim
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return set(names)


def _wrong_type(kind: object, app: str, dpop: bool) -> str:
    """Why a token is not of the type that the app is set to (RFC 9449, section 5); "" if it is."""
    named = kind.lower() if isinstance(kind, str) else ""
    if named == ("dpop" if dpop else "bearer"):
        return ""
    if dpop and named == "bearer":
        return (
            f"The token endpoint issued a bearer token to {app}, which is set to dpop: let the org "
            "require DPoP of that app, or set dpop: false."
        )
    if named == "dpop":
        return (
            f"The token endpoint issued a DPoP token to {app}, which is not set to dpop: set "
            "dpop: true."
        )
    return f"The token endpoint's token is not a {'DPoP' if dpop else 'bearer'} token."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands there twice")
    return members


def _refused(_: str) -> None:
    raise ValueError("a number that JSON does not have")


def _token_id(token: str) -> str | None:
    """The ``jti`` of a token that is a JWT, where it is one that any record can show."""
    name = _claims(token).get("jti")
    return name if isinstance(name, str) and _ID.fullmatch(name) else None


def _claims(token: str) -> Mapping[str, Any]:
    """What a token says that is a JWT; nothing of another. Its signature is the org's affair."""
    segments = token.split(".")
    if len(segments) != 3:
        return {}
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(segments[1] + "=" * (-len(segments[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}
