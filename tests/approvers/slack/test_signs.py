"""Reactions that are answers: where, whose, on which card, and what is left once they go."""

import pytest
from approvers.slack.answering import ALICE, BOB, LONG, SIGNED, TERMS, TWO
from pytest_twisted import ensureDeferred
from support.listening import until
from support.slack import Forgery
from twisted.internet import reactor
from twisted.internet.task import deferLater

from jitgate.approvers.slack.about import APPROVE, DENY
from jitgate.approvers.slack.signs import SETTLED
from jitgate.values import AccessState, Risk

YES, NO = "white_check_mark", "x"


@ensureDeferred
async def test_a_sign_is_an_answer_and_says_that_it_is_one(site):
    message = await site.post(terms=SIGNED)
    assert (await site.react(message)).ok
    assert await site.answers() == [(ALICE, True)]
    assert site.answered()[0]["sign"] is True
    await site.react(message, YES, "bob")
    assert (await site.request()).state is AccessState.APPROVED


@ensureDeferred
async def test_slack_hears_of_a_sign_once_it_is_durable(site):
    message = await site.post(terms=SIGNED)
    disk = site.held()
    reacting = site.begin_react(message)
    await until(lambda: disk.waiting)
    await deferLater(reactor, 0.1)
    assert not reacting.called
    disk.let()
    assert (await reacting).ok
    assert len(site.answered()) == 1


@ensureDeferred
async def test_a_sign_denies(site):
    message = await site.post(terms=SIGNED)
    await site.react(message, NO)
    await site.react(message, NO, "bob")
    assert (await site.request()).state is AccessState.DENIED


@pytest.mark.parametrize(
    "sign", ["heavy_check_mark", "+1", "eyes", "white_check_mark::skin-tone-2"]
)
@ensureDeferred
async def test_another_sign_says_nothing(site, sign):
    message = await site.post(terms=SIGNED)
    assert (await site.at_slack("event", site.reaction(message, sign))).ok
    assert await site.answers() == []
    assert site.slack.ephemerals() == []


@pytest.mark.parametrize(
    ("terms", "risk"),
    [(TERMS, Risk.WRITE), (SIGNED, Risk.PRIVILEGED), (SIGNED, Risk.DESTRUCTIVE), (SIGNED, None)],
)
@ensureDeferred
async def test_where_policy_or_the_risk_leaves_nothing_to_signs_they_are_none(site, terms, risk):
    message = await site.post(terms=terms, risk=risk)
    for sign in (YES, NO):
        await site.react(message, sign)
    assert await site.answers() == []
    assert "use the buttons" in (await site.told())[0]


@pytest.mark.parametrize("name", ["carol", "guest", "robot", "gone", "stranger"])
@ensureDeferred
async def test_a_sign_of_who_may_not_answer_is_none_and_on_record(site, name):
    message = await site.post(terms=SIGNED)
    await site.react(message, YES, name)
    assert await site.answers() == []
    assert site.refused()[0]["user"] == site.slack[name].id


@ensureDeferred
async def test_the_apps_own_sign_is_none_and_no_refusal_either(site):
    message = await site.post(terms=SIGNED)
    told = site.reaction(message, YES) | {"user": site.slack.facts.bot_user_id}
    assert (await site.at_slack("event", told)).ok
    assert await site.answers() == []
    assert site.refused() == []


@ensureDeferred
async def test_a_sign_on_another_message_is_none(site):
    message = await site.post(terms=SIGNED)
    told = await site.calls.call("chat.postMessage", channel=site.channel, text="Lunch?")
    other = {**message, "ts": told["ts"]}
    await site.react(other, YES)
    assert await site.answers() == []
    assert site.slack.ephemerals() == []


@ensureDeferred
async def test_a_sign_from_before_the_card_changed_is_none(site):
    message = await site.post(terms=SIGNED)
    site.posted(message).since = site.clock.seconds() - SETTLED + 1.5
    await site.react(message)
    assert await site.answers() == []
    assert "has changed" in (await site.told())[0]


@ensureDeferred
async def test_a_sign_while_the_card_changes_is_none(site):
    message = await site.post(terms=SIGNED)
    site.posted(message).version = None
    await site.react(message)
    assert await site.answers() == []


@ensureDeferred
async def test_a_card_that_changes_while_slack_tells_who_it_is_takes_no_sign(site):
    message = await site.post(terms=SIGNED)
    site.slack.slow("users.info", seconds=0.3)
    reacting = site.begin_react(message)
    await site.called("users.info")
    site.posted(message).since += 1
    await reacting
    assert await site.answers() == []


@ensureDeferred
async def test_what_a_card_hides_no_sign_approves(site):
    message = await site.post(terms=SIGNED, body=LONG)
    await site.react(message)
    assert await site.answers() == []
    assert "Open Details first" in (await site.told())[0]
    await site.react(message, NO)
    assert await site.answers() == [(ALICE, False)]


# --- taken back


