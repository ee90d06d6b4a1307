"""The gateway for as long as one likes, at half of what it can, with every fault of the tests.

From the project's root: ``python -m tests.soak --minutes 60``. What happens stands in `calls` and `long_calls` (what
agents do, and expect) and `faults` (what goes wrong meanwhile, and which errors that
explains); `judging` says whether all of it was as it should be.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as for pytest: `support` is found there
