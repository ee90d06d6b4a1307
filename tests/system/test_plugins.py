"""What a plugin provides for each port is used by a gateway that serves, and held to its port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import jwt
import orjson
import pytest
from support import everything
from support.approver import APPROVER, REVIEWED, Approver, people
from support.counterparts import TestCA
from support.everything import KEY, PARTNERS
from support.gateway import GatewayProcess, settings, target, wait_for
from support.tokens import Tokens
from support.wire import Origin, answering
from system.conftest import Scene

PLUGIN = Path(everything.__file__)
PERMIT = {"name": "all", "reason": "A test.", "match": {"groups": ["it-agents"]}}
PERMIT |= {"effect": "permit"}


@dataclass
class Plugged(Scene):
    """The gateway that has it all from a plugin, and what the plugin leaves behind."""

    top: Path
    folder: Path

    def shown(self, name: str) -> str:
        file = self.folder / name
        return file.read_text() if file.exists() else ""

    def mirrored(self) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in self.shown("mirror").splitlines()]

    def line(self, said: str) -> str:
        """What is answered to a call that is a line."""
        with socket.create_connection(("127.0.0.1", int(self.shown("port"))), 15) as line:
            line.sendall(said.encode() + b"\n")
            return line.makefile().readline().strip()

    def write(self, **options: object) -> None:
        """The configuration, with other options of the plugin."""
        self.gateway.config.write_bytes(orjson.dumps(configuration(self, **options), option=orjson.OPT_NON_STR_KEYS))  # fmt: skip

    def reload(self, says: str) -> str:
        """Have it read its files again, and wait until the log says so."""
        before = len(self.gateway.output)
        os.kill(self.gateway.process.pid, signal.SIGHUP)
        return wait_for(
            lambda: "".join(line for line in self.gateway.output[before:] if says in line)
        )


def configuration(scene, **options):
    made = settings(scene.top, scene.tokens.jwks, [])
    far = target(scene.origin.port, scene.origin_ca, catalog={"plugin": "things-catalog"})
    far["credential"] = {"type": "plugin", "name": "minted"}
    lending = {"name": "lending", "hosts": ["lending.example"]}
    lent = target(scene.origin.port, scene.origin_ca, **lending)
    lent["credential"] = {"type": "plugin", "name": "lent"}
    duty = {"it-leads": {"from": "rota", "group": "duty"}}
    power = people(channels=["pager", "cli"], people=["leavers"], groups=duty)
    made |= power | {"targets": [far, lent]}
    made["identity"]["issuers"].append({"name": "partners", "type": "plugin", "issuer": PARTNERS})
    made["listen"]["plugins"] = ["line"]
    made["recording"] = {"directory": "./state/recordings", "plugin": "mirror"}
    made["plugins"] = [{"file": str(PLUGIN), "options": {"folder": "./shown", **options}}]
    return made


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugged")
    shown = folder / "shown"
    shown.mkdir()
    (shown / "left").touch()
    (shown / "duty.rota").write_text(f"{APPROVER} bob@acme.example")
    things = {"match": {"targets": ["things"], "actions": ["getThing"]}}
    lent = {"name": "lent", "match": {"targets": ["lending"]}, "reuse": "1m"}
    reviewed = REVIEWED | {"match": REVIEWED["match"] | {"targets": ["things"]}}
    rules = [PERMIT | things, reviewed, PERMIT | lent]
    (folder / "policy.yaml").write_bytes(orjson.dumps(rules))
    ca = TestCA.create(folder, name="origin")
    made = Plugged.__new__(Plugged)
    made.top, made.folder = folder, shown
    made.tokens, made.origin_ca = Tokens(folder), ca.pem
    with Origin(ca.leaf("api.example", "lending.example"), made.handle) as made.origin:
        with GatewayProcess(folder, configuration(made)) as made.gateway:
            yield made
        assert (shown / "line-stopped").exists()
        assert (shown / "mirror-closed").exists()


def test_a_catalog_names_calls_under_the_name_of_the_target(scene):
    """The rule for the target sees them, whatever the plugin calls the target."""
    with scene.tunnel() as tunnel:
        assert tunnel.ask("GET", "/things/1").status == 200
    decided = wait_for(lambda: scene.gateway.entries("decision"))[-1]
    assert decided["operation"]["action"] == "getThing"
    assert decided["operation"]["target"] == "things"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/other/1", "is no operation known of things"),
        ("/things/elsewhere", "Catalog things-catalog answered another call"),
    ],
)
def test_what_a_catalog_does_not_know_or_makes_another_call_of_is_denied(scene, path, says):
    sent = len(scene.origin.received)
    with scene.tunnel() as tunnel:
        reply = tunnel.ask("GET", path)
    assert reply.status >= 400
    assert says in reply.body.decode()
    assert len(scene.origin.received) == sent
    # A fault that nobody foresaw is in the log, with the plugin's name.
    if "answered another" in says:
        wait_for(lambda: [line for line in scene.gateway.output if "CatalogFault" in line])
    scene.gateway.output[:] = [line for line in scene.gateway.output if "CatalogFault" not in line]


def test_a_credential_is_added_and_hidden_where_it_is_echoed(scene):
    scene.handler = answering(b'{"key":"minted-for-getThing"}')
    with scene.tunnel() as tunnel:
        reply = tunnel.ask("GET", "/things/1")
    assert scene.origin.received[-1].header("X-Key") == "minted-for-getThing"
    assert everything.CREDENTIAL not in reply.body
    outcome = wait_for(lambda: scene.gateway.entries("outcome"))[-1]
    assert outcome["credential"] == {"kind": "minted"}


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        ("no-credential", "Credential source minted raised KeyError"),
        ("unnamed-secret", "Credential source minted does not say which part of it is secret"),
        ("counts", "Credential source minted writes prefer, which is part of a call"),
    ],
)
def test_a_credential_that_is_none_is_a_denial_that_names_its_source(scene, thing, says):
    with scene.tunnel() as tunnel:
        reply = tunnel.ask("GET", f"/things/{thing}")
    assert reply.status == 502
    assert says in reply.body.decode()


@pytest.mark.parametrize(
    ("method", "status", "told"),
    [("GET", 200, 200), ("POST", 200, 200), ("GET", 401, 503), ("POST", 599, 599)],
)
def test_what_a_source_lends_is_sent_once_heard_of_and_given_back(scene, method, status, told):
    """By the policy's `reuse` for what changes nothing; a challenge is not passed on."""
    (scene.folder / "lending").unlink(missing_ok=True)
    scene.handler = answering(b"{}", status=status)
    how = {"authority": "lending.example:443", "sni": "lending.example"}
    with scene.tunnel(**how) as tunnel:
        tunnel.send(f"{method} /a HTTP/1.1\r\nHost: lending.example\r\n\r\n".encode())
        reply = tunnel.reply(method)
    assert reply.status == told, reply.body
    key = scene.origin.received[-1].header("X-Key")
    assert key.endswith("-60" if method == "GET" else "-0")
    assert wait_for(lambda: scene.shown("lending").count("back")) == 1
    assert scene.shown("lending").splitlines() == [f"lent {key}", f"back {key}"]
    if status == 599:
        said = "Credential source lent raised KeyError when it heard of an answer."
        assert [line for line in scene.gateway.output if said in line]


