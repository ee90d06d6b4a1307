"""What the words in names tell of an API: which risk to propose, which fields hold secrets.

All of it is a proposal to people: names are hints, and those who choose them owe nobody anything.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from jitgate.core.wording import words
from jitgate.values import SAFE_METHODS, Risk


def _these(text: str) -> frozenset[str]:
    """The words that a text is made of."""
    return frozenset(text.split())


# --- risk

_POWER = _these("""
    access acl admin administrator allowlist authenticator authorization authorize authorizer
    bypass cert certificate collaborator credential denylist enrollment factor federation
    grant grantee hook iam identity idp impersonate impersonation installation invitation invite
    jwk key maintainer member membership mfa moderator oauth oidc owner ownership passphrase
    passkey password permission policy privilege privileged protection provisioning restriction
    role rule ruleset runner saml scim scope secret security sso token transfer trust
    visibility webhook zone
    """)
"""Words of what gives or takes power."""

_DESTROYING = _these("delete destroy drop erase purge remove terminate truncate wipe")

_READING = _these(
    "check compare count describe download export find get head list lookup query read search "
    "show validate verify"
)

_ACTING = _these(
    "accept activate add approve assign cancel clear create deactivate delete deny destroy disable "
    "enable execute expire generate grant invoke lock logout merge publish purge register reject "
    "remove replace reset restart resume retry revoke rotate run send set signout start stop "
    "submit suspend sync trigger unassign unlock unsuspend update upload wipe"
)

_MORE_THAN_READING = _these("admin all delete edit full manage modify write")
"""Words of scopes that a call which only reads would not need, unless they say read too."""


def proposed_risk(method: str, path: Sequence[str], name: str, scopes: Iterable[str]) -> Risk:
    """The risk to propose for an operation; ``path`` is the fixed segments of its template.

    A safe method reads, unless its name or scopes say that it does something. All others write at
    least; what deletes is destructive, and what is about power is privileged.
    """
    named = words(re.split(r"[/.:#]", name)[-1])
    last = words(path[-1]) if path else []
    if method in SAFE_METHODS and not _acts(named[:1], last, scopes):
        return Risk.READ
    whole = last if len(last) == 1 else []
    if method == "DELETE" or not _DESTROYING.isdisjoint([*named[:1], *whole]):
        return Risk.DESTRUCTIVE
    said = {_singular(each) for segment in [*path, name] for each in words(segment)}
    return Risk.WRITE if _POWER.isdisjoint(said) else Risk.PRIVILEGED


def _acts(verb: Sequence[str], last: Sequence[str], scopes: Iterable[str]) -> bool:
    if any(_is_for_more({*words(scope)}) for scope in scopes):
        return True
    if verb and verb[0] in _ACTING:
        return True
    reads = bool(verb) and verb[0] in _READING
    return not reads and len(last) == 1 and last[0] in _ACTING


def _is_for_more(said: set[str]) -> bool:
    return "read" not in said and not _MORE_THAN_READING.isdisjoint(said)


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


# --- secrets

_SECRET_AT_END = _these("""
    apikey credential credentials jwt otp passcode passphrase passwd password passwords pem pin pwd
    secret secrets token tokens
    """)
_SECRET_PAIRS = frozenset(
    {
        ("access", "key"),
        ("api", "key"),
        ("correct", "answer"),
        ("encoded", "jit"),
        ("encryption", "key"),
        ("password", "hash"),
        ("private", "key"),
        ("recovery", "answer"),
        ("recovery", "code"),
        ("recovery", "codes"),
        ("secret", "hash"),
        ("secret", "key"),
        ("shared", "key"),
        ("signing", "key"),
    }
)
_LINKS = _these("link uri url")
_OPENING = _these("activation magic reset")
"""A link of these is as good as a password."""

_OF_NO_SECRET = _these("continuation cursor next page previous public sync")
"""Before "token": where to read on; before "key": for anybody."""

_RUN_TOGETHER = re.compile(
    r"(?:private|secret|api|access|signing|shared|encryption)key\Z|(?:client|shared)secret\Z|"
    r"(?:access|refresh|id|auth)token\Z"
)


def names_a_secret(field: str) -> bool:
    """Whether a field of this name is proposed as a secret."""
    said = words(field)
    if not said or not _OF_NO_SECRET.isdisjoint(said):
        return False
    return (
        said[-1] in _SECRET_AT_END
        or (said[-1] in _LINKS and not _OPENING.isdisjoint(said))
        or not _SECRET_PAIRS.isdisjoint(itertools.pairwise(said))
        or _RUN_TOGETHER.search(said[-1]) is not None
    )
