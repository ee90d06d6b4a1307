r"""The kinds of secrets that are known by what they look like, wherever they stand.

Each has its *signs*: expressions over bytes of JSON, for `jitgate.core.json_search`. One of them
fits wherever the kind is found, however its text is written, but for escapes that begin with
``\u``: no sign takes up what has another escape (RFC 8259, section 7), and none looks at what
stands before a secret, for a line that ends there may be written ``\n``.

What is promised of each stands in docs/masking.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import re2

from jitgate.core import key_bounds
from jitgate.maskers import jwts
from jitgate.maskers.cards import cards

Place = tuple[int, int]
"""Where a secret begins and ends, in bytes."""

Finder = Callable[[bytes], Iterator[Place]]

SHORTEST_BEARER: Final = 16
"""Characters of a bearer token; shorter ones are words."""


_SILENT = re2.Options()
_SILENT.log_errors = False  # of what targets send


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of secret: where it may be, and where it is."""

    name: str
    signs: tuple[bytes, ...]
    find: Finder
    """Every one in a text, in UTF-8 and valid, in order."""


def _fits(pattern: str, *, group: int = 0, check: Callable[[bytes], bool] | None = None) -> Finder:
    """Finds what fits an RE2 expression, or its group; of that what passes the check."""
    expression = re2.compile(pattern, _SILENT)

    def find(text: bytes) -> Iterator[Place]:
        for found in expression.finditer(text):
            if check is None or check(found.group(group)):
                yield found.span(group)

    return find


def _all(*finders: Finder) -> Finder:
    def find(text: bytes) -> Iterator[Place]:
        for each in finders:
            yield from each(text)

    return find


# --- keys

PRIVATE_KEY = Kind(
    "private-key",
    (key_bounds.BEGINS.encode(),),
    _fits(rf"{key_bounds.BEGINS}(?s:.*?)(?:{key_bounds.ENDS}|\z)"),
)
"""PEM (RFC 7468), OpenPGP (RFC 9580, section 6.2) and SSH2: all that stands between two lines."""

AWS_KEY = Kind(
    "aws-key",
    (rb"A(?:KI|SI|BI|CC)A[A-Z0-9]{16}", rb"(?i:secret[_ -]?access[_ -]?key)"),
    _all(
        _fits(r"A(?:KI|SI|BI|CC)A[A-Z0-9]{16,}"),
        _fits(
            r"(?i:secret[_ -]?access[_ -]?key)[^A-Za-z0-9+/]{1,10}([A-Za-z0-9+/]{40,})",
            group=1,
        ),
    ),
)
"""IAM's unique ids of access keys, of bearer tokens and of credentials for one service; a secret
has nothing of its own to be known by but its 40 characters."""

GOOGLE_API_KEY = Kind(
    "google-api-key", (rb"AIza[A-Za-z0-9_-]{35}",), _fits(r"AIza[A-Za-z0-9_-]{35,}")
)

# --- tokens

JWT = Kind("jwt", (jwts.SIGN,), jwts.jwts)

_PART = "[A-Za-z0-9_-]"


def _is_api_token(run: bytes) -> bool:
    return len(run) == 42 and run.startswith(b"00")


OKTA_TOKEN = Kind(
    "okta-token",
    (rb"00[A-Za-z0-9_-]{40}", rb"(?i:ssws)"),
    _all(
        _fits(rf"{_PART}{{42,}}", check=_is_api_token),
        _fits(r"(?i:ssws)(?:[ \t:=+]|%20)+([A-Za-z0-9_-]{20,})", group=1),
    ),
)
"""Okta's guide "Create an API token" shows them behind the scheme SSWS, beginning with 00. That
they have 42 characters is what its developers' forum says."""

