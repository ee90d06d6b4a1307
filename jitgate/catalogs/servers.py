"""Under which base path, and at which hosts, an API is served as its description says."""

from __future__ import annotations

import re
from typing import NamedTuple

from jitgate.catalogs.description import Node, listed, node, text_of
from jitgate.errors import ConfigurationInvalid

_SERVER = re.compile(
    r"(?:https?:)?//(?P<host>[^/?#:]+)(?::[0-9]+)?(?P<path>/[^?#]*)?\Z|(?P<bare>/[^?#]*)\Z",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"\{([^{}]+)\}")


class Base(NamedTuple):
    """What stands before each path."""

    path: str
    hosts: frozenset[str] = frozenset()
    """Empty where the description leaves it open."""


def base_of(server: object) -> Base | None:
    """The base that one entry of ``servers`` gives; None where it cannot be made out.

    A variable in the host leaves it open; one in the path has its default.
    """
    described = node(server)
    url = described.get("url")
    if not isinstance(url, str):
        return None
    found = _SERVER.match(_VARIABLE.sub(lambda name: f"\0{_default(described, name[1])}\0", url))
    if found is None:
        return None
    host, path = found["host"] or "", found["path"] or found["bare"] or ""
    hosts = frozenset() if "\0" in host or not host else frozenset({host.lower()})
    return Base(path.replace("\0", "").rstrip("/"), hosts)


def common_base(servers: object, prefix: str | None) -> Base:
    """The base of the whole API. Raises `ConfigurationInvalid` where there is more than one."""
    bases = [base_of(each) for each in listed(servers)] or [Base("")]
    hosts = frozenset[str]().union(*(each.hosts for each in bases if each is not None))
    if prefix is not None:
        if not prefix.startswith("/"):
            raise ConfigurationInvalid(["a prefix begins with a slash, as /v2 does"])
        return Base(prefix.rstrip("/"), hosts)
    paths = {None if each is None else each.path for each in bases}
    [path] = paths if len(paths) == 1 else [None]
    if path is None:
        raise ConfigurationInvalid(
            ["its servers do not give one base path: name it by --prefix, as /v2, or / for none"]
        )
    return Base(path, hosts)


def _default(server: Node, variable: str) -> str:
    return text_of(node(node(server.get("variables")).get(variable)).get("default"))
