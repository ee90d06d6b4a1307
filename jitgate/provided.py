"""Holds what plugins provide to what the ports promise: an answer of the right kind, and in time.

A plugin is trusted code, and yet somebody's first try. What it does wrong becomes a fault that
names it, and faults deny; nothing here makes an answer of a plugin's better than it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from jitgate.core.binding import ISSUER
from jitgate.core.literals import Literals
from jitgate.errors import (
    ApproversUnreachable,
    CatalogFault,
    CredentialUnavailable,
    IdentityUnavailable,
    JitgateError,
)
from jitgate.identity.unverified import UnverifiedToken, token_refused
from jitgate.interfaces import (
    IApproverChannel,
    ICatalog,
    ICredentialSource,
    IGrantChannel,
    IIdentityVerifier,
    ILendingSource,
    IProtocolListener,
)
from jitgate.values import (
    AccessRequest,
    Credential,
    Grant,
    Operation,
    Refusal,
    ResponseHead,
    Subject,
    Use,
)

PATIENCE = 10.0
"""Seconds that a call waits for a plugin: an agent waits at the other end, and gives up after 30 to
60. The gateway's own calls have as long (`jitgate.fetching`)."""

NEVER_ISSUED = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"connection", b"user-agent"}
)
"""Fields that no credential is in: they say where a call goes, how long it is, and which it is."""

Answer = TypeVar("Answer")


async def asked(
    call: Callable[[], Awaitable[Answer]],
    kind: type[Answer] | tuple[type, ...],
    fault: type[JitgateError],
    whom: str,
    clock: IReactorTime,
) -> Answer:
    """What the call comes to, if it is of that kind, within `PATIENCE`; else the fault.

    Faults of ours and being cancelled pass as they are.
    """
    late = False

    def too_late(result: object, _: float) -> object:
        nonlocal late
        late = True
        return result

    async def calling() -> Answer:
        return await call()

    waiting = Deferred.fromCoroutine(calling())
    waiting.addTimeout(PATIENCE, clock, onTimeoutCancel=too_late)
    try:
        answer = await waiting
    except Exception as error:
        if late:
            raise fault(f"{whom} did not answer within {PATIENCE:g} s.") from error
        if isinstance(error, JitgateError | CancelledError):
            raise
        raise fault(f"{whom} raised {type(error).__name__}.") from error
    if not isinstance(answer, kind):
        raise fault(f"{whom} answered {type(answer).__name__}, which is no answer.")
    return answer


@implementer(ICatalog)
class ProvidedCatalog:
    """What calls to a target mean, as a plugin's catalog says.

    An operation has the target's own name, else rules for the target would not see it; and it is
    the very call that was asked about, since what it holds is what is sent.
    """

    def __init__(self, target: str, name: str, catalog: ICatalog) -> None:
        self._target = target
        self._whom = f"Catalog {name}"
        self._catalog = catalog
        self.actions = frozenset(catalog.actions)

    def samples(self, authority: str) -> Iterable[Operation]:
        return [replace(each, target=self._target) for each in self._catalog.samples(authority)]

    def operation(self, authority: str, method: str, path: str, query: str) -> Operation | None:
        found = self._operation(self._catalog.operation(authority, method, path, query))
        if found is not None and _call(found) != (authority, method, path, query):
            raise CatalogFault(f"{self._whom} answered another call than it was asked about.")
        return found

    def named(self, authority: str, action: str, resource: Mapping[str, str]) -> Operation | None:
        found = self._operation(self._catalog.named(authority, action, resource))
        if found is not None and (found.authority, found.action) != (authority, action):
            raise CatalogFault(f"{self._whom} answered another operation than was named.")
        return found

    def _operation(self, found: object) -> Operation | None:
        if found is None:
            return None
        if not isinstance(found, Operation) or not isinstance(found.action, str):
            raise CatalogFault(f"{self._whom} answered neither an operation nor None.")
        return replace(found, target=self._target)


def _call(operation: Operation) -> tuple[str, str, str, str]:
    return operation.authority, operation.method, operation.path, operation.query


class ProvidedVerifier:
    """Asks a plugin's verifier about the tokens of one issuer: JWTs that say that it made them."""

    def __init__(
        self, issuer: str, name: str, verifier: IIdentityVerifier, clock: IReactorTime
    ) -> None:
        self._issuer = issuer
        self._whom = f"Identity verifier {name}"
        self._verifier = verifier
        self._clock = clock

    async def verify_read(self, read: UnverifiedToken) -> Subject | Refusal:
        """As `IIdentityVerifier.verify`, of a token that has been read."""
        outcome = await asked(
            lambda: self._verifier.verify(read.text),
            (Subject, Refusal),
            IdentityUnavailable,
            self._whom,
            self._clock,
        )
        if isinstance(outcome, Refusal):
            return outcome
        if outcome.issuer != self._issuer or outcome.issuer == ISSUER:
            return token_refused("who looked at it says that another issuer made it")
        if outcome.binding is not None:
            return token_refused("only the gateway's own tokens are bound to anything")
        return outcome


@implementer(ICredentialSource)
class ProvidedCredentials:
    """Issues what a plugin's source issues.

    What carries a secret is named, so that it can be hidden wherever the target echoes it; and no
    field of the call itself is a credential's to write.
    """

    def __init__(
        self,
        name: str,
        source: ICredentialSource,
        counting: frozenset[bytes],
        clock: IReactorTime,
    ) -> None:
        self._whom = f"Credential source {name}"
        self._source = source
        self._counting = counting
        self._clock = clock

    async def issue(self, operation: Operation) -> Credential:
        issued = await asked(
            lambda: self._source.issue(operation),
            Credential,
            CredentialUnavailable,
            self._whom,
            self._clock,
        )
        return _guarded(issued, self._whom, self._counting)


