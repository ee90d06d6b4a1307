"""`jitgate exec`, `env` and `ca` as processes, before a real gateway over real TLS."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import pty
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from forwarding.door import Door, basic, connect_bytes, cut, dialled, head_of
from support.counterparts import NODE, TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Origin, answering

from jitgate.flow.admission import session_key

PATIENCE = 30
MIB = 1024 * 1024
URL = "https://api.example/things"

CALL = """
import os, ssl, sys, urllib.error, urllib.request
def call(url="https://api.example/things", **how):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, **how), timeout=30) as answer:
            return f"{answer.status} {answer.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read().decode()}"
    except urllib.error.URLError as error:
        return f"{error.reason}"
"""


@dataclass
class Scene:
    """A gateway, the origin behind it, and whoever signs tokens."""

    gateway: GatewayProcess
    origin: Origin
    tokens: Tokens
    folder: Path

    @property
    def proxy(self) -> str:
        return "http://{}:{}".format(*self.gateway.proxy)

    def handle(self, request, tls):
        return self.handler(request, tls)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("running")
    ca = TestCA.create(folder, name="origin")
    tokens = Tokens(folder)
    made = Scene.__new__(Scene)
    with Origin(ca.leaf("api.example"), made.handle) as origin:
        configuration = settings(folder, tokens.jwks, [target(origin.port, ca.pem)])
        with GatewayProcess(folder, configuration) as gateway:
            made.gateway, made.origin, made.tokens, made.folder = gateway, origin, tokens, folder
            yield made


@pytest.fixture(autouse=True)
def plain_answers(scene):
    scene.handler = answering(b'{"name":"Ada"}')
    scene.origin.received.clear()


@dataclass
class Ended:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


class Started:
    """A command under way, in a session of its own; `end` checks that it told no secret."""

    def __init__(self, arguments, secrets=(), **how):
        self.secrets = secrets
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jitgate", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **how,
        )

    def line(self):
        return self.process.stdout.readline().rstrip("\n")

    def say(self, text=""):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def end(self):
        out, err = self.process.communicate(timeout=PATIENCE)
        assert "Traceback" not in err, err
        assert not [secret for secret in self.secrets if secret in err]
        return Ended(self.process.returncode, out, err)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """End it, so that it takes its folder away; by force if it does not."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        for file in (self.process.stdin, self.process.stdout, self.process.stderr):
            file.close()


@pytest.fixture
def token(scene):
    return scene.tokens.token()


@pytest.fixture
def token_file(tmp_path, token):
    file = tmp_path / "token"
    file.write_text(token + "\n")
    return file


@pytest.fixture
def start(scene, token, token_file):
    """Starts `jitgate exec -- words`, by default before the scene's gateway with its token."""

    def started(*words, options=None, ca=None, proxy=None, **how):
        options = ["--token-file", token_file] if options is None else options
        trust = ["--ca", ca or scene.gateway.ca, "--proxy", proxy or scene.proxy]
        arguments = ["exec", *options, *trust, "--", *words]
        return Started(arguments, (token, base64.b64encode(token.encode()).decode()), **how)

    return started


@pytest.fixture
def run(start):
    def ran(*words, **how):
        with start(*words, **how) as started:
            return started.end()

    return ran


@pytest.fixture
def jitgate(token):
    def ran(*arguments, **how):
        with Started(arguments, (token,), **how) as started:
            return started.end()

    return ran


def python(code):
    return (sys.executable, "-c", CALL + code)


def rotate(file, text):
    """Replace a file by rename, as whoever renews tokens should."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.rename(file)


def front(scene, leaf):
    """A TLS server that hands each connection on to the gateway, as a balancer does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf.cert, leaf.key)
    heads = []

    def handle(tls):
        heads.append(head_of(tls))
        with dialled(scene.gateway.proxy[1], heads[-1]) as inner:
            handed_on(tls, inner)

    door = Door(None, context)
    door._handle = handle
    door.heads = heads
    return door


