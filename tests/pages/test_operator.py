"""A first gateway is put up as docs/how-to/first-gateway.md says; other pages are tried with it.

What these pages call /etc, /var/lib and /backup are folders of the test's, and ports are any.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from ruamel.yaml import YAML
from support.gateway import GatewayProcess
from support.pages import ROOT, block, blocks, commands, differs, shell, span, steps, typed
from support.tokens import Tokens
from support.wire import Tunnel

pytestmark = pytest.mark.needs_debian("curl")

PAGE = "docs/how-to/first-gateway.md"
ISSUER = "https://YOUR-ORG.okta.com/oauth2/agents"
US = "jitgate.internal"
ALICE = "alice@acme.com"
AGENT = """
import json, os, urllib.request
with urllib.request.urlopen("https://jitgate.internal/manifest.json") as page:
    print(json.dumps(json.load(page)))
"""


def unused():
    """A port that nobody has: `jitgate exec` reads it from the configuration."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


class Machine:
    """Where it is all put up."""

    def __init__(self, folder):
        self.folder, self.etc = folder, folder / "etc" / "jitgate"
        self.state = folder / "var" / "lib" / "jitgate"
        for place in (folder / "etc", folder / "backup", self.state.parent):
            place.mkdir(parents=True)
        self.gateway = None

    def here(self, text):
        """What is typed, with the places of this machine."""
        for place in ("/etc/jitgate", "/var/lib/jitgate", "/backup/"):
            text = text.replace(place, f"{self.folder}{place}")
        if self.gateway:
            text = text.replace("127.0.0.1:8080", "{}:{}".format(*self.gateway.proxy))
        return text

    def done(self, command, env=None):
        """A command that must succeed; what it says."""
        done = typed(self.here(command), self.folder, env)
        assert done.code == 0, f"{command}\n{done.out}{done.err}"
        return done.out + done.err

    def configured(self):
        """What the page says to fill in, and ports that are free."""
        file = self.etc / "jitgate.yaml"
        text = file.read_text().replace(" 127.0.0.1:8080", f" 127.0.0.1:{unused()}")
        text = text.replace(" 127.0.0.1:8081", " 127.0.0.1:0")
        text = text.replace("{1001: alice@acme.com,", f"{{{os.getuid()}: {ALICE},")
        text = text.replace("operators: {0: root}", "operators: {4003: root}")
        text = text.replace("state: ./var", f"state: {self.here(span(PAGE, '/var/lib/jitgate'))}")
        control = self.here(span(PAGE, "/var/lib/jitgate/control.sock"))
        file.write_text(text.replace("./var/control.sock", control))
        text = file.read_text()
        file.write_text(text.replace("# dial: 127.0.0.1:9443", f"dial: 127.0.0.1:{unused()}"))
        policy = self.etc / "policy" / "okta.yaml"
        offers = policy.read_text().replace("{uses: 1, life: 5m}", "{uses: 5, life: 10m}")
        policy.write_text(offers)
        return YAML(typ="safe", pure=True).load(file)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """The page, up to a gateway that runs; nothing of it may fail."""
    made = Machine(tmp_path_factory.mktemp("machine"))
    (files, identity, _, policy, running, *_) = (each.text for each in blocks(PAGE))
    *copied, tried = commands(files)
    for command in copied:
        assert shell(made.here(command), ROOT).code == 0, command
    made.done(tried)
    tokens = Tokens(made.etc)
    made.token = lambda subject="bot-7": tokens.token(subject, iss=ISSUER)
    (made.folder / "agent.token").write_text(made.token())
    (made.folder / "agent.token").chmod(0o600)
    for command in commands(identity + policy):
        made.done(command)
    settings = made.configured()
    check, run = commands(running)
    made.done(check)
    assert run == "jitgate run --config /etc/jitgate/jitgate.yaml"
    with GatewayProcess(made.etc, settings) as made.gateway:
        made.settings = settings
        yield made


def test_what_an_org_grants_is_asked_where_there_are_apps(machine):
    """It is walked with apps in docs/credentials.md; the configuration that ships names none."""
    (command,) = commands(blocks(PAGE)[2].text)
    done = shell(machine.here(command), machine.folder)
    assert (done.code, done.err) == (0, ""), done


def test_a_first_agent_and_the_evidence_of_it(machine):
    (agent,), (verify,) = (commands(each.text) for each in blocks(PAGE)[5:])
    (machine.folder / "my_agent.py").write_text(AGENT)
    done = shell(machine.here(agent), machine.folder)
    assert done.code == 0, done
    assert "bot-7" in json.dumps(json.loads(done.out))
    (machine.folder / "token").symlink_to("agent.token")
    where = machine.here(" --proxy http://127.0.0.1:8080 -- ")  # the port, if none is named
    shorter = commands(block("README.md", "jitgate exec"))
    for command in (*shorter, commands(block("docs/clients.md", "jitgate exec"))[0]):
        done = shell(command.replace(" -- ", where), machine.folder)
        assert "bot-7" in done.out, done
    assert "Verified" in machine.done(verify)