def partners_token(**claims):
    content = {"iss": PARTNERS, "sub": "their-bot", "exp": int(time.time()) + 60} | claims
    key = claims.pop("key", KEY)
    content.pop("key", None)
    return jwt.encode(content, key, "HS256")


def test_a_verifier_proves_the_tokens_of_its_issuer(scene):
    with scene.tunnel(token=partners_token()) as tunnel:
        assert tunnel.ask("GET", "/things/1").status == 200
    decided = wait_for(lambda: scene.gateway.entries("decision"))[-1]
    assert (decided["subject"]["issuer"], decided["subject"]["id"]) == (PARTNERS, "their-bot")


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"key": "another-key-that-nobody-shares-with-us"}, "The partners have not made it"),
        ({"says": "https://idp.example"}, "another issuer made it"),
        ({"iss": "https://nobody.example"}, "no issuer that is known"),
        ({"exp": 1}, "Signature has expired"),
    ],
)
def test_a_token_that_a_verifier_does_not_prove_as_its_issuers_own_is_refused(scene, claims, says):
    with scene.tunnel(token=partners_token(**claims)) as tunnel:
        reply = tunnel.ask("GET", "/things/1")
    assert reply.status == 401
    assert says in reply.body.decode()


def test_a_channel_is_told_of_what_waits_and_of_what_comes_of_it(scene):
    approver = Approver(scene.gateway.config)
    with scene.tunnel() as tunnel:
        tunnel.send(b"DELETE /things/1 HTTP/1.1\r\nHost: api.example\r\n\r\n")
        request = approver.next()["id"]
        assert f"{request} pending" in scene.shown("paged-1")
        approver.approve(request)
        assert tunnel.reply("DELETE").status == 200
    wait_for(lambda: f"{request} approved" in scene.shown("paged-1"))


