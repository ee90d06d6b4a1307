"""``jitgate plugins``: what is loaded is told, in order; what is wrong is told at once."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time

import jwt
import pytest
from support import everything
from support.everything import KEY, PARTNERS

from jitgate.cli import main
from jitgate.cli.plugged import HIDDEN, shown

SETTINGS = """\
state: ./var
identity:
  issuers: [{{name: a, type: oidc, issuer: "https://idp.example", audience: j, jwks: ./jwks.json}}]
targets:
  - {{name: api, hosts: [api.example], catalog: none, credential: {{type: none}}}}
policy: [./policy.yaml]
plugins: {plugins}
"""
MASKER = """\
from zope.interface import implementer
from jitgate.interfaces import IMasker
from jitgate.plugins import PluginOptions

class Options(PluginOptions):
    text: str = "x"
    api_key: str = ""

@implementer(IMasker)
class Masker:
    looks_at_values = True
    def __init__(self, name, text):
        self.name, self.version = name, text
    def hides(self, field):
        return False
    def mask(self, field, value):
        return None

def plugin(options):
    return [Masker("one", options.text), Masker("two", "2")]
"""


@pytest.fixture
def site(tmp_path, capsys):
    (tmp_path / "policy.yaml").write_text("[]")
    (tmp_path / "masker.py").write_text(MASKER)

    def listed(plugins, *arguments):
        file = tmp_path / "jitgate.yaml"
        file.write_text(SETTINGS.format(plugins=json.dumps(plugins)))
        code = main(["plugins", "--config", str(file), *arguments])
        return code, capsys.readouterr()

    listed.folder = tmp_path
    return listed


def test_each_is_told_with_its_digest_what_it_provides_and_what_it_was_given(site):
    options = {"text": "y\u202e", "api_key": "s3cr3t"}
    code, said = site([{"file": "masker.py", "options": options}], "--json")
    assert code == 0
    (told,) = json.loads(said.out)
    assert told == {
        "file": str(site.folder / "masker.py"),
        "sha256": hashlib.sha256(MASKER.encode()).hexdigest(),
        "provides": [
            {"port": "IMasker", "name": "one", "version": "y\u202e"},
            {"port": "IMasker", "name": "two", "version": "2"},
        ],
        "options": {"text": "y\u202e", "api_key": HIDDEN},
    }


def test_in_words_nothing_that_somebody_wrote_is_obeyed_by_a_terminal(site):
    options = {"text": "y\u202e\x1b[2J", "api_key": "s3cr3t"}
    code, said = site([{"file": "masker.py", "options": options}])
    assert code == 0
    assert said.out.startswith(f"1. {site.folder}/masker.py\n")
    assert "IMasker one" in said.out
    assert not {"\u202e", "\x1b"} & set(said.out)
    assert "s3cr3t" not in said.out


def test_without_any_that_is_said(site):
    assert site([]) == (0, ("No plugins are configured.\n", ""))


def test_all_that_is_wrong_is_told_at_once(site):
    (site.folder / "broken.py").write_text("raise KeyError('x')")
    every = [
        {"file": "masker.py", "options": {"txet": "x"}},
        {"file": "broken.py"},
        {"file": "none.py"},
    ]
    code, said = site(every)
    assert code == 2
    assert said.out == ""
    options, broken, missing = said.err.splitlines()
    assert options.endswith("jitgate.yaml:7: options.txet: unknown key; did you mean 'text'?")
    assert "broken.py: loading it raised KeyError" in broken
    assert "none.py: cannot be read: No such file or directory" in missing


def test_two_of_one_name_in_a_port_are_told(site):
    code, said = site([{"file": "masker.py"}, {"file": "./masker.py"}])
    assert code == 2
    assert "the masker 'one' is provided more than once" in said.err


@pytest.mark.parametrize(
    ("options", "as_shown"),
    [
        ({"password": "x", "pass": "y"}, {"password": HIDDEN, "pass": "y"}),
        ({"authorization": "file:x"}, {"authorization": HIDDEN}),
        ({"tokens": ["a", "b"]}, {"tokens": HIDDEN}),
        ({"secret": {"a": {"b": 1}}}, {"secret": {"a": {"b": HIDDEN}}}),
        ({"url": "https://u:p@host/x"}, {"url": f"https://{HIDDEN}@host/x"}),
        ({"list": [{"my_key": 1, "n": 2}]}, {"list": [{"my_key": HIDDEN, "n": 2}]}),
        ({"secret": None, "n": None, "b": True}, {"secret": None, "n": None, "b": True}),
    ],
)
def test_what_sounds_like_a_secret_is_not_shown(options, as_shown):
    assert shown(options) == as_shown


# --- whose tokens a plugin proves


@pytest.fixture
def partners(tmp_path):
    """`jitgate identity check` of a token that says that the partners made it."""
    (tmp_path / "policy.yaml").write_text("[]")
    issuer = {"name": "partners", "type": "plugin", "issuer": PARTNERS}
    plugin = {"file": everything.__file__, "options": {"folder": "."}}
    written = SETTINGS.format(plugins=json.dumps([plugin]))
    start, end = written.index("[{name: a"), written.index("\ntargets")
    file = tmp_path / "jitgate.yaml"
    file.write_text(written[:start] + json.dumps([issuer]) + written[end:])

    def check(key, *arguments):
        claims = {"iss": PARTNERS, "sub": "their-bot", "exp": int(time.time()) + 60}
        done = subprocess.run(
            [sys.executable, "-m", "jitgate", "identity", "check", "--config", file, *arguments],
            input=jwt.encode(claims, key, "HS256"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return check


def test_a_plugin_is_asked_about_a_token_if_that_is_asked_for(partners):
    code, said = partners(KEY)
    assert code == 2
    assert "proved by a plugin" in said
    code, said = partners(KEY, "--fetch")
    assert code == 0, said
    assert "their-bot" in said
    code, said = partners("another-key-that-nobody-shares-with-us", "--fetch")
    assert code == 1
    assert "The partners have not made it" in said
