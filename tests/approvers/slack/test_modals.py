import html
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.access import access_request, ask, grant, operation
from support.slack_hostile import MARK, requests
from support.slack_html import view
from support.slack_limits import check_view

from jitgate.approvers.slack.about import About, version_of
from jitgate.approvers.slack.filled import Filled, less_filled, reason_filled
from jitgate.approvers.slack.modals import approve_view, deny_view, less_view, revoke_view
from jitgate.core.durations import written
from jitgate.core.giving import more_than_offered
from jitgate.values import Less, Quorum, Terms

ONE = Terms((Quorum(("it-leads",)),))
WINDOW = replace(ONE, uses=5, life=600.0)
AHEAD = replace(WINDOW, ahead=True)
REASONED = Terms((Quorum(("it-leads",), reason=True),))
READ = "This could not be read: close the form, and open it again."


def asking(terms=ONE):
    return access_request("ar-1", ask(terms=terms))


def read(made):
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", view(made))).split())


def inputs(made):
    return {each["block_id"]: each for each in made["blocks"] if each["type"] == "input"}


def filled_in(made, **typed):
    """`state.values` of a view as Slack hands them back, with what somebody has typed."""
    values = {}
    for name, block in inputs(made).items():
        element = block["element"]
        if element["type"] == "radio_buttons":
            value = typed.get(name, element["initial_option"]["value"])
            values[name] = {name: {"type": "radio_buttons", "selected_option": {"value": value}}}
        else:
            value = typed.get(name, element.get("initial_value"))
            values[name] = {name: {"type": element["type"], "value": value}}
    return values


def less(terms, **typed):
    return less_filled(filled_in(less_view(asking(terms), {}), **typed), terms)


@settings(max_examples=40)
@given(requests())
def test_whatever_others_wrote_slack_takes_every_modal_and_it_stands_in_boxes_alone(request):
    given_ = grant(asked=request.ask, why="x")
    names = dict.fromkeys(request.ask.operation.resource, f"{MARK}<!channel>")
    for made in (
        approve_view(request, names),
        less_view(request, names),
        deny_view(request, names),
        revoke_view(request, given_, names),
    ):
        check_view(made)
        assert MARK not in re.sub("<code>.*?</code>", "", view(made))
        assert About.read(made["private_metadata"]) == About(request.id, version_of(request, names))


# --- what is asked


def test_each_modal_says_whom_it_is_about_and_what_it_gives():
    told = "Deactivate user On max@acme.com (looked up), userId 1 at things Who bot-7"
    names = {"userId": "max@acme.com"}
    for made in (approve_view(asking(), names), deny_view(asking(), names)):
        assert told in read(made)
    assert "Your yes gives this ONE call, once, within 5 min" in read(approve_view(asking(), names))
    assert "A WINDOW: UP TO 5 CALLS" in read(approve_view(asking(WINDOW), names))
    assert "Live: it can be used. It ends in" in read(revoke_view(asking(), grant(), names))


@pytest.mark.parametrize(
    ("terms", "names"),
    [
        (ONE, ["life", "reason"]),
        (WINDOW, ["kind", "uses", "life", "reason"]),
        (AHEAD, ["uses", "life", "reason"]),
        (replace(AHEAD, uses=1), ["life", "reason"]),
    ],
)
def test_less_can_be_given_of_what_policy_offers_and_of_nothing_else(terms, names):
    assert list(inputs(less_view(asking(terms), {}))) == names


def test_an_action_with_a_name_without_end_is_told_by_its_beginning():
    request = access_request("ar-1", ask(operation=operation(action="delete" * 1000)))
    for made in (approve_view(request, {}), less_view(request, {}), deny_view(request, {})):
        check_view(made)
        assert f"{'Delete' + 'delete' * 15}dele…" in read(made)


def test_a_reason_must_be_given_where_policy_wants_one():
    for made in (approve_view(asking(REASONED), {}), less_view(asking(REASONED), {})):
        assert not inputs(made)["reason"]["optional"]
    for made in (less_view(asking(), {}), deny_view(asking(REASONED), {})):
        assert inputs(made)["reason"]["optional"]


# --- what is filled in


def test_a_window_that_is_left_as_it_is_gives_the_call_alone():
    assert less(WINDOW) == Filled("", Less(once=True))


@pytest.mark.parametrize(
    ("terms", "typed", "given_"),
    [
        (WINDOW, {"kind": "window", "uses": "2"}, Less(uses=2)),
        (WINDOW, {"kind": "window", "life": "1m"}, Less(life=60.0)),
        (WINDOW, {"kind": "window", "uses": "1", "life": "30s"}, Less(1, 30.0)),
        (WINDOW, {"life": " 2m "}, Less(life=120.0, once=True)),
        (ONE, {"life": "90s"}, Less(life=90.0)),
        (AHEAD, {"uses": "4"}, Less(uses=4)),
    ],
)
def test_what_is_filled_in_is_given(terms, typed, given_):
    assert less(terms, reason=" ticket IT-7 ", **typed) == Filled("ticket IT-7", given_)


