"""The configuration, read strictly: every error at once, with its line, and never a traceback."""

from __future__ import annotations

import json
import random
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jitgate.config import load
from jitgate.config.schema import Method
from jitgate.core.http1_reading import METHODS
from jitgate.core.limits import LIMITS, Limits
from jitgate.errors import ConfigurationInvalid
from jitgate.values import Per, Risk, SecretAt

SETTINGS = """\
state: ./var
listen:
  proxy: 127.0.0.1:8080
  admin: "[::1]:8081"
services: [recorder, admin, proxy]
identity:
  issuers:
    - name: agents
      type: oidc
      issuer: https://idp.example
      audience: jitgate
      algorithms: [ES256]
      owners: {bot-7: bob@acme.example}
targets:
  - name: okta
    hosts: [acme.okta.example, "other.example:8443"]
    catalog: okta
    credential: {type: static, header: Authorization, value: "file:token"}
    dial: 127.0.0.1:9443
policy: [policy/*.yaml]
masking: [masking.yaml]
plugins:
  - file: plugin.py
    options: {pattern: "E-[0-9]{6}", nothing: null}
control: {approvers: {1001: alice@acme.example, 1002: {issuer: "https://people.example", id: u7}}}
approvals:
  hold: 20s
  groups: {it-leads: [alice@acme.example, bob@acme.example]}
"""
POLICY = """\
- name: read
  reason: They may look
  match: {targets: [okta], actions: [listUsers, "get*"], groups: [it-agents]}
  effect: permit
  mask: okta
- name: change
  reason: Changes are looked at
  match: {methods: [POST, DELETE], paths: ["/v1/things/{id}"]}
  effect: review
  approvers: {groups: [it-leads], quorum: 2}
  grant: {uses: 1, life: 5m}
"""
MASKING = """\
- profile: okta
  secrets: catalog
  names: ["*secret"]
"""


class Site:
    """A folder with a configuration that is valid until a test changes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "policy").mkdir(exist_ok=True)
        self.write()

    def write(self, settings=SETTINGS, policy=POLICY, masking=MASKING) -> None:
        for name, text in (
            ("jitgate.yaml", settings),
            ("policy/a.yaml", policy),
            ("masking.yaml", masking),
        ):
            data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
            (self.folder / name).write_bytes(data)

    def load(self, **files):
        if files:
            self.write(**files)
        return load(self.folder / "jitgate.yaml")

    def problems(self, **files) -> list[str]:
        """What is wrong, without the folder's name."""
        with pytest.raises(ConfigurationInvalid) as caught:
            self.load(**files)
        base = f"{self.folder.resolve()}/"
        return [
            each.replace(base, "").replace(f"{self.folder}/", "") for each in caught.value.problems
        ]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def changed(old, new, text=SETTINGS):
    assert text.count(old) == 1, old
    return text.replace(old, new)


def test_a_valid_configuration_is_read_and_its_paths_are_absolute(site):
    made = site.load()
    assert made.state == site.folder.resolve() / "var"
    assert made.recording.directory == site.folder.resolve() / "var" / "recordings"
    assert made.settings.listen.admin == ("::1", 8081)
    assert made.settings.targets[0].hosts == ("acme.okta.example:443", "other.example:8443")
    assert [rule.name for rule in made.rules] == ["read", "change"]
    assert made.rules[1].grant.life == 300.0
    assert made.settings.plugins[0].options == {"pattern": "E-[0-9]{6}", "nothing": None}


def test_a_recording_that_says_nothing_of_its_folder_has_the_usual_one(site):
    recording = site.load(settings=f"{SETTINGS}\nrecording: {{key: 'file:./site.pem'}}\n").recording
    assert recording.directory == site.folder.resolve() / "var" / "recordings"
    assert recording.key is not None


def test_every_error_of_a_file_is_told_at_once_each_with_its_line(site):
    text = SETTINGS
    for old, new in (
        ("127.0.0.1:8080", "0.0.0.0"),
        ("type: oidc", "type: ldap"),
        ("catalog: okta", "catalog: oktaa"),
        ("policy: [", "polices: ["),
        ("masking: [", "masking: x #"),
    ):
        text = changed(old, new, text)
    problems = site.problems(settings=text)
    assert [each.split(": ", 2)[:2] for each in problems] == [
        ["jitgate.yaml:3", "listen.proxy"],
        ["jitgate.yaml:8", "identity.issuers.0"],
        ["jitgate.yaml:17", "targets.0.catalog"],
        ["jitgate.yaml:1", "policy"],
        ["jitgate.yaml:21", "masking"],
        ["jitgate.yaml:20", "polices"],
    ]
    assert problems[-1].endswith("unknown key; did you mean 'policy'?")
    assert problems[3].endswith("this is missing")


def test_no_rule_takes_a_sign_for_what_is_privileged_or_destructive(site):
    signed = changed("quorum: 2}", "quorum: 2, signs: true}", POLICY)
    assert site.load(policy=signed).rules[1].approvers[0].signs
    for risk in ("privileged", "destructive"):
        risky = changed("match: {methods", f"match: {{risk: [write, {risk}], methods", signed)
        (problem,) = site.problems(policy=risky)
        assert f"a sign is no answer to what is {risk}" in problem


def test_a_rules_risks_are_words(site):
    risky = changed("match: {methods", "match: {risk: [read, destructive], methods", POLICY)
    assert site.load(policy=risky).rules[1].match.risk == (Risk.READ, Risk.DESTRUCTIVE)
    (problem,) = site.problems(policy=risky.replace("destructive", "wild"))
    assert "'read', 'write', 'privileged' or 'destructive'" in problem


