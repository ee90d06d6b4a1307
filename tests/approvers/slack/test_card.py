import html
import json
import re
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.access import NOW, access_request, ask, grant, operation, subject
from support.slack_hostile import MARK, requests, texts
from support.slack_html import message
from support.slack_limits import check_message, every_part

from jitgate.approvers.slack.about import About, version_of
from jitgate.approvers.slack.call import hides_something
from jitgate.approvers.slack.card import card
from jitgate.flow.standing import Standing
from jitgate.values import (
    AccessState,
    Answer,
    Escalation,
    Given,
    GrantState,
    Less,
    Presence,
    Quorum,
    Risk,
    Shown,
    Terms,
)

ALICE, BOB = "alice@acme.com", "bob@acme.com"
STANDING = Standing((Quorum(("it-leads",)),), (ALICE, BOB), None)
WINDOW = Terms((Quorum(("it-leads",)),), uses=5, life=600.0)
tallies = st.dictionaries(st.sampled_from(GrantState), st.integers(1, 5), max_size=7)


def standing_of(request):
    return Standing(
        request.ask.terms.quorums, tuple(each.approver for each in request.answers), None
    )


def shown(request, standing=STANDING, given=None, **seen):
    return card(request, standing, given, **({"names": {}} | seen))


def read(request, standing=STANDING, given=None, **seen):
    """What a person reads on the card, buttons included."""
    made = shown(request, standing, given, **seen)
    return html.unescape(re.sub("<[^>]*>", " ", message(made.blocks)))


def asking(**changes):
    return access_request("ar-1", ask("0123456789abcdef" * 4, **changes))


def about_window(**changes):
    return asking(terms=replace(WINDOW, **changes))


def buttons(made):
    return {
        each["text"]["text"]: each
        for each in every_part(made.blocks)
        if each.get("type") == "button"
    }


# --- whatever an agent writes


@settings(max_examples=60)
@given(requests(), st.none() | st.builds(grant, tally=tallies, why=texts), st.booleans())
def test_whatever_others_wrote_slack_takes_the_card_and_it_stands_in_boxes_alone(
    request, given_, is_opened
):
    names = dict.fromkeys(request.ask.operation.resource, f"{MARK}<!channel>")
    made = card(request, standing_of(request), given_, names=names, is_opened=is_opened)
    check_message(made.blocks, made.text)
    assert all(each.get("type") != "mrkdwn" for each in every_part(made.blocks))
    rendered = message(made.blocks)
    ours = re.sub("<(code|pre)>.*?</\\1>", "", rendered, flags=re.DOTALL)
    assert MARK not in ours
    assert not re.search('<(a|i|s)\\b|class="(mention|emoji)"', rendered)
    assert html.unescape(rendered).replace("\n", "").isprintable()
    assert not re.search('<|class="(mention|emoji)"', re.sub("</?div[^>]*>", "", fallback(made)))


def fallback(made):
    return message([], made.text)


@settings(max_examples=60)
@given(requests())
def test_a_card_hides_something_if_and_only_if_it_says_so_and_then_nobody_approves_it(request):
    request = replace(request, state=AccessState.PENDING)
    made = card(request, standing_of(request), names={})
    rendered = message(made.blocks)
    ours = re.sub("<(code|pre)>.*?</\\1>", "", rendered, flags=re.DOTALL)
    hides = hides_something(request, {})
    assert ("This is longer than a card" in ours) == hides
    assert any(each.startswith("Approve") for each in buttons(made)) != hides
    opened = card(request, standing_of(request), names={}, is_opened=True)
    assert any(each.startswith("Approve") for each in buttons(opened))
    assert "Deny" in buttons(made)


@pytest.mark.parametrize("char", ["a", '"', "\u202e", "j\u0430"])
def test_a_card_is_no_longer_than_slack_takes_whatever_its_values_are(char):
    value = char * 120
    several = {f"{number}{value}": value for number in range(4)}
    request = asking(
        subject=subject(id=value, agent=value, humans=(value,) * 4),
        operation=operation(target=value, action=value, resource=several, parameters=several),
        shown=Shown(char * 400, tuple(several.items()), char * 900, 900),
        rule=value,
        reason=char * 500,
        terms=Terms((Quorum((value,) * 5, 9, (Escalation(1.0, (value,) * 5),) * 3, True, 2),) * 3),
    )
    said = (Answer(value, True, NOW, "slack", char * 500, Less(1, 9.0, True)),) * 9
    request = replace(request, answers=said, asked=10**6, away_until=NOW)
    for state in AccessState:
        ended = replace(request, state=state, why=char * 500)
        standing = Standing(ended.ask.terms.quorums, (value,) * 9, None)
        made = shown(ended, standing, grant(why=char * 500), names=dict.fromkeys(several, value))
        check_message(made.blocks, made.text)


