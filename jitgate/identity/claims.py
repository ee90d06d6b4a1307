"""What signed claims prove: a Subject, or the first reason why they prove none. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jitgate.identity.vendors import Vendor
from jitgate.values import Subject

LEEWAY = 30
"""Seconds by which ``nbf`` and ``iat`` may lie ahead of our clock. ``exp`` is given none."""

MAX_LIFE = 24 * 3600
"""Seconds from now to the latest ``exp`` that is taken: a stolen token must not live for long."""

MAX_ACTORS = 8
"""Links of an ``act`` chain. A chain of delegation longer than that is no agent's of ours."""

_SCOPES = (["scope"], ["scp"])
"""Claims that are a list even where they are one text, with spaces between (RFC 6749, section 3.3;
RFC 9068, section 2.2.3)."""

_ABSENT: Final = object()

Claims = Mapping[str, Any]
Value = str | int | bool


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """Claims that the issuer signed. `jitgate.identity.oidc.verify_signature` alone makes one."""

    claims: Claims = field(repr=False)


@dataclass(frozen=True, slots=True)
class Trust:
    """How far an issuer's tokens are believed."""

    issuer: str
    audience: str
    vendor: Vendor
    also_for: frozenset[str] = frozenset()
    """Audiences that a token may have beside ours: whoever they are could use it here."""
    groups: tuple[str, ...] | None = None
    """The claims that name groups, in place of the vendor's."""
    required: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Claims, by name or pointer, that must have one of these values."""
    owner_claim: str | None = None
    """The claim, by name or pointer, that says whose agent it is."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Whose agent it is, by ``sub``."""


class _Objection(Exception):
    """A reason why the claims prove nothing; it holds nothing of them."""


def subject_of(claims: VerifiedClaims, trust: Trust, now: float) -> Subject | str:
    """The Subject that the claims prove, or why they prove none.

    Its ``humans`` are those who must not approve what it asks for: the owner, whoever stands in
    the ``act`` chain (RFC 8693, section 4.1), and every name and address that the token gives to
    any of them, verified or not: one too many keeps nobody out but from approving. Its own id is
    not repeated there.
    """
    return _judged(claims.claims, trust, now)


def objection(claims: Claims, trust: Trust, now: float) -> str | None:
    """Why claims prove nothing, whoever signed them; None: that depends on who did."""
    judged = _judged(claims, trust, now)
    return judged if isinstance(judged, str) else None


def _judged(claims: Claims, trust: Trust, now: float) -> Subject | str:
    try:
        _check(claims, trust, now)
        return _subject(claims, trust)
    except _Objection as why:
        return str(why)


def _check(claims: Claims, trust: Trust, now: float) -> None:
    _check_kind(claims)
    if claims.get("iss") != trust.issuer:
        raise _Objection("another issuer made it")
    _check_audience(claims.get("aud"), trust)
    _check_sub(claims.get("sub"))
    if not isinstance(claims.get("jti", ""), str):  # RFC 7519, section 4.1.7
        raise _Objection("its jti is not a string")
    _check_time(claims, now)
    _check_values(claims, trust)


def _check_sub(sub: object) -> None:
    """Whether it names somebody in a way that people can read, compare and type."""
    if not isinstance(sub, str) or not is_name(sub):
        raise _Objection("it has no sub")
    if not sub.isprintable() or sub != sub.strip():
        raise _Objection("its sub cannot be shown")


def _check_kind(claims: Claims) -> None:
    """Whether it is a token that gives access at all, and whoever brings it."""
    if "events" in claims:  # RFC 8417, section 2.2; OpenID Connect Back-Channel Logout 1.0
        raise _Objection("it tells of an event (a logout, say), and gives no access")
    if "htm" in claims or "htu" in claims:  # RFC 9449, section 4.2
        raise _Objection("it is a proof of a key (DPoP), and gives no access")
    if str(claims.get("typ", "")).lower() in {"refresh", "offline", "logout"}:  # Keycloak's
        raise _Objection("its typ claim says that it gives no access")
    if "cnf" in claims:  # RFC 7800
        raise _Objection("it is bound to a key (cnf), whose proof is not checked here yet")


def _check_audience(audience: object, trust: Trust) -> None:
    """One audience, or several of which none but ours and those named is a stranger's."""
    named = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(each, str) for each in named) or trust.audience not in named:
        raise _Objection("it is meant for another audience")
    if not {trust.audience, *trust.also_for}.issuperset(named):
        raise _Objection("it is meant for others as well, whom also_for does not name")


def _check_time(claims: Claims, now: float) -> None:
    expiry = claims.get("exp")
    if type(expiry) is not int:
        raise _Objection("its exp is not a whole number")
    if expiry <= now:
        raise _Objection("it has expired")
    if expiry > now + MAX_LIFE + LEEWAY:
        raise _Objection(f"it expires in more than {MAX_LIFE // 3600} hours")
    for name in ("nbf", "iat"):
        time = claims.get(name, 0)
        if type(time) is not int:
            raise _Objection(f"its {name} is not a whole number")
        if time > now + LEEWAY:
            raise _Objection(f"its {name} lies ahead of this machine's clock")


