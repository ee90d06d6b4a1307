"""Documents as attackers make them out of what an identity provider signed, each with its reason.

XSW1 to XSW8 are those of "On Breaking SAML: Be Whoever You Want to Be" (USENIX Security 2012).
"""

from __future__ import annotations

import re
import socket
import time
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from identity.test_saml import proved, reason, subject
from lxml import etree
from support.saml import (
    ENVELOPED,
    EXCLUSIVE,
    MORE,
    alone,
    unsigned,
)

from jitgate.identity.saml_xml import (
    MAX_ATTRIBUTES,
    MAX_DECLARED,
    MAX_DEPTH,
    MAX_DOCUMENT,
    MAX_ELEMENTS,
    MAX_PREFIXES,
    MAX_QUOTES,
    MAX_REFERENCES,
    ds,
    saml,
)

XSLT = "http://www.w3.org/TR/1999/REC-xslt-19991116"
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
COMMENTED = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"
SHA1 = "http://www.w3.org/2000/09/xmldsig#sha1"
RSA_SHA1 = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"

ONE = "exactly one assertion"


# --- signatures wrapped


def parts(idp, **options):
    """A response, its assertion, and the assertion's signature."""
    response = etree.fromstring(idp.response(**options))
    assertion = response.find(saml("Assertion"))
    return response, assertion, assertion.find(ds("Signature"))


def evil(assertion):
    """The assertion as the attacker wants it to be read: of an administrator, under another ID."""
    copy = deepcopy(assertion)
    copy.set("ID", "_evil")
    copy.find(f".//{saml('NameID')}").text = "admin"
    return copy


def without(assertion):
    copy = deepcopy(assertion)
    copy.remove(copy.find(ds("Signature")))
    return copy


def xsw1(idp):
    response, assertion, _ = parts(idp, signResponse=True)
    original = deepcopy(response)
    response.set("ID", "_evil_response")
    response.replace(assertion, evil(assertion))
    original.remove(original.find(ds("Signature")))
    response.find(ds("Signature")).append(original)
    return response


def xsw2(idp):
    response, assertion, _ = parts(idp, signResponse=True)
    original = deepcopy(response)
    response.set("ID", "_evil_response")
    response.replace(assertion, evil(assertion))
    original.remove(original.find(ds("Signature")))
    response.find(ds("Signature")).addprevious(original)
    return response


def xsw3(idp):
    response, assertion, _ = parts(idp)
    assertion.addprevious(without(evil(assertion)))
    return response


def xsw4(idp):
    response, assertion, _ = parts(idp)
    outer = without(evil(assertion))
    response.replace(assertion, outer)
    outer.append(assertion)
    return response


def xsw5(idp):
    response, assertion, _ = parts(idp)
    response.replace(assertion, evil(assertion))
    response.append(without(assertion))
    return response


def xsw6(idp):
    response, assertion, _ = parts(idp)
    outer = evil(assertion)
    response.replace(assertion, outer)
    outer.find(ds("Signature")).append(without(assertion))
    return response


def xsw7(idp):
    response, assertion, _ = parts(idp)
    extensions = etree.Element("{urn:oasis:names:tc:SAML:2.0:protocol}Extensions")
    extensions.append(without(evil(assertion)))
    assertion.addprevious(extensions)
    return response


def xsw8(idp):
    response, assertion, _ = parts(idp)
    outer = evil(assertion)
    response.replace(assertion, outer)
    held = etree.SubElement(outer.find(ds("Signature")), ds("Object"))
    held.append(without(assertion))
    return response


@pytest.mark.parametrize("attack", [xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8])
def test_a_wrapped_signature_is_refused(idp, attack):
    assert ONE in reason(etree.tostring(attack(idp)), idp)


@pytest.mark.parametrize("attack", [xsw3, xsw4, xsw5, xsw6, xsw7, xsw8])
def test_nor_is_it_taken_where_the_original_hides_under_another_name(idp, attack):
    """Whoever resolves the reference finds the signed element, which is no assertion any more."""
    text = etree.tostring(attack(idp)).decode()
    hidden = re.sub(
        r"<saml:Assertion ([^>]*ID=\"_[^e].*?)</saml:Assertion>",
        r"<saml:Hidden \1</saml:Hidden>",
        text,
        flags=re.DOTALL,
    )
    assert isinstance(proved(hidden, idp), str)


