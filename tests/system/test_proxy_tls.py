"""The agents' hop to the gateway over TLS: with real clients, and what keeps it from starting."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import orjson
import pytest
from cryptography import x509
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target, wait_for
from support.self_signed import KEY, pem, self_signed
from support.tokens import Tokens
from support.wire import Origin, ProxyTls, Tunnel, answering

URL = "https://api.example/things"


class Desk:
    """A gateway on every address, over TLS, before an origin that answers a small JSON body."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hop = TestCA.create(folder, name="hop")
        self.tokens = Tokens(folder)
        self.ca = TestCA.create(folder, name="origin")
        self.origin = Origin(self.ca.leaf("api.example"), answering(b'{"name":"Ada"}'))
        self.certificate("localhost")

    def certificate(self, *names: str) -> None:
        leaf = self.hop.leaf(*names)
        for made, name in ((leaf.key, "proxy.key"), (leaf.cert, "proxy.pem")):
            shutil.move(made, self.folder / name)

    @property
    def settings(self):
        tls = {"cert": "./proxy.pem", "key": "file:./proxy.key"}
        listen = {"proxy": "0.0.0.0:0", "proxy_tls": tls, "admin": "127.0.0.1:0"}
        far = target(self.origin.port, self.ca.pem)
        return settings(self.folder, self.tokens.jwks, [far], listen=listen)

    @property
    def proxy(self) -> str:
        return f"https://localhost:{self.gateway.ports['proxy']}"

    def tunnel(self) -> Tunnel:
        over = ProxyTls(self.hop.pem)
        return Tunnel(self.gateway.proxy, self.gateway.ca, self.tokens.token(), over=over)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    made = Desk(tmp_path_factory.mktemp("desk"))
    with made.origin, GatewayProcess(made.folder, made.settings) as made.gateway:
        yield made
    assert not [line for line in made.gateway.output if "Traceback" in line or "critical" in line]


@pytest.fixture(autouse=True)
def plain_answers():
    """The desk's origin always answers the same."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """The desk looks after its own gateway."""


@pytest.mark.needs_debian("curl")
def test_curl(desk):
    proxy = desk.proxy.replace("//", f"//run:{desk.tokens.token()}@")
    command = ["curl", "-sS", "--max-time", "20", "--proxy-cacert", str(desk.hop.pem)]
    done = subprocess.run(
        [*command, "--cacert", str(desk.gateway.ca), URL],
        env={"HTTPS_PROXY": proxy, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, '{"name":"Ada"}'), done.stderr


@pytest.mark.needs_debian("curl")
def test_curl_gets_the_ca_over_it_and_says_nothing_to_another(desk, tmp_path):
    other = TestCA.create(tmp_path, name="other")
    page = "http://jitgate.internal/ca.pem"
    for trust, code in ((desk.hop.pem, 0), (other.pem, 60)):
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--proxy-cacert", str(trust), page],
            env={"http_proxy": desk.proxy, "PATH": os.environ["PATH"]},
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert done.stdout == (b"" if code else desk.gateway.ca.read_bytes())


def test_httpx(desk):
    hop = ssl.create_default_context(cafile=str(desk.hop.pem))
    proxy = httpx.Proxy(desk.proxy, auth=("run", desk.tokens.token()), ssl_context=hop)
    verify = ssl.create_default_context(cafile=str(desk.gateway.ca))
    with httpx.Client(proxy=proxy, verify=verify) as client:
        for _ in range(3):
            assert client.get(URL).json() == {"name": "Ada"}
        answer = client.post(URL, content=b"x" * 1_000_000)
    assert answer.status_code == 200
    assert desk.origin.received[-1].body == b"x" * 1_000_000


@pytest.mark.needs_debian("curl")
def test_exec_speaks_it_for_the_agent(desk):
    token = desk.folder / "token"
    token.write_text(desk.tokens.token())
    options = ["--token-file", str(token), "--proxy", desk.proxy, "--proxy-ca", str(desk.hop.pem)]
    done = subprocess.run(
        [sys.executable, "-m", "jitgate", "exec", *options, "--", "curl", "-sS", URL],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, '{"name":"Ada"}'), done.stderr


def test_the_signal_brings_a_new_certificate_and_open_tunnels_go_on(desk):
    with desk.tunnel() as before:
        assert before.ask("GET", "/things").status == 200
        desk.certificate("localhost")
        os.kill(desk.gateway.process.pid, signal.SIGHUP)
        wait_for(lambda: any("Reloaded " in line for line in desk.gateway.output))
        with desk.tunnel() as after:
            shown = [each.raw.getpeercert(binary_form=True) for each in (before, after)]
            assert shown[0] != shown[1]
            new = x509.load_pem_x509_certificate((desk.folder / "proxy.pem").read_bytes())
            assert x509.load_der_x509_certificate(shown[1]) == new
            assert after.ask("GET", "/things").status == 200
        assert before.ask("GET", "/things").status == 200


# --- what keeps it from starting


def checked(folder: Path, configuration) -> tuple[int, str]:
    """What `jitgate check` says."""
    file = folder / "jitgate.yaml"
    file.write_bytes(orjson.dumps(configuration, option=orjson.OPT_INDENT_2))
    done = subprocess.run(
        [sys.executable, "-m", "jitgate", "check", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def spoilt(desk, how):
    """Spoil a file, and say what the check should."""
    key, cert = desk.folder / "proxy.key", desk.folder / "proxy.pem"
    if how == "another key":
        shutil.move(desk.hop.leaf("localhost").key, key)
        return "the private key is not that of the first certificate"
    if how == "no certificate":
        cert.unlink()
        return f"{cert}: cannot be read: No such file or directory"
    if how == "no key":
        key.unlink()
        return f"{key} cannot be read"
    key.chmod(0o640)
    return f"chmod 600 {key}"


@pytest.mark.parametrize("how", ["another key", "no certificate", "no key", "a readable key"])
def test_what_is_wrong_with_it_is_said_with_its_line(tmp_path, how):
    desk = Desk(tmp_path)
    with desk.origin:
        configuration = desk.settings
    why = spoilt(desk, how)
    code, said = checked(tmp_path, configuration)
    assert code == 2
    assert why in said
    assert said.startswith(f"{tmp_path}/jitgate.yaml:")


def test_without_it_no_plain_port_beyond_the_loopback(tmp_path):
    desk = Desk(tmp_path)
    with desk.origin:
        configuration = desk.settings
    del configuration["listen"]["proxy_tls"]
    code, said = checked(tmp_path, configuration)
    assert code == 2
    assert "listen.proxy is plain and 0.0.0.0 is no loopback address" in said
    assert "set proxy_tls" in said
    configuration["listen"] |= {"proxy": "127.0.0.1:0", "admin": "0.0.0.0:0"}
    assert "listen.admin is plain" in checked(tmp_path, configuration)[1]


def test_one_that_has_expired_is_a_notice(tmp_path):
    desk = Desk(tmp_path)
    with desk.origin:
        configuration = desk.settings
    (tmp_path / "proxy.pem").write_bytes(self_signed(KEY, -9, -2))
    (tmp_path / "proxy.key").write_bytes(pem(KEY))
    code, said = checked(tmp_path, configuration)
    assert code == 0
    assert f"{tmp_path}/proxy.pem has expired" in said
