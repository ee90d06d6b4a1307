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
    "is no Python": (RULE + "\ndef (", "SyntaxError.*line 14"),
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
    "provides no port": (changed("@implementer(IRule)\n", ""), "Rule provides none of IRule, IMasker"),
    "lacks a method": (changed("def judge", "def judges"), "judge"),
    "lacks an attribute": (changed('    version = "1"\n', ""), "version"),
    "has another signature": (changed("self, inquiry)", "self)"), "judge"),
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
    "one of two is none": (changed("return Rule()", "return [Rule(), object()]"), "object provides none"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_plugin_stops_the_start_and_its_file_is_named(loaded, tmp_path, what):
    source, says = BROKEN[what]
    with pytest.raises(PluginInvalid, match=f"(?s){tmp_path}/it.py: .*({says})"):
        loaded(source)


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