@pytest.mark.parametrize(
    "changes",
    [
        {"shown": Shown("https://api.example/" + "a" * 40_000)},
        {"shown": Shown("https://api.example/", (), "a" * 901, 901)},
        {"shown": Shown("https://api.example/", (), "\n" * 17, 17)},
        {"shown": Shown("https://api.example/", (), "é" * (1 << 20), 1 << 21)},
        {"shown": Shown("https://api.example/", (("X", "v" * 121),))},
        {"shown": Shown("https://api.example/", (("X", "v"),) * 5)},
        {"operation": operation(resource={"userId": "1" * 121})},
        {"operation": operation(resource={f"{number}": "1" for number in range(5)})},
        {"operation": operation(parameters={"a": "1" * 121})},
        {"subject": subject(humans=tuple(f"{number}@acme.com" for number in range(5)))},
        {"subject": subject(id="b" * 121)},
        {"reason": "r" * 501},
        {"operation": operation(action="delete" * 1000)},
    ],
)
def test_what_is_too_long_for_a_card_is_approved_by_nobody_who_has_not_opened_details(changes):
    request = asking(**changes)
    made = shown(request)
    assert hides_something(request, {})
    assert set(buttons(made)) == {"Details, then approve…", "Deny"}
    check_message(made.blocks, made.text)
    assert {"Approve", "Approve less…"} <= set(buttons(shown(request, is_opened=True)))


def test_a_name_that_is_too_long_hides_something_too():
    assert not hides_something(asking(), {"userId": "jane@acme.com"})
    assert hides_something(asking(), {"userId": "j" * 121})


def test_a_body_that_nobody_can_show_says_so_and_is_not_hidden_by_the_card():
    request = asking(shown=Shown("https://api.example/", (), None, 1 << 20))
    assert "Body: 1.0 MiB that cannot be shown" in read(request)
    assert not hides_something(request, {})


# --- what an approver decides by


def test_it_tells_who_wants_what_on_whom_at_once():
    request = asking(subject=subject(id="bot-7", humans=("jane@acme.com",)))
    told = read(request, names={"userId": "max@acme.com"}).split()
    told = " ".join(told)
    assert told.startswith(
        "❔ Approve? Deactivate user Who bot-7 , for jane@acme.com On max@acme.com (looked up), "
        "userId 1 at things Risk UNKNOWN: no catalog says what it can do"
    )


def test_an_agent_that_has_a_name_beside_whom_it_acts_as_is_called_by_it():
    told = " ".join(read(asking(subject=subject(id="jane", agent="copilot"))).split())
    assert "Who copilot as jane , for nobody that its token names" in told


@pytest.mark.parametrize("risk", Risk)
def test_it_tells_the_risk(risk):
    assert f"{risk.value.upper()}:" in read(asking(operation=operation(risk=risk)))


def test_what_one_call_gives_is_that_call():
    made = shown(asking())
    assert "this ONE call, once, within 5 min. Nothing else." in read(asking())
    assert "confirm" not in buttons(made)["Approve"]
    assert "WINDOW" not in json.dumps(made.blocks)


def test_a_window_is_told_as_one_and_asked_for_twice():
    told = read(about_window())
    assert "A WINDOW: UP TO 5 CALLS of this kind, on this resource, within 10 min" in told
    assert "Not only the call that is shown." in told
    asks = buttons(shown(about_window()))["Approve"]["confirm"]
    assert asks["title"]["text"] == "Approve a window?"
    assert asks["confirm"]["text"] == "Approve 5 calls"


def test_a_window_ahead_of_any_call_says_that_there_is_nothing_to_look_at():
    request = about_window(ahead=True, uses=1)
    told = read(request)
    assert "AHEAD OF ANY CALL: ONE CALL of this kind" in told
    assert "No call yet: any body and query may come." in told
    assert "none of them is there" in buttons(shown(request))["Approve"]["confirm"]["text"]["text"]


def test_a_window_that_somebody_has_narrowed_is_told_as_what_it_gives_now():
    less = Answer(BOB, True, NOW, "slack", less=Less(2, 60.0))
    told = read(replace(about_window(), answers=(less,)))
    assert "UP TO 2 CALLS of this kind, on this resource, within 1 min" in told
    assert "That is less than policy offers" in told
    once = replace(about_window(), answers=(replace(less, less=Less(once=True)),))
    assert "this ONE call, once" in read(once)


