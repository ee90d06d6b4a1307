"""Puts together what a scrape is told: the counts of all processes, and how things are now."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol

from jitgate.admin.metrics import Counts, Reading
from jitgate.app.story import Story
from jitgate.core.tally import Family, Sums, Tally, summed
from jitgate.flow.recorder import Recorder

_EACH: Final = ("process",)

LOADS: Final = {
    each.name: each
    for each in (
        Family("jitgate_tunnels_open", "Tunnels of proved agents", _EACH),
        Family("jitgate_exchanges_open", "Exchanges at hand, whatever they wait for", _EACH),
        Family("jitgate_exchanges_carried", "Those that do not wait for people", _EACH),
        Family("jitgate_calls_held", "Calls that are held while people are asked", _EACH),
        Family("jitgate_held_body_bytes", "Bytes of bodies that are held", _EACH),
        Family("jitgate_recorder_waiting", "Entries that are not durable yet", _EACH),
        Family("jitgate_resident_bytes", "Memory that the process has", _EACH),
        Family("jitgate_open_files", "Its open descriptors", _EACH),
        Family("jitgate_cpu_seconds", "Processor time that it has used", _EACH),
    )
}
"""What each process measures of itself."""

_PEOPLE: Final = Family("jitgate_access_requests_pending", "Access requests that wait for people")
_UP: Final = Family("jitgate_part_up", "Whether a part works: 1, or 0", ("part",))
_READY: Final = Family("jitgate_ready", "Whether agents can be sent here: 1, or 0")
_OFF: Final = Family("jitgate_plugins_switched_off", "Rules and maskers that are switched off")
_SLOWED: Final = Family(
    "jitgate_target_slowed_seconds", "For how long calls wait yet for a target's limit", ("target",)
)
_SERVE: Final = Family("jitgate_workers_serving", "Workers that accept connections")
_STARTS: Final = Family("jitgate_worker_starts", "Times that a worker was started")
_INFO: Final = Family("jitgate_info", "1, with what is in force", ("version", "policy"))
_OUTBOX: Final = Family(
    "jitgate_outbox", "Access requests of which a channel has something to tell yet", ("channel",)
)
_ARCHIVE: Final = Family("jitgate_archive_waiting_bytes", "Bytes of files in no archive yet")
_LATE: Final = Family(
    "jitgate_keeper_late_seconds",
    "For how long a keeper has kept none of the checkpoints that there were to keep",
    ("keeper",),
)

_VERSION: Final = version("jitgate")
_PAGE: Final = resource.getpagesize()


class Others(Protocol):
    """The workers, if there are any."""

    @property
    def counted(self) -> Sequence[Sums]: ...
    def loads(self) -> Iterable[tuple[str, Mapping[str, float]]]: ...
    @property
    def serving(self) -> int: ...
    @property
    def starts(self) -> int: ...


def load_of(story: Story, recorder: Recorder) -> Mapping[str, float]:
    """How much a process carries now, by the names in `LOADS`."""
    load = story.load
    return {
        "jitgate_tunnels_open": load.tunnels,
        "jitgate_exchanges_open": load.at_hand,
        "jitgate_exchanges_carried": load.carried,
        "jitgate_calls_held": len(story.access.pending.holding),
        "jitgate_held_body_bytes": story.bodies.held,
        "jitgate_recorder_waiting": recorder.waiting,
        "jitgate_resident_bytes": int(_proc("statm").split()[1]) * _PAGE,
        "jitgate_open_files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 (as quick as can be)
        "jitgate_cpu_seconds": time.process_time(),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """All that a scrape is told, and who is asked for it then."""

    tally: Tally
    load: Callable[[], Mapping[str, float]]
    others: Others | None
    parts: Mapping[str, Callable[[], str | None]]
    ready: Callable[[], bool]
    switched_off: Callable[[], Sequence[str]]
    slowed: Callable[[], Mapping[str, float]]
    policy: Callable[[], str]
    pending: Callable[[], int]
    outboxes: Callable[[], Mapping[str, int]]
    archive: Callable[[], int] | None
    late: Callable[[], Mapping[str, float]]

    def counts(self) -> Counts:
        """Those of all processes together."""
        others = () if self.others is None else [each.rows() for each in self.others.counted]
        return summed(self.tally.rows(), *others)

    def readings(self) -> Iterator[Reading]:
        """How things are now."""
        yield Reading(_INFO, (_VERSION, self.policy()), 1)
        yield Reading(_READY, (), self.ready())
        for part, down in self.parts.items():
            yield Reading(_UP, (part,), down() is None)
        yield Reading(_PEOPLE, (), self.pending())
        for channel, waiting in self.outboxes().items():
            yield Reading(_OUTBOX, (channel,), waiting)
        yield Reading(_OFF, (), len(self.switched_off()))
        now = time.time()
        for target, until in self.slowed().items():
            yield Reading(_SLOWED, (target,), max(until - now, 0.0))
        if self.archive is not None:
            yield Reading(_ARCHIVE, (), self.archive())
        for keeper, seconds in self.late().items():
            yield Reading(_LATE, (keeper,), seconds)
        yield from self._loads()

    def _loads(self) -> Iterator[Reading]:
        loads = [("gateway" if self.others is None else "control", self.load())]
        if self.others is not None:
            yield Reading(_SERVE, (), self.others.serving)
            yield Reading(_STARTS, (), self.others.starts, counter=True)
            loads += self.others.loads()
        for process, load in loads:
            for name, value in load.items():
                yield Reading(LOADS[name], (process,), value, counter=name == "jitgate_cpu_seconds")


def _proc(name: str) -> str:
    return Path("/proc/self", name).read_text()
