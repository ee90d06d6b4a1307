"""A header that the operator got from the target: one fixed secret, the same for every call."""

from __future__ import annotations

import base64
import binascii
import re

from zope.interface import implementer

from jitgate.core.literals import Literals
from jitgate.interfaces import ICredentialSource
from jitgate.values import Credential, Operation

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A field name (RFC 9110, section 5.1)."""

_VALUE = re.compile(rb"[\x21-\x7e](?:[\x20\x09\x21-\x7e]*[\x21-\x7e])?")
"""A field value (RFC 9110, section 5.5), narrowed to ASCII: the rest is read in different ways."""

_SCHEME = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+(.+)")
"""Scheme and credentials (RFC 9110, section 11.4): Bearer, Basic, SSWS, token."""


@implementer(ICredentialSource)
class StaticHeader:
    """Issues the header ``header`` with ``value``, which comes without a newline at its end.

    Raises `ValueError`, which does not show the value, where the two are no header field.
    """

    def __init__(self, header: str, value: bytes) -> None:
        if not _NAME.fullmatch(header):
            raise ValueError(f"{header!r} is not the name of a header")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the value for {header} is not one line of visible ASCII characters")
        self._credential = Credential(
            headers=((header.encode("ascii"), value),),
            secrets=Literals(_literals(value)),
            facts={"kind": "static", "header": header},
        )

    async def issue(self, operation: Operation) -> Credential:
        return self._credential


def _literals(value: bytes) -> tuple[bytes, ...]:
    """Every form in which the target could echo the secret.

    They are the value, what follows the scheme in it, and for Basic (RFC 7617) the decoded name
    with its password, and the password alone.
    """
    scheme = _SCHEME.fullmatch(value)
    if scheme is None:
        return (value,)
    pair = _decoded(scheme[2]) if scheme[1].lower() == b"basic" else b""
    password = pair.partition(b":")[2]
    return tuple(literal for literal in (value, scheme[2], pair, password) if literal)


def _decoded(text: bytes) -> bytes:
    """The bytes that ``text`` encodes in base64, with its padding or without; b"" if none."""
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""