def handed_on(outer, inner):
    """Hand on what comes from both sides, in one thread: OpenSSL's object is not for two at once."""
    with contextlib.suppress(OSError):
        while True:
            read_already = isinstance(outer, ssl.SSLSocket) and outer.pending()
            ready = [outer] if read_already else select.select([outer, inner], [], [])[0]
            for source, sink in ((outer, inner), (inner, outer)):
                if source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    sink.sendall(data)


# --- clients that nobody here wrote

AIOHTTP = """
import asyncio, aiohttp
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.get("https://api.example/things") as answer:
            print(answer.status, await answer.text())
asyncio.run(main())
"""
FETCH = """
fetch("https://api.example/things").then(async a => console.log(a.status, await a.text()))
"""
CLIENTS = {
    "curl": ("curl", "-sS", "-w", "%{stderr}%{http_code}", URL),
    "curl that asks first": ("curl", "-sS", "--proxy-anyauth", URL),
    "urllib": python("print(call())"),
    "aiohttp": (sys.executable, "-c", AIOHTTP),
    "node": (f"{NODE}", "-e", FETCH),
}


@pytest.mark.needs_debian("curl")
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_needs_nothing_but_the_environment(scene, run, client):
    ended = run(*CLIENTS[client])
    assert ended.code == 0, ended.err
    assert '{"name":"Ada"}' in ended.out
    assert len(scene.origin.received) == 1
    assert scene.origin.received[0].header("Proxy-Authorization") is None


def test_the_session_is_the_runs(scene, run, token_file):
    named = ["--token-file", token_file, "--name", "nightly-report"]
    for options in (named, None):
        code = 'print(os.environ["HTTPS_PROXY"]); print(call(), call())'
        name = run(*python(code), options=options).out.split(":")[1].removeprefix("//")
        assert re.fullmatch("nightly-report" if options else "run-[0-9a-f]{16}", name)
        sessions = [entry["session"] for entry in scene.gateway.entries("tunnel")[-2:]]
        assert sessions == [session_key("https://idp.example", "bot-7", name)] * 2


# --- the agent outlives its token

CALLS = python("""
for _ in sys.stdin:
    print(call(), flush=True)
""")


LIFE = 4
"""Seconds that a short token lives, which one call has to come in."""


@pytest.mark.parametrize("rotated", [True, False])
def test_an_agent_outlives_its_token(scene, start, token_file, rotated):
    with start(*CALLS) as agent:
        agent.say()
        assert agent.line() == '200 {"name":"Ada"}'
        rotate(token_file, scene.tokens.token(life=LIFE))
        agent.say()
        assert agent.line() == '200 {"name":"Ada"}'
        if rotated:
            rotate(token_file, scene.tokens.token())
        time.sleep(LIFE)
        agent.say()
        assert agent.line().startswith("200" if rotated else "401")
        assert agent.end().code == 0


def test_a_command_is_run_again_before_its_token_ends(scene, start, tmp_path):
    """Twenty tunnels at once, of which one finds that the first token is about to end."""
    for number, life in ((1, 3 * LIFE), (2, 600)):
        (tmp_path / f"token-{number}").write_text(scene.tokens.token(life=life))
    script = tmp_path / "script"
    script.write_text(
        f"echo run >> {tmp_path}/runs; sleep 0.3; cat {tmp_path}/token-$(wc -l < {tmp_path}/runs)"
    )
    code = """
from concurrent.futures import ThreadPoolExecutor
for _ in sys.stdin:
    with ThreadPoolExecutor(20) as pool:
        print(sorted(set(pool.map(lambda _: call(), range(20)))), flush=True)
"""
    with start(*python(code), options=["--token-command", f"sh {script}"]) as agent:
        time.sleep(3 * LIFE)
        agent.say()
        assert agent.line() == """['200 {"name":"Ada"}']"""
    assert (tmp_path / "runs").read_text() == "run\nrun\n"


