"""Whatever happens to requests, to Slack and to gateways: in the end Slack shows what is kept.

One card of each, as it is; each line of its thread once. That holds over crashes too, because this
Slack shows its messages to who asks. Where the app may not look (no history scopes), a card or a
line whose sending a crash or a lost answer fell upon may stand there twice.
"""

from collections import Counter
from dataclasses import replace

from approvers.slack.site import ALICE, BOB, LEADS, Site, answered, approved, used
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.access import NOW, access_request, ask, now

from jitgate.approvers.slack.about import About
from jitgate.approvers.slack.history import unsaid
from jitgate.approvers.slack.messages import SWEEP
from jitgate.approvers.slack.noted import CLAIM, Noted
from jitgate.approvers.slack.planning import drawn
from jitgate.values import AccessState, GrantState, Quorum, Terms

ENDS = [AccessState.DENIED, AccessState.EXPIRED, AccessState.WITHDRAWN, AccessState.SUPERSEDED]
FAULTS = ["down", "lost", "busy"]
REFUSED = "restricted_action"
SENDS = ["chat.postMessage", "chat.update"]
LOOKS = ["conversations.history", "conversations.replies"]
TWO = Terms((Quorum(("it-leads",), 2),))

numbers = st.integers(0, 1)
told = st.sampled_from([True, True, False])


def about(message):
    """The request that a card is about."""
    values = [each.get("value") for each in message["blocks"] for each in each.get("elements", [])]
    return next(About.read(each).request for each in values if each)


