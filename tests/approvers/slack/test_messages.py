"""What is shown in Slack, and when: the card, its updates, its thread, and what repairs them."""

from dataclasses import replace

import pytest
from approvers.slack.site import (
    ALICE,
    ALL,
    BOB,
    BOSS,
    LEADS,
    SHOWING,
    Site,
    answered,
    approved,
    heading,
    used,
)  # fmt: skip
from pytest_twisted import async_yield_fixture, ensureDeferred
from support.access import NOW, access_request, ask
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from jitgate.approvers.slack.messages import PATIENCE, SWEEP
from jitgate.approvers.slack.noted import CLAIM
from jitgate.approvers.slack.places import Reminder, Room
from jitgate.errors import ApproversUnreachable
from jitgate.interfaces import IGrantChannel
from jitgate.values import AccessState, Escalation, GrantState, Quorum, Terms

DENIED = AccessState.DENIED


@async_yield_fixture
async def site():
    site = Site()
    await site.open()
    yield site
    await site.stop()


@ensureDeferred
async def test_it_provides_the_port(site):
    assert verifyObject(IGrantChannel, site.channel)


# --- the card


@ensureDeferred
async def test_a_request_is_posted_once_where_its_group_is_asked(site):
    request = await site.asked()
    assert heading(site.only()).endswith("Deactivate user")
    assert not site.slack.cards(ALL)
    for _ in range(3):
        await site.channel.tell(request)
    site.later(SWEEP * 3)
    assert site.slack.counted()["chat.postMessage"] == 2  # the card, and who is asked
    assert site.slack.counted()["chat.update"] == 0


@ensureDeferred
async def test_slack_makes_nothing_of_what_is_in_a_text(site):
    await site.asked()
    for method, told in site.slack.calls:
        assert method == "chat.postMessage"
        assert told["parse"] == "none"
        assert told["unfurl_links"] is told["unfurl_media"] is False
        assert "link_names" not in told


@ensureDeferred
async def test_groups_of_several_rooms_are_asked_in_each_and_those_without_in_the_default(site):
    quorums = (Quorum(("it-leads", "bosses")), Quorum(("others", "more")))
    await site.asked(asked=ask(terms=Terms(quorums)))
    assert [len(site.slack.cards(room)) for room in (LEADS, BOSS, ALL)] == [1, 1, 1]


@ensureDeferred
async def test_where_policy_says_so_each_person_is_written_to_alone(site):
    await site.asked(asked=ask(terms=Terms((Quorum(("it-leads",), privately=True),))))
    assert not site.slack.cards(LEADS)
    assert [len(site.slack.cards(room)) for room in ("D1", "D2")] == [1, 1]
    assert site.slack.counted()["users.lookupByEmail"] == 2
    await site.asked("ar-2", asked=ask("f2", terms=Terms((Quorum(("it-leads",), privately=True),))))
    assert site.slack.counted()["users.lookupByEmail"] == 2  # it is known for a while


@ensureDeferred
async def test_whom_the_configuration_names_need_not_be_looked_up(site):
    site.channel.adopt(replace(SHOWING, users={"Alice@Acme.com": "U9", BOB: "U2"}))
    await site.asked(asked=ask(terms=Terms((Quorum(("it-leads",), privately=True),))))
    assert len(site.slack.cards("D9")) == 1
    assert site.slack.counted()["users.lookupByEmail"] == 0


@ensureDeferred
async def test_it_is_updated_when_it_changes_and_a_hundred_changes_are_few_updates(site):
    request = await site.asked()
    for number in range(2, 102):
        request = await site.told(replace(request, asked=number))
    site.later(10)
    assert site.slack.counted()["chat.update"] < 20
    assert "Asked 101 times." in f"{site.only()}"


@ensureDeferred
async def test_what_has_ended_gets_its_final_form_once(site):
    request = await site.asked()
    await site.told(replace(request, state=AccessState.EXPIRED))
    assert "Expired" in heading(site.only())
    calls = len(site.slack.calls)
    site.later(SWEEP * 3)
    assert len(site.slack.calls) == calls
    (post,) = await site.posts.of("slack", "ar-1")
    assert post.is_over


@ensureDeferred
async def test_what_ended_before_it_was_shown_is_not_shown(site):
    await site.asked(state=DENIED)
    site.later(SWEEP)
    assert site.slack.calls == []


