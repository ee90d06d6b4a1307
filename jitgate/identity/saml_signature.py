"""The one assertion of a document, and whether its issuer signed it: that and nothing beside it.

What signxml returns as signed is what is read from then on (`SignedAssertion`); the document that
came in is not looked at again. What signxml would have to decide by the document (which signature,
over what, how transformed, by whose key) is decided here before, so that it has one answer.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.x509 import Certificate
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from jitgate.identity.saml_precheck import could_have_signed
from jitgate.identity.saml_xml import (
    EXCLUSIVE,
    PROTOCOL,
    SIGNATURE,
    Objection,
    called,
    children,
    ds,
    identifiers,
    name,
    parser,
    saml,
    text,
)

_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_XMLENC = "http://www.w3.org/2001/04/xmlenc#"
ENVELOPED = SIGNATURE + "enveloped-signature"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"

ALGORITHMS = {
    f"{kind}-{digest}": _MORE + f"{kind}-{digest}"
    for kind in ("rsa", "ecdsa")
    for digest in ("sha256", "sha384", "sha512")
}
"""What assertions may be signed with (RFC 6931, section 2.3), by its name in the configuration."""

DIGESTS = frozenset({_XMLENC + "sha256", _MORE + "sha384", _XMLENC + "sha512"})

MAX_VISIBLE = 8
"""Prefixes that exclusive canonicalization may be told to keep (Okta names ``xs``)."""

_ID = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,255}\Z")
"""An NCName (Namespaces in XML 1.0, section 3), of ASCII; all known issuers' are."""

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}\Z")


@dataclass(frozen=True, slots=True)
class UnverifiedAssertion:
    """The one assertion of a document that anybody may have made."""

    id: str
    issuer: str = field(repr=False)
    element: etree._Element = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedAssertion:
    """The element that an issuer signed. `verify_signature` alone makes one."""

    id: str
    element: etree._Element = field(repr=False)


# --- which one


def only_assertion(root: etree._Element) -> UnverifiedAssertion:
    """The document's one assertion: its root, or what a response holds. Raises `Objection`."""
    if called(root, "EncryptedAssertion") or called(root, "EncryptedData"):
        raise Objection("it is encrypted, which is not taken: let the issuer send it in plain")
    if len(called(root, "Assertion")) != 1:
        raise Objection("it does not hold exactly one assertion")
    seen = identifiers(root)
    if len(set(seen)) != len(seen):
        raise Objection("an ID stands twice in it")
    assertion = root if root.tag == saml("Assertion") else _answered(root)
    key = assertion.get("ID", "")
    if not _ID.match(key):
        raise Objection("its ID is not one")
    inside = children(assertion)
    if not inside or inside[0].tag != saml("Issuer"):
        raise Objection("it does not begin with its Issuer")
    return UnverifiedAssertion(key, name(inside[0]), assertion)


def _answered(response: etree._Element) -> etree._Element:
    """The assertion in a response that nobody asked for (SAML 2.0 Core, section 3.3.3).

    Whether the response is signed proves nothing here: only the assertion is read.
    """
    if response.tag != f"{{{PROTOCOL}}}Response":
        raise Objection("it is neither an assertion of SAML 2.0 nor a response with one")
    if "InResponseTo" in response.attrib:
        raise Objection("it answers a request (InResponseTo), which was not made here")
    inside = children(response)
    tags = [element.tag for element in inside]
    order = [saml("Issuer"), ds("Signature"), f"{{{PROTOCOL}}}Status", saml("Assertion")]
    if tags not in ([*order[:cut], *order[2:]] for cut in (0, 1, 2)):
        raise Objection("its parts are not those of a response, in their order")
    codes = children(inside[-2])
    if not codes or codes[0].get("Value") != SUCCESS:
        raise Objection("its response tells of a failure")
    return inside[-1]


# --- who signed it


def verify_signature(
    assertion: UnverifiedAssertion,
    certificates: Sequence[Certificate],
    algorithms: frozenset[str],
    now: float,
) -> SignedAssertion:
    """The assertion as one of the ``certificates`` signed it. Raises `Objection`.

    ``algorithms`` are names in `ALGORITHMS`. Keys that the document brings along are not looked at.
    """
    # A document of its own: nothing around the assertion is there to be found.
    alone = etree.fromstring(_written(assertion.element), parser())
    signature = _only_signature(alone)
    method = _check_signature(signature, assertion.id, algorithms)
    for key_info in signature.findall(ds("KeyInfo")):
        signature.remove(key_info)
    data = _written(alone)
    for certificate in could_have_signed(alone, certificates, method):
        signed = signed_part(data, certificate, method, now)
        if signed is None:
            continue
        if (signed.tag, signed.get("ID")) == (saml("Assertion"), assertion.id):
            return SignedAssertion(assertion.id, signed)
    raise Objection("its signature is not the issuer's")


