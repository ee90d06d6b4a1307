"""The ways to people: the control socket, Slack, webhooks and those of plugins, put together."""

from __future__ import annotations

import random
from typing import Any

from jitgate.admin.bounds import Note
from jitgate.app.in_force import InForce
from jitgate.app.provided import CONTROL, open_ways
from jitgate.app.recording import Recorded
from jitgate.app.slack_settings import SLACK, slack_way
from jitgate.app.story import Ground, Story
from jitgate.approvers.commands import Doers, Reload
from jitgate.approvers.control import ControlSocket
from jitgate.approvers.slack.groups import SlackGroups
from jitgate.approvers.webhook.hooks import Webhooks
from jitgate.interfaces import IApproverChannel


class Channels:
    """All of them; ``opened`` holds those in which people are asked, in their order.

    What an operator does at the control socket is done by ``kept`` and ``reload``. ``refused``
    hears of callbacks that are turned away, and ``run`` is what this run is called.
    """

    def __init__(
        self,
        first: InForce,
        ground: Ground,
        story: Story,
        kept: Recorded,
        opened: list[IApproverChannel],
        *,
        reload: Reload,
        slack_groups: SlackGroups,
        refused: Note,
        run: str,
        reactor: Any,
    ) -> None:
        settings, storing = ground.settings, ground.storing
        self.control = _control(first, story, kept, reload, reactor)
        self.hooks = Webhooks(
            story.access,
            store=storing.access,
            posts=storing.posts,
            once=storing.once,
            recorder=kept.recorder,
            clock=reactor,
            jitter=random.random,
        )
        self.slack = slack_way(
            settings,
            first.slack,
            groups=slack_groups,
            access=story.access,
            storing=storing,
            recorder=kept.recorder,
            refused=refused,
            reactor=reactor,
            run=run,
        )
        self._opened = opened
        own = {CONTROL: self.control} if "control" in settings.services else {}
        self._own = own if self.slack is None else {**own, SLACK: self.slack.channel}
        self._open(first)

    def adopt(self, new: InForce) -> None:
        """Ask people in these ways from now on, and let those answer who may now."""
        self.control.adopt(new.powers)
        if self.slack is not None:
            self.slack.adopt(new.configuration.settings.slack)
        self._open(new)

    def _open(self, new: InForce) -> None:
        self.hooks.adopt(new.hooks)
        open_ways(self._opened, {**self._own, **self.hooks.channels}, new.channels)


def _control(
    first: InForce, story: Story, kept: Recorded, reload: Reload, reactor: Any
) -> ControlSocket:
    return ControlSocket(
        first.configuration.control_socket,
        story.access,
        first.powers,
        Doers(reload, story.revocations.revoke_subject, kept.retain, kept.copies, kept.rotate),
        recorder=kept.recorder,
        clock=reactor,
        reactor=reactor,
    )