def test_a_catalog_is_a_name_or_a_path_beside_the_configuration(site):
    made = site.load(settings=changed("catalog: okta", "catalog: apis/github.csv"))
    assert made.settings.targets[0].catalog == site.folder.resolve() / "apis" / "github.csv"
    assert site.load(settings=changed("catalog: okta", "catalog: none"))
    for slip in ("github", "7", "[okta]"):
        (problem,) = site.problems(settings=changed("catalog: okta", f"catalog: {slip}"))
        assert "okta, none, or the path of a catalog was expected" in problem


SAML = """\
    - name: people
      type: saml
      issuer: https://idp.example/saml
      metadata: idp.xml
      audience: urn:jitgate
      recipient: https://jitgate.internal/token
      groups_attribute: groups
targets:"""


def test_a_saml_provider_is_an_issuer_too(site):
    made = site.load(settings=changed("targets:", SAML)).settings.identity.issuers[1]
    assert made.metadata == site.folder.resolve() / "idp.xml"
    assert made.algorithms == ("rsa-sha256", "ecdsa-sha256")
    at_url = SAML.replace("idp.xml", "https://idp.example/x\n      certificates: [idp.pem]")
    made = site.load(settings=changed("targets:", at_url)).settings.identity.issuers[1]
    assert made.metadata == "https://idp.example/x"
    assert made.certificates == (site.folder.resolve() / "idp.pem",)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("idp.xml", "https://idp.example/x", "needs certificates"),
        ("idp.xml", "http://idp.example/x", "a path or an https:// address"),
        ("idp.xml", "https://", "an https:// address"),
        ("idp.xml", "idp.xml\n      certificates: [idp.pem]", "go with metadata at a URL"),
        ("      recipient: https://jitgate.internal/token\n", "", "recipient: this is missing"),
        ("groups_attribute", "groups_claim", "unknown key; it stands in other places"),
        ("audience: urn:jitgate", "audience: x\n      algorithms: [rsa-sha1]", "algorithms.0"),
        ("audience: urn:jitgate", "audience: x\n      name_ids: [transient]", "name_ids.0"),
        ("issuer: https://idp.example/saml", "issuer: https://idp.example", "more than once"),
        ("name: people", "name: agents", "more than once"),
    ],
)
def test_what_is_wrong_with_a_saml_provider_is_told(site, old, new, why):
    problems = site.problems(settings=changed("targets:", changed(old, new, SAML)))
    assert len(problems) == 1
    assert why in problems[0]


def test_errors_of_all_policy_and_masking_files_are_told_together(site):
    (site.folder / "policy" / "b.yaml").write_text("- name: X\n")
    problems = site.problems(
        policy=changed("effect: permit", "effect: allow", POLICY),
        masking=changed("secrets: catalog", "secrets: all", MASKING),
    )
    files = {re.match(r"[a-z/]+\.yaml:\d+", each)[0] for each in problems}
    assert files >= {"policy/a.yaml:4", "policy/b.yaml:1", "masking.yaml:2"}


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("state: ./var", "state: ./var\nstate: ./other", 2, "duplicate key"),
        ("  proxy: 127.0.0.1:8080", "  proxi: 127.0.0.1:8080", 3, "did you mean 'proxy'?"),
        ("  proxy: 127.0.0.1:8080", "  dial: 127.0.0.1:8080", 3, "unknown key; it stands in other"),
        ("audience: jitgate", 'audience: ""', 11, "audience"),
        ("[ES256]", "[HS256]", 12, "algorithms"),
        ("[ES256]", "[none]", 12, "algorithms"),
        ("[ES256]", "[]", 12, "algorithms"),
        ("https://idp.example", "http://idp.example", 10, "https://"),
        ("file:token", "hunter2", 18, "file:PATH"),
        ("file:token", "env:1A", 18, "env:NAME"),
        ("file:token", "env:", 18, "env:NAME"),
        ("file:token", "credential:../token", 18, "credential:NAME"),
        ("file:token", "credential:..", 18, "credential:NAME"),
        ("file:token", "exec:pass", 18, "file:PATH"),
        ("acme.okta.example", "http://acme", 16, "host or host:port"),
        ("acme.okta.example", "acme.okta.example:99999", 16, "host or host:port"),
        ("acme.okta.example", "acme.okta.example:0443", 16, "host or host:port"),
        ("acme.okta.example", "acme.okta.example:0", 16, "host or host:port"),
        ("acme.okta.example", "'*.okta.example'", 16, "host or host:port"),
        (
            "acme.okta.example",
            "other.example:8443",
            1,
            "'other.example:8443' stands more than once",
        ),
        ("acme.okta.example", "OTHER.example:8443", 1, "stands more than once"),
        ("dial: 127.0.0.1:9443", "dial: 127.1:9443", 19, "ADDRESS:PORT"),
        ("dial: 127.0.0.1:9443", "dial: 2130706433:9443", 19, "ADDRESS:PORT"),
        ("dial: 127.0.0.1:9443", "dial: 127.0.0.1:99999", 19, "ADDRESS:PORT"),
        ("dial: 127.0.0.1:9443", "dial: inside.example:9443", 19, "ADDRESS:PORT"),
        ("acme.okta.example,", "'2130706433',", 16, "as addresses are usually written"),
        ("acme.okta.example,", "0x7f.1:443,", 16, "as addresses are usually written"),
        ("acme.okta.example,", "127.0.0.1.,", 16, "host or host:port"),
        ("acme.okta.example,", "acme.okta.example.,", 16, "host or host:port"),
        ("acme.okta.example,", '"[0:0::1]",', 16, "usually written ::1"),
        ("[recorder, admin, proxy]", "[recorder, recorder]", 1, "stands more than once"),
        ("[recorder, admin, proxy]", "[recorder, proxi]", 5, "services"),
        ("policy/*.yaml", "policy/*.yml", None, "no file matches"),
        ("policy/*.yaml", "", None, "no file matches"),
        ("policy/*.yaml", "/", None, "no file matches"),
        ("policy/*.yaml", ".", None, "no file matches"),
        ("policy/*.yaml", "**a", None, "no file matches"),
        ("[policy/*.yaml]", "[]", 20, "policy"),
        ("[policy/*.yaml]", "[policy]", None, "Is a directory"),
        ("owners: {bot-7: bob@acme.example}", "owners: {7: a, '7': b}", 13, "owners"),
        ("{bot-7: bob@acme.example}", "{bot-7: 'mailto:bob@acme.example'}", 13, "write bob@acme.e"),
        ("{bot-7: bob@acme.example}", "{bot-7: Bob <bob@acme.example>}", 13, "write bob@acme.e"),
        ("{bot-7: bob@acme.example}", "{bot-7: 'a@b.example, c@b.example'}", 13, "address alone"),
        (
            "1001: alice@acme.example",
            "1001: Alice <alice@acme.example>",
            None,
            "write alice@acme.e",
        ),
        ("state: ./var", "state: no", 1, None),
        ("state: ./var", "state: [", 3, "expected"),
        ("state: ./var", "state: 2001-13-45", None, "cannot be read"),
        ("state: ./var", "state: !!int x", None, "cannot be read"),
        ("state: ./var", 'state: "\\0"', 1, "state"),
        ("state: ./var", "state: " + "[" * 500, None, "cannot be read"),
        ("masking: [masking.yaml]", "masking: [masking.yaml, nowhere.yaml]", None, "nowhere.yaml"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(site, old, new, line, says):
    text = changed(old, f'"{new}"' if new in ("", "/", ".", "**a") else new)
    if says is None:  # `no` is a word in YAML 1.2
        assert site.load(settings=text).state.name == "no"
        return
    told = "\n".join(site.problems(settings=text))
    assert says in told
    assert "hunter2" not in told
    if line is not None:
        assert f"jitgate.yaml:{line}: " in told


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:80", "192.168.1.1:80", "[::]:80", "[::1234]:80", "[::1:2:3:4]:80", "[::1:0]:80"],
)
def test_a_plain_port_beyond_loopback_is_refused_until_it_is_called_insecure(site, address):
    for name, old in (("proxy", "127.0.0.1:8080"), ("admin", '"[::1]:8081"')):
        text = changed(f"{name}: {old}", f'{name}: "{address}"')
        assert any("no loopback address" in each for each in site.problems(settings=text))
        assert site.load(settings=text.replace("listen:\n", "listen:\n  insecure: true\n"))