def test_an_entry_is_in_the_files_and_in_the_plugins_store(scene):
    with scene.tunnel() as tunnel:
        tunnel.ask("GET", "/things/mirrored")
    decided = wait_for(
        lambda: [e for e in scene.gateway.entries("decision") if "mirrored" in f"{e}"]
    )
    (mirrored,) = [each for each in scene.mirrored() if each.get("exchange") == decided[0]["exchange"] and each["type"] == "decision"]  # fmt: skip
    assert mirrored["policy"] == decided[0]["policy"]


def test_without_the_plugins_store_nothing_passes(scene):
    full = scene.folder / "full"
    sent = len(scene.origin.received)
    full.touch()
    try:
        with scene.tunnel() as tunnel:
            reply = tunnel.ask("DELETE", "/things/1")
            assert reply.status == 502
            assert b"no space left on device" in reply.body
    finally:
        full.unlink()
    assert len(scene.origin.received) == sent

    def served():
        with scene.tunnel() as tunnel:
            return tunnel.ask("GET", "/things/1").status == 200

    wait_for(served)


def test_a_listener_asks_the_gateway_as_the_proxy_does(scene):
    token = scene.tokens.token()
    assert scene.line(f"{token} GET /things/7").startswith('200 {"name":"Ada"}')
    decided = wait_for(lambda: scene.gateway.entries("decision"))[-1]
    assert decided["operation"]["resource"] == {"thing": "7"}
    assert scene.line(f"{token} GET /other").startswith("403 GET /other is no operation")
    assert scene.line("no-token GET /things/7").startswith("403 The agent's token is refused")


def test_which_plugins_run_is_on_record(scene):
    (opened,) = scene.gateway.entries("log.open")
    (plugin,) = opened["run"]["plugins"]
    assert plugin["file"] == str(PLUGIN)
    listed = subprocess.run(
        [
            sys.executable,
            "-m",
            "jitgate",
            "plugins",
            "--json",
            "--config",
            str(scene.gateway.config),
        ],
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert [each["sha256"] for each in orjson.loads(listed.stdout)] == [plugin["sha256"]]


def test_a_reload_replaces_what_it_can_and_says_what_needs_a_restart(scene):
    scene.write(version="2")
    assert "recording.plugin is another: restart to change it" in scene.reload("recording.plugin")
    assert any("listen.plugins: line is another" in line for line in scene.gateway.output)
    scene.write()
    scene.reload("Reloaded ")
    replaced = wait_for(
        lambda: [e for e in scene.gateway.entries("reload") if e["result"] == "replaced"]
    )
    assert [each["file"] for each in replaced[-1]["plugins"]] == [str(PLUGIN)]
    with scene.tunnel() as tunnel:
        assert tunnel.ask("GET", "/things/1").status == 200


def test_who_has_left_by_a_plugins_list_approves_nothing_any_more(scene):
    approver, left = Approver(scene.gateway.config), scene.folder / "left"
    with scene.tunnel() as tunnel:
        tunnel.send(b"DELETE /things/9 HTTP/1.1\r\nHost: api.example\r\n\r\n")
        key = approver.next()["id"]
        left.write_text(APPROVER)
        said = approver.run("approve", key)
        assert (said.returncode, "is deactivated" in said.stderr) == (1, True)
        left.unlink()
        said = approver.run("approve", key)
        assert (said.returncode, "cannot be told at present" in said.stderr) == (1, True)
        left.touch()
        approver.approve(key)
        assert tunnel.reply().status == 200
    scene.gateway.output[:] = [line for line in scene.gateway.output if "leavers" not in line]


def test_who_is_off_duty_by_a_plugins_rota_approves_nothing_though_the_rota_was_told_before(scene):
    approver, rota = Approver(scene.gateway.config), scene.folder / "duty.rota"
    with scene.tunnel() as tunnel:
        tunnel.send(b"DELETE /things/10 HTTP/1.1\r\nHost: api.example\r\n\r\n")
        asked = approver.next()
        assert asked["could_answer"] == [APPROVER, "bob@acme.example"]
        assert (asked["unknown"], asked["empty"]) == ([], [])
        rota.write_text("bob@acme.example")
        said = approver.run("approve", asked["id"])
        assert (said.returncode, "is in none of the groups" in said.stderr) == (1, True)
        rota.unlink()
        said = approver.run("deny", asked["id"])
        assert (said.returncode, "Who is in it-leads cannot be told" in said.stderr) == (1, True)
        rota.write_text(APPROVER)
        approver.approve(asked["id"])
        assert tunnel.reply().status == 200
    scene.gateway.output[:] = [line for line in scene.gateway.output if "rota" not in line]