def test_it_tells_why_it_is_asked_and_who_is_missing():
    quorum = Quorum(("it-leads", "security"), 2, (Escalation(300.0, ("on-call",)),), True, 2)
    request = asking(terms=Terms((quorum,)))
    told = " ".join(read(request, Standing((quorum,), (ALICE,), None)).split())
    assert "Why you rule people-changes-need-a-human says: Changes to people are" in told
    assert "2 approvals are missing: 2 different people of it-leads or security" in told
    assert "Who could give it: alice@acme.com" in told
    assert "Asked as well: on-call , in 9 minutes" in told
    assert "An approval must say why." in told
    assert "2 people must deny it; one is not enough." in told
    assert "Asked as well by now: on-call" in " ".join(
        read(replace(request, escalated=300.0)).split()
    )
    assert "Nobody is left" in read(request, Standing((quorum,), (), None))
    assert "Approve…" in buttons(shown(request))


def test_it_tells_what_exactly_will_be_sent():
    told = " ".join(read(asking()).split())
    assert "POST https://api.example/users/1/lifecycle/deactivate" in told
    assert "operation deactivateUser" in told
    assert "fields Content-Type : application/json" in told
    assert 'Body, 15 bytes, secrets masked { "why": "left" }' in told
    assert told.endswith("Request ar-1 · fingerprint 0123456789ab")


def test_a_parameter_that_sounds_secret_is_masked_here_too():
    request = asking(operation=operation(parameters={"password": "hunter2", "sendEmail": "true"}))
    made = shown(request)
    assert "hunter2" not in json.dumps(made.blocks)
    assert "with password *** , sendEmail true" in " ".join(read(request).split())


def test_it_tells_how_often_it_was_asked_and_whether_the_agent_waits():
    request = replace(asking(), asked=4)
    assert "Asked 4 times." in read(request)
    assert "The agent waits" in read(request)
    gone = replace(request, presence=Presence.DETACHED, away_until=NOW + 60)
    assert "nothing goes out before it sends the call again" in read(gone)
    assert "It is withdrawn unless that happens" in read(gone)
    assert "was told to come back" in read(replace(request, presence=Presence.RECALLED))


def test_of_many_answers_the_last_are_shown_and_the_others_are_counted():
    said = tuple(
        Answer(f"p{number}@acme.com", number % 2 == 0, NOW, "slack") for number in range(200)
    )
    groups = tuple(f"group-{number}" for number in range(20))
    request = replace(asking(terms=Terms((Quorum(groups, 201),))), answers=said)
    made = shown(request, Standing((Quorum(groups, 101),), groups, None))
    check_message(made.blocks, made.text)
    told = " ".join(read(request, Standing((Quorum(groups, 101),), groups, None)).split())
    assert "Answers before these: 99 approve, 98 deny." in told
    assert "p199@acme.com denied" in told
    assert "group-4 and 15 more" in told


def test_reactions_are_told_of_only_where_they_count():
    told = "as a reaction counts"
    assert told in read(asking(), reactions=True)
    assert told not in read(asking())
    long = asking(reason="r" * 501)
    assert told not in read(long, reactions=True)
    assert told not in read(long, reactions=True, is_opened=True)
    assert told not in read(replace(asking(), state=AccessState.EXPIRED), reactions=True)


# --- what has become of it


@pytest.mark.parametrize("state", set(AccessState) - {AccessState.PENDING})
def test_what_has_ended_cannot_be_answered(state):
    made = shown(replace(asking(), state=state, why="It is over."))
    assert set(buttons(made)) == {"Details…"}
    assert "Approve?" not in json.dumps(made.blocks, ensure_ascii=False)
    check_message(made.blocks, made.text)


def test_what_expired_is_nobodys_no_though_somebody_denied_it():
    no = Answer(ALICE, False, NOW, "slack", "no")
    request = replace(asking(), state=AccessState.EXPIRED, answers=(no,), why="Nobody answered.")
    told = read(request)
    assert "Expired, nobody decided" in told
    assert "That is nobody's no." in told
    assert "Denied" not in told


def test_what_was_denied_says_by_whom_and_why():
    no = Answer(ALICE, False, NOW, "slack", "not on the list")
    request = replace(asking(), state=AccessState.DENIED, answers=(no,))
    assert "Denied by alice@acme.com : not on the list" in " ".join(read(request).split())


