"""Clicks at a card, signed as Slack signs them: whose count, for what, and what is told of them."""

from dataclasses import replace

import pytest
from approvers.slack.answering import ALICE, BOB, LONG, TWO
from pytest_twisted import ensureDeferred
from support.access import subject
from support.listening import until
from support.slack import Forgery

from jitgate.approvers.slack.about import DENY, DETAILS, LESS, PAGES, REVOKE
from jitgate.approvers.slack.cards import AGAIN
from jitgate.approvers.slack.replies import UNKEPT, UNRECORDED
from jitgate.errors import StoreDown
from jitgate.values import AccessState, GrantState, Less, Quorum, Terms

REASONED = Terms((Quorum(("it-leads",), reason=True),))
WINDOW = Terms((Quorum(("it-leads",)),), uses=5, life=300.0)


@ensureDeferred
async def test_a_click_of_who_may_answer_is_their_answer(site):
    message = await site.post()
    answer = await site.click(message)
    assert answer.ok
    assert answer.body == b""
    request = await site.request()
    assert request.state is AccessState.APPROVED
    assert [(each.approver, each.channel) for each in request.answers] == [(ALICE, "slack")]
    assert [each["approver"] for each in site.answered()] == [ALICE]
    assert site.slack.ephemerals() == []
    assert site.noted == []


@ensureDeferred
async def test_whom_the_configuration_names_is_known_by_that(site):
    message = await site.post()
    assert (await site.click(message, name="bob")).ok
    assert await site.answers() == [(BOB, True)]


@ensureDeferred
async def test_the_second_of_two_decides_and_one_person_is_one(site):
    message = await site.post(terms=TWO)
    await site.click(message)
    await site.click(message)
    assert (await site.request()).state is AccessState.PENDING
    await site.click(message, name="bob")
    assert (await site.request()).state is AccessState.APPROVED
    assert await site.answers() == [(ALICE, True), (BOB, True)]


@ensureDeferred
async def test_who_is_denied_is_told_why_by_a_form(site):
    message = await site.post()
    assert (await site.click(message, DENY)).ok
    assert (await site.request()).state is AccessState.PENDING
    assert (await site.submit(values={"reason": "Not today."})).ok
    request = await site.request()
    assert request.state is AccessState.DENIED
    assert request.answers[0].reason == "Not today."
    assert site.slack.views(site.slack["alice"]) == []


@ensureDeferred
async def test_where_policy_wants_a_reason_a_form_asks_for_it(site):
    message = await site.post(terms=REASONED)
    await site.click(message)
    assert await site.answers() == []
    answer = await site.submit(values={"reason": " . "})
    assert "wants a reason" in answer.json["errors"]["reason"]
    assert await site.answers() == []
    assert (await site.submit(values={"reason": "Ticket 7"})).json == {}
    assert (await site.request()).answers[0].reason == "Ticket 7"


@ensureDeferred
async def test_less_is_given_as_it_was_filled_in(site):
    message = await site.post(terms=WINDOW)
    await site.click(message, LESS)
    wrong = await site.submit(values={"kind": "window", "uses": "9", "life": "1m"})
    assert wrong.json["errors"].keys() == {"uses"}
    assert (await site.submit(values={"kind": "window", "uses": "2", "life": "1m"})).json == {}
    request = await site.request()
    assert request.answers[0].less == Less(2, 60.0)
    made = await site.store.grant(request.grant)
    assert (made.given.uses, made.given.life) == (2, 60.0)


# --- what nobody gets


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("carol", "in none of the groups"),
        ("guest", "guest"),
        ("single", "guest"),
        ("stranger", "another Slack workspace"),
        ("visitor", "another Slack workspace"),
        ("robot", "bot"),
        ("gone", "deactivated"),
        ("nomail", "no e-mail address"),
        ("unproven", "no e-mail address"),
    ],
)
@ensureDeferred
async def test_who_may_not_answer_is_told_why_and_that_is_on_record(site, name, why):
    message = await site.post()
    slack, person = site.slack, site.slack[name]
    if name not in {"carol", "gone"}:  # they all have the address of somebody who may
        slack.change(slack["alice"], email="alice@elsewhere.example")
        slack.change(person, **({} if name == "nomail" else {"email": ALICE}))
    forgery = {}
    if name == "stranger":  # a card in a channel that two workspaces share
        forgery["forgery"] = Forgery(change=lambda payload: payload["user"].pop("team_id"))
    answer = await site.click(message, name=name, **forgery)
    assert answer.ok
    assert await site.answers() == []
    (refused,) = site.refused()
    assert why in refused["why"]
    assert (refused["user"], refused["what"]) == (person.id, "approve")
    assert refused["access_request"] == "ar-1"
    assert why in (await site.told(name))[0]


