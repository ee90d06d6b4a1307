"""Takes one step of one card: claims it, calls Slack, and keeps what came of it.

The claim is durable before anything is sent. So of several gateways one sends, and one that ended
in between leaves a claim behind by which the next to come looks in Slack for what was sent. What is
found there is taken up; where looking is not allowed, a card or a line may stand there twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jitgate.approvers.seen import Seen
from jitgate.approvers.slack.card import Card
from jitgate.approvers.slack.finding import Finder
from jitgate.approvers.slack.history import REMINDER, Line
from jitgate.approvers.slack.noted import Noted
from jitgate.approvers.slack.places import Showing
from jitgate.approvers.slack.planning import Plan, Step, digest, drawn, planned, rested
from jitgate.approvers.slack.queue import POST, UPDATE
from jitgate.approvers.slack.rooms import Call, Rooms
from jitgate.errors import SlackBusy, SlackRefused, traced
from jitgate.interfaces import IPosts
from jitgate.values import AccessRequest, Post

_Sent = TypeVar("_Sent")
Names = Callable[[AccessRequest], Awaitable[Mapping[str, str]]]

GONE: Final = frozenset(
    {
        *("message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"),
        *("channel_not_found", "is_archived", "not_in_channel", "is_inactive"),
    }
)
"""Words that say that a message is not there any more, or not for this app."""

OF_THE_APP: Final = frozenset(
    {
        *("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"),
        *("no_permission", "missing_scope", "access_denied", "org_login_required"),
        *(
            "ekm_access_denied",
            "team_access_not_granted",
            "accesslimited",
            "not_allowed_token_type",
        ),
    }
)
"""Words that say that the app may do nothing at all, or lacks what every card needs."""

MOST_MOVES: Final = 3
"""How often a card is posted anew whose message is gone: somebody may not want it there."""

MARGIN: Final = 60.0
"""Seconds by which Slack's clock may be behind."""

_AS_IT_STANDS: Final = {"parse": "none", "unfurl_links": False, "unfurl_media": False}
"""Slack makes nothing of what is in a text."""


