"""Okta access tokens, each for one operation: minted, bound to a key, lent, revoked."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from jitgate.credentials.circuit import LeftAlone
from jitgate.credentials.dpop import (
    BAD_PROOF,
    NONCE_FIELD,
    WANTS_NONCE,
    Nonces,
    Prover,
    errors_in,
)
from jitgate.credentials.holding import Held, Holdings
from jitgate.credentials.okta_app import MAX_ANSWER, OktaApp, narrowest
from jitgate.credentials.revoking import AT_END, Noted, Revoker
from jitgate.credentials.token_answers import Token, Unwanted
from jitgate.errors import CredentialRefused, CredentialUnavailable
from jitgate.fetching import Fetched, Fetcher, died
from jitgate.interfaces import ILastingSource
from jitgate.values import Credential, Headers, Operation, ResponseHead

ASKED_FIRST: Final = "/api/v1/org"
"""What is read of an API to learn its nonce before anything is changed, or goes under a grant,
there. Every org has it, without a parameter; it changes nothing, and who may not read it is told so
only after the token and its proof were looked at."""

_PUBLIC = re.compile(r"/\.well-known/.+|/oauth2/v1/keys")
"""What an org tells anybody: its metadata (RFC 8615) and the keys that it signs with."""

_OTHER_SCOPES = "insufficient_scope"
_AT = {401: "invalid_token", 403: _OTHER_SCOPES}
"""Which error of a token's goes with which status (RFC 6750, section 3.1)."""

_SAYS = {
    WANTS_NONCE: "The target wants another nonce in the proof of the gateway's token.",
    BAD_PROOF: "The target did not accept the proof of the gateway's token.",
    "invalid_token": "The target did not accept the gateway's token.",
}


class _Lent(NamedTuple):
    """A credential that is with a call."""

    credential: Credential
    app: OktaApp
    held: Held
    operation: Operation


