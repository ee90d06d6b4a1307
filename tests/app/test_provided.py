"""Names in the configuration lead to what plugins provide, or are errors."""

from __future__ import annotations

import orjson
import pytest
from support import everything
from support.counterparts import TestCA
from support.everything import PARTNERS
from support.gateway import settings, target
from support.tokens import Tokens
from twisted.internet import reactor

from jitgate.app.in_force import made
from jitgate.app.provided import open_ways
from jitgate.config import read_all
from jitgate.errors import ConfigurationInvalid
from jitgate.provided import ProvidedLending

NAMED = {
    "catalog": "things-catalog",
    "credential": "minted",
    "channel": "pager",
    "people": "leavers",
    "groups": "rota",
    "issuer": "partners",
    "store": "mirror",
    "listener": "line",
}


class Site:
    """A configuration that names something in each port, laid out in lines."""

    def __init__(self, folder):
        self.folder = folder
        ca = TestCA.create(folder, name="origin")
        self.jwks, self.ca = Tokens(folder).jwks, ca.pem

    def made(self, before=None, plugins=None, **named):
        name = NAMED | named
        far = target(1, self.ca, catalog={"plugin": name["catalog"]})
        far["credential"] = {"type": "plugin", "name": name["credential"]}
        written = settings(self.folder, self.jwks, [far])
        issuer = {"name": name["issuer"], "type": "plugin", "issuer": PARTNERS}
        written["identity"]["issuers"].append(issuer)
        written["listen"]["plugins"] = [name["listener"]]
        written["recording"] = {"directory": "./state/recordings", "plugin": name["store"]}
        written["approvals"] = {
            "channels": [name["channel"], "cli"],
            "people": [name["people"]],
            "inactive": ["Eve@acme.com"],
            "groups": {
                "duty": {"from": name["groups"], "group": named.get("group", "duty")},
                "listed": ["Alice@ACME.com"],
            },
        }
        options = {"folder": ".", "version": named.get("version", "1")}
        default = [{"file": everything.__file__, "options": options}]
        written["plugins"] = default if plugins is None else plugins
        file = self.folder / "jitgate.yaml"
        file.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2))
        configuration, problems = read_all(file)
        return made(configuration, reactor, problems, before=before)

    def problems(self, **how):
        with pytest.raises(ConfigurationInvalid) as raised:
            self.made(**how)
        return [each.replace(f"{self.folder}/", "") for each in raised.value.problems]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_every_name_leads_to_what_a_plugin_provides(site):
    in_force = site.made()
    assert list(in_force.channels) == ["pager", "cli"]
    assert [each.name for each in in_force.active] == ["configuration", "leavers"]
    assert in_force.groups["listed"] == {"alice@acme.com"}
    assert (in_force.groups["duty"].source.name, in_force.groups["duty"].group) == ("rota", "duty")
    assert in_force.bound.store.name == "mirror"
    assert list(in_force.bound.listeners) == ["line"]


def test_a_credential_source_may_lend_as_well(site):
    in_force = site.made(credential="lent")
    (far,) = in_force.targets.values()
    assert isinstance(far.credentials, ProvidedLending)


def test_one_name_leads_to_one_credential_source(site):
    (site.folder / "other.py").write_text(
        "from zope.interface import implementer\n"
        "from jitgate.interfaces import ILendingSource\n"
        "from support.everything import Lent, Options\n"
        "class Other(Lent):\n"
        "    name = 'minted'\n"
        "def plugin(options: Options):\n"
        "    return Other(options)\n"
    )
    plugins = [
        {"file": everything.__file__, "options": {"folder": "."}},
        {"file": "./other.py", "options": {"folder": "."}},
    ]
    (problem, *_) = site.problems(plugins=plugins)
    assert "the credential source 'minted' is provided more than once" in problem


MISSPELLED = {name: spelled + "s" for name, spelled in NAMED.items()}
SAID = {
    "catalog": "no plugin provides the catalog 'things-catalogs'; did you mean 'things-catalog'?",
    "credential": "no plugin provides the credential source 'minteds'; did you mean 'minted'?",
    "channel": "no plugin provides the approver channel 'pagers'; did you mean 'pager'?",
    "people": "no plugin provides the source of people 'leaverss'; did you mean 'leavers'?",
    "groups": "no plugin provides the source of groups 'rotas'; did you mean 'rota'?",
    "issuer": "no plugin provides the identity verifier 'partnerss'; did you mean 'partners'?",
    "store": "no plugin provides the record store 'mirrors'; did you mean 'mirror'?",
    "listener": "no plugin provides the listener 'lines'; did you mean 'line'?",
}


@pytest.mark.parametrize("port", NAMED)
def test_a_name_that_no_plugin_provides_is_an_error_with_its_line(site, port):
    (problem,) = site.problems(**{port: MISSPELLED[port]})
    where, _, said = problem.partition(": ")
    assert said == SAID[port]
    file, _, line = where.partition(":")
    lines = (site.folder / file).read_text().splitlines()
    near = lines[int(line) - 1 : int(line) + 18]
    assert any(MISSPELLED[port] in each for each in near), problem


