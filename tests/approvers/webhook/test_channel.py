"""What a webhook is told, over real HTTP, by the library of those who specify it."""

from dataclasses import replace

import pytest
from approvers.site import ALICE
from approvers.webhook.site import NAME, OUT, HookSite
from pytest_twisted import ensureDeferred
from support.access import ask as asked
from support.access import use as a_use
from support.receiver import secret
from twisted.web.server import NOT_DONE_YET
from zope.interface.verify import verifyObject

from jitgate.approvers.shapes import request_content
from jitgate.approvers.webhook.channel import CLAIM, SWEEP
from jitgate.approvers.webhook.messages import BODY_CHARS
from jitgate.approvers.webhook.sending import TIMEOUT
from jitgate.approvers.webhook.tries import FIRST, LONGEST, MOST, SPREAD, Tries, wait
from jitgate.core.access import EXPIRE
from jitgate.errors import ApproversUnreachable
from jitgate.interfaces import IGrantChannel
from jitgate.stores.posts_memory import MemoryPosts
from jitgate.testing.approvers import ChannelContract
from jitgate.values import AccessState, GrantState, Post, Quorum, Shown, Terms


def types(receiver):
    return [each.type for each in receiver.received]


@ensureDeferred
async def test_what_is_asked_is_told_with_all_that_people_may_see(site, receiver):
    request = await site.ask()
    await site.settle()
    (told,) = receiver.received
    assert told.type == "access_request.opened"
    content = request_content(request, site.access.standing(request))
    assert told.data == content | {"left_out": [], "revision": request.revision}
    assert told.data["fingerprint"] == request.ask.fingerprint
    assert told.id.startswith("msg_")
    assert told.at.endswith("Z")
    assert site.channel.down is None


@ensureDeferred
async def test_telling_waits_for_nobody(site, receiver):
    """Not even for the message to begin."""
    receiver.answer = lambda _: NOT_DONE_YET
    await site.ask()
    assert receiver.tries == 0


@ensureDeferred
async def test_the_end_is_told_and_what_becomes_of_the_grant(site, receiver):
    request = await site.ask()
    await site.settle()
    assert (await site.answer(request)).status == 200
    await site.settle()
    assert types(receiver) == ["access_request.opened", "access_request.ended"]
    ended = receiver.received[-1].data
    assert (ended["state"], ended["answers"][0]["approver"]) == ("approved", ALICE)
    grant = await site.store.grant(ended["grant"])
    taken = a_use("ex-9", grant.id, state=GrantState.SPENT, status=204, ended_at=1.0)
    await site.store.commit([replace(grant, tally={GrantState.SPENT: 1}), taken])
    await site.channel.tell_grant(await site.store.grant(grant.id), taken)
    await site.settle()
    assert types(receiver)[2:] == ["grant.changed"]
    told = receiver.received[-1].data
    assert (told["id"], told["state"], told["left"]) == (grant.id, "spent", 0)
    assert (told["last_use"]["exchange"], told["last_use"]["status"]) == ("ex-9", 204)
    (post,) = await site.posts.of(NAME, request.id)
    assert post.is_over
    await site.later(SWEEP)
    assert len(receiver.received) == 3
    assert len({each.id for each in receiver.received}) == 3


@ensureDeferred
async def test_a_change_is_told_with_the_state_that_it_has_led_to(site, receiver):
    request = await site.ask(asked=asked(terms=Terms((Quorum(("it-leads",), denials=2),))))
    await site.settle()
    assert (await site.answer(request, approves=False)).status == 200
    await site.settle()
    assert types(receiver) == ["access_request.opened", "access_request.changed"]
    assert receiver.received[-1].data["answers"][0]["approves"] is False


@ensureDeferred
async def test_what_changes_while_a_message_is_under_way_is_told_right_after_it(site, receiver):
    waiting = []
    receiver.answer = lambda request: waiting.append(request) or NOT_DONE_YET
    request = await site.ask()
    with pytest.raises(AssertionError, match="does not come to an end"):
        await site.settle()
    await site.access.pending.end(request.id, EXPIRE, "Nobody answered in time.")
    site.clock.advance(0)
    receiver.answer = None
    waiting[0].setResponseCode(204)
    waiting[0].finish()
    await site.settle()
    await site.later(1)
    assert types(receiver) == ["access_request.ended"]


# --- when it is not taken


@ensureDeferred
async def test_what_was_not_taken_is_sent_again_later_and_later_with_the_same_id(site, receiver):
    seen = []

    def refuse(request):
        seen.append(request.requestHeaders.getRawHeaders("webhook-id")[0])
        request.setResponseCode(500)
        return b""

    receiver.answer = refuse
    await site.ask(expires_at=site.clock.seconds() + 6000)
    await site.settle()
    for tries in range(1, 5):
        assert len(seen) == tries
        await site.later(wait(tries, 0.0) - 0.1)
        assert len(seen) == tries
        await site.later(0.2)
    assert len(set(seen)) == 1
    assert site.channel.down == f"The webhook {NAME} answered 500."
    receiver.answer = None
    await site.later(wait(6, 0.0))
    assert [each.id for each in receiver.received] == seen[:1]
    assert site.channel.down is None