@implementer(ILastingSource)
class OktaCredentials:
    """Lends a token that has exactly the scopes of the operation that it is for.

    For an operation that needs no scope there is none: a public read goes without a credential,
    and all else is refused, since it asks for an API token or for a proof of another kind.

    Args:
        apps: The service apps; the narrowest that covers an operation is taken.
        reach: Makes the client that reaches ``host:port`` of the API in the target's checked way.
        noted: Puts on record what becomes of tokens afterwards.
        clock: Wall-clock time.
        jitter: A number from 0 to 1, another at each call.
        keyed: The digest by which a record may tell one token from another.
        nonces: What each API is known to want to see in a proof, by authority.
        close: Ends the connections that are kept.
        alive: How many tokens there may be at a time.
    """

    def __init__(
        self,
        apps: Sequence[OktaApp],
        *,
        reach: Callable[[str], HTTPClient],
        noted: Noted,
        clock: IReactorTime,
        jitter: Callable[[], float],
        keyed: Callable[[bytes], str],
        nonces: Nonces,
        close: Callable[[], Awaitable[None]],
        alive: int,
    ) -> None:
        self._apps = {app.client.name: app for app in apps}
        self._reach = reach
        self._clock = clock
        self._keyed = keyed
        self._close = close
        self._nonces = nonces
        self._noted = noted
        self._revoker = Revoker(noted, clock, jitter)
        self._holdings = Holdings(self._over, clock, alive)
        self._lent: dict[int, _Lent] = {}

    @property
    def apps(self) -> Sequence[OktaApp]:
        """The service apps, as they were given."""
        return tuple(self._apps.values())

    async def lend(
        self, operation: Operation, *, reuse: float, granted: bool = False
    ) -> Credential:
        if not operation.scopes:
            return _nothing_for(operation)
        app, scopes = narrowest(self._apps.values(), operation), operation.scopes
        shared = 0.0 if operation.changes else reuse  # each change has a token of its own
        key = (app.client.name, scopes)

        def mint() -> Awaitable[Token]:
            return self._minted(app, scopes, approved=granted)

        held, reused = await self._holdings.take(key, mint, shared)
        try:
            await self._learn(app, held, operation.authority, must=operation.changes or granted)
            return self._lend(app, held, operation, reused=reused)
        except BaseException:
            self._holdings.give_back(held)
            raise

    def again(self, credential: Credential) -> Credential:
        lent = self._lent.get(id(credential))
        if lent is None:
            return credential
        return self._proved(lent.app, lent.held, lent.operation, credential.facts)

    def heard(self, credential: Credential, answer: ResponseHead) -> str | None:
        lent = self._lent.get(id(credential))
        if lent is None:
            return None
        error = _challenge(answer)
        if lent.app.prover is not None:
            nonces = [value for name, value in answer.headers if name.lower() == b"dpop-nonce"]
            nonce = nonces[0].decode("latin-1") if len(nonces) == 1 else None
            took = _took(answer.status, error)
            self._nonces.learn(lent.operation.authority, nonce, accepted=took)
        if answer.status not in {400, 401}:
            return None
        if error == "invalid_token":
            self._holdings.drop(lent.held)
        return _SAYS.get(error)

    def returned(self, credential: Credential) -> None:
        lent = self._lent.pop(id(credential), None)
        if lent is not None:
            self._holdings.give_back(lent.held)

    def retire(self) -> None:
        self._holdings.retire()

    async def stop(self) -> None:
        until = self._clock.seconds() + AT_END
        self.retire()
        minting = self._holdings.minting()
        all_minted: Deferred[Any] = DeferredList(minting)
        all_minted.addTimeout(AT_END, self._clock, onTimeoutCancel=lambda *_: None)
        await all_minted
        for each in minting:
            each.cancel()
        await self._revoker.stop(max(until - self._clock.seconds(), 0.0))
        await self._close()

    # --- inside

    def _lend(self, app: OktaApp, held: Held, operation: Operation, *, reused: bool) -> Credential:
        held.facts = held.facts or self._facts(held.token)
        facts = {**held.facts, "reused": True} if reused else held.facts
        credential = self._proved(app, held, operation, facts)
        self._lent[id(credential)] = _Lent(credential, app, held, operation)
        return credential

    def _proved(
        self, app: OktaApp, held: Held, operation: Operation, facts: Mapping[str, object]
    ) -> Credential:
        """The token, with a proof for this one call where it is bound to a key."""
        token = held.token
        if app.prover is None:
            fields: Headers = ((b"Authorization", b"Bearer " + token.secret),)
            return Credential(fields, held.hidden, facts)
        nonce = self._nonces.of(operation.authority) or ""
        text = app.prover.proof(operation.method, operation.url, nonce=nonce, token=token.secret)
        proof = text.encode("ascii")
        fields = ((b"Authorization", b"DPoP " + token.secret), (b"DPoP", proof))
        return Credential(fields, held.hidden.and_one(proof), facts)

    async def _learn(self, app: OktaApp, held: Held, authority: str, *, must: bool) -> None:
        """Know what the API wants to see in a proof before anything is asked there.

        Where it does not show that, a plain read goes out all the same; for what ``must`` not be
        challenged `CredentialUnavailable` is raised: nothing has been sent then.
        """
        prover = app.prover
        if prover is None or self._nonces.of(authority) is not None:
            return
        try:
            await self._shown(prover, held, authority)
        except CredentialUnavailable:
            if must:
                raise

    async def _shown(self, prover: Prover, held: Held, authority: str) -> None:
        """Ask the API. Raises `CredentialUnavailable` where it shows nothing."""
        answer = await self._asked_first(prover, held.token, authority)
        error = _error_in(answer.status, answer.every("WWW-Authenticate"))
        if error == "invalid_token":
            self._holdings.drop(held)
            raise CredentialUnavailable(_SAYS[error])
        took = _took(answer.status, error) or (answer.status == 403 and _is_okta(answer.body))
        self._nonces.learn(authority, answer.header(NONCE_FIELD), accepted=took)
        if self._nonces.of(authority) is None:
            raise CredentialUnavailable(
                f"The target answered {answer.status} when it was asked what it wants to see in a "
                "proof: nothing else was sent."
            )

    async def _asked_first(self, prover: Prover, token: Token, authority: str) -> Fetched:
        """The answer to a read that changes nothing, which is made once more where it died."""
        url = f"https://{authority.removesuffix(':443')}{ASKED_FIRST}"
        fetcher = Fetcher(
            self._reach(authority), self._clock, "The target", CredentialUnavailable, MAX_ANSWER
        )
        named = {
            "Authorization": f"DPoP {token.secret.decode('ascii')}",
            "User-Agent": token.user_agent,
        }

        async def asked() -> Fetched:
            proof = prover.proof("GET", url, token=token.secret)
            return await fetcher.head_of(url, {**named, "DPoP": proof})

        try:
            return await asked()
        except CredentialUnavailable as fault:
            if not died(fault):
                raise
        return await asked()

    async def _minted(self, app: OktaApp, scopes: tuple[str, ...], *, approved: bool) -> Token:
        """A new token; one that is not as it was asked for is revoked: it is good for something."""
        app.room.claim(approved=approved)
        name = app.token_name()
        try:
            return await app.mint(scopes, name)
        except Unwanted as fault:
            for token in fault.tokens:
                self._over(token)
            raise
        except LeftAlone:
            raise
        except (CredentialUnavailable, CancelledError) as fault:
            self._noted("credential.not-minted", _not_minted(app, scopes, name, f"{fault}"))
            raise

    def _over(self, token: Token) -> None:
        self._revoker.add(token, self._revoked, self._facts(token))

    async def _revoked(self, token: Token) -> None:
        """Revoke it; whatever waits for that holds this source, so that a stop finds it."""
        await self._apps[token.app].revoke(token)

    def _facts(self, token: Token) -> dict[str, object]:
        """What a record may say of a token."""
        facts: dict[str, object] = {
            "kind": "okta",
            "app": token.app,
            "scopes": list(token.scopes),
            "fingerprint": self._keyed(token.secret),
            "expires_at": int(token.expires_at),
            "user_agent_token": token.user_agent,
        }
        if token.id is not None:
            facts["jti"] = token.id
        return facts