def test_all_of_them_are_said_at_once(site):
    said = {problem.partition(": ")[2] for problem in site.problems(**MISSPELLED)}
    assert said == set(SAID.values())


def test_what_one_port_provides_is_nothing_in_another(site):
    (problem,) = site.problems(store="pager")
    assert "no plugin provides the record store 'pager'" in problem


def test_a_group_that_its_source_calls_by_no_such_name_is_an_error_with_its_line(site):
    (problem,) = site.problems(group="duty-7")
    where, _, said = problem.partition(": ")
    assert said == "group 'duty': a rota has letters alone in its name"
    line = int(where.partition(":")[2])
    lines = (site.folder / "jitgate.yaml").read_text().splitlines()
    assert any("duty-7" in each for each in lines[line - 1 : line + 3])


ROTA = """
from zope.interface import implementer
from jitgate.interfaces import IGroups
@implementer(IGroups)
class Rota:
    name, version, deadline = "rota", "1", {deadline}
    def misnamed(self, group):
        {misnamed}
    async def members(self, group):
        return []
def plugin(options):
    return Rota()
"""


@pytest.mark.parametrize(
    ("deadline", "misnamed", "said"),
    [
        ("11", "return None", "groups of 'rota': its deadline must be seconds above 0, and 10"),
        ("True", "return None", "groups of 'rota': its deadline must be seconds above 0"),
        ("'1s'", "return None", "groups of 'rota': its deadline must be seconds above 0"),
        ("1", "raise KeyError", "group 'duty': whether it may be called 'duty' cannot be told"),
        ("1", "return False", "group 'duty': False"),
    ],
)
def test_a_source_of_groups_that_breaks_its_port_stops_the_start(site, deadline, misnamed, said):
    (site.folder / "rota.py").write_text(ROTA.format(deadline=deadline, misnamed=misnamed))
    (site.folder / "rest.py").write_text(
        "from support.everything import Options, plugin as every\n"
        "def plugin(options: Options):\n"
        "    return [each for each in every(options) if each.name != 'rota']\n"
    )
    plugins = [{"file": "./rota.py"}, {"file": "./rest.py", "options": {"folder": "."}}]
    (problem,) = site.problems(plugins=plugins)
    assert said in problem


def test_what_is_told_of_a_group_holds_as_long_as_all_that_its_source_depends_on(site):
    before, same = (site.made().groups["duty"] for _ in range(2))
    assert before.is_same(same)
    assert not before.is_same(site.made(version="2").groups["duty"])
    assert not before.is_same(site.made(group="night").groups["duty"])


def test_two_of_one_name_are_an_error(site):
    each = {"file": everything.__file__, "options": {"folder": "."}}
    problems = site.problems(plugins=[each, each])
    assert "the record store 'mirror' is provided more than once" in problems


def test_the_control_socket_is_meant_by_its_name_alone(site):
    (problem,) = site.problems(channel="cly")
    assert "did you mean 'cli'?" in problem


def test_options_that_do_not_fit_are_told_by_their_line_and_all_at_once(site):
    wrong = {"file": everything.__file__, "options": {"foldre": ".", "version": 7}}
    problems = site.problems(plugins=[wrong])
    lines = (site.folder / "jitgate.yaml").read_text().splitlines()
    of_options = [problem for problem in problems if ": options." in problem]
    assert [problem.partition(": ")[2] for problem in of_options] == [
        "options.folder: this is missing",
        "options.version: text was expected; a number that is meant as one stands in quotes",
        "options.foldre: unknown key; did you mean 'folder'?",
    ]
    for problem, key in zip(of_options, ["options", "version", "foldre"], strict=True):
        assert f'"{key}"' in lines[int(problem.split(":")[1]) - 1], problem


def test_what_a_running_gateway_is_bound_to_is_not_replaced(site):
    before = site.made()
    assert site.made(before=before)
    said = [problem.partition(": ")[2] for problem in site.problems(before=before, version="2")]
    assert said == [
        "listen.plugins: line is another: restart to change it",
        "recording.plugin is another: restart to change it",
    ]


def test_the_version_of_the_policy_is_over_all_that_plugins_provide(site):
    assert site.made().version == site.made().version != site.made(version="2").version


def test_what_an_issuers_subjects_are_believed_by_is_over_its_verifier(site):
    terms, others = site.made().terms, site.made(version="2").terms
    assert terms[PARTNERS] != others[PARTNERS]
    assert terms["https://idp.example"] == others["https://idp.example"]


def test_channels_are_told_in_their_order_and_others_after_a_reload():
    open_now = ["of before"]
    own = {"cli": "socket", "ops": "webhook", "slack": "slack's"}
    open_ways(open_now, own, {"slack": None, "pager": "pager", "ops": None, "cli": None})
    assert open_now == ["slack's", "pager", "webhook", "socket"]
    open_ways(open_now, {}, {"cli": None, "other": "other"})
    assert open_now == ["other"]