def test_a_command_that_fails_from_the_start_is_said_and_nothing_runs(run, tmp_path):
    command = "sh -c 'echo hunter2; echo hunter2 >&2; exit 3'"
    ended = run("touch", tmp_path / "ran", options=["--token-command", command])
    assert ended.code == 2
    assert ended.err == (
        "jitgate exec: The token command failed with exit status 3; run it by hand to see why.\n"
    )
    assert not (tmp_path / "ran").exists()


def test_a_command_that_fails_later_is_a_502_that_says_so(run, start, token, token_file, tmp_path):
    script = tmp_path / "script"
    script.write_text(f"cat {tmp_path}/now || echo hunter2; rm {tmp_path}/now 2>/dev/null")
    ended_long_ago = token.split(".")[0] + "." + "e30" + ".c2ln"
    (tmp_path / "now").write_text(ended_long_ago)
    expired = json.dumps({"exp": 1}).encode()
    payload = base64.urlsafe_b64encode(expired).rstrip(b"=").decode()
    (tmp_path / "now").write_text(f"e30.{payload}.c2ln")
    options = ["--token-command", f"sh {script}"]
    ended = run(
        *python("import time; time.sleep(1.1); print(call()); print(call())"), options=options
    )
    assert ended.out.count("502 The token command failed with exit status 1") == 2
    assert ended.err.count("The token command failed with exit status 1") == 1
    assert "hunter2" not in ended.err + ended.out


# --- who may use the forwarder, and what the agent holds

HOLDINGS = python("""
import json, pathlib
folder = pathlib.Path(os.environ["SSL_CERT_FILE"]).parent
def lines(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text()
print(json.dumps({
    "environment": dict(os.environ),
    "cmdlines": [lines("self"), lines(os.getppid())],
    "files": {each.name: each.read_text() for each in folder.iterdir()},
    "descriptors": [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if int(fd) > 2 and os.path.exists(f"/proc/self/fd/{fd}")],
}), flush=True)
for _ in sys.stdin:
    pass
""")


@pytest.mark.parametrize("source", ["file", "command"])
def test_the_token_is_in_nothing_that_the_agent_holds(scene, start, token, token_file, source):
    options = ["--token-file", token_file]
    if source == "command":
        options = ["--token-command", "printenv THE_TOKEN"]
    outside = os.environ | {"THE_TOKEN": token, "OTHER": "kept", "ALL_PROXY": "socks5://10.0.0.1"}
    with start(*HOLDINGS, options=options, env=outside) as agent:
        holdings = json.loads(agent.line())
        ended = agent.end()
    assert token not in json.dumps(holdings)
    assert base64.b64encode(f":{token}".encode()).decode()[4:40] not in json.dumps(holdings)
    environment = holdings["environment"]
    assert environment["OTHER"] == "kept"
    assert not {"THE_TOKEN", "ALL_PROXY"} & set(environment)
    assert environment["NODE_USE_ENV_PROXY"] == "1"
    assert holdings["files"] == {"ca.pem": scene.gateway.ca.read_text()}
    assert holdings["descriptors"] == []
    assert ended.err == (
        "jitgate exec: The variable THE_TOKEN holds the token, so the agent does not get it.\n"
    )
    assert not Path(environment["SSL_CERT_FILE"]).parent.exists()


def test_the_forwarder_serves_its_own_agent_only(scene, start):
    with start(*HOLDINGS) as agent:
        proxy = json.loads(agent.line())["environment"]["HTTPS_PROXY"]
        name, secret, port = re.fullmatch(r"http://(.+):(.+)@127\.0\.0\.1:(\d+)", proxy).groups()
        before = len(scene.gateway.entries("tunnel"))
        for field in ("", basic(name, secret[::-1]), basic("other", secret)):
            with dialled(int(port), connect_bytes(field)) as stream:
                assert head_of(stream).startswith(b"HTTP/1.1 407 ")
        with dialled(int(port), connect_bytes(basic(name, secret))) as stream:
            assert head_of(stream).startswith(b"HTTP/1.1 200 ")
        deadline = time.monotonic() + 10
        while len(scene.gateway.entries("tunnel")) == before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(scene.gateway.entries("tunnel")) == before + 1
        agent.end()
    with pytest.raises(ConnectionRefusedError):
        dialled(int(port))


