"""What costs little asked first: whose key made a signature, and whether its digest is the text's.

signxml reads and writes a document several times over for each certificate that it tries (XML
Signature, section 3.2). Anybody may send one, so it is asked only about what passes here, with the
one certificate that fits. What passes here proves nothing yet: signxml decides.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509 import Certificate
from lxml import etree

from jitgate.identity.saml_xml import EXCLUSIVE, parser, text

_HASHES = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def could_have_signed(
    alone: etree._Element, certificates: Sequence[Certificate], method: str
) -> list[Certificate]:
    """The certificates whose key made the assertion's signature, if its digest is right.

    The assertion stands alone, its signature has the form that is taken and the algorithm
    ``method``; it is taken out of the assertion.
    """
    try:
        found = list(_signers(alone[1], certificates, method))
        return found if found and _digest_is_right(alone, alone[1]) else []
    except (ValueError, etree.LxmlError):  # what cannot be made canonical
        return []


def _signers(
    signature: etree._Element, certificates: Sequence[Certificate], method: str
) -> Iterator[Certificate]:
    # A document of its own: what is around it is not part of its canonical form.
    info, value = etree.fromstring(etree.tostring(signature, with_tail=False), parser())[:2]
    signed, made = _canonical(info, info[0]), base64.b64decode(text(value))
    kind, _, digest = method.partition("-")
    for certificate in certificates:
        if _made_by(certificate, kind, made, signed, _HASHES[digest]):
            yield certificate


def _made_by(
    certificate: Certificate, kind: str, made: bytes, signed: bytes, digest: hashes.HashAlgorithm
) -> bool:
    key = certificate.public_key()
    try:
        if kind == "rsa" and isinstance(key, rsa.RSAPublicKey):
            key.verify(made, signed, padding.PKCS1v15(), digest)
            return True
        if kind == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(_pair(made, key.key_size), signed, ec.ECDSA(digest))
            return True
    except (InvalidSignature, ValueError):
        return False
    return False


def _pair(made: bytes, bits: int) -> bytes:
    """The two numbers in DER that stand there as they are (RFC 6931, section 2.3.6)."""
    half = (bits + 7) // 8
    if len(made) != 2 * half:
        raise ValueError("of another length than the key's")
    r, s = int.from_bytes(made[:half], "big"), int.from_bytes(made[half:], "big")
    return utils.encode_dss_signature(r, s)


def _digest_is_right(alone: etree._Element, signature: etree._Element) -> bool:
    transforms, chosen, value = signature[0][2]
    issuer = alone[0]
    issuer.tail = (issuer.tail or "") + (signature.tail or "")  # text is no part of a signature
    alone.remove(signature)
    digest = hashes.Hash(_HASHES[chosen.get("Algorithm", "").rpartition("#")[2]])
    digest.update(_canonical(alone, transforms[1]))
    return digest.finalize() == base64.b64decode(text(value))


def _canonical(element: etree._Element, how: etree._Element) -> bytes:
    """Exclusive XML Canonicalization 1.0, with the prefixes that are to be kept."""
    kept = how.find(f"{{{EXCLUSIVE}}}InclusiveNamespaces[@PrefixList]")
    prefixes = None if kept is None else kept.get("PrefixList", "").split(" ")
    data: bytes = etree.tostring(
        element, method="c14n", exclusive=True, inclusive_ns_prefixes=prefixes, with_comments=False
    )
    return data
