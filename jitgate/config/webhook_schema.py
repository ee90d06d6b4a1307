"""What may stand under ``webhooks``: whom requests are sent to, and who answers through them."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from jitgate.config.kinds import Address, FilePath, Name, Person, Secret, Section, is_loopback
from jitgate.upstreams.address import is_public, literal

_URL = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?(/[!-~]*)?\Z")
_PORTS = {"http": 80, "https": 443}

Secrets = Annotated[tuple[Secret, ...], Field(min_length=1, max_length=4, strict=False)]
"""The newest first: two while one takes the place of the other, and seldom more."""


def _url(value: str) -> str:
    matched = _URL.match(value)
    if matched is None or "#" in value or int(matched[3] or 1) > 65535:
        raise ValueError("an https:// address was expected, its host in lower case")
    address = literal(matched[2].strip("[]"))
    if matched[1] == "http" and (address is None or not is_loopback(f"{address}")):
        raise ValueError(
            "http goes to a loopback address alone, such as http://127.0.0.1:9000/jitgate: "
            "anybody on the way could read it. Use https"
        )
    return value


HookUrl = Annotated[
    str, AfterValidator(_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})
]


class Signing(Section):
    """One secret, or several while one takes the place of another."""

    secret: Secret | None = None
    secrets: Secrets | None = None

    @model_validator(mode="after")
    def _there_is_one(self) -> Signing:
        if (self.secret is None) == (self.secrets is None):
            raise ValueError("secret, or a list of secrets: one of the two")
        return self

    @property
    def every(self) -> tuple[Secret, ...]:
        """All of its secrets, the newest first."""
        return self.secrets or tuple(filter(None, [self.secret]))


class Callback(Signing):
    """How answers come back: signed with secrets of its own, for these people."""

    people: Annotated[tuple[Person, ...], Field(min_length=1, strict=False)]


class Way(Signing):
    """Where signed messages are sent, as Standard Webhooks."""

    name: Name
    url: HookUrl
    dial: Address | None = None
    trust: FilePath | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; an IPv6 address without its brackets."""
        split = urlsplit(self.url)
        return split.hostname or "", split.port or _PORTS[split.scheme]

    @property
    def is_plain(self) -> bool:
        """Whether it goes without TLS, and then to this machine alone."""
        return self.url.startswith("http://")

    @model_validator(mode="after")
    def _one_way(self) -> Way:
        """Only the operator's explicit word leads inside: a host alone is not one."""
        if self.is_plain and (self.dial is not None or self.trust is not None):
            raise ValueError("dial and trust go with https")
        address = literal(self.address[0])
        if not self.is_plain and self.dial is None and address and not is_public(address):
            raise ValueError(f"{address} is not a public address: name it in dial too")
        return self


class Webhook(Way):
    """Where access requests are sent."""

    callback: Callback | None = None
