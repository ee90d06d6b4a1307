"""A catalog of the operator's own: what is wrong with it stops the start, and it is policy too."""

import orjson
import pytest
from support.counterparts import TestCA
from support.gateway import settings, target
from support.tokens import Tokens

from jitgate.app.in_force import made
from jitgate.config import load
from jitgate.errors import ConfigurationInvalid
from jitgate.values import Risk

HEAD = "method,path,operation,risk,scopes,parameters,body,secrets\n"
LIST = "GET,/things,things/list,read,,,,\n"
DROP = "DELETE,/things/{id},things/drop,destructive,,,,token\n"
AUTHORITY = "api.example:443"


class Site:
    """A configuration with one target, whose catalog a test writes."""

    def __init__(self, folder, reactor):
        self.reactor = reactor
        self.catalog = folder / "things.csv"
        self.rules = folder / "policy.yaml"
        self.file = folder / "jitgate.yaml"
        ca = TestCA.create(folder, name="origin")
        far = target(1, ca.pem, catalog="./things.csv")
        other = target(1, ca.pem, name="other", hosts=["other.example"])
        whole = settings(folder, Tokens(folder).jwks, [far, other])
        self.file.write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2))
        self.write(LIST, DROP)

    def write(self, *rows):
        self.catalog.write_text(HEAD + "".join(rows))

    def policy(self, *actions, **more):
        match = {"actions": actions, **more}
        rule = {"name": "one", "reason": "r", "match": match, "effect": "deny"}
        self.rules.write_bytes(orjson.dumps([rule]))

    def made(self):
        return made(load(self.file), self.reactor)

    def problems(self):
        with pytest.raises(ConfigurationInvalid) as caught:
            self.made()
        return caught.value.problems


@pytest.fixture
def site(tmp_path):
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    return Site(tmp_path, reactor)


def test_a_catalog_is_a_file_beside_the_configuration(site):
    found = site.made().targets[AUTHORITY]
    asked = found.catalog.operation(AUTHORITY, "DELETE", "/things/7", "")
    assert (asked.action, asked.risk, asked.secrets) == (
        "things/drop",
        Risk.DESTRUCTIVE,
        {"token"},
    )
    assert found.catalog.operation(AUTHORITY, "POST", "/things", "") is None
    assert (found.manner, found.merges, found.resends) == ("problem", False, False)


def test_rules_speak_of_its_actions_by_globs(site):
    site.policy("things/*")
    site.made()
    site.policy("things/dorp")
    (problem,) = site.problems()
    assert "no action 'things/dorp' is known; did you mean 'things/drop'?" in problem


def test_what_is_wrong_with_it_is_told_with_its_line_and_nothing_else_is(site):
    site.policy("things/drop")
    site.write(LIST, DROP, "GET,/things/{x,y,read,,,,\n", LIST.replace("read", "mild"))
    first, second = site.problems()
    assert first.startswith(f"{site.file}:")
    assert f"{site.catalog}:4: '/things/{{x' is not a template" in first
    assert f"{site.catalog}:5: the risk is one of" in second


def test_a_rule_for_another_target_is_checked_all_the_same(site):
    site.policy("nothing", targets=["other"])
    site.write("x")
    assert len(site.problems()) == 2


def test_a_catalog_that_is_not_there_is_told(site):
    site.catalog.unlink()
    (problem,) = site.problems()
    assert f"{site.catalog}: cannot be read: No such file" in problem


def test_another_catalog_is_another_policy(site):
    before = site.made().version
    assert site.made().version == before
    site.write(DROP, LIST)
    assert site.made().version == before  # the order of rows means nothing
    site.write(LIST, DROP.replace("destructive", "write"))
    assert site.made().version != before


@pytest.mark.parametrize("word", ["otka", "None", "things"])
def test_a_bare_word_is_no_path(site, word):
    site.file.write_text(site.file.read_text().replace("./things.csv", word))
    (problem,) = site.problems()
    assert "okta, none, or the path of a catalog was expected" in problem
