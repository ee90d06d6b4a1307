"""Committed, then acknowledged: and where that takes too long, nobody is told more than is known."""

import pytest
from approvers.slack.answering import ALICE, SIGNED
from pytest_twisted import ensureDeferred
from support.listening import until
from twisted.internet.defer import Deferred

from jitgate.approvers.slack.about import DENY, DETAILS
from jitgate.approvers.slack.replies import COUNTED, LATE, NOT_TAKEN, NOTHING, WITHIN
from jitgate.values import AccessState


@ensureDeferred
async def test_slack_hears_that_it_was_taken_once_it_is_durable_and_not_before(site):
    message = await site.post()
    disk = site.held()
    clicking = site.begin_click(message)
    await until(lambda: disk.waiting)
    assert site.answered() == []
    assert not clicking.called
    disk.let()
    assert (await clicking).ok
    assert [each["approver"] for each in site.answered()] == [ALICE]


@ensureDeferred
async def test_what_takes_too_long_is_acknowledged_as_unknown_and_counts_once_it_is_kept(site):
    message = await site.post()
    disk = site.held()
    clicking = site.begin_click(message)
    await until(lambda: disk.waiting)
    site.clock.advance(WITHIN)
    assert (await clicking).ok
    assert await site.told() == [LATE]
    assert site.answered() == []
    disk.let()
    assert await site.told(count=2) == [LATE, COUNTED]
    assert [each["approver"] for each in site.answered()] == [ALICE]
    assert (await site.request()).state is AccessState.APPROVED


@ensureDeferred
async def test_somebody_is_told_things_in_the_order_in_which_they_came_about(site):
    """Else what was unknown for a while would be the last that they read."""
    message = await site.post()
    disk = site.held()
    site.slack.slow("chat.postEphemeral", seconds=0.3)
    clicking = site.begin_click(message)
    await until(lambda: disk.waiting)
    site.clock.advance(WITHIN)
    await clicking
    disk.let()
    assert await site.told(count=2) == [LATE, COUNTED]


@ensureDeferred
async def test_what_takes_too_long_and_then_fails_is_told_as_such(site):
    message = await site.post()
    disk = site.held()
    clicking = site.begin_click(message)
    await until(lambda: disk.waiting)
    site.clock.advance(WITHIN)
    await clicking
    site.records.failure = OSError(28, "No space left on device")
    disk.let()
    told = await site.told(count=2)
    assert "does not count" in told[1]
    assert (await site.request()).state is AccessState.PENDING
    site.records.failure = None


@ensureDeferred
async def test_a_slow_slack_keeps_no_click_waiting(site):
    message = await site.post()
    site.slack.slow("users.info", seconds=0.5)
    clicking = site.begin_click(message)
    await site.called("users.info")
    site.clock.advance(WITHIN)
    assert (await clicking).ok
    assert await site.told(count=2) == [LATE, COUNTED]
    assert await site.answers() == [(ALICE, True)]


@ensureDeferred
async def test_a_form_that_takes_too_long_closes_and_what_came_of_it_is_told(site):
    message = await site.post()
    await site.click(message, DENY)
    disk = site.held()
    submitting = site.begin_submit(values={"reason": "no"})
    await until(lambda: disk.waiting)
    site.clock.advance(WITHIN)
    assert (await submitting).json == {}
    disk.let()
    assert await site.told(count=2) == [LATE, COUNTED]
    assert (await site.request()).state is AccessState.DENIED


@ensureDeferred
async def test_what_came_long_ago_is_begun_and_not_waited_for(site):
    """It has waited for a thread: Slack waits no longer for it."""
    message = await site.post(terms=SIGNED)
    disk = site.held()
    reacting = site.begin_react(message)
    await until(lambda: disk.waiting)
    site.clock.advance(WITHIN + 1)
    assert (await reacting).ok
    disk.let()
    await until(lambda: len(site.answered()) == 1)
    await site.told(count=2)


@ensureDeferred
async def test_who_cannot_be_told_has_answered_all_the_same(site):
    message = await site.post()
    site.slack.fail("chat.postEphemeral")
    await site.click(message, name="carol")
    await until(lambda: site.slack.calls("chat.postEphemeral"))
    assert (await site.click(message)).ok
    assert await site.answers() == [(ALICE, True)]


@ensureDeferred
async def test_a_fault_is_told_without_what_it_holds(site, nothing_unnoticed):
    message = await site.post()
    site.posted(message).names = 7  # nothing that anybody foresaw
    assert (await site.click(message)).ok
    assert "has a fault" in (await site.told())[0]
    assert await site.answers() == []
    assert len(nothing_unnoticed) == 1
    nothing_unnoticed.clear()


@pytest.mark.parametrize("state", ["at once", "acknowledged"])
@ensureDeferred
async def test_after_a_kill_nothing_is_lost_and_nothing_doubled(site, state):
    """Between the commit and the acknowledgement, or after it: the store and the record know."""
    message = await site.post()
    disk = site.held()
    clicking = site.begin_click(message)
    await until(lambda: disk.waiting)
    disk.let()
    await until(lambda: site.answered())
    if state == "acknowledged":
        await clicking
    await site.restart()
    await clicking
    assert await site.answers() == [(ALICE, True)]
    again = await site.click(message)
    assert again.ok
    assert await site.answers() == [(ALICE, True)]
    assert len(await site.store.grants()) == 1
    assert "approved already" in (await site.told())[0]


@pytest.mark.parametrize("action", [DENY, DETAILS])
@ensureDeferred
async def test_nobody_is_told_that_a_form_that_opens_late_counts(site, action):
    message = await site.post()
    site.slack.slow("views.open", seconds=0.5)
    clicking = site.begin_click(message, action)
    await site.called("views.open")
    site.clock.advance(WITHIN)
    assert (await clicking).ok
    assert await site.told(count=2) == [LATE, NOTHING]
    assert await site.answers() == []


@ensureDeferred
async def test_a_store_that_is_slow_keeps_no_click_waiting_and_nothing_of_it_counts_later(site):
    message = await site.post()
    site.once.free = Deferred()
    clicking = site.begin_click(message)
    await until(lambda: site.is_due_after(WITHIN))
    site.clock.advance(WITHIN)
    answer = await clicking
    assert (answer.status, answer.again) == (503, True)
    assert await site.told() == [NOT_TAKEN]
    site.once.free.callback(None)
    site.once.free = None
    assert (await site.at_slack("replay", answer)).status == 403
    assert await site.answers() == []
    assert (await site.click(message)).ok
    assert [each["approver"] for each in site.answered()] == [ALICE]


@ensureDeferred
async def test_a_form_that_cannot_be_kept_stays_open_and_whoever_sent_it_is_told(site):
    await site.click(await site.post(), DENY)
    site.once.failure = OSError(28, "No space left on device")
    assert (await site.submit(values={"reason": "no"})).status == 503
    assert await site.told() == [NOT_TAKEN]
    assert await site.opened()
    assert await site.answers() == []
    site.once.failure = None
    assert (await site.submit(values={"reason": "no"})).ok
    assert await site.answers() == [(ALICE, False)]
