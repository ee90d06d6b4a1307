"""A plugin that provides something for every port that the configuration refers to by name.

It is loaded as any plugin is; what it does shows in ``folder``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import jwt
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from jitgate.config.kinds import FilePath
from jitgate.errors import PeopleUnknown
from jitgate.flow.admission import Knock, TurnedAway
from jitgate.flow.gateway import Gateway
from jitgate.interfaces import (
    IApproverChannel,
    ICatalog,
    ICredentialSource,
    IGroups,
    IIdentityVerifier,
    ILendingSource,
    IListenerSource,
    IPeople,
    IProtocolListener,
    IRecordStore,
    IRequest,
    IResponse,
)
from jitgate.plugins import PluginOptions
from jitgate.values import (
    AccessRequest,
    Credential,
    Denial,
    Entry,
    Headers,
    Operation,
    Refusal,
    RequestHead,
    ResponseHead,
    Subject,
)

PARTNERS = "https://partners.example"
KEY = "a-key-that-the-partners-and-the-plugin-share"
CREDENTIAL = b"minted-for-getThing"


class Options(PluginOptions):
    """Where it shows what it does, and which of it this is."""

    folder: FilePath
    version: str = "1"


class Called:
    """What every one of them is."""

    name = ""

    def __init__(self, options: Options) -> None:
        self.folder = options.folder
        self.version = options.version


@implementer(ICatalog)
class Things(Called):
    """Things that are got and dropped; it calls its target by a name that nobody configured."""

    name = "things-catalog"
    actions = frozenset({"getThing", "dropThing"})

    def samples(self, authority: str) -> Iterable[Operation]:
        return ()

    def operation(self, authority: str, method: str, path: str, query: str) -> Operation | None:
        action = {"GET": "getThing", "DELETE": "dropThing"}.get(method)
        if action is None or not path.startswith("/things/"):
            return None
        thing = path.removeprefix("/things/")
        if thing == "raises":
            raise KeyError(thing)
        if thing == "elsewhere":
            path = "/things/other"
        return Operation("unheard-of", action, {"thing": thing}, method, authority, path, query)

    def named(self, authority: str, action: str, resource: Mapping[str, str]) -> Operation | None:
        return None


@implementer(ICredentialSource)
class Minted(Called):
    """A key for each action."""

    name = "minted"

    async def issue(self, operation: Operation) -> Credential:
        if operation.resource["thing"] == "no-credential":
            raise KeyError(operation)
        value = b"minted-for-" + operation.action.encode()
        secrets = () if operation.resource["thing"] == "unnamed-secret" else (value,)
        name = b"Prefer" if operation.resource["thing"] == "counts" else b"X-Key"
        return Credential(((name, value),), secrets, {"kind": "minted"})


@implementer(IApproverChannel)
class Pager(Called):
    """Writes down whom it would page."""

    name = "pager"

    async def tell(self, request: AccessRequest) -> None:
        with (self.folder / f"paged-{self.version}").open("a") as file:
            file.write(f"{request.id} {request.state.value}\n")


@implementer(ILendingSource)
class Lent(Called):
    """A key of its own for each call, which it wants back; each is good where it is the newest."""

    name = "lent"

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._made = 0

    async def lend(
        self, operation: Operation, *, reuse: float, granted: bool = False
    ) -> Credential:
        self._made += 1
        value = b"lent-%d-%d" % (self._made, reuse)
        self._show("lent", value)
        return Credential(((b"X-Key", value),), (value,), {"kind": "lent"})

    def again(self, credential: Credential) -> Credential:
        return credential

    def heard(self, credential: Credential, answer: ResponseHead) -> str | None:
        if answer.status == 599:
            raise KeyError(answer)
        return "The target wants another key." if answer.status == 401 else None

    def returned(self, credential: Credential) -> None:
        self._show("back", credential.headers[0][1] if credential.headers else b"nothing")

    def _show(self, what: str, value: bytes) -> None:
        with (self.folder / "lending").open("a") as file:
            file.write(f"{what} {value.decode()}\n")


@implementer(IPeople)
class Leavers(Called):
    """Knows who has left: whom a file ``left`` names; cannot tell while it is not there."""

    name = "leavers"
    deadline = 2.0

    async def is_active(self, person: str) -> bool:
        try:
            return person not in (self.folder / "left").read_text().split()
        except FileNotFoundError as missing:
            raise PeopleUnknown("The list of leavers is not there.") from missing


@implementer(IGroups)
class Rota(Called):
    """Knows who is on duty: of each group a file ``GROUP.rota`` lists its members."""

    name = "rota"
    deadline = 2.0

    def misnamed(self, group: str) -> str | None:
        return None if group.isalpha() else "a rota has letters alone in its name"

    async def members(self, group: str) -> Sequence[str]:
        try:
            return (self.folder / f"{group}.rota").read_text().split()
        except FileNotFoundError as missing:
            raise PeopleUnknown(f"There is no rota {group}.") from missing


@implementer(IIdentityVerifier)
class Partners(Called):
    """Proves what the partners signed with the key that is shared with them."""

    name = "partners"

    async def verify(self, token: str, *, again: bool = False) -> Subject | Refusal:
        try:
            said = jwt.decode(token, KEY, ["HS256"])
        except jwt.InvalidTokenError as error:
            return Refusal(Denial.TOKEN_REFUSED, f"The partners have not made it: {error}.")
        return Subject(
            said.get("says", PARTNERS), said["sub"], frozenset({"it-agents"}), said["exp"]
        )


@implementer(IRecordStore)
class Mirror(Called):
    """Keeps entries in a file; cannot while there is a file ``full``."""

    name = "mirror"
    ready = False

    def open(self) -> None:
        self.recover()
        self.file = (self.folder / "mirror").open("a")

    def append(self, entries: Sequence[Entry]) -> None:
        if not self.ready:
            raise OSError("the mirror is closed, or has failed and was not recovered")
        self.ready = False
        self._needs_space()
        for entry in entries:
            self.file.write(json.dumps({"type": entry.type, **entry.fields}, default=str) + "\n")
        self.checkpoint()
        self.ready = True

    def recover(self) -> None:
        self._needs_space()
        self.ready = True

    def checkpoint(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())

    def close(self) -> None:
        self.ready = False
        self.file.close()
        (self.folder / "mirror-closed").touch()

    def _needs_space(self) -> None:
        if (self.folder / "full").exists():
            raise OSError(28, "No space left on device")


@implementer(IRequest)
class LineRequest:
    """A request without a body."""

    fault = None

    def __init__(self, method: str, target: str, authority: str) -> None:
        self.head = RequestHead(method, target, ())
        self.hosts = (authority,)

    async def read(self) -> bytes:
        return b""


@implementer(IResponse)
class LineResponse:
    """A response on one line."""

    def __init__(self) -> None:
        self.started = self.gone = self.takes_trailers = False
        self.said = b""

    def on_gone(self, call: object, *, first: bool = False) -> None:
        """Nobody hangs up."""

    def render(self, refusal: Refusal, exchange: str, manner: str) -> tuple[ResponseHead, bytes]:
        return ResponseHead(403, ()), refusal.detail.encode()

    async def start(self, head: ResponseHead, first: bytes = b"") -> None:
        self.started = True
        self.said = b"%d " % head.status + first

    async def write(self, data: bytes) -> None:
        self.said += data

    async def finish(self, trailers: Headers = ()) -> None:
        """All of it is there."""

    def truncate(self) -> None:
        self.said = b"broken off"


class Lines(LineReceiver):
    """Calls are lines: TOKEN METHOD PATH."""

    delimiter = b"\n"
    transport: ITCPTransport

    def __init__(self, gateway: Gateway, agents: set[Lines]) -> None:
        self.gateway = gateway
        self.agents = agents
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.agents.add(self)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.agents.discard(self)
        self.gone.callback(None)

    def lineReceived(self, line: bytes) -> None:
        Deferred.fromCoroutine(self.answered(line.decode())).addCallback(self.sendLine)

    async def answered(self, line: str) -> bytes:
        token, method, path = line.split()
        tunnel = await self.gateway.admit(Knock("api.example:443", token, "line"))
        if isinstance(tunnel, TurnedAway):
            return b"403 " + tunnel.refusal.detail.encode()
        response = LineResponse()
        await self.gateway.serve(tunnel, LineRequest(method, path, tunnel.authority), response)
        self.gateway.left(tunnel)
        return response.said


@implementer(IProtocolListener)
class LineListener:
    """Takes calls at a port of the loopback address, which it tells."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self.gateway = gateway
        self.folder = folder
        self.agents: set[Lines] = set()

    async def start(self) -> None:
        from twisted.internet import reactor  # noqa: PLC0415 (it is installed by now)

        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self.port = await endpoint.listen(
            Factory.forProtocol(partial(Lines, self.gateway, self.agents))
        )
        (self.folder / "port").write_text(f"{self.port.getHost().port}")

    async def stop(self) -> None:
        await self.port.stopListening()
        for agent in list(self.agents):
            agent.transport.abortConnection()
            await agent.gone
        (self.folder / "line-stopped").touch()


@implementer(IListenerSource)
class Line(Called):
    """Makes the listener for calls that are lines."""

    name = "line"

    def listener(self, gateway: Gateway) -> LineListener:
        return LineListener(gateway, self.folder)


def plugin(options: Options) -> list[Called]:
    """All of it."""
    kinds = (Things, Minted, Lent, Pager, Leavers, Rota, Partners, Mirror, Line)
    return [kind(options) for kind in kinds]
