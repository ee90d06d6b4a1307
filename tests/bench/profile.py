"""``python -m tests.bench.profile``: where the time of the first row goes, stage by stage.

py-spy looks at the gateway while it is under the first row's load. Each sample counts for the
innermost frame that belongs to a stage, so that what a library does counts for whoever called it.
py-spy sees that a thread could run, not that it does: where threads wait for work or for one
another on the one processor, the sample is left out or counts as handing over.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import site
from .proxies import jitgate
from .report import marked
from .rounds import Bench
from .rows import CONNECTIONS
from .site import CLEAN, HOST, LENT, SECRET

RATE = 250
"""Samples a second."""

MORE = 4.0
"""Seconds that the load goes on around the samples: py-spy takes its time to start."""

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
    ("HTTP/1.1, read and written", r"/jitgate/core/http1_|/jitgate/core/fields"),
    ("naming the operation", r"/jitgate/core/operation|/jitgate/catalogs/"),
    ("policy", r"/jitgate/core/policy|/jitgate/rules/|/jitgate/flow/deciding"),
    (
        "masking",
        r"/jitgate/core/(json_|literals|masking|profiles|passage|plan)|/jitgate/maskers/",
    ),
    ("rebuilding the message", r"/jitgate/core/injection"),
    ("record", r"/jitgate/flow/(account|recorder)|/jitgate/stores/|/jitgate/core/merkle"),
    ("the story", r"/jitgate/flow/"),
    ("the agent's side", r"/jitgate/proxy/"),
    ("the target's side", r"/jitgate/upstreams/"),
    ("identity", r"/jitgate/identity/"),
    ("the rest of jitgate", r"/jitgate/"),
)
"""Stages and the files that are theirs; of those that fit a frame the first counts."""

OTHER = "other"

WAITING = re.compile(r"^(\w+\.)?(doPoll|doIteration|_work|_worker|wait) ")
"""Innermost frames of threads that have nothing to do."""

SIDES = {
    "the agent's side": f"{TLS}, towards agents",
    "the target's side": f"{TLS}, towards targets",
}
"""What is encrypted is so on somebody's behalf; what comes in is decrypted before it is anybody's."""

_STAGES = tuple((name, re.compile(pattern)) for name, pattern in STAGES)


def main(arguments: list[str]) -> int:
    """Profile, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--masked", action="store_true", help="the load of the row `masked`")
    parser.add_argument("--folded", type=Path, metavar="FILE", help="keep the stacks there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite its table")
    asked = parser.parse_args(arguments)
    with site.running() as place:
        path, host = (SECRET, LENT) if asked.masked else (CLEAN, HOST)
        stacks = _sampled(place, path, host, asked.seconds)
    if asked.folded:
        asked.folded.write_text(stacks)
    found = by_stage(stacks.splitlines())
    lines = shares(found)
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
        if not WAITING.match(frames[-1]):
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


def shares(found: Counter[str]) -> list[str]:
    """A table in Markdown of each stage's share of the processor's time."""
    total = found.total()
    lines = [f"| {name} | {100 * count / total:.1f} % |" for name, count in found.most_common()]
    return ["| stage | share |", "|---|---:|", *lines]


def _stage(frame: str) -> str | None:
    return next((name for name, pattern in _STAGES if pattern.search(frame)), None)


def _sampled(place: site.Site, path: str, host: str, seconds: int) -> str:
    """py-spy's stacks of a gateway under load."""
    output = place.folder / "stacks"
    program = Path(sys.executable).with_name("py-spy")
    running: list[subprocess.Popen[bytes]] = []

    bench = Bench(place, (), 1, seconds, 0, place.folder, print)
    with bench.gateway_folder() as folder, jitgate(place, folder) as proxy:
        command: list[str | Path] = [
            program,
            "record",
            "--pid",
            str(proxy.pid),
            "--duration",
            str(seconds),
        ]
        command += ["--rate", str(RATE), "--format", "raw", "--full-filenames"]
        command += ["--output", output]

        def at(word: str) -> None:
            if word == "READY":
                running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))

        load = proxy.load(path, host, c=CONNECTIONS, t=seconds + MORE, m="ka", W="")
        bench.ask(proxy, load, at)
        if running[0].wait(60):
            raise RuntimeError("py-spy failed: it needs to be root, or kernel.yama.ptrace_scope 0")
    return output.read_text()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
