"""What an agent asks of the gateway before anything: where to, with which token, in which run.

A proxy is told so by a CONNECT, a host of the gateway's own by each request. Pure.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from jitgate.core.fields import names_of, values_of
from jitgate.core.heads import NO_HEAD
from jitgate.core.http1_reading import Event, Request, Tunnel
from jitgate.errors import MalformedRequest, Misdirected, PeerFault
from jitgate.flow.admission import Knock
from jitgate.values import Fields, Headers, RequestHead

NAME_CHARS = 128
"""Characters of a run's name: more than a host, a job and a number, and less than a token."""

_TOKEN = re.compile(r"[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}|\AeyJ[^.]*\.", re.ASCII)
"""What looks like a token, whole or in part (RFC 7515, section 3.1): JSON begins with ``eyJ``."""

SESSION = b"jitgate-session"
"""The field by which an agent names its run at a host of the gateway's own."""

_OURS = frozenset({b"authorization", SESSION})
_OF_TARGETS = re.compile(r"(?i:Bearer|SSWS|token) *([\w.~+/=-]+)", re.ASCII)
"""Schemes that carry a token as it is: RFC 6750's, Okta's, GitHub's."""

_AUTHORITY = re.compile(r"([a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\]):([1-9][0-9]{0,4})\Z")


def knock_of(event: Event, begun: RequestHead = NO_HEAD, peer: str = "") -> tuple[Knock, bytes]:
    """What the first thing on a connection asks of the gateway, and what follows it already.

    ``begun`` is what was read of a head that is not whole; ``peer`` is who sent it.
    """
    try:
        knock, rest = _read_knock(event)
    except PeerFault as fault:
        head = event.request.head if isinstance(event, Tunnel) else begun
        head = event.head if isinstance(event, Request) else head
        return Knock("", None, fault=fault, head=head, peer=peer), b""
    return replace(knock, peer=peer), rest


def _read_knock(event: Event) -> tuple[Knock, bytes]:
    if isinstance(event, PeerFault):
        raise event
    if not isinstance(event, Tunnel):
        raise MalformedRequest(
            "This is a proxy for HTTPS: name it in HTTPS_PROXY, and call https:// addresses."
        )
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


def own_knock(
    head: RequestHead, named: Sequence[str], hosts: Mapping[str, str], peer: str = ""
) -> Knock:
    """What a request to a host of the gateway's own asks of it.

    ``named`` are the hosts that it names, with a port or without. ``hosts`` says for which target's
    ``host:port`` each name stands that is the gateway's own. ``peer`` is who sent it.
    """
    try:
        return replace(_read_own_knock(head.headers, named, hosts), peer=peer)
    except PeerFault as fault:
        return Knock("", None, fault=fault, head=head, peer=peer)


def without_knock(headers: Headers) -> Headers:
    """The fields without those that are for the gateway alone."""
    pairs = zip(names_of(headers), headers, strict=True)
    return Fields(pair for name, pair in pairs if name not in _OURS)


def _read_own_knock(headers: Headers, named: Sequence[str], hosts: Mapping[str, str]) -> Knock:
    names = {each.rpartition(":")[0] or each for each in named}
    authority = hosts.get(*names) if len(names) == 1 else None
    if authority is None:
        raise Misdirected("The request names none of the gateway's own hosts, or two hosts.")
    tokens, sessions = values_of(headers, b"authorization"), values_of(headers, SESSION)
    if len(tokens) > 1 or len(sessions) > 1:
        raise MalformedRequest("Authorization and Jitgate-Session stand at most once.")
    name, token = _own_token(tokens[0]) if tokens else (None, None)
    run = sessions[0].decode("latin-1") if sessions else ""
    _check_name(run)
    return Knock(authority, token, run or name, near=named[0])


def _own_token(field: bytes) -> tuple[str | None, str | None]:
    """As `_token`, and in the schemes of targets too, since their SDKs write no other.

    okta-sdk-python (3.4) writes no space behind a scheme.
    """
    matched = _OF_TARGETS.fullmatch(field.decode("latin-1"))
    return _token(field) if matched is None else (None, matched[1])


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
            "The user name in Proxy-Authorization, or in Authorization or Jitgate-Session at a "
            f"host of the gateway's own, is the run's name: at most {NAME_CHARS} characters that "
            "can be shown, and nothing like a token. The token belongs into the password."
        )
