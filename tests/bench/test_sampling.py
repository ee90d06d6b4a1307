"""A program that is looked at says where its main thread was, while it was on a processor."""

import os
import subprocess
import sys
from pathlib import Path

from bench.sampling import STACKS

PROGRAM = """
import os, signal, time
def busy():
    while time.thread_time() < 0.6:
        pass
os.kill(os.getpid(), signal.SIGUSR1)
busy()
time.sleep(0.6)
os.kill(os.getpid(), signal.SIGUSR2)
"""


def test_what_waits_is_not_sampled(tmp_path):
    (tmp_path / "busy_program.py").write_text(PROGRAM)
    stacks = tmp_path / "stacks"
    command = [sys.executable, "-m", "tests.bench.sampling", "python", "-m", "busy_program"]
    places = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1]), *sys.path])
    env = {**os.environ, STACKS: str(stacks), "PYTHONPATH": places}
    subprocess.run(command, cwd=Path(__file__).parents[2], env=env, check=True)
    lines = [line.rpartition(" ") for line in stacks.read_text().splitlines()]
    counts = {stack: int(count) for stack, _, count in lines}
    busy = sum(count for stack, count in counts.items() if "busy (" in stack.split(";")[-1])
    assert busy > 10
    assert busy > 0.9 * sum(counts.values())