@pytest.mark.parametrize("address", ["127.0.0.1:80", "127.9.9.9:0", "localhost:80", "[::1]:80"])
def test_loopback_needs_no_such_word(site, address):
    assert site.load(settings=changed("proxy: 127.0.0.1:8080", f'proxy: "{address}"'))


REVERSE = """\
  reverse:
    address: 127.0.0.1:8443
    cert: ./front.pem
    key: file:front.key
    hosts: {OKTA.gateway.example: acme.okta.example, pages.gateway.example: jitgate.internal}
"""


def test_own_hosts_stand_for_targets_and_for_the_gateway_s_pages(site):
    reverse = site.load(
        settings=changed("services:", f"{REVERSE}services:")
    ).settings.listen.reverse
    assert reverse.hosts == {
        "okta.gateway.example": "acme.okta.example:443",
        "pages.gateway.example": "jitgate.internal:443",
    }


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (": acme.okta.example", ": elsewhere.example", "elsewhere.example:443 is no target's host"),
        ("OKTA.gateway.example", "acme.okta.example", "acme.okta.example is a target's own name"),
        ("OKTA.gateway.example", "jitgate.internal", "jitgate.internal is a target's own name"),
        ("OKTA.gateway.example", '"okta.gateway.example:8443"', "without a port"),
        ("OKTA.gateway.example", '"127.0.0.1"', "a host name was expected"),
        ("OKTA.gateway.example", '"a..example"', "a host name was expected"),
        ("    cert: ./front.pem\n", "", "cert"),
    ],
)
def test_what_is_no_own_host_is_told(site, old, new, says):
    reverse = REVERSE.replace(old, new)
    told = site.problems(settings=changed("services:", f"{reverse}services:"))
    assert any(says in each for each in told)


