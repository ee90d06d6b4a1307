"""The token for one operation: asked for ahead of the call, by whoever the tunnel has proved.

Policy decides on it as it would on the call, and people are asked where policy says so: the token
then names the grant that they gave. What could only be decided with the body cannot be had ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from twisted.internet.interfaces import IReactorTime

from jitgate.core.binding import LARGEST, LONGEST
from jitgate.core.policy import NeedsBody
from jitgate.flow.ahead import Ahead
from jitgate.flow.revoking import Revocations
from jitgate.interfaces import IIdentityVerifier, ITokenSource
from jitgate.values import (
    Binding,
    Decision,
    Denial,
    Effect,
    Grant,
    Made,
    Operation,
    Pending,
    Refusal,
    Subject,
)

SHORTEST = 10.0
"""Seconds that a token lives at least: with less, nothing could be done with it."""

LIFE = 300.0
"""Seconds that a token lives unless it is asked for with another life."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    subject_token: str = field(repr=False)
    target: str | None = None
    """None: a token for whatever its subject may do."""
    action: str = ""
    resource: Mapping[str, str] = field(default_factory=dict)
    once: bool = False
    life: float = LIFE


@dataclass(frozen=True, slots=True)
class Declined:
    """Why there is none, by a word of OAuth's (RFC 6749, section 5.2; 8628, 3.5; 9396, 5)."""

    error: str
    description: str
    pending: Pending | None = None


_UNKNOWN = Declined(
    "invalid_authorization_details",
    "There is no such operation: the manifest lists targets, actions and their resources.",
)


_ERRORS = {
    Denial.APPROVAL_PENDING: "authorization_pending",
    Denial.APPROVAL_EXPIRED: "expired_token",
    Denial.OVERLOADED: "slow_down",
}
"""How RFC 8628, section 3.5 calls what people, or nobody, have said."""


class TokenExchange:
    """Exchanges an agent's token for one of the gateway's own (RFC 8693)."""

    def __init__(
        self,
        *,
        ahead: Ahead,
        identity: IIdentityVerifier,
        source: ITokenSource,
        revocations: Revocations,
        clock: IReactorTime,
        new_id: Callable[[str], str],
    ) -> None:
        self._ahead = ahead
        self._source = source
        self._revocations = revocations
        self._clock = clock
        self._new_id = new_id
        self.adopt(identity)

    def adopt(self, identity: IIdentityVerifier) -> None:
        """Go by this from now on."""
        self._identity = identity

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock.seconds()

    async def exchange(
        self, subject: Subject, wanted: Wanted, session: str
    ) -> tuple[Made, Binding] | Declined:
        """The token, and what it is bound to; or why there is none, or none yet.

        Raises what `Access` raises where it cannot tell.
        """
        believed = self._identity
        proved = await self._proved(subject, wanted)
        if isinstance(proved, Declined):
            return proved
        grant = None
        if wanted.target is not None:
            operation = self._ahead.named(wanted.target, wanted.action, wanted.resource)
            if operation is None:
                return _UNKNOWN
            leave = await self._leave(subject, operation, session)
            if isinstance(leave, Declined):
                return leave
            grant = leave
        if believed is not self._identity:  # the subject was proved on other terms
            return Declined("slow_down", "The configuration has changed: ask again.")
        binding = Binding(
            id=self._new_id("t"),
            target=wanted.target,
            action=wanted.action,
            resource=wanted.resource,
            once=wanted.once,
            grant=None if grant is None else grant.id,
        )
        until = min(subject.expires_at, proved.expires_at)
        made = self._source.mint(
            replace(subject, expires_at=until), life=wanted.life, binding=binding
        )
        if len(made.token) > LARGEST:
            return Declined("invalid_grant", "The subject has too many groups for a token of ours.")
        return made, binding

    async def revoke(self, subject: Subject, token: str) -> Declined | None:
        """Take back a token of the gateway's own (RFC 7009); what is none that is good already is.

        Raises what `Revocations` raises.
        """
        proved = await self._identity.verify(token, again=True)
        if isinstance(proved, Refusal) or not _same(proved, subject):
            return None  # section 2.2: as if it had been
        if proved.binding is None:
            return Declined("unsupported_token_type", "Only tokens of the gateway's own end here.")
        await self._revocations.revoke_token(proved.binding.id, subject)
        return None

    def jwks(self) -> Mapping[str, object]:
        """The keys that its tokens are checked with."""
        return self._source.jwks()

    async def _proved(self, subject: Subject, wanted: Wanted) -> Subject | Declined:
        """Whom the token that was brought proves, or why nobody gets one for it."""
        if subject.binding is not None:
            return Declined(
                "invalid_grant",
                "A token of the gateway's own is not exchanged again: bring the identity "
                "provider's, in Proxy-Authorization as well.",
            )
        proved = await self._identity.verify(wanted.subject_token, again=True)
        if isinstance(proved, Refusal):
            return Declined("invalid_grant", proved.detail)
        if not _same(proved, subject) or proved.binding is not None:
            return Declined(
                "invalid_grant", "The subject_token is not of the subject that opened the tunnel."
            )
        if not SHORTEST <= wanted.life <= LONGEST:
            bounds = f"{SHORTEST:g} to {LONGEST:g}"
            return Declined("invalid_request", f"A token lives {bounds} seconds.")
        return proved

    async def _leave(
        self, subject: Subject, operation: Operation, session: str
    ) -> Grant | Declined | None:
        """Whether policy would let the call go: by itself, or by people, whose grant it is then."""
        decision = await self._ahead.decide(operation, subject)
        if isinstance(decision, NeedsBody):
            return Declined(
                "invalid_authorization_details",
                "Policy decides on this operation by its body: send the call itself.",
            )
        if decision.effect is Effect.PERMIT:
            return None
        return await self._asked(subject, operation, decision, session)

    async def _asked(
        self, subject: Subject, operation: Operation, decision: Decision, session: str
    ) -> Grant | Declined:
        """People are asked for a grant over the operation's scope: there is no call yet."""
        full = await self._ahead.objection(decision, operation, subject)
        ask = self._ahead.ask(subject, operation, decision, session)
        if full is not None or ask is None:
            detail = decision.reason if full is None else full.detail
            return Declined("access_denied", f"{detail} (rule {(full or decision).rule})")
        given = await self._ahead.asked(ask)
        if isinstance(given, Grant):
            return given
        return Declined(_ERRORS.get(given.denial, "access_denied"), given.detail, given.pending)


def _same(one: Subject, other: Subject) -> bool:
    return (one.issuer, one.id, one.agent) == (other.issuer, other.id, other.agent)