@ensureDeferred
async def test_names_are_looked_up_once_and_stay_on_every_card(site):
    site.names = {"userId": "jane@acme.com"}
    quorums = (Quorum(("it-leads",)), Quorum(("bosses",)))
    request = await site.asked(asked=ask(terms=Terms(quorums)))
    site.names = {"userId": "somebody else"}
    request = await site.told(answered(request))
    await site.channel.stop()
    site.channel = await site.started()
    await site.told(replace(request, asked=7))
    site.later(5)
    assert site.looked_up == ["ar-1"]
    versions = set()
    for room in (LEADS, BOSS):
        assert "jane@acme.com" in f"{site.only(room)}"
        posted = await site.channel.at(room, site.only(room)["ts"])
        versions.add(posted.version)
        assert posted.names == {"userId": "jane@acme.com"}
        assert posted.request == "ar-1"
    assert len(versions) == 1


@ensureDeferred
async def test_it_tells_which_card_a_message_is_and_since_when(site):
    await site.asked()
    site.later(20)
    posted = await site.channel.at(LEADS, site.only()["ts"])
    assert posted.since == NOW
    assert [posted] == await site.channel.shown("ar-1")
    assert await site.channel.at(LEADS, "1.1") is None
    assert await site.channel.at(ALL, site.only()["ts"]) is None


@ensureDeferred
async def test_a_click_that_is_faster_than_the_answer_finds_the_version(site):
    seen = []

    def after(method, told):
        seen.extend(site.posts._kept.values())

    site.slack.after = after
    await site.asked()
    (early, *_) = await site.channel.shown("ar-1")
    assert seen[0].place == ""
    assert f'"version":"{early.version}"' in seen[0].document


# --- the thread


@ensureDeferred
async def test_the_thread_tells_what_happened_in_order_and_each_once(site):
    request = await site.asked()
    site.clock.advance(5)
    after, given = approved(request)
    await site.told(after, given)
    kept = await site.store.grant(given.id)
    gone, use = used(kept)
    await site.keep(gone, use)
    await site.channel.tell_grant(gone, use)
    site.later(SWEEP * 2)
    assert await site.posts.behind("slack", NOW + 10**6) == []
    assert site.thread() == [
        "Asked: <S0LEADS>",
        f"{ALICE} approved, 2026-11-24 02:06:05 UTC by cli",
        "✅ Approved",
        "The call was sent, and answered with 200 after 0.8 seconds, 2026-11-24 02:06:06 UTC",
    ]
    assert "Used" in f"{site.only()}"


@ensureDeferred
async def test_an_answer_that_was_taken_back_is_told_of_and_one_that_changed_is_not(site):
    quorum = Terms((Quorum(("it-leads",), 2),))
    request = await site.asked(asked=ask(terms=quorum))
    request = await site.told(answered(request, reason="go"))
    site.later(5)
    request = await site.told(replace(request, answers=()))
    site.later(5)
    request = await site.told(answered(request, BOB, at=NOW + 9))
    site.later(5)
    changed = replace(request, answers=())
    await site.told(answered(changed, BOB, approves=False, at=NOW + 12))
    site.later(5)
    assert [line.partition(",")[0] for line in site.thread()[1:]] == [
        f"{ALICE} approved",
        f"The answer of {ALICE} counts no longer: it was taken back",
        f"{BOB} approved",
        f"{BOB} denied",
    ]


@pytest.mark.parametrize(
    ("tally", "why", "told"),
    [
        ({GrantState.REVOKED: 1}, "Revoked by carol@acme.com: no", "Revoked by carol@acme.com: no"),
        ({GrantState.EXPIRED: 1}, "It was not used in time.", "It was not used in time."),
    ],
)
@ensureDeferred
async def test_what_becomes_of_a_grant_is_told(site, tally, why, told):
    after, given = approved(await site.asked())
    await site.told(after, given)
    kept = await site.store.grant(given.id)
    (ended,) = await site.keep(replace(kept, tally=tally, why=why))
    await site.channel.tell_grant(ended, None)
    site.later(5)
    assert site.thread()[-1] == told


@ensureDeferred
async def test_an_escalation_is_told_and_shown_where_the_others_are_asked(site):
    quorum = Quorum(("it-leads",), escalations=(Escalation(60.0, ("bosses", "helpers")),))
    site.channel.adopt(replace(SHOWING, rooms={**SHOWING.rooms, "helpers": Room(LEADS, "S0HELP")}))
    request = await site.asked(asked=ask(terms=Terms((quorum,))))
    site.later(60)
    await site.told(replace(request, escalated=60.0))
    site.later(5)
    assert len(site.slack.cards(BOSS)) == len(site.slack.cards(LEADS)) == 1
    told = "Asked as well since 2026-11-24 02:07:00 UTC: bosses, helpers"
    assert site.thread(LEADS)[1:] == [f"{told} <S0HELP>"]
    assert site.thread(BOSS) == [told]


