from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from bench.figures import US, Goal, rows
from bench.report import chart, marked, number, table, values

ROUNDS = {US: [200.0, 220.0], "squid": [100.0, 100.0], "nginx": [50.0, 50.0]}


def test_a_goal_that_is_missed_is_printed_as_missed():
    line = table(rows("request", "µs", ROUNDS, Goal(1.0, "squid"))).splitlines()[1]
    assert "2.10 (2.00 to 2.20)" in line
    assert line.endswith("≤ 1 × squid  NO")


def test_a_row_that_failed_says_why():
    assert "request FAILS: no outcomes" in table(rows("request", "µs", ROUNDS, None, "no outcomes"))


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,234"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123")],
)
def test_three_digits_count(value, text):
    assert number(value) == text


def test_the_chart_is_well_formed_and_has_a_bar_for_each_to_scale():
    found = rows("request", "µs", ROUNDS, None)
    drawn = ET.fromstring(chart("a < b", "µs", values(found, "request")))  # noqa: S314 - our own
    bars = [each for each in drawn if each.tag.endswith("rect")]
    widths = [float(each.get("width")) for each in bars]
    assert widths == [pytest.approx(widths[2] * part, abs=0.1) for part in (50 / 210, 100 / 210, 1)]
    assert [each.get("class") for each in bars] == [None, None, "own"]


def test_only_what_stands_between_the_marks_is_rewritten():
    text = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"
    made = marked(text, "bench", ["new"])
    assert made == "before\n<!-- bench -->\nnew\n<!-- /bench -->\nafter\n"
    assert marked(made, "bench", ["new"]) == made


def test_a_page_without_the_marks_is_left_alone():
    with pytest.raises(ValueError, match="are missing"):
        marked("<!-- bench --> only", "bench", ["new"])


def test_a_goal_whose_peer_was_not_there_is_said_to_be_open():
    assert table(rows("request", "µs", {US: [1.0]}, Goal(1.0, "squid"))).endswith("not measured")