# --- policy and masking


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: change", "name: read", "stands at policy/a.yaml:1 already"),
        ("targets: [okta]", "targets: [otka]", "did you mean 'okta'?"),
        ("mask: okta", "mask: otka", "no masking profile 'otka'; did you mean 'okta'?"),
        ("effect: review", "effect: permit", "go with effect: review"),
        ("approvers: {groups: [it-leads], quorum: 2}", "mask: none", "needs approvers"),
        ("quorum: 2", "quorum: 0", "quorum"),
        ("quorum: 2", "quorum: '2'", "quorum"),
        ("quorum: 2", "quorum: yes", "quorum"),
        ("groups: [it-leads]", "groups: []", "groups"),
        ("life: 5m", "life: 300", "unit"),
        ("life: 5m", "life: -5m", "unit"),
        ("life: 5m", "life: " + "9" * 400 + "d", "unit"),
        ("life: 5m", "life: 5 m", "unit"),
        ("uses: 1", "uses: 0", "uses"),
        ("uses: 1", "use: 1", "unknown key"),
        ("effect: permit", "effect: deny", "mask does not go with effect: deny"),
        ("  mask: okta\n", "  auto: true\n", "go with effect: review"),
        ("  mask: okta\n", "  hold: 5s\n", "go with effect: review"),
        ("life: 5m}", "life: 5m}\n  auto: true", "approvers and auto exclude each other"),
        ("life: 5m}", "life: 5m}\n  auto: yes", "auto"),
        ("approvers: {groups: [it-leads], quorum: 2}", "auto: false", "needs approvers, or auto"),
        (
            "approvers: {groups: [it-leads], quorum: 2}",
            "auto: true\n  hold: 5s",
            "hold does not go with auto",
        ),
        ("life: 5m}", "life: 5m}\n  hold: 20", "unit"),
        ("life: 5m}", "life: 5m}\n  record: all", "record"),
        (
            "  effect: permit\n  mask: okta\n",
            "  effect: deny\n  record: head\n",
            "record does not go with effect: deny",
        ),
        (
            "  effect: permit\n  mask: okta\n",
            "  effect: deny\n  budget: {uses: 1, within: 1h}\n",
            "budget does not go with effect: deny",
        ),
        ("mask: okta", "budget: {within: 1h}", "0.budget.uses: this is missing"),
        ("mask: okta", "budget: {uses: 0, within: 1h}", "0.budget.uses: "),
        ("mask: okta", "budget: {uses: 1, within: 0s}", "0.budget.within: "),
        ("mask: okta", "budget: {uses: 1, within: 32d}", "0.budget.within: "),
        ("mask: okta", "budget: {uses: 1, within: 1h, pre: all}", "did you mean 'per'?"),
        ("mask: okta", "budget: {uses: 1, within: 1h, per: user}", "0.budget.per: "),
        ("mask: okta", "budget: [{uses: 1, within: 1h}, {uses: 2}]", "0.budget.1.within: "),
        ("mask: okta", "budget: []", "0.budget: "),
        ("mask: okta", "budget: 5", "0.budget: a list was expected"),
        ("mask: okta", "reuse: 3601s", "0.reuse: "),
        ("mask: okta", "reuse: 5", "0.reuse: "),
        ("mask: okta", "reuse: -5m", "0.reuse: "),
        ("quorum: 2}", "quorum: 2, signs: 1}", "signs"),
        ("quorum: 2}", "quorum: 2, privately: no}", "privately"),
        ("  effect: permit\n", "  effect: deny\n  reuse: 5m\n", "reuse goes with effect: permit"),
        ("life: 5m}", "life: 5m}\n  reuse: 5m", "reuse goes with effect: permit"),
        ("life: 5m}", "life: 5m}\n  reuse: 0s", "reuse goes with effect: permit"),
        ("reason: They may look", "reason: ''", "reason"),
        ("match: {targets", "matches: {targets", "unknown key"),
        ("groups: [it-agents]", "group: [it-agents]", "unknown key"),
        ("[it-agents]", "it-agents", "match.groups"),
        ("methods: [POST, DELETE]", "methods: [delete]", "match.methods.0"),
    ],
)
def test_a_rule_that_says_what_it_cannot_mean_is_refused(site, old, new, says):
    assert says in "\n".join(site.problems(policy=changed(old, new, POLICY)))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "secrets: catalog",
            "detectors: [jwt, privat-key]",
            "2: 0.detectors.1: no detector 'privat-key' is known; did you mean 'private-key'?",
        ),
        (
            "secrets: catalog",
            "detectors: [jwt]\n  paths:\n    - $.a\n    - $.a[?@.b]",
            "masking.yaml:5: 0.paths.1: the path '$.a[?@.b]' cannot be read from character 4 on",
        ),
        ("secrets: catalog", "paths: [$]", "the whole of every response"),
        ("secrets: catalog", "how: remove", "how: input should be 'replace'"),
    ],
)
def test_a_profile_that_says_what_it_cannot_mean_is_refused(site, old, new, says):
    assert says in "\n".join(site.problems(masking=changed(old, new, MASKING)))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  effect", "   effect", "this line is indented differently from those"),
        ("  effect", "\teffect", "a tab cannot indent: use spaces"),
        ("- name", "name", "no key can stand here"),
        ("effect: permit", "effect permit", "a ':' is missing behind a key"),
        ("[okta]", "[okta", "what is in brackets is not closed"),
        ("[okta]", "[*okta]", "a text that begins with '*' stands in quotes"),
    ],
)
def test_what_is_no_yaml_is_told_in_the_words_of_who_wrote_it(site, old, new, says):
    policy = "- name: a\n  reason: r\n  match: {targets: [okta]}\n  effect: permit\n"
    (problem,) = site.problems(policy=changed(old, new, policy))
    assert problem.startswith("policy/a.yaml:")
    assert says in problem


def test_what_a_name_may_hold_is_said(site):
    (problem,) = site.problems(masking="- profile: My own\n  secrets: catalog\n")
    assert problem.endswith("profile: small letters, digits and '-' were expected, 64 at most")


def test_a_profile_says_what_is_hidden_and_how(site):
    told = "paths: [$.a, '$..b']\n  detectors: [jwt]\n  how: last4"
    (profile,) = site.load(masking=changed("secrets: catalog", told, MASKING)).profiles
    assert profile.paths == ("$.a", "$..b")
    assert (profile.detectors, profile.how) == (("jwt",), "last4")


def test_a_budget_may_stand_alone_or_in_a_list(site):
    alone = site.load(policy=changed("mask: okta", "budget: {uses: 5, within: 1h}", POLICY))
    several = "budget: [{uses: 5, within: 1h}, {uses: 9, within: 1d, per: all}]"
    both = site.load(policy=changed("mask: okta", several, POLICY))
    first = {"uses": 5, "within": 3600.0, "per": Per.SUBJECT}
    assert [each.model_dump() for each in alone.rules[0].budget] == [first]
    second = {"uses": 9, "within": 86400.0, "per": Per.ALL}
    assert [each.model_dump() for each in both.rules[0].budget] == [first, second]


@pytest.mark.parametrize("test", ["targets", "actions", "groups", "methods", "paths"])
def test_a_test_that_was_left_empty_does_not_match_everything(site, test):
    """``groups:`` with nothing behind it is unfinished, not "all groups"."""
    policy = f"- name: open\n  reason: r\n  match:\n    {test}:\n  effect: permit\n"
    (problem,) = site.problems(policy=policy)
    assert problem.startswith(f"policy/a.yaml:4: 0.match.{test}: a value was expected")