@implementer(ILendingSource)
class ProvidedLending:
    """Lends what a plugin's source lends, by the same terms as `ProvidedCredentials`.

    The source hears of each, and gets each back, as it lent it. What it raises then is logged: the
    call has been made. A credential that is refused here has been given back.
    """

    _log = Logger()

    def __init__(
        self, name: str, source: ILendingSource, counting: frozenset[bytes], clock: IReactorTime
    ) -> None:
        self._whom = f"Credential source {name}"
        self._source = source
        self._counting = counting
        self._clock = clock
        self._lent: dict[int, tuple[Credential, Credential]] = {}
        """What is out by the id of it, and as the source lent it. What is out stays an object."""

    async def lend(
        self, operation: Operation, *, reuse: float, granted: bool = False
    ) -> Credential:
        lent = await asked(
            lambda: self._source.lend(operation, reuse=reuse, granted=granted),
            Credential,
            CredentialUnavailable,
            self._whom,
            self._clock,
        )
        try:
            guarded = _guarded(lent, self._whom, self._counting)
        except BaseException:
            self._told("it got a credential back", self._source.returned, lent)
            raise
        self._lent[id(guarded)] = guarded, lent
        return guarded

    def again(self, credential: Credential) -> Credential:
        """Raises `CredentialUnavailable` where the source does not say, or says what is not its."""
        _, lent = self._lent[id(credential)]
        try:
            again = self._source.again(lent)
            if isinstance(again, Credential):
                return _guarded(again, self._whom, self._counting)
        except CredentialUnavailable:
            raise
        except Exception as error:
            raise CredentialUnavailable(f"{self._whom} raised {type(error).__name__}.") from error
        kind = type(again).__name__
        raise CredentialUnavailable(f"{self._whom} answered {kind}, which is no answer.")

    def heard(self, credential: Credential, answer: ResponseHead) -> str | None:
        known = self._lent.get(id(credential))
        if known is None:
            return None
        said = self._told("it heard of an answer", self._source.heard, known[1], answer)
        if said is None or isinstance(said, str):
            return said
        kind = type(said).__name__
        self._log.error("{whom} said {kind} of an answer.", whom=self._whom, kind=kind)
        return None

    def returned(self, credential: Credential) -> None:
        known = self._lent.pop(id(credential), None)
        if known is not None:
            self._told("it got a credential back", self._source.returned, known[1])

    def _told(self, when: str, call: Callable[..., object], *args: object) -> object:
        """What the source says to what it is told; whatever it raises is logged."""
        try:
            return call(*args)
        except Exception as error:  # noqa: BLE001 (a call that has been made stays made)
            kind = type(error).__name__
            self._log.error(
                "{whom} raised {kind} when {when}.", whom=self._whom, kind=kind, when=when
            )
        return None


def _guarded(issued: Credential, whom: str, counting: frozenset[bytes]) -> Credential:
    """The credential, if it writes no field of the call and names its secrets; else the fault."""
    for name, value in issued.headers:
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise CredentialUnavailable(f"{whom} has a field that is not bytes.")
    written = sorted(counting.intersection(name.lower() for name, _ in issued.headers))
    if written:
        field = written[0].decode("ascii", "replace")
        raise CredentialUnavailable(f"{whom} writes {field}, which is part of a call.")
    if issued.query is not None or issued.body is not None:
        raise CredentialUnavailable(f"{whom} writes into a query or a body, which are of a call.")
    if issued.headers and not issued.secrets:
        raise CredentialUnavailable(f"{whom} does not say which part of it is secret.")
    return replace(issued, secrets=Literals(issued.secrets))


@implementer(IApproverChannel)
class ProvidedChannel:
    """Tells people by a plugin's channel."""

    def __init__(self, name: str, channel: IApproverChannel, clock: IReactorTime) -> None:
        self.name = name
        self._channel = channel
        self._clock = clock

    async def tell(self, request: AccessRequest) -> None:
        whom = f"Approver channel {self.name}"
        telling = partial(self._channel.tell, request)
        await asked(telling, (object,), ApproversUnreachable, whom, self._clock)


@implementer(IGrantChannel)
class ProvidedGrantChannel(ProvidedChannel):
    """Shows them what becomes of what they gave as well."""

    _channel: IGrantChannel

    async def tell_grant(self, grant: Grant, use: Use | None) -> None:
        whom = f"Approver channel {self.name}"
        telling = partial(self._channel.tell_grant, grant, use)
        await asked(telling, (object,), ApproversUnreachable, whom, self._clock)


@implementer(IProtocolListener)
class ProvidedListener:
    """A plugin's listener as a part of the service, which stops within ``seconds``."""

    _log = Logger()

    def __init__(
        self, name: str, listener: IProtocolListener, seconds: float, clock: IReactorTime
    ) -> None:
        self._name = name
        self._listener = listener
        self._seconds = seconds
        self._clock = clock

    async def start(self) -> None:
        await self._listener.start()

    async def stop(self) -> None:
        stopping = Deferred.fromCoroutine(self._listener.stop())
        stopping.addTimeout(self._seconds, self._clock)
        try:
            await stopping
        except Exception as error:  # noqa: BLE001 (whatever it is, the others must stop as well)
            kind = type(error).__name__
            self._log.error("Listener {name} did not stop: {kind}", name=self._name, kind=kind)
