"""Two issuers that nobody here wrote (npm's oidc-provider), their keys rotated and withdrawn.

They publish over real TLS. The clock by which their keys age is the test's.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager

import jwt
import pytest
import pytest_twisted
from support.counterparts import Agent, Issuer, TestCA
from support.gateway import GatewayProcess, settings, target
from support.wire import Origin, Tunnel, answering
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.web.client import Agent as WebAgent

from jitgate.app.far import trust_in
from jitgate.errors import IdentityUnavailable
from jitgate.identity.claims import Trust
from jitgate.identity.discovery import DiscoveredKeys
from jitgate.identity.freshness import FRESH_FOR, MAX_AGE, REFETCH_AFTER
from jitgate.identity.issuers import Issuers
from jitgate.identity.oidc import OidcVerifier
from jitgate.identity.vendors import VENDORS
from jitgate.trust import NamedPolicy
from jitgate.values import Refusal, Subject

ALGORITHMS = ("RS256", "ES256", "PS256", "EdDSA")
AGENTS = [Agent("bot-7", ("it-agents",))]
LIFE = int(MAX_AGE) + 3600
"""Seconds that tokens live: longer than any key that cannot be fetched anew."""


@pytest.fixture(autouse=True)
def from_the_seed():
    """There is no org here."""


def issuer_in(folder, **how):
    return Issuer.start(folder, AGENTS, ttl=LIFE, **how)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    with issuer_in(folder) as one, issuer_in(folder, algorithm="ES256") as other:
        yield one, other


class Gate:
    """Who believes some issuers, and has not asked them for any key yet."""

    def __init__(self, *issuers):
        self.clock = Clock()
        self.clock.advance(time.time())
        verifiers = {each.url: self._verifier(each) for each in issuers}
        self.issuers = Issuers(verifiers, self.clock)

    def _verifier(self, issuer):
        http = HTTPClient(WebAgent(reactor, NamedPolicy(trust_in(issuer.ca))))
        keys = DiscoveredKeys(issuer.url, http, self.clock)
        trust = Trust(issuer.url, "jitgate", VENDORS["generic"])
        return OidcVerifier(trust, algorithms=frozenset(ALGORITHMS), keys=keys, clock=self.clock)

    async def proved(self, token):
        outcome = await self.issuers.verify(token)
        assert isinstance(outcome, Subject), outcome
        return outcome

    async def refused(self, token):
        outcome = await self.issuers.verify(token)
        assert isinstance(outcome, Refusal), outcome
        return outcome.detail


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest_twisted.ensureDeferred
async def test_tokens_of_every_algorithm_are_taken_from_both(pair, algorithm):
    gate = Gate(*pair)
    for issuer in pair:
        issuer.rotate(algorithm)
        token = issuer.token("bot-7")
        assert jwt.get_unverified_header(token)["alg"] == algorithm
        subject = await gate.proved(token)
        assert (subject.issuer, subject.id) == (issuer.url, "bot-7")
        assert subject.groups == {"it-agents"}


@pytest.mark.parametrize("named", [True, False])
@pytest_twisted.ensureDeferred
async def test_what_another_issuers_key_has_signed_is_refused(pair, tmp_path, named):
    """One that says it is the other, and even has a key of the other's name."""
    one, other = pair
    kid = one.rotate("ES256")
    pretended = {"issuer": one.url} | ({"kid": kid} if named else {})
    with issuer_in(tmp_path, algorithm="ES256", pretended=pretended) as impostor:
        token = impostor.token("bot-7")
    assert jwt.decode(token, options={"verify_signature": False})["iss"] == one.url
    gate = Gate(*pair)
    await gate.proved(one.token("bot-7"))
    reason = await gate.refused(token)
    assert ("its signature" if named else "no one key of the issuer") in reason
    assert "no issuer that is known" in await Gate(other).refused(one.token("bot-7"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest_twisted.ensureDeferred
async def test_a_new_key_counts_without_a_restart_and_a_withdrawn_one_ends_to(pair, algorithm):
    issuer, _ = pair
    gate = Gate(issuer)
    issuer.rotate(algorithm)
    first, second, third = (issuer.token("bot-7") for _ in range(3))
    await gate.proved(first)
    issuer.rotate(algorithm)
    renewed = issuer.token("bot-7")
    gate.clock.advance(REFETCH_AFTER)
    await gate.proved(renewed)
    await gate.proved(second)
    issuer.withdraw()
    gate.clock.advance(FRESH_FOR)
    assert "no one key of the issuer" in await gate.refused(third)
    assert "no one key of the issuer" in await gate.refused(first)
    await gate.proved(renewed)


@pytest_twisted.ensureDeferred
async def test_an_issuer_that_is_down_is_ridden_out_up_to_an_age(tmp_path):
    with issuer_in(tmp_path) as issuer:
        gate = Gate(issuer)
        tokens = [issuer.token("bot-7") for _ in range(4)]
        await gate.proved(tokens[0])
    gate.clock.advance(FRESH_FOR)
    await gate.proved(tokens[1])
    gate.clock.advance(MAX_AGE - FRESH_FOR - 1)
    await gate.proved(tokens[2])
    gate.clock.advance(2)
    with pytest.raises(IdentityUnavailable):
        await gate.issuers.verify(tokens[3])


@pytest_twisted.ensureDeferred
async def test_one_that_is_down_keeps_nobody_else_out(pair, tmp_path):
    with issuer_in(tmp_path) as down:
        gate = Gate(down, pair[0])
        token = down.token("bot-7")
    with pytest.raises(IdentityUnavailable):
        await gate.issuers.verify(token)
    await gate.proved(pair[0].token("bot-7"))


# --- the gateway as a process


@contextmanager
def gateway_before(folder, issuers):
    ca = TestCA.create(folder, name="origin")
    with Origin(ca.leaf("api.example"), answering(b"{}")) as origin:
        made = settings(folder, folder / "none", [target(origin.port, ca.pem)])
        made["identity"]["issuers"] = [
            {
                "name": f"issuer-{number}",
                "type": "oidc",
                "issuer": issuer.url,
                "audience": "jitgate",
                "algorithms": list(ALGORITHMS),
                "trust": str(issuer.ca),
            }
            for number, issuer in enumerate(issuers)
        ]
        with GatewayProcess(folder, made) as gateway:
            yield gateway


def status(gateway, token):
    with Tunnel(gateway.proxy, gateway.ca, token) as tunnel:
        return tunnel.ask("GET", "/things").status


def test_a_gateway_believes_both_and_goes_on_while_both_are_down(tmp_path):
    with ExitStack() as running, ExitStack() as issuing:
        one, other = (
            issuing.enter_context(issuer_in(tmp_path, algorithm=algorithm))
            for algorithm in ("EdDSA", "PS256")
        )
        gateway = running.enter_context(gateway_before(tmp_path, (one, other)))
        with issuer_in(tmp_path, pretended={"issuer": one.url}) as impostor:
            forged = impostor.token("bot-7")
        tokens = [each.token("bot-7") for each in (one, other)]
        assert [status(gateway, each) for each in (*tokens, forged)] == [200, 200, 401]
        proved = [each["subject"] for each in gateway.entries("tunnel")]
        assert [each and each["issuer"] for each in proved] == [one.url, other.url, None]
        later = [each.token("bot-7") for each in (one, other)]
        issuing.close()
        assert [status(gateway, each) for each in later] == [200, 200]
