"""The shipped rule: what changes something is denied outside office hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ports import agent

from jitgate import plugins
from jitgate.errors import OptionsInvalid
from jitgate.flow.watching import watched_rule
from jitgate.shipped import shipped
from jitgate.testing import provided
from jitgate.testing.rules import RuleContract
from jitgate.values import Effect, Inquiry, Operation, Risk

FILE = shipped("plugins") / "office_hours.py"
ZONE = "Europe/Berlin"
NIGHT = {"opens": "22:00", "closes": "06:00"}


def rule(**options):
    (made,) = provided(FILE, **({"zone": ZONE} | options))
    return made


class TestItsPromises(RuleContract):
    def make(self):
        return rule()

    def others(self):
        others = [{"zone": "UTC"}, {"days": ["sat"]}, {"actions": ["x"]}, {"risks": ["read"]}]
        return [rule(**each) for each in (*others, {"targets": ["okta"]}, {"closes": "18:00"})]


def at(there, zone=ZONE, fold=0):
    """Seconds since the epoch, by a clock on the wall there."""
    wall = datetime.fromisoformat(there)
    return wall.replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


MONDAY, FRIDAY, SATURDAY, SUNDAY = "2026-11-23", "2026-11-27", "2026-11-28", "2026-11-29"


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        (f"{MONDAY} 08:59:59", False),
        (f"{MONDAY} 09:00:00", True),
        (f"{MONDAY} 16:59:59", True),
        (f"{MONDAY} 17:00:00", False),
        (f"{FRIDAY} 12:00", True),
        (f"{SATURDAY} 12:00", False),
        (f"{SUNDAY} 12:00", False),
    ],
)
def test_the_hours_are_those_of_a_working_day(when, is_open):
    assert rule().is_open(at(when)) is is_open


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        (f"{MONDAY} 21:59:59", False),
        (f"{MONDAY} 22:00", True),
        (f"{MONDAY} 23:59:59", True),
        ("2026-11-24 00:00", True),
        ("2026-11-24 05:59:59", True),
        ("2026-11-24 06:00", False),
        (f"{FRIDAY} 23:00", True),
        (f"{SATURDAY} 03:00", True),  # it began on Friday
        (f"{SATURDAY} 23:00", False),
        (f"{SUNDAY} 03:00", False),
        (f"{SUNDAY} 23:00", False),
        (f"{MONDAY} 03:00", False),  # it would have begun on Sunday
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(when, is_open):
    assert rule(**NIGHT).is_open(at(when)) is is_open


@pytest.mark.parametrize(
    ("opens", "closes", "when", "is_open"),
    [
        ("00:00", "24:00", f"{MONDAY} 00:00", True),
        ("00:00", "24:00", f"{MONDAY} 23:59:59", True),
        ("00:00", "24:00", f"{SATURDAY} 00:00", False),
        ("18:00", "24:00", f"{FRIDAY} 23:59", True),
        ("18:00", "24:00", f"{SATURDAY} 00:00", False),
        ("18:00", "00:00", f"{FRIDAY} 23:59", True),
        ("18:00", "00:00", f"{SATURDAY} 00:00", False),
    ],
)
def test_midnight_is_the_end_of_a_day_and_the_beginning_of_one(opens, closes, when, is_open):
    assert rule(opens=opens, closes=closes).is_open(at(when)) is is_open


@pytest.mark.parametrize(
    ("day", "utc_opens"),
    [
        ("2026-03-27", 8),  # the Friday before the clocks go forward
        ("2026-03-30", 7),  # the Monday after
        ("2026-10-23", 7),
        ("2026-10-26", 8),
    ],
)
def test_the_wall_decides_when_the_clocks_have_changed(day, utc_opens):
    opens = datetime.fromisoformat(f"{day}T{utc_opens:02}:00").replace(tzinfo=UTC).timestamp()
    assert rule().is_open(opens)
    assert not rule().is_open(opens - 1)


def test_an_hour_that_comes_twice_is_open_twice_and_one_that_is_left_out_never():
    early = {"opens": "02:00", "closes": "03:00", "days": ["sun"]}
    twice = [at("2026-10-25 02:30", fold=fold) for fold in (0, 1)]
    assert twice[1] - twice[0] == 3600
    assert all(rule(**early).is_open(each) for each in twice)
    before = datetime(2026, 3, 29, 0, 59, tzinfo=UTC).timestamp()
    assert not any(rule(**early).is_open(before + second) for second in range(0, 7200, 30))


@given(
    minutes=st.integers(0, 1440 * 21),
    opens=st.integers(0, 95),
    length=st.integers(1, 95),
    days=st.sets(st.integers(0, 6), min_size=1),
)
def test_it_is_open_for_exactly_the_windows_that_begin_on_its_days(minutes, opens, length, days):
    """Counted another way, in a zone without changes: from each day's opening, so long."""
    names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    start = datetime(2026, 11, 2, tzinfo=UTC)
    now = start + timedelta(minutes=minutes)
    closes = (opens + length) % 96

    def time(quarters):
        return f"{quarters // 4:02}:{quarters % 4 * 15:02}"

    made = rule(
        zone="UTC", opens=time(opens), closes=time(closes), days=[names[day] for day in days]
    )
    windows = [
        (begin, begin + timedelta(minutes=15 * length))
        for day in range(-1, 22)
        for begin in [start + timedelta(days=day, minutes=15 * opens)]
        if begin.weekday() in days
    ]
    assert made.is_open(now.timestamp()) is any(begin <= now < end for begin, end in windows)


