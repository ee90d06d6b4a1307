"""The container file and the manifests: what checkers of others say, and what must not be in them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import kubernetes_validate
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from ruamel.yaml import YAML
from support.counterparts import TestCA

ROOT = Path(__file__).parents[1]
CONTAINER = ROOT / "etc" / "deploy" / "Containerfile"
MANIFESTS = ROOT / "etc" / "deploy" / "kubernetes.yaml"
KUBERNETES = ("1.31", "1.37")
"""The oldest that is still in use, and the newest that the checker knows."""


def _instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", CONTAINER.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def test_hadolint_has_nothing_to_say_against_the_container_file():
    places = [sysconfig.get_path("scripts"), *os.environ.get("PYTHONPATH", "").split(":")]
    found = [Path(each, name) for each in places for name in ("hadolint", "bin/hadolint")]
    program = next(each for each in found if each.is_file())
    done = subprocess.run(
        [program, "--no-color", CONTAINER], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_nothing_of_a_working_copy_gets_into_a_layer_but_what_is_named():
    copied = {
        source
        for name, rest in _instructions()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert copied == {
        *("pyproject.toml", "README.md", "LICENSE", "jitgate", "plugins"),
        *("etc/jitgate.yaml", "etc/jwks.json", "etc/policy", "etc/masking"),
        *("etc/deploy", "etc/grafana", "etc/slack-app-manifest.yaml"),
    }
    assert not [rest for name, rest in _instructions() if name in {"ARG", "ADD"}]


def test_it_runs_as_somebody_without_power_who_can_write_to_the_state_alone():
    last = _instructions()[max(i for i, each in enumerate(_instructions()) if each[0] == "FROM") :]
    assert [rest for name, rest in last if name == "USER"] == ["7301:7301"]
    assert [rest for name, rest in last if name == "VOLUME"] == ['["/var/lib/jitgate"]']


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (None, 1)])
def test_its_health_check_asks_whether_it_is_ready(status, code):
    (check,) = [rest for name, rest in _instructions() if name == "HEALTHCHECK"]
    _, _, program = orjson.loads(check.partition("CMD ")[2])

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.path == "/readyz"
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        asked = program.replace("8081", f"{server.server_port}")
        assert asked != program
        if status is None:
            server.server_close()
        else:
            threading.Thread(target=server.handle_request, daemon=True).start()
        done = subprocess.run(
            [sys.executable, "-S", "-c", asked], capture_output=True, timeout=60, check=False
        )
    assert done.returncode == code, done.stderr


def _manifests():
    return list(YAML(typ="safe", pure=True).load_all(MANIFESTS))


def _of_kind(kind: str):
    (found,) = [each for each in _manifests() if each["kind"] == kind]
    return found


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_the_manifests(version):
    for each in _manifests():
        kubernetes_validate.validate(each, version, strict=True)


def test_every_container_is_bound_and_every_probe_asks_what_is_there():
    pod = _of_kind("StatefulSet")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for each in [*pod["initContainers"], *pod["containers"]]:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "env" not in each  # secrets are files
    (gateway,) = pod["containers"]
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert gateway["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_no_manifest_holds_a_secret():
    assert {each["kind"] for each in _manifests()}.isdisjoint({"Secret"})


def test_the_configuration_in_the_manifests_is_one_that_jitgate_takes(tmp_path):
    data = _of_kind("ConfigMap")["data"]
    keys = tmp_path / "keys"
    keys.mkdir()
    leaf = TestCA.create(tmp_path, name="front").leaf("gateway.example")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    made = {
        "okta.pem": key.private_bytes(encoding, form, plain),
        "proxy.pem": leaf.cert.read_bytes(),
        "proxy.key": leaf.key.read_bytes(),
    }
    for name, content in made.items():
        (keys / name).write_bytes(content)
        (keys / name).chmod(0o400)
    for name, text in data.items():
        (tmp_path / name).write_text(text.replace("/run/jitgate", f"{keys}"))
    file = tmp_path / "jitgate.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "jitgate", "check", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
