"""One service app of an Okta org: tokens are minted for it, and handed back.

The grant is RFC 6749, section 4.4; the gateway proves itself to the org's token endpoint by a JWT
of its own (RFC 7523, section 3; Okta and OpenID Connect call it private_key_jwt), and that it
holds the key of the token by another (RFC 9449).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from operator import attrgetter
from urllib.parse import urlsplit

from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from jitgate.core.injection import user_agent_token
from jitgate.credentials.circuit import Circuit
from jitgate.credentials.dpop import BAD_PROOF, NONCE_FIELD, WANTS_NONCE, Nonces, Prover, is_nonce
from jitgate.credentials.room import Room
from jitgate.credentials.signing import Signer
from jitgate.credentials.token_answers import (
    Token,
    TokenRefused,
    Unwanted,
    Wanted,
    code_of,
    refusal,
    token_in,
    tokens_in,
)
from jitgate.errors import CredentialRefused, CredentialUnavailable
from jitgate.fetching import TIMEOUT, USER_AGENT, Fetched, Fetcher, died
from jitgate.values import Operation, Risk

ASSERTION_LIFE = 60
"""Seconds for which an assertion can be used. It is sent at once, and once."""

MAX_ANSWER = 64 * 1024
"""Bytes of the token endpoint's answer; a token has a few kilobytes."""

NONCES = 2
"""Nonces of the token endpoint that are answered in one call: the first, and another where that
one has just been replaced. Who wants a third would want a hundredth."""

AGAIN_AFTER = 0.3
"""Seconds, at most, before a call is made once more: its agent waits."""

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

EVERY_RISK = frozenset(Risk)
_ORDER = tuple(Risk)

Pause = Callable[[float], Awaitable[None]]


NEVER_REVOKED = "unsupported_token_type"
"""The one error code of a revocation that no other try changes (RFC 7009, section 2.2.1)."""


class OktaServer:
    """The org's own authorization server, to all of its apps: how it is asked, and whether.

    Args:
        org: The org's URL, ``https://acme.okta.com``.
        http: Reaches the org at its checked address and trusts what the target's trust says.
        clock: Wall-clock time.
        jitter: A number from 0 to 1, another at each call.

    Raises `ValueError` where ``org`` is not the URL of an org.
    """

    def __init__(
        self, org: str, http: HTTPClient, clock: IReactorTime, jitter: Callable[[], float]
    ) -> None:
        origin = _origin(org)
        self.token_url = f"{origin}/oauth2/v1/token"
        self.revoke_url = f"{origin}/oauth2/v1/revoke"
        self.clock = clock
        self.jitter = jitter
        self.nonces = Nonces()
        self.circuit = Circuit("The token endpoint", jitter)
        self.fetcher = Fetcher(http, clock, "The token endpoint", CredentialUnavailable, MAX_ANSWER)


@dataclass(frozen=True, slots=True)
class Client:
    """A service app as it is registered with the org."""

    name: str
    client_id: str
    risks: frozenset[Risk] = EVERY_RISK
    scopes: frozenset[str] | None = None
    """Those it may ask for; None: any."""

    def covers(self, operation: Operation) -> bool:
        """Whether it is for such operations: one of no known risk is for those of every risk."""
        risky = self.risks == EVERY_RISK or operation.risk in self.risks
        return risky and (self.scopes is None or self.scopes.issuperset(operation.scopes))