def _nothing_for(operation: Operation) -> Credential:
    """No credential for what anybody may read. Raises `CredentialRefused` for all else."""
    if operation.changes or not _PUBLIC.fullmatch(operation.path):
        raise CredentialRefused(
            f"{operation.action} needs no scope, so that no token is good for it, and it is not a "
            f"public read: {operation.target} is not sent such a call."
        )
    return Credential(headers=(), secrets=(), facts={"kind": "none"})


def _not_minted(
    app: OktaApp, scopes: tuple[str, ...], user_agent: str, why: str
) -> dict[str, object]:
    """What a record says where no token came: the org's log may have the request all the same."""
    return {
        "kind": "okta",
        "app": app.client.name,
        "scopes": list(scopes),
        "user_agent_token": user_agent,
        "why": why or "The gateway stops.",
    }


def _took(status: int, error: str) -> bool:
    """Whether an answer shows that token and proof were looked at, and were good.

    Of those that are no success one alone does: the token has other scopes (RFC 6750, section
    3.1). Anything in front of the API may answer with all others.
    """
    return 200 <= status < 300 or error == _OTHER_SCOPES


def _is_okta(body: bytes) -> bool:
    """Whether it is an error as Okta's API writes it, with a code of its own."""
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(members, dict) and isinstance(members.get("errorCode"), str)


def _challenge(answer: ResponseHead) -> str:
    values = [value for name, value in answer.headers if name.lower() == b"www-authenticate"]
    return _error_in(answer.status, [value.decode("latin-1") for value in values])


def _error_in(status: int, challenges: Iterable[str]) -> str:
    """Why the credential was not taken (RFC 6750, section 3; RFC 9449, section 7.1), or ""."""
    for field in challenges:
        for scheme, error in errors_in(field):
            if error == _AT.get(status) and scheme in {"bearer", "dpop"}:
                return error
            if error in {WANTS_NONCE, BAD_PROOF} and scheme == "dpop":
                return error
    return ""