def test_by_hand_it_takes_two_variables(machine):
    """README.md and docs/clients.md, with the real curl."""
    exported = block("README.md", "export HTTPS_PROXY").replace(
        "/path/to/state", "/var/lib/jitgate"
    )
    _, asking = commands(block("docs/clients.md", "jitgate exec"))
    once = f"{exported}export CURL_CA_BUNDLE=$SSL_CERT_FILE\n{asking}"
    done = shell(machine.here(once), machine.folder, {"TOKEN": machine.token()})
    assert done.code == 0, done.err
    assert "bot-7" in done.out
    ca = span("README.md", "curl --proxy http://127.0.0.1:8080")
    done = shell(machine.here(ca), machine.folder)
    assert done.out == (machine.state / "ca.pem").read_text()
    whole = span("README.md", "curl --cacert").replace("/path/to/state", "/var/lib/jitgate")
    whole = f"{exported}{whole}".replace("acme.okta.com", "your-org.okta.com")
    done = shell(machine.here(whole), machine.folder, {"TOKEN": machine.token()})
    assert "jitgate:upstream" in done.out, done  # nobody is there


# --- asked ahead, and answered


class Agent:
    def __init__(self, machine):
        self.machine, self.env = machine, {"TOKEN": machine.token()}
        (machine.folder / "ca.pem").write_bytes((machine.state / "ca.pem").read_bytes())

    def token(self, user):
        """What /token answers to the request that docs/tokens.md shows, for that user."""
        asked = block("docs/tokens.md", "curl").replace("00u1", user)
        done = shell(self.machine.here(f"{asked.rstrip()} --silent"), self.machine.folder, self.env)
        assert done.code == 0, done.err
        return json.loads(done.out)

    def asked(self, host, method, path, fields=(), body=""):
        """The answer of a host, through the gateway."""
        gateway, ca = self.machine.gateway, self.machine.state / "ca.pem"
        told = [
            f"{method} {path} HTTP/1.1",
            f"Host: {host}",
            f"Content-Length: {len(body)}",
            *fields,
        ]
        with Tunnel(gateway.proxy, ca, self.env["TOKEN"], f"{host}:443", host) as tunnel:
            tunnel.send("\r\n".join([*told, "", ""]).encode() + body.encode())
            return tunnel.reply(method)

    def call(self, path):
        """A call of the agent's, which people are asked for while it goes on with other work."""
        reply = self.asked("your-org.okta.com", "POST", path, ["Prefer: respond-async"])
        assert reply.status == 202, reply.body

    def sent(self, shown, **members):
        """The status and the answer to a request of docs/authzen.md; ``members`` stand for dots."""
        first, _, rest = block("docs/authzen.md", shown).partition("\n")
        head, _, body = rest.partition("{")
        text = re.sub(
            r'"(\w+)": (?:\.\.\.|"[^"]*\.\.\.|"\d{4}-[^"]*")"?',
            lambda each: f'"{each[1]}": {json.dumps(members[each[1]])}',
            "{" + body,
        )
        fields = ["Content-Type: application/json", *head.splitlines()]
        reply = self.asked(US, *first.split(), fields, text)
        return reply.status, json.loads(text), json.loads(reply.body)


def test_requests_are_answered_by_the_commands_of_the_pages(machine):
    agent = Agent(machine)
    export, *told = (each.text for each in blocks("docs/how-to/approve.md"))
    env = {"JITGATE_CONTROL": machine.here(export).partition("=")[2].strip()}
    listed, looked, answered, less, taken_back = (commands(each) for each in told)
    following, shown, approving = commands(block("README.md", "jitgate requests --follow"))
    answers = [*answered, *less, approving.replace("ID", "a-0c6e6a")]
    for number, answer in enumerate(answers):
        agent.call(f"/api/v1/users/00u4{number}/lifecycle/deactivate")
        waiting = machine.done(listed[0], env)
        (key,) = re.findall(rf"^(a-\w+).*00u4{number}", waiting, re.MULTILINE)
        for command in (*looked, shown.replace("ID", "a-0c6e6a"), answer):
            assert key in machine.done(command.replace("a-0c6e6a", key[:8]), env), command
    grants = machine.done(taken_back[0], env)
    assert set(re.findall(r" (\d of \d) ", grants)) == {"1 of 1", "2 of 2", "5 of 5"}, grants
    assert re.search(r" 2 of 2 +in (2 min|1 min) ", grants), grants
    first = re.search(r"^g-\w{6}", grants, re.MULTILINE)[0]
    assert first in machine.done(taken_back[1].replace("g-51ab07", first), env)
    agent.call("/api/v1/users/00u9/lifecycle/deactivate")
    assert listed[1] == following
    with subprocess.Popen(
        [sys.executable, "-m", *following.split()],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        text=True,
    ) as follower:
        seen = next(line for line in follower.stdout if "00u9" in line)
        follower.send_signal(signal.SIGINT)
    assert seen.split()[0] == "resource"


