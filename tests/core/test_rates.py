"""What targets say of how many calls they take, and what is made of it: never more than it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.rates import KEPT, LONGEST, TRIAL, Rates, kind_of, told
from jitgate.values import Fields, Operation, ResponseHead

NOW = 5000.0
DATE = (b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT")
THERE = 784111777
"""The same, in seconds: the target's clock is another one than the gateway's."""

USERS = kind_of(Operation("okta", "listUsers", {}, "GET", "acme.example:443", "/api/v1/users"))
GROUPS = kind_of(Operation("okta", "listGroups", {}, "GET", "acme.example:443", "/api/v1/groups"))


def answer(*fields, status=200):
    return ResponseHead(status, Fields([DATE, *fields]))


def okta(limit=600, remaining=600, reset=THERE + 60, *more, status=200):
    names = (b"X-Rate-Limit-Limit", b"X-Rate-Limit-Remaining", b"X-Rate-Limit-Reset")
    values = (limit, remaining, reset)
    return answer(
        *((name, b"%d" % value) for name, value in zip(names, values, strict=True)),
        *more,
        status=status,
    )


def after(*answers, now=NOW):
    rates = Rates()
    for each in answers:
        new = told(each, now)
        if new is not None:
            rates.hear(USERS, new, now)
    return rates


# --- what is read


@pytest.mark.parametrize(
    ("limit", "remaining", "waits"),
    [(600, 31, False), (600, 30, True), (600, 0, True), (50, 3, False), (50, 2, True),
     (1, 1, True), (0, 0, True), (0, 2, False)],
)  # fmt: skip
def test_calls_wait_once_no_more_than_the_reserve_remains(limit, remaining, waits):
    until = after(okta(limit, remaining)).take(USERS, NOW, approved=False)
    assert until == (NOW + 60 if waits else None)


def test_a_reset_is_told_by_the_targets_own_clock():
    """An SDK of Okta's waits from Date to the reset as well, whatever its own clock says."""
    assert told(okta(remaining=0, reset=THERE + 7), NOW).until == NOW + 7
    undated = ResponseHead(
        200, ((b"X-Rate-Limit-Remaining", b"0"), (b"X-Rate-Limit-Reset", b"5007"))
    )
    assert told(undated, NOW).until == NOW + 7


def test_github_is_understood():
    fields = ((b"x-ratelimit-limit", b"60"), (b"x-ratelimit-remaining", b"3"))
    reset = (b"x-ratelimit-reset", b"%d" % (THERE + 30))
    assert after(answer(*fields, reset)).take(USERS, NOW, approved=False) == NOW + 30


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"7", 7),
        (b"Sun, 06 Nov 1994 08:49:44 GMT", 7),
        (b"Sunday, 06-Nov-94 08:49:44 GMT", 7),
        (b"Sun Nov  6 08:49:44 1994", 7),
        (b"100000", LONGEST),
    ],
)
def test_a_refusals_retry_after_is_understood_in_each_of_its_forms(status, value, seconds):
    rates = after(answer((b"Retry-After", value), status=status))
    for approved in (False, True):
        assert rates.take(USERS, NOW, approved=approved) == NOW + seconds


def test_a_retry_after_of_another_status_says_nothing_of_other_calls():
    for status in (200, 202, 301, 404, 502):
        assert told(answer((b"Retry-After", b"7"), status=status), NOW) is None


def test_a_429_without_retry_after_means_until_the_reset_whatever_remains():
    refused = okta(remaining=20, reset=THERE + 9, status=429)
    assert after(refused).take(USERS, NOW, approved=True) == NOW + 9


def test_of_several_fields_the_least_counts():
    """Okta's SDK takes it so: a call can draw on two limits."""
    more = ((b"X-Rate-Limit-Remaining", b"1"), (b"X-Rate-Limit-Reset", b"%d" % (THERE + 5)))
    assert after(okta(600, 500, THERE + 60, *more)).take(USERS, NOW, approved=False) == NOW + 5


# --- what waits


