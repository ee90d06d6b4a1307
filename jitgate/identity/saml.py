"""What an assertion proves (SAML 2.0 Core; RFC 7522): a Subject, or the first reason why not. Pure.

An assertion is read (`jitgate.identity.saml_xml`), its signature is checked
(`jitgate.identity.saml_signature`), and only what was signed is read again, element by element, in
the schema's order: an element that is not known here could be a restriction, so it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.x509 import Certificate
from lxml import etree

from jitgate.identity.claims import LEEWAY, MAX_LIFE
from jitgate.identity.saml_signature import (
    ALGORITHMS,
    SignedAssertion,
    UnverifiedAssertion,
    only_assertion,
    verify_signature,
)
from jitgate.identity.saml_xml import (
    Objection,
    as_name,
    children,
    document,
    instant,
    name,
    saml,
    text,
)
from jitgate.values import Subject

BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
ENTITY = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"

NAME_IDS: Mapping[str, str] = {
    "persistent": PERSISTENT,
    "unspecified": UNSPECIFIED,
    "email": EMAIL,
}
"""The formats of names that are taken (SAML 2.0 Core, section 8.3), by their configured names."""

ELSEWHERE = "http://schemas.microsoft.com/claims/groups.link"
"""The attribute that Entra sends in place of the groups where there are more than 150."""

_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class SamlTrust:
    """How far an identity provider's assertions are believed."""

    issuer: str
    """Its entityID."""
    audience: str
    recipient: str
    algorithms: frozenset[str] = frozenset({"rsa-sha256", "ecdsa-sha256"})
    name_ids: frozenset[str] = frozenset(NAME_IDS)
    """Names in `NAME_IDS`."""
    groups: str | None = None
    """The attribute that names groups."""
    email: str | None = None
    """The attribute with verified e-mail addresses of the human."""
    required: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Attributes that must have one of these values, and no other."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Whose agent it is, by NameID."""

    def __post_init__(self) -> None:
        if not self.algorithms or not self.algorithms <= set(ALGORITHMS):
            raise ValueError(f"assertions can be signed with {' or '.join(ALGORITHMS)}")


@dataclass(frozen=True, slots=True)
class VerifiedAssertion:
    """An assertion that was signed for us, for now. `verified` alone makes one.

    Whether it was presented before is not known: its ``id`` is to be taken once.
    """

    id: str
    subject: Subject


def read_document(data: bytes) -> UnverifiedAssertion | str:
    """The assertion in a document, believed in nothing, or why there is none that is taken."""
    try:
        return only_assertion(document(data))
    except Objection as objection:
        return str(objection)


def verified(
    unverified: UnverifiedAssertion,
    trust: SamlTrust,
    certificates: Sequence[Certificate],
    now: float,
) -> VerifiedAssertion | str:
    """What an assertion proves, signed with one of the ``certificates``, or why it proves nothing.

    It is not changed: it may be asked for again.
    """
    try:
        signed = verify_signature(unverified, certificates, trust.algorithms, now)
        return VerifiedAssertion(signed.id, _subject(signed, trust, now))
    except Objection as objection:
        return str(objection)


def _subject(signed: SignedAssertion, trust: SamlTrust, now: float) -> Subject:
    assertion = signed.element
    issued = _issued(assertion, now)
    subject, conditions, statements = _parts(assertion, trust)
    named, by_email = _name_id(subject, trust)
    sessions = [each for each in statements if each.tag == saml("AuthnStatement")]
    if len(sessions) > 1:
        raise Objection("it tells of more than one session")
    attributes = _attributes(statements)
    end = min(
        _confirmed(subject, trust, now),
        _conditions_end(conditions, trust, now),
        _session_end(sessions, now),
    )
    if end > now + MAX_LIFE + LEEWAY:
        raise Objection(f"it expires in more than {MAX_LIFE // 3600} hours")
    _check_required(attributes, trust)
    humans = [*_owner(named, trust), *_addresses(attributes, trust)]
    if by_email:
        humans.append(named)
    session = sessions[0].get("SessionIndex") if sessions else None
    return Subject(
        issuer=trust.issuer,
        id=named,
        groups=_groups(attributes, trust),
        expires_at=end,
        humans=tuple(each for each in dict.fromkeys(humans) if each != named),
        session=signed.id if session is None else as_name(session, "its SessionIndex"),
        issued_at=issued,
    )


