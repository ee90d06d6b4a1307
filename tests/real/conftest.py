"""The gateway between counterparts that nobody here wrote: npm's emulate and oidc-provider."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from real.lending import org_in
from real.world import world_in
from support.approver import Approver, people
from support.counterparts import Agent, Issuer, Org, place_programs
from support.gateway import GatewayProcess


@dataclass
class Estate:
    """An Okta org, an issuer of agents' tokens, and the gateway before the one for the other."""

    org: Org
    issuer: Issuer
    gateway: GatewayProcess
    folder: Path

    def environment(self, agent: str = "it-agent") -> Mapping[str, str]:
        """All that an agent is given: two environment variables."""
        host, port = self.gateway.proxy
        token = self.issuer.token(agent)
        return {
            "HTTPS_PROXY": f"http://sdk-run:{token}@{host}:{port}",
            "SSL_CERT_FILE": str(self.gateway.ca),
        }

    @property
    def approver(self) -> Approver:
        """Who answers."""
        return Approver(self.gateway.config)

    def python(self, script: str, agent: str = "it-agent") -> Any:
        """Run a script as the agent, in a process of its own; what it prints is JSON."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**kept, **self.environment(agent), "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shown = orjson.loads(done.stdout.splitlines()[-1])
        assert isinstance(shown, dict | list)
        return shown


@contextmanager
def estate_in(
    folder: Path,
    algorithm: str,
    asked: Mapping[str, object] | None = None,
    ttl: int = 1800,
    *,
    bound: bool = True,
) -> Iterator[Estate]:
    """Everything, running, with keys for one signature algorithm; ``asked``: how people are.

    Agents' tokens live for ``ttl`` seconds. ``bound``: the org's are bound to a key (RFC 9449).
    """
    agents = [Agent("it-agent", ("it-agents",)), Agent("stranger", ("marketing",))]
    with (
        Org.start(folder, algorithm=algorithm, unbound=[] if bound else ["jitgate"]) as org,
        Issuer.start(folder, agents, algorithm=algorithm, ttl=ttl) as issuer,
        GatewayProcess(folder, configured(folder, org, issuer) | (asked or people())) as gateway,
    ):
        yield Estate(org, issuer, gateway, folder)


@pytest.fixture(scope="session")
def estate(tmp_path_factory):
    with estate_in(tmp_path_factory.mktemp("estate"), "RS256") as made:
        yield made


@pytest.fixture(scope="session")
def org(tmp_path_factory):
    """An org with several apps, and nothing before it."""
    with org_in(tmp_path_factory.mktemp("org")) as made:
        yield made


@pytest.fixture(scope="session")
def npm(tmp_path_factory):
    """The folder of Node's programs, with their packages."""
    folder = tmp_path_factory.mktemp("npm")
    place_programs(folder)
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory, npm):
    with world_in(tmp_path_factory.mktemp("world"), npm) as made:
        yield made


@pytest.fixture(scope="module")
def elliptic_estate(tmp_path_factory):
    with estate_in(tmp_path_factory.mktemp("elliptic"), "ES256", bound=False) as made:
        yield made


@pytest.fixture(autouse=True)
def from_the_seed(estate):
    """Every test begins with the org as it was seeded, and an empty journal."""
    estate.org.reset()
    estate.org.clear()


def configured(folder: Path, org: Org, issuer: Issuer) -> dict[str, Any]:
    """A gateway's configuration between the two."""
    etc = Path(__file__).parents[2] / "etc"
    plugins = Path(__file__).parents[2] / "plugins"
    return {
        "state": str(folder / "state"),
        "listen": {"proxy": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "identity": {
            "issuers": [
                {
                    "name": "agents",
                    "type": "oidc",
                    "issuer": issuer.url,
                    "audience": "jitgate",
                    "trust": str(issuer.ca),
                }
            ]
        },
        "targets": [
            {
                "name": "okta",
                "hosts": [org.host],
                "catalog": "okta",
                "dial": f"127.0.0.1:{org.port}",
                "trust": str(org.ca),
                "credential": {
                    "type": "okta",
                    "org": f"https://{org.host}",
                    "client_id": org.app.client_id,
                    "key_id": org.app.kid,
                    "private_key": f"file:{org.app.private_key}",
                    "dpop": org.app.dpop,
                },
            }
        ],
        "policy": [str(Path(__file__).with_name("policy.yaml"))],
        "masking": [str(etc / "masking" / "*.yaml")],
        "plugins": [
            {"file": str(plugins / "no_admin_grants.py")},
            {"file": str(plugins / "employee_numbers.py")},
        ],
    }
