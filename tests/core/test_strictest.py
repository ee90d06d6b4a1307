"""Where several hide one value the strictest way counts, in forms, fields and events as in JSON."""

import pytest
from support.masked import hand
from support.masking import whole

from jitgate.core.events import EventMasker
from jitgate.core.forms import FormMasker
from jitgate.core.masked_fields import MaskedFields
from jitgate.core.masking import Maskers
from jitgate.errors import ResponseDenied
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.names import NameMasker
from jitgate.maskers.paths import PathMasker
from jitgate.values import How

CARD = "4111111111111111"


def form(maskers):
    return whole(FormMasker(maskers), [f"user[pin]={CARD}".encode()])


def query(maskers):
    ((_, value),) = MaskedFields(maskers).shown(((b"Location", f"/a?user[pin]={CARD}".encode()),))
    return value


def event(maskers):
    return whole(EventMasker(maskers), [f"user: {CARD}\n\n".encode()])


def named(how, *globs):
    return NameMasker(how.value, globs or ("user*", "pin"), how)


@pytest.mark.parametrize("of", [form, query, event])
@pytest.mark.parametrize("turned", [False, True])
def test_of_two_names_the_strictest(of, turned):
    both = [named(How.LAST4), named(How.REPLACE)]
    assert b"1111" not in of(Maskers(both[::-1] if turned else both, hand()))
    both[1] = named(How.DENY)
    with pytest.raises(ResponseDenied):
        of(Maskers(both[::-1] if turned else both, hand()))


@pytest.mark.parametrize("of", [form, query])
def test_of_a_name_and_its_parts_the_strictest(of):
    both = [named(How.LAST4, "user[[]pin]", "user*"), named(How.DENY, "pin")]
    with pytest.raises(ResponseDenied):
        of(Maskers(both, hand()))


def test_of_a_name_and_a_path_the_strictest():
    with pytest.raises(ResponseDenied):
        form(Maskers([named(How.LAST4), PathMasker("p", ["$.user.pin"], How.DENY)], hand()))


@pytest.mark.parametrize("of", [form, query, event])
def test_what_a_detector_replaces_is_shown_in_no_part_for_its_name(of):
    card = DetectorMasker("d", ["payment-card"])
    assert b"1111" not in of(Maskers([named(How.LAST4), card], hand()))
    assert b"1111" in of(Maskers([named(How.LAST4)], hand()))