def signed_part(
    data: bytes, certificate: Certificate, method: str, now: float
) -> etree._Element | None:
    """What signxml found to be signed in an assertion that stands alone, None if it is not.

    The assertion's signature has been checked for its form, and ``method`` is its algorithm.
    """
    expected = SignatureConfiguration(
        location="./",
        expect_references=1,
        signature_methods=frozenset({SignatureMethod(ALGORITHMS[method])}),
        digest_algorithms=frozenset(map(DigestAlgorithm, DIGESTS)),
        verification_time=datetime.fromtimestamp(now, UTC),
    )
    try:
        result = XMLVerifier().verify(
            data,
            x509_cert=certificate,
            parser=parser(),
            id_attribute="ID",
            validate_schema=False,  # stricter than the schema, it has been checked
            expect_config=expected,
        )
    except (SignXMLException, ValueError, etree.LxmlError):
        return None
    return None if isinstance(result, list) else result.signed_xml


def _written(element: etree._Element) -> bytes:
    data: bytes = etree.tostring(element, encoding="utf-8", xml_declaration=False, with_tail=False)
    return data


def _only_signature(assertion: etree._Element) -> etree._Element:
    """The assertion's own signature, in its place; there is no other in it."""
    inside = children(assertion)
    found = called(assertion, "Signature")
    if not found:
        raise Objection("it is not signed itself")
    if len(found) > 1 or len(inside) < 2 or inside[1] is not found[0]:
        raise Objection("its signature is not the one after its Issuer")
    if inside[1].tag != ds("Signature"):
        raise Objection("its signature is none of XML Signature")
    return inside[1]


def _check_signature(signature: etree._Element, key: str, algorithms: frozenset[str]) -> str:
    """The algorithm's name, if the signature has the one form that is taken.

    SAML 2.0 Core, section 5.4, and no freedom that it leaves.
    """
    parts = _named(signature, "SignedInfo", "SignatureValue", optional="KeyInfo")
    info = _named(parts[0], "CanonicalizationMethod", "SignatureMethod", "Reference")
    _check_canonical(info[0])
    method = info[1].get("Algorithm", "")
    chosen = next((each for each in algorithms if ALGORITHMS[each] == method), None)
    if chosen is None or children(info[1]):
        raise Objection("its signature's algorithm is not one that is taken from this issuer")
    _check_reference(info[2], key)
    _check_base64(parts[1])
    return chosen


def _check_reference(reference: etree._Element, key: str) -> None:
    if reference.get("URI") != f"#{key}" or "Type" in reference.attrib:
        raise Objection("its signature is over something else than itself")
    transforms, digest, value = _named(reference, "Transforms", "DigestMethod", "DigestValue")
    steps = children(transforms)
    if [(step.tag, step.get("Algorithm")) for step in steps] != [
        (ds("Transform"), ENVELOPED),
        (ds("Transform"), EXCLUSIVE),
    ] or children(steps[0]):
        raise Objection("it is transformed before it is signed, otherwise than is taken")
    _check_canonical(steps[1])
    if digest.get("Algorithm") not in DIGESTS or children(digest):
        raise Objection("its digest's algorithm is not SHA-256 or better")
    _check_base64(value)


def _check_canonical(method: etree._Element) -> None:
    """Exclusive XML Canonicalization 1.0 without comments, which may keep a few prefixes."""
    inside = children(method)
    prefixes = inside[0].get("PrefixList", "") if inside else ""
    if (
        method.get("Algorithm") != EXCLUSIVE
        or [each.tag for each in inside] not in ([], [f"{{{EXCLUSIVE}}}InclusiveNamespaces"])
        or len(prefixes.split(" ")) > MAX_VISIBLE
        or len(prefixes) > 256
    ):
        raise Objection("it is not signed in exclusive canonical form")


def _named(
    element: etree._Element, *names: str, optional: str | None = None
) -> list[etree._Element]:
    """The elements in one of the signature's: exactly these, in this order."""
    inside = children(element)
    tags, expected = [each.tag for each in inside], [ds(each) for each in names]
    if tags != expected and (optional is None or tags != [*expected, ds(optional)]):
        raise Objection("the parts of its signature are not those that are taken, in their order")
    return inside


def _check_base64(element: etree._Element) -> None:
    """One spelling but for white space (XML Signature, section 4.3)."""
    found = "".join(text(element).split())
    try:
        data = base64.b64decode(found, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data or not _BASE64.match(found) or base64.b64encode(data).decode() != found:
        raise Objection("a part of its signature is not base64")