# --- everything else that is done to a sound one


def other(idp, forger):
    return idp.sign(unsigned(idp.assertion()), key=forger)


def changed(old, new):
    def make(idp, forger):
        text, count = re.subn(old, lambda _: new, idp.assertion(), count=1)
        assert count
        return text

    return make


def signed(**options):
    return lambda idp, forger: idp.sign(unsigned(idp.assertion()), **options)


def moved(idp, forger):
    assertion = etree.fromstring(idp.assertion())
    assertion.append(assertion.find(ds("Signature")))
    return etree.tostring(assertion)


def moved_out(idp, forger):
    response, _, signature = parts(idp)
    response[0].addnext(signature)
    return etree.tostring(response)


def before_the_assertion(idp, forger):
    response, assertion, signature = parts(idp)
    assertion.addprevious(signature)
    return etree.tostring(response)


def before_the_issuer(idp, forger):
    assertion = etree.fromstring(idp.assertion())
    assertion.insert(0, assertion.find(ds("Signature")))
    return etree.tostring(assertion)


def signed_twice(idp, forger):
    assertion = etree.fromstring(idp.assertion())
    signature = assertion.find(ds("Signature"))
    signature.addnext(deepcopy(signature))
    return etree.tostring(assertion)


def same_id(idp, forger):
    response, assertion, _ = parts(idp)
    response.set("ID", assertion.get("ID"))
    return etree.tostring(response)


def same_id_in_small_letters(idp, forger):
    response, assertion, _ = parts(idp)
    response[0].set("id", assertion.get("ID"))
    return etree.tostring(response)


def two(idp, forger):
    response, assertion, _ = parts(idp)
    assertion.addnext(etree.fromstring(idp.assertion()))
    return etree.tostring(response)


def over_the_subject(idp, forger):
    """Signed is only a part, the rest is anybody's."""
    text = unsigned(idp.assertion()).replace("<saml:Subject>", '<saml:Subject ID="_part">')
    return idp.sign(text, reference="//*[local-name(.)='Subject']")


def over_all(idp, forger):
    text = idp.sign(unsigned(idp.assertion()))
    return re.sub('<Reference URI="#[^"]*"', '<Reference URI=""', text)


def over_something_elsewhere(idp, forger):
    text = idp.sign(unsigned(idp.assertion()))
    return re.sub('URI="#[^"]*"', 'URI="http://127.0.0.1:9/evil"', text)


def by_xpointer(idp, forger):
    text = idp.sign(unsigned(idp.assertion()))
    return re.sub('URI="#[^"]*"', 'URI="#xpointer(/)"', text)


def with_an_object(idp, forger):
    return idp.assertion().replace("</KeyInfo>", "</KeyInfo><Object/>")


def two_references(idp, forger):
    text = idp.assertion()
    found = re.search("<Reference .*</Reference>", text)[0]
    return text.replace(found, found * 2)


def forged_with_its_own_certificate(idp, forger):
    """Signed by the attacker, whose certificate stands in the KeyInfo."""
    with_theirs = re.sub("-----.*-----|\n", "", forger.certificate)
    info = f"<X509Data><X509Certificate>{with_theirs}</X509Certificate></X509Data>"
    return idp.sign(unsigned(idp.assertion()), key=forger, info=info)


def encrypted(idp, forger):
    return idp.response(
        encryptionCert=forger.certificate,
        encryptionPublicKey=forger.public,
        encryptionAlgorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm",
    )