@pytest.mark.needs_root
@pytest.mark.needs_debian("curl")
def test_an_agent_that_runs_as_another_user_has_what_it_needs_and_cannot_read_the_token(
    run, token_file
):
    token_file.chmod(0o600)
    another = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c")
    ended = run(*another, f"curl -sS {URL}; cat {token_file} /proc/$PPID/environ")
    assert ended.out == '{"name":"Ada"}'
    assert ended.err.count("Permission denied") == 2


# --- how it ends


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -TERM $$"), 143),
        (("sh", "-c", "kill -KILL $$"), 137),
    ],
)
def test_the_exit_status_is_the_agents(run, words, code):
    assert run(*words) == Ended(code, "", "")


def test_standard_files_are_the_agents(start):
    with start("sh", "-c", "cat; echo err >&2") as agent:
        agent.say("in")
        assert agent.end() == Ended(0, "in\n", "err\n")


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("nonsense-it-is", 127, "The command nonsense-it-is is not found."),
        ("./nonsense/it/is", 127, "The command ./nonsense/it/is is not found."),
        (__file__, 126, f"{__file__} is not a program that can be run."),
    ],
)
def test_a_command_that_is_not_there_is_said(run, word, code, said):
    assert run(word) == Ended(code, "", f"jitgate exec: {said}\n")


def test_a_program_that_is_none_is_said(run, tmp_path):
    program = tmp_path / "program"
    program.write_text("nothing that runs")
    program.chmod(0o755)
    said = f"jitgate exec: {program} cannot be run: exec format error.\n"
    assert run(program) == Ended(126, "", said)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "one of the arguments --token-file --token-command is required"),
        (["--token-file", "f", "--token-command", "c", "--", "true"], "not allowed with argument"),
        (["--token-file", "{token}"], "Name the agent's command after --."),
        (["--token-file", "{token}", "--"], "Name the agent's command after --."),
        (["--token-file", "nothing", "--ca", "{ca}", "--", "true"], "The token file nothing"),
        (["--token-command", "'", "--", "true"], "--token-command cannot be read"),
        (["--token-command", "", "--", "true"], "--token-command names no program"),
        (["--token-command", "nonsense-it-is", "--", "true"], "cannot be found or run"),
        (["--token-file", "{token}", "--name", "a:b", "--", "true"], "a name has up to 64"),
        (
            ["--token-file", "{token}", "--proxy", "gopher://x", "--", "true"],
            "--proxy takes http://",
        ),
        (
            ["--token-file", "{token}", "--proxy", "http://10.0.0.1:1", "--", "true"],
            "is plain and not on the loopback: the token could be read",
        ),
        (
            ["--token-file", "{token}", "--proxy", "http://10.0.0.1:1", "--insecure", "--", "true"],
            "another CA could be put in the place",
        ),
        (["--token-file", "{token}", "--ca", "nothing", "--", "true"], "nothing cannot be read"),
        (["--token-file", "{token}", "--ca", "{token}", "--", "true"], "holds no certificate"),
        (["--token-file", "{token}", "--config", "nothing", "--", "true"], "nothing: cannot be"),
        (["--token-file", "{token}", "--proxy", "http://127.0.0.1:1", "--", "true"], "Start it"),
    ],
)
def test_what_keeps_it_from_starting_is_said(scene, jitgate, token_file, arguments, words):
    filled = [each.format(token=token_file, ca=scene.gateway.ca) for each in arguments]
    ended = jitgate("exec", *filled)
    assert (ended.code, ended.out) == (2, "")
    assert words in " ".join(ended.err.split())


