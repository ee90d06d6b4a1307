"""How the programs here say what their client saw: one JSON object, one member a scenario.

The command line names the scenarios; without one all are played, in the order they stand in.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

HTTPBIN = "https://httpbin.example"
DOWN = "https://down.example"
UNKNOWN = "https://unknown.example"

KEY = os.getpid()
"""Nobody else's, for what answers differently the first time."""

BLOCK = b"0123456789abcdef" * 1024
"""16 KiB."""

BLOCKS = 256
"""How many of them are sent: 4 MiB."""

Scenario = Callable[[], Any] | Callable[[], Awaitable[Any]]


async def tell(scenarios: dict[str, Scenario]) -> None:
    """Play them, and print what each returned, or raised."""
    names = sys.argv[1:] or list(scenarios)
    told = {name: await _played(scenarios[name]) for name in names}
    sys.stdout.write(f"{json.dumps(told)}\n")


def public(scenarios: object) -> dict[str, Scenario]:
    """The methods of an object that is nothing but scenarios."""
    return {name: getattr(scenarios, name) for name in vars(type(scenarios)) if name[0] != "_"}


def tell_all(**scenarios: Scenario) -> None:
    """The same, for a program that has no loop of its own."""
    asyncio.run(tell(scenarios))


async def _played(scenario: Scenario) -> Any:
    begun = time.monotonic()
    try:
        result = scenario()
        said = {"said": await result if inspect.isawaitable(result) else result}
    except Exception as error:  # noqa: BLE001 (what the client raises is what is asked)
        said = {"raised": type(error).__name__, "text": str(error)}
    return said | {"seconds": time.monotonic() - begun}
