"""How an org is asked what an app may do: within bounds, and with nothing left behind."""

from __future__ import annotations

import pytest
from support.access import now

from jitgate.credentials.examining import LONGEST_WAIT, REVOKINGS, WAITS, Examiner
from jitgate.credentials.token_answers import Token, TokenRefused, Unwanted
from jitgate.errors import CredentialBusy, CredentialUnavailable

HAS = {"a.read", "b.read"}


class Stopped(Exception):
    """Somebody wants it to end."""


class App:
    """A service app without an org: it answers as a test says."""

    def __init__(self, *faults, revoking=0):
        self.faults, self.revoking = list(faults), revoking
        self.alive = []
        self.named = set()
        self.clock = 1000.0
        self.room = self
        self.full = self.asked = 0

    def claim(self, *, approved):
        assert not approved
        if self.full:
            self.full -= 1
            raise CredentialBusy("It is kept for calls.", self.clock + 20)

    async def mint(self, scopes, user_agent):
        self.named.add(user_agent)
        self.asked += 1
        if self.faults:
            raise self.faults.pop(0)
        if not HAS.issuperset(scopes):
            raise TokenRefused("No.", 400, "invalid_scope")
        assert self.alive == [], "the one before was not revoked"
        token = Token(b"t", "reader", scopes, True, self.clock, self.clock + 3600)
        self.alive.append(token)
        return token

    async def revoke(self, token):
        if self.revoking:
            self.revoking -= 1
            raise CredentialUnavailable("Not now.")
        self.alive.remove(token)

    async def pause(self, seconds):
        self.clock += seconds


def examiner(app, asking=lambda _: None):
    return Examiner(app, lambda: app.clock, app.pause, asking, "jitgate/check-1")


def busy(until=1010.0):
    return CredentialBusy("The token endpoint answered 429.", until)


def examined(made, needed=("a.read", "b.read", "c.read"), others=("a.manage",)):
    return now(made.examine(needed, others))


def test_what_it_has_is_found_and_each_token_is_revoked_before_the_next():
    app = App()
    made = examiner(app)
    found = examined(made)
    assert (found.granted, found.fault, found.answered) == (HAS, None, True)
    assert app.alive == []
    assert made.count.minted == made.count.revoked > 0
    assert app.named == {"jitgate/check-1"}


def test_it_is_waited_for_as_long_as_it_says_and_never_longer_than_the_bound():
    app = App(busy(1020.0), busy(10.0), busy(1e9), busy())
    found = examined(examiner(app))
    assert found.granted == HAS
    assert 1020 <= app.clock <= 1020 + 1 + 1 + LONGEST_WAIT + 11


def test_what_is_left_for_calls_is_left_to_them_and_not_asked_for():
    app = App()
    app.full = WAITS
    made = examiner(app)
    assert examined(made).granted == HAS
    assert made.count.asked == app.asked
    assert app.clock >= 1000.0 + 20 * WAITS


def test_an_org_that_never_stops_to_say_so_cannot_tell():
    app = App(*[busy() for _ in range(WAITS + 1)])
    found = examined(examiner(app))
    assert (found.fault, found.answered) == ("The token endpoint answered 429.", False)


@pytest.mark.parametrize(
    ("fault", "answered"),
    [
        (TokenRefused("x", 401, "invalid_client"), True),
        (TokenRefused("x", 503, ""), False),
        (CredentialUnavailable("x"), False),
    ],
)
def test_a_refusal_is_an_answer_and_silence_is_none(fault, answered):
    found = examined(examiner(App(fault)))
    assert (found.fault, found.answered, found.granted) == ("x", answered, frozenset())


def test_a_token_that_is_not_as_it_was_asked_for_is_told_and_revoked_too():
    app = App()
    other = Token(b"t", "reader", (), False, app.clock, app.clock + 3600)
    app.alive.append(other)
    app.faults.append(Unwanted("It is bound to no key.", other))
    made = examiner(app)
    found = examined(made)
    assert (found.fault, found.answered) == ("It is bound to no key.", True)
    assert app.alive == []
    assert (made.count.minted, made.count.revoked) == (1, 1)


def test_what_was_found_before_a_fault_is_kept():
    app = App()
    made = examiner(app)
    made.asking = lambda known: app.faults.append(busy()) if known > 1 else None
    assert examined(made).granted == HAS


def test_a_token_is_revoked_again_where_that_fails_and_then_counted():
    app = App(revoking=REVOKINGS - 1)
    made = examiner(app)
    examined(made)
    assert made.count.minted == made.count.revoked
    app = App(revoking=REVOKINGS)
    made = examiner(app)
    now(made.examine(["a.read"], []))
    assert (made.count.minted, made.count.revoked) == (1, 0)


def test_whoever_ends_it_ends_it_between_two_questions_or_in_a_wait():
    def ends(known):
        if known:
            raise Stopped

    app = App()
    with pytest.raises(Stopped):
        examined(examiner(app, ends), needed=["a.read"], others=["b.read"])
    assert app.alive == []

    def at_once(_):
        if app.clock > 1002:
            raise Stopped

    app = App(busy(2000.0))
    with pytest.raises(Stopped):
        examined(examiner(app, at_once))
    assert app.clock < 1010
