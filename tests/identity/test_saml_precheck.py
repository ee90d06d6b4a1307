"""What is asked before signxml is: it finds the one certificate, and what it finds signxml decides."""

from __future__ import annotations

import base64
import re
import time

import pytest
from identity.test_saml import signed_as_okta_does, signed_by_signxml
from lxml import etree
from signxml.algorithms import SignatureMethod
from support.saml import IdpKey, unsigned

from jitgate.identity.saml_precheck import could_have_signed
from jitgate.identity.saml_signature import signed_part
from jitgate.identity.saml_xml import parser

RSA, ECDSA = "rsa-sha256", "ecdsa-sha256"


def found(document, certificates, method=RSA):
    data = document if isinstance(document, bytes) else document.encode()
    return could_have_signed(etree.fromstring(data, parser()), certificates, method)


def decided(document, certificate, method=RSA):
    data = document if isinstance(document, bytes) else document.encode()
    return signed_part(data, certificate, method, time.time())


def other_signature(document, data):
    value = base64.b64encode(data).decode()
    changed, count = re.subn(
        "(SignatureValue>).*?(</)", rf"\g<1>{value}\2", document, count=1, flags=re.DOTALL
    )
    assert count
    return changed


@pytest.fixture(scope="module")
def elliptic():
    return IdpKey.elliptic()


def test_of_all_certificates_the_one_is_found_whose_key_it_was(idp, forger, elliptic):
    every = [forger.x509, elliptic.x509, idp.key.x509]
    sound = idp.assertion()
    spaced = sound.replace("</saml:Issuer>", "</saml:Issuer>\n ").replace(
        "</Signature>", "</Signature>\n"
    )
    assert found(sound, every) == [idp.key.x509]
    assert found(signed_as_okta_does(idp, ["xs"]), every) == [idp.key.x509]
    assert found(spaced, every) == []
    by_elliptic = signed_by_signxml(idp, elliptic, SignatureMethod.ECDSA_SHA256)
    assert found(by_elliptic, every, ECDSA) == [elliptic.x509]
    assert found(by_elliptic, every) == []
    assert found(sound, every, ECDSA) == []


def test_what_stands_behind_a_signature_is_signed_and_the_signature_is_not(idp):
    """The text there, which the signature's removal must leave (XML Signature, section 6.6.4)."""
    text = unsigned(idp.assertion()).replace("</saml:Issuer>", "</saml:Issuer>\n  ")
    spaced = idp.sign(text)
    assert "</Signature>\n  " in spaced
    assert found(spaced, [idp.key.x509]) == [idp.key.x509]


def test_no_letter_of_it_can_be_another(idp):
    sound = idp.assertion()
    for old, new in (("bot-7", "admin"), ("it-agents", "admins"), ('ID="_', 'ID="_x')):
        assert found(sound.replace(old, new, 1), [idp.key.x509]) == []
    assert found(sound.replace("</saml:Subject>", "</saml:Subject> "), [idp.key.x509]) == []


@pytest.mark.parametrize("length", [1, 32, 63, 64, 65, 256, 4096])
def test_any_other_bytes_are_no_signature(idp, elliptic, length):
    sound = idp.assertion()
    assert found(other_signature(sound, b"r" * length), [idp.key.x509]) == []
    made = signed_by_signxml(idp, elliptic, SignatureMethod.ECDSA_SHA256).decode()
    assert found(other_signature(made, b"r" * length), [elliptic.x509], ECDSA) == []


def test_what_cannot_be_made_canonical_is_nobodys(idp):
    """Namespaces that are no whole URIs have no canonical form."""
    relative = idp.assertion().replace("<saml:Subject>", "<saml:Subject xmlns:x='u' x:y=''>")
    assert found(relative, [idp.key.x509]) == []


def test_signxml_decides_by_itself_whatever_was_found_before(idp, forger):
    sound = idp.assertion()
    assert decided(sound, idp.key.x509).get("ID") in sound
    assert decided(sound, forger.x509) is None
    assert decided(sound.replace("bot-7", "admin"), idp.key.x509) is None
    assert decided(other_signature(sound, b"r" * 256), idp.key.x509) is None
    old = IdpKey.new(days=0)
    assert decided(idp.sign(unsigned(sound), key=old), old.x509) is None