@pytest.mark.parametrize("state", GrantState)
def test_a_grant_can_be_revoked_while_it_is_live_and_no_longer(state):
    request = replace(asking(), state=AccessState.APPROVED, grant="g-1")
    made = shown(request, given=grant(tally={state: 1}))
    is_live = state in {GrantState.ACTIVE, GrantState.IN_USE}
    assert ("Revoke…" in buttons(made)) == is_live
    assert ("Live:" in json.dumps(made.blocks)) == is_live
    check_message(made.blocks, made.text)


def test_a_window_tells_of_each_of_its_uses():
    request = replace(about_window(), state=AccessState.APPROVED, grant="g-1")
    tally = {GrantState.ACTIVE: 2, GrantState.SPENT: 2, GrantState.UNKNOWN: 1}
    told = read(request, given=grant(asked=request.ask, tally=tally))
    assert "Of 5 calls: 2 left, 2 spent, 1 unknown." in told


def test_a_grant_that_is_less_says_what_it_gave():
    request = replace(about_window(), state=AccessState.APPROVED, grant="g-1")
    narrowed = grant(asked=request.ask, less=Given(1, 60.0, alone=True))
    assert "Gave this ONE call, once, within 1 min." in " ".join(
        read(request, given=narrowed).split()
    )


# --- which card it is


def test_a_click_says_which_request_and_which_card_it_is_about():
    request = asking()
    made = shown(request)
    for each in buttons(made).values():
        assert About.read(each["value"]) == About("ar-1", made.version)
    assert made.version == version_of(request, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": subject(id="other")},
        {"subject": subject(issuer="https://other.example")},
        {"subject": subject(humans=("jane@acme.com",))},
        {"subject": subject(agent="copilot")},
        {"operation": operation(target="other")},
        {"operation": operation(action="deleteUser")},
        {"operation": operation(method="PUT")},
        {"operation": operation(resource={"userId": "2"})},
        {"operation": operation(risk=Risk.READ)},
        {"operation": operation(parameters={"sendEmail": "true"})},
        {"shown": Shown("https://api.example/2")},
        {"terms": WINDOW},
        {"terms": Terms((Quorum(("others",)),))},
        {"rule": "another"},
        {"reason": "another"},
    ],
)
def test_another_thing_to_decide_is_another_version(changes):
    assert version_of(asking(**changes), {}) != version_of(asking(), {})


def test_so_are_another_fingerprint_request_name_and_expiry():
    request = asking()
    others = [
        replace(request, ask=replace(request.ask, fingerprint="f" * 64)),
        replace(request, id="ar-2"),
        replace(request, expires_at=NOW + 1),
    ]
    versions = {version_of(each, {}) for each in [request, *others]}
    assert len(versions | {version_of(request, {"userId": "max@acme.com"})}) == 5


def test_what_changes_nothing_to_decide_is_the_same_version():
    request = asking()
    said = Answer(ALICE, True, NOW, "slack")
    later = replace(
        request,
        answers=(said,),
        asked=9,
        presence=Presence.DETACHED,
        away_until=NOW,
        escalated=9.0,
        recalls=2,
        revision=7,
        gateway="b",
        state=AccessState.APPROVED,
        grant="g-1",
        why="so",
    )
    told = {
        each.name
        for each in fields(request)
        if getattr(later, each.name) != getattr(request, each.name)
    }
    assert told == {each.name for each in fields(request)} - {
        "id",
        "ask",
        "opened_at",
        "expires_at",
    }
    assert version_of(later, {}) == version_of(request, {})


def test_a_version_is_no_digest_of_what_is_masked():
    """Else a parameter's value could be guessed by it."""
    versions = {
        version_of(asking(operation=operation(parameters={"password": each})), {}) for each in "ab"
    }
    hidden = {version_of(asking(operation=operation(query=each)), {}) for each in "ab"}
    assert len(versions) == len(hidden) == 1


@given(st.text() | st.sampled_from(["[]", "1", "{}", "null", "[" * 100_000]))
def test_what_is_no_text_of_ours_is_about_nothing(text):
    assert About.read(text) is None


@pytest.mark.parametrize("page", [-1, True, "1", 1.5, None])
def test_a_page_is_a_number(page):
    assert About.read(json.dumps({"request": "a", "version": "b", "page": page})) is None


@given(st.text(), st.text(), st.integers(0, 10**9))
def test_what_a_click_is_about_comes_back_as_it_was(request, version, page):
    about = About(request, version, page)
    assert About.read(about.text) == about
