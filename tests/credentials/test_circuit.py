"""An endpoint that fails again and again is left alone, longer each time, and tried by one."""

import pytest

from jitgate.credentials.circuit import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Circuit
from jitgate.errors import CredentialUnavailable

NOW = 1_800_000_000.0


def circuit(jitter=1.0):
    return Circuit("The token endpoint", lambda: jitter)


def opened(jitter=1.0):
    made = circuit(jitter)
    for _ in range(FAILURES):
        made.failed(NOW, trial=made.enter(NOW))
    return made


def closed_to(made, now):
    with pytest.raises(CredentialUnavailable) as caught:
        made.enter(now)
    return str(caught.value)


def test_a_few_failures_leave_it_closed_and_a_success_forgets_them():
    made = circuit()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            made.failed(NOW, trial=made.enter(NOW))
        made.succeeded()
    assert made.enter(NOW) is False


def test_it_says_since_when_and_until_when():
    assert closed_to(opened(), NOW) == (
        "The token endpoint has failed since 2027-01-15T08:00:00Z and is left alone until "
        "2027-01-15T08:00:01Z."
    )


def test_then_one_tries_at_a_time():
    made, now = opened(), NOW + FIRST_PAUSE
    assert made.enter(now) is True
    assert "but for one that tries" in closed_to(made, now)
    made.left(trial=True)
    assert made.enter(now) is True
    made.succeeded()
    assert made.enter(now) is False


def test_each_pause_is_twice_as_long_up_to_the_longest():
    made, now, pauses = opened(), NOW + FIRST_PAUSE, []
    for _ in range(10):
        made.failed(now, trial=made.enter(now))
        pause = 0.0
        while True:
            try:
                made.left(trial=made.enter(now + pause))
                break
            except CredentialUnavailable:
                pause += 0.5
        pauses.append(pause)
        now += pause
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert pauses[-1] == LONGEST_PAUSE


def test_who_was_under_way_when_it_opened_makes_no_pause_longer():
    made = opened()
    for _ in range(5):
        made.failed(NOW, trial=False)
    assert made.enter(NOW + FIRST_PAUSE)


def test_gateways_do_not_come_back_all_at_once():
    assert closed_to(opened(0.0), NOW + FIRST_PAUSE / 2 - 0.01)
    assert opened(0.0).enter(NOW + FIRST_PAUSE / 2)
