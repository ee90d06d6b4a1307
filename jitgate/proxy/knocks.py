"""What a CONNECT asks of the gateway: where to, with which token, in which run. Pure."""

from __future__ import annotations

import base64
import binascii
import re

from jitgate.core.fields import values_of
from jitgate.core.http1_reading import Event, Tunnel
from jitgate.errors import MalformedRequest, PeerFault
from jitgate.flow.admission import Knock

NAME_CHARS = 128
"""Characters of a run's name: more than a host, a job and a number, and less than a token."""

_TOKEN = re.compile(r"[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}|\AeyJ[^.]*\.", re.ASCII)
"""What looks like a token, whole or in part (RFC 7515, section 3.1): JSON begins with ``eyJ``."""

_AUTHORITY = re.compile(r"([a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\]):([1-9][0-9]{0,4})\Z")


def knock_of(event: Event) -> tuple[Knock, bytes]:
    """What the first thing on a connection asks of the gateway, and what follows it already."""
    try:
        return _read_knock(event)
    except PeerFault as fault:
        return Knock("", None, fault=fault), b""


def _read_knock(event: Event) -> tuple[Knock, bytes]:
    if isinstance(event, PeerFault):
        raise event
    if not isinstance(event, Tunnel):
        raise MalformedRequest("This is an HTTPS proxy: open a tunnel with CONNECT.")
    head, host = event.request.head, event.request.host
    authority = head.target.lower()
    matched = _AUTHORITY.match(authority)
    if matched is None or int(matched[2]) > 65535:
        raise MalformedRequest("CONNECT names a host and a port (RFC 9112, section 3.2.3).")
    if host is not None and host.decode("ascii") not in {authority, matched[1]}:
        raise MalformedRequest("CONNECT and its Host field name different hosts.")
    fields = values_of(head.headers, b"proxy-authorization")
    if len(fields) > 1:
        raise MalformedRequest("Proxy-Authorization stands at most once.")
    name, token = _token(fields[0]) if fields else (None, None)
    return Knock(authority, token, name), event.rest


def _token(field: bytes) -> tuple[str | None, str | None]:
    """The session's name and the token: Bearer, or Basic with the token as password (RFC 7617).

    Raises `MalformedRequest` for a name that could be a token.
    """
    scheme, _, value = field.decode("latin-1").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and value:
        return None, value
    if scheme.lower() != "basic":
        return None, None
    try:
        name, _, token = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None, None
    _check_name(name)
    return name or None, token or None


def _check_name(name: str) -> None:
    """A run's name is recorded, so nothing may pass for one that could be a secret."""
    if len(name) > NAME_CHARS or not name.isprintable() or _TOKEN.search(name):
        raise MalformedRequest(
            "The user name in Proxy-Authorization is the run's name: at most "
            f"{NAME_CHARS} characters that can be shown, and nothing like a token. The token "
            "belongs into the password."
        )
