"""How long an agent waits, and when it is told to come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.waiting import ATTEMPTS, RETURN_MARGIN, Patience, preference, slow_down


def test_an_sdks_attempts_cover_the_whole_time_by_default():
    slow = slow_down(Patience(), 300)
    assert (slow.wait, slow.expire) == (217.5, 600)


def test_an_approval_just_after_an_attempt_is_still_good_at_the_next():
    slow = slow_down(Patience(hold=55, expire=3600), 300)
    assert slow.wait == 270
    assert slow.expire == 3 * 55 + 2 * 270


@given(st.floats(0.1, 600), st.floats(0.1, 86400), st.floats(0.1, 86400))
def test_nobody_waits_longer_than_they_can(hold, expire, life):
    slow = slow_down(Patience(hold=hold, expire=expire), life)
    assert slow.wait >= 0
    assert slow.wait <= max(0.0, life - RETURN_MARGIN)
    assert slow.expire <= expire
    covered = ATTEMPTS * hold + (ATTEMPTS - 1) * slow.wait
    assert slow.expire <= covered * (1 + 1e-9)


@pytest.mark.parametrize(
    ("values", "asynchronous", "wait"),
    [
        ([], False, None),
        ([b"respond-async"], True, None),
        ([b"Respond-Async; x=1"], True, None),
        ([b"respond-async, wait=10"], True, 10.0),
        ([b"wait=5", b"respond-async"], True, 5.0),
        ([b'wait="7"'], False, 7.0),
        ([b"wait=ten"], False, None),
        ([b"wait=-1"], False, None),
        ([b"wait=99999999999999"], False, None),
        ([b"wait=1, wait=9"], False, 1.0),
        ([b"return=minimal"], False, None),
        ([b"x-respond-async"], False, None),
    ],
)
def test_what_a_client_prefers_is_read_as_rfc_7240_says(values, asynchronous, wait):
    read = preference(tuple((b"Prefer", value) for value in values))
    assert (read.asynchronous, read.wait) == (asynchronous, wait)


@given(st.binary(max_size=40))
def test_whatever_it_says_it_can_be_read(value):
    read = preference(((b"Prefer", value),))
    assert read.wait is None or read.wait >= 0
