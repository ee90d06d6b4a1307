"""What jitgate costs, beside what others cost on the same machine; docs/performance.md has more.

From the project's root: ``python -m tests.bench --list``. Of the tests' own parts it uses those
that start the real thing.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as for pytest: `support` is found there
