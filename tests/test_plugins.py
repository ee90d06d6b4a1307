"""Plugins: loaded by name, checked against their port; whatever is wrong with one stops the start."""

from __future__ import annotations

import hashlib
import sys

import pytest

from jitgate import plugins
from jitgate.errors import PluginInvalid
from jitgate.interfaces import IMasker, IRule

RULE = """\
from zope.interface import implementer
from jitgate.interfaces import IRule

@implementer(IRule)
class Rule:
    name = "a-rule"
    version = "1"
    def judge(self, inquiry):
        return None

def plugin(options):
    return Rule()
"""


@pytest.fixture
def loaded(tmp_path):
    def load(source, options=None):
        file = tmp_path / "it.py"
        file.write_text(source)
        return plugins.load(file, options or {})

    yield load
    for name in [name for name in sys.modules if name.startswith("jitgate_plugin_")]:
        del sys.modules[name]


def changed(old, new, source=RULE):
    assert source.count(old) == 1, old
    return source.replace(old, new)


def test_a_plugin_is_what_its_function_returns_with_the_digest_of_its_text(loaded):
    made = loaded(RULE)
    assert [each.name for each in made.provides] == ["a-rule"]
    assert made.digest == hashlib.sha256(RULE.encode()).hexdigest()
    assert plugins.of_port(IRule, [made]) == list(made.provides)
    assert plugins.of_port(IMasker, [made]) == []


def test_its_name_is_read_when_it_loads_and_then_no_more(loaded):
    made = loaded(
        changed(
            'name = "a-rule"',
            "names = iter('abcdefgh')\n    @property\n    def name(self): return next(self.names)",
        )
    )
    assert made.provided == made.provided


def test_several_things_come_in_their_order(loaded):
    made = loaded(changed("return Rule()", "return [Rule(), Rule()]"))
    assert len(plugins.of_port(IRule, [made])) == 2


def test_a_plugin_gets_its_own_options(loaded):
    given = {"a": 1}
    loaded(changed("return Rule()", "options.clear(); return Rule()"), given)
    assert given == {"a": 1}


def test_nothing_is_left_beside_the_file(loaded, tmp_path):
    loaded(RULE)
    assert [each.name for each in tmp_path.iterdir()] == ["it.py"]


def test_a_plugin_may_hold_dataclasses(loaded):
    source = "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int' = 1\n" + RULE
    assert loaded(source)


