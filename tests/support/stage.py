"""A plugin of the tests: a gateway that dies at a moment they choose, and whose Slack is in haste.

Once an approval is in the store and durable in the record, channels are told of it, before Slack is
acknowledged: a channel that dies then kills the gateway between the two. `haste`: how many times as
fast as Slack's own limits the gateway writes to it, so that a minute of theirs passes in seconds.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from pydantic import Field
from zope.interface import implementer

from jitgate.approvers.slack import queue
from jitgate.approvers.slack.queue import Pace
from jitgate.interfaces import IApproverChannel
from jitgate.plugins import PluginOptions
from jitgate.values import AccessRequest, AccessState


class Options(PluginOptions):
    """``fatal``: while this file exists, an approval is the last thing that happens."""

    fatal: str
    haste: float = Field(default=1.0, ge=1.0)


@implementer(IApproverChannel)
class Stage:
    """Shows nobody anything."""

    name = "stage"
    version = "1"

    def __init__(self, fatal: Path) -> None:
        self._fatal = fatal

    async def tell(self, request: AccessRequest) -> None:
        if request.state is AccessState.APPROVED and self._fatal.exists():
            os.kill(os.getpid(), signal.SIGKILL)


def plugin(options: Options) -> Stage:
    """What the configuration's ``plugins`` entry loads."""
    for paces in (queue.IN_A_ROOM, queue.IN_ALL):
        for method, pace in paces.items():
            paces[method] = Pace(pace.rate * options.haste, pace.burst)
    return Stage(Path(options.fatal))
