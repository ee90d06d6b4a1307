"""XML as it came: read strictly, believed in nothing, bounded before a parser sees it.

What has two readings is refused in the bytes: an XML document has a DTD, an entity of its own, a
comment or a CDATA section only where it has ``<!``, and a processing instruction only where it has
``<?`` (XML 1.0, sections 2.4 to 2.8). Without them the text of an element is one piece.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from lxml import etree

ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
METADATA = "urn:oasis:names:tc:SAML:2.0:metadata"
SIGNATURE = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"

MAX_DOCUMENT = 64 * 1024
"""Bytes of a document with an assertion. A CONNECT's head (64 KiB) carries up to 48 KiB of it."""

# What identity providers write (SAML 2.0 Core, section 2.7.3), with 300 groups and twenty other
# attributes: an element for each group (Okta, Entra, ADFS), to which Okta writes two namespaces and
# a type. Keycloak can be told to write an attribute for each group, with two elements and five XML
# attributes in all: of these 200 fit into the bytes. The rest of a response is about 50 elements,
# 80 XML attributes and 10 namespaces.

MAX_ELEMENTS = 640
"""Elements of a document with an assertion: with 300 groups up to 500 are written."""

MAX_DEPTH = 16
"""Elements inside each other: a response with a signed assertion has eight."""

MAX_ATTRIBUTES = 8
"""Attributes of one element, but for namespaces: a response has six."""

MAX_QUOTES = 3072
"""Quotes: each attribute and each namespace has two, so with 300 groups up to 2,300 are written.
Equals signs are no measure, for groups that are distinguished names are full of them."""

MAX_REFERENCES = 4096
"""References (``&amp;``, ``&#233;``): 300 groups, a dozen letters of each not of ASCII."""

MAX_PREFIXES = 768
"""Namespace declarations: with 300 groups up to 650 are written."""

MAX_DECLARED = 16
"""Namespace declarations of one element: a response has five."""

MAX_NAME = 1024
"""Letters of what names somebody or something."""

_DECLARATION = re.compile(
    rb"""<\?xml version=["']1\.0["'](?: encoding=["'][Uu][Tt][Ff]-8["'])?(?: standalone=["'](?:yes|no)["'])? ?\?>"""  # noqa: E501
)
_MARKUP = (
    (b"<!DOCTYPE", "it has a document type (DTD)"),
    (b"<!ENTITY", "it has a document type (DTD)"),
    (b"<!--", "it has a comment, which would cut text in two"),
    (b"<!", "it has a CDATA section or a declaration"),
    (b"<?", "it has a processing instruction"),
)
_TIME = re.compile(r"([0-9]{4}(?:-[0-9]{2}){2}T(?:[0-9]{2}:){2}[0-9]{2})(\.[0-9]{1,9})?Z\Z")
# libxml2 walks over a document a hundred times as fast as Python does.
_IDS = etree.XPath("//@*[translate(local-name(), 'ID', 'id') = 'id']")
_CALLED = etree.XPath("descendant-or-self::*[local-name() = $name]")
_TOO_DEEP = etree.XPath("boolean(" + "/*" * (MAX_DEPTH + 1) + ")")
_TOO_WIDE = etree.XPath(f"boolean(/descendant::*[@*[{MAX_ATTRIBUTES + 1}]])")
_TOO_MANY = etree.XPath(f"count(/descendant::*) > {MAX_ELEMENTS}")


class Objection(Exception):
    """A reason why a document proves nothing; it holds nothing of it."""


def saml(name: str) -> str:
    """An element's tag in the namespace of assertions."""
    return f"{{{ASSERTION}}}{name}"


def ds(name: str) -> str:
    """An element's tag in the namespace of signatures."""
    return f"{{{SIGNATURE}}}{name}"


def parser(*, comments: bool = False) -> etree.XMLParser:
    """A parser that resolves nothing, fetches nothing and repairs nothing. ``comments``: dropped.

    A new one each time: it keeps what was wrong with a document.
    """
    return etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        remove_comments=comments,
    )