GITHUB_TOKEN = Kind(
    "github-token",
    (rb"gh[pousr]_[A-Za-z0-9_]{20}", rb"github_pat_[A-Za-z0-9_]{20}"),
    _fits(
        rf"(?:gh[pousr]_[A-Za-z0-9_]{{30,}}(?:{_PART}*\.{_PART}+\.{_PART}+)?"
        "|github_pat_[A-Za-z0-9_]{22,})"
    ),
)
"""GitHub's "About authentication"; since 2026 a token of an app's installation holds a JWT."""

_HOOK = r"(?i:hooks\.slack(?:-gov)?\.com"

SLACK_TOKEN = Kind(
    "slack-token",
    (rb"xox[a-z][.-]", rb"xapp-[0-9]", rb"xwfp-", f"{_HOOK})".encode()),
    _all(
        _fits(r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9%/+=_-]{10,}"),
        _fits(r"(?:xapp-[0-9]+|xwfp)-[A-Za-z0-9-]{10,}"),
        _fits(
            rf"{_HOOK}(?:/|%2f)(?:services|workflows|triggers)(?:/|%2f))([A-Za-z0-9/%_-]{{8,}})",
            group=1,
        ),
    ),
)
"""Slack's "Token types", and the addresses of its incoming webhooks and workflows."""


def _has_digit(token: bytes) -> bool:
    return any(digit in token for digit in b"0123456789")


BEARER = Kind(
    "bearer",
    (rb"(?i:bearer)(?:[ +]|%20)",),
    _fits(
        rf"(?i:bearer)(?:[ +]|%20)+([A-Za-z0-9._~+/=-]{{{SHORTEST_BEARER},}})",
        group=1,
        check=_has_digit,
    ),
)
"""RFC 6750, section 2.1. A word has no digit."""

_USERINFO = r"""[^\x00-\x20"#/:<>?@\\]"""

URL_PASSWORD = Kind(
    "url-password",
    (rb"""/[^ "#/:<>?@\\]*:[^ "#/<>?@\\]+@""",),
    _fits(rf"[A-Za-z][A-Za-z0-9+.-]*://{_USERINFO}*:((?:{_USERINFO}|:)+)@", group=1),
)
"""RFC 3986, section 3.2.1, with more characters than that allows."""

# --- people

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\pL\pM\pN-]"

EMAIL = Kind(
    "e-mail",
    (rb"@[A-Za-z0-9\x80-\xff\[]", rb"%40[A-Za-z0-9\x80-\xff\[]"),
    _fits(
        rf'(?:{_ATOM}+|"(?:[^"\\\x00-\x1f]|\\[ -~]){{0,64}}")(?:@|%40)'
        rf"(?:(?:[\pL\pM\pN][_\pL\pM\pN-]*[.\x{{3002}}\x{{FF0E}}\x{{FF61}}])+[\pL\pM][\pL\pM\pN-]*|\[[0-9A-Za-z.:]{{3,60}}\])"
    ),
)
"""RFC 5321, section 4.1.2, and RFC 6531; the dots of IDNA 2003 in domains."""

PAYMENT_CARD = Kind("payment-card", (rb"[0-9](?:[ -]?[0-9]){12}",), cards)

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            PRIVATE_KEY,
            JWT,
            OKTA_TOKEN,
            AWS_KEY,
            GITHUB_TOKEN,
            SLACK_TOKEN,
            GOOGLE_API_KEY,
            BEARER,
            URL_PASSWORD,
            EMAIL,
            PAYMENT_CARD,
        )
    }
)
"""By the names that configuration has for them."""


def known(name: str) -> Kind:
    """The kind of that name. Raises `ValueError` where there is none."""
    if name in KINDS:
        return KINDS[name]
    close = difflib.get_close_matches(name, KINDS, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(KINDS)}"
    raise ValueError(f"no detector {name!r} is known; {hint}")


SECRETS: Final[Sequence[str]] = tuple(
    name for name in KINDS if name not in {"e-mail", "payment-card"}
)
"""Those that give access, and say nothing of people."""
