"""What plugin authors use to test theirs: the promises of the ports, as tests to inherit.

A test file loads the plugin as the gateway does, and inherits the suite of its port:

    from jitgate.testing import provided
    from jitgate.testing.rules import RuleContract

    class TestMine(RuleContract):
        def make(self):
            (rule,) = provided("mine.py", actions=["deleteUser"])
            return rule

It needs pytest, pytest-twisted and Hypothesis (``pip install 'jitgate[testing]'``). Nothing of the
gateway imports it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from jitgate import plugins

pytest.register_assert_rewrite(
    "jitgate.testing.contract",
    "jitgate.testing.rules",
    "jitgate.testing.maskers",
    "jitgate.testing.facts",
    "jitgate.testing.catalogs",
    "jitgate.testing.identity",
    "jitgate.testing.credentials",
    "jitgate.testing.lending",
    "jitgate.testing.approvers",
    "jitgate.testing.people",
    "jitgate.testing.groups",
    "jitgate.testing.records",
    "jitgate.testing.listeners",
)


def provided(file: str | Path, **options: object) -> tuple[object, ...]:
    """What the plugin in that file provides when it is given these options, in order.

    The options are as they stand in the configuration. Raises `jitgate.errors.PluginInvalid`, as a
    start does.
    """
    return plugins.load(Path(file), options).provides