@ensureDeferred
async def test_a_thread_ends_somewhere(site):
    after, given = approved(await site.asked())
    uses = [replace(used(given, NOW + n)[1], id=f"x-{n}") for n in range(150)]
    await site.told(after, replace(given, tally={GrantState.SPENT: 150}), *uses)
    site.later(SWEEP * 4)
    assert len(site.thread()) == 101
    assert site.thread()[-1] == "More happens than is told here: all of it is on record."


HOSTILE = "<!channel> <@U1> *x* :tada: @here https://evil.example `x` \u202e\n\x00"


@ensureDeferred
async def test_nothing_that_others_wrote_is_a_mention_or_is_formatted(site):
    rule = ask(terms=Terms((Quorum(("it-leads", HOSTILE)),)), reason=HOSTILE)
    request = await site.asked(asked=rule)
    after, given = approved(answered(request, HOSTILE, reason=HOSTILE))
    await site.told(after, given)
    kept = await site.store.grant(given.id)
    (ended,) = await site.keep(replace(kept, tally={GrantState.REVOKED: 1}, why=HOSTILE))
    await site.channel.tell_grant(ended, None)
    site.later(30)
    for _, told in site.slack.calls:
        for mark in ("<!", "<@", "*x*", ":tada:", " @here", "`x`", "\u202e", "\x00"):
            assert mark not in told.get("text", "")
        kinds = {each["type"] for each in every_element(told.get("blocks", []))}
        assert kinds <= {"text", "date", "usergroup", "plain_text", "button"}
        mentions = [e for e in every_element(told.get("blocks", [])) if e["type"] == "usergroup"]
        assert {each["usergroup_id"] for each in mentions} <= {"S0LEADS"}


def every_element(blocks):
    for block in blocks:
        yield from every_leaf(block)


def every_leaf(part):
    inner = part.get("elements")
    if inner is None:
        kind = part["type"]
        yield part if kind != "header" else part["text"]
        return
    for each in inner:
        yield from every_leaf(each)


# --- the reminder


REMINDING = replace(SHOWING, reminder=Reminder(1 / 3, 30.0))


@async_yield_fixture
async def reminding():
    site = Site(REMINDING)
    await site.open()
    yield site
    await site.stop()


@ensureDeferred
async def test_people_are_reminded_once_when_a_third_is_left(reminding):
    request = await reminding.asked()
    reminding.later(399)
    assert len(reminding.thread()) == 1
    reminding.later(1)
    assert reminding.thread()[1:] == [
        "⏰ 1 approval is missing. It expires 2026-11-24 02:16:00 UTC <S0LEADS>"
    ]
    aloud = [told for _, told in reminding.slack.calls if told.get("reply_broadcast")]
    assert len(aloud) == 1
    await reminding.channel.stop()
    reminding.channel = await reminding.started()
    await reminding.told(replace(request, asked=2))
    reminding.later(190)
    assert len(reminding.thread()) == 2


@ensureDeferred
async def test_nobody_is_reminded_of_what_was_decided(reminding):
    request = await reminding.asked()
    await reminding.told(*approved(request))
    reminding.later(600)
    assert not any("⏰" in line for line in reminding.thread())


@ensureDeferred
async def test_a_request_too_short_for_a_reminder_has_none(reminding):
    await reminding.asked(expires_at=NOW + 30)
    reminding.later(29)
    assert len(reminding.thread()) == 1


@ensureDeferred
async def test_a_reminder_comes_in_time_after_a_restart_too(reminding):
    await reminding.asked()
    await reminding.channel.stop()
    reminding.later(100)
    reminding.channel = await reminding.started()
    reminding.later(299)
    assert len(reminding.thread()) == 1
    reminding.later(1)
    assert len(reminding.thread()) == 2


# --- what repairs it


@ensureDeferred
async def test_what_changed_while_nobody_told_is_shown_within_a_minute(site):
    request = await site.asked()
    await site.keep(replace(request, state=DENIED))
    await site.keep(access_request("ar-2", ask("f2")))
    site.later(SWEEP)
    assert "Denied" in heading(site.slack.cards(LEADS)[0])
    assert len(site.slack.cards(LEADS)) == 2