def _check_values(claims: Claims, trust: Trust) -> None:
    vendor = trust.vendor
    for name, value in vendor.fixed.items():
        if claims.get(name) != value:
            raise _Objection(f"its {name} is not {value}")
    if vendor.tenant is not None:
        tenant = claims.get(vendor.tenant)
        if not is_name(tenant) or f"/{tenant}/" not in f"{trust.issuer}/":
            raise _Objection(f"its {vendor.tenant} is not the issuer's")
    for pointer, values in trust.required.items():
        found = (claim(claims, pointer), *_elements(claims, pointer))
        if not any(
            type(each) is type(value) and each == value for each in found for value in values
        ):
            raise _Objection(f"its {pointer} is not what is required")


# --- who it is


def _subject(claims: Claims, trust: Trust) -> Subject:
    chain = _chain(claims)
    names = (*_actors(chain), *_owner(claims, trust), *_people(chain, trust.vendor))
    return Subject(
        issuer=trust.issuer,
        id=claims["sub"],
        groups=_groups(claims, trust.groups or trust.vendor.groups),
        expires_at=float(claims["exp"]),
        humans=tuple(name for name in dict.fromkeys(names) if name != claims["sub"]),
        session=next((claims[each] for each in ("sid", "jti") if is_name(claims.get(each))), None),
        agent=_agent(claims, trust.vendor),
        issued_at=float(claims.get("iat", claims.get("nbf", 0))),
    )


def _agent(claims: Claims, vendor: Vendor) -> str | None:
    """The program, where the token tells it from whom it acts for (RFC 8693, section 4.1)."""
    if "act" in claims:
        return str(claims["act"]["sub"])
    named = (claims[each] for each in vendor.agent if is_name(claims.get(each)))
    client = next(named, None)
    return None if client == claims["sub"] else client


def _groups(claims: Claims, pointers: Sequence[str]) -> frozenset[str]:
    _check_whole(claims, pointers)
    groups: set[str] = set()
    for pointer in pointers:
        for name in _elements(claims, pointer):
            if not isinstance(name, str):
                raise _Objection("its groups are neither a string nor a list of strings")
            groups.add(name)
    return frozenset(groups)


def _check_whole(claims: Claims, pointers: Sequence[str]) -> None:
    """Whether the groups are all there: Entra leaves them out where there are too many.

    They would have to be fetched from elsewhere (OpenID Connect Core 1.0, section 5.6.2). Taken
    for none, a rule that denies a group would not apply.
    """
    elsewhere = claims.get("_claim_names")
    names = elsewhere if isinstance(elsewhere, Mapping) else {}
    if claims.get("hasgroups") or any(_parts(pointer)[0] in names for pointer in pointers):
        raise _Objection(
            "it leaves out the groups, of which there are too many (overage): let the issuer send "
            "only those that are assigned to the application, or app roles"
        )


def _owner(claims: Claims, trust: Trust) -> tuple[str, ...]:
    listed = (trust.owners[claims["sub"]],) if claims["sub"] in trust.owners else ()
    owner = _ABSENT if trust.owner_claim is None else claim(claims, trust.owner_claim, _ABSENT)
    if owner is _ABSENT:
        return listed
    if not isinstance(owner, str) or not is_name(owner):
        raise _Objection("its owner is not a string")
    return *listed, owner


def _chain(claims: Claims) -> tuple[Claims, ...]:
    """What is said of the subject, and then of each actor, the current one first."""
    chain = [claims]
    while "act" in chain[-1]:
        link = chain[-1]["act"]
        if len(chain) > MAX_ACTORS or not isinstance(link, dict) or not is_name(link.get("sub")):
            raise _Objection("its act claim does not name each actor by a sub")
        chain.append(link)
    return tuple(chain)


def _actors(chain: Sequence[Claims]) -> Iterator[str]:
    for link in chain[1:]:
        yield link["sub"]
        if is_name(link.get("iss")):
            yield f"{link['iss']} {link['sub']}"


def _people(chain: Sequence[Claims], vendor: Vendor) -> Iterator[str]:
    """The other names of the subject and of every actor.

    An address counts whatever ``email_verified`` says (OpenID Connect Core 1.0, section 5.1): who
    is taken for a human of the agent by mistake cannot approve, and gains nothing by it.
    """
    for link in chain:
        yield from (link[name] for name in vendor.people if is_name(link.get(name)))


# --- claims


def claim(claims: Claims, pointer: str, default: object = None) -> object:
    """The value at a name, or at a pointer (RFC 6901, through objects alone)."""
    found: object = claims
    for part in _parts(pointer):
        if not isinstance(found, Mapping) or part not in found:
            return default
        found = found[part]
    return found


def _elements(claims: Claims, pointer: str) -> list[object]:
    """What a claim lists: nothing if it is absent, itself if it is no list."""
    found = claim(claims, pointer, [])
    if isinstance(found, str) and _parts(pointer) in _SCOPES:
        return [each for each in found.split(" ") if each]
    return found if isinstance(found, list) else [found]


def _parts(pointer: str) -> list[str]:
    if not pointer.startswith("/"):
        return [pointer]
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def is_name(value: object) -> bool:
    """Whether it can name somebody."""
    return isinstance(value, str) and value != ""
