"""Which token serves whom, and that each comes to its end once."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from jitgate.credentials.holding import MARGIN, Holdings
from jitgate.credentials.token_answers import Token
from jitgate.errors import CredentialUnavailable

NOW = 1_800_000_000.0
LIFE = 3600.0
KEYS = ("reader", "writer")


class Bank:
    """Mints when a test says so, and remembers what was revoked."""

    def __init__(self, alive=100):
        self.clock = Clock()
        self.clock.advance(NOW)
        self.coming = []
        self.minted = 0
        self.revoked = []
        self.holdings = Holdings(self.revoked.append, self.clock, alive)

    async def mint(self):
        asked_at, coming = self.clock.seconds(), Deferred()
        self.coming.append(coming)
        await coming
        self.minted += 1
        secret = b"token-%d" % self.minted
        return Token(secret, "app", ("s",), True, asked_at, asked_at + LIFE)

    def take(self, reuse, key="reader"):
        return Deferred.fromCoroutine(self.holdings.take(key, self.mint, reuse))

    def deliver(self, at=0):
        self.coming.pop(at).callback(None)

    def taken(self, reuse=0.0):
        taking = self.take(reuse)
        if self.coming:
            self.deliver()
        return taking.result


def test_no_token_is_shared_beyond_its_life_less_a_margin():
    bank = Bank()
    first, _ = bank.taken(2 * LIFE)
    bank.clock.advance(LIFE - MARGIN - 1)
    again, reused = bank.taken(2 * LIFE)
    assert again is first
    assert reused
    bank.clock.advance(1)
    assert bank.taken(2 * LIFE)[0] is not first


def test_the_shortest_time_that_anybody_asked_for_counts():
    bank = Bank()
    first, _ = bank.taken(600.0)
    bank.clock.advance(10)
    assert bank.taken(60.0)[0] is first
    bank.clock.advance(50)
    assert bank.taken(600.0)[0] is not first


def test_who_wants_a_younger_one_gets_another_and_the_older_serves_no_more():
    bank = Bank()
    first, _ = bank.taken(600.0)
    bank.clock.advance(100)
    second, _ = bank.taken(60.0)
    assert second is not first
    bank.holdings.give_back(first)
    assert bank.revoked == [first.token]
    assert bank.taken(600.0)[0] is second


def test_who_wants_a_younger_one_does_not_wait_for_one_that_is_minted_too_long():
    bank = Bank()
    slow = bank.take(600.0)
    bank.clock.advance(100)
    quick = bank.take(60.0)
    assert len(bank.coming) == 2
    bank.deliver(1)
    bank.deliver(0)
    assert quick.result[0] is not slow.result[0]
    bank.holdings.give_back(slow.result[0])
    assert bank.revoked == [slow.result[0].token]


def test_an_unused_one_is_revoked_when_its_time_is_over():
    bank = Bank()
    held, _ = bank.taken(60.0)
    bank.holdings.give_back(held)
    assert bank.revoked == []
    bank.clock.advance(60)
    assert bank.revoked == [held.token]


@pytest.mark.parametrize("reuse", [0.0, 60.0])
def test_what_comes_to_its_end_at_once_is_not_waited_for(reuse):
    bank = Bank()

    async def at_once():
        return Token(b"t", "app", ("s",), True, NOW, NOW + LIFE)

    async def refused():
        raise CredentialUnavailable("left alone")

    held, _ = Deferred.fromCoroutine(bank.holdings.take("a", at_once, reuse)).result
    assert held.token.secret == b"t"
    taking = Deferred.fromCoroutine(bank.holdings.take("b", refused, reuse))
    taking.addErrback(lambda failure: failure.value)
    assert str(taking.result) == "left alone"
    assert bank.holdings.minting() == []


def test_a_fault_is_told_to_all_who_wait():
    bank = Bank()
    waiting = [bank.take(60.0) for _ in range(3)]
    bank.coming.pop().errback(CredentialUnavailable("down"))
    for each in waiting:
        each.addErrback(lambda failure: failure.value)
        assert str(each.result) == "down"
    assert bank.taken(60.0)


def test_what_nobody_waits_for_any_more_is_revoked_when_it_comes():
    bank = Bank()
    taking = bank.take(60.0)
    taking.addErrback(lambda failure: failure.trap(CancelledError))
    taking.cancel()
    bank.deliver()
    assert len(bank.revoked) == 1


def test_who_wants_one_alone_waits_for_no_other():
    bank = Bank()
    shared = bank.take(60.0)
    bank.clock.rightNow -= 10  # the clock was set back: the other seems to begin just now
    alone = bank.take(0.0)
    bank.deliver()
    bank.deliver()
    assert shared.result[0] is not alone.result[0]
    assert bank.taken(60.0)[0] is shared.result[0]


def test_there_are_so_many_at_a_time_and_no_more():
    bank = Bank(alive=2)
    held, _ = bank.taken()
    coming = bank.take(0.0)
    third = bank.take(0.0)
    third.addErrback(lambda failure: failure.value)
    assert str(third.result) == "Too many credentials are in use as it is."
    bank.holdings.give_back(held)
    fourth = bank.take(0.0)
    bank.deliver()
    bank.deliver()
    assert coming.result[0] is not fourth.result[0]


def test_one_that_is_given_back_at_once_is_still_there_for_the_others():
    bank = Bank()
    seen = []

    def give_back(taken):
        seen.append(bank.revoked[:])
        bank.holdings.drop(taken[0])
        bank.holdings.give_back(taken[0])

    for _ in range(3):
        bank.take(60.0).addCallback(give_back)
    bank.deliver()
    assert seen == [[], [], []]
    assert len(bank.revoked) == 1


class Life(RuleBasedStateMachine):
    """Lends, returns, cancels, drops, retires and lets time pass, in any order."""

    def __init__(self):
        super().__init__()
        self.bank = Bank(alive=8)
        self.asking = []
        self.having = []
        self.alone = Counter()
        self.full = 0

    def _ask(self, reuse, key):
        since = self.bank.clock.seconds()
        taking = self.bank.take(reuse, key)
        taking.addCallback(self._had, reuse, key, since)
        taking.addErrback(lambda failure: failure.value)
        self.asking.append(taking)

    def _had(self, taken, reuse, key, since):
        held, reused = taken
        assert held.key == key
        assert held.token not in self.bank.revoked
        assert reuse or not reused
        if reused:
            assert since < held.token.asked_at + reuse
            assert not self.alone[held.token.secret], "another has it alone"
        if not reuse:
            assert all(other.token != held.token for other in self.having)
            self.alone[held.token.secret] += 1
        self.having.append(held)
        return held

    @rule(reuse=st.sampled_from([0.0, 10.0, 60.0, 9999.0]), key=st.sampled_from(KEYS))
    def ask(self, reuse, key):
        self._ask(reuse, key)

    @precondition(lambda self: self.bank.coming)
    @rule(data=st.data())
    def minted(self, data):
        self.bank.deliver(data.draw(st.integers(0, len(self.bank.coming) - 1)))

    @precondition(lambda self: self.bank.coming)
    @rule()
    def refused(self):
        self.bank.coming.pop(0).errback(CredentialUnavailable("no"))

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def cancelled(self, data):
        self.asking[data.draw(st.integers(0, len(self.asking) - 1))].cancel()

    @precondition(lambda self: self.having)
    @rule(data=st.data(), bad=st.booleans())
    def returned(self, data, bad):
        held = self.having.pop(data.draw(st.integers(0, len(self.having) - 1)))
        if bad:
            self.bank.holdings.drop(held)
        self.bank.holdings.give_back(held)

    @rule(seconds=st.sampled_from([1.0, 10.0, 50.0, LIFE]))
    def time_passes(self, seconds):
        self.bank.clock.advance(seconds)

    @rule()
    def replaced(self):
        self.bank.holdings.retire()

    @invariant()
    def none_is_revoked_twice_or_while_somebody_has_it(self):
        revoked = [token.secret for token in self.bank.revoked]
        assert len(revoked) == len(set(revoked))
        assert not {held.token.secret for held in self.having} & set(revoked)

    def teardown(self):
        """At the end everything that was minted has come to its end, once, and no timer is left."""
        while self.bank.coming:
            self.bank.deliver()
        for held in self.having:
            self.bank.holdings.give_back(held)
        self.bank.holdings.retire()
        assert len(self.bank.revoked) == self.bank.minted
        assert len({token.secret for token in self.bank.revoked}) == self.bank.minted
        assert self.bank.clock.getDelayedCalls() == []
        for _ in range(8):
            self._ask(0.0, "reader")
        assert len(self.bank.coming) == 8, "room was lost"
        while self.bank.coming:
            self.bank.deliver()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_minting_that_a_stop_ends_is_told_so():
    bank = Bank()
    waiting = bank.take(0.0)
    (minting,) = bank.holdings.minting()
    minting.cancel()
    with pytest.raises(CredentialUnavailable, match="The gateway stops"):
        waiting.result.raiseException()
    waiting.addErrback(lambda _: None)
