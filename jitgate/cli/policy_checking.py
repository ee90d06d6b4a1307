"""`jitgate policy check`: what is wrong with the rules, and what can hardly be meant."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator

from jitgate.app.doubts import doubts
from jitgate.app.notices import notices
from jitgate.app.offline import Offline, offline
from jitgate.cli.configured import named_file
from jitgate.cli.policy_words import standing
from jitgate.core.visible import visible
from jitgate.errors import ConfigurationInvalid

GOOD, DOUBTFUL, WRONG = 0, 1, 2
"""Exit codes; the last is also that of `jitgate check`."""


def check(arguments: argparse.Namespace) -> int:
    """Check the rules; what is wrong goes to standard error, a line each."""
    file = named_file(arguments.config)
    try:
        made = offline(file)
    except ConfigurationInvalid as error:
        if not arguments.json:
            raise
        print(json.dumps({"problems": list(error.problems), "doubts": []}, indent=2))
        return WRONG
    said = [*doubts(made.configuration, made.policy, made.targets), *notices(made.configuration)]
    if arguments.json:
        print(json.dumps({"problems": [], "doubts": said, **_counted(made)}, indent=2))
    else:
        print(f"{visible(str(file))}: {_in_words(made)}")
        for each in said:
            print(f"doubt: {standing(each)}")
    return DOUBTFUL if said and arguments.strict else GOOD


def _counted(made: Offline) -> dict[str, object]:
    return {
        "rules": {effect: count for effect, count, _ in _effects(made)} | _from_plugins(made),
        "profiles": len(made.profiles),
        "targets": len(made.configuration.settings.targets),
        "policy": made.policy.version,
    }


def _from_plugins(made: Offline) -> dict[str, int]:
    """Their rules do not say beforehand what they answer."""
    provided = len(made.policy.rules) - len(made.configuration.rules) - 1  # one is built in
    return {"plugins": provided}


def _effects(made: Offline) -> Iterator[tuple[str, int, str]]:
    counted: Counter[str] = Counter(rule.effect for rule in made.configuration.rules)
    for effect, verb in (("permit", "permit"), ("review", "ask people"), ("deny", "deny")):
        yield effect, counted[effect], verb


def _in_words(made: Offline) -> str:
    whole = len(made.policy.rules) - 1
    parts = [f"{count} {verb}" for _, count, verb in _effects(made) if count]
    plugins = _from_plugins(made)["plugins"]
    if plugins:
        parts.append(f"{plugins} in plugins")
    profiles = _many(len(made.profiles), "masking profile")
    targets = _many(len(made.configuration.settings.targets), "target")
    listed = f" ({', '.join(parts)})" if parts else ""
    return f"{_many(whole, 'rule')}{listed}, {profiles}, {targets}. Policy {made.policy.version}."


def _many(count: int, one: str) -> str:
    return f"{count} {one}{'s' * (count != 1)}"