def _issued(assertion: etree._Element, now: float) -> float:
    """When it was made (section 2.3.3): what was revoked since is good no more."""
    if assertion.get("Version") != "2.0" or set(assertion.attrib) != {
        "Version",
        "ID",
        "IssueInstant",
    }:
        raise Objection("it is no assertion of SAML 2.0")
    issued = instant(assertion.get("IssueInstant"), "IssueInstant")
    if issued > now + LEEWAY:
        raise Objection("its IssueInstant lies ahead of this machine's clock")
    return issued


def _parts(
    assertion: etree._Element, trust: SamlTrust
) -> tuple[etree._Element, etree._Element, list[etree._Element]]:
    """Subject, Conditions and statements (section 2.3.3)."""
    inside = children(assertion)  # the signature is not in what it signs
    tags = [each.tag for each in inside]
    if tags[:3] != [saml("Issuer"), saml("Subject"), saml("Conditions")] or not {
        saml("AuthnStatement"),
        saml("AttributeStatement"),
    }.issuperset(tags[3:]):
        raise Objection("its parts are not those that are taken, in their order")
    issuer = inside[0]
    if name(issuer) != trust.issuer or issuer.get("Format", ENTITY) != ENTITY:
        raise Objection("another issuer made it")
    return inside[1], inside[2], inside[3:]


# --- who it is


def _name_id(subject: etree._Element, trust: SamlTrust) -> tuple[str, bool]:
    """The name, and whether it is an e-mail address (section 2.2.2)."""
    inside = children(subject)
    if [each.tag for each in inside] != [saml("NameID"), saml("SubjectConfirmation")]:
        raise Objection("its Subject is not one NameID with one confirmation")
    name_id = inside[0]
    form = name_id.get("Format", UNSPECIFIED)
    if form == TRANSIENT:
        raise Objection("its NameID is transient: it names somebody else each time")
    if form not in {NAME_IDS[each] for each in trust.name_ids}:
        raise Objection("its NameID has a format that is not taken from this issuer")
    for attribute, expected in (
        ("NameQualifier", trust.issuer),
        ("SPNameQualifier", trust.audience),
    ):
        if name_id.get(attribute, expected) != expected:
            raise Objection(f"its NameID is one of somebody else's ({attribute})")
    if "SPProvidedID" in name_id.attrib:
        raise Objection("its NameID has an SPProvidedID, which was never given")
    named = name(name_id)
    if form == EMAIL and "@" not in named[1:-1]:
        raise Objection("its NameID is no e-mail address")
    return named, form == EMAIL


def _owner(named: str, trust: SamlTrust) -> tuple[str, ...]:
    return (trust.owners[named],) if named in trust.owners else ()


# --- for whom, and until when


def _confirmed(subject: etree._Element, trust: SamlTrust, now: float) -> float:
    """Whether whoever brings it may: the end (SAML 2.0 Profiles, section 4.1.4.2; RFC 7522, 3)."""
    confirmation = children(subject)[1]
    if confirmation.get("Method") != BEARER:
        raise Objection("it is not for whoever brings it (bearer)")
    inside = children(confirmation)
    if [each.tag for each in inside] != [saml("SubjectConfirmationData")] or children(inside[0]):
        raise Objection("its confirmation is not one SubjectConfirmationData, empty")
    told = inside[0].attrib
    if "InResponseTo" in told:
        raise Objection("it answers a request (InResponseTo), which was not made here")
    if told.get("Recipient") != trust.recipient:
        raise Objection("it is meant for another recipient")
    if set(told) != {"Recipient", "NotOnOrAfter"}:
        raise Objection("its confirmation has no end, or depends on what is not checked here")
    return _end(told.get("NotOnOrAfter"), "its confirmation", now)


