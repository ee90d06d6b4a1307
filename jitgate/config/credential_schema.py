"""Fixed secrets as the configuration speaks of them: where they are, and what carries them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from jitgate.config.kinds import HeaderName, Secret, Section
from jitgate.core.fields import HOP_BY_HOP

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_OF_THE_MESSAGE = HOP_BY_HOP | {b"host", b"content-length", b"expect"}


def _carries(name: str) -> str:
    if name.lower().encode() in _OF_THE_MESSAGE:
        raise ValueError(f"the field {name} says where a call goes, or how: it is no credential")
    return name


def _user(name: str) -> str:
    if ":" in name or _CONTROL.search(name):
        raise ValueError("a user name was expected: text without a colon")
    return name


CarryingHeader = Annotated[HeaderName, AfterValidator(_carries)]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{1,64}$")]
UserName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_user)]


class BasicPair(Section):
    """Basic authentication (RFC 7617)."""

    username: UserName
    password: Secret


class StaticCredential(Section):
    """One fixed secret, for every call: in a header field, as Basic, in the query or the body."""

    type: Literal["static"]
    header: CarryingHeader | None = None
    basic: BasicPair | None = None
    query: ParameterName | None = None
    body: ParameterName | None = None
    value: Secret | None = None

    @model_validator(mode="after")
    def _is_carried_in_one_way(self) -> StaticCredential:
        _one_way(self)
        if (self.value is None) is (self.basic is None):
            raise ValueError("value goes with header, query and body; basic has its password")
        return self


def _one_way(section: Section) -> None:
    """One thing carries a secret: two could be read as two secrets."""
    ways = ("header", "basic", "query", "body")
    if len(section.model_fields_set.intersection(ways)) != 1:
        raise ValueError("one of header, basic, query and body was expected")
