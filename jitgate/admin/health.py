"""The admin port: whether the gateway can do its duty, for people, probes and load balancers.

What a channel to approvers is called back at is mounted beside that, by whoever composes the site.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from math import ceil
from types import MappingProxyType

import orjson
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from jitgate.admin.bounds import BoundedRequest, Note, asked
from jitgate.errors import StateUnusable

VITAL = ("recorder", "proxy")
"""Without these the gateway does not do its duty."""


class Health(Resource):
    """200 while the gateway does its duty, else 503; the body says what does not work.

    A rule or masker of a plugin that is switched off denies, which is no more than its duty; and so
    is to hold calls back that a target has no room for. So does a gateway whose store is down, of
    what needs people; the rest goes on, and others that share the store could do no more.
    """

    isLeaf = True  # noqa: N815 (twisted.web's name)

    def __init__(
        self,
        down: Mapping[str, Callable[[], str | None]],
        switched_off: Callable[[], Sequence[str]],
        slowed: Callable[[], Mapping[str, float]],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._down = down
        self._switched_off = switched_off
        self._slowed = slowed

    def render_GET(self, request: Request) -> bytes:
        reasons = {name: down() for name, down in self._down.items()}
        request.setResponseCode(200 if not any(map(reasons.get, VITAL)) else 503)
        request.setHeader(b"Content-Type", b"application/json")
        request.setHeader(b"Cache-Control", b"no-store")
        parts = {
            name: {"state": "ok" if reason is None else "down", "reason": reason}
            for name, reason in reasons.items()
        }
        off = list(self._switched_off())
        plugins = {"state": "switched-off" if off else "ok", "switched_off": off}
        slowed = self._slowed().items()
        until = {name: datetime.fromtimestamp(ceil(each), UTC) for name, each in slowed}
        targets = {"state": "slowed" if until else "ok", "slowed_until": until}
        told = {**parts, "plugins": plugins, "targets": targets}
        return orjson.dumps(told, option=orjson.OPT_UTC_Z)


class Ready(Resource):
    """200 while agents can be sent here, else 503; the body says why not.

    That is: everything has started, nothing stops, and the gateway does its duty. ``why`` gives
    the reasons, by what they are of.
    """

    isLeaf = True  # noqa: N815 (twisted.web's name)

    def __init__(self, why: Callable[[], Mapping[str, str]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._why = why

    def render_GET(self, request: Request) -> bytes:
        reasons = self._why()
        request.setResponseCode(503 if reasons else 200)
        request.setHeader(b"Content-Type", b"application/json")
        request.setHeader(b"Cache-Control", b"no-store")
        return orjson.dumps({"ready": not reasons, "reasons": reasons})


def unready(
    phase: Callable[[], str | None], down: Mapping[str, Callable[[], str | None]]
) -> Mapping[str, str]:
    """Why no agent should be sent here, by what it is of: the phase, and whatever is vital."""
    reasons = {"gateway": phase(), **{each: down[each]() for each in VITAL if each in down}}
    return {name: reason for name, reason in reasons.items() if reason is not None}


class Nothing(Resource):
    """404 for everything else, and a record: nobody has anything to look for here."""

    isLeaf = True  # noqa: N815 (twisted.web's name)

    def __init__(self, refused: Note) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._refused = refused

    def render(self, request: Request) -> bytes:
        self._refused(asked(request))
        request.setResponseCode(404)
        request.setHeader(b"Cache-Control", b"no-store")
        return b"There is nothing here but /healthz, /readyz and /metrics.\n"


class _Root(Resource):
    """The top of the site: what is not a child of it is nothing."""

    def __init__(self, nothing: Nothing) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._nothing = nothing

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self._nothing

    def render(self, request: Request) -> bytes:
        return self._nothing.render(request)


class _Silent(Site):
    """Tells the log of no request: probes ask every few seconds, and refusals are on record."""

    def log(self, request: object) -> None:
        """Nothing."""


class AdminSite:
    """Serves the admin port. It tells how the gateway is, and nothing is decided here.

    ``phase`` says why it does not serve yet, or no more; ``metrics`` answers ``/metrics``.
    ``callbacks`` are others' resources, by the first segment of their paths: each decides only by a
    signature that it verifies itself (invariant 10).

    ``down`` says why a part does not work, or None: without the recorder the gateway denies
    everything, without the store what needs it. ``switched_off`` says which rules and maskers of
    plugins are, and why; ``slowed`` of which targets calls wait, and until when; ``refused`` puts
    on record who asks for something else, or for too much (`jitgate.admin.bounds.Refusals`).
    """

    def __init__(
        self,
        endpoint: IStreamServerEndpoint,
        down: Mapping[str, Callable[[], str | None]],
        refused: Note,
        switched_off: Callable[[], Sequence[str]] = tuple,
        *,
        slowed: Callable[[], Mapping[str, float]] = dict,
        phase: Callable[[], str | None] = lambda: None,
        metrics: Resource | None = None,
        callbacks: Mapping[str, Resource] = MappingProxyType({}),
    ) -> None:
        root = _Root(Nothing(refused))
        root.putChild(b"healthz", Health(down, switched_off, slowed))
        root.putChild(b"readyz", Ready(partial(unready, phase, down)))
        if metrics is not None:
            root.putChild(b"metrics", metrics)
        for segment, resource in callbacks.items():
            root.putChild(segment.encode("ascii"), resource)
        self._site = _Silent(  # type: ignore[no-untyped-call]
            root, requestFactory=partial(BoundedRequest, refused)
        )
        self._site.noisy = False
        self._site.displayTracebacks = False
        self._endpoint = endpoint
        self._port: IListeningPort | None = None

    @property
    def port(self) -> IListeningPort:
        """The bound port, once started."""
        assert self._port is not None  # noqa: S101 (asked before `start`: a bug)
        return self._port

    async def start(self) -> None:
        """Bind the port. Raises `StateUnusable`."""
        try:
            self._port = await self._endpoint.listen(self._site)
        except CannotListenError as error:
            raise StateUnusable(
                f"The admin port cannot listen on {error.interface or '*'}:{error.port}: "
                f"{error.socketError}. Stop what holds it or set another listen.admin."
            ) from error

    async def stop(self) -> None:
        """Close the port and what is open on it."""
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
