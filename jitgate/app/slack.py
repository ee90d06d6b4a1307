"""Puts together what shows requests in Slack, and what takes answers there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request

from jitgate.admin.bounds import Note, Refusals, asked
from jitgate.app.slack_settings import SLACK, Tokens
from jitgate.app.storing import Storing
from jitgate.approvers.slack.bolt import Bolt
from jitgate.approvers.slack.callback import Callback
from jitgate.approvers.slack.calls import Calls
from jitgate.approvers.slack.cards import Cards
from jitgate.approvers.slack.clicks import Clicks
from jitgate.approvers.slack.desk import Desk
from jitgate.approvers.slack.gate import Gate
from jitgate.approvers.slack.groups import SlackGroups
from jitgate.approvers.slack.messages import SlackChannel
from jitgate.approvers.slack.places import Room, Showing
from jitgate.approvers.slack.replies import Replies, whose
from jitgate.approvers.slack.signs import Signs
from jitgate.approvers.slack.socket_mode import SocketMode
from jitgate.approvers.slack.user_groups import UserGroups
from jitgate.approvers.slack.who import Who
from jitgate.config.slack_schema import Slack
from jitgate.flow import refusals
from jitgate.flow.access import Access
from jitgate.flow.recorder import Recorder
from jitgate.service import Part
from jitgate.values import AccessRequest


class SlackWay:
    """The way to people in Slack, of one gateway from its start to its end. A part of the service.

    Args:
        slack: What the configuration says.
        tokens: What it is done with.
        groups: The user groups, which are asked of from now on.
        access: What is shown and answered.
        storing: Where it is remembered what is shown, and what was sent.
        recorder: Where it stands who was refused.
        refused: Puts on record, in bounds, who asks for what is not there.
        run: Which run of the gateway this is.
    """

    def __init__(
        self,
        slack: Slack,
        tokens: Tokens,
        *,
        groups: SlackGroups,
        access: Access,
        storing: Storing,
        recorder: Recorder,
        refused: Note,
        reactor: Any,
        run: str,
    ) -> None:
        self._calls = Calls(tokens.bot, reactor=reactor, base_url=slack.api, trust=slack.trust)
        self.channel = self._shown(slack, access, storing, reactor, run)
        self._refusals = refusals.Refusals(recorder, reactor, "slack.refused", whose)
        self._who = Who(self._calls, slack.team, slack.people, reactor)
        groups.asked = UserGroups(self._calls, self._who)
        gate = Gate(slack.app, slack.team, storing.once, reactor)
        desk = self._desk(access, gate, reactor)
        bolt = Bolt(desk, reactor=reactor, team=slack.team, signing_secret=tokens.signing)
        self._way_in: Part
        self.callbacks: Mapping[str, Resource] = {}
        channel = self.channel
        self.down: dict[str, Callable[[], str | None]] = {SLACK: channel.down}
        if tokens.app is None:
            callback = Callback(bolt, partial(_note, refused), reactor)
            self._way_in, self.callbacks = callback, {SLACK: callback}
            return
        noted = Refusals(partial(recorder.note, "slack.refused"), reactor)
        socket = SocketMode(bolt, tokens.app, noted, reactor, base_url=slack.api, trust=slack.trust)
        self._way_in = socket
        self.down[SLACK] = lambda: socket.down or channel.down()

    def _shown(
        self, slack: Slack, access: Access, storing: Storing, reactor: Any, run: str
    ) -> SlackChannel:
        return SlackChannel(
            self._calls.call,
            access,
            storing.access,
            storing.posts,
            _showing(slack),
            names=_names,
            clock=reactor,
            gateway=storing.gateway,
            run=run,
            name=SLACK,
        )

    def _desk(self, access: Access, gate: Gate, reactor: Any) -> Desk:
        replies = Replies(self._calls, self._refusals, reactor)
        means = access, Cards(access, self.channel, reactor), self._who, self._calls, replies
        return Desk(gate, Clicks(*means), Signs(*means), replies)

    async def start(self) -> None:
        """Begin to show and to take answers; Slack may be down."""
        for part in (self._calls, self.channel, self._way_in):
            await part.start()

    async def stop(self) -> None:
        """What is at hand is done first, and what was refused stands in the record."""
        for part in (self._way_in, self.channel, self._calls, self._refusals):
            await part.stop()

    def adopt(self, slack: Slack | None) -> None:
        """Go by these people and channels from now on; the app stays the same."""
        if slack is not None:
            self._who.adopt(slack.people)
            self.channel.adopt(_showing(slack))


def _showing(slack: Slack) -> Showing:
    rooms = {name: Room(each.channel, each.mention) for name, each in slack.groups.items()}
    users = {name: user for user, name in slack.people.items()}
    return Showing(slack.channel, rooms, users)


async def _names(request: AccessRequest) -> Mapping[str, str]:
    """What was looked up when it was asked."""
    found = request.ask.shown.names.items()
    return {parameter: each.name for parameter, each in found if each.name is not None}


def _note(refused: Note, request: Request, why: str) -> None:
    refused({**asked(request), "why": why})