@pytest.mark.parametrize(
    ("terms", "typed", "errors"),
    [
        (
            WINDOW,
            {"kind": "window"},
            {"life": "This is all that policy offers: give less here, or use Approve."},
        ),
        (ONE, {}, {"life": "This is all that policy offers: give less here, or use Approve."}),
        (
            WINDOW,
            {"uses": "2"},
            {"uses": "You give the call alone: leave this as it is, or give a window."},
        ),
        (WINDOW, {"kind": "all"}, {"kind": "Choose one of the two."}),
        (WINDOW, {"kind": ["window"]}, {"kind": "Choose one of the two."}),
        (
            WINDOW,
            {"kind": "window", "uses": "6"},
            {"uses": "Policy offers 1 to 5 uses here, and 6 cannot be given."},
        ),
        (
            WINDOW,
            {"kind": "window", "uses": "0"},
            {"uses": "Policy offers 1 to 5 uses here, and 0 cannot be given."},
        ),
        (WINDOW, {"kind": "window", "uses": "-1"}, {"uses": "Give a whole number."}),
        (WINDOW, {"kind": "window", "uses": "1.5"}, {"uses": "Give a whole number."}),
        (WINDOW, {"kind": "window", "uses": "٣"}, {"uses": "Give a whole number."}),
        (WINDOW, {"kind": "window", "uses": "00000"}, {"uses": "Give a whole number."}),
        (WINDOW, {"kind": "window", "uses": None}, {"uses": "Give a whole number."}),
        (WINDOW, {"kind": "window", "uses": 2}, {"uses": READ}),
        (
            ONE,
            {"life": "6m"},
            {"life": "Policy offers a life of 1 s to 5 min here, and 6 min cannot be given."},
        ),
        (
            ONE,
            {"life": "1ms"},
            {"life": "Policy offers a life of 1 s to 5 min here, and 0.001 s cannot be given."},
        ),
        (
            ONE,
            {"life": "soon"},
            {"life": "A duration with its unit was expected, such as 500ms, 55s, 2m, 1h."},
        ),
        (
            ONE,
            {"life": None},
            {"life": "A duration with its unit was expected, such as 500ms, 55s, 2m, 1h."},
        ),
        (ONE, {"life": False}, {"life": READ}),
        (
            ONE,
            {"life": "1m", "reason": "x" * 501},
            {"reason": "A reason has at most 500 characters."},
        ),
        (
            REASONED,
            {"life": "1m"},
            {"reason": "Policy wants a reason for this approval: say why it may go."},
        ),
        (
            REASONED,
            {"life": "1m", "reason": " .\u200b "},
            {"reason": "Policy wants a reason for this approval: say why it may go."},
        ),
    ],
)
def test_what_does_not_fit_is_told_at_its_input_and_gives_nothing(terms, typed, errors):
    assert less(terms, **typed) == errors


def test_all_that_is_wrong_is_told_at_once():
    told = less(WINDOW, kind="no", uses="x", life="y", reason="z" * 501)
    assert list(told) == ["kind", "uses", "life", "reason"]


@pytest.mark.parametrize(
    "values", [{}, {"life": None}, {"life": []}, {"life": {}}, {"life": {"life": "1m"}}]
)
def test_what_slack_would_not_send_gives_nothing(values):
    assert less_filled(values, ONE) == {"life": READ, "reason": READ}
    assert reason_filled(values, required=False) == {"reason": READ}


@given(
    st.sampled_from([ONE, WINDOW, AHEAD]),
    st.fixed_dictionaries(
        {},
        optional={
            "kind": st.sampled_from(["once", "window"]),
            "uses": st.integers(-1, 7).map(str) | st.text(),
            "life": st.integers(0, 1000).map("{}s".format) | st.text(),
            "reason": st.text(),
        },
    ),
)
def test_nothing_that_is_filled_in_gives_more_than_policy_offers(terms, typed):
    told = less(terms, **typed)
    assert told
    if isinstance(told, Filled):
        assert told.less != Less()
        assert more_than_offered(told.less, terms) is None


@given(st.sampled_from([ONE, WINDOW, AHEAD]), st.integers(1000, 300_000))
def test_a_life_is_read_as_it_is_shown(terms, millis):
    shown = replace(terms, life=millis / 1000)
    told = less(shown, life=written(shown.life), kind="window")
    assert told == {"life": "This is all that policy offers: give less here, or use Approve."}


def test_a_reason_alone():
    values = filled_in(deny_view(asking(), {}), reason=" no ")
    assert reason_filled(values, required=True) == Filled("no")
    empty = filled_in(deny_view(asking(), {}))
    assert reason_filled(empty, required=False) == Filled("")
    assert list(reason_filled(empty, required=True)) == ["reason"]