@ensureDeferred
async def test_what_changed_while_the_gateway_was_down_is_shown_at_its_start(site):
    request = await site.asked()
    await site.channel.stop()
    with pytest.raises(ApproversUnreachable):
        await site.channel.tell(request)
    await site.keep(replace(request, state=DENIED))
    await site.keep(access_request("ar-2", ask("f2")))
    site.channel = await site.started()
    assert "Denied" in heading(site.slack.cards(LEADS)[0])
    assert len(site.slack.cards(LEADS)) == 2


@pytest.mark.parametrize("word", ["message_not_found", "cant_update_message"])
@ensureDeferred
async def test_a_message_that_somebody_deleted_is_posted_again_but_not_for_ever(site, word):
    request = await site.asked()
    for number in range(2, 9):
        site.order("chat.update", word)
        request = await site.told(replace(request, asked=number))
        site.later(70)
    assert len(site.slack.cards(LEADS)) == 4
    request = await site.told(replace(request, state=DENIED))
    site.later(SWEEP)
    (post,) = await site.posts.of("slack", "ar-1")
    assert post.is_over


@ensureDeferred
async def test_a_new_card_in_the_place_of_a_deleted_one_has_the_whole_history(site):
    request = await site.asked(asked=ask(terms=Terms((Quorum(("it-leads",), 2),))))
    request = await site.told(answered(request))
    site.later(5)
    site.slack.rooms[LEADS].clear()
    await site.told(replace(request, asked=2))
    site.later(5)
    assert len(site.thread()) == 2


@ensureDeferred
async def test_what_ended_is_not_posted_again_where_its_message_is_gone(site):
    request = await site.asked()
    site.slack.rooms[LEADS].clear()
    await site.told(replace(request, state=DENIED))
    site.later(SWEEP * 3)
    assert not site.slack.cards(LEADS)
    (post,) = await site.posts.of("slack", "ar-1")
    assert post.is_over


@pytest.mark.parametrize("word", ["channel_not_found", "is_archived", "not_in_channel"])
@ensureDeferred
async def test_a_room_that_refuses_is_tried_now_and_again_while_there_is_something_to_ask(
    site, word
):
    site.slack.closed[LEADS] = word
    request = await site.asked()
    site.later(300)
    assert 3 <= len(site.slack.calls) <= 5
    del site.slack.closed[LEADS]
    site.later(300)
    assert len(site.slack.cards(LEADS)) == 1
    await site.told(replace(await site.store.request(request.id), state=DENIED))
    assert "Denied" in heading(site.only())


@pytest.mark.parametrize(
    "told",
    [{"deleted": True}, {"is_bot": True}, {"is_stranger": True}, {"is_email_confirmed": False}],
)
@ensureDeferred
async def test_nothing_is_shown_to_whom_slack_does_not_know_well(site, told):
    site.slack.profiles[ALICE] = told
    await site.asked(asked=ask(terms=Terms((Quorum(("it-leads",), privately=True),))))
    assert "D1" not in site.slack.rooms
    assert len(site.slack.cards("D2")) == 1


@ensureDeferred
async def test_who_is_not_in_slack_keeps_nobody_else_from_being_asked(site):
    del site.slack.people[ALICE]
    await site.asked(asked=ask(terms=Terms((Quorum(("it-leads",), privately=True),))))
    assert len(site.slack.cards("D2")) == 1
    site.later(SWEEP)
    site.slack.people[ALICE] = "U1"
    site.later(SWEEP * 2)
    assert len(site.slack.cards("D1")) == 1


# --- outages and limits


@ensureDeferred
async def test_an_outage_of_minutes_loses_nothing_and_is_told(site):
    request = await site.asked()
    site.slack.is_down = True
    await site.told(*approved(request))
    await site.asked("ar-2", asked=ask("f2"))
    site.later(300)
    assert site.channel.down().startswith("Slack does not answer: timed out. So it has been since")
    assert site.channel.waiting == 2
    calls = len(site.slack.calls)
    assert calls < 60
    site.slack.is_down = False
    site.later(70)
    assert site.channel.down() is None
    assert site.channel.waiting == 0
    assert "Approved" in heading(site.slack.cards(LEADS)[0])
    assert len(site.slack.cards(LEADS)) == 2


