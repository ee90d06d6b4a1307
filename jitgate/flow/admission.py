"""What CONNECT is about: who knocks, at which target, and the tunnel that is opened or not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from jitgate.core.websocket import NONE, WebSockets
from jitgate.errors import JitgateError
from jitgate.interfaces import ICatalog, IIdentityVerifier, ILendingSource, IUpstream
from jitgate.values import Refusal, RequestHead, Subject


@dataclass(frozen=True, slots=True)
class Target:
    """A far API at one ``host:port``: its name, and the ports that serve it."""

    name: str
    manner: str
    catalog: ICatalog
    credentials: ILendingSource
    upstream: IUpstream
    declared: frozenset[bytes] = frozenset()
    """Request fields, in lower case, that are forwarded beside the gateway's own tables.

    They are part of what is approved."""
    resends: bool = False
    """Whether its SDK sends a call again by itself when it is told to slow down."""
    merges: bool = False
    """Whether its SDKs write empty segments into paths, where its API takes them for none."""
    query_name: str | None = None
    """The parameter of the query that its credential is in: an agent's own is a placeholder."""
    body_name: str | None = None
    """The field of a form, or the member of a JSON object, that its credential is in: as well."""
    websockets: WebSockets = NONE
    """Where it takes WebSockets."""
    personal: Callable[[Subject, str], IUpstream] | None = None
    """The way to it for one subject in its session, where it shows each something else."""


@dataclass(frozen=True, slots=True)
class Knock:
    """A CONNECT as it was read: where to, with which token, under which session name."""

    authority: str
    token: str | None = field(repr=False)
    name: str | None = None
    fault: JitgateError | None = None
    head: RequestHead | None = None
    """What came instead, as far as it was read, where it is no CONNECT."""
    peer: str = ""
    """The address that it came from."""
    near: str | None = None
    """The ``host[:port]`` of the gateway's own that the agent calls in the target's place."""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A CONNECT that gets no tunnel, and the id under which it is on record."""

    id: str
    refusal: Refusal
    manner: str = "problem"
    """The form of refusals, where it is for a target's clients."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """An admitted CONNECT. With a ``refusal`` it is admitted only to tell every request why not.

    It outlives the configuration that admitted it: where it leads, and whether its token is still
    good, each request asks anew.
    """

    authority: str
    manner: str
    """The form of refusals, as its target had it."""
    session: str
    subject: Subject | None = None
    refusal: Refusal | None = None
    token: str | None = field(default=None, repr=False)
    proved_by: IIdentityVerifier | None = None
    """Who proved the token."""
    near: str | None = None
    """The ``host[:port]`` of the gateway's own that the agent calls in the target's place."""
    websockets: bool = False
    """Whether handshakes are read in it at all; each request asks whether its path takes one."""


def session_key(issuer: str, subject: str, name: str) -> str:
    """The key of a session: the same subject and name, the same session, whichever tunnel."""
    parts = (part.encode() for part in (issuer, subject, name))
    packed = b"".join(len(part).to_bytes(4) + part for part in parts)
    return "s-" + hashlib.sha256(packed).hexdigest()[:16]
