"""The kinds of values that stand in the configuration, and what every section of it is.

One list, so that a kind is written in the same way, and refused in the same words, wherever it
stands.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from jitgate.config.places import Scalar
from jitgate.core.durations import WANTED, duration
from jitgate.core.mailboxes import is_plain, plain
from jitgate.core.operation import PathTemplate
from jitgate.upstreams.address import literal
from jitgate.values import Risk, SecretAt

_SIZE = re.compile(r"([0-9]{1,9})(KiB|MiB|GiB)\Z")
_SIZES = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_AUTHORITY = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?\Z"
)
_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)|(localhost)):([0-9]{1,5})\Z")
NAME = r"^[a-z0-9][a-z0-9-]{0,63}$"
_NOT_TO_DECLARE = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
        "user-agent",
    }
)
"""Fields that the gateway writes, that carry credentials, or that change which call it is."""

_FIELD_NAME = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}\Z")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.|\Z))+(?<!\.)\Z")
_IN_FOLDER = re.compile(r"[A-Za-z0-9_.@-]{1,255}\Z")
"""A file in systemd's folder of credentials: no path leads out of it."""


# --- the kinds of values


def _duration(value: object) -> float:
    seconds = duration(value) if isinstance(value, str) else None
    if seconds is None:
        raise ValueError(WANTED)
    return seconds


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    matched = _SIZE.match(value) if isinstance(value, str) else None
    if matched is None:
        raise ValueError("a size was expected: a number of bytes, or such as 64KiB, 2MiB, 1GiB")
    return int(matched[1]) * _SIZES[matched[2]]


def a_path(value: object, info: ValidationInfo) -> Path:
    """A path, relative to the file that it stands in."""
    if not isinstance(value, str) or not value:
        raise ValueError("a path was expected")
    base: Path = (info.context or {}).get("base", Path())
    try:
        return (base / value).resolve()
    except (OSError, RuntimeError):
        raise ValueError("this path leads nowhere: a link in it points to itself") from None


def _catalog(value: object, info: ValidationInfo) -> str | Path:
    """A catalog by its name, or by its file. A bare word is a name, so that a slip is found."""
    if isinstance(value, str):
        if value in {"okta", "none"}:
            return value
        if "/" in value or value.endswith(".csv"):
            return a_path(value, info)
    raise ValueError("okta, none, or the path of a catalog was expected, such as ./github.csv")


def _secret(value: object, info: ValidationInfo) -> SecretAt:
    kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind == "file":
        return SecretAt("file", f"{a_path(name, info)}")
    if kind == "env" and _VARIABLE.match(name):
        return SecretAt("env", name)
    if kind == "credential" and _IN_FOLDER.match(name) and name not in {".", ".."}:
        return SecretAt("credential", name)
    raise ValueError(
        "file:PATH, env:NAME or credential:NAME was expected: secrets do not stand in the "
        "configuration"
    )


def _address(value: object) -> tuple[str, int]:
    matched = _ADDRESS.match(value) if isinstance(value, str) else None
    host = next(filter(None, matched.groups()), "") if matched else ""
    if matched is None or int(matched[4]) > 65535 or not (matched[3] or _is_address(host)):
        raise ValueError("ADDRESS:PORT was expected, such as 127.0.0.1:8080 or [::1]:8080")
    return host, int(matched[4])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether an address, or the name of one, stays on this machine."""
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def _authority(value: str) -> str:
    matched = _AUTHORITY.match(value.lower())
    if matched is None or int(matched[1] or 443) > 65535:
        raise ValueError("a host or host:port was expected, such as acme.okta.com")
    host = value.lower()
    authority = host if ":" in host.rpartition("]")[2] else f"{host}:443"
    literal(authority.rpartition(":")[0])  # raises where an address is not spelled as usual
    return authority


def _host_name(value: str) -> str:
    """A host's name without a port: by an address nobody can be meant to call the gateway."""
    name = value.lower()
    if not _HOST_NAME.match(name) or literal(name) is not None:
        raise ValueError("a host name was expected, without a port, such as okta.gateway.example")
    return name


def _call_path(value: str) -> str:
    """A path in which a whole segment may be a parameter."""
    return PathTemplate(value).text


def _server(value: object) -> tuple[str, int]:
    """Where a name server is; its port may be left out."""
    if not isinstance(value, str):
        raise ValueError("an address was expected, such as 10.0.0.53 or [::1]:5353")  # noqa: TRY004
    bare = ":" not in value.rpartition("]")[2]
    return _address(f"{value}:53" if bare else value)


def _proxy(value: object) -> tuple[str, int]:
    """Host and port of a proxy; an IPv6 address without its brackets."""
    matched = _AUTHORITY.match(value.lower()) if isinstance(value, str) else None
    if matched is None or matched[1] is None or int(matched[1]) > 65535:
        raise ValueError("HOST:PORT was expected, such as proxy.internal:3128")
    host, _, port = str(value).lower().rpartition(":")
    literal(host)  # raises where an address is not spelled as usual
    return host.strip("[]"), int(port)


def an_https_url(value: str) -> str:
    """An https URL."""
    if not re.match(r"https://[a-zA-Z0-9.\[\]:-]+(/[!-~]*)?\Z", value):
        raise ValueError("an https:// address was expected")
    return value


def _header(value: str) -> str:
    if not _FIELD_NAME.match(value):
        raise ValueError("the name of a header field was expected")
    return value


def _forwarded(value: str) -> str:
    if value.lower() in _NOT_TO_DECLARE or value.lower().startswith("proxy-"):
        raise ValueError(f"the field {value} is never forwarded")
    return value