ATTACKS = {
    "unsigned": (lambda idp, _: unsigned(idp.assertion()), "not signed itself"),
    "another key": (other, "signature is not the issuer's"),
    "the key in the document": (forged_with_its_own_certificate, "signature is not the issuer's"),
    "a changed name": (changed(">bot-7<", ">admin<"), "signature is not the issuer's"),
    "a changed group": (changed(">it-agents<", ">admins<"), "signature is not the issuer's"),
    "a longer life": (changed('NotOnOrAfter="20', 'NotOnOrAfter="21'), "signature is not"),
    "a group more": (
        changed(
            "</saml:Attribute>", "<saml:AttributeValue>x</saml:AttributeValue></saml:Attribute>"
        ),
        "signature is not",
    ),
    "another ID": (changed('ID="_', 'ID="_x'), "over something else"),
    "two assertions": (two, ONE),
    "signature at the end": (moved, "not the one after its Issuer"),
    "signature in the response": (moved_out, "not signed itself"),
    "signature before the assertion": (before_the_assertion, "not those of a response"),
    "signature before the issuer": (before_the_issuer, "begin with its Issuer"),
    "two signatures": (signed_twice, "not the one after its Issuer"),
    "an ID twice": (same_id, "an ID stands twice"),
    "an ID twice, in small letters": (same_id_in_small_letters, "an ID stands twice"),
    "only a part is signed": (over_the_subject, "over something else"),
    "all is signed": (over_all, "over something else"),
    "something elsewhere is signed": (over_something_elsewhere, "over something else"),
    "an XPointer": (by_xpointer, "over something else"),
    "an object in the signature": (with_an_object, "parts of its signature"),
    "two references": (two_references, "parts of its signature"),
    "SHA-1 in the signature": (signed(signature=RSA_SHA1), "signature's algorithm"),
    "SHA-1 in the digest": (signed(digest=SHA1), "digest's algorithm"),
    "samlp's own SHA-1": (
        lambda idp, _: idp.assertion(signatureAlgorithm="rsa-sha1", digestAlgorithm="sha1"),
        "signature's algorithm",
    ),
    "HMAC": (
        changed(f'{MORE}rsa-sha256"', 'http://www.w3.org/2000/09/xmldsig#hmac-sha1"'),
        "signature's algorithm",
    ),
    "XSLT": (
        changed(f'Transform Algorithm="{EXCLUSIVE}"', f'Transform Algorithm="{XSLT}"'),
        "transformed",
    ),
    "XPath": (
        changed(f'Transform Algorithm="{ENVELOPED}"', f'Transform Algorithm="{XPATH}"'),
        "transformed",
    ),
    "one transform more": (
        changed("<Transforms>", f'<Transforms><Transform Algorithm="{XPATH}"/>'),
        "transformed",
    ),
    "enveloped alone": (signed(transforms=[ENVELOPED]), "transformed"),
    "comments kept": (signed(transforms=[ENVELOPED, COMMENTED]), "transformed"),
    "inclusive canonicalization": (signed(canonical=INCLUSIVE), "canonical form"),
    "a digest that is empty": (
        lambda idp, _: re.sub("<DigestValue>.*</DigestValue>", "<DigestValue/>", idp.assertion()),
        "not base64",
    ),
    "a signature with other letters": (
        changed("</SignatureValue>", "!</SignatureValue>"),
        "not base64",
    ),
    "encrypted": (encrypted, "encrypted"),
    "a comment in the name": (changed("bot-7<", "admin<!-- -->bot-7<"), "comment"),
    "a comment anywhere": (changed("<saml:Subject>", "<saml:Subject><!--x-->"), "comment"),
    "CDATA in the name": (changed("bot-7<", "<![CDATA[bot-7]]><"), "CDATA"),
    "an instruction in the name": (changed("bot-7<", "bot<?x y?>-7<"), "processing instruction"),
    "a style sheet": (
        lambda idp, _: '<?xml-stylesheet href="http://127.0.0.1:9/x"?>' + idp.assertion(),
        "processing instruction",
    ),
    "a DTD": (lambda idp, _: f"<!DOCTYPE a>{idp.assertion()}", "document type"),
    "an external DTD": (
        lambda idp, _: f'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x">{idp.assertion()}',
        "document type",
    ),
    "an entity of a file": (
        lambda idp, _: (
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
            + idp.assertion().replace("bot-7", "&x;")
        ),
        "document type",
    ),
    "billion laughs": (
        lambda idp, _: (
            '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
            + idp.assertion().replace("bot-7", "&b;")
        ),
        "document type",
    ),
    "an entity of nobody's": (changed("bot-7<", "&x;<"), "not well-formed"),
    "another encoding": (
        lambda idp, _: (
            b'<?xml version="1.0" encoding="UTF-16"?>' + idp.assertion().encode("utf-16")
        ),
        "processing instruction",
    ),
    "UTF-16": (lambda idp, _: idp.assertion().encode("utf-16"), "UTF-8"),
    "a byte order mark": (lambda idp, _: b"\xef\xbb\xbf" + idp.assertion().encode(), "UTF-8"),
    "UTF-7": (
        lambda idp, _: '<?xml version="1.0" encoding="UTF-7"?>' + idp.assertion(),
        "processing instruction",
    ),
    "cut short": (lambda idp, _: idp.assertion()[:-3], "not well-formed"),
    "something after it": (lambda idp, _: idp.assertion() + "x", "not well-formed"),
    "empty": (lambda idp, _: "", "not well-formed"),
    "another namespace": (
        lambda idp, _: idp.assertion().replace("SAML:2.0:assertion", "SAML:1.0:assertion"),
        "neither an assertion of SAML 2.0",
    ),
    "in something else": (lambda idp, _: f"<a>{idp.assertion()}</a>", "neither an assertion"),
    "a response that failed": (
        lambda idp, _: idp.response(samlStatusCode="urn:oasis:names:tc:SAML:2.0:status:Responder"),
        "failure",
    ),
    "a response to a request": (lambda idp, _: idp.response(inResponseTo="_1"), "InResponseTo"),
    "an assertion for a request": (lambda idp, _: idp.assertion(inResponseTo="_1"), "InResponseTo"),
    "an ID that is none": (
        lambda idp, _: re.sub(' ID="[^"]*"', ' ID="1 or 1"', idp.assertion()),
        "its ID is not one",
    ),
    "too long": (lambda idp, _: idp.assertion() + " " * MAX_DOCUMENT, "longer than"),
    "too deep": (lambda idp, _: "<a>" * (MAX_DEPTH + 1) + "</a>" * (MAX_DEPTH + 1), "too deep"),
    "too many": (lambda idp, _: "<a>" + "<a/>" * (2 * MAX_ELEMENTS) + "</a>", "too many elements"),
    "too many without ends": (lambda idp, _: "<a>" + "<a/>" * MAX_ELEMENTS + "</a>", "too many or"),
    "too many attributes": (
        lambda idp, _: "<a>" + "<a b='' c='' d='' e='' f=''/>" * (MAX_QUOTES // 10 + 1) + "</a>",
        "too many elements, attributes",
    ),
    "too many attributes, quoted in both ways": (
        lambda idp, _: "<a>" + "<a b='' c='' d=\"\" e=\"\"/>" * (MAX_QUOTES // 8 + 1) + "</a>",
        "too many elements, attributes",
    ),
    "too many namespaces": (
        lambda idp, _: "<a>" + "<a xmlns:a='u:' xmlns:b='u:'/>" * (MAX_PREFIXES // 2 + 1) + "</a>",
        "too many elements, attributes",
    ),
    "too many references": (
        changed("bot-7<", "bot-7" + "&#65;" * (MAX_REFERENCES + 1) + "<"),
        "namespaces or references",
    ),
    "too many namespaces at once": (
        lambda idp, _: (
            "<a b='>'" + "".join(f" xmlns:a{i}='u:'" for i in range(MAX_DECLARED + 1)) + "/>"
        ),
        "too many namespaces",
    ),
    "too wide": (
        lambda idp, _: "<a" + "".join(f" a{i}='u'" for i in range(MAX_ATTRIBUTES + 1)) + "/>",
        "too many attributes",
    ),
}


@pytest.mark.parametrize(("make", "why"), ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_refused_for_its_reason(idp, forger, make, why):
    assert why in reason(make(idp, forger), idp)


def test_a_certificate_in_the_document_is_not_looked_at(idp, forger):
    """Whoever signed is told by the pinned certificates alone, whatever the KeyInfo says."""
    theirs = re.sub("-----.*-----|\n", "", forger.certificate)
    stuffed = re.sub(
        "<X509Certificate>.*</X509Certificate>",
        f"<X509Certificate>{theirs}</X509Certificate>",
        idp.assertion(),
    )
    assert subject(stuffed, idp).id == "bot-7"
    assert isinstance(proved(stuffed, idp, certificates=[forger.x509]), str)
    named = re.sub("<X509Data>.*</X509Data>", "<KeyValue><x/></KeyValue>", idp.assertion())
    assert subject(named, idp).id == "bot-7"


def test_nothing_that_a_document_names_is_asked_for(idp):
    """Not even where it could be: each would be tried before its document is refused."""
    sound = idp.assertion()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        schema = "http://www.w3.org/2001/XMLSchema-instance"
        for document in (
            f'<!DOCTYPE a SYSTEM "{url}">{sound}',
            f'<!DOCTYPE a [<!ENTITY x SYSTEM "{url}">]>{sound.replace("bot-7", "&x;")}',
            f'<!DOCTYPE a [<!ENTITY % x SYSTEM "{url}">%x;]>{sound}',
            f'<?xml-stylesheet href="{url}"?>{sound}',
            re.sub('URI="#[^"]*"', f'URI="{url}"', sound),
            sound.replace("<X509Data>", f'<RetrievalMethod URI="{url}"/><X509Data>'),
            sound.replace(
                "<Signature ", f'<Signature xmlns:s="{schema}" s:schemaLocation="a {url}" '
            ),
            f'<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="{url}"/>',
        ):
            proved(document, idp)
            with pytest.raises(BlockingIOError):
                listener.accept()


# --- no change is taken


@pytest.fixture(scope="module")
def sound(idp):
    document = idp.response(attributes={"groups": ["it-agents"]}).encode()
    return document, proved(document, idp)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_change_of_a_byte_proves_anything_else(idp, sound, data):
    """What is accepted all the same says the same: the change was in what is not read."""
    document, proof = sound
    at = data.draw(st.integers(0, len(document) - 1))
    byte = data.draw(st.integers(0, 255))
    kind = data.draw(st.sampled_from(["replace", "insert", "remove"]))
    rest = document[at + (kind != "insert") :]
    found = proved(document[:at] + (b"" if kind == "remove" else bytes([byte])) + rest, idp)
    assert isinstance(found, str) or found == proof


def test_no_change_of_a_letter_that_is_signed_is_taken(idp, sound):
    """All of them, one by one; a prefix that nothing has is not a part of the canonical form."""
    document, proof = sound
    text = alone(document.decode()).replace(' xmlns:xs="http://www.w3.org/2001/XMLSchema"', "")
    begin = text.index("<saml:Subject>")
    for at in range(begin, len(text) - len("</saml:Assertion>")):
        letter = text[at]
        if letter.isalnum():
            other_one = "b" if letter == "a" else "a"
            assert isinstance(proved(text[:at] + other_one + text[at + 1 :], idp), str), text[
                at - 9 : at
            ]
    assert proved(text, idp) == proof


def test_white_space_that_canonical_xml_makes_the_same_changes_nothing(idp, sound):
    document, proof = sound
    spaced = document.replace(b"<saml:NameID Format=", b"<saml:NameID   Format = ")
    assert spaced != document
    assert proved(spaced, idp) == proof


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_answered_with_a_reason(idp, data):
    assert isinstance(proved(data, idp), str)


# --- quickly


def hostile():
    """What costs a careless reader most, as large as it may be."""
    fill = MAX_DOCUMENT - 100
    yield b"<a>" + b"x" * fill + b"</a>"
    yield b"<a" * (fill // 2)
    yield b"<a>" * MAX_ELEMENTS
    yield b"<a>" * (fill // 3)
    yield b"<a " + b" ".join(b'a%d=""' % i for i in range(fill // 9)) + b"/>"
    yield b"<a " + b" ".join(b'xmlns:a%d="u:"' % i for i in range(MAX_DECLARED)) + b"/>"
    yield b"<a>" + b"&#65;" * MAX_REFERENCES + b"x" * (fill - 5 * MAX_REFERENCES) + b"</a>"
    yield b'<a b="' + b"&#65;" * MAX_REFERENCES + b'"/>'
    yield b"<a>" + b"<a b='' c='' d='' e='' f='' g='' h='' i=''/>" * (MAX_QUOTES // 16) + b"</a>"
    yield b"<a>" + b"<a/>" * (2 * MAX_ELEMENTS - 3) + b"</a>"
    yield b"<!DOCTYPE a [" + b'<!ENTITY a "a">' * 4000 + b"]>"


def test_hostile_documents_are_refused_quickly(idp):
    for document in hostile():
        best = float("inf")
        for _ in range(5):
            begin = time.process_time()
            assert isinstance(proved(document, idp), str)
            best = min(best, time.process_time() - begin)
        assert best < 0.005, document[:40]


def test_a_sound_signature_with_a_hostile_body_is_refused_quickly(idp):
    """The body is made canonical before its digest is known to be another."""
    values = b"<saml:AttributeValue xmlns:x='u:' x:a='' b=''/>" * 450
    document = idp.assertion().encode().replace(b"</saml:Attribute>", values + b"</saml:Attribute>")
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        assert "signature is not" in proved(document, idp)
        best = min(best, time.process_time() - begin)
    assert best < 0.01