def _conditions_end(conditions: etree._Element, trust: SamlTrust, now: float) -> float:
    """Section 2.5.1. A condition that is not known could be any."""
    inside = children(conditions)
    restrictions = [each for each in inside if each.tag == saml("AudienceRestriction")]
    # Each assertion is used once, whether it asks for that or not.
    if {each.tag for each in inside} - {saml("AudienceRestriction"), saml("OneTimeUse")}:
        raise Objection("it has a condition that is not understood")
    if len(restrictions) != 1:
        raise Objection("it does not say once for which audience it is meant")
    audiences = children(restrictions[0])
    if [each.tag for each in audiences] != [saml("Audience")]:
        raise Objection("it is meant for others as well, or for nobody")
    if name(audiences[0]) != trust.audience:
        raise Objection("it is meant for another audience")
    begin = conditions.get("NotBefore")
    if begin is not None and instant(begin, "NotBefore") > now + LEEWAY:
        raise Objection("it is not valid yet")
    if not {"NotBefore", "NotOnOrAfter"}.issuperset(conditions.attrib):
        raise Objection("it has a condition that is not understood")
    if "NotOnOrAfter" not in conditions.attrib:
        return _NEVER  # the confirmation always has an end
    return _end(conditions.get("NotOnOrAfter"), "it", now)


def _session_end(sessions: Sequence[etree._Element], now: float) -> float:
    """Section 2.7.2."""
    for session in sessions:
        if instant(session.get("AuthnInstant"), "AuthnInstant") > now + LEEWAY:
            raise Objection("its AuthnInstant lies ahead of this machine's clock")
        if "SessionNotOnOrAfter" in session.attrib:
            return _end(session.get("SessionNotOnOrAfter"), "its session", now)
    return _NEVER


def _end(time: str | None, what: str, now: float) -> float:
    end = instant(time, "NotOnOrAfter")
    if end <= now:
        raise Objection(f"{what} has expired")
    return end


# --- attributes


def _attributes(statements: Sequence[etree._Element]) -> dict[str, list[etree._Element]]:
    """The values by the attribute's name (section 2.7.3)."""
    found: dict[str, list[etree._Element]] = {}
    for statement in statements:
        if statement.tag != saml("AttributeStatement"):
            continue
        for attribute in children(statement):
            if attribute.tag != saml("Attribute"):
                raise Objection("an attribute of it is encrypted, or none")
            values = children(attribute)
            if any(value.tag != saml("AttributeValue") for value in values):
                raise Objection("an attribute of it has something else than values")
            key = as_name(attribute.get("Name"), "an attribute")
            found.setdefault(key, []).extend(values)
    return found


def _groups(attributes: Mapping[str, list[etree._Element]], trust: SamlTrust) -> frozenset[str]:
    if trust.groups is None:
        return frozenset()
    if ELSEWHERE in attributes:  # taken for none, a rule that denies a group would not apply
        raise Objection(
            "it leaves out the groups, of which there are too many (overage): let the issuer send "
            "only those that are assigned to the application"
        )
    return frozenset(name(value) for value in attributes.get(trust.groups, ()) if text(value))


def _addresses(attributes: Mapping[str, list[etree._Element]], trust: SamlTrust) -> Iterator[str]:
    if trust.email is not None:
        yield from map(name, attributes.get(trust.email, ()))


def _check_required(attributes: Mapping[str, list[etree._Element]], trust: SamlTrust) -> None:
    for key, values in trust.required.items():
        found = {text(value) for value in attributes.get(key, ())}
        if len(found) != 1 or not found.issubset(values):
            raise Objection("an attribute of it is not what is required")
