"""Keys of submissions: each brings what it has brought, and they fill no memory."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.internet.task import Clock

from jitgate.proxy import idempotency
from jitgate.proxy.idempotency import Keys

OWNERS = st.sampled_from(["bot-7", "bot-8"])
NAMES = st.sampled_from(["k1", "k2", "k3"])
DIGESTS = st.sampled_from(["d1", "d2"])


class Remembered(RuleBasedStateMachine):
    """As many keys as there are here are all remembered, until their time is over."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.keys = Keys(self.clock)
        self.model = {}

    @rule(owner=OWNERS, key=NAMES, digest=DIGESTS)
    def taken(self, owner, key, digest):
        known = self.model.get((owner, key))
        if known is None or known[1] <= self.clock.seconds():
            known = self.model[owner, key] = digest, self.clock.seconds() + 10
        slot = self.keys.taken(owner, key, digest, 10)
        assert (slot is not None) is (known[0] == digest)
        if slot is not None:
            assert (slot.digest, slot.until) == known
            assert slot.request in {None, f"{owner} {key} {digest}"}
            slot.request = f"{owner} {key} {digest}"

    @rule(owner=OWNERS, key=NAMES)
    def forgotten(self, owner, key):
        self.keys.forget(owner, key)
        self.model.pop((owner, key), None)

    @rule(seconds=st.integers(1, 7))
    def later(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def nothing_is_counted_twice(self):
        held = [len(each) for each in self.keys._by_owner.values()]
        assert self.keys._count == sum(held)
        assert 0 not in held


TestRemembered = Remembered.TestCase
TestRemembered.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)


def test_one_that_makes_up_keys_loses_its_own_and_no_others(monkeypatch):
    monkeypatch.setattr(idempotency, "PER_AGENT", 3)
    monkeypatch.setattr(idempotency, "IN_ALL", 5)
    keys = Keys(Clock())
    keys.taken("bot-8", "theirs", "d", 10).request = "a-1"
    for at in range(50):
        keys.taken("bot-7", f"k{at}", "d", 10).request = f"a-{at}"
    assert keys.taken("bot-8", "theirs", "d", 10).request == "a-1"
    assert keys.taken("bot-7", "k49", "d", 10).request == "a-49"
    assert keys.taken("bot-7", "k0", "d", 10).request is None
    for at in range(50):
        keys.taken(f"bot-{at}", "k", "d", 10)
    assert keys._count == 5
