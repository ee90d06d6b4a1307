"""Which facts rules look at, and who knows them: what is wrong with that is said at the load."""

from __future__ import annotations

import orjson
import pytest
from support.counterparts import TestCA
from support.gateway import settings, target
from support.tokens import Tokens

from jitgate.app.in_force import made
from jitgate.config import load
from jitgate.core.policy import facts_of
from jitgate.errors import ConfigurationInvalid

PLUGIN = """\
from zope.interface import implementer
from jitgate.interfaces import IFacts, IInformedRule


@implementer(IInformedRule)
class Rule:
    name, version = "only-with-a-ticket", "1"

    def __init__(self, facts):
        self.facts = facts

    def judge(self, inquiry):
        return None


@implementer(IFacts)
class Source:
    deadline, max_age = 2.0, 30.0

    def __init__(self, name, version="1", **more):
        self.name, self.version = name, version
        self.__dict__.update(more)

    def key(self, operation, subject):
        return operation.path

    async def gather(self, operation, subject):
        return {{}}


def plugin(options):
    return {provides}
"""


@pytest.fixture
def configured(tmp_path):
    """What a configuration makes with a plugin that provides that; or what is wrong."""
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    ca = TestCA.create(tmp_path, name="origin")
    configuration = settings(tmp_path, Tokens(tmp_path).jwks, [target(1, ca.pem)])

    def look(*provides, **options):
        plugin = tmp_path / "plugin.py"
        plugin.write_text(PLUGIN.format(provides=f"[{', '.join(provides)}]"))
        file = tmp_path / "jitgate.yaml"
        plugins = [{"file": "./plugin.py", "options": options}]
        file.write_bytes(orjson.dumps(configuration | {"plugins": plugins}))
        try:
            return made(load(file), reactor)
        except ConfigurationInvalid as invalid:
            return invalid.problems

    return look


RULE = 'Rule(frozenset({"ticket"}))'


def test_a_rule_and_the_source_that_it_needs(configured):
    in_force = configured(RULE, 'Source("ticket")')
    decided = in_force.decided
    assert [each.name for each in decided["sources"]] == ["ticket"]
    looks = {each.name: facts_of(each) for each in decided["policy"].rules if facts_of(each)}
    assert looks == {"only-with-a-ticket": {"ticket"}}


def test_facts_that_nobody_knows_are_an_error_that_says_where_and_what_may_be_meant(configured):
    (problem,) = configured(RULE, 'Source("tickets")')
    assert "plugin.py: rule only-with-a-ticket looks at facts 'ticket', which no" in problem
    assert problem.endswith("; did you mean 'tickets'?")
    (problem,) = configured(RULE)
    assert problem.endswith("which no plugin provides")


@pytest.mark.parametrize(
    ("provides", "said"),
    [
        (['Source("ticket")', 'Source("ticket")'], "facts 'ticket' is provided more than once"),
        (['Source("ticket", deadline=11)'], "plugin.py: facts 'ticket': its deadline must be"),
        (['Source("ticket", max_age=-1)'], "plugin.py: facts 'ticket': its max_age must be"),
        (['Rule("ticket")'], "plugin.py: rule only-with-a-ticket: its facts are no frozenset"),
    ],
)
def test_what_is_stated_wrongly_is_an_error(configured, provides, said):
    (problem,) = configured(*provides)
    assert said in problem


def test_the_version_of_the_policy_tells_what_knows_the_facts(configured):
    by_option = 'Source("ticket", str(options.get("v")))'
    one, same, other = (configured(RULE, by_option, v=v).version for v in (1, 1, 2))
    assert one == same != other


def test_no_plugin_s_rule_is_called_what_stands_where_no_rule_decided(configured):
    (problem,) = configured('type("Named", (Rule,), {"name": "default"})(frozenset())')
    assert "plugin.py" in problem
    assert "'default'" in problem