def document(data: bytes) -> etree._Element:
    """The root of a document that an agent brought. Raises `Objection`."""
    if len(data) > MAX_DOCUMENT:
        raise Objection(f"it is longer than {MAX_DOCUMENT} bytes")
    declaration = _DECLARATION.match(data)
    body = data[declaration.end() :] if declaration else data
    for markup, reason in _MARKUP:
        if markup in body:
            raise Objection(reason)
    _check_counts(body)
    root = rooted(body, parser())
    if _TOO_MANY(root) or _TOO_DEEP(root) or _TOO_WIDE(root):
        raise Objection("its elements are too many or too deep, or have too many attributes")
    return root


def _check_counts(body: bytes) -> None:
    """What makes a document slow to read, counted in its bytes: text counts too, and never less."""
    if (
        body.count(b"<") > 2 * MAX_ELEMENTS
        or body.count(b"xmlns") > MAX_PREFIXES
        or body.count(b'"') + body.count(b"'") > MAX_QUOTES
        or body.count(b"&") > MAX_REFERENCES
    ):
        raise Objection("it has too many elements, attributes, namespaces or references")
    # A tag is in one piece: in the value of an attribute there is no "<" (XML 1.0, section 3.1).
    if any(piece.count(b"xmlns") > MAX_DECLARED for piece in body.split(b"<")):
        raise Objection("an element of it has too many namespaces")


def rooted(body: bytes, reader: etree.XMLParser) -> etree._Element:
    """The root of what is UTF-8 and well-formed XML. Raises `Objection`."""
    try:
        if "\0" in body.decode("utf-8") or body.startswith(b"\xef\xbb\xbf"):
            raise Objection("it is not plain UTF-8")
        return etree.fromstring(body, reader)
    except UnicodeDecodeError:
        raise Objection("it is not plain UTF-8") from None
    except (etree.XMLSyntaxError, ValueError):
        raise Objection("it is not well-formed XML") from None


def children(element: etree._Element) -> list[etree._Element]:
    """The elements in it; between them there must be nothing but white space."""
    inside = list(element)
    for text in (element.text, *(each.tail for each in inside)):
        if text is not None and text.strip(" \t\r\n"):
            raise Objection(f"there is text between the elements of {plain(element)}")
    return inside


def text(element: etree._Element) -> str:
    """The whole text of an element that has nothing but text."""
    if len(element):
        raise Objection(f"{plain(element)} has more than text in it")
    return element.text or ""


def name(element: etree._Element) -> str:
    """The text of an element, where it can name somebody: as it stands, and visible."""
    return as_name(text(element), plain(element))


def as_name(found: str | None, what: str) -> str:
    """The same of an attribute's value; ``what`` it is, for the reason."""
    if not found or len(found) > MAX_NAME or found != found.strip() or not found.isprintable():
        raise Objection(f"{what} names nobody: it is empty, too long or has white space around")
    return found


def instant(found: str | None, what: str) -> float:
    """A time in UTC (SAML 2.0 Core, section 1.3.3), in seconds since 1970."""
    if found is None:
        raise Objection(f"it has no {what}")
    try:
        matched = _TIME.match(found)
        begin = datetime.fromisoformat(matched[1] if matched else "").replace(tzinfo=UTC)
        return begin.timestamp() + float(matched[2] or 0.0 if matched else 0.0)
    except ValueError:
        raise Objection(f"{what} is not a time in UTC") from None


def plain(element: etree._Element) -> str:
    """An element's name for a reason: known ones alone, so that nothing of the document shows."""
    found = local(element)
    return found if found in _KNOWN else "an element"


def local(element: etree._Element) -> str:
    """An element's name without its namespace."""
    return str(etree.QName(element).localname)


def identifiers(root: etree._Element) -> list[str]:
    """Every attribute that could be taken for an ID, by whatever program."""
    return [str(value) for value in _IDS(root)]


def called(root: etree._Element, name: str) -> list[etree._Element]:
    """Every element of that name, in any namespace, that stands in it or is it."""
    return list(_CALLED(root, name=name))


_KNOWN = frozenset(
    {
        "Assertion",
        "Attribute",
        "AttributeStatement",
        "AttributeValue",
        "Audience",
        "AudienceRestriction",
        "AuthnStatement",
        "Conditions",
        "DigestValue",
        "Issuer",
        "KeyDescriptor",
        "NameID",
        "Reference",
        "Response",
        "Signature",
        "SignatureValue",
        "SignedInfo",
        "Status",
        "Subject",
        "SubjectConfirmation",
        "SubjectConfirmationData",
        "Transforms",
        "X509Certificate",
    }
)