COUNTS = python("""
import signal, time
got = []
for name in sys.argv[1:] or ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"]:
    signal.signal(getattr(signal, name), lambda number, _: got.append(signal.Signals(number).name))
print("ready", flush=True)
deadline = time.monotonic() + 20
while not got and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.3)
print(*got, flush=True)
sys.exit(5)
""")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_is_passed_on_once(start, name):
    with start(*COUNTS) as agent:
        assert agent.line() == "ready"
        agent.process.send_signal(getattr(signal, name))
        assert agent.line() == name
        assert agent.end().code == 5


def test_an_agent_that_a_signal_ends_ends_the_run(start):
    with start("sh", "-c", "echo ready; exec sleep 60") as agent:
        assert agent.line() == "ready"
        agent.process.send_signal(signal.SIGTERM)
        assert agent.end() == Ended(143, "", "")


@pytest.mark.parametrize("tenth", [1, 3, 5, 7])
def test_a_signal_at_whatever_time_ends_the_run(start, tenth):
    """Before anything is imported it is the system's to end the process, afterwards ours."""
    with start("sleep", "60") as agent:
        time.sleep(tenth / 10)
        agent.process.send_signal(signal.SIGTERM)
        assert agent.end().code in {-signal.SIGTERM, 143}


def test_a_signal_before_there_is_an_agent_ends_the_run_and_the_token_command(start, tmp_path):
    script = tmp_path / "script"
    script.write_text(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    with start("touch", tmp_path / "ran", options=["--token-command", f"sh {script}"]) as agent:
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        time.sleep(0.1)
        agent.process.send_signal(signal.SIGTERM)
        assert agent.end().code == 143
    pid = int((tmp_path / "pid").read_text())
    assert not alive(pid)
    assert not (tmp_path / "ran").exists()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"X", "Z"}
    except FileNotFoundError:
        return False


def in_a_terminal(arguments):
    """Run a command as the foreground of a terminal of its own: its pid, and the terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(  # noqa: S606 (this process is the terminal's, there is nothing else in it)
            sys.executable, [sys.executable, "-m", "jitgate", *map(str, arguments)]
        )
    return pid, terminal


def until_said(terminal, words):
    said = b""
    while words not in said:
        said += os.read(terminal, 1024)
    return said


@pytest.mark.parametrize("by", ["the keyboard", "somebody"])
def test_ctrl_c_reaches_the_agent_once(scene, token_file, by):
    options = ["--token-file", token_file, "--ca", scene.gateway.ca, "--proxy", scene.proxy]
    pid, terminal = in_a_terminal(["exec", *options, "--", *COUNTS])
    try:
        until_said(terminal, b"ready")
        if by == "the keyboard":
            os.write(terminal, b"\x03")
        else:
            os.kill(pid, signal.SIGINT)
        said = until_said(terminal, b"SIGINT\r\n")
        assert said.count(b"SIGINT") == 1
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 5
    finally:
        os.close(terminal)


@pytest.mark.parametrize("tenth", [1, 3, 5, 7])
def test_ctrl_c_at_whatever_time_ends_an_agent_that_does_not_mind_it(scene, token_file, tenth):
    options = ["--token-file", token_file, "--ca", scene.gateway.ca, "--proxy", scene.proxy]
    pid, terminal = in_a_terminal(["exec", *options, "--", "sleep", "60"])
    time.sleep(tenth / 10)
    os.write(terminal, b"\x03")
    deadline = time.monotonic() + 20
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.close(terminal)


def test_what_was_ignored_outside_is_ignored_by_the_agent_too(scene, token_file):
    command = [sys.executable, "-m", "jitgate", "exec", "--token-file", token_file]
    command += ["--ca", scene.gateway.ca, "--", *python(
        "import signal; print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN,"
        " signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,"
        " signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    )]  # fmt: skip
    done = subprocess.run(
        ["nohup", *map(str, command)], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout == "True True set()\n"


# --- what passes through


def peak(pid):
    """The most memory that a process has had resident, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