@pytest.mark.parametrize("key", ["dial", "trust"])
def test_a_key_without_a_value_is_not_the_default(site, key):
    text = SETTINGS.replace("    dial: 127.0.0.1:9443\n", f"    {key}:\n")
    assert f"targets.0.{key}: a value was expected" in "\n".join(site.problems(settings=text))


DIAL = "    dial: 127.0.0.1:9443\n"


@pytest.mark.parametrize("host", ["10.0.0.5", '"[fd00::5]:8443"', "169.254.169.254", "localhost"])
def test_only_dial_names_an_inside_address(site, host):
    """A host that is one is refused at the start; where a name leads is seen when it is dialled."""
    text = changed("acme.okta.example,", f"{host},")
    assert site.load(settings=text)
    problems = site.problems(settings=changed(DIAL, "", text)) if host != "localhost" else []
    assert [
        each for each in problems if "not a public address: name it in dial" in each
    ] == problems


def test_a_public_address_is_a_host(site):
    text = changed(DIAL, "", changed("acme.okta.example,", '8.8.8.8, "[2606:4700::1111]",'))
    assert site.load(settings=text).settings.targets[0].hosts[1] == "[2606:4700::1111]:443"


def test_a_proxy_before_a_target_is_a_host_and_a_port(site):
    (site.folder / "proxy.auth").write_text("Basic x")
    via = "    via: {proxy: 'proxy.internal:3128', authorization: 'file:./proxy.auth'}\n"
    made = site.load(settings=changed(DIAL, via)).settings.targets[0].via
    assert made.proxy == ("proxy.internal", 3128)
    assert made.authorization == SecretAt("file", f"{site.folder.resolve()}/proxy.auth")
    via = "    via: {proxy: '[fd00::1]:3128'}\n"
    assert site.load(settings=changed(DIAL, via)).settings.targets[0].via.proxy[0] == "fd00::1"


FIXED = '{type: static, header: Authorization, value: "file:token"}'


@pytest.mark.parametrize(
    "credential",
    [
        "{type: static, basic: {username: bot, password: 'file:token'}}",
        "{type: static, query: api_key, value: 'file:token'}",
        "{type: static, body: token, value: 'file:token'}",
    ],
)
def test_a_fixed_secret_is_carried_in_one_of_four_ways(site, credential):
    assert site.load(settings=changed(FIXED, credential)).settings.targets[0].credential


@pytest.mark.parametrize(
    ("credential", "says"),
    [
        ("{type: static, value: 'file:token'}", "one of header, basic, query and body"),
        ("{type: static, header: A, query: a, value: 'file:token'}", "one of header, basic"),
        ("{type: static, header: A}", "value goes with header"),
        (
            "{type: static, basic: {username: a, password: 'file:token'}, value: 'file:token'}",
            "basic has its password",
        ),
        (
            "{type: static, basic: {username: 'a:b', password: 'file:token'}}",
            "text without a colon",
        ),
        ("{type: static, basic: {username: '', password: 'file:token'}}", "username"),
        ("{type: static, basic: {username: a, password: hunter2}}", "file:PATH"),
        ("{type: static, query: 'a b', value: 'file:token'}", "query"),
        ("{type: static, body: 'a%20b', value: 'file:token'}", "body"),
        ("{type: static, header: Host, value: 'file:token'}", "says where a call goes"),
        ("{type: static, header: Content-Length, value: 'file:token'}", "says where a call goes"),
        ("{type: static, header: Proxy-Authorization, value: 'file:token'}", "says where a call"),
        ("{type: static, header: Prefer, value: 'file:token'}", "is part of a call"),
    ],
)
def test_a_fixed_secret_that_cannot_be_carried_is_refused(site, credential, says):
    told = "\n".join(site.problems(settings=changed(FIXED, credential)))
    assert says in told
    assert "hunter2" not in told


def vault(**changes):
    """The credential that a Vault keeps, as YAML."""
    written = {
        "type": "vault",
        "address": "https://vault.acme.example:8200",
        "auth": {"token": "file:token"},
        "path": "apis/github",
        "field": "token",
        "as": {"header": "Authorization", "prefix": "Bearer "},
    }
    kept = {name: value for name, value in (written | changes).items() if value is not None}
    return json.dumps(kept)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"auth": {"approle": {"role_id": "a", "secret_id": "credential:a", "mount": "b/c"}}},
        {"namespace": "team/a", "mount": "kv", "dial": "127.0.0.1:8200", "trust": "./ca.pem"},
        {"as": {"basic": {"username": "bot"}}},
        {"as": {"query": "api_key"}, "fresh": "5m", "oldest": "5m"},
        {"as": {"body": "token"}, "address": "https://[::1]"},
    ],
)
def test_a_secret_that_a_vault_keeps(site, changes):
    made = site.load(settings=changed(FIXED, vault(**changes))).settings.targets[0].credential
    assert (made.field, made.fresh <= made.oldest) == ("token", True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"address": "http://vault.acme.example"}, "https:// address"),
        ({"address": "https://vault.acme.example/v1"}, "a host and nothing more"),
        ({"auth": {}}, "one of token and approle"),
        ({"auth": {"token": "s.hunter2"}}, "file:PATH"),
        (
            {"auth": {"token": "file:a", "approle": {"role_id": "a", "secret_id": "file:a"}}},
            "one of token",
        ),
        ({"path": None}, "path: this is missing"),
        ({"path": "/apis"}, "path"),
        ({"path": "apis/../sys"}, "goes down"),
        ({"mount": ".."}, "goes down"),
        ({"path": "apis?version=1"}, "path"),
        ({"namespace": "a\nb"}, "namespace"),
        ({"as": {}}, "one of header, basic, query and body"),
        ({"as": {"query": "a", "prefix": "Bearer "}}, "prefix goes with header"),
        ({"as": {"header": "Authorization", "prefix": "Bearer\n"}}, "prefix"),
        ({"as": {"header": "Prefer"}}, "is part of a call"),
        ({"as": {"header": "Host"}}, "says where a call goes"),
        ({"fresh": "10m"}, "oldest is shorter than fresh"),
        ({"fresh": "0s"}, "fresh"),
    ],
)
def test_a_vaults_secret_that_cannot_be_meant_is_refused(site, changes, says):
    told = "\n".join(site.problems(settings=changed(FIXED, vault(**changes))))
    assert says in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("written", "kind", "name"),
    [
        ("env:A_TOKEN", "env", "A_TOKEN"),
        ("env:_x1", "env", "_x1"),
        ("credential:okta-key.pem", "credential", "okta-key.pem"),
    ],
)
def test_a_secret_stands_in_a_file_or_in_the_environment_or_with_systemd(site, written, kind, name):
    """Where it stands is read with the configuration; it itself is read when it is needed."""
    made = site.load(settings=changed("file:token", written)).settings.targets[0]
    assert made.credential.value == SecretAt(kind, name)


