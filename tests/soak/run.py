"""One soak from its start to its verdict."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from support.crashing import verified
from support.gateway import health, wait_for

from jitgate.stores.reading import Recording

from .agent import Tally
from .crowd import Crowd
from .faults import Mischief
from .judging import Ends, Growth, Look, Trouble, Window, explained, growths, lacking
from .site import Site, running

CAPACITY = 0.15
"""Part of the time, and at most a minute, for which it is asked whatever it can."""

WELL = 180.0
"""Seconds until all is well again after faults."""

SHARE = 0.5
"""Of what it can."""

ERROR = re.compile(r"#(warn|error|critical)\]|Traceback|^Exception|never awaited|Unhandled")
"""A line of the log that something must explain."""


@dataclass
class Found:
    """What came of it."""

    seed: int
    seconds: float = 0.0
    calls: int = 0
    rate: float = 0.0
    capacity: float = 0.0
    kinds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)
    explained: Mapping[str, int] = field(default_factory=dict)
    unexplained: Sequence[str] = ()
    undone: Sequence[str] = ()
    """Faults that the soak itself could not do."""
    by_itself: Sequence[str] = ()
    """What counterparts failed with that were asked for no fault."""
    looks: Sequence[Look] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    growths: Sequence[Growth] = ()
    windows: Sequence[Window] = ()
    entries: int = 0
    recorded: int = 0
    lacking: Sequence[str] = ()
    verdict: str = ""
    status: int | None = None
    kept: int = 0
    """Checkpoints that came to their keeper."""

    @property
    def grown(self) -> list[str]:
        """Which quantities grow, of whatever processes."""
        return sorted({each.quantity for each in self.growths if not each.is_flat})

    @property
    def wrong(self) -> list[str]:
        """What is not as it should be, in words."""
        found = []
        if self.unexplained:
            found.append(f"{len(self.unexplained)} errors that nothing explains")
        found += self.undone
        if grown := [each for each in self.growths if not each.is_flat]:
            found.append(", ".join(f"{each.quantity} of {each.process} grow" for each in grown))
        if not self.growths:
            found.append("too short to say whether anything grows")
        if self.lacking:
            found.append(f"{len(self.lacking)} things are not on record")
        if self.verdict != "verified":
            found.append(self.verdict or "not verified")
        if self.status != 0:
            found.append(f"the gateway ended with {self.status}")
        return found

    @property
    def is_well(self) -> bool:
        return not self.wrong

    def as_json(self) -> dict[str, Any]:
        """The same, for programs."""
        simple = (
            *("seed", "seconds", "calls", "rate", "capacity", "kinds", "faults", "explained"),
            *("unexplained", "by_itself", "entries", "recorded", "lacking", "verdict", "status"),
            "kept",
        )
        return {
            **{name: getattr(self, name) for name in simple},
            "wrong": self.wrong,
            "growths": [{**vars(each), "is_flat": each.is_flat} for each in self.growths],
            "looks": [
                {"at": each.at, "process": self.names[each.pid], **each.what} for each in self.looks
            ],
            "windows": [[each.fault, each.begun, each.ended] for each in self.windows],
        }


def soaked(
    folder: Path,
    *,
    minutes: float,
    rounds: int | None,
    workers: int,
    seed: int,
    whole: bool,
    store: str,
    quick: int,
    leak: str,
    say: Callable[[str], None],
) -> Found:
    """Run it, and judge it."""
    found = Found(seed)
    say(f"seed {seed}")
    with running(folder, workers, whole=whole, store=store, leak=leak) as site:
        soak = _Soak(site, found, quick, say)
        soak.measure(min(60.0, CAPACITY * 60 * minutes))
        soak.go(60 * minutes, rounds or max(10, round(minutes)))
        found.status = site.gateway.stop()
        soak.judge()
    return found


class _Soak:
    def __init__(self, site: Site, found: Found, quick: int, say: Callable[[str], None]) -> None:
        self._site, self._found, self._say = site, found, say
        self._tally = Tally()
        self._crowd = Crowd(site, self._tally, found.seed, quick)
        self._begun = time.monotonic()
        self._looks: list[Look] = []
        self._names: dict[int, str] = {}
        self._log: list[Trouble] = []
        self._mischief: Mischief | None = None
        self._shown = set[Trouble]()
        self._watching = threading.Thread(target=self._read_log, daemon=True)
        self._ended = threading.Event()
        self._watching.start()

    # --- as it goes

    def measure(self, seconds: float) -> None:
        """What it can, without a fault."""
        self._crowd.start()
        time.sleep(seconds / 4)  # until all of it is warm
        before, begun = self._tally.count, time.monotonic()
        time.sleep(seconds)
        done, took = self._tally.count - before, time.monotonic() - begun
        self._crowd.stop()
        self._found.capacity = done / took
        self._crowd.pace.rate = SHARE * self._found.capacity
        self._say(f"It can {self._found.capacity:.1f} calls a second; it is asked half of that.")

    def go(self, seconds: float, rounds: int) -> None:
        """Rounds of load with faults, and after each a look at what is left."""
        each = seconds / rounds
        self._mischief = Mischief(self._site, self._found.seed, min(8.0, each / 4), time.monotonic)
        self._rest()
        for number in range(1, rounds + 1):
            before, begun = self._tally.count, time.monotonic()
            self._crowd.start()
            with self._mischief.at_work():
                time.sleep(each)
            self._crowd.stop()
            self._found.seconds += time.monotonic() - begun
            self._found.calls += self._tally.count - before
            self._rest()
            self._tell(number, rounds)
        self._found.rate = self._found.calls / self._found.seconds

    def _rest(self) -> None:
        """Until nothing goes on, and then a look."""
        self._until_well()
        if self._site.gateway.process.poll() is None:
            wait_for(lambda: not list(self._site.people.all("requests")))
        time.sleep(1.0)
        self._site.tidy()
        self._look()

    def _until_well(self) -> None:
        """A worker that goes on dying is replaced after half a minute, and the next one reads."""
        deadline = time.monotonic() + WELL
        while not self._site.is_well():
            if time.monotonic() > deadline:
                raise RuntimeError(f"it does not get well: {health(self._site.gateway)}")
            time.sleep(0.2)

    def _look(self) -> None:
        at = time.monotonic() - self._begun
        for pid, name in self._site.processes().items():
            self._names.setdefault(pid, self._named(name))
            told = self._site.folder / "told" / f"{pid}.json"
            told.unlink(missing_ok=True)
            os.kill(pid, signal.SIGUSR2)
            wait_for(told.exists)
            what = json.loads(told.read_text())
            kinds = {name: what.pop(name) for name in ("kinds", "functions")}
            what["memory"] = _own_memory(pid)
            what["descriptors"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            self._looks.append(Look(at, pid, what))
            with (self._site.folder / "alive.jsonl").open("a") as file:
                file.write(json.dumps({"at": at, "pid": pid, **kinds}) + "\n")

    def _named(self, name: str) -> str:
        """A name that no other process had."""
        before = sum(each.partition(", ")[0] == name for each in self._names.values())
        return f"{name}, life {before + 1}" if before else name

    def _tell(self, number: int, rounds: int) -> None:
        mischief = self._mischief
        assert mischief is not None
        judged = explained([*self._tally.troubles, *self._log], mischief.windows)
        now = [look for look in self._looks if look.at == self._looks[-1].at]
        memory = ", ".join(f"{look.what['memory'] / 2**20:.0f}" for look in now)
        self._say(
            f"{number}/{rounds}: {self._tally.count:,} calls, {len(mischief.windows)} faults, "
            f"{sum(judged.by.values())} errors explained, {len(judged.unexplained)} not; "
            f"MiB {memory}; "
            f"descriptors {', '.join(str(look.what['descriptors']) for look in now)}; "
            f"Deferreds {', '.join(str(look.what['deferreds']) for look in now)}"
        )
        for trouble in judged.unexplained:
            if trouble not in self._shown:
                self._say(f"  UNEXPLAINED at {trouble.ended - self._begun:.1f}: {trouble.text}")
        self._shown.update(judged.unexplained)

    def _read_log(self) -> None:
        """Take what the log says, with the time at which it said it."""
        output = self._site.gateway.output
        with (self._site.folder / "log").open("a") as file:
            while not self._ended.is_set() or output:
                self._ask_slack()
                lines, now = output[:], time.monotonic()
                del output[: len(lines)]
                for line in lines:
                    file.write(line)
                    if ERROR.search(line):
                        self._log.append(Trouble(now - 0.5, now, line.strip(), is_log=True))
                file.flush()
                self._ended.wait(0.2)

    def _ask_slack(self) -> None:
        if self._site.slack is not None and self._mischief is not None:
            for what in self._site.slack.failures():
                self._mischief.slack_failed(what)
                self._say(f"The tests' Slack failed by itself: {what}")

    # --- at the end

    def judge(self) -> None:
        """Say what came of it."""
        self._ended.set()
        self._watching.join()
        found, mischief = self._found, self._mischief
        assert mischief is not None
        judged = explained([*self._tally.troubles, *self._log], mischief.windows)
        found.explained = judged.by
        found.undone = mischief.failed
        found.by_itself = mischief.by_itself
        found.unexplained = [
            f"at {each.ended - self._begun:.1f} s: {each.text}" for each in judged.unexplained
        ]
        found.faults = Counter(window.fault for window in mischief.windows)
        found.windows = [
            Window(each.fault, each.explains, each.begun - self._begun, each.ended - self._begun)
            for each in mischief.windows
        ]
        found.kinds = {
            kind: {
                "done": self._tally.calls[kind],
                "p50": 1000 * statistics.median(took),
                "p99": 1000 * sorted(took)[int(0.99 * (len(took) - 1))],
            }
            for kind, took in self._tally.seconds.items()
        }
        found.looks, found.names = self._looks, self._names
        found.growths = growths(self._looks, self._names)
        found.kept = self._site.keeper.taken
        self._judge_record()

    def _judge_record(self) -> None:
        found, recordings = self._found, self._site.recordings
        self._say("The record is verified, and every answer looked up in it.")
        newest = max((recordings / "checkpoints").iterdir()).read_bytes()
        try:
            report = verified(recordings, self._site.folder / "state" / "site.vkey", newest)
        except AssertionError as error:
            found.verdict = f"it does not verify: {error}"
        else:
            found.verdict = "verified" if report.all_witnessed else "not all is witnessed"
        ends, ahead = Ends(), time.time() - time.monotonic()
        for kept in Recording(recordings).every_entry():
            found.entries += 1
            _enter(ends, kept, ahead)
        lost = {
            line["log"]
            for file in (recordings / "site").glob("*.jsonl")
            for line in map(orjson.loads, file.read_bytes().splitlines())
            if line["type"] == "log.closed" and not line["clean"]
        }
        found.recorded = len(self._tally.answered)
        assert self._mischief is not None
        windows = self._mischief.windows
        found.lacking = lacking(ends, self._tally.answered, self._site.sent, lost, windows)


def _enter(ends: Ends, kept: Any, ahead: float) -> None:
    """Take in an entry; times on record are ``ahead`` of the clock that all else goes by."""
    exchange = kept.text("exchange") or ""
    if kept.type == "decision":
        path = str(kept.part("request")["target"])
        at = datetime.fromisoformat(kept.text("time") or "").timestamp() - ahead
        ends.paths[exchange], ends.decided[exchange] = path, (kept.log, at)
    elif kept.type == "outcome":
        ends.decided.pop(exchange, None)
        path = ends.paths.get(exchange, "")
        with suppress(TypeError, ValueError):
            ends.statuses.setdefault(path, set()).add(int(kept.content["status"]))


def _own_memory(pid: int) -> int:
    """Bytes that nobody else has in memory."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    fields = {line.split(":")[0]: line.split() for line in lines[1:]}
    names = ("Private_Clean", "Private_Dirty", "Swap")
    return sum(int(fields[name][1]) for name in names) * 1024
