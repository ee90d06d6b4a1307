"""What `jitgate plugins` does: it loads them as the gateway would, and tells of them."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jitgate.app.problems import Problems
from jitgate.app.provided import Provided, loaded_of
from jitgate.cli.columns import labelled, width
from jitgate.config import read_all
from jitgate.config.schema import Plugin
from jitgate.core.visible import visible
from jitgate.errors import ConfigurationInvalid
from jitgate.plugins import Plugin as Loaded

FILE = "etc/jitgate.yaml"
"""The configuration where none is named."""

HIDDEN = "(not shown)"

_SECRET = re.compile(r"secret|passw|token|key|credential|auth|cookie|bearer|private", re.IGNORECASE)
"""What the name of an option has in it whose value may be a secret, though none should stand there:
rather too many of them than one too few."""

_USER = re.compile(r"(?<=://)[^/@]+@")
"""Name and password in a URL (RFC 3986, section 3.2.1)."""


def listed(arguments: argparse.Namespace) -> int:
    """Tell what is loaded. Raises `ConfigurationInvalid` with everything that is wrong."""
    file = arguments.config or Path(os.environ.get("JITGATE_CONFIG", FILE))
    configuration, found = read_all(file)
    if configuration is None:
        raise ConfigurationInvalid(found)
    problems = Problems(found)
    settings = configuration.settings
    loaded = loaded_of(settings, problems)
    Provided(loaded, problems)
    problems.raise_any()
    told = [_told(*each) for each in zip(settings.plugins, loaded, strict=True)]
    if arguments.json:
        print(json.dumps(told, indent=2))
    else:
        print(*_in_words(told, width()), sep="\n")
    return 0


def _told(written: Plugin, loaded: Loaded) -> dict[str, Any]:
    return {
        "file": f"{loaded.file}",
        "sha256": loaded.digest,
        "provides": [
            {"port": each.port, "name": each.name, "version": each.version}
            for each in loaded.provided
        ],
        "options": shown(written.options),
    }


def shown(value: Any, name: str = "") -> Any:
    """The value of an option, as far as it is shown."""
    if isinstance(value, dict):
        return {str(key): shown(each, f"{name} {key}") for key, each in value.items()}
    if value is not None and _SECRET.search(name):
        return HIDDEN
    if isinstance(value, list):
        return [shown(each, name) for each in value]
    if isinstance(value, str):
        return _USER.sub(f"{HIDDEN}@", value)
    return value if isinstance(value, int | float | bool | None) else f"{value}"


def _in_words(told: Sequence[dict[str, Any]], columns: int) -> Iterator[str]:
    if not told:
        yield "No plugins are configured."
    for number, each in enumerate(told, 1):
        yield f"{number}. {visible(each['file'])}"
        yield from labelled("SHA-256", each["sha256"], columns)
        for thing in each["provides"]:
            what = f"{thing['port']} {thing['name']}, version {thing['version']}"
            yield from labelled("provides", visible(what), columns)
        for name, value in each["options"].items():
            text = json.dumps(value, ensure_ascii=False)
            yield from labelled("option", visible(f"{name}: {text}"), columns)