@pytest.mark.parametrize(
    ("via", "says"),
    [
        ("{}", "proxy: this is missing"),
        ("{proxy: proxy.internal}", "HOST:PORT was expected"),
        ("{proxy: 'http://proxy.internal:3128'}", "HOST:PORT was expected"),
        ("{proxy: '2130706433:3128'}", "as addresses are usually written"),
        ("{proxy: 'proxy.internal:3128', authorization: 'Basic hunter2'}", "file:PATH"),
        ("{proxy: 'proxy.internal:3128', password: x}", "unknown key"),
        ("{proxy: 'proxy.internal:3128'}\n    dial: 127.0.0.1:9443", "exclude each other"),
    ],
)
def test_a_proxy_that_cannot_be_meant_is_refused(site, via, says):
    told = "\n".join(site.problems(settings=changed(DIAL, f"    via: {via}\n")))
    assert says in told
    assert "hunter2" not in told


def test_a_store_is_at_an_address_or_behind_a_socket(site):
    made = site.load(settings=SETTINGS + "store: {type: postgres, socket: ./run}\n").settings.store
    assert made.address == (f"{site.folder.resolve() / 'run'}", 5432)
    far = "store: {type: postgres, server: 'db.example:6432', trust: ./ca.pem}\n"
    assert site.load(settings=SETTINGS + far).settings.store.address == ("db.example", 6432)
    for here in ("localhost", "127.0.0.1", "[::1]"):
        near = f"store: {{type: postgres, server: '{here}:5432'}}\n"
        assert site.load(settings=SETTINGS + near).settings.store.trust is None


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("{}", "type: this is missing"),
        ("{type: mysql}", "postgres"),
        ("{type: postgres}", "one of the two"),
        ("{type: postgres, server: 'localhost:1', socket: ./run}", "one of the two"),
        ("{type: postgres, server: 'db.example:5432'}", "another machine"),
        ("{type: postgres, server: '10.0.0.5:5432'}", "another machine"),
        ("{type: postgres, socket: ./run, trust: ./ca.pem}", "goes with server"),
        ("{type: postgres, server: 'localhost:1', port: 5}", "goes with socket"),
        ("{type: postgres, socket: ./run, password: hunter2}", "file:PATH"),
        ("{type: postgres, socket: ./run, tables: 'x; DROP'}", "tables"),
        ("{type: postgres, socket: ./run, user: 'a b'}", "user"),
    ],
)
def test_a_store_that_cannot_be_meant_is_refused(site, store, says):
    told = "\n".join(site.problems(settings=SETTINGS + f"store: {store}\n"))
    assert says in told
    assert "hunter2" not in told


def test_name_servers_are_addresses_whose_port_may_be_left_out(site):
    text = SETTINGS + "resolver: [10.0.0.53, '[::1]', '[::1]:5353', '10.0.0.53:53']\n"
    problems = site.problems(settings=text)
    assert ["resolver: " in each for each in problems] == [True], "three are enough"
    text = changed(", '10.0.0.53:53'", "", text)
    servers = (("10.0.0.53", 53), ("::1", 53), ("::1", 5353))
    assert site.load(settings=text).settings.resolver == servers


@pytest.mark.parametrize("server", ["dns.example", "::1", "127.1", "53", "10.0.0.53:99999"])
def test_a_name_server_that_is_no_address_is_refused(site, server):
    problems = site.problems(settings=SETTINGS + f"resolver: ['{server}']\n")
    assert "was expected" in "\n".join(problems)


def test_every_method_that_the_proxy_takes_can_be_named_in_a_rule():
    assert set(get_args(Method)) == METHODS


def test_two_files_with_the_same_rule_are_refused(site):
    (site.folder / "policy" / "b.yaml").write_text(POLICY)
    problems = site.problems()
    assert problems == [
        "policy/b.yaml:1: the rule 'read' stands at policy/a.yaml:1 already",
        "policy/b.yaml:6: the rule 'change' stands at policy/a.yaml:6 already",
    ]


