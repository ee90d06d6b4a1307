"""The machines: what is not in their tables does not happen, and nobody counts who must not."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.access import NOW, access_request, ask, grant, operation, subject

from jitgate.core import access
from jitgate.core.access import (
    PRESENCE_MOVES,
    REQUEST_MOVES,
    USE_MOVES,
    NotCounted,
    answered,
    approved,
    covers,
    diagram,
    granted,
    is_self,
    moved,
    person,
    recovery,
    taken,
    terms_of,
    used,
)
from jitgate.values import (
    AccessState,
    Answer,
    Binding,
    Decision,
    Effect,
    Entry,
    GrantState,
    Mark,
    Obligation,
    Presence,
    Quorum,
    Terms,
)

PEOPLE = {
    "leads": frozenset({"a", "b", "c"}),
    "security": frozenset({"c", "d"}),
    "nobody": frozenset(),
}
PAGE = Path(__file__).parents[2] / "docs" / "state-machines.md"


def says(who, *, yes=True):
    return Answer(who, yes, NOW, "test")


def request(*quorums, answers=(), **changes):
    asked = ask(terms=Terms(tuple(Quorum(groups, count) for groups, count in quorums)))
    return access_request(asked=asked, answers=tuple(answers), **changes)


# --- the tables


def test_an_ended_request_never_moves_again():
    ends = set(AccessState) - {AccessState.PENDING}
    assert {old for old, _ in REQUEST_MOVES} == {AccessState.PENDING}
    assert set(REQUEST_MOVES.values()) == ends
    for state, (_, event) in product(ends, REQUEST_MOVES):
        assert access.ended(request(state=state), event, "") is None


def test_there_is_no_way_back_to_an_unused_grant():
    assert GrantState.ACTIVE not in USE_MOVES.values()
    final = set(USE_MOVES.values()) - {old for old, _ in USE_MOVES}
    assert final == set(GrantState) - {GrantState.ACTIVE, GrantState.IN_USE}


def test_every_state_can_be_reached():
    assert set(USE_MOVES.values()) | {GrantState.ACTIVE} == set(GrantState)
    assert set(PRESENCE_MOVES.values()) == set(Presence)


@pytest.mark.parametrize(
    ("moves", "start"),
    [
        (REQUEST_MOVES, AccessState.PENDING),
        (PRESENCE_MOVES, Presence.ATTACHED),
        (USE_MOVES, GrantState.ACTIVE),
    ],
)
def test_the_page_shows_the_machines_as_they_are(moves, start):
    """.ci/make_diagrams.py writes it."""
    assert f"```mermaid\n{diagram(moves, start)}\n```" in PAGE.read_text()


# --- presence


def test_hanging_up_is_forgiven_for_a_while_and_a_recall_lasts_until_the_end():
    away = access.detached(request(), NOW, 120)
    assert access.deadline(away) == (NOW + 120, access.WITHDRAW)
    back = access.attached(away)
    assert access.deadline(back) == (NOW + 600, access.EXPIRE)
    called = access.recalled(back)
    assert access.deadline(called) == (NOW + 600, access.EXPIRE)
    assert access.detached(called, NOW, 120) is None, "it was told to be away"
    assert access.attached(back) is None, "there is nothing to change"


def test_nothing_happens_to_the_presence_of_what_has_ended():
    over = request(state=AccessState.DENIED)
    assert access.attached(over) is access.detached(over, NOW, 1) is access.recalled(over) is None


# --- whose answers count


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("bot-7", True),
        ("BOT-7", True),
        ("https://idp.example bot-7", True),
        ("owner@acme.com", True),
        (" Owner@Acme.COM ", True),
        ("owner@ACME.com", True),
        ("actor-1", True),
        ("https://idp.example actor-1", True),
        ("https://other.example bot-7", False),
        ("alice@acme.com", False),
        ("", False),
    ],
)
def test_who_the_agent_itself_is(name, is_one):
    asker = subject(humans=("owner@acme.com", "actor-1"))
    assert is_self(name, asker) is is_one


@given(st.text())
def test_a_person_has_one_spelling(name):
    assert person(person(name)) == person(name)


@pytest.mark.parametrize(
    ("quorums", "yes", "enough"),
    [
        ([(("leads",), 1)], "a", True),
        ([(("leads",), 1)], "d", False),
        ([(("leads",), 2)], "a", False),
        ([(("leads",), 2)], "ab", True),
        ([(("leads",), 2)], "ad", False),
        ([(("leads", "security"), 2)], "ad", True),
        ([(("leads",), 1), (("security",), 1)], "c", False),
        ([(("leads",), 1), (("security",), 1)], "cd", True),
        ([(("leads",), 1), (("security",), 1)], "ac", True),
        ([(("leads",), 2), (("security",), 1)], "abc", True),
        ([(("leads",), 2), (("security",), 2)], "abc", False),
        ([(("leads",), 2), (("security",), 2)], "abcd", True),
        ([(("nobody",), 1)], "abcd", False),
        ([(("unknown",), 1)], "abcd", False),
        ([], "abcd", False),
    ],
)
def test_enough_are_different_people_each_counted_once(quorums, yes, enough):
    assert approved(request(*quorums, answers=map(says, yes)), PEOPLE) is enough


quorums = st.lists(
    st.tuples(
        st.lists(st.sampled_from(sorted(PEOPLE)), min_size=1, max_size=2).map(tuple),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=3,
)


@given(quorums, st.sets(st.sampled_from("abcd")))
def test_it_is_enough_exactly_where_somebody_can_be_found_for_every_place(asked, yes):
    """Checked by trying every way to give the places to people."""
    places = [groups for groups, count in asked for _ in range(count)]

    def possible(left, free):
        if not left:
            return True
        fitting = {one for group in left[0] for one in PEOPLE[group]} & free
        return any(possible(left[1:], free - {one}) for one in fitting)

    answers = [says(one) for one in sorted(yes)]
    assert approved(request(*asked, answers=answers), PEOPLE) is possible(places, frozenset(yes))


def test_the_last_answer_of_each_person_counts():
    once = answered(request((("leads",), 2)), says("a"), PEOPLE, NOW)
    again = answered(once, says("A"), PEOPLE, NOW)
    assert [each.approver for each in again.answers] == ["A"]
    assert again.state is AccessState.PENDING


def test_one_denial_decides():
    denied = answered(request((("leads",), 2)), says("a", yes=False), PEOPLE, NOW)
    assert denied.state is AccessState.DENIED
    assert isinstance(answered(denied, says("b"), PEOPLE, NOW), NotCounted)


def test_somebody_who_has_left_the_group_is_no_longer_counted():
    once = answered(request((("leads",), 2)), says("a"), PEOPLE, NOW)
    smaller = PEOPLE | {"leads": frozenset({"b", "c"})}
    assert answered(once, says("b"), smaller, NOW).state is AccessState.PENDING


def test_nobody_answers_too_late():
    late = answered(request((("leads",), 1)), says("a"), PEOPLE, NOW + 600)
    assert isinstance(late, NotCounted)


@given(
    st.lists(st.tuples(st.sampled_from("abcdx"), st.booleans()), max_size=6),
    quorums,
)
def test_no_row_of_answers_approves_what_too_few_approve(row, asked):
    current = request(*asked)
    for who, yes in row:
        after = answered(current, says(who, yes=yes), PEOPLE, NOW)
        if not isinstance(after, NotCounted):
            current = after
    if current.state is AccessState.APPROVED:
        assert approved(current, PEOPLE)
        places = sum(count for _, count in asked)
        assert len({each.approver for each in current.answers if each.approves}) >= places
    if current.state is AccessState.DENIED:
        assert any(not yes and who in "abcd" for who, yes in row)


# --- terms


def test_what_several_rules_oblige_to_holds_together():
    duties = (
        Obligation("approvers", (("leads",), 1)),
        Obligation("grant", (5, 600.0)),
        Obligation("approvers", (("security",), 2)),
        Obligation("grant", (1, 900.0)),
    )
    terms = terms_of(Decision(Effect.REVIEW, "r", "", "p", duties))
    assert terms == Terms((Quorum(("leads",), 1), Quorum(("security",), 2)), 1, 600.0)


def test_a_decision_that_names_nobody_has_no_terms():
    assert terms_of(Decision(Effect.REVIEW, "r", "", "p", (Obligation("grant", (1, 1.0)),))) is None


# --- grants


def test_a_grant_is_what_its_request_says():
    made = granted(request((("leads",), 1), answers=[says("a")]), "g-1", NOW)
    assert (made.left, made.expires_at, made.approved_by) == (1, NOW + 300, ("a",))
    assert made.state is GrantState.ACTIVE


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        ({}, NOW + 300),
        ({"fingerprint": "another"}, NOW),
        ({"subject": subject(id="other")}, NOW),
        ({"subject": subject(humans=("eve",))}, NOW),
        ({"terms": Terms((Quorum(("it-leads",), 2),))}, NOW),
        ({"terms": Terms((Quorum(("it-leads",)),), uses=5)}, NOW),
    ],
)
def test_a_grant_covers_its_call_and_no_other(changes, now):
    one = grant(asked=ask("f1"))
    assert covers(one, ask("f1"), NOW)
    assert not covers(one, ask(**({"fingerprint": "f1"} | changes)), now)
    assert not covers(taken(one, "x-1", "f1", NOW)[0], ask("f1"), NOW)


def test_a_grant_for_a_scope_is_for_the_same_parameters_alone():
    terms = Terms((Quorum(("it-leads",)),), uses=5)
    silent, loud = (operation(parameters={"sendEmail": each}) for each in ("false", "true"))
    one = grant(asked=ask("f1", operation=silent, terms=terms), uses=5)
    assert covers(one, ask("f2", operation=silent, terms=terms), NOW)
    assert not covers(one, ask("f2", operation=loud, terms=terms), NOW)
    assert not covers(one, ask("f2", operation=operation(), terms=terms), NOW)


def test_a_grant_that_was_given_ahead_is_good_for_calls_whose_token_names_it_alone():
    terms = Terms((Quorum(("it-leads",)),))
    one = grant("g-1", asked=ask("f1", terms=replace(terms, ahead=True)))
    named, another = (subject(binding=Binding("t-1", grant=each)) for each in ("g-1", "g-2"))
    assert covers(one, ask("f2", terms=terms, subject=named), NOW)
    for who in (subject(), subject(binding=Binding("t-1")), another):
        assert not covers(one, ask("f1", terms=terms, subject=who), NOW)
        assert covers(one, ask("f1", terms=replace(terms, ahead=True), subject=who), NOW)


def test_groups_and_expiry_of_the_token_do_not_make_another_subject():
    later = subject(groups=frozenset(), expires_at=NOW + 9, session=None)
    assert covers(grant(asked=ask("f1")), ask("f1", subject=later), NOW)


EVENTS = [access.TAKE, access.AGE, access.REVOKE, access.SETTLE, access.LOSE]


@given(st.integers(1, 6), st.lists(st.sampled_from(EVENTS), max_size=20))
def test_uses_are_never_gained_lost_or_taken_twice(uses, events):
    current = grant(uses=uses)
    for event in events:
        after = moved(current, event)
        if after is None:
            continue
        assert sum(after.tally.values()) == uses
        assert after.left <= current.left
        if event == access.TAKE:
            assert after.left == current.left - 1
        current = after
    ended = [state for state in current.tally if state is not GrantState.ACTIVE]
    if access.REVOKE in events:
        assert current.left == 0
    assert current.state in {*ended, GrantState.ACTIVE}


@pytest.mark.parametrize("events", list(combinations(EVENTS[2:], 2)))
def test_a_use_ends_once(events):
    one, use = taken(grant(), "x-1", "f1", NOW)
    one, use = used(one, use, events[0])
    assert used(one, use, events[1]) is None


# --- after a restart


def entry(kind, revision, **fields):
    return Entry(kind, NOW, {"revision": revision, **fields})


SPENT = entry("grant.spent", 4, use="x-1", grant="g-1", fingerprint="f1")


@pytest.mark.parametrize(
    ("mark", "evidence", "distrusted"),
    [
        (Mark(), None, False),
        (Mark("run", 4), [SPENT], False),
        (Mark("run", 5), [SPENT], False),
        (Mark("run", 9), [], False),
        (Mark("run", 3), [SPENT], True),
        (Mark("run", 4), None, True),
        (Mark("run", 4, moved=True), [SPENT], True),
    ],
)
def test_a_store_is_believed_where_the_record_agrees_with_it(mark, evidence, distrusted):
    found = recovery(mark, evidence)
    assert (found.distrust is not None) is distrusted
    assert found.revision >= max(mark.revision, 4 if evidence == [SPENT] else 0)


def test_what_the_record_shows_as_spent_is_found():
    settled = entry("grant.settled", 5, use="x-1", grant="g-1", state="spent")
    lost = entry("grant.settled", 6, use="x-2", grant="g-1", state="unknown")
    found = recovery(Mark("run", 9), [SPENT, settled, lost])
    assert found.spent == {"x-1": ("g-1", "f1")}
    assert found.answered == {"x-1"}
