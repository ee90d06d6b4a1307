"""What is over is revoked in the background: again and again, within bounds, and on record."""

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jitgate.credentials.revoking import AT_END, AT_ONCE, LONGEST_WAIT, Revoker
from jitgate.credentials.token_answers import Token
from jitgate.errors import CredentialRefused, CredentialUnavailable

NOW = 1_800_000_000.0
LIFE = 3600.0


class Desk:
    """Takes revocations, and settles each when a test says so."""

    def __init__(self, **how):
        self.clock = Clock()
        self.clock.advance(NOW)
        self.asked = []
        self.noted = []
        self.most = 0
        self.revoker = Revoker(
            lambda *told: self.noted.append(told), self.clock, lambda: 1.0, **how
        )
        self.tokens = 0

    def add(self, life=LIFE):
        self.tokens += 1
        now = self.clock.seconds()
        token = Token(b"t%d" % self.tokens, "app", ("s",), True, now, now + life)
        self.revoker.add(token, self.revoke, {"kind": "okta", "expires_at": token.expires_at})
        return token

    async def revoke(self, token):
        answered = Deferred()
        self.asked.append((token.secret, answered))
        self.most = max(self.most, len([each for _, each in self.asked if not each.called]))
        await answered

    def settle(self, fault=None):
        _, answered = next(each for each in self.asked if not each[1].called)
        if fault is None:
            answered.callback(None)
        else:
            answered.errback(fault)

    def told(self):
        return [(kind, fields["tries"], fields.get("why")) for kind, fields in self.noted]


DOWN = "The org answered 503."


@pytest.fixture
def desk():
    return Desk()


def test_what_is_revoked_is_on_record(desk):
    desk.add()
    desk.settle()
    assert desk.noted == [
        ("credential.revoked", {"kind": "okta", "expires_at": NOW + LIFE, "tries": 1})
    ]


def test_so_many_are_under_way_and_the_others_wait(desk):
    for _ in range(3 * AT_ONCE):
        desk.add()
    assert len(desk.asked) == AT_ONCE
    for _ in range(3 * AT_ONCE):
        desk.settle()
    assert desk.most == AT_ONCE
    assert len(desk.noted) == 3 * AT_ONCE


def test_what_fails_is_tried_again_and_each_wait_may_be_twice_as_long(desk):
    desk.add()
    waits = []
    while not desk.noted:
        desk.settle(CredentialUnavailable(DOWN))
        calls = desk.clock.getDelayedCalls()
        if calls:
            waits.append(calls[0].getTime() - desk.clock.seconds())
            desk.clock.advance(waits[-1])
    assert waits[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, LONGEST_WAIT]
    assert sum(waits) < LIFE
    assert desk.told() == [("credential.not-revoked", len(waits) + 1, DOWN)]


def test_what_is_refused_is_not_tried_again(desk):
    desk.add()
    desk.settle(CredentialRefused("The org answered 400."))
    assert desk.told() == [("credential.not-revoked", 1, "The org answered 400.")]
    assert desk.clock.getDelayedCalls() == []


def test_a_fault_of_our_own_loses_no_token_and_shows_none(desk, nothing_unnoticed):
    desk.add()
    desk.settle(RuntimeError("hunter2"))
    desk.clock.advance(1)
    desk.settle()
    assert desk.told() == [("credential.revoked", 2, None)]
    assert "hunter2" not in f"{nothing_unnoticed}"
    nothing_unnoticed.clear()


def test_what_has_expired_is_not_asked_for(desk):
    desk.add(life=0.0)
    assert desk.asked == []
    assert desk.told() == [("credential.not-revoked", 0, "It has expired.")]


def test_so_many_wait_and_no_more():
    desk = Desk(waiting=2)
    for _ in range(AT_ONCE + 3):
        desk.add()
    assert desk.told() == [("credential.not-revoked", 0, "Too many wait to be revoked.")]


@ensureDeferred
async def test_at_the_end_all_that_wait_are_tried_once_more(desk):
    desk.add()
    desk.settle(CredentialUnavailable(DOWN))
    desk.add()
    stopping = Deferred.fromCoroutine(desk.revoker.stop())
    desk.settle()
    assert not stopping.called
    desk.settle(CredentialUnavailable(DOWN))
    await stopping
    assert desk.told() == [("credential.revoked", 1, None), ("credential.not-revoked", 2, DOWN)]
    assert desk.clock.getDelayedCalls() == []


@ensureDeferred
async def test_the_end_is_waited_for_no_longer_than_that(desk):
    for _ in range(AT_ONCE + 1):
        desk.add()
    stopping = Deferred.fromCoroutine(desk.revoker.stop())
    desk.clock.advance(AT_END - 0.1)
    assert not stopping.called
    desk.clock.advance(0.1)
    await stopping
    assert len(desk.noted) == AT_ONCE + 1
    assert {kind for kind, _ in desk.noted} == {"credential.not-revoked"}
    assert desk.clock.getDelayedCalls() == []


@ensureDeferred
async def test_the_end_of_nothing_is_at_once(desk):
    await desk.revoker.stop()
    assert desk.noted == []