@ensureDeferred
async def test_nobody_approves_what_their_own_agent_asks(site):
    message = await site.post()
    request = await site.request()
    own = replace(request.ask, subject=subject(humans=(ALICE,)))
    await site.store.commit([replace(request, ask=own)])
    await site.repost(message)
    await site.click(message)
    assert await site.answers() == []
    assert "an agent of theirs" in (await site.told())[0]


@ensureDeferred
async def test_an_address_that_the_configuration_gives_to_somebody_is_nobody_elses(site):
    message = await site.post()
    site.slack.change(site.slack["carol"], email=BOB.upper())
    await site.click(message, name="carol")
    assert await site.answers() == []
    assert "somebody else's" in site.refused()[0]["why"]


@ensureDeferred
async def test_an_address_that_two_have_is_not_that_of_whom_slack_does_not_find_by_it(site):
    message = await site.post()
    site.slack.change(site.slack["carol"], email=ALICE)
    await site.click(message, name="carol")
    assert await site.answers() == []
    assert "somebody else's" in site.refused()[0]["why"]


@ensureDeferred
async def test_who_somebody_is_is_asked_anew_when_they_decide(site):
    message = await site.post(terms=WINDOW)
    await site.click(message, LESS)
    site.slack.change(site.slack["alice"], email="alice@elsewhere.example")
    answer = await site.submit(values={"kind": "once", "uses": "5", "life": "5m"})
    assert answer.ok
    site.slack.change(site.slack["alice"], email=ALICE, deleted=True)
    await site.click(message)
    assert await site.answers() == []


@ensureDeferred
async def test_what_the_configuration_says_of_people_can_be_replaced(site):
    message = await site.post(terms=TWO)
    site.who.adopt({site.slack["carol"].id: BOB})
    await site.click(message, name="carol")
    assert await site.answers() == [(BOB, True)]
    await site.click(message, name="bob")
    assert await site.answers() == [(BOB, True)]


# --- which card


@ensureDeferred
async def test_a_card_that_has_changed_since_counts_for_nothing(site):
    message = await site.post()
    site.posted(message).names = {"userId": "mallory@acme.com"}
    await site.repost(message)
    await site.click(message, as_shown=True)
    assert await site.answers() == []
    assert "has changed" in (await site.told())[0]
    assert "has changed" in site.refused()[0]["why"]


@ensureDeferred
async def test_a_card_that_changes_at_the_moment_counts_for_nothing(site):
    message = await site.post()
    site.posted(message).version = None
    await site.click(message)
    assert await site.answers() == []


@ensureDeferred
async def test_a_click_that_is_faster_than_slacks_answer_to_the_post_waits_for_it(site):
    message = await site.post()
    key = message["channel"], message["ts"]
    post = site.posted(message)
    site.board.posts = {("", ""): replace(post, since=0.0)}
    clicking = site.begin_click(message)
    await until(lambda: site.is_due_after(AGAIN))
    site.board.posts = {key: post}
    site.clock.advance(AGAIN)
    assert (await clicking).ok
    assert await site.answers() == [(ALICE, True)]


@pytest.mark.parametrize("whose", ["another of ours", "no message of ours"])
@ensureDeferred
async def test_a_button_counts_only_on_the_message_of_its_request(site, whose):
    message, other = await site.post(), await site.post("ar-2")
    stamp = other["ts"] if whose == "another of ours" else "1700000000.000100"

    def moved(payload):
        payload["container"]["message_ts"] = stamp

    await site.click(message, forgery=Forgery(change=moved))
    assert await site.answers() == []
    assert await site.answers("ar-2") == []
    assert "no card" in site.refused()[0]["why"]


@ensureDeferred
async def test_a_form_counts_only_for_the_card_that_it_was_opened_from(site):
    message = await site.post()
    await site.click(message, DENY)
    site.posted(message).names = {"userId": "mallory@acme.com"}
    await site.repost(message)
    answer = await site.submit(values={"reason": "no"})
    assert "has changed" in answer.json["errors"]["reason"]
    assert await site.answers() == []


@ensureDeferred
async def test_what_has_ended_is_answered_no_more(site):
    message = await site.post()
    await site.click(message)
    await site.click(message, name="bob")
    assert await site.answers() == [(ALICE, True)]
    assert "approved already" in (await site.told("bob"))[0]


