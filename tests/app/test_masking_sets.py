"""What looks for what is hidden is there before the first response comes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pytest_twisted import ensureDeferred
from support.masking import FOUND, VALUE, Detector, names
from support.offline import Laptop, rule
from twisted.internet.defer import Deferred, gatherResults

from jitgate.app.masking_sets import KNOWN, Prepared, Sets, make_ready, sets_of
from jitgate.app.offline import offline
from jitgate.catalogs.okta import load_okta
from jitgate.core.hiding import Hand
from jitgate.core.json_whole import whole
from jitgate.core.masking import Maskers, asked
from jitgate.core.media import masked
from jitgate.core.profiles import SENSITIVE, MarkedFields, MaskingProfile
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.known import LiteralsMasker
from jitgate.maskers.names import NameMasker
from jitgate.maskers.paths import PathMasker
from jitgate.values import How

NAMES, DETECTOR = names(), Detector()
PROFILES = {
    "one": MaskingProfile("one", (NAMES,), catalog=True),
    "other": MaskingProfile("other", (NAMES, DETECTOR), catalog=False),
    "nothing": MaskingProfile("nothing", (), catalog=False),
}


def target(*secrets):
    samples = [SimpleNamespace(secrets=frozenset(each)) for each in secrets]
    return SimpleNamespace(catalog=SimpleNamespace(samples=lambda authority: samples))


def test_it_is_each_profile_with_each_set_of_marked_fields():
    targets = {"a:443": target({"pin"}, (), {"pin"}), "b:443": target({"pin", "otp"})}
    pin, both = MarkedFields(frozenset({"pin"})), MarkedFields(frozenset({"pin", "otp"}))
    assert set(sets_of(targets, PROFILES)) == {
        (pin,), (both,), (NAMES,), (pin, NAMES), (both, NAMES), (NAMES, DETECTOR),
    }  # fmt: skip


def test_it_does_not_ask_more_of_a_large_catalog_than_there_is_room_for():
    okta = SimpleNamespace(catalog=load_okta("okta"))
    found = sets_of({"acme.okta.com:443": okta}, PROFILES)
    assert 50 < len(found) < 70


@ensureDeferred
async def test_once_it_is_prepared_no_response_has_to_make_anything():
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    found = sets_of({"a:443": target({"pin"}, {"otp"})}, PROFILES)
    part = Prepared(found, reactor)
    await part.start()
    await part.stop()
    before = whole.cache_info().misses, asked.cache_info().misses
    body = f'{{"pin":"{VALUE}","note":"{FOUND}"}}'.encode()
    json = ((b"Content-Type", b"application/json"),)
    for each in found:
        masked(json, body, Maskers(each, Hand()))
        Maskers((SENSITIVE, *each), Hand(openly=True))
    assert (whole.cache_info().misses, asked.cache_info().misses) == before


def test_a_profile_that_is_read_again_finds_what_was_made_for_it():
    """A gateway that is reloaded every day does not grow by what each day's profiles need."""

    def read(how=How.REPLACE, name="p"):
        return (
            NameMasker(name, ["pin"], how),
            PathMasker(name, ["$.a"], how),
            DetectorMasker(name, ["private-key"], how),
        )

    assert whole(read()) is whole(read())
    assert asked(read(), False) is asked(read(), False)
    for other in (read(How.DROP), read(name="q"), read()[:2]):
        assert whole(other) is not whole(read())
    assert len({*read(), *read(), *read(How.DROP)}) == 6


def test_a_known_secret_that_was_replaced_is_looked_for_from_the_reload_on():
    """Nothing is made of secrets that could be compared: each reload makes what looks for them."""
    body = b'{"echo": "second-secret"}'
    for secret, shown in ((b"first-secret", True), (b"second-secret", False)):
        maskers = Maskers((LiteralsMasker("p", [secret]),), Hand())
        out = masked(((b"Content-Type", b"application/json"),), body, maskers)
        assert (b"second-secret" in out) is shown


def test_what_cannot_be_made_is_the_fault_of_what_needs_it():
    class Broken(Detector):
        signs = (b"(",)

    sets = [(Broken(),), (NAMES, DETECTOR)]
    make_ready(sets)
    with pytest.raises(ValueError, match="no expression"):
        Maskers(sets[0])


@ensureDeferred
async def test_what_rules_ask_for_together_is_made_in_a_thread_before_it_is_needed():
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    class Threads:
        asked = 0

        def getThreadPool(self):
            self.asked += 1
            return reactor.getThreadPool()

        def __getattr__(self, name):
            return getattr(reactor, name)

    threads, each = Threads(), (names(), Detector(), names())
    sets = Sets(threads)
    await sets.ready(())
    assert threads.asked == 0
    await gatherResults([Deferred.fromCoroutine(sets.ready(each)) for _ in range(3)])
    await sets.ready(each)
    assert threads.asked == 1
    before = whole.cache_info().misses, asked.cache_info().misses
    body = f'{{"pin":"{VALUE}","note":"{FOUND}"}}'.encode()
    masked(((b"Content-Type", b"application/json"),), body, Maskers(each, Hand()))
    assert (whole.cache_info().misses, asked.cache_info().misses) == before
    for number in range(KNOWN):
        await sets.ready((MarkedFields(frozenset({f"field{number}"})),))
    await sets.ready(each)
    assert threads.asked == KNOWN + 2


def test_a_profile_is_for_what_its_file_says(tmp_path):
    laptop = Laptop(tmp_path)
    laptop.policy(rule("reads", "permit", actions=["listUsers"]))
    laptop.masking(
        [
            {"profile": "one", "names": ["a"]},
            {"profile": "two", "names": ["a"], "of": "requests"},
            {"profile": "three", "names": ["a"], "of": "both"},
        ]
    )
    profiles = offline(laptop.config).profiles
    assert {name: (each.responses, each.requests) for name, each in profiles.items()} == {
        "one": (True, False),
        "two": (False, True),
        "three": (True, True),
    }
