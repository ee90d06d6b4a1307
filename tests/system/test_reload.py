"""A running gateway reads its configuration again: all of it replaces all, or nothing does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from support import everything
from support.approver import APPROVER, REVIEWED, Approver, people
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target, wait_for
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering
from system.conftest import Scene

PATIENCE = 30.0
"""Seconds for what a busy machine has to do."""

RELOADS = 20

OPERATOR = {"operators": {os.getuid(): "root@acme.example"}}

PERMIT = {"name": "all", "reason": "A test.", "match": {"groups": ["it-agents"]}}
PERMIT |= {"effect": "permit"}
NO_SECRETS = {"name": "no-secrets", "reason": "Hidden.", "match": {"paths": ["/secret"]}}
NO_SECRETS |= {"effect": "deny"}


class Desk(Scene):
    """One gateway whose files a test changes while it serves, and the origin behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = TestCA.create(folder, name="origin")
        self.tokens = Tokens(folder)
        self.handler = answering(b'{"name":"Ada"}')
        self.origin = Origin(self.ca.leaf("api.example", "other.example"), self.handle)
        self.policy(PERMIT)

    def policy(self, *rules: Any) -> None:
        (self.folder / "policy.yaml").write_bytes(orjson.dumps(list(rules)))

    def settings(self, **more: Any) -> dict[str, Any]:
        far = target(self.origin.port, self.ca.pem)
        return settings(self.folder, self.tokens.jwks, [far]) | {"control": OPERATOR} | more

    def configure(self, configuration: dict[str, Any]) -> None:
        data = orjson.dumps(configuration, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_INDENT_2)
        self.gateway.config.write_bytes(data)

    @contextmanager
    def serving(self, **more: Any) -> Iterator[GatewayProcess]:
        """The gateway; what it did not foresee fails the test."""
        with (
            self.origin,
            GatewayProcess(self.folder, self.settings(**more)) as self.gateway,
        ):
            yield self.gateway
        faults = [each for each in self.gateway.output if "Traceback" in each or "critical" in each]
        assert not faults, "".join(self.gateway.output)

    def reload(self, code: int = 0, *arguments: str) -> list[str]:
        """Ask for it as an operator does; what is said."""
        done = subprocess.run(
            [sys.executable, "-m", "jitgate", "reload", *self.where(*arguments)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return (done.stdout + done.stderr).splitlines()

    def where(self, *arguments: str) -> tuple[str, ...]:
        return arguments or ("--config", str(self.gateway.config))

    def hangup(self) -> None:
        """Ask for it by the signal, and wait until the log tells what came of it."""
        before = self.told()
        os.kill(self.gateway.process.pid, signal.SIGHUP)
        wait_for(lambda: self.told() > before)

    def told(self) -> int:
        """How many reloads the log tells of."""
        return sum("Reloaded " in line for line in self.gateway.output)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


# What the folder's conftest makes for its other modules is not needed here.
@pytest.fixture(autouse=True)
def plain_answers():
    """Every desk begins with plain answers."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """Every desk looks after its own gateway."""


# --- what changes


def test_a_rule_that_changes_holds_for_the_very_next_request_on_an_open_tunnel(desk):
    with desk.serving(), desk.tunnel() as tunnel:
        for rules, status in [
            ([PERMIT, NO_SECRETS], 403),
            ([PERMIT], 200),
            ([PERMIT, NO_SECRETS], 403),
        ]:
            desk.policy(*rules)
            (said,) = desk.reload()
            assert tunnel.ask("GET", "/secret").status == status
        versions = [each["policy"] for each in desk.gateway.entries("decision")]
        assert versions[0] == versions[2] != versions[1]
        assert versions[2] in said
        assert "before it was" in said
        assert versions[1] in said


def test_the_signal_does_the_same(desk):
    with desk.serving(), desk.tunnel() as tunnel:
        assert tunnel.ask("GET", "/secret").status == 200
        desk.policy(PERMIT, NO_SECRETS)
        desk.hangup()
        assert tunnel.ask("GET", "/secret").status == 403
        (entry,) = desk.gateway.entries("reload")
        assert entry["by"] == {"signal": "SIGHUP"}
        assert entry["result"] == "replaced"
        assert entry["policy"] != entry["before"]
        assert entry["policy"] == desk.gateway.entries("decision")[-1]["policy"]


def test_open_tunnels_take_the_new_way_to_their_target_and_the_old_one_is_closed(desk):
    with desk.serving(), desk.tunnel() as tunnel:
        assert tunnel.ask("GET", "/").status == 200
        token = desk.folder / "token"
        token.touch(mode=0o600)
        token.write_text("Bearer the-new-one")
        credential = {"type": "static", "header": "Authorization", "value": f"file:{token}"}
        with Origin(desk.ca.leaf("api.example"), answering(b'"new"')) as other:
            far = target(other.port, desk.ca.pem, credential=credential)
            desk.configure(desk.settings(targets=[far]))
            desk.reload()
            wait_for(lambda: desk.origin.ended == desk.origin.connections)
            assert tunnel.ask("GET", "/").body == b'"new"'
            assert other.received[0].header("Authorization") == "Bearer the-new-one"
        assert len(desk.origin.received) == 1


def test_a_host_that_no_target_names_any_more_is_refused_on_open_tunnels_and_new_ones(desk):
    with desk.serving(), desk.tunnel() as tunnel:
        assert tunnel.ask("GET", "/").status == 200
        far = target(desk.origin.port, desk.ca.pem, hosts=["other.example"])
        desk.configure(desk.settings(targets=[far]))
        desk.reload()
        reply = tunnel.ask("GET", "/")
        assert reply.status == 403
        assert b"No target is configured for api.example:443 any more." in reply.body
        with desk.tunnel() as another:
            assert another.status == 403
        with desk.tunnel(authority="other.example:443", sni="other.example") as named:
            assert named.status == 200
        assert len(desk.origin.received) == 1
        assert desk.gateway.entries("outcome")[-1]["denial"] == "target-unknown"


def test_a_subject_whose_issuer_is_not_believed_any_more_is_refused(desk):
    with desk.serving(), desk.tunnel() as tunnel:
        assert tunnel.ask("GET", "/").status == 200
        changed = desk.settings()
        changed["identity"]["issuers"][0]["issuer"] = "https://another.example"
        desk.configure(changed)
        desk.reload()
        reply = tunnel.ask("GET", "/")
        assert reply.status == 401
        assert b"token-refused" in reply.body
        desk.configure(desk.settings())
        desk.reload()
        assert tunnel.ask("GET", "/").status == 200


def test_a_subject_is_what_its_token_proves_now(desk):
    """A key withdrawn, a group's claim renamed: an open tunnel keeps nothing of before."""
    rule = {**PERMIT, "match": {"groups": ["it-agents"]}}
    desk.policy(rule)
    with desk.serving(), desk.tunnel() as tunnel:
        assert tunnel.ask("GET", "/").status == 200
        changed = desk.settings()
        changed["identity"]["issuers"][0]["groups_claim"] = "roles"
        desk.configure(changed)
        desk.reload()
        assert tunnel.ask("GET", "/").status == 403
        assert desk.gateway.entries("decision")[-1]["subject"]["groups"] == []


def test_the_manifest_tells_of_what_is_in_force_now(desk):
    with desk.serving():
        there = {"authority": "jitgate.internal:443", "sni": "jitgate.internal"}
        head = b"GET /manifest.json HTTP/1.1\r\nHost: jitgate.internal\r\n\r\n"
        with desk.tunnel(**there) as tunnel:
            tunnel.send(head)
            before = orjson.loads(tunnel.reply().body)
            far = target(desk.origin.port, desk.ca.pem, hosts=["other.example"])
            desk.configure(desk.settings(targets=[far], approvals={"hold": "33s"}))
            desk.reload()
            tunnel.send(head)
            after = orjson.loads(tunnel.reply().body)
        assert [each["hosts"] for each in before["targets"]] == [["api.example"]]
        assert [each["hosts"] for each in after["targets"]] == [["other.example"]]
        assert after["waiting"]["hold_seconds"] == 33


def test_a_target_that_asks_for_http2_gets_it_in_the_next_tunnel(desk):
    both = {"alpn": ("h2", "http/1.1")}
    with desk.serving(), desk.tunnel(**both) as before:
        assert before.tls.selected_alpn_protocol() == "http/1.1"
        far = target(desk.origin.port, desk.ca.pem, http2=True)
        desk.configure(desk.settings(targets=[far]))
        desk.reload()
        with desk.tunnel(**both) as after:
            assert after.tls.selected_alpn_protocol() == "h2"
        assert before.ask("GET", "/").status == 200  # the open one goes on as it was


def test_a_plugin_is_loaded_anew(desk):
    plugin = desk.folder / "plugin.py"
    plugins = {"plugins": [{"file": str(plugin)}]}
    plugin.write_text(_PLUGIN.format(path="/one"))
    with desk.serving(**plugins), desk.tunnel() as tunnel:
        assert [tunnel.ask("GET", path).status for path in ("/one", "/two")] == [403, 200]
        plugin.write_text(_PLUGIN.format(path="/two"))
        desk.reload()
        assert [tunnel.ask("GET", path).status for path in ("/one", "/two")] == [200, 403]
        plugin.write_text("raise RuntimeError('broken')\n")
        said = "\n".join(desk.reload(1))
        assert "plugin.py" in said
        assert "RuntimeError: broken" in said
        assert [tunnel.ask("GET", path).status for path in ("/one", "/two")] == [200, 403]


_PLUGIN = """\
import sys
from zope.interface import implementer
from jitgate.interfaces import IRule
from jitgate.values import Effect, Verdict

PATH = {path!r}


@implementer(IRule)
class Refuses:
    name = "refuses"
    version = "1"

    def judge(self, inquiry):
        path = sys.modules[__name__].PATH  # as dataclasses and pickles look things up
        return Verdict(Effect.DENY, "No.") if inquiry.operation.path == path else None


def plugin(options):
    return Refuses()
"""


# --- what does not


def test_what_is_broken_changes_nothing_and_all_of_it_is_said_and_logged(desk):
    with desk.serving(), desk.tunnel() as tunnel:
        assert tunnel.ask("GET", "/").status == 200
        (desk.folder / "policy.yaml").write_text(
            "- {name: no, reason: r, match: {}, effect: deny}\n- {name: a, effect: allow}\n"
        )
        (desk.folder / "plugin.py").write_text("def plugin(options):\n    return 1 / 0\n")
        broken = desk.settings(plugins=[{"file": "./plugin.py"}], lisen={})
        broken["targets"][0]["credential"] = {
            "type": "static",
            "header": "Authorization",
            "value": "file:./nothing",
        }
        desk.configure(broken)
        said = desk.reload(1)
        assert said[-1] == "Nothing was replaced: the gateway serves as before."
        (unknown,) = [line for line in said if "lisen" in line]
        assert unknown.startswith(f"{desk.gateway.config}:")
        assert any("policy.yaml:2: " in line for line in said)
        del broken["lisen"]
        desk.configure(broken)
        said = desk.reload(1)
        expected = ("policy.yaml:2: 1.effect", "ZeroDivisionError", "nothing cannot be read")
        for part in expected:
            assert any(part in line for line in said), part
            wait_for(lambda part=part: any(part in line for line in desk.gateway.output))
        assert tunnel.ask("GET", "/").status == 200
        first, second = desk.gateway.entries("reload")
        assert (first["result"], second["result"]) == ("refused", "refused")
        assert second["problems"] == len(said) - 1
        assert second["policy"] is None
        assert second["before"] == desk.gateway.entries("decision")[-1]["policy"]


def test_a_file_that_is_not_yaml_is_said_with_its_line(desk):
    with desk.serving(), desk.tunnel() as tunnel:
        desk.gateway.config.write_text("state: ./state\nlisten: {proxy: [\n")
        socket = str(desk.folder / "state" / "control.sock")
        said = desk.reload(1, "--socket", socket)
        assert said[0].startswith(f"{desk.gateway.config}:")
        assert desk.reload(2)[0].startswith(f"{desk.gateway.config}:")  # where is the socket?
        assert tunnel.ask("GET", "/").status == 200


def test_what_needs_a_restart_is_said_and_nothing_is_replaced(desk):
    with desk.serving(), desk.tunnel() as tunnel:
        desk.policy(PERMIT, NO_SECRETS)
        changed = desk.settings(
            state="./elsewhere",
            services=["recorder", "proxy", "control"],
            listen={
                "proxy": "127.0.0.1:1",
                "admin": "127.0.0.1:1",
                "proxy_tls": {"cert": "./nothing.pem", "key": "file:./nothing"},
                "reverse": {
                    "address": "127.0.0.1:1",
                    "cert": "./nothing.pem",
                    "key": "file:./nothing",
                    "hosts": {"own.example": "api.example"},
                },
            },
            recording={"directory": "./elsewhere", "key": "file:./nothing"},
            control={**OPERATOR, "socket": "./other.sock"},
            store={"type": "postgres", "socket": "./run"},
        )
        desk.configure(changed)
        said = desk.reload(1, "--socket", str(desk.folder / "state" / "control.sock"))
        bound = ["state", "services", "listen.proxy", "listen.proxy_tls"]
        bound += ["listen.reverse.address", "listen.admin"]
        bound += ["control.socket", "recording.directory", "recording.key", "store"]
        for name, line in zip(bound, said, strict=False):
            assert line.startswith(f"{desk.gateway.config}:")
            assert line.endswith(f" {name} is another: restart to change it")
        assert tunnel.ask("GET", "/secret").status == 200
        assert not (desk.folder / "elsewhere").exists()


def test_an_approver_and_a_stranger_reload_nothing_and_that_is_on_record(desk):
    control = {"control": {"approvers": {os.getuid(): APPROVER}}}
    with desk.serving(**control), desk.tunnel() as tunnel:
        desk.policy(PERMIT, NO_SECRETS)
        assert "is an approver and cannot reload" in "\n".join(desk.reload(1))
        desk.configure(desk.settings(control={}))
        desk.hangup()
        assert "has no power here" in "\n".join(desk.reload(1))
        assert tunnel.ask("GET", "/secret").status == 403  # by the signal
        refused = desk.gateway.entries("control.refused")
        assert [each["command"] for each in refused] == ["reload", "reload"]
        (entry,) = desk.gateway.entries("reload")
        assert entry["by"] == {"signal": "SIGHUP"}


def test_an_operator_is_named_on_record(desk):
    with desk.serving():
        desk.reload()
        (entry,) = desk.gateway.entries("reload")
        assert entry["by"]["uid"] == os.getuid()
        assert entry["by"]["person"] == "root@acme.example"
        assert entry["file"] == str(desk.gateway.config)
        desk.gateway.stop()
    verified = subprocess.run(
        [sys.executable, "-m", "jitgate", "verify", "--allow-unwitnessed", *desk.where()],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_powers_are_replaced_and_who_has_lost_theirs_follows_no_longer(desk):
    control = {"approvers": {os.getuid(): APPROVER}}
    with desk.serving(control=control):
        following = subprocess.Popen(
            [sys.executable, "-m", "jitgate", "requests", "--follow", *desk.where()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with following, following.stdout as lines:
            assert next(lines) == "Nothing waits yet.\n"
            desk.configure(desk.settings())
            desk.hangup()
            assert "The gateway has ended the connection" in "".join(lines)
        desk.reload()


# --- what goes on meanwhile

_POST = b"POST /x HTTP/1.1\r\nHost: api.example\r\nContent-Length: 1\r\n\r\n1"


class Load:
    """Agents that ask without a pause, on kept tunnels and on new ones, until it is over."""

    def __init__(self, desk: Desk, *kept: bool) -> None:
        self.statuses: list[int] = []
        self.over = threading.Event()
        self._desk = desk
        self._pool = ThreadPoolExecutor(len(kept))
        self._agents = [self._pool.submit(self._ask, each) for each in kept]

    def _ask(self, kept: bool) -> None:
        while not self.over.is_set():
            with self._desk.tunnel() as tunnel:
                self._ask_on(tunnel)
                while kept and not self.over.is_set():
                    self._ask_on(tunnel)

    def _ask_on(self, tunnel: Tunnel) -> None:
        self.statuses.append(tunnel.ask("GET", "/x").status)

    def goes_on(self) -> None:
        """Wait for some more answers."""
        before = len(self.statuses)
        wait_for(lambda: len(self.statuses) > before + 10 or any(e.done() for e in self._agents))

    def end(self) -> None:
        """Raise what any of them came to."""
        self.over.set()
        self._pool.shutdown()
        for each in self._agents:
            each.result()


def test_twenty_reloads_under_load_drop_no_request(desk):
    """Requests on kept tunnels and on new ones, a stream, and a held call, all through."""
    over = threading.Event()

    def handle(request, tls):
        if not request.line.startswith("GET /stream"):
            return answering(b"{}")(request, tls)
        tls.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not over.wait(0.02):
            tls.sendall(b"5\r\nhello\r\n")
        tls.sendall(b"0\r\n\r\n")
        return True

    desk.handler = handle
    looked_at = {**REVIEWED, "match": {"methods": ["POST"], "paths": ["/held"]}}
    desk.policy(PERMIT, looked_at)
    approvals = people(hold="3m", expire="10m")["approvals"]
    with desk.serving(approvals=approvals), desk.tunnel() as stream, desk.tunnel() as held:
        stream.send(b"GET /stream HTTP/1.1\r\nHost: api.example\r\n\r\n")
        held.send(_POST.replace(b"/x", b"/held"))
        wait_for(lambda: desk.gateway.entries("access.opened"))
        load = Load(desk, True, True, False)
        for number in range(RELOADS):
            desk.policy(PERMIT, looked_at, {**NO_SECRETS, "name": f"no-{number}"})
            _ = desk.hangup() if number % 4 else desk.reload()
            load.goes_on()
        desk.policy(PERMIT)
        desk.hangup()
        assert held.reply("POST").status == 200
        load.end()
        over.set()
        assert set(stream.reply().body) == set(b"hello")
        assert set(load.statuses) == {200}
        done = [each["result"] for each in desk.gateway.entries("reload")]
        assert done == ["replaced"] * (RELOADS + 1)
        assert len(desk.gateway.entries("access.opened")) == 1
        assert {each["outcome"] for each in desk.gateway.entries("outcome")} == {"completed"}


@pytest.mark.parametrize(
    ("rules", "status"),
    [([PERMIT, {**NO_SECRETS, "match": {"methods": ["POST"]}}], 403), ([], 403)],
)
def test_a_held_call_whose_rule_becomes_a_denial_is_denied(desk, rules, status):
    desk.policy(PERMIT, REVIEWED)
    approvals = people(hold="3m", expire="10m")["approvals"]
    with desk.serving(approvals=approvals), desk.tunnel() as tunnel:
        tunnel.send(_POST)
        wait_for(lambda: desk.gateway.entries("access.opened"))
        desk.policy(*rules)
        desk.reload()
        reply = tunnel.reply("POST")
        assert reply.status == status
        assert b"denied-by-policy" in reply.body
        (ended,) = desk.gateway.entries("access.ended")
        assert ended["state"] == "superseded"
        assert desk.origin.received == []


def test_a_held_call_goes_out_by_the_target_that_is_configured_when_it_is_approved(desk):
    desk.policy(PERMIT, REVIEWED)
    asked = people(hold="3m", expire="10m")
    with desk.serving(**asked), desk.tunnel() as tunnel:
        tunnel.send(_POST)
        approver = Approver(desk.gateway.config)
        key = approver.next()["id"]
        with Origin(desk.ca.leaf("api.example"), answering(b'"new"')) as other:
            desk.configure(desk.settings(targets=[target(other.port, desk.ca.pem)], **asked))
            desk.hangup()
            approver.approve(key)
            assert tunnel.reply("POST").body == b'"new"'
            assert [each.body for each in other.received] == [b"1"]
        assert desk.origin.received == []


def test_other_people_answer_after_a_reload_and_of_groups_elsewhere_it_is_known_at_once(desk):
    desk.policy(PERMIT, REVIEWED)
    asked = people(hold="3m", expire="10m", groups={"it-leads": ["bob@acme.example"]})
    with desk.serving(**asked), desk.tunnel() as tunnel:
        tunnel.send(_POST)
        approver = Approver(desk.gateway.config)
        waiting = approver.next()
        assert waiting["could_answer"] == ["bob@acme.example"]
        assert "is in none of the groups" in approver.run("approve", waiting["id"]).stderr
        elsewhere = {"from": "rota", "group": "duty"}
        plugin = {"file": everything.__file__, "options": {"folder": "."}}
        (desk.folder / "duty.rota").write_text(APPROVER)
        asked["approvals"]["groups"] = {"it-leads": elsewhere}
        desk.configure(desk.settings(plugins=[plugin], **asked))
        desk.hangup()
        wait_for(lambda: approver.shown(waiting["id"])["could_answer"] == [APPROVER])
        approver.approve(waiting["id"])
        assert tunnel.reply("POST").status == 200


def test_a_held_call_whose_host_is_no_targets_any_more_is_refused(desk):
    desk.policy(PERMIT, REVIEWED)
    approvals = people(hold="3m", expire="10m")["approvals"]
    with desk.serving(approvals=approvals), desk.tunnel() as tunnel:
        tunnel.send(_POST)
        wait_for(lambda: desk.gateway.entries("access.opened"))
        far = target(desk.origin.port, desk.ca.pem, hosts=["other.example"])
        desk.configure(desk.settings(targets=[far], approvals=approvals))
        desk.reload()
        assert b"target-unknown" in tunnel.reply("POST").body


def test_an_answer_that_is_under_way_ends_on_its_own_connection(desk):
    begun, go_on = threading.Event(), threading.Event()

    def handle(request, tls):
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        begun.set()
        go_on.wait(PATIENCE)
        tls.sendall(b"world")
        return True

    desk.handler = handle
    with desk.serving(), desk.tunnel() as tunnel:
        tunnel.send(b"GET /x HTTP/1.1\r\nHost: api.example\r\n\r\n")
        assert begun.wait(PATIENCE)
        with Origin(desk.ca.leaf("api.example"), answering(b'"new"')) as other:
            desk.configure(desk.settings(targets=[target(other.port, desk.ca.pem)]))
            desk.reload()
            go_on.set()
            assert tunnel.reply().body == b"helloworld"
            wait_for(lambda: desk.origin.ended == desk.origin.connections)
            assert tunnel.ask("GET", "/").body == b'"new"'


def test_reloads_that_come_at_once_are_done_one_after_the_other(desk):
    with desk.serving():
        before = desk.told()
        for _ in range(5):
            os.kill(desk.gateway.process.pid, signal.SIGHUP)
        asking = [
            subprocess.Popen(
                [sys.executable, "-m", "jitgate", "reload", *desk.where()],
                stdout=subprocess.DEVNULL,
            )
            for _ in range(4)
        ]
        assert [each.wait(PATIENCE) for each in asking] == [0] * 4
        wait_for(lambda: desk.told() >= before + 5)
        done = [each["result"] for each in desk.gateway.entries("reload")]
        assert set(done) == {"replaced"}
        assert len(done) >= 5


def test_a_gateway_that_stops_reads_nothing_again(desk):
    begun, go_on = threading.Event(), threading.Event()

    def handle(request, tls):
        begun.set()
        go_on.wait(PATIENCE)
        return answering(b"{}")(request, tls)

    desk.handler = handle
    with desk.serving() as gateway, desk.tunnel() as tunnel:
        tunnel.send(b"GET /x HTTP/1.1\r\nHost: api.example\r\n\r\n")
        assert begun.wait(PATIENCE)
        os.kill(gateway.process.pid, signal.SIGTERM)
        wait_for(lambda: any("Received SIGTERM" in line for line in gateway.output))
        os.kill(gateway.process.pid, signal.SIGHUP)
        wait_for(lambda: any("stops and reads nothing again" in line for line in gateway.output))
        go_on.set()
        assert tunnel.reply().status == 200
        tunnel.close()
        assert gateway.process.wait(PATIENCE) == 0
        assert [each["result"] for each in gateway.entries("reload")] == ["refused"]


def test_twistd_takes_the_signal_as_well(desk):
    root = Path(__file__).parents[2]
    with desk.origin:
        config = desk.folder / "jitgate.yaml"
        config.write_bytes(orjson.dumps(desk.settings(), option=orjson.OPT_NON_STR_KEYS))
        process = subprocess.Popen(
            [
                Path(sys.executable).with_name("twistd"),
                *("--nodaemon", "--pidfile=", "-y", str(root / "twistd.tac")),
            ],
            cwd=desk.folder,
            env={**os.environ, "JITGATE_CONFIG": "jitgate.yaml"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process, process.stdout as lines:
            assert any(" serves: " in line for line in lines)
            process.send_signal(signal.SIGHUP)
            assert any("Reloaded " in line for line in lines)
            process.terminate()
            lines.read()