# --- which calls


CLOSED, OPEN = at(f"{SUNDAY} 12:00"), at(f"{MONDAY} 12:00")


def judged(now=CLOSED, risk=Risk.WRITE, action="updateUser", target="okta", **options):
    operation = Operation(target, action, {}, "POST", "a.example:443", "/", risk=risk)
    return rule(**options).judge(Inquiry(operation, agent(), now))


def test_outside_it_denies_and_says_when_the_office_is_open():
    verdict = judged()
    assert verdict.effect is Effect.DENY
    assert "09:00 to 17:00, mon tue wed thu fri, Europe/Berlin" in verdict.reason


@pytest.mark.parametrize("risk", [*Risk, None])
def test_inside_it_says_nothing(risk):
    assert judged(OPEN, risk=risk) is None


@pytest.mark.parametrize(
    ("how", "denied"),
    [
        ({}, True),
        ({"risk": Risk.READ}, False),
        ({"risk": Risk.PRIVILEGED}, True),
        ({"risk": Risk.DESTRUCTIVE}, True),
        ({"risk": None}, True),
        ({"risk": Risk.READ, "risks": ["read"]}, True),
        ({"risks": ["read"]}, False),
        ({"risk": None, "risks": ["read"]}, True),
        ({"actions": ["update*"]}, True),
        ({"actions": ["delete*"]}, False),
        ({"actions": []}, False),
        ({"targets": ["okta"]}, True),
        ({"targets": ["things"]}, False),
        ({"target": "jitgate.internal", "risk": None}, False),
        ({"target": "jitgate.internal", "risk": None, "targets": ["jitgate.internal"]}, True),
    ],
)
def test_it_denies_what_is_named(how, denied):
    assert (judged(**how) is not None) is denied


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"zone": "Europe/Berlln"}, "no time zone 'Europe/Berlln' is known here"),
        ({"zone": "../../etc/passwd"}, "no time zone"),
        ({"zone": "/etc/localtime"}, "no time zone"),
        ({"zone": ""}, "no time zone"),
        ({"opens": "9:00"}, "a time was expected, such as 09:00"),
        ({"closes": "24:30"}, "a time was expected"),
        ({"closes": "25:00"}, "a time was expected"),
        ({"opens": "17:00"}, "opens and closes are the same"),
        ({"opens": "00:00", "closes": "00:00"}, "never be open"),
        ({"days": []}, "never be open"),
        ({"days": ["monday"]}, "options.days.0"),
        ({"days": "mon"}, "options.days: a list was expected"),
        ({"risk": ["read"]}, "options.risk: unknown key; did you mean 'risks'?"),
    ],
)
def test_options_that_it_cannot_use_stop_the_start(options, says):
    with pytest.raises(OptionsInvalid) as raised:
        plugins.load(FILE, {"zone": ZONE} | options)
    assert says in "\n".join(raised.value.problems)


def test_without_a_zone_nobody_knows_when_it_is_open():
    with pytest.raises(OptionsInvalid, match="options.zone: this is missing"):
        plugins.load(FILE, {})


def test_a_machine_without_time_zones_of_its_own_knows_them(monkeypatch):
    import zoneinfo  # noqa: PLC0415 - what it remembers is changed here

    monkeypatch.setattr(zoneinfo, "TZPATH", ())
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    try:
        assert rule(zone="America/New_York").is_open(at(f"{MONDAY} 12:00", "America/New_York"))
    finally:
        monkeypatch.undo()
        zoneinfo.reset_tzpath()
        zoneinfo.ZoneInfo.clear_cache()


def test_no_body_is_held_for_it():
    watched = watched_rule(rule())
    operation = Operation(
        "okta", "createUser", {}, "POST", "a.example:443", "/", in_body=("groupIds",)
    )
    assert watched.judge(Inquiry(operation, agent(), at(f"{SUNDAY} 12:00"))) == watched.verdict
    assert watched.judge(Inquiry(operation, agent(), at(f"{MONDAY} 12:00"))) is None
