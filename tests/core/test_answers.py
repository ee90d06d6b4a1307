"""Whose answers count, who is enough, who is asked as well, and what comes of what they give."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from support.access import NOW, access_request, ask, subject

from jitgate.core.access import NotCounted, covers
from jitgate.core.answers import (
    answered,
    approved,
    asked,
    could_answer,
    escalated,
    escalates_at,
    granted,
    is_self,
    missing,
    person,
    taken_back,
    takes_signs,
)
from jitgate.core.giving import given
from jitgate.stores.access_documents import document, read
from jitgate.values import (
    AccessState,
    Answer,
    Escalation,
    Given,
    GrantState,
    Less,
    Quorum,
    Risk,
    Terms,
)

PEOPLE = {
    "leads": frozenset({"a", "b", "c"}),
    "security": frozenset({"c", "d"}),
    "nobody": frozenset(),
}


def says(who, *, yes=True, **more):
    return Answer(who, yes, NOW, "test", **more)


def request(*quorums, answers=(), **changes):
    asked = ask(terms=Terms(tuple(Quorum(groups, count) for groups, count in quorums)))
    return access_request(asked=asked, answers=tuple(answers), **changes)


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


@pytest.mark.parametrize(
    "owner",
    [
        "owner+agents@acme.com",
        "owner@acme.com.",
        "owner@acme\u3002com",
        "OWNER+a+b@ACME.com..",
        "mailto:owner@acme.com",
        "MAILTO:Owner@acme.com?subject=x",
        "Owner <owner@acme.com>",
        '"Owner, The" <owner+x@acme.com>',
        "someone@else.example; owner@acme.com",
        "https://people.example/owner@acme.com",
        "<owner@acme.com>",
    ],
)
def test_an_owner_is_the_agent_itself_by_every_address_of_their_mailbox(owner):
    assert is_self("owner@acme.com", subject(humans=(owner,)))
    assert is_self(owner, subject(humans=("owner@acme.com",)))
    assert not is_self("owners@acme.com", subject(humans=(owner,)))


def test_a_domain_is_the_same_in_both_of_its_spellings():
    assert is_self("owner@b\u00fccher.example", subject(humans=("owner@xn--bcher-kva.example",)))


@for_all(st.text())
def test_a_person_has_one_spelling(name):
    assert person(person(name)) == person(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jos\u00e9@acme.com", "jose\u200b\u0301@acme.com"),
        ("bob@acme.com", "b\ufe0fo\u034fb\u3164@acme.com"),
        ("bob@acme.com", "bob\x00@acme.com\x7f"),
        ("bob@acme.com", "bob\U000e0062@acme.com"),
        ("https://idp.example bob", "https://idp.example \t bob"),
        ("https://idp.example bob", "https://idp.example\u00a0bob"),
        ("\u017ftra\u00dfe@acme.com", "STRASSE@ACME.COM"),
    ],
)
def test_what_is_not_seen_makes_nobody_another_person(one, other):
    assert person(one) == person(other)


def test_what_is_seen_makes_another_person():
    assert (
        len({person(each) for each in ("bob@a.c", "b\u043eb@a.c", "b ob@a.c", "b\u0131b@a.c")}) == 4
    )


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


@for_all(quorums, st.sets(st.sampled_from("abcd")))
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


@for_all(
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


# --- who is missing


@for_all(quorums, st.sets(st.sampled_from("abcd")))
def test_as_many_are_missing_as_must_be_found(asked_for, yes):
    """By trying every way to seat those who approve: no way seats more of them."""
    places = [groups for groups, count in asked_for for _ in range(count)]

    def most(left, free):
        if not left:
            return 0
        fitting = {one for group in left[0] for one in PEOPLE[group]} & free
        seated = [1 + most(left[1:], free - {one}) for one in fitting]
        return max([most(left[1:], free), *seated])

    waiting = request(*asked_for, answers=[says(one) for one in sorted(yes)])
    found = sum(each.count for each in missing(waiting, PEOPLE))
    assert found == len(places) - most(places, frozenset(yes))
    assert approved(waiting, PEOPLE) is (found == 0)


def test_one_person_in_two_groups_counts_for_one_of_them():
    waiting = request((("leads",), 1), (("security",), 1), answers=[says("c")])
    assert sum(each.count for each in missing(waiting, PEOPLE)) == 1
    assert could_answer(waiting, PEOPLE) == ("a", "b", "d")
    after = answered(waiting, says("C"), PEOPLE, NOW)
    assert after.state is AccessState.PENDING
    assert answered(after, says("a"), PEOPLE, NOW).state is AccessState.APPROVED


@pytest.mark.parametrize("yes", ["ac", "ca"])
def test_places_are_found_and_not_guessed(yes):
    waiting = request((("leads",), 1), (("security",), 1), answers=map(says, yes))
    assert approved(waiting, PEOPLE), "whoever came first"


def test_those_the_agent_acts_for_are_not_among_those_who_could_answer():
    own = ask(subject=subject(humans=("A",)), terms=Terms((Quorum(("leads",)),)))
    assert could_answer(access_request(asked=own), PEOPLE) == ("b", "c")


@pytest.mark.parametrize("human", ["owner@acme.com", "deputy@acme.com", "the-first-actor"])
def test_nobody_in_the_chain_that_the_agent_acts_for_approves(human):
    chain = ("owner@acme.com", "deputy@acme.com", "the-first-actor")
    own = ask(subject=subject(humans=chain), terms=Terms((Quorum(("own",)),)))
    people = {"own": frozenset({*chain, "alice"})}
    assert isinstance(answered(access_request(asked=own), says(human), people, NOW), NotCounted)
    assert answered(access_request(asked=own), says("alice"), people, NOW).grant is None


# --- a mind that changes


def denials(count, quorum=2):
    asks = ask(terms=Terms((Quorum(("leads",), quorum, denials=count),)))
    return access_request(asked=asks)


def test_a_mind_may_change_until_it_is_decided_and_counts_once():
    current = denials(2)
    for yes in (True, False, True):
        current = answered(current, says("a", yes=yes), PEOPLE, NOW)
        assert current.state is AccessState.PENDING
        assert [(each.approver, each.approves) for each in current.answers] == [("a", yes)]
    assert answered(current, says("b"), PEOPLE, NOW).state is AccessState.APPROVED


def test_so_many_as_policy_says_must_deny():
    once = answered(denials(2), says("a", yes=False), PEOPLE, NOW)
    assert answered(once, says("a", yes=False), PEOPLE, NOW).state is AccessState.PENDING
    over = answered(once, says("b", yes=False, reason="No ticket"), PEOPLE, NOW)
    assert (over.state, over.why) == (AccessState.DENIED, "Denied by a, b: No ticket")


def test_once_it_is_decided_no_answer_moves_it():
    over = answered(denials(1), says("a", yes=False), PEOPLE, NOW)
    for yes in (True, False):
        said = answered(over, says("a", yes=yes), PEOPLE, NOW)
        assert isinstance(said, NotCounted)
        assert "denied already" in said.reason


# --- who is deactivated


def test_who_is_deactivated_answers_nothing_and_has_answered_nothing():
    gone = frozenset({"a"})
    waiting = request((("leads",), 2))
    refused = answered(waiting, says("A"), PEOPLE, NOW, gone)
    assert refused == NotCounted("A is deactivated: their answer does not count.")
    once = answered(waiting, says("a"), PEOPLE, NOW)
    after = answered(once, says("b"), PEOPLE, NOW, gone)
    assert (after.state, [each.approver for each in after.answers]) == (AccessState.PENDING, ["b"])
    assert answered(after, says("c"), PEOPLE, NOW, gone).state is AccessState.APPROVED


# --- more people, after some time


def climbing(*steps, count=1, **changes):
    steps = tuple(Escalation(after, groups) for after, groups in steps)
    terms = Terms((Quorum(("leads",), count, steps),))
    return access_request(asked=ask(terms=terms), **changes)


def test_the_next_group_may_answer_as_well_from_its_time_on_and_not_before():
    waiting = climbing((300.0, ("security",)))
    assert escalates_at(waiting) == NOW + 300
    assert escalated(waiting, NOW + 299) is None
    assert isinstance(answered(waiting, says("d"), PEOPLE, NOW + 299), NotCounted)
    later = escalated(waiting, NOW + 300)
    assert (asked(later), escalates_at(later)) == (("leads", "security"), None)
    assert answered(later, says("d"), PEOPLE, NOW + 300).state is AccessState.APPROVED
    assert answered(later, says("a"), PEOPLE, NOW + 300).state is AccessState.APPROVED


def test_nobody_more_answers_before_it_is_kept_that_they_are_asked():
    waiting = climbing((300.0, ("security",)))
    assert isinstance(answered(waiting, says("d"), PEOPLE, NOW + 500), NotCounted)


def test_how_many_are_enough_stays_as_it_was_when_more_are_asked():
    later = escalated(climbing((60.0, ("security",)), count=2), NOW + 60)
    once = answered(later, says("d"), PEOPLE, NOW + 60)
    assert (once.state, missing(once, PEOPLE)) == (
        AccessState.PENDING,
        (Quorum(("leads", "security")),),
    )
    assert answered(once, says("a"), PEOPLE, NOW + 60).state is AccessState.APPROVED


def test_steps_that_are_due_are_taken_together_and_what_has_ended_takes_none():
    steps = (60.0, ("security",)), (120.0, ("nobody",)), (180.0, ("unknown",))
    later = escalated(climbing(*steps), NOW + 120)
    assert (later.escalated, escalates_at(later)) == (120.0, NOW + 180)
    assert escalated(climbing(*steps, state=AccessState.DENIED), NOW + 120) is None
    assert escalated(later, NOW) is None, "a clock that was set back takes nothing back"


# --- less than policy offers


WINDOW = Terms((Quorum(("leads",), 2),), uses=5, life=600.0)


def offered(terms=WINDOW, **changes):
    return access_request(asked=ask("f1", terms=terms), **changes)


@pytest.mark.parametrize(
    ("less", "terms", "why"),
    [
        (Less(uses=6), WINDOW, "Policy offers 1 to 5 uses here, and 6 cannot be given."),
        (Less(uses=0), WINDOW, "Policy offers 1 to 5 uses here, and 0 cannot be given."),
        (Less(uses=2), Terms((Quorum(("leads",)),)), "Policy offers a single use here"),
        (Less(life=601.0), WINDOW, "Policy offers a life of 1 s to 10 min here, and 601 s"),
        (Less(life=0.5), WINDOW, "and 0.5 s cannot be given."),
        (Less(once=True), Terms((Quorum(("leads",)),), ahead=True), "There is no call yet"),
    ],
)
def test_nobody_gives_more_than_policy_offers(less, terms, why):
    said = answered(offered(terms), says("a", less=less), PEOPLE, NOW)
    assert why in said.reason


@pytest.mark.parametrize(
    "less",
    [
        Less(uses=True),
        Less(uses=1.0),
        Less(uses=1.5),
        Less(uses="2"),
        Less(uses=10**5000),
        Less(life=True),
        Less(life="60"),
        Less(life=float("nan")),
        Less(life=float("inf")),
        Less(life=60 + 1j),
        Less(once=1),
        Less(once=None),
        {"uses": 1},
        (1, None, False),
    ],
)
def test_what_is_no_number_gives_nothing_and_whoever_gave_it_is_told(less):
    said = answered(offered(), says("a", less=less), PEOPLE, NOW)
    assert "is not clear" in said.reason


whatever = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.complex_numbers(),
    st.lists(st.integers(), max_size=2),
)


@for_all(st.builds(Less, whatever, whatever, whatever) | whatever.filter(lambda it: it is not None))
def test_whatever_a_channel_gives_counts_as_it_can_be_kept_or_not_at_all(less):
    after = answered(offered(), says("a", less=less), PEOPLE, NOW)
    if isinstance(after, NotCounted):
        return
    assert read(type(after), after.id, 0, document(after)) == after
    assert given(after).uses in range(1, 6)
    assert 1.0 <= given(after).life <= 600.0


nothing_or = lambda those: st.none() | those
lesses = st.none() | st.builds(
    Less, nothing_or(st.integers(1, 5)), nothing_or(st.floats(1.0, 600.0)), st.booleans()
)


@for_all(lesses, lesses)
def test_of_what_several_give_the_least_holds(one, other):
    current = offered()
    for who, less in (("a", one), ("b", other)):
        current = answered(current, says(who, less=less), PEOPLE, NOW)
    assert current.state is AccessState.APPROVED
    gives, made = given(current), granted(current, "g-1", NOW)
    lots = [less for less in (one, other) if less is not None]
    assert gives.alone is any(each.once for each in lots)
    assert gives.uses == min(
        [5, *(1 if each.once else each.uses for each in lots if each.once or each.uses)]
    )
    assert gives.life == min([600.0, *(each.life for each in lots if each.life is not None)])
    assert (made.left, made.expires_at, made.given) == (gives.uses, NOW + gives.life, gives)


def test_who_thinks_better_of_it_gives_what_they_gave_last():
    current = offered()
    for less in (Less(uses=2), None):
        current = answered(current, says("a", less=less), PEOPLE, NOW)
    assert given(current) == Given(5, 600.0, alone=False)


def test_a_scope_that_is_given_for_one_call_covers_that_call_alone():
    current = answered(offered(), says("a"), PEOPLE, NOW)
    once = granted(answered(current, says("b", less=Less(once=True)), PEOPLE, NOW), "g-1", NOW)
    one = granted(answered(current, says("b", less=Less(uses=1)), PEOPLE, NOW), "g-2", NOW)
    assert once.tally == one.tally == {GrantState.ACTIVE: 1}
    assert covers(once, ask("f1", terms=WINDOW), NOW)
    assert not covers(once, ask("f2", terms=WINDOW), NOW)
    assert covers(one, ask("f2", terms=WINDOW), NOW), "a scope, if only for one call"


# --- a reason


@pytest.mark.parametrize("reason", ["", "  ", "...", "\u200b"])
def test_where_policy_wants_a_reason_nobody_approves_without_one(reason):
    asks = ask(terms=Terms((Quorum(("leads",)), Quorum(("security",), reason=True))))
    waiting = access_request(asked=asks)
    said = answered(waiting, says("a", reason=reason), PEOPLE, NOW)
    assert said == NotCounted("Policy wants a reason for this approval: say why it may go.")
    assert answered(waiting, says("a", reason="OPS-7"), PEOPLE, NOW).answers
    assert answered(waiting, says("a", yes=False), PEOPLE, NOW).state is AccessState.DENIED


# --- a mere sign, and what is taken back


def signed(*quorums, risk=Risk.WRITE, **changes):
    asked = ask(terms=Terms(tuple(quorums)))
    call = replace(asked.operation, risk=risk)
    return access_request(asked=replace(asked, operation=call), **changes)


SIGNS = Quorum(("leads",), signs=True)


@pytest.mark.parametrize("yes", [True, False])
def test_a_sign_is_an_answer_where_every_rule_says_so(yes):
    after = answered(signed(SIGNS), says("a", yes=yes, sign=True), PEOPLE, NOW)
    assert after.state is (AccessState.APPROVED if yes else AccessState.DENIED)


@pytest.mark.parametrize("yes", [True, False])
@pytest.mark.parametrize(
    "current",
    [
        signed(Quorum(("leads",))),
        signed(SIGNS, Quorum(("security",))),
        signed(SIGNS, risk=Risk.PRIVILEGED),
        signed(SIGNS, risk=Risk.DESTRUCTIVE),
        signed(SIGNS, risk=None),
        signed(),
    ],
)
def test_a_sign_is_none_elsewhere_whatever_policy_says(current, yes):
    assert not takes_signs(current)
    assert isinstance(answered(current, says("a", yes=yes, sign=True), PEOPLE, NOW), NotCounted)


def test_an_answer_is_taken_back_until_it_is_decided():
    once = answered(request((("leads",), 2)), says("a"), PEOPLE, NOW)
    after = taken_back(once, " A ", PEOPLE, NOW)
    assert (after.state, after.answers) == (AccessState.PENDING, ())
    assert isinstance(taken_back(after, "a", PEOPLE, NOW), NotCounted)
    over = answered(once, says("b"), PEOPLE, NOW)
    assert isinstance(taken_back(over, "a", PEOPLE, NOW), NotCounted)
    assert isinstance(taken_back(once, "a", PEOPLE, once.expires_at), NotCounted)