@pytest.mark.parametrize("word", ["invalid_auth", "missing_scope", "account_inactive"])
@ensureDeferred
async def test_an_app_that_may_do_nothing_is_told_and_tried_again(site, word):
    site.order("chat.postMessage", *[word] * 3)
    await site.asked()
    assert word in site.channel.down()
    site.later(20)
    assert site.channel.down() is None
    assert len(site.slack.cards(LEADS)) == 1


@ensureDeferred
async def test_retry_after_holds_the_method_and_no_other(site):
    request = await site.asked()
    site.later(5)
    site.order("chat.postMessage", "busy")
    await site.asked("ar-2", asked=ask("f2"))
    await site.told(replace(request, state=DENIED))
    calls = site.slack.counted()["chat.postMessage"]
    site.later(6)
    assert site.slack.counted()["chat.postMessage"] == calls
    assert "Denied" in heading(site.slack.cards(LEADS)[0])
    site.later(2)
    assert len(site.slack.cards(LEADS)) == 2


@ensureDeferred
async def test_two_hundred_requests_in_a_minute_all_come_at_slacks_pace(site):
    for number in range(200):
        await site.asked(f"ar-{number}", asked=ask(f"f{number}"), expires_at=NOW + 1800)
        site.clock.advance(0.3)
    site.later(700)
    assert len(site.slack.cards(LEADS)) == 200
    posts = [told for method, told in site.slack.calls if method == "chat.postMessage"]
    assert len(posts) == 400


# --- crashes and others


@pytest.mark.parametrize("fault", ["lost", "down"])
@ensureDeferred
async def test_a_card_whose_answer_got_lost_is_found_and_not_posted_twice(site, fault):
    site.order("chat.postMessage", fault)
    request = await site.asked()
    site.later(10)
    assert len(site.slack.cards(LEADS)) == 1
    await site.told(replace(await site.store.request(request.id), state=DENIED))
    assert "Denied" in heading(site.only())


@pytest.mark.parametrize("fault", ["busy", "down", "lost"])
@ensureDeferred
async def test_what_was_lost_is_looked_for_until_somebody_may_look(site, fault):
    site.order("chat.postMessage", "lost")
    site.order("conversations.history", fault, fault)
    await site.asked()
    site.later(SWEEP)
    assert len(site.slack.cards(LEADS)) == 1
    assert site.channel.waiting == 0


@pytest.mark.parametrize("word", ["restricted_action", "invalid_auth"])
@ensureDeferred
async def test_a_card_that_was_found_and_cannot_be_changed_yet_is_not_posted_again(site, word):
    site.order("chat.postMessage", "lost")
    site.order("chat.update", word, word)
    request = await site.asked()
    site.later(SWEEP * 5)
    await site.told(replace(request, state=DENIED))
    assert "Denied" in heading(site.only())


@ensureDeferred
async def test_an_answer_whose_line_got_lost_and_that_was_taken_back_is_told_of(site):
    request = await site.asked(asked=ask(terms=Terms((Quorum(("it-leads",), 2),))))
    site.later(5)
    site.order("chat.postMessage", "lost")
    request = await site.told(answered(request))
    await site.told(replace(request, answers=()))
    site.later(30)
    assert [line.partition(",")[0] for line in site.thread()[1:]] == [
        f"{ALICE} approved",
        f"The answer of {ALICE} counts no longer: it was taken back",
    ]


@ensureDeferred
async def test_a_line_whose_answer_got_lost_is_not_said_twice(site):
    request = await site.asked(asked=ask(terms=Terms((Quorum(("it-leads",), 2),))))
    site.later(5)
    site.order("chat.postMessage", "lost")
    await site.told(answered(request))
    site.later(30)
    assert len(site.thread()) == 2


@ensureDeferred
async def test_where_nobody_may_look_a_lost_card_is_posted_once_more(site):
    site.order("chat.postMessage", "lost")
    site.order("conversations.history", "missing_scope")
    await site.asked()
    site.later(SWEEP * 3)
    assert len(site.slack.cards(LEADS)) == 2