def _person(value: object) -> str:
    """An e-mail address, or an issuer and an id there; `jitgate.core.answers.person` compares."""
    if isinstance(value, str) and value.strip():
        return _compared(value.strip())
    if isinstance(value, dict) and set(value) == {"issuer", "id"}:
        return f"{value['issuer']} {value['id']}"
    raise ValueError("an e-mail address was expected, or {issuer: ..., id: ...}")


def _compared(name: str) -> str:
    """The name, if it is one by which a person is found: an address with more around it never is.

    As an owner such a person would approve what their own agent asks for.
    """
    if "@" not in name or is_plain(name):
        return name
    found = plain(name)
    meant = f"write {found}" if found else "write the address alone"
    raise ValueError(f"{name} is no plain e-mail address: {meant}, or {{issuer: ..., id: ...}}")


def _uid(value: object) -> int:
    """A user's number; as text too, because JSON knows no other keys."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
        raise ValueError("a uid was expected: a number such as 1001")
    return value


def _written(kind: str, **schema: object) -> WithJsonSchema:
    """How a kind of value is written, as a JSON Schema: for editors, which read no Python.

    ``kind`` names it to `jitgate.config.json_schema`, which spells defaults of that kind.
    """
    return WithJsonSchema({"type": "string", "x-kind": kind, **schema})


Uid = Annotated[int, BeforeValidator(_uid), _written("uid", pattern="^[0-9]{1,10}$")]
Person = Annotated[
    str,
    BeforeValidator(_person),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"\S"},
                {
                    "type": "object",
                    "properties": {"issuer": {"type": "string"}, "id": {"type": "string"}},
                    "required": ["issuer", "id"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
Duration = Annotated[
    float,
    BeforeValidator(_duration),
    _written("duration", pattern="^[0-9]{1,9}(ms|s|m|h|d)$", examples=["55s", "2m", "1h"]),
]
Size = Annotated[
    int,
    BeforeValidator(_size),
    _written(
        "size",
        type=["string", "integer"],
        pattern="^[0-9]{1,9}(KiB|MiB|GiB)$",
        examples=["64KiB", "2MiB"],
    ),
]
FilePath = Annotated[Path, BeforeValidator(a_path), _written("path", minLength=1)]
Secret = Annotated[
    SecretAt,
    BeforeValidator(_secret),
    _written(
        "secret",
        pattern="^(file:.|env:[A-Za-z_][A-Za-z0-9_]{0,254}$|credential:[A-Za-z0-9_.@-]{1,255}$)",
        examples=["file:./key", "env:OKTA_KEY", "credential:okta-key"],
    ),
]
SecretFile = Secret
"""What plugins call it that were written when there were secrets in files alone."""
CatalogOf = Annotated[
    Literal["okta", "none"] | Path,
    BeforeValidator(_catalog),
    _written("catalog", examples=["okta", "none", "./github.csv"]),
]
Address = Annotated[
    tuple[str, int],
    BeforeValidator(_address),
    _written("address", pattern=":[0-9]{1,5}$", examples=["127.0.0.1:8080", "[::1]:8080"]),
]
Server = Annotated[tuple[str, int], BeforeValidator(_server), _written("server")]
Proxy = Annotated[
    tuple[str, int], BeforeValidator(_proxy), _written("proxy", pattern=":[0-9]{1,5}$")
]
Authority = Annotated[
    str, AfterValidator(_authority), _written("host", examples=["acme.okta.com", "localhost:8443"])
]
HostName = Annotated[
    str, AfterValidator(_host_name), _written("host name", examples=["okta.gateway.example"])
]
CallPath = Annotated[
    str, AfterValidator(_call_path), _written("template", examples=["/v1/stream", "/v1/rooms/{id}"])
]
Subprotocol = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]
HttpsUrl = Annotated[str, AfterValidator(an_https_url), _written("url", pattern="^https://")]
HeaderName = Annotated[
    str, AfterValidator(_header), _written("field", pattern="^[A-Za-z0-9-]{1,64}$")
]
ForwardedName = Annotated[HeaderName, AfterValidator(_forwarded)]
Name = Annotated[str, Field(pattern=NAME)]
RiskWord = Annotated[Risk, Field(strict=False)]


class Section(BaseModel):
    """A mapping of which every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    others: ClassVar[tuple[str, ...]] = ()
    """Under these stand keys that others know, to be `kept` as they are written."""
    pictured: ClassVar[tuple[str, ...]] = ()
    """Keys whose texts have errors of their own, of which the place inside is told."""

    _where: str = PrivateAttr("")
    _scalars: Mapping[str, Scalar] = PrivateAttr(default_factory=dict)

    @property
    def where(self) -> str:
        """``FILE:LINE`` of its first key."""
        return self._where

    def located(self, where: str, scalars: Mapping[str, Scalar]) -> None:
        """Remember where it stands, and its `pictured` texts; called once, by whoever read it."""
        self._where, self._scalars = where, scalars

    def place(self, key: str, at: int) -> str:
        """``FILE:LINE:COLUMN`` of a character of a `pictured` text; `where` if it is not known."""
        scalar = self._scalars.get(key)
        return self._where if scalar is None else scalar.place(getattr(self, key), at)

    def kept(self, written: Any) -> None:
        """Remember what is written under a key of `others`; called once, by whoever read it."""

    @field_validator("*", mode="after")
    @classmethod
    def _something_is_written(cls, value: Any) -> Any:
        """A key without a value is unfinished: taken for "none", a rule would match too much."""
        if value is None:
            raise ValueError("a value was expected; leave the key out if there is none")
        return value