def test_one_that_was_approved_goes_while_anything_remains():
    rates = after(okta(remaining=2))
    assert rates.take(USERS, NOW, approved=False) == NOW + 60
    assert [rates.take(USERS, NOW, approved=True) for _ in range(3)] == [None, None, NOW + 60]


def test_calls_that_leave_at_once_are_counted_before_their_answers_come():
    rates = after(okta(100, 8))
    waits = [rates.take(USERS, NOW, approved=False) for _ in range(10)]
    assert waits == [None] * 3 + [NOW + 60] * 7


def test_after_the_reset_calls_go_again():
    rates = after(okta(remaining=0))
    assert rates.take(USERS, NOW + 59.9, approved=False) == NOW + 60
    assert rates.take(USERS, NOW + 60, approved=False) is None
    assert rates.slowed(NOW) is None


def test_what_one_kind_of_call_hears_stops_no_other():
    rates = after(okta(remaining=0))
    assert rates.take(GROUPS, NOW, approved=False) is None


def test_without_a_catalog_each_path_is_a_kind_of_its_own():
    def kind(path):
        return kind_of(Operation("web", "GET", {"path": path}, "GET", "api.example:443", path))

    assert kind("/search") != kind("/users")
    named = [
        Operation("okta", "getUser", {"userId": each}, "GET", "a.example:443", f"/api/v1/users/{each}")
        for each in "12"
    ]  # fmt: skip
    assert kind_of(named[0]) == kind_of(named[1])


def test_what_was_refused_waits_whatever_earlier_calls_still_hear():
    refused = answer((b"Retry-After", b"7"), status=429)
    rates = after(refused, okta(remaining=600))
    assert rates.take(USERS, NOW, approved=True) == NOW + 7
    assert rates.take(USERS, NOW + 7, approved=True) is None


def test_of_one_window_the_least_that_was_said_counts_and_of_two_the_later():
    assert after(okta(remaining=5), okta(remaining=40)).take(USERS, NOW, approved=False)
    later = okta(remaining=600, reset=THERE + 61)
    assert after(okta(remaining=5), later).take(USERS, NOW, approved=False) is None
    over = after(later)
    over.hear(USERS, told(okta(remaining=5), NOW + 0.5), NOW + 60)
    assert over.take(USERS, NOW + 60, approved=False) is None


@pytest.mark.parametrize("reset", [THERE + 61, THERE + 250, THERE + 9999, 10**14])
@pytest.mark.parametrize("odd", [600, 99999])
def test_plenty_until_a_later_reset_hides_no_limit_that_is_at_its_end(reset, odd):
    rates = after(okta(remaining=odd, reset=reset), okta(remaining=0))
    for approved in (False, True):
        assert rates.take(USERS, NOW, approved=approved) == NOW + 60


def test_after_a_wait_one_goes_and_the_others_once_it_has_been_answered():
    for answered in (okta(remaining=600, reset=THERE + 120), answer()):
        rates = after(okta(remaining=0))
        later = NOW + 60
        waits = [rates.take(USERS, later, approved=False) for _ in range(4)]
        assert waits == [None, later + TRIAL, later + TRIAL, later + TRIAL]
        rates.hear(USERS, told(answered, later + 1), later + 1)
        assert [rates.take(USERS, later + 1, approved=False) for _ in range(4)] == [None] * 4


def test_where_the_first_is_never_answered_another_goes():
    rates = after(okta(remaining=0))
    for turn in range(3):
        now = NOW + 60 + turn * TRIAL
        assert rates.take(USERS, now, approved=True) is None
        assert rates.take(USERS, now + TRIAL - 0.1, approved=True) == now + TRIAL


def test_after_a_window_in_which_nobody_waited_all_go():
    rates = after(okta(remaining=500))
    assert [rates.take(USERS, NOW + 60, approved=False) for _ in range(40)] == [None] * 40


def test_while_one_is_out_to_hear_it_what_was_approved_goes_as_before():
    rates = after(okta(remaining=5))
    assert rates.take(USERS, NOW + 60, approved=False) is None
    assert rates.take(USERS, NOW + 60, approved=False) == NOW + 60 + TRIAL
    assert rates.take(USERS, NOW + 60, approved=True) is None


