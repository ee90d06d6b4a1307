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
    covers,
    diagram,
    moved,
    taken,
    terms_of,
    used,
)
from jitgate.core.answers import granted
from jitgate.core.recovery import DOUBTED, recovery
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
    one, use = used(one, use, events[0], NOW + 1, 204)
    assert (use.ended_at, use.status) == (NOW + 1, 204)
    assert used(one, use, events[1], NOW + 2) is None


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


@pytest.mark.parametrize(
    ("mark", "forgot"),
    [
        (Mark("run", 4), False),
        (Mark("run", 4, moved=True), False),  # a volume that was mounted anew
        (Mark("run", 4, moved=True, copied=True), True),
        (Mark("run", 3), True),  # the record knows of more
        (Mark("run", 4, doubted=True), True),
        (Mark(DOUBTED, 4), True),
    ],
)
def test_a_store_may_have_forgotten_something_where_it_is_a_copy_or_older(mark, forgot):
    assert recovery(mark, [SPENT]).forgot is forgot


def test_the_subjects_that_the_record_shows_as_revoked_are_found():
    revoked = entry("subject.revoked", None, name="bot-7", at=12.5)
    older = entry("subject.revoked", None, name="bot-8")
    assert recovery(Mark("run", 9), [revoked, older]).revoked == [("bot-7", 12.5)]


def test_what_the_record_shows_as_spent_is_found():
    settled = entry("grant.settled", 5, use="x-1", grant="g-1", state="spent")
    lost = entry("grant.settled", 6, use="x-2", grant="g-1", state="unknown")
    found = recovery(Mark("run", 9), [SPENT, settled, lost])
    assert found.spent == {"x-1": ("g-1", "f1")}
    assert found.answered == {"x-1"}
