"""The measurement of the record runs, and finds in order what it has written."""

import json
import subprocess
import sys
from pathlib import Path


def test_it_measures_everything_that_has_a_goal(tmp_path):
    command = [sys.executable, "-m", "tests.bench.evidence", "--json", "--disk", tmp_path]
    command += ["--rounds", "1", "--seconds", "0.1", "--exchanges", "800"]
    root = Path(__file__).parents[2]
    told = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    goals = {row["name"] for row in json.loads(told)["rows"] if row["goal"]}
    assert goals == {"durable", "the reactor's time", "verify, bodies", "verify, entries"}