class Messages(RuleBasedStateMachine):
    @initialize(
        fault=st.sampled_from(["", *FAULTS, REFUSED]),
        after=st.none() | st.integers(0, 5),
        done=st.booleans(),
    )
    def begin(self, fault, after, done):
        """One request is there at once, whose first card may meet with something."""
        self.site = Site()
        now(self.site.open())
        self.site.names = {}
        self.gateways = [self.site.channel, None]
        self.site.order("chat.postMessage", *[fault] * bool(fault))
        self.site.channel.life.after, self.site.channel.life.done = after, done
        self.opens(0, tell=True)

    # --- what happens to requests

    def change(self, *values, tell):
        kept = now(self.site.keep(*values))
        for channel in self.gateways[: 2 if tell else 0]:
            if channel is not None and not channel.life.is_dead:
                now(channel.tell(kept[0]))
                return

    def request(self, number):
        return now(self.site.store.request(f"ar-{number}"))

    @rule(number=numbers, tell=told)
    def opens(self, number, tell):
        if self.request(number) is None:
            asked = ask(f"f{number}", terms=TWO)
            made = access_request(f"ar-{number}", asked, expires_at=NOW + 10**6)
            self.change(made, tell=tell)

    @rule(number=numbers, who=st.sampled_from([ALICE, BOB]), yes=st.booleans(), tell=told)
    def is_answered(self, number, who, yes, tell):
        request = self.request(number)
        if request is not None and request.state is AccessState.PENDING:
            others = tuple(each for each in request.answers if each.approver != who)
            at = self.site.clock.seconds()
            after = answered(replace(request, answers=others), who, yes, at)
            self.change(after, tell=tell)

    @rule(number=numbers, tell=told)
    def is_taken_back(self, number, tell):
        request = self.request(number)
        if request is not None and request.state is AccessState.PENDING:
            self.change(replace(request, answers=request.answers[1:]), tell=tell)

    @rule(number=numbers, state=st.sampled_from(ENDS), tell=told)
    def ends(self, number, state, tell):
        request = self.request(number)
        if request is not None and request.state is AccessState.PENDING:
            self.change(replace(request, state=state, why="It ended."), tell=tell)

    @rule(number=numbers, tell=told)
    def is_approved(self, number, tell):
        request = self.request(number)
        if request is not None and request.state is AccessState.PENDING:
            others = tuple(each for each in request.answers if each.approver != ALICE)
            at = self.site.clock.seconds()
            after, given = approved(replace(request, answers=others), at)
            self.change(after, replace(given, tally={GrantState.ACTIVE: 2}), tell=tell)

    @rule(number=numbers, tell=told, way=st.sampled_from(["used", "unknown", "revoked"]))
    def goes_on(self, number, tell, way):
        grant = now(self.site.store.grant(f"g-ar-{number}"))
        if grant is None or not grant.left:
            return
        if way == "revoked":
            values = [replace(grant, tally={GrantState.REVOKED: 1}, why="Revoked by carol.")]
        else:
            at = self.site.clock.seconds()
            gone, use = used(grant, at, status=200 if way == "used" else None)
            tally = Counter(grant.tally) + Counter(gone.tally) - Counter([GrantState.ACTIVE])
            values = replace(grant, tally=dict(tally)), replace(use, id=f"x-{number}-{grant.left}")
        kept = now(self.site.keep(*values))
        for channel in self.gateways[: 2 if tell else 0]:
            if channel is not None and not channel.life.is_dead:
                now(channel.tell_grant(kept[0], None))
                return

    # --- what happens to Slack and to gateways

    @rule(
        what=st.tuples(st.sampled_from(SENDS), st.sampled_from([*FAULTS, REFUSED]))
        | st.tuples(st.sampled_from(LOOKS), st.sampled_from(FAULTS)),
        times=st.integers(1, 3),
    )
    def goes_wrong(self, what, times):
        method, fault = what
        self.site.order(method, *[fault] * times)

    @rule(down=st.booleans())
    def has_an_outage(self, down):
        self.site.slack.is_down = down

    @rule(seconds=st.sampled_from([1, 5, 30, 61, 200]))
    def waits(self, seconds):
        self.site.later(seconds, step=min(seconds, 5.0))

    @rule(which=st.integers(0, 1), after=st.integers(0, 8), done=st.booleans())
    def will_be_killed(self, which, after, done):
        if self.gateways[which] is not None:
            self.gateways[which].life.after, self.gateways[which].life.done = after, done

    @rule(which=st.integers(0, 1))
    def is_killed(self, which):
        if self.gateways[which] is not None:
            self.gateways[which].life.kill()

    @rule(which=st.integers(0, 1))
    def begins_again(self, which):
        channel = self.gateways[which]
        if channel is not None and not channel.life.is_dead:
            channel.life.after = None
            now(channel.stop())
        self.gateways[which] = now(self.site.started(f"gateway-{which}" if which else ""))

    # --- what must be so

    @invariant()
    def nobody_calls_for_ever(self):
        assert len(self.site.slack.calls) < 1000

    @invariant()
    def nothing_stands_there_twice(self):
        cards = self.site.slack.cards(LEADS)
        assert max(Counter(map(about, cards)).values(), default=0) <= 1
        for card in cards:
            lines = self.keys_below(card)
            assert len(lines) == len(set(lines))

    def teardown(self):
        if not hasattr(self, "site"):
            return
        self.site.slack.is_down = False
        self.site.slack.faults.clear()
        for which in (0, 1):
            if which == 0 or self.gateways[which] is not None:
                self.begins_again(which)
        self.site.later(CLAIM + SWEEP * 3 + 3600, step=10.0)
        self.shows_what_is_kept()
        for channel in self.gateways:
            if channel is not None:
                now(channel.stop())

    def keys_below(self, card):
        replies = self.site.slack.rooms[LEADS].values()
        below = [each for each in replies if each.get("thread_ts") == card["ts"]]
        return [block["block_id"] for each in below for block in each["blocks"]]

    def shows_what_is_kept(self):
        cards = {about(each): each for each in self.site.slack.cards(LEADS)}
        channel, at = self.gateways[0], self.site.clock.seconds()
        assert now(self.site.posts.behind("slack", at)) == []
        for number in range(2):
            request = self.request(number)
            posts = now(self.site.posts.of("slack", f"ar-{number}"))
            if request is None or (request.state is not AccessState.PENDING and not posts):
                assert f"ar-{number}" not in cards
                continue
            (post,) = posts
            if not post.place:
                assert request.state is not AccessState.PENDING
                assert f"ar-{number}" not in cards
                continue
            seen = now(channel._see(request.id))
            card, made = cards[request.id], drawn(seen, {})
            assert post.place == f"{LEADS}/{card['ts']}"
            assert (card["blocks"], card["text"]) == (list(made.blocks), made.text)
            noted = Noted.read(post.document)
            lines = self.site.slack.thread(LEADS, card["ts"])
            for answer in request.answers:
                did = "approved" if answer.approves else "denied"
                assert any(line.startswith(f"{answer.approver} {did}") for line in lines)
            assert sum("call was sent" in line for line in lines) == len(seen.uses)
            assert not unsaid(seen, noted, self.site.showing, LEADS, at)
            assert self.keys_below(card) == list(noted.lines)
            assert post.is_over == (not seen.is_live)


TestMessages = Messages.TestCase
TestMessages.settings = settings(max_examples=150, stateful_step_count=30)