@ensureDeferred
async def test_a_sign_that_goes_takes_its_answer_back_until_it_is_decided(site):
    message = await site.post(terms=SIGNED)
    await site.react(message)
    await site.react(message, remove=True)
    assert await site.answers() == []
    await site.react(message)
    await site.react(message, YES, "bob")
    await site.react(message, remove=True)
    assert (await site.request()).state is AccessState.APPROVED
    assert await site.answers() == [(ALICE, True), (BOB, True)]


@ensureDeferred
async def test_a_sign_that_goes_takes_back_no_answer_that_it_did_not_give(site):
    message = await site.post(terms=SIGNED)
    await site.react(message)
    await site.click(message, APPROVE)
    await site.react(message, remove=True)
    assert await site.answers() == [(ALICE, True)]
    await site.react(message, YES, "bob", remove=False)


@ensureDeferred
async def test_of_two_signs_that_contradict_each_other_the_denial_counts(site):
    message = await site.post(terms=SIGNED)
    await site.react(message, NO)
    await site.react(message, YES)
    assert await site.answers() == [(ALICE, False)]


@ensureDeferred
async def test_what_is_left_of_two_signs_brings_no_approval_back(site):
    message = await site.post(terms=SIGNED)
    await site.react(message, YES)
    await site.react(message, NO)
    await site.react(message, NO, remove=True)
    assert await site.answers() == []
    assert "taken back" in (await site.told())[0]


@ensureDeferred
async def test_of_two_signs_the_one_that_gave_nothing_goes_without_a_trace(site):
    message = await site.post(terms=SIGNED)
    await site.react(message, YES)
    await site.react(message, NO)
    await site.react(message, YES, remove=True)
    assert await site.answers() == [(ALICE, False)]


@ensureDeferred
async def test_a_sign_that_goes_while_the_card_changes_is_gone_all_the_same(site):
    message = await site.post(terms=SIGNED)
    await site.react(message)
    site.posted(message).version = None
    await site.react(message, remove=True)
    assert await site.answers() == []


# --- events that come twice, late, and in any order


@ensureDeferred
async def test_an_event_that_comes_twice_gives_one_answer(site):
    message = await site.post(terms=SIGNED)
    await site.react(message)
    assert (await site.at_slack("event", site.reaction(message, YES))).ok
    assert len(site.answered()) == 1


@ensureDeferred
async def test_an_event_that_comes_after_its_sign_went_counts_for_nothing(site):
    message = await site.post(terms=SIGNED)
    await site.react(message)
    await site.react(message, remove=True)
    await site.at_slack("event", site.reaction(message, YES))
    assert await site.answers() == []


@ensureDeferred
async def test_an_event_that_comes_after_its_sign_came_back_takes_nothing(site):
    message = await site.post(terms=SIGNED)
    await site.react(message)
    told = site.reaction(message, YES) | {"type": "reaction_removed"}
    await site.at_slack("event", told)
    assert await site.answers() == [(ALICE, True)]


@ensureDeferred
async def test_an_event_that_is_older_than_a_denial_approves_nothing(site):
    message = await site.post(terms=SIGNED)
    await site.react(message)
    site.clock.advance(60)
    await site.click(message, DENY)
    await site.submit()
    assert await site.answers() == [(ALICE, False)]
    await site.at_slack("event", site.reaction(message, YES))
    assert await site.answers() == [(ALICE, False)]


@ensureDeferred
async def test_a_sign_that_goes_while_slack_tells_who_gave_it_leaves_no_answer(site):
    message = await site.post(terms=SIGNED)
    site.slack.slow("users.info", seconds=0.3)
    reacting = site.begin_react(message)
    await site.called("users.info")
    await site.react(message, remove=True)
    await reacting
    assert await site.answers() == []


@ensureDeferred
async def test_where_slack_does_not_tell_what_stands_there_nothing_counts(site):
    message = await site.post(terms=SIGNED)
    site.slack.fail("reactions.get")
    await site.react(message)
    assert await site.answers() == []
    assert "does not tell" in (await site.told())[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told["event"].update(event_ts="later"),
        lambda told: told["event"].update(item=None),
        lambda told: told["event"]["item"].update(type="file"),
        lambda told: told["event"].update(reaction=["x"]),
        lambda told: told["event"]["item"].update(ts="٣"),
    ],
)
@ensureDeferred
async def test_an_event_that_cannot_be_read_says_nothing(site, change):
    message = await site.post(terms=SIGNED)
    assert (await site.react(message, forgery=Forgery(change=change))).ok
    assert await site.answers() == []


@ensureDeferred
async def test_slack_sends_an_event_again_that_was_not_acknowledged_and_it_counts_once(site):
    message = await site.post(terms=TWO)
    message = await site.post("ar-2", terms=SIGNED)
    site.slack.courier.retries = (0.3,)
    site.once.failure = OSError()
    begun = site.begin_react(message)
    await site.noted_as("at present")
    site.once.failure = None
    answer = await begun
    assert answer.ok
    assert [each.status for each in answer.earlier] == [503]
    assert await site.answers("ar-2") == [(ALICE, True)]
    assert len(site.answered()) == 1