@pytest.mark.parametrize(
    "garbled",
    [
        lambda payload: payload["actions"].append(payload["actions"][0]),
        lambda payload: payload["actions"][0].update(value="{}"),
        lambda payload: payload["actions"][0].update(value=None),
        lambda payload: payload.pop("container"),
        lambda payload: payload["container"].update(message_ts="now"),
        lambda payload: payload.update(container=[]),
        lambda payload: payload.pop("trigger_id"),
        lambda payload: payload["actions"][0].update(action_id="jitgate.everything"),
    ],
)
@ensureDeferred
async def test_what_cannot_be_read_does_nothing_and_is_on_record(site, garbled):
    message = await site.post()
    answer = await site.click(message, forgery=Forgery(change=garbled))
    assert answer.status == 200
    assert await site.answers() == []
    assert len(site.refused()) == 1


# --- what the card hides


@ensureDeferred
async def test_what_a_card_hides_is_approved_only_by_who_has_opened_details(site):
    message = await site.post(terms=TWO, body=LONG)
    await site.click(message)
    assert "Open Details first" in (await site.told())[0]
    await site.click(message, LESS)
    assert site.slack.views(site.slack["alice"]) == []
    await site.click(message, DETAILS)
    assert LONG[:50] in f"{await site.opened()}"
    await site.click(message)
    assert await site.answers() == [(ALICE, True)]
    await site.click(message, name="bob")
    assert await site.answers() == [(ALICE, True)]


@ensureDeferred
async def test_details_that_did_not_open_were_not_opened(site):
    message = await site.post(body=LONG)
    await site.click(message, DETAILS, late=True)
    assert "too long" in (await site.told())[0]
    await site.click(message)
    assert await site.answers() == []


@ensureDeferred
async def test_after_a_restart_details_are_opened_again(site):
    message = await site.post(body=LONG)
    await site.click(message, DETAILS)
    await site.restart()
    await site.click(message)
    assert await site.answers() == []


@ensureDeferred
async def test_details_are_read_page_by_page(site):
    message = await site.post(body="y" * 60_000)
    await site.click(message, DETAILS)
    first = await site.opened()
    assert (await site.at_slack("click_in", first, PAGES[2], site.slack["alice"])).ok
    second = await site.opened()
    assert second["id"] == first["id"]
    assert second["blocks"] != first["blocks"]
    assert (await site.at_slack("click_in", second, PAGES[3], site.slack["alice"])).ok
    assert await site.opened() != second


@ensureDeferred
async def test_a_form_that_slack_does_not_open_is_told_of(site):
    message = await site.post()
    site.slack.fail("views.open")
    await site.click(message, DENY)
    assert "does not open" in (await site.told())[0]
    await site.click(message, DENY, late=True)
    assert "too long" in (await site.told(count=2))[1]
    assert await site.answers() == []


# --- taking a grant back


@ensureDeferred
async def test_a_grant_is_revoked_by_who_could_have_given_it(site):
    message = await site.post()
    await site.click(message)
    key = (await site.request()).grant
    await site.repost(message)
    await site.click(message, REVOKE, "carol")
    assert "none of the groups" in (await site.told("carol"))[0]
    await site.click(message, REVOKE, "bob")
    assert (await site.store.grant(key)).state is GrantState.ACTIVE
    assert (await site.submit("bob", {"reason": "A slip."})).json == {}
    revoked = await site.store.grant(key)
    assert revoked.state is GrantState.REVOKED
    assert revoked.why == f"Revoked by {BOB}: A slip."


# --- what is down


@ensureDeferred
async def test_what_cannot_be_put_on_record_does_not_count_and_that_is_told(site):
    message = await site.post()
    site.records.failure = OSError(28, "No space left on device")
    assert (await site.click(message)).ok
    assert (await site.told()) == [UNRECORDED]
    assert await site.answers() == []
    site.records.failure = None


@ensureDeferred
async def test_a_store_that_is_down_is_told_of_and_nobody_is_told_that_it_counts(site):
    message = await site.post()
    site.store.failure = StoreDown("The disk is gone.")
    assert (await site.click(message)).ok
    assert (await site.told()) == [UNKEPT]
    site.store.failure = None
    assert await site.answers() == []


@pytest.mark.parametrize("how", ["fail", "limit", "lose"])
@ensureDeferred
async def test_where_slack_does_not_tell_who_it_is_the_click_does_not_count(site, how):
    message = await site.post()
    getattr(site.slack, how)("users.info")
    await site.click(message)
    assert await site.answers() == []
    assert "does not tell" in (await site.told())[0]
    await site.click(message)
    assert await site.answers() == [(ALICE, True)]
