"""What carries a fixed secret to its target: a header field, Basic, a query, a body.

Each makes the credential of a secret, which comes without a line's end, and names every form in
which the target could echo it. A secret that cannot be carried is a `ValueError` that does not show
it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from jitgate.core.literals import Literals
from jitgate.values import Credential, Parameter

_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A field name (RFC 9110, section 5.1)."""

_PARAMETER_NAME = re.compile(r"[A-Za-z0-9._~-]+")
"""What nothing escapes (RFC 3986, section 2.3), so that it is written in one way."""

_VALUE = re.compile(rb"[\x21-\x7e](?:[\x20\x09\x21-\x7e]*[\x21-\x7e])?")
"""A field value (RFC 9110, section 5.5), narrowed to ASCII: the rest is read in different ways."""

_SCHEME = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+(.+)")
"""Scheme and credentials (RFC 9110, section 11.4): Bearer, Basic, SSWS, token."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Facts = Mapping[str, object]


class Carrier(Protocol):
    """Carries a secret in one way."""

    @property
    def where(self) -> Facts:
        """Where it carries it, for the record."""

    def credential(self, secret: bytes, facts: Facts) -> Credential:
        """The secret as it is sent. Raises `ValueError`."""


@dataclass(frozen=True, slots=True)
class InHeader:
    """The header field ``name`` with the secret, behind a ``prefix`` if there is one."""

    name: str
    prefix: str = ""

    def __post_init__(self) -> None:
        if not _FIELD_NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not the name of a header")

    @property
    def where(self) -> Facts:
        return {"header": self.name}

    def credential(self, secret: bytes, facts: Facts) -> Credential:
        value = self.prefix.encode("ascii", "replace") + _checked(secret, self.name)
        return Credential(
            headers=((self.name.encode("ascii"), _checked(value, self.name)),),
            secrets=_unlike([*_literals(value), secret]),
            facts=facts,
        )


@dataclass(frozen=True, slots=True)
class InBasic:
    """Authorization by ``username`` and the secret, its password (RFC 7617).

    Both are sent in UTF-8, as they stand: what a server compares them with is written so too.
    """

    username: str

    def __post_init__(self) -> None:
        if ":" in self.username or _CONTROL.search(self.username):
            raise ValueError(f"{self.username!r} is no user name: it may hold no colon")

    @property
    def where(self) -> Facts:
        return {"basic": self.username}

    def credential(self, secret: bytes, facts: Facts) -> Credential:
        try:
            password = secret.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("the password is not UTF-8") from None
        if not password or _CONTROL.search(password):
            raise ValueError("the password is not one line of characters")
        pair = f"{self.username}:{password}".encode()
        value = b"Basic " + base64.b64encode(pair)
        secrets = _unlike(_literals(value))
        return Credential(((b"Authorization", value),), secrets, facts)


@dataclass(frozen=True, slots=True)
class InQuery:
    """The parameter ``name`` of the query."""

    name: str

    def __post_init__(self) -> None:
        _check_parameter(self.name)

    @property
    def where(self) -> Facts:
        return {"query": self.name}

    def credential(self, secret: bytes, facts: Facts) -> Credential:
        parameter = Parameter(self.name, _checked(secret, self.name))
        return Credential((), _unlike([secret]), facts, query=parameter)


@dataclass(frozen=True, slots=True)
class InBody:
    """The field ``name`` of a form, or the member of a JSON object."""

    name: str

    def __post_init__(self) -> None:
        _check_parameter(self.name)

    @property
    def where(self) -> Facts:
        return {"body": self.name}

    def credential(self, secret: bytes, facts: Facts) -> Credential:
        parameter = Parameter(self.name, _checked(secret, self.name))
        return Credential((), _unlike([secret]), facts, body=parameter)


def _check_parameter(name: str) -> None:
    if not _PARAMETER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a parameter: it would have to be escaped")


def _checked(value: bytes, name: str) -> bytes:
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the value for {name} is not one line of visible ASCII characters")
    return value


def _unlike(literals: Iterable[bytes]) -> Literals:
    return Literals(dict.fromkeys(literals))


def _literals(value: bytes) -> tuple[bytes, ...]:
    """Every form in which the target could echo what a header field holds.

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
