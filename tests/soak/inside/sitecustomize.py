"""Inside of each process of the gateway: tells, on SIGUSR2, what is alive in it.

The interpreter imports it at its start. JITGATE_SOAK names the folder in which each process writes
``PID.json``. JITGATE_SOAK_LEAK is what is let leak at each look, so that it is seen to be found.
"""

import gc
import json
import os
import signal
from collections import Counter
from pathlib import Path
from types import FunctionType

_leaked: list[object] = []


def _leak(what: str) -> None:
    if what == "deferreds":
        from twisted.internet.defer import Deferred  # noqa: PLC0415 (only where it is wanted)

        _leaked.extend(Deferred() for _ in range(100))
    elif what == "descriptors":
        _leaked.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(10))
    elif what == "memory":
        _leaked.append(os.urandom(4 * 1024 * 1024))


def _functions(alive: list[object]) -> "Counter[str]":
    """Of which functions there are several: closures, by where they are made."""
    made = (each for each in alive if type(each) is FunctionType)
    return Counter(f"{each.__module__}.{each.__qualname__}" for each in made)


def _tell(*_: object) -> None:
    gc.collect()
    alive = gc.get_objects()
    kinds = Counter(type(each).__name__ for each in alive)
    told = {
        "deferreds": kinds["Deferred"],
        "coroutines": kinds["coroutine"] + kinds["generator"] + kinds["async_generator"],
        "objects": len(alive),
        "kinds": dict(kinds.most_common(60)),
        "functions": dict(_functions(alive).most_common(40)),
    }
    del alive
    place = Path(os.environ["JITGATE_SOAK"])
    new = place / f"{os.getpid()}.new"
    new.write_text(json.dumps(told))
    new.replace(place / f"{os.getpid()}.json")
    _leak(os.environ.get("JITGATE_SOAK_LEAK", ""))


if "JITGATE_SOAK" in os.environ:
    signal.signal(signal.SIGUSR2, _tell)