def test_waits_double_up_to_an_hour_and_are_longer_by_chance():
    assert [wait(n, 0.0) for n in (1, 2, 3)] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert wait(MOST, 0.0) == LONGEST
    assert wait(1, 0.5) == FIRST * (1 + SPREAD / 2)


@ensureDeferred
async def test_the_newest_state_is_sent_and_none_that_has_passed(site, receiver):
    receiver.status(503)
    request = await site.ask()
    await site.settle()
    await site.access.pending.end(request.id, EXPIRE, "Nobody answered in time.")
    await site.settle()
    receiver.answer = None
    await site.later(60)
    assert [(each.type, each.data["state"]) for each in receiver.received] == [
        ("access_request.ended", "expired")
    ]


@ensureDeferred
async def test_a_receiver_that_is_busy_is_asked_again_when_it_says(site, receiver):
    receiver.status(429, retry_after="120")
    await site.ask()
    await site.ask("a-2")
    await site.settle()
    before = receiver.tries
    receiver.answer = None
    await site.later(119)
    assert receiver.tries == before
    await site.later(2)
    assert len(receiver.received) == 2


@ensureDeferred
async def test_a_message_that_is_refused_does_not_keep_others_waiting(site, receiver):
    receiver.status(400)
    await site.ask()
    await site.settle()
    receiver.answer = None
    await site.ask("a-2")
    await site.settle()
    assert [each.data["id"] for each in receiver.received] == ["a-2"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@ensureDeferred
async def test_no_redirect_is_followed(site, receiver, status):
    """Not even to the same receiver: no other can be reached by its way at all."""
    receiver.status(status, location=receiver.url + "/again")
    await site.ask()
    await site.settle()
    assert receiver.tries == 1
    assert site.channel.down == f"The webhook {NAME} answered {status}."


@ensureDeferred
async def test_an_answer_without_end_costs_no_memory_and_counts_by_its_status(site, receiver):
    def endless(request):
        request.write(b"x" * 200_000)
        return NOT_DONE_YET

    receiver.answer = endless
    request = await site.ask()
    await site.settle()
    (post,) = await site.posts.of(NAME, request.id)
    assert post.shown == request.revision


@ensureDeferred
async def test_a_receiver_that_says_nothing_is_given_up_after_a_while(site, receiver):
    receiver.answer = lambda _: NOT_DONE_YET
    await site.ask()
    with pytest.raises(AssertionError, match="does not come to an end"):
        await site.settle()
    assert receiver.tries == 1
    await site.later(TIMEOUT)
    assert "did not answer within" in site.channel.down


@ensureDeferred
async def test_a_webhook_that_is_gone_is_told_nothing_until_it_is_configured_anew(site, receiver):
    receiver.is_late = True
    receiver.status(410)
    await site.ask()
    await site.ask("a-2")
    await site.settle()
    assert "410" in site.channel.down
    assert "410" in site.hooks.down()
    tries = receiver.tries
    with pytest.raises(ApproversUnreachable, match="410"):
        await site.ask("a-3")
    receiver.answer = None
    await site.later(3600)
    assert receiver.tries == tries
    site.hooks.adopt([site.hook()])
    await site.settle()
    assert sorted(each.data["id"] for each in receiver.received) == ["a-1", "a-2", "a-3"]


@ensureDeferred
async def test_so_many_tries_are_enough(site, receiver):
    receiver.is_late = True
    receiver.status(404)
    request = await site.ask(expires_at=site.clock.seconds() + 1e6)
    await site.settle()
    for _ in range(MOST + 3):
        await site.later(LONGEST)
    assert receiver.tries == MOST
    assert (await site.store.request(request.id)).state is AccessState.PENDING


# --- restarts, and several gateways


@ensureDeferred
async def test_what_was_not_told_before_a_restart_is_told_after_it(folder, site, receiver):
    receiver.status(503)
    first = await site.ask()
    await site.settle()
    receiver.answer = None
    await site.ask("a-2")
    await site.hooks.stop()
    again = HookSite(folder, receiver, others=site)
    again.clock.advance(site.clock.seconds() - again.clock.seconds())
    await again.start()
    await again.settle()
    await again.later(max(CLAIM, FIRST))
    assert sorted(each.data["id"] for each in receiver.received) == ["a-1", "a-2"]
    await again.access.pending.end(first.id, EXPIRE, "Nobody answered in time.")
    await again.settle()
    assert types(receiver)[-1] == "access_request.ended"
    await again.stop()


@ensureDeferred
async def test_what_was_told_before_a_restart_is_not_told_after_it(folder, site, receiver):
    await site.ask()
    await site.settle()
    await site.hooks.stop()
    again = HookSite(folder, receiver, others=site)
    await again.start()
    await again.settle()
    await again.later(SWEEP)
    assert len(receiver.received) == 1
    await again.stop()


@ensureDeferred
async def test_of_two_gateways_one_tells(folder, site, receiver):
    other = HookSite(folder, receiver, others=site)
    await other.start()
    for key in ("a-1", "a-2", "a-3"):
        request = await site.ask(key)
        await other.channel.tell(request)
    await site.settle()
    await other.settle()
    for _ in range(3):
        await site.later(SWEEP)
        await other.later(SWEEP)
    assert sorted(each.data["id"] for each in receiver.received) == ["a-1", "a-2", "a-3"]
    await other.stop()


class Beaten(MemoryPosts):
    """Where another gateway is a moment faster, once."""

    beaten = False

    async def keep(self, post):
        if not self.beaten:
            self.beaten = True
            await super().keep(post)
        return await super().keep(post)


@ensureDeferred
async def test_whoever_was_a_moment_slower_leaves_it_to_the_other(site, receiver):
    site.hooks._made["posts"] = Beaten(site.store)
    site.hooks.adopt([site.hook()])
    await site.ask()
    await site.settle()
    assert receiver.tries == 0
    await site.later(CLAIM)  # which then died
    assert types(receiver) == ["access_request.opened"]


@ensureDeferred
async def test_a_gateway_that_died_while_it_told_leaves_it_to_the_others(folder, site, receiver):
    """Of what it may have sent, the id is the same: whoever keeps ids takes it once."""
    receiver.answer = lambda _: NOT_DONE_YET
    await site.ask()
    with pytest.raises(AssertionError):
        await site.settle()
    await site.hooks.stop()
    receiver.answer = None
    other = HookSite(folder, receiver, others=site)
    await other.start()
    await other.settle()
    assert receiver.received == []
    await other.later(CLAIM + SWEEP)
    assert types(receiver) == ["access_request.opened"]
    await other.stop()


@ensureDeferred
async def test_a_store_that_is_down_is_asked_again(site, receiver, noticed):
    site.posts.failure = OSError("gone")
    await site.ask()
    await site.settle()
    assert receiver.tries == 0
    site.posts.failure = None
    await site.later(SWEEP)
    assert types(receiver) == ["access_request.opened"]


# --- what is told, and what is not


@ensureDeferred
async def test_a_long_body_is_left_out_and_that_is_said(site, receiver):
    long = Shown("https://api.example/", (), "x" * (BODY_CHARS + 1), BODY_CHARS + 1)
    await site.ask(asked=asked(shown=long))
    await site.settle()
    (told,) = receiver.received
    assert (told.data["body"], told.data["left_out"]) == (None, ["body"])
    assert told.data["body_bytes"] == BODY_CHARS + 1


@ensureDeferred
async def test_messages_are_signed_with_every_secret_while_one_takes_the_place_of_another(
    site, receiver
):
    site.hooks.adopt([site.hook(keys=(secret("new"), OUT))])
    await site.ask()
    await site.settle()
    receiver.key = secret("new")
    await site.ask("a-2")
    await site.settle()
    assert len(receiver.received) == 2


@ensureDeferred
async def test_nothing_shows_a_key(site):
    hook = site.hook()
    for each in (hook, hook.sending, hook.callback, site.channel):
        assert OUT[6:20] not in repr(each)
        assert "out....." not in repr(each)


@ensureDeferred
async def test_a_clock_that_was_set_back_keeps_nothing_from_being_told(site, receiver):
    request = await site.ask()
    tries = Tries().another(request.revision, site.clock.seconds())
    far = site.clock.seconds() + 2 * LONGEST
    await site.posts.keep(Post(NAME, request.id, "", due=far, document=tries.document))
    await site.settle()
    assert types(receiver) == ["access_request.opened"]


@ensureDeferred
async def test_what_changed_elsewhere_is_told_though_its_turn_was_later(site, receiver):
    """Another gateway changed it, and died before it told anybody."""
    receiver.is_late = True
    receiver.status(400)
    request = await site.ask()
    await site.settle()
    for tries in range(1, 7):
        await site.later(wait(tries, 0.0))
    receiver.answer = None
    ended = replace(await site.store.request(request.id), state=AccessState.EXPIRED)
    await site.store.commit([ended])
    await site.later(SWEEP)
    assert types(receiver) == ["access_request.ended"]


def test_what_was_tried_is_read_as_it_is_kept():
    assert Tries.read("") == Tries()
    tries = Tries().another(7, 100.5).another(7, 200.0)
    assert Tries.read(tries.document) == tries == Tries(7, 2, 100.5)
    assert tries.another(8, 300.0) == Tries(8, 1, 300.0)


class TestWebhook(ChannelContract):
    """What is asked of a site's own channels."""

    @pytest.fixture(autouse=True)
    def _there(self, site):
        self.site = site

    def make(self):
        made = self.site.channel
        made.version = "1"
        assert verifyObject(IGrantChannel, made)
        return made

    def unreachable(self):
        made = self.site.made()
        made.adopt([self.site.hook()])
        return made.channels[NAME]