@ensureDeferred
async def test_what_another_app_made_look_like_a_card_is_not_taken_for_it(site):
    site.order("chat.postMessage", "lost")

    def after(method, told):
        (card,) = site.slack.cards(LEADS)
        forged = {**card, "ts": f"{NOW + 1:.6f}", "user": "U0OTHER"}
        site.slack.rooms[LEADS][forged["ts"]] = forged
        site.slack.after = lambda method, told: None

    site.slack.after = after
    await site.asked()
    site.later(10)
    (post,) = await site.posts.of("slack", "ar-1")
    assert site.slack.rooms[LEADS][post.place.partition("/")[2]]["user"] == "U0JITGATE"
    assert len(site.slack.cards(LEADS)) == 2


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("after", range(6))
@ensureDeferred
async def test_a_gateway_killed_anywhere_leaves_one_card_with_each_line_once(site, after, done):
    """A claim, the card, what is kept of it, and the same for its first line."""
    site.channel.life.after, site.channel.life.done = after, done
    await site.asked()
    assert site.channel.life.is_dead
    request = await site.store.request("ar-1")
    site.channel = await site.started()
    site.later(SWEEP + CLAIM)
    await site.told(replace(request, state=DENIED))
    site.later(5)
    assert "Denied" in heading(site.only())
    assert site.thread() == ["Asked: <S0LEADS>", "⛔ Denied"]


@ensureDeferred
async def test_an_update_whose_gateway_was_killed_does_not_stay(site):
    """The answer is taken back meanwhile: what is kept is as what was noted to be shown."""
    request = await site.asked(asked=ask(terms=Terms((Quorum(("it-leads",), 2),))))
    site.later(5)
    site.channel.life.after, site.channel.life.done = 1, True  # the claim, and Slack has done it
    request = await site.told(answered(request))
    assert site.channel.life.is_dead
    assert "' approved'" in f"{site.only()}"
    await site.keep(replace(request, answers=()))
    site.channel = await site.started()
    site.later(5)
    assert "' approved'" not in f"{site.only()}"


@ensureDeferred
async def test_a_card_whose_answer_got_lost_is_found_after_a_long_outage_too(site):
    site.order("chat.postMessage", "lost")
    site.slack.after = lambda method, told: setattr(site.slack, "is_down", True)
    await site.asked()
    site.later(400)
    await site.channel.stop()
    site.channel = await site.started()
    site.later(100)
    site.slack.is_down = False
    site.slack.after = lambda method, told: None
    site.later(100)
    assert len(site.slack.cards(LEADS)) == 1


@ensureDeferred
async def test_while_one_gateway_posts_no_other_does(site):
    calls = []

    def before(method, told):
        calls.append(Deferred())
        return calls[-1]

    other = await site.started("other")
    site.slack.before = before
    (request,) = await site.keep(access_request())
    await site.channel.tell(request)
    await other.tell(request)
    site.later(CLAIM - 1)
    assert len(calls) == 1
    site.slack.before = lambda method, told: None
    calls[0].callback(None)
    site.later(5)
    assert len(site.slack.cards(LEADS)) == 1
    assert site.thread() == ["Asked: <S0LEADS>"]
    await other.stop()


@ensureDeferred
async def test_of_two_gateways_one_posts_and_either_updates(site):
    other = await site.started("other")
    (request,) = await site.keep(access_request())
    await site.channel.tell(request)
    await other.tell(request)
    site.later(5)
    assert len(site.slack.cards(LEADS)) == 1
    (request,) = await site.keep(replace(request, state=DENIED))
    await other.tell(request)
    site.later(5)
    assert "Denied" in heading(site.only())
    assert len(site.thread()) == 2
    await other.stop()


@ensureDeferred
async def test_what_a_gateway_that_is_gone_was_about_to_post_another_posts(site):
    other = await site.started("other")
    other.life.after = 1
    (request,) = await site.keep(access_request())
    await other.tell(request)
    assert other.life.is_dead
    await site.channel.tell(request)
    site.later(CLAIM - 2)
    assert not site.slack.cards(LEADS)
    site.later(4)
    assert len(site.slack.cards(LEADS)) == 1


# --- the stop


@ensureDeferred
async def test_a_stop_waits_for_what_is_under_way_two_seconds_and_no_longer(site):
    calls = []

    def before(method, told):
        calls.append(Deferred())
        return calls[-1]

    site.slack.before = before
    await site.asked()
    await site.asked("ar-2", asked=ask("f2"))
    await site.asked("ar-3", asked=ask("f3"))
    assert len(calls) == 2
    stopping = Deferred.fromCoroutine(site.channel.stop())
    calls[0].callback(None)
    site.clock.advance(PATIENCE - 0.1)
    assert not stopping.called
    site.clock.advance(0.2)
    await stopping
    site.later(SWEEP * 2)
    assert len(calls) == 2
    assert len(site.slack.cards(LEADS)) == 1
    site.slack.before = lambda method, told: None
    site.channel = await site.started()
    site.later(SWEEP + CLAIM)
    assert len(site.slack.cards(LEADS)) == 3
