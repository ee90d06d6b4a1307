"""``python -m tests.bench.profile``: what each stage takes of the first row's time.

The gateway is looked at under the first row's load (`sampling`). Each sample of the reactor's thread
counts for the innermost frame that belongs to a stage, so that what a library does counts for
whoever called it. How long that thread is at work for a request, and how long the recorder's is, is
told by the kernel's clocks, over the same load before anybody looks.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from . import machine, sampling, site
from .load import Load
from .proxies import Proxy, jitgate
from .report import marked
from .rounds import Bench
from .rows import CONNECTIONS
from .site import CLEAN, HOST, LENT, SECRET

TLS = "TLS"

STAGES = (
    (TLS, r"/jitgate/tls\.py|/OpenSSL/|/twisted/protocols/tls\.py"),
    ("sockets", r"/twisted/internet/(tcp|abstract|unix)\.py"),
    ("Deferreds", r"/twisted/internet/defer\.py"),
    (
        "handing over to a thread and back",
        r"/jitgate/service\.py|/twisted/internet/_signals\.py|callFromThread|/threading\.py",
    ),
    ("reactor", r"/jitgate/reactor\.py|/twisted/(?!python/util\.py)"),
    ("HTTP/1.1, read and written", r"/jitgate/core/(http1_|heads|fields)|Fields\."),
    (
        "naming the operation",
        r"/jitgate/core/(operation|catalog|naming|parameters|placing)|/jitgate/catalogs/",
    ),
    ("policy", r"/jitgate/core/(policy|duties|binding)|/jitgate/rules/|/jitgate/flow/deciding"),
    (
        "masking, and the way out",
        r"/jitgate/(maskers/|core/(chars|cod|hid|json_|lit|mask|media|pass|plan|prof)|flow/(dec|rel|sl))",
    ),
    ("rebuilding the message", r"/jitgate/core/injection"),
    ("record", r"/jitgate/flow/(account|recorder)|/jitgate/stores/|/jitgate/core/merkle"),
    ("time and limits", r"/jitgate/flow/(load|deadlines|rates)"),
    ("the story", r"/jitgate/flow/"),
    ("the agent's side", r"/jitgate/proxy/"),
    ("the target's side", r"/jitgate/upstreams/"),
    ("identity", r"/jitgate/identity/"),
    ("the rest of jitgate", r"/jitgate/"),
)
"""Stages and the files that are theirs; of those that fit a frame the first counts."""

OTHER = "other"

THREAD = "record, in its thread"

SIDES = {
    "the agent's side": f"{TLS}, towards agents",
    "the target's side": f"{TLS}, towards targets",
}
"""What is encrypted is so on somebody's behalf; what comes in is decrypted before it is anybody's."""

_STAGES = tuple((name, re.compile(pattern)) for name, pattern in STAGES)


def main(arguments: list[str]) -> int:
    """Profile, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument("--masked", action="store_true", help="the load of the row `masked`")
    parser.add_argument("--folded", type=Path, metavar="FILE", help="keep the stacks there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite its table")
    asked = parser.parse_args(arguments)
    with site.running() as place:
        path, host = (SECRET, LENT) if asked.masked else (CLEAN, HOST)
        stacks, times = _sampled(place, path, host, asked.seconds)
    if asked.folded:
        asked.folded.write_text(stacks)
    lines = table(spread(by_stage(stacks.splitlines()), *times))
    print("\n".join(lines))
    if asked.markdown:
        asked.markdown.write_text(marked(asked.markdown.read_text(), "profile", lines))
    return 0


def by_stage(stacks: Iterable[str]) -> Counter[str]:
    """Samples for each stage. A stack is ``outermost;...;innermost count``."""
    found = Counter[str]()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        found[stage(frames)] += int(count)
    return found


def stage(frames: Sequence[str]) -> str:
    """The stage that a stack is in; ``frames`` begins with the outermost."""
    named = [name for frame in reversed(frames) if (name := _stage(frame))]
    if not named:
        return OTHER
    if named[0] != TLS:
        return named[0]
    return next((SIDES[name] for name in named if name in SIDES), f"{TLS}, reading")


def spread(found: Mapping[str, int], reactor: float, recorder: float) -> Mapping[str, float]:
    """The time for each stage: what the reactor's thread takes, by its samples, and the other."""
    total = sum(found.values())
    return {name: reactor * count / total for name, count in found.items()} | {THREAD: recorder}


def table(costs: Mapping[str, float]) -> list[str]:
    """A table in Markdown of the microseconds of each stage, the most first, and of all."""
    total = sum(costs.values())
    rows = [*sorted(costs.items(), key=lambda each: -each[1]), ("a request", total)]
    lines = [f"| {name} | {cost:.1f} | {100 * cost / total:.1f} % |" for name, cost in rows]
    return ["| stage | µs | share |", "|---|---:|---:|", *lines]


def _stage(frame: str) -> str | None:
    return next((name for name, pattern in _STAGES if pattern.search(frame)), None)


def _times(bench: Bench, proxy: Proxy, load: Load) -> tuple[float, float]:
    """Microseconds that the threads of a gateway take for a request of this load."""
    marks: dict[str, tuple[float, float]] = {}
    told = bench.ask(
        proxy, load, lambda word: marks.update({word: machine.thread_seconds(proxy.pid)})
    )
    reactor, recorder = (
        1e6 * (after - before) / told.done
        for before, after in zip(marks["READY"], marks["DONE"], strict=True)
    )
    return reactor, recorder


def _sampled(
    place: site.Site, path: str, host: str, seconds: int
) -> tuple[str, tuple[float, float]]:
    """The stacks of a gateway under load, and what its threads take for a request."""
    output = place.folder / "stacks"
    bench = Bench(place, (), 1, seconds, 0, place.folder, print)
    os.environ[sampling.STACKS] = str(output)
    under = (sys.executable, "-m", sampling.__name__)
    with bench.gateway_folder() as folder, jitgate(place, folder, command=under) as proxy:
        load = proxy.load(path, host, c=CONNECTIONS, t=seconds, m="ka", W="")
        times = _times(bench, proxy, load)
        os.kill(proxy.pid, signal.SIGUSR1)
        bench.ask(proxy, load)
        os.kill(proxy.pid, signal.SIGUSR2)
    return output.read_text(), times


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