def test_slowed_are_those_of_which_calls_wait():
    rates = after(okta(remaining=5))
    assert rates.slowed(NOW) == NOW + 60
    assert rates.slowed(NOW + 60) is None
    assert after(okta(remaining=500)).slowed(NOW) is None


# --- whatever a target says


def test_what_an_answer_says_holds_for_no_longer_than_the_bound():
    for reset in (THERE + 10 * 365 * 86400, 10**14):
        rates = after(okta(remaining=0, reset=reset))
        assert rates.take(USERS, NOW, approved=False) == NOW + LONGEST
        assert rates.take(USERS, NOW + LONGEST, approved=False) is None


def test_hearing_the_same_again_does_not_prolong_it():
    rates = after(okta(remaining=1, reset=10**14))
    rates.hear(USERS, told(okta(remaining=1, reset=10**14), NOW + 200), NOW + 200)
    assert rates.take(USERS, NOW + 200, approved=False) == NOW + LONGEST


NAMES = [
    b"Retry-After",
    *(
        prefix + each
        for prefix in (b"X-Rate-Limit-", b"x-ratelimit-")
        for each in (b"Limit", b"Remaining", b"Reset")
    ),
    b"Date",
]
BROKEN = [
    b"", b"-1", b"1" + b"0" * 30, b"NaN", b"inf", b"1e3", b"0x10", b"1.5", b"1, 2", b"\xb2", b"now",
    b"+1", b"7 GMT", b" 7", b"7\x00",
]  # fmt: skip
values = (
    st.sampled_from(BROKEN)
    | st.integers(0, 10**15).map(lambda number: b"%d" % number)
    | st.integers(THERE - 100, THERE + 100).map(lambda number: b"%d" % number)
    | st.binary(max_size=45)
    | st.sampled_from(
        [DATE[1], b"Sun, 99 Nov 1994 99:99:99 GMT", b"Sun, 06 Nov 99999 08:49:37 -9999"]
    )
)
answers = st.builds(
    lambda status, fields: ResponseHead(status, Fields(fields)),
    st.sampled_from([200, 403, 429, 503]),
    st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=8),
)


@pytest.mark.parametrize("value", BROKEN)
def test_what_is_no_number_is_not_believed(value):
    for name in (b"X-Rate-Limit-Remaining", b"X-Rate-Limit-Reset"):
        fields = tuple({**dict(okta(remaining=0).headers), name: value}.items())
        assert told(ResponseHead(200, fields), NOW) is None
    limit = ((b"X-Rate-Limit-Limit", value), *okta(remaining=1).headers)
    assert told(ResponseHead(200, limit), NOW).reserve == 1
    assert told(answer((b"Retry-After", value), status=429), NOW) is None


def test_what_stands_twice_and_is_no_number_once_is_not_believed():
    assert told(okta(600, 0, THERE + 9, (b"X-Rate-Limit-Reset", b"soon")), NOW) is None
    twice = ((b"Retry-After", b"7"), (b"Retry-After", b"9"))
    assert told(answer(*twice, status=503), NOW) is None


@given(st.lists(st.tuples(answers, st.floats(0, 1000), st.booleans()), max_size=12))
def test_whatever_is_answered_nothing_waits_longer_than_the_bound(story):
    rates, now = Rates(), NOW
    for each, seconds, approved in story:
        new = told(each, now)
        if new is not None:
            rates.hear(USERS, new, now)
        until = rates.take(USERS, now, approved=approved)
        assert until is None or now < until <= now + LONGEST
        now += seconds
    assert rates.take(USERS, now + LONGEST, approved=False) is None


def test_what_is_remembered_is_bounded():
    rates = Rates()
    for number in range(KEPT + 10):
        rates.hear((f"{number}", ""), told(okta(remaining=0), NOW), NOW)
    waits = [rates.take((f"{each}", ""), NOW, approved=False) for each in range(KEPT + 10)]
    assert waits == [None] * 10 + [NOW + 60] * KEPT
    long = Operation("web", "GET", {}, "GET", "a.example:443", "/" + "a" * 9999)
    assert sum(map(len, kind_of(long))) < 300
