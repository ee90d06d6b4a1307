"""Assertions as agents present them: one spelling, one verifier, taken once."""

from __future__ import annotations

import base64
import time

import pytest
from identity.assertions import trusting
from support.jwts import SigningKey
from support.saml import ISSUER, alone, presented, unsigned
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from jitgate.errors import IdentityUnavailable, StoreDown
from jitgate.identity.issuers import Issuers
from jitgate.identity.saml_metadata import Provider
from jitgate.identity.saml_verifier import KEPT, SamlVerifier
from jitgate.identity.saml_xml import MAX_DOCUMENT
from jitgate.interfaces import IIdentityVerifier
from jitgate.stores.once_memory import MemoryOnce
from jitgate.testing.identity import IdentityContract
from jitgate.values import Denial, Refusal, Subject


class Known:
    """A provider that is known, or not."""

    def __init__(self, provider):
        self.given = provider
        self.asked = 0

    async def provider(self):
        self.asked += 1
        if self.given is None:
            raise IdentityUnavailable("No metadata.")
        return self.given


class Gate:
    """All of it, with memory for what was taken; nothing in it waits."""

    def __init__(self, idp, **options):
        self.clock = Clock()
        self.clock.advance(time.time())
        self.once = MemoryOnce(self.clock)
        self.source = Known(Provider(ISSUER, (idp.key.x509,)))
        self.verifier = SamlVerifier(
            trusting(**options), source=self.source, once=lambda: self.once, clock=self.clock
        )
        self.issuers = Issuers({}, self.clock, {ISSUER: self.verifier})

    def verify(self, token, **how):
        return answer(self.verifier.verify(token, **how))

    def asked(self, token, **how):
        return answer(self.issuers.verify(token, **how))


def answer(verifying):
    try:
        verifying.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waited")


def reason(outcome):
    assert isinstance(outcome, Refusal), outcome
    assert outcome.denial is Denial.TOKEN_REFUSED
    return outcome.detail


@pytest.fixture
def gate(idp):
    return Gate(idp)


def test_it_provides_the_port(gate):
    assert verifyObject(IIdentityVerifier, gate.verifier)
    assert verifyObject(IIdentityVerifier, gate.issuers)


def test_an_assertion_and_a_response_prove_a_subject(gate, idp):
    for document in (idp.assertion(), idp.response()):
        found = gate.asked(presented(document))
        assert isinstance(found, Subject), found
        assert (found.issuer, found.id, found.groups) == (ISSUER, "bot-7", {"it-agents"})


# --- once


def test_it_is_taken_once(gate, idp):
    token = presented(idp.assertion())
    assert isinstance(gate.asked(token), Subject)
    assert "presented before" in reason(gate.asked(token))


def test_nor_is_it_taken_in_another_wrapping(gate, idp):
    response = idp.response()
    assert isinstance(gate.asked(presented(response)), Subject)
    for other in (alone(response), response + "\n", response.replace("><", ">\n<", 1)):
        assert other != response
        assert "presented before" in reason(gate.asked(presented(other)))


def test_for_the_tunnel_that_it_opened_it_is_checked_again_but_not_taken(gate, idp):
    token = presented(idp.assertion())
    first = gate.asked(token)
    assert gate.asked(token, again=True) == first
    assert "presented before" in reason(gate.asked(token))
    gate.clock.advance(601)
    assert "expired" in reason(gate.asked(token, again=True))


def test_what_was_refused_was_not_taken(gate, idp):
    sound = idp.assertion()
    assert "signature" in reason(gate.asked(presented(sound.replace("bot-7", "admin"))))
    assert len(gate.once) == 0
    assert isinstance(gate.asked(presented(sound)), Subject)


def test_it_stays_taken_for_as_long_as_it_could_count_and_a_while(gate, idp):
    gate.asked(presented(idp.assertion()))
    gate.clock.advance(600 + KEPT - 10)
    gate.asked(presented(unsigned(idp.assertion())))
    assert len(gate.once) == 1
    gate.clock.advance(11)
    assert answer(gate.once.take("x", "y", 0.0))
    assert len(gate.once) == 1


