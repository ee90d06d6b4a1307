"""The port that operators come to: what its pages and a scrape are told of all parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.interfaces import IStreamServerEndpoint

from jitgate.admin.bounds import Note
from jitgate.admin.health import AdminSite, unready
from jitgate.admin.metrics import Metrics
from jitgate.admin.phase import Phase
from jitgate.app.channels import Channels
from jitgate.app.crew import Staff
from jitgate.app.measuring import Measures, load_of
from jitgate.app.recording import Recorded
from jitgate.app.slack_settings import SLACK
from jitgate.app.story import Ground, Story
from jitgate.approvers.webhook.resource import SEGMENT


def admin_of(
    endpoint: IStreamServerEndpoint,
    ground: Ground,
    story: Story,
    kept: Recorded,
    channels: Channels,
    *,
    staff: Staff | None,
    phase: Phase,
    refused: Note,
    reactor: Any,
) -> AdminSite:
    """What they come to at ``endpoint``; of workers, if there are any, ``staff`` tells.

    It is one long list: of all that is told, who is asked for it.
    """
    recorder, hooks, slack = ground.recorder, channels.hooks, channels.slack
    off: Callable[[], Sequence[str]] = story.decider.switched_off
    slowed: Callable[[], Mapping[str, float]] = ground.pace.slowed
    down: dict[str, Callable[[], str | None]] = {
        "recorder": lambda: recorder.down,
        "webhooks": hooks.down,
        **ground.storing.states,
        **({} if slack is None else slack.down),
        **kept.states,
    }
    if staff is not None:
        off, slowed = staff.switched_off(off), staff.slowed(slowed)
        down |= staff.states
    measures = Measures(
        tally=ground.tally,
        load=partial(load_of, story, recorder),
        others=None if staff is None else staff.crew,
        parts=down,
        ready=lambda: not unready(phase.why, down),
        switched_off=off,
        slowed=slowed,
        policy=story.decider.version,
        pending=lambda: len(story.access.pending),
        outboxes=lambda: {
            **hooks.waiting(),
            **({} if slack is None else {SLACK: slack.channel.waiting}),
        },
        archive=kept.archive,
        late=kept.late,
    )
    return AdminSite(
        endpoint,
        down,
        refused,
        off,
        slowed=slowed,
        phase=phase.why,
        metrics=Metrics(measures.counts, measures.readings, reactor),
        callbacks={SEGMENT: hooks.site, **({} if slack is None else slack.callbacks)},
    )
