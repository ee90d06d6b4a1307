"""Makes the sources of fixed secrets."""

from __future__ import annotations

from typing import NamedTuple

from jitgate.config import schema
from jitgate.config.credential_schema import StaticCredential
from jitgate.credentials.carriers import Carrier, InBasic, InBody, InHeader, InQuery
from jitgate.credentials.static import StaticCredentials
from jitgate.stores.state import secret_line


class Places(NamedTuple):
    """The names of a query's and of a body's parameter that a target's credential is in."""

    query: str | None = None
    body: str | None = None


def places_of(credential: schema.Credential) -> Places:
    """Where an agent's own is a placeholder, as to query and body."""
    if isinstance(credential, StaticCredential):
        return Places(credential.query, credential.body)
    return Places()


def static(credential: StaticCredential) -> StaticCredentials:
    """The source of a static credential. Raises `StateUnusable` or `ValueError`."""
    if credential.basic is not None:
        carrier: Carrier = InBasic(credential.basic.username)
        return StaticCredentials(carrier, secret_line(credential.basic.password))
    if credential.value is None:
        raise ValueError("a static credential has no value")
    return StaticCredentials(_carrier(credential), secret_line(credential.value))


def _carrier(credential: StaticCredential) -> Carrier:
    if credential.header is not None:
        return InHeader(credential.header)
    if credential.query is not None:
        return InQuery(credential.query)
    return InBody(f"{credential.body}")
