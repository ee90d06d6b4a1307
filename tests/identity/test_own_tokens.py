"""Tokens that the gateway makes: what they prove, for how long, and with which keys."""

import jwt
import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from jitgate.core.binding import LONGEST
from jitgate.errors import StateUnusable
from jitgate.identity.own_tokens import ROTATED_AFTER, OwnTokens
from jitgate.interfaces import IIdentityVerifier, ITokenSource
from jitgate.values import Binding, Refusal, Subject

NOW = 1_800_000_000
SUBJECT = Subject(
    issuer="https://idp.example",
    id="alice@acme.example",
    groups=frozenset({"it-agents"}),
    expires_at=NOW + 3600.0,
    humans=("00uAlice", "bob@acme.example"),
    session="s1",
    agent="client-7",
    issued_at=NOW - 60.0,
)
BOUND = Binding("t-1", "okta", "getUser", {"userId": "00u1"}, once=True, grant="g-1")


class Mint:
    """A gateway's tokens, at a clock of the test's."""

    def __init__(self, audience="jitgate/one"):
        self.clock = Clock()
        self.clock.advance(NOW)
        self.own = OwnTokens(lambda: audience, self.clock)
        self.own.adopt({"https://idp.example": "terms", "https://i": "terms"})

    def made(self, life=300.0, binding=BOUND, subject=SUBJECT):
        return self.own.mint(subject, life=life, binding=binding)

    def proved(self, token, verifier=None):
        try:
            (verifier or self.own).verify(token).send(None)
        except StopIteration as answer:
            return answer.value
        raise AssertionError("it waited")


def refused(outcome):
    assert isinstance(outcome, Refusal)
    return outcome.detail


def test_it_provides_both_ports():
    own = Mint().own
    assert verifyObject(IIdentityVerifier, own)
    assert verifyObject(ITokenSource, own)


def test_it_proves_its_subject_bound_to_what_it_was_made_for():
    mint = Mint()
    proved = mint.proved(mint.made().token)
    assert proved.binding == BOUND
    assert proved.issued_at == SUBJECT.issued_at
    assert proved.expires_at == NOW + 300
    for name in ("issuer", "id", "groups", "humans", "session", "agent", "key"):
        assert getattr(proved, name) == getattr(SUBJECT, name)


def test_the_token_stands_in_no_repr():
    made = Mint().made()
    assert made.token not in repr(made)


@pytest.mark.parametrize(
    ("life", "left", "lives"), [(60, 3600, 60), (10_000, 3600, LONGEST), (300, 100, 100)]
)
def test_it_lives_no_longer_than_it_may(life, left, lives):
    mint = Mint()
    subject = Subject("https://i", "bot", frozenset(), float(NOW + left))
    made = mint.made(life, subject=subject)
    assert made.expires_at == NOW + lives
    mint.clock.advance(lives - 1)
    assert isinstance(mint.proved(made.token), Subject)
    mint.clock.advance(1)
    assert "expired" in refused(mint.proved(made.token))


def test_another_gateways_is_refused():
    one, other = Mint(), Mint("jitgate/other")
    assert "has not signed" in refused(other.proved(one.made().token))
    other.own.seed, other.own.born = one.own.seed, one.own.born
    assert "audience" in refused(other.proved(one.made().token))


def test_keys_follow_one_another_and_count_until_their_last_token_has_expired():
    mint = Mint()
    mint.made()
    first = mint.own.jwks()["keys"]
    mint.clock.advance(ROTATED_AFTER - 1)
    subject = Subject("https://i", "bot", frozenset(), NOW + 10 * ROTATED_AFTER)
    last = mint.made(LONGEST, subject=subject).token
    mint.clock.advance(1)
    both = mint.own.jwks()["keys"]
    assert len(both) == 2
    assert both[0] == first[0]
    assert jwt.get_unverified_header(mint.made(subject=subject).token)["kid"] == both[1]["kid"]
    assert isinstance(mint.proved(last), Subject)
    mint.clock.advance(LONGEST)
    refused(mint.proved(last))
    assert len(mint.own.jwks()["keys"]) == 1


def test_who_has_the_same_seed_believes_what_another_has_made():
    one, other = Mint(), Mint()
    clock = one.clock
    other.own = OwnTokens(lambda: "jitgate/one", clock, seed=one.own.seed, born=one.own.born)
    other.own.adopt({"https://idp.example": "terms"})
    stranger = OwnTokens(lambda: "jitgate/one", clock, born=one.own.born)
    assert isinstance(other.proved(one.made().token), Subject)
    assert other.own.jwks() == one.own.jwks()
    assert not {key["kid"] for key in stranger.jwks()["keys"]} & {
        key["kid"] for key in one.own.jwks()["keys"]
    }
    clock.advance(3 * ROTATED_AFTER + 1)
    assert len(one.own.jwks()["keys"]) == 2
    assert other.own.jwks() == one.own.jwks()


def test_without_its_seed_it_makes_and_believes_nothing():
    mint = Mint()
    token = mint.made().token
    mint.own = OwnTokens(lambda: "jitgate/one", mint.clock, seed=b"")
    with pytest.raises(StateUnusable):
        mint.made()
    with pytest.raises(StateUnusable):
        mint.proved(token)


def test_a_public_key_stands_alone():
    (key,) = Mint().own.jwks()["keys"]
    assert "d" not in key


def test_a_subject_of_somebody_who_is_believed_no_more_or_otherwise_is_refused():
    mint = Mint()
    token = mint.made().token
    for terms in ({}, {SUBJECT.issuer: "others"}, {"https://other.example": "terms"}):
        mint.own.adopt(terms)
        assert "other terms" in refused(mint.proved(token))
    mint.own.adopt({SUBJECT.issuer: "terms"})
    assert isinstance(mint.proved(token), Subject)


def test_of_another_type_it_is_none():
    mint = Mint()
    claims = jwt.decode(mint.made().token, options={"verify_signature": False})
    key = mint.own._keys[0]
    forged = jwt.encode(claims, key.private, "ES256", headers={"kid": key.id, "typ": "JWT"})
    assert "has not signed" in refused(mint.proved(forged))
