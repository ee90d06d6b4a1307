"""What looks for what is hidden is there before the first response comes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pytest_twisted import ensureDeferred
from support.masking import FOUND, VALUE, Detector, names

from jitgate.app.masking_sets import Prepared, make_ready, sets_of
from jitgate.catalogs.okta import load_okta
from jitgate.core.hiding import Hand
from jitgate.core.json_whole import whole
from jitgate.core.masking import Maskers, asked
from jitgate.core.media import masked
from jitgate.core.profiles import SENSITIVE, MarkedFields, MaskingProfile

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


def test_what_cannot_be_made_is_the_fault_of_what_needs_it():
    class Broken(Detector):
        signs = (b"(",)

    sets = [(Broken(),), (NAMES, DETECTOR)]
    make_ready(sets)
    with pytest.raises(ValueError, match="no expression"):
        Maskers(sets[0])
