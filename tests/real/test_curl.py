"""curl, as it comes with the system: the two variables, and what it shows."""

from __future__ import annotations

import subprocess

import orjson
import pytest

pytestmark = pytest.mark.needs_debian("curl")


def curl(estate, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(estate.environment())
    return subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "20", *arguments],
        env={**environment, "CURL_CA_BUNDLE": environment["SSL_CERT_FILE"], "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_curl_reads_what_is_permitted(estate):
    done = curl(estate, "https://acme.okta.example/api/v1/users")
    assert done.returncode == 0, done.stderr
    logins = [user["profile"]["login"] for user in orjson.loads(done.stdout)]
    assert "alice@acme.example" in logins


def test_curl_is_told_why_not(estate):
    done = curl(
        estate,
        "--write-out",
        "%{http_code}",
        "--data",
        '{"type":"SUPER_ADMIN"}',
        "https://acme.okta.example/api/v1/users/00u1/roles",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("403")
    assert "no-admin-grants" in done.stdout
    assert estate.org.journal() == []


def test_curl_gets_no_tunnel_to_another_host(estate):
    done = curl(estate, "https://other.example/")
    assert done.returncode == 56
    assert "403" in done.stderr