class Sender:
    """Sends cards and their threads for ``me``, one run of a gateway."""

    _log = Logger()

    def __init__(
        self,
        call: Call,
        posts: IPosts,
        rooms: Rooms,
        names: Names,
        *,
        showing: Callable[[], Showing],
        me: str,
        clock: IReactorTime,
    ) -> None:
        self._call = call
        self._posts = posts
        self._rooms = rooms
        self._names = names
        self._showing = showing
        self._me = me
        self._clock = clock
        self._finder = Finder(call)

    def plan(self, seen: Seen, post: Post) -> Plan:
        """What comes next of a card."""
        told = Noted.read(post.document)
        now, showing = self._clock.seconds(), self._showing()
        return planned(seen, post, told, showing=showing, me=self._me, now=now)

    async def rest(self, seen: Seen, post: Post) -> None:
        """Keep that a card is as it should be."""
        told = Noted.read(post.document)
        after = rested(seen, post, told, self._showing(), self._clock.seconds())
        if after != post:
            await self._posts.keep(after)

    async def take(self, seen: Seen, post: Post, plan: Plan) -> None:
        """Take the step. What Slack refuses of this card alone is noted, and tried again later.

        Raises `SlackDown`, `SlackBusy`, `SlackRefused` where it concerns every card; `StoreDown`.
        """
        noted = Noted.read(post.document)
        if plan.step is Step.POST:
            await self._post(seen, post, noted)
        elif plan.step is Step.UPDATE and plan.card is not None:
            await self._update(seen, post, noted, plan.card)
        elif plan.step is Step.SAY:
            await self._say(seen, post, noted, plan.lines)

    # --- the steps

    async def _post(self, seen: Seen, post: Post, noted: Noted) -> None:
        names = noted.names or await self._named(post.channel, seen.request)
        made, lost = drawn(seen, names), bool(noted.holder)
        try:
            room = await self._rooms.of(post.slot)
        except SlackRefused as fault:
            await self._refused(post, noted, fault)
            return
        claim = replace(noted, names=names, version=made.version, digest="")
        claimed = await self._claimed(post, claim)
        if claimed is None:
            return
        send = partial(self._stands, room, seen, made, noted.began - MARGIN if lost else None)
        there = await self._sent(*claimed, send, lost=lost)
        if there is None:
            return
        ts, shown = there
        after = replace(claimed[0], place=f"{room}/{ts}" if ts else "")
        done = replace(claimed[1], digest=shown, since=self._clock.seconds())
        await self._done(seen, after, done)

    async def _stands(
        self, room: str, seen: Seen, made: Card, since: float | None
    ) -> tuple[str, str]:
        """Where a card stands now (``ts``) and what it shows; "" where there is none.

        Where one may have been posted ``since``, that is looked for, and taken up.
        """
        found = [] if since is None else await self._finder.cards(room, seen.request.id, since)
        for ts in found:
            try:
                await self._shown(room, ts, made)
            except SlackRefused as fault:
                if fault.word in OF_THE_APP:
                    raise
                if fault.word not in GONE:
                    return ts, ""
            else:
                return ts, digest(made)
        if not seen.is_pending:
            return "", ""
        answer = await self._call(POST, channel=room, **_content(made))
        return str(answer["ts"]), digest(made)

    async def _update(self, seen: Seen, post: Post, noted: Noted, made: Card) -> None:
        same = made.version == noted.version
        claim = replace(noted, digest="", version=noted.version if same else "")
        claimed = await self._claimed(post, claim)
        room, _, ts = post.place.partition("/")
        if claimed is None:
            return
        show = partial(self._shown, room, ts, made)
        if await self._sent(*claimed, show) is None:
            return
        since = noted.since if same else self._clock.seconds()
        done = replace(claimed[1], digest=digest(made), version=made.version, since=since)
        await self._done(seen, claimed[0], done)

    async def _say(self, seen: Seen, post: Post, noted: Noted, lines: Sequence[Line]) -> None:
        room, _, ts = post.place.partition("/")
        if noted.trying:  # it is looked first for what nobody knows of
            there = await self._finder.lines(room, ts)
            await self._done(seen, post, noted.said(there))
            return

        async def sent() -> str:
            text, blocks = "\n".join(each.text for each in lines), [each.block for each in lines]
            aloud = True if lines[0].aloud else None
            told = {"text": text, "blocks": blocks, "reply_broadcast": aloud}
            await self._call(POST, channel=room, thread_ts=ts, **told, **_AS_IT_STANDS)
            return ts

        claim = replace(noted, trying={line.key: line.whose for line in lines})
        claimed = await self._claimed(post, claim)
        if claimed is not None and await self._sent(*claimed, sent) is not None:
            await self._done(seen, claimed[0], claimed[1].said(claim.trying))

    async def _shown(self, room: str, ts: str, made: Card) -> str:
        await self._call(UPDATE, channel=room, ts=ts, **_content(made))
        return ts

    async def _named(self, channel: str, request: AccessRequest) -> Mapping[str, str]:
        """What resources are called: the same on every card of a request."""
        for each in await self._posts.of(channel, request.id):
            if names := Noted.read(each.document).names:
                return names
        try:
            return await self._names(request)
        except Exception as fault:  # noqa: BLE001 (a card without names is a card)
            self._log.warn("What a request names could not be looked up: {how}", how=traced(fault))
            return {}

    # --- what goes around each

    async def _claimed(self, post: Post, noted: Noted) -> tuple[Post, Noted] | None:
        """The post with the claim kept, durably; None where somebody else was faster."""
        claim = noted.claimed(self._me, self._clock.seconds())
        kept = await self._posts.keep(replace(post, document=claim.text, due=claim.until))
        return None if kept is None else (kept, claim)

    async def _sent(
        self, post: Post, noted: Noted, send: Callable[[], Awaitable[_Sent]], *, lost: bool = False
    ) -> _Sent | None:
        """What ``send`` returns; None where Slack refused it, which is noted.

        ``lost``: what was sent before is to be looked for, as long as that is not done.
        """
        try:
            return await send()
        except SlackBusy:
            if not lost:
                await self._posts.keep(_with(post, noted.released()))
            raise
        except SlackRefused as fault:
            if lost and fault.word in OF_THE_APP:
                raise
            await self._refused(post, noted, fault)
            return None

    async def _refused(self, post: Post, noted: Noted, fault: SlackRefused) -> None:
        """Nothing was sent. Try it again later, or elsewhere, or leave it."""
        if fault.word in OF_THE_APP:
            await self._posts.keep(_with(post, noted.released()))
            raise fault
        if fault.word != noted.word:
            self._log.warn(
                "{fault} Slot {slot} of request {request}.",
                fault=f"{fault}",
                slot=post.slot,
                request=post.request,
            )
        after = noted.refused(fault.word, self._clock.seconds())
        if not post.place or fault.word not in GONE:
            await self._posts.keep(_with(post, after))
        elif noted.moved < MOST_MOVES:
            # In a new place the thread begins anew, but nobody is reminded twice.
            lines = tuple(each for each in noted.lines if each == REMINDER)
            anew = Noted(names=noted.names, lines=lines, word=fault.word, moved=noted.moved + 1)
            await self._posts.keep(replace(_with(post, anew), place=""))
        else:
            await self._posts.keep(replace(_with(post, after), is_over=True))

    async def _done(self, seen: Seen, post: Post, noted: Noted) -> None:
        """Keep what was sent, and that it is all, if it is."""
        noted = replace(noted.released(), tries=0, word=noted.word if noted.moved else "")
        after = _with(post, noted)
        if self.plan(seen, after).step is Step.REST:
            after = rested(seen, after, noted, self._showing(), self._clock.seconds())
        if await self._posts.keep(after) is None:
            self._log.warn(
                "Request {request} is shown by another gateway too.", request=post.request
            )


def _content(made: Card) -> Mapping[str, Any]:
    return {"text": made.text, "blocks": list(made.blocks), **_AS_IT_STANDS}


def _with(post: Post, noted: Noted) -> Post:
    """The post with its document; if nobody may send for a while, it is due after that."""
    return replace(post, document=noted.text, due=noted.until or None)
