"""The control process's part of a gateway of several processes: what it starts workers with."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol

from jitgate.app.recording import Books
from jitgate.app.reloading import Reloading
from jitgate.app.storing import Storing
from jitgate.app.story import Story
from jitgate.approvers.slack.groups import SlackGroups
from jitgate.config.schema import Settings
from jitgate.flow.access import Access
from jitgate.flow.recorder import Recorder
from jitgate.flow.telling import Telling
from jitgate.identity.own_tokens import OwnTokens
from jitgate.interfaces import IAccessStore
from jitgate.stores.state import environment
from jitgate.workers.crew import Crew, Door
from jitgate.workers.member import Life, Means
from jitgate.workers.share import Counters
from jitgate.workers.wire import (
    COUNTERS,
    LISTENING,
    LOCK,
    REVERSE,
    REVERSE_COUNTERS,
    WIRE,
)

_CODE: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from jitgate.cli.working import main; sys.exit(main(sys.argv[2]))"
)
"""Finds every module where the control process does."""


SHOWN_FOR: Final = 30.0
"""Seconds for which who is in a group is shown as it was told: workers ask each minute."""


class Facts(BaseModel):
    """What a worker is told when it is started. No secret is among it."""

    model_config = ConfigDict(frozen=True)

    config: Path
    slot: int
    workers: int
    parent: int
    """The process that has started it, without which it must not live."""
    family: int
    """Of the socket that all accept from."""
    reverse: int | None
    """Of the one for hosts of the gateway's own, if there are any."""
    site: str
    run: str
    """The control process's log, which is the run that the store was marked with."""
    log: str
    gateway: str
    born: float
    """Since when keys of the gateway's own tokens follow one another."""
    revision: int
    """How far the store had come at least."""


class About(NamedTuple):
    """Which run of which gateway it is that has workers."""

    config: Path
    site: str
    run: str
    """What the control process's own log is called."""
    lock: int
    """The descriptor of the lock on the state folder."""


class Spawning:
    """Starts workers of a crew, with what stays the same for all."""

    def __init__(self, about: About, staff: Staff, born: float, storing: Storing) -> None:
        self._about = about
        self._staff = staff
        self._born = born
        self._highest = storing.highest

    def __call__(self, life: Life, process: ProcessProtocol, wire: int) -> Any:
        """The process's transport; ``wire`` is its end of what it is spoken to by."""
        doors = {name: door.socket for name, door in self._staff.doors.items()}
        facts = Facts(
            config=self._about.config.absolute(),
            slot=life.slot,
            workers=self._staff.count,
            parent=os.getpid(),
            family=doors["proxy"].family,
            reverse=doors["reverse"].family if "reverse" in doors else None,
            site=self._about.site,
            run=self._about.run,
            log=life.log,
            gateway=life.gateway,
            born=self._born,
            revision=self._highest(),
        )
        words = (sys.executable, "-P", "-c", _CODE, orjson.dumps(sys.path), facts.model_dump_json())
        with Path(os.devnull).open("rb") as nothing:
            return self._staff.reactor.spawnProcess(
                process,
                sys.executable,
                words,
                env=environment(),
                childFDs={
                    0: nothing.fileno(),
                    1: 1,
                    2: 2,
                    WIRE: wire,
                    LOCK: self._about.lock,
                    **self._staff.inherited,
                },
            )


@dataclass(frozen=True, slots=True)
class Desk:
    """Does what workers ask for."""

    recorder: Recorder
    access: Access
    store: IAccessStore
    telling: Telling
    groups: SlackGroups
    clock: IReactorTime
    _told: dict[str, tuple[float, Sequence[str]]] = field(default_factory=dict)
    """When who is in a group was told last, and who that was."""

    def down(self) -> str | None:
        """Why nobody signs for what they write, if so."""
        return self.recorder.refused

    def held_up(self) -> str | None:
        """Why nothing new may begin, if so."""
        return self.recorder.held_up()

    async def tell(self, request: str) -> None:
        """Show a request to people, as it is now. Raises `ApproversUnreachable`, `StoreDown`."""
        found = await self.store.request(request)
        if found is not None:
            await self.telling.tell(found)

    async def tell_grant(self, grant: str, use: str) -> None:
        """Show a grant, and a use of it; nothing depends on that. Raises `StoreDown`."""
        found = await self.store.grant(grant)
        if found is not None:
            self.telling.grant_soon(found, await self.store.use(use) if use else None)

    async def members(self, group: str) -> Sequence[str]:
        """Who is in a group in Slack, to be shown: no answer is counted in a worker.

        Slack is asked once for all of them. Raises `PeopleUnknown`.
        """
        at, members = self._told.get(group, (0.0, ()))
        if self.clock.seconds() - at < SHOWN_FOR:
            return members
        members = await self.groups.members(group)
        self._told[group] = self.clock.seconds(), members
        return members

    async def orphaned(self, gateway: str) -> None:
        """A worker has died: give up what it carried out. Raises `StoreDown`, `RecorderDown`."""
        await self.access.orphaned(gateway)


class Staff:
    """The workers of a gateway, put together."""

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self.count = settings.workers
        self.reactor = reactor
        self.doors = {"proxy": Door(settings.listen.proxy, "listen.proxy")}
        if settings.listen.reverse is not None:
            own = settings.listen.reverse.address
            self.doors["reverse"] = Door(own, "listen.reverse.address")
        self._counters = {name: Counters.made(settings.workers) for name in self.doors}
        self.crew = Crew(settings.workers, stop=settings.limits.bounds.stop)
        self.relay = self.crew.relay

    @property
    def inherited(self) -> Mapping[int, int]:
        """The descriptors of the ports, by what they are to workers."""
        numbers = {"proxy": (LISTENING, COUNTERS), "reverse": (REVERSE, REVERSE_COUNTERS)}
        found: dict[int, int] = {}
        for name, door in self.doors.items():
            listening, counters = numbers[name]
            found |= {listening: door.socket.fileno(), counters: self._counters[name].descriptor}
        return found

    def equip(
        self,
        about: About,
        desk: Desk,
        story: Story,
        reloading: Reloading,
        *,
        books: Books,
        storing: Storing,
        own: OwnTokens,
    ) -> None:
        """Give them what they are started and served with; hold them to what ends here."""
        self.crew.means = Means(
            run=about.run,
            gateway=storing.gateway,
            spawn=Spawning(about, self, own.born, storing),
            books=books,
            desk=desk,
            digest=lambda: reloading.digest,
            counters=tuple(self._counters.values()),
            changed=self.crew.changed_by,
            reactor=self.reactor,
            seed=own.seed,
        )
        story.grants.elsewhere = self.crew
        story.revocations.elsewhere = self.crew.believe_no_more

    # --- what the health page shows of them

    @property
    def states(self) -> Mapping[str, Callable[[], str | None]]:
        """Why they do not serve, if so."""
        return {"proxy": self.crew.none_serves, "workers": self.crew.down}

    def switched_off(self, here: Callable[[], Sequence[str]]) -> Callable[[], Sequence[str]]:
        """Which plugins are switched off in any process, and why."""
        return lambda: list(dict.fromkeys(chain(here(), *self.crew.told("off"))))

    def slowed(self, here: Callable[[], Mapping[str, float]]) -> Callable[[], Mapping[str, float]]:
        """Of which targets calls wait in any process, and until when."""

        def latest() -> Mapping[str, float]:
            slowed = dict(here())
            for told in self.crew.told("slowed"):
                slowed |= {each: max(at, slowed.get(each, 0.0)) for each, at in told.items()}
            return slowed

        return latest
