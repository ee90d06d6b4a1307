"""What `jitgate ca rotate`, `status`, `cancel` and `retire` do in a gateway's state folder."""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from jitgate.cli.moments import typed
from jitgate.errors import ConfigurationInvalid

WEEK: Final = "7d"
"""Until the next CA signs, if nothing is said: agents get its certificate meanwhile."""

ACTIONS: Final = ("rotate", "status", "cancel", "retire")


def act(arguments: argparse.Namespace) -> int:
    """Do what is asked, and say how it stands and what to do next."""
    from jitgate.proxy import rotation
    from jitgate.proxy.authority import read

    state, now = _state(arguments), time.time()
    if arguments.action == "rotate":
        found = rotation.begin(state, now, _moment(arguments.switch, now))
    elif arguments.action == "cancel":
        found = rotation.cancel(state, now)
    elif arguments.action == "retire":
        found = rotation.retire(state, now)
    else:
        found = read(state)
    following = found.following
    told = {
        "signs": found.at(now).sha256,
        "next": None if following is None else following.sha256,
        "switch_at": None if following is None else _utc(found.switch_at),
        "trusted": len(found.trusted),
        "file": f"{state / 'ca.pem'}",
    }
    if arguments.json:
        print(json.dumps(told, indent=2))
        return 0
    print(
        f"signs     {told['signs']}, until {found.at(now).certificate.not_valid_after_utc:%Y-%m-%d}"
    )
    if following is not None:
        has = "signs since" if now >= found.switch_at else "signs from"
        print(f"next      {told['next']}, {has} {told['switch_at']}")
    print(f"agents    must trust all of {told['file']}: {_counted(len(found.trusted))}")
    if arguments.action != "status":
        print(f"Next: jitgate reload --config {arguments.config}")
    return 0


def _counted(certificates: int) -> str:
    return "1 certificate" if certificates == 1 else f"{certificates} certificates"


def _state(arguments: argparse.Namespace) -> Path:
    from jitgate.cli.configured import configuration

    if arguments.config is None:
        raise ConfigurationInvalid([f"jitgate ca {arguments.action} needs --config."])
    state: Path = configuration(arguments.config).settings.state
    return state


def _moment(text: str, now: float) -> float:
    """A time to come, or one so far ahead. Raises `ConfigurationInvalid`."""
    from jitgate.core.durations import duration

    ahead = duration(text)
    if ahead is not None:
        return now + ahead
    moment = typed(text)
    if moment is None:
        raise ConfigurationInvalid(
            [f"--switch {text} is neither a duration (7d) nor a time (2026-12-08T03:00Z)."]
        )
    return max(moment, now)


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