BIG = 128 * MIB
PIECE = bytes(range(256)) * 1024
DIGESTS = python(f"""
import hashlib, http.client, time
for line in sys.stdin:
    if line == "warm up\\n":
        print(call(), flush=True)
    elif line == "down\\n":
        digest = hashlib.sha256()
        with urllib.request.urlopen("https://api.example/big", timeout=60) as answer:
            time.sleep(2)
            while piece := answer.read(65536):
                digest.update(piece)
        print(digest.hexdigest(), flush=True)
    else:
        data = (bytes(range(256)) * 1024 for _ in range({BIG // len(PIECE)}))
        print(call("https://api.example/big", data=data, headers={{"Content-Length": "{BIG}"}}), flush=True)
""")


@pytest.mark.timeout(240)
def test_large_bodies_pass_both_ways_in_bounded_memory_and_a_slow_reader_is_waited_for(
    scene, start
):
    wanted = hashlib.sha256()
    for _ in range(BIG // len(PIECE)):
        wanted.update(PIECE)

    def give(request, tls):
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
        for _ in range(BIG // len(PIECE)):
            tls.sendall(PIECE)
        return True

    def take(stream, length):
        received = hashlib.sha256()
        left = length
        while left:
            piece = stream.read(min(left, 65536))
            received.update(piece)
            left -= len(piece)
        return received.hexdigest().encode()

    def told(request, tls):
        return answering(request.body, "text/plain")(request, tls)

    with start(*DIGESTS) as agent:
        agent.say("warm up")
        assert agent.line() == '200 {"name":"Ada"}'
        before = peak(agent.process.pid)
        scene.handler = give
        agent.say("down")
        assert agent.line() == wanted.hexdigest()
        scene.handler = told
        usual, scene.origin.take_body = scene.origin.take_body, take
        agent.say("up")
        assert agent.line() == f"200 {wanted.hexdigest()}"
        scene.origin.take_body = usual
        assert peak(agent.process.pid) - before < 32 * MIB
        agent.end()


@pytest.mark.needs_debian("curl")
def test_without_a_gateway_the_agent_and_whoever_started_it_are_told(scene, run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        proxy = f"http://127.0.0.1:{taken.getsockname()[1]}"
    said = f"The gateway at {proxy} cannot be reached: connection refused. Start it, or name another with --proxy."
    ended = run("curl", "-sSv", URL, proxy=proxy)
    assert ended.code == 56
    assert f"< HTTP/1.1 502 {said}" in ended.err.replace("\r", "")
    assert f"jitgate exec: {said}\n" in ended.err
    assert (
        run(*python("print(call())"), proxy=proxy).out == f"Tunnel connection failed: 502 {said}\n"
    )


def test_a_gateway_that_goes_while_the_agent_runs_is_said_and_found_again(scene, start):
    with Door(lambda stream: cut(stream)) as door:
        proxy = f"http://127.0.0.1:{door.port}"
        with start(*CALLS, proxy=proxy) as agent:
            agent.say()
            assert "closed the connection without an answer" in agent.line()
            door._handle = lambda raw: relayed(scene, raw)
            agent.say()
            assert agent.line() == '200 {"name":"Ada"}'
            agent.end()


def relayed(scene, raw):
    with dialled(scene.gateway.proxy[1]) as inner:
        handed_on(raw, inner)


# --- the hop over TLS


@pytest.fixture(scope="module")
def hop_ca(tmp_path_factory):
    return TestCA.create(tmp_path_factory.mktemp("hop"), name="hop")


@pytest.mark.needs_debian("curl")
def test_a_gateway_behind_tls_is_reached_and_its_certificate_checked(
    scene, run, hop_ca, token_file
):
    options = ["--token-file", token_file, "--proxy-ca", hop_ca.pem]
    with front(scene, hop_ca.leaf("localhost")) as door:
        ended = run("curl", "-sS", URL, options=options, proxy=f"https://localhost:{door.port}")
        assert ended == Ended(0, '{"name":"Ada"}', "")
        assert len(door.heads) == 1


@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_a_gateway_with_a_wrong_certificate_is_told_nothing(
    scene, run, hop_ca, token_file, tmp_path, wrong
):
    other = TestCA.create(tmp_path, name="other")
    trust, name = (hop_ca.pem, "gateway.example") if wrong == "name" else (other.pem, "localhost")
    options = ["--token-file", token_file, "--proxy-ca", trust]
    with front(scene, hop_ca.leaf(name)) as door:
        ended = run(
            *python("print(call())"), options=options, proxy=f"https://localhost:{door.port}"
        )
        assert door.over.wait(10)
        assert [head for head in door.heads if head] == []
    why = {"name": "not for the name localhost", "authority": "not trusted"}[wrong]
    assert "Tunnel connection failed: 502 The gateway at" in ended.out
    assert why in ended.out
    assert why in ended.err


# --- where the CA comes from


def page_of(pem):
    """A gateway's port that gives its CA, and takes no CONNECT."""
    body = pem.read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return Door(lambda stream: stream.sendall(head.encode() + body))


def test_the_ca_is_had_from_the_gateway_where_it_is_not_named(scene, jitgate, token_file):
    with page_of(scene.gateway.ca) as door:
        ended = jitgate(
            "exec", "--token-file", token_file, "--proxy", f"http://127.0.0.1:{door.port}",
            "--", "sh", "-c", 'cat "$SSL_CERT_FILE"',
        )  # fmt: skip
    assert ended == Ended(0, scene.gateway.ca.read_text(), "")


def configured(scene, port=None):
    """The gateway's configuration as an operator would have it: with the port written out."""
    content = json.loads(scene.gateway.config.read_text())
    content["listen"]["proxy"] = f"127.0.0.1:{scene.gateway.proxy[1] if port is None else port}"
    file = scene.folder / f"configured-{port}.yaml"
    file.write_text(json.dumps(content))
    return file


def test_the_configuration_says_where_the_gateway_and_its_ca_are_and_who_can_read_keys(
    scene, jitgate, token_file
):
    config = configured(scene)
    ended = jitgate(
        "exec", "--token-file", token_file, "--config", config, "--", *python("print(call())")
    )
    assert (ended.code, ended.out) == (0, '200 {"name":"Ada"}\n')
    (warning,) = ended.err.splitlines()
    assert warning.startswith("jitgate exec: warning: this user can read the state folder ")
    assert f"{scene.gateway.ca.parent}" in warning
    assert warning.endswith("run the agent, or the gateway, as a user of its own.")


def test_where_there_is_no_state_folder_there_is_nothing_to_warn_of(
    scene, jitgate, token_file, tmp_path
):
    content = json.loads(configured(scene).read_text()) | {"state": f"{tmp_path}/nothing"}
    config = tmp_path / "jitgate.yaml"
    config.write_text(json.dumps(content))
    ended = jitgate(
        "exec", "--token-file", token_file, "--config", config, "--ca", scene.gateway.ca, "--", "true"
    )  # fmt: skip
    assert ended == Ended(0, "", "")


def test_a_configuration_that_does_not_tell_the_port_is_said(scene, jitgate, token_file):
    ended = jitgate(
        "exec", "--token-file", token_file, "--config", configured(scene, 0), "--", "true"
    )
    assert ended.code == 2
    assert "does not say by which name or port agents find it: use --proxy." in ended.err


def test_ca_prints_the_certificate(scene, jitgate):
    pem = scene.gateway.ca.read_text()
    assert jitgate("ca", "--config", configured(scene)) == Ended(0, pem, "")
    with page_of(scene.gateway.ca) as door:
        assert jitgate("ca", "--proxy", f"http://127.0.0.1:{door.port}") == Ended(0, pem, "")
        assert b"Proxy-Authorization" not in door.heads[0]


def test_what_keeps_ca_from_an_answer_is_said(scene, jitgate, tmp_path):
    ended = jitgate("ca", "--proxy", "http://127.0.0.1:1")
    assert (ended.code, ended.out) == (2, "")
    assert "jitgate ca: The gateway at http://127.0.0.1:1 cannot be reached" in ended.err
    assert jitgate("ca", "--proxy", "http://10.0.0.1:1").code == 2
    assert jitgate("ca", "--proxy", "http://127.0.0.1:1", "--config", "x").code == 2
    assert jitgate("ca", "--config", tmp_path / "nothing").code == 2


# --- env


@pytest.fixture
def env(scene, jitgate, token_file, tmp_path):
    def asked(*arguments, **outside):
        where = ["--token-file", token_file, "--proxy", scene.proxy, "--ca", scene.gateway.ca]
        environment = os.environ | {"XDG_CACHE_HOME": f"{tmp_path}/cache"} | outside
        with Started(["env", *where, *arguments], env=environment) as started:
            return started.end()

    return asked


@pytest.mark.needs_debian("curl")
def test_a_shell_takes_what_env_prints(env, token, tmp_path):
    ended = env("--name", "me", ALL_PROXY="socks5://10.0.0.1")
    assert (ended.code, ended.err) == (0, "")
    assert f"export HTTPS_PROXY=http://me:{token}@127.0.0.1:" in ended.out
    lines = ended.out.splitlines()
    assert lines[0] == "unset ALL_PROXY"
    assert all(re.match(r"export [A-Za-z_]+=\S+\Z", line) for line in lines[1:])
    script = f'{ended.out}\ncurl -sS {URL}; echo; echo "[$ALL_PROXY]"'
    done = subprocess.run(
        ["sh", "-c", script],
        env=os.environ | {"ALL_PROXY": "socks5://10.0.0.1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout == '{"name":"Ada"}\n[]\n'


def test_env_answers_a_program_and_keeps_the_ca_where_it_lasts(env, scene, token, tmp_path):
    first, second = (json.loads(env("--json").out) for _ in range(2))
    assert first["SSL_CERT_FILE"] == second["SSL_CERT_FILE"]
    assert first["HTTPS_PROXY"] != second["HTTPS_PROXY"]
    assert Path(first["SSL_CERT_FILE"]).is_relative_to(tmp_path / "cache" / "jitgate")
    assert Path(first["SSL_CERT_FILE"]).read_bytes() == scene.gateway.ca.read_bytes()
    assert re.fullmatch(
        rf"http://run-[0-9a-f]{{16}}:{token}@127\.0\.0\.1:\d+", first["https_proxy"]
    )


def test_env_for_an_https_gateway_has_both_authorities_in_the_bundle(env, hop_ca, scene):
    https = ["--proxy", "https://gateway.example:443"]
    refused = env(*https)
    assert (refused.code, refused.out) == (2, "")
    assert "Name the CA of the https gateway with --proxy-ca." in refused.err
    values = json.loads(env(*https, "--proxy-ca", hop_ca.pem, "--json").out)
    assert values["HTTPS_PROXY"].endswith("@gateway.example:443")
    assert values["HTTPS_PROXY"].startswith("https://run-")
    bundle = Path(values["SSL_CERT_FILE"]).read_bytes()
    assert bundle == scene.gateway.ca.read_bytes() + hop_ca.pem.read_bytes()


def test_help_says_what_is_to_be_known(jitgate):
    said = " ".join(jitgate("env", "--help").out.split())
    assert "they last as long as the token" in said
    said = " ".join(jitgate("exec", "--help").out.split())
    assert "127 if it is not found" in said
    assert "can read the token's file by itself" in said