def test_where_nobody_can_tell_it_proves_nothing(gate, idp):
    gate.once.failure = OSError("No space left on device")
    with pytest.raises(StoreDown):
        gate.asked(presented(idp.assertion()))


def test_an_assertion_of_another_provider_with_the_same_id_is_another(gate, idp):
    """Whoever can choose their own IDs must not use up those of others."""
    other = "https://other.example/saml"
    trust = trusting(issuer=other)
    second = SamlVerifier(
        trust,
        source=Known(Provider(other, (idp.key.x509,))),
        once=lambda: gate.once,
        clock=gate.clock,
    )
    issuers = Issuers({}, gate.clock, {ISSUER: gate.verifier, other: second})
    ours = idp.assertion()
    theirs = idp.sign(unsigned(ours).replace(ISSUER, other))
    assert isinstance(answer(issuers.verify(presented(theirs))), Subject)
    found = answer(issuers.verify(presented(ours)))
    assert isinstance(found, Subject)
    assert found.issuer == ISSUER


# --- one spelling


def test_there_is_one_spelling(gate, idp):
    document = next(each for each in iter(lambda: idp.response().encode(), None) if len(each) % 3)
    token = presented(document)
    for other in (
        base64.urlsafe_b64encode(document).decode(),
        base64.b64encode(document).decode(),
        token + "=",
        token[:9] + "\n" + token[9:],
        token + "A",
        " " + token,
    ):
        assert other != token
        assert isinstance(gate.asked(other), Refusal), other
    assert isinstance(gate.asked(token), Subject)


def test_one_that_is_too_long_is_not_even_decoded(gate):
    assert "longer than" in reason(gate.asked("A" * (MAX_DOCUMENT * 4 // 3 + 3)))
    assert "longer than" in reason(gate.verify("A" * (MAX_DOCUMENT * 4 // 3 + 3)))


@pytest.mark.parametrize("token", ["", "hunter2", "é", "\ud800", "A" * 1000, "%00"])
def test_what_is_no_assertion_is_refused(gate, token):
    assert "hunter2" not in reason(gate.asked(token))
    assert isinstance(gate.verify(token), Refusal)


# --- whose


def test_another_provider_is_unknown_before_anything_is_fetched(gate, idp):
    token = presented(idp.assertion(issuer="https://evil.example"))
    assert "no issuer that is known" in reason(gate.asked(token))
    assert gate.source.asked == 0


def test_who_is_asked_directly_takes_only_what_its_provider_made(gate, idp):
    assert "another issuer" in reason(gate.verify(presented(idp.assertion(issuer="https://evil"))))


def test_tokens_with_dots_are_none_of_its_business(gate, idp):
    token = SigningKey.es256("k").sign({"iss": ISSUER, "sub": "x"})
    assert "no issuer that is known" in reason(gate.asked(token))


def test_where_no_provider_is_configured_no_document_is_read(idp):
    gate = Gate(idp)
    assert "three segments" in reason(
        answer(Issuers({}, gate.clock).verify(presented(idp.assertion())))
    )


def test_without_metadata_nobody_can_tell(gate, idp):
    gate.source.given = None
    with pytest.raises(IdentityUnavailable):
        gate.asked(presented(idp.assertion()))


def test_a_refusal_shows_nothing_of_the_assertion(gate, idp):
    token = presented(idp.assertion("hunter2", lifetimeInSeconds=-60))
    outcome = gate.asked(token)
    assert "hunter2" not in repr(outcome)
    assert token[:40] not in repr(outcome)


class TestSaml(IdentityContract):
    """What is asked of a site's own verifiers; each assertion counts once, but for its tunnel."""

    @pytest.fixture(autouse=True)
    def _known(self, idp):
        self.idp = idp

    def make(self):
        made = Gate(self.idp).verifier
        made.name, made.version = "saml", "1"
        return made

    def good(self):
        return presented(self.idp.assertion())

    def bad(self):
        return [presented(unsigned(self.idp.assertion()))]