# --- files that are none


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"[]",
        b"null",
        b"a: b\n---\nc: d\n",
        b"\xff\xfe\x00",
        b"a: \x00",
        b"a: &a [*a]",
        b"%YAML 9.9\n---\na: b",
        b"!!python/object/apply:os.system [id]",
        b"a: *nowhere",
        b"\t- a",
    ],
)
def test_a_file_that_is_no_configuration_is_refused(site, data):
    assert site.problems(settings=data)
    site.write()
    if data != b"[]":  # no rules at all is a policy: it denies everything
        assert site.problems(policy=data)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationInvalid, match="cannot be read: No such file"):
        load(tmp_path / "jitgate.yaml")
    with pytest.raises(ConfigurationInvalid, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_path_whose_links_go_in_a_circle_is_refused(site):
    (site.folder / "loop").symlink_to(site.folder / "loop")
    assert "state" in site.problems(settings=changed("./var", "./loop/var"))[0]


# --- mutations


PIECES = [
    "null", "~", "no", "-1", "1e999", ".nan", "0x1F", "2001-13-45", "[]", "{}", "[[]]", "{a: b}",
    "&a", "*a", "<<: {}", "!!binary x", "!!set {a}", "!x y", "? a", ": ", "- ", "'", '"', "\\u0000",
    '"\\ud800"', "|", ">-", "%YAML 1.1\n---\n", "---\n", "...\n", "#", "\t", "\0", "\x85", "\ufeff",
    "9" * 30, "a" * 300, "é", "../", "/", "**", "*", "?", "[", "file:", "https://[", "::", "%s",
]  # fmt: skip


def mutated(text: str, seed: int) -> str:
    """The text with a few of its pieces cut, doubled, moved or replaced."""
    random_ = random.Random(seed)
    for _ in range(random_.randint(1, 3)):
        tokens = re.findall(r"\s+|[\w./:*-]+|.", text)
        at = random_.randrange(len(tokens))
        match random_.randrange(4):
            case 0:
                del tokens[at : at + random_.randint(1, 4)]
            case 1:
                tokens[at] = random_.choice(PIECES)
            case 2:
                tokens.insert(at, random_.choice(tokens))
            case 3:
                tokens.insert(at, random_.choice(PIECES))
        text = "".join(tokens) or "x"
    return text


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(["settings", "policy", "masking"]), st.integers(0, 2**32))
@example("settings", 0)
def test_no_mutation_of_a_valid_file_ends_in_anything_but_problems(site, which, seed):
    original = {"settings": SETTINGS, "policy": POLICY, "masking": MASKING}[which]
    site.write()
    try:
        site.load(**{which: mutated(original, seed)})
    except ConfigurationInvalid as error:
        assert error.problems
        assert all("\n" not in problem for problem in error.problems)


# --- people and how long they are waited for


def test_who_answers_and_for_how_long_is_read(site):
    settings = load(site.folder / "jitgate.yaml").settings
    assert settings.control.approvers == {
        1001: "alice@acme.example",
        1002: "https://people.example u7",
    }
    assert settings.approvals.hold == 20.0
    assert settings.approvals.expire == 600.0
    assert load(site.folder / "jitgate.yaml").control_socket == site.folder / "var" / "control.sock"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{1001: alice@acme.example,", "{1001: 7,", "an e-mail address was expected"),
        ("{1001: alice@acme.example,", "{-1: alice@acme.example,", "a uid was expected"),
        ("u7}}}", "u7}}, auditors: {1001: eve}}", "the uid 1001 stands in two lists"),
        ("hold: 20s", "hold: 20m", "expire is shorter than hold"),
        ("[alice@acme.example, bob@acme.example]", "[]", "at least 1 item"),
        ("it-leads: [alice", "it-leds: [alice", "no group 'it-leads' in approvals.groups; did you"),
        ("hold: 20s", "hold: 20s\n  review_bodies: 5", "review_bodies has no room"),
        ("hold: 20s", "hold: 20s\n  channels: []", "at least 1 item"),
        ("header: Authorization", "header: If-Match", "the field If-Match is part of a call"),
        ("header: Authorization", "header: User-Agent", "the field User-Agent is part of a call"),
        (
            "dial: 127.0.0.1:9443",
            "headers: [user-agent]",
            "the field user-agent is never forwarded",
        ),
    ],
)
def test_what_cannot_be_about_people_is_told(site, old, new, said):
    site.write(settings=SETTINGS.replace(old, new))
    assert any(said in problem for problem in site.problems()), site.problems()


ELSEWHERE = "{it-leads: [alice@acme.example], security: {from: slack, group: S0123}}"


def test_a_group_may_be_kept_elsewhere(site):
    site.write(
        settings=SETTINGS.replace("{it-leads: [alice@acme.example, bob@acme.example]}", ELSEWHERE),
        policy=POLICY.replace("[it-leads]", "[it-leads, security]"),
    )
    groups = load(site.folder / "jitgate.yaml").settings.approvals.groups
    assert groups["it-leads"] == ("alice@acme.example",)
    assert (groups["security"].source, groups["security"].group) == ("slack", "S0123")
    assert groups["security"].where == f"{site.folder}/jitgate.yaml:28"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{form: slack, group: S1}", "it-leads.form: unknown key; did you mean 'from'?"),
        ("{from: slack, gruop: S1}", "it-leads.gruop: unknown key; did you mean 'group'?"),
        ("{source: slack, group: S1}", "it-leads.source: unknown key"),
        ("{group: S1}", "it-leads.from: this is missing"),
        ("{from: slack}", "it-leads.group: this is missing"),
        ("{from: slack, group: ''}", "it-leads.group: string should have at least 1 character"),
        ("{from: slack, group: 7}", "it-leads.group: text was expected"),
        ("{from: [slack], group: S1}", "it-leads.from: text was expected"),
        ("{from: null, group: S1}", "it-leads.from: "),
        ("[{from: slack, group: S1}]", "it-leads.0: an e-mail address was expected"),
        ("slack", "it-leads: a list was expected"),
        ("7", "it-leads: a list was expected"),
    ],
)
def test_a_group_that_cannot_be_meant_is_told_with_its_line(site, written, said):
    text = SETTINGS.replace("[alice@acme.example, bob@acme.example]", written)
    (problem,) = [each for each in site.problems(settings=text) if said in each]
    assert problem.startswith(f"jitgate.yaml:28: approvals.groups.{said}"), problem


# --- limits


def test_without_the_section_every_limit_is_the_one_that_its_reason_gives(site):
    assert load(site.folder / "jitgate.yaml").settings.limits.bounds == LIMITS