def test_a_token_for_one_operation_is_asked_for_as_it_is_shown(machine):
    agent = Agent(machine)
    asked = agent.token("00u7")
    assert asked["error"] == "authorization_pending", asked
    key = re.search(r"a-[0-9a-f]{16}", json.dumps(asked))[0]
    machine.done(f"jitgate approve {key} --config /etc/jitgate/jitgate.yaml")
    assert "access_token" in agent.token("00u7")


def test_a_denial_is_what_the_readme_shows(machine):
    call = ("POST", "/api/v1/users/00u1/roles", ["Content-Type: application/json"])
    reply = Agent(machine).asked("your-org.okta.com", *call, '{"type":"SUPER_ADMIN"}')
    assert reply.status == 403
    shown = block("README.md", "Denied by policy").strip()
    assert json.loads(reply.body)["errorSummary"] == shown, reply.body


def test_what_the_page_on_asking_ahead_sends_is_taken(machine):
    agent = Agent(machine)
    status, asked, said = agent.sent("POST /access/v1/evaluation")
    assert (status, said["decision"], said["context"].get("reason")) == (
        200,
        False,
        "approval_required",
    ), said
    status, _, task = agent.sent(
        "POST /access-requests",
        **asked,
        evaluation_id=said["context"]["evaluation_id"],
        expires_at=said["context"]["access_request"]["expires_at"],
    )
    assert (status, task["task"]["status"]) == (202, "pending"), task


# --- what operators and auditors do later


def again(machine, **control):
    """The gateway once more, in which this uid has another power."""
    machine.gateway.stop()
    settings = machine.settings | {"control": machine.settings["control"] | control}
    return GatewayProcess(machine.etc, settings)


def test_it_is_operated_as_the_pages_say(machine):
    config, note = "/etc/jitgate/jitgate.yaml", machine.folder / "kept.note"
    powers = {"approvers": {}, "operators": {os.getuid(): "root"}}
    with again(machine, **powers) as machine.gateway:
        ((command, printed),) = steps(block("docs/ca.md", "$ jitgate ca rotate"))
        said = machine.done(command.replace("etc/jitgate.yaml", config))
        said = said.replace(f"{machine.state}/ca.pem", "var/ca.pem")
        said = said.replace(machine.here(config), "etc/jitgate.yaml")
        never = r"\d{4}-\d\d-\d\d(T[\d:]+Z)?|[0-9a-f]{4,64}…?"
        assert differs(printed, said, never) is None, said
        (rotate,) = commands(block("docs/keys.md", "jitgate keys rotate"))
        (machine.folder / "old.vkey").write_bytes((machine.state / "site.vkey").read_bytes())
        for command in (printed.rpartition("Next: ")[2], rotate):
            machine.done(command.replace("etc/jitgate.yaml", config))
        said = typed(machine.here(f"jitgate verify --config {config}"), machine.folder).out
        (keys,) = re.findall(r"^ +(keys .*\n.* on)$", said, re.MULTILINE)
        assert differs(block("docs/keys.md", "keys "), keys, r"[0-9a-f]{8}|\d+") is None, keys
        last = int(re.search(r"from entry 0 to (\d+)", keys)[1])
        shown = block("docs/keys.md", "jitgate proof inclusion")
        shown = shown.replace("811", f"{last}").replace("000000000812", f"{last + 1:012}")
        machine.done(shown.replace("DIR", "/var/lib/jitgate/recordings"))
        assert "key.rotated" in (machine.folder / "rotation.proof").read_text()
        backup, restore = (
            each.text.replace("sudo -u jitgate ", "")
            for each in blocks("docs/operating.md")
            if each.text.startswith("sudo -u jitgate ")
        )
        machine.done(backup.strip())
    machine.state.rename(machine.folder / "before")
    restored, verify = (each.replace("FILE", f"{note}") for each in commands(restore))
    machine.done(restored)
    with again(machine, **powers) as machine.gateway:
        pass
    newest(machine, note)
    machine.done(verify)


def newest(machine, note):
    checkpoints = machine.state / "recordings" / "checkpoints"
    note.write_bytes(max(checkpoints.iterdir()).read_bytes())


def test_who_may_not_read_the_files_gets_a_copy(machine):
    powers = {"approvers": {}, "auditors": {os.getuid(): "carol"}}
    with again(machine, **powers) as machine.gateway:
        (command,) = commands(block("docs/auditing.md", "jitgate copy"))
        socket_path = "/var/lib/jitgate/control.sock"
        machine.done(command.replace("DIR", "copied").replace("PATH", socket_path))
    assert "bot-7" in machine.done("jitgate sessions --recordings copied")