BROKEN = {
    "raises when loaded": ("import no_such_module_anywhere\n" + RULE, r"ModuleNotFoundError.*line 1"),
    "leaves when loaded": ("raise SystemExit(0)\n" + RULE, "SystemExit"),
    "is no Python": (RULE + "\ndef (", r"SyntaxError: [^(]* \(line 14\)"),
    "holds a NUL": ("\0" + RULE, "raised"),
    "has no function": (changed("def plugin", "def plug"), r"defines a function plugin\(options\)"),
    "function is none": (changed("def plugin(options):\n    return Rule()", "plugin = 7"), "defines"),
    "takes no options": (changed("plugin(options)", "plugin()"), "raised TypeError"),
    "raises when asked": (changed("return Rule()", "raise KeyError('x')"), r"KeyError.*line 12"),
    "leaves when asked": (changed("return Rule()", "raise SystemExit(0)"), "SystemExit"),
    "exits when asked": (changed("return Rule()", "exit()"), "SystemExit|NameError"),
    "provides None": (changed("return Rule()", "return None"), "NoneType provides none of"),
    "provides nothing": (changed("return Rule()", "return []"), "returned nothing"),
    "provides its class": (changed("return Rule()", "return Rule"), "provides none of"),
    "provides no port": (changed("@implementer(IRule)\n", ""), "Rule provides none of IRule, .*IMasker"),
    "lacks a method": (
        changed("def judge", "def judges"),
        r"Rule has no judge\(inquiry\), which IRule asks for\.",
    ),
    "lacks an attribute": (
        changed('    version = "1"\n', ""),
        "Rule has no version, which IRule asks for\\.",
    ),
    "has another signature": (
        changed("self, inquiry)", "self)"),
        r"Rule\.judge is not the judge\(inquiry\) that its port has: .*doesn't allow enough",
    ),
    "judge is no function": (
        changed("    def judge(self, inquiry):\n        return None", "    judge = 7"),
        "judge",
    ),
    "attribute raises": (
        changed('version = "1"', "@property\n    def version(self): raise RuntimeError('x')"),
        "version|RuntimeError",
    ),
    "has no name": (changed('name = "a-rule"', "name = None"), "name"),
    "has a list for a name": (changed('name = "a-rule"', "name = ['a']"), "name"),
    "has an empty name": (changed('name = "a-rule"', "name = ''"), "name"),
    "has a number for a version": (changed('version = "1"', "version = 1"), "version"),
    "has a name of a kind of its own": (
        changed('name = "a-rule"', "name = type('Name', (str,), {})('a-rule')"), "the name of",
    ),
    "leaves when looked at": (
        changed('version = "1"', "@property\n    def version(self): raise SystemExit(0)"),
        "SystemExit",
    ),
    "raises when asked for its ports": (
        changed(
            "    def judge", "    @property\n    def __provides__(self): raise KeyError('x')\n    def judge"
        ),
        "KeyError",
    ),
    "one of two is none": (changed("return Rule()", "return [Rule(), object()]"), "object provides none"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_plugin_stops_the_start_and_its_file_is_named(loaded, tmp_path, what):
    source, says = BROKEN[what]
    with pytest.raises(PluginInvalid, match=f"(?s){tmp_path}/it.py: .*({says})"):
        loaded(source)


OPTIONED = RULE.replace(
    "def plugin(options):\n",
    """\
from jitgate.config.kinds import Duration, FilePath
from jitgate.plugins import PluginOptions

class Zone(PluginOptions):
    zone: str = "UTC"

class Options(PluginOptions):
    places: list[str]
    life: Duration = 60.0
    file: FilePath | None = None
    local: Zone = Zone()

def plugin(options):
    Rule.options = options
""",
)


def test_a_plugin_is_given_its_own_validated_options(loaded, tmp_path):
    (rule,) = loaded(OPTIONED, {"places": ["a"], "life": "2m", "file": "x"}).provides
    options = rule.options
    assert type(options).__name__ == "Options"
    assert (options.places, options.life, options.local.zone) == (["a"], 120.0, "UTC")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, ["options.places: this is missing"]),
        ({"places": "a"}, ["options.places: a list was expected"]),
        ({"places": [], "lief": "1m"}, ["options.lief: unknown key; did you mean 'life'?"]),
        ({"places": [], "local": {"zome": "x"}}, ["options.local.zome: unknown key; did you mean 'zone'?"]),
        # Keys of the configuration's own are none of the plugin's.
        ({"places": [], "recordin": 1}, ["options.recordin: unknown key"]),
        (
            {"places": [1], "life": 7},
            [
                "options.places.0: text was expected; a number that is meant as one stands in quotes",
                "options.life: a duration with its unit was expected, such as 500ms, 55s, 2m, 1h",
            ],
        ),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_stop_the_start_and_all_of_it_is_said(loaded, options, says):
    with pytest.raises(PluginInvalid) as raised:
        loaded(OPTIONED, options)
    assert raised.value.problems == says


@pytest.mark.parametrize(
    ("instead", "says"),
    [
        ("Options = 7", "its Options is no class of jitgate.plugins.PluginOptions"),
        ("class Options: pass", "its Options is no class"),
        (
            """
import pydantic
from jitgate.plugins import PluginOptions
class Options(PluginOptions):
    x: int = 1
    @pydantic.model_validator(mode='after')
    def _raises(self): raise KeyError('x')
""",
            "checking its options raised KeyError.*line",
        ),
        (
            """
import warnings
warnings.simplefilter('ignore')
from jitgate.plugins import PluginOptions
class Options(PluginOptions):
    where: str = ''
""",
            "no option can be called 'where'",
        ),
    ],
)
def test_options_that_are_no_description_stop_the_start(loaded, tmp_path, instead, says):
    with pytest.raises(PluginInvalid, match=f"{tmp_path}/it.py: .*{says}"):
        loaded(RULE + instead)


def test_what_is_provided_is_told_for_each_port(loaded):
    source = changed("@implementer(IRule)", "@implementer(IRule, IMasker)")
    source = "from jitgate.interfaces import IMasker\n" + changed(
        "    def judge",
        "    looks_at_values = False\n    hides = mask = None\n    def judge",
        source,
    ).replace(
        "hides = mask = None",
        "def hides(self, field): return False\n    def mask(self, field, value): return None",
    )
    told = loaded(source).provided
    assert told == (plugins.Provided("IRule", "a-rule", "1"), plugins.Provided("IMasker", "a-rule", "1"))  # fmt: skip


SOURCE = """\
from zope.interface import implementer
from jitgate.interfaces import ICredentialSource

@implementer(ICredentialSource)
class Source:
    name = "a-source"
    version = "1"
    async def issue(self, operation):
        raise KeyError(operation)

def plugin(options):
    return Source()
"""


def test_a_name_and_a_version_are_asked_of_every_port(loaded):
    assert loaded(SOURCE)
    for attribute in ("name", "version"):
        with pytest.raises(PluginInvalid, match=f"the {attribute} of what it provides is no text"):
            loaded(SOURCE.replace(f"    {attribute} =", "    other ="))


def test_a_file_that_is_not_there_stops_the_start(tmp_path):
    with pytest.raises(PluginInvalid, match="No such file"):
        plugins.load(tmp_path / "none.py", {})
    with pytest.raises(PluginInvalid, match="Is a directory"):
        plugins.load(tmp_path, {})


def test_a_planted_cache_beside_a_plugin_is_not_read(loaded, tmp_path):
    (tmp_path / "dropin.cache").write_bytes(b"cos\nsystem\n(S'touch planted'\ntR.")
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    (cache / f"it.{sys.implementation.cache_tag}.pyc").write_bytes(b"planted")
    assert loaded(RULE)
    assert not (tmp_path / "planted").exists()


def test_the_folder_of_a_plugin_is_not_searched_for_modules(loaded, tmp_path):
    (tmp_path / "planted_module.py").write_text("")
    with pytest.raises(PluginInvalid, match="planted_module"):
        loaded("import planted_module\n" + RULE)