def test_every_limit_can_be_set(site):
    """Each to another value than its own, so that none is left out or taken for another."""
    written, expected = {}, {}
    for number, each in enumerate(fields(Limits)):
        timed = isinstance(each.default, float)
        expected[each.name] = 20.0 + number if timed else 2000 + number
        if each.name == "head_fields":
            expected[each.name] = 77
        if each.name == "masking_bytes":
            expected[each.name] = 2**25 + number
        written[each.name] = f"{20 + number}s" if timed else expected[each.name]
    site.write(settings=f"{SETTINGS}limits: {json.dumps(written)}\n")
    assert load(site.folder / "jitgate.yaml").settings.limits.bounds == Limits(**expected)


@pytest.mark.parametrize(
    ("size", "count"), [("64KiB", 65536), ("2MiB", 2097152), ("3GiB", 3221225472), ("5", 5)]
)
def test_a_size_is_bytes_or_has_its_unit(site, size, count):
    site.write(settings=f"{SETTINGS}limits: {{body_bytes: {size}}}\n")
    assert load(site.folder / "jitgate.yaml").settings.limits.bounds.body_bytes == count


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{body_bytes: 1GB}", "a size was expected"),
        ("{body_bytes: true}", "a size was expected"),
        ("{body_bytes: 0}", "at least 1 was expected"),
        ("{idle: 75}", "a duration with its unit was expected"),
        ("{idle: 0s}", "at least 100ms was expected"),
        ("{stop: 500ms}", "at least 1s was expected"),
        ("{connections: 0}", "at least 1 was expected"),
        ("{head_bytes: 2MiB}", "at most 1048576 was expected"),
        ("{exchanges: 1s}", "a whole number was expected"),
        ("{exchange: 1}", "unknown key"),
    ],
)
def test_a_limit_that_is_none_is_told(site, written, said):
    site.write(settings=f"{SETTINGS}limits: {written}\n")
    assert any(said in problem for problem in site.problems()), site.problems()


# --- workers


def test_without_being_asked_for_there_is_one_process(site):
    assert site.load().settings.workers == 1


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("workers: 0", "at least 1 was expected"),
        ("workers: 65", "at most 64 was expected"),
        ("workers: two", "a whole number was expected"),
        ("workers: 2\nservices: [recorder, control]", "the service proxy"),
        ("workers: 2\nservices: [control, proxy]", "the service recorder"),
        ("workers: 2\nservices: [proxy, recorder]", "the recorder before the proxy"),
        ("workers: 2\nrecording: {directory: ./r, plugin: mirror}", "take workers: 1"),
    ],
)
def test_workers_that_could_not_work_are_told(site, written, said):
    stands = re.sub(r"(?m)^services: .*\n", "", SETTINGS)
    site.write(settings=f"{stands}{written}\n")
    assert any(said in problem for problem in site.problems()), site.problems()


def test_workers_share_what_is_a_bound_for_all():
    bounds = Limits()
    one = bounds.share(3)
    divided = (
        "connections",
        "connections_per_agent",
        "unproved",
        "exchanges",
        "exchanges_per_agent",
        "masking_bytes",
    )
    for name in divided:
        whole, part = getattr(bounds, name), getattr(one, name)
        assert whole <= 3 * part < whole + 3
    assert replace(one, **{name: getattr(bounds, name) for name in divided}) == bounds
    assert bounds.share(1) == bounds


# --- service apps

KEYS = "client_id: 0oa1, key_id: k1, private_key: file:./key.pem"


WITH_STATIC = 'credential: {type: static, header: Authorization, value: "file:token"}'


def okta(keys):
    return f"credential: {{type: okta, org: https://acme.okta.com, {keys}}}"


def app(name="reader", risks="read", more=""):
    return f"{{name: {name}, {KEYS}, risks: [{risks}]{more}}}"


def with_credential(site, written):
    site.write(changed(WITH_STATIC, written))
    return site.load().settings.targets[0].credential


def test_one_service_app_is_for_everything_and_proves_its_key(site):
    (only,) = with_credential(site, okta(KEYS)).every
    assert (only.name, only.dpop, only.scopes) == ("0oa1", True, None)
    assert set(only.risks) == set(Risk)


def test_dpop_can_be_switched_off(site):
    assert not with_credential(site, okta(f"{KEYS}, dpop: false")).every[0].dpop


def test_several_service_apps_have_risks_and_may_have_scopes(site):
    apps = f"{app()}, {app('writer', 'read, write', ', scopes: [okta.users.manage]')}"
    reader, writer = with_credential(site, okta(f"apps: [{apps}]")).every
    assert (reader.name, reader.risks, reader.scopes) == ("reader", (Risk.READ,), None)
    assert (writer.risks, writer.scopes) == ((Risk.READ, Risk.WRITE), ("okta.users.manage",))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("client_id: 0oa1", "key_id, private_key is missing, or else a list of apps"),
        (f"{KEYS}, apps: [{app()}]", "client_id, key_id, private_key stands in each of apps"),
        (f"dpop: false, apps: [{app()}]", "dpop stands in each of apps"),
        ("apps: []", "apps is empty"),
        (f"apps: [{app()}, {app()}]", "two apps are named reader"),
        (f"apps: [{app(risks='')}]", "risks"),
        (f"apps: [{app(risks='some')}]", "risks"),
        (f"apps: [{app(more=', scopes: []')}]", "scopes"),
        (f"apps: [{{name: reader, {KEYS}}}]", "risks"),
        (f"apps: [{app(more=', reuse: 5m')}]", "reuse"),
    ],
)
def test_service_apps_that_cannot_be_meant_are_refused_with_their_line(site, keys, says):
    (problem,) = site.problems(settings=changed(WITH_STATIC, okta(keys)))
    assert "jitgate.yaml:" in problem
    assert says in problem