class OktaApp:
    """Mints tokens, and revokes them.

    Args:
        client: The service app.
        signer: Signs its assertions.
        prover: Signs its proofs; None where its tokens are bearer tokens.
        server: The org's.
        new_id: A fresh unguessable id at each call.
        pause: Lets so many seconds pass.
    """

    def __init__(
        self,
        client: Client,
        signer: Signer,
        prover: Prover | None,
        server: OktaServer,
        *,
        new_id: Callable[[], str],
        pause: Pause,
    ) -> None:
        self.client = client
        self.breadth = _breadth(client)
        self.room = Room(client.name, server.clock, server.jitter)
        self.prover = prover
        self._signer = signer
        self._server = server
        self._clock = server.clock
        self._new_id = new_id
        self._pause = pause
        self._proved_revoking = False

    def token_name(self) -> str:
        """A new name, for the User-Agent of the requests about one token: ``jitgate/m-...``."""
        return user_agent_token(f"m-{self._new_id()}", 1)

    async def mint(self, scopes: tuple[str, ...], user_agent: str = USER_AGENT) -> Token:
        """A token of exactly these scopes, asked for, and later revoked, under that name.

        Whoever asks has made a claim to `room` before. Raises `CredentialUnavailable`,
        `CredentialBusy` on a 429, or `CredentialRefused` where the org will never give one.
        """
        dpop = self.prover is not None
        wanted = Wanted(self.client.name, scopes, dpop, self._clock.seconds(), user_agent)
        form = {"grant_type": "client_credentials", "scope": " ".join(scopes)}
        answer = await self._unless_open(form, user_agent)
        if answer.status == 200:
            return token_in(answer, wanted)
        said = refusal(answer, self._clock.seconds(), dpop=dpop)
        if 200 < answer.status < 300 and (tokens := tokens_in(answer, wanted)):
            raise Unwanted(said, *tokens)
        raise TokenRefused(said, answer.status, code_of(answer))

    async def revoke(self, token: Token) -> None:
        """Make the token void (RFC 7009): 200 says that it is, whatever it was before.

        Raises `CredentialUnavailable` where it may be tried again, and `CredentialRefused`.
        """
        form = {"token": token.secret.decode(), "token_type_hint": "access_token"}
        url, name = self._server.revoke_url, token.user_agent
        answer = await self._asked(url, form, name, proved=self._proved_revoking)
        if code_of(answer) in {WANTS_NONCE, BAD_PROOF} and self.prover is not None:
            self._proved_revoking = True
            answer = await self._asked(url, form, name, proved=True)
        if answer.status == 200:
            return
        code = code_of(answer)
        said = f"The org answered {answer.status}{f' ({code})' if code else ''}."
        # All else may pass: a clock that is wrong, an app that is switched off for an hour.
        raise CredentialRefused(said) if code == NEVER_REVOKED else CredentialUnavailable(said)

    async def _unless_open(self, form: Mapping[str, str], user_agent: str) -> Fetched:
        """Ask for a token, unless the endpoint is left alone; tell what became of it."""
        circuit = self._server.circuit
        url, proved = self._server.token_url, self.prover is not None
        trial = circuit.enter(self._clock.seconds())
        try:
            answer = await self._asked(url, form, user_agent, proved=proved)
        except CredentialUnavailable:
            circuit.failed(self._clock.seconds(), trial=trial)
            raise
        except BaseException:
            circuit.left(trial=trial)
            raise
        if answer.status >= 500:
            circuit.failed(self._clock.seconds(), trial=trial)
        else:
            circuit.succeeded()
            self.room.heard(answer)
        return answer

    async def _asked(
        self, url: str, form: Mapping[str, str], user_agent: str, *, proved: bool
    ) -> Fetched:
        """The answer to a call that is made once more where its connection died, or on a 5xx.

        It may have been carried out then: a token that nobody has expires by itself, and to revoke
        one twice changes nothing.
        """
        deadline, again, nonces = self._clock.seconds() + TIMEOUT, False, 0
        fields = {"User-Agent": user_agent}
        while True:
            try:
                answer = await self._sent(url, form, fields, deadline, proved=proved)
            except CredentialUnavailable as fault:
                if again or not died(fault):
                    raise
            else:
                if proved and self._wants_another(answer):
                    nonces += 1
                    if nonces > NONCES:
                        return answer
                    continue
                if again or answer.status < 500:
                    return answer
            again = True
            await self._pause(self._server.jitter() * AGAIN_AFTER)

    async def _sent(
        self,
        url: str,
        form: Mapping[str, str],
        fields: Mapping[str, str],
        deadline: float,
        *,
        proved: bool,
    ) -> Fetched:
        """Send it, with an assertion and a proof of its own: neither is good twice."""
        whole = {
            **form,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": self._assertion(url),
        }
        nonces = self._server.nonces
        if proved and self.prover is not None:
            nonce = nonces.of(self._server.token_url) or ""
            fields = {**fields, "DPoP": self.prover.proof("POST", url, nonce=nonce)}
        within = max(deadline - self._clock.seconds(), 0.0)
        answer = await self._server.fetcher.post(url, whole, fields, within=within)
        nonces.learn(self._server.token_url, answer.header(NONCE_FIELD))
        return answer

    def _wants_another(self, answer: Fetched) -> bool:
        wants = answer.status in {400, 401} and code_of(answer) == WANTS_NONCE
        return wants and is_nonce(answer.header(NONCE_FIELD))

    def _assertion(self, url: str) -> str:
        now = int(self._clock.seconds())
        claims = {
            "iss": self.client.client_id,
            "sub": self.client.client_id,
            "aud": url,
            "iat": now,
            "exp": now + ASSERTION_LIFE,
            "jti": self._new_id(),
        }
        return self._signer.signed(claims)


def narrowest(apps: Collection[OktaApp], operation: Operation) -> OktaApp:
    """Of the apps that cover the operation the one that may do least; the first of equals.

    Raises `CredentialRefused` if none does.
    """
    covering = [app for app in apps if app.client.covers(operation)]
    if not covering:
        risk = "no known" if operation.risk is None else operation.risk.value
        raise CredentialRefused(
            f"No service app of {operation.target} covers {operation.action}: its risk is {risk}, "
            f"its scopes are {' '.join(operation.scopes)}."
        )
    return min(covering, key=attrgetter("breadth"))


def _breadth(client: Client) -> tuple[int, int, float]:
    """The worst that it may do; how many kinds of things; with how many scopes."""
    risks, scopes = client.risks, client.scopes
    worst = max((_ORDER.index(risk) for risk in risks), default=-1)
    return worst, len(risks), float("inf") if scopes is None else len(scopes)


def _origin(org: str) -> str:
    """The org's URL, which holds a host and nothing more."""
    parts = urlsplit(org)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise ValueError("an org is given by its https URL")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("an org's URL holds a host and nothing more")
    return f"https://{parts.netloc}"
