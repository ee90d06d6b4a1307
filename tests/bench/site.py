"""The site that is measured: an origin over TLS, its certificates, what it serves."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.counterparts import Leaf, TestCA

from .load import built
from .machine import OTHERS, pinned

CONF = Path(__file__).with_name("conf")

HOST = "okta.bench.test"
LENT = "lent.bench.test"
"""The host whose calls need a token of the org at that host."""

FILES = "files.bench.test"
NEW = "h%d.bench.test"
NEW_HOSTS = 130
"""Hosts of that form that there are."""

CLEAN = "/api/v1/users/00u1bench00000000001"
TOKEN = f"{'a' * 120}.{'e30' * 250}.{'s' * 342}"
"""As long as Okta's are."""

SECRET = "/api/v1/users/00u1bench00000000002"
BIG = "/big.bin"
BIG_SIZE = 10 * 1024 * 1024

START = 20.0
"""Seconds a server has to start on a busy machine."""


@dataclass(frozen=True)
class Site:
    """Where everything is. The origin runs as long as the site does."""

    folder: Path
    ca: TestCA
    leaf: Leaf
    origin: int
    cload: Path

    def configured(self, template: str, **more: object) -> Path:
        """A file of ``conf`` with this site's places in it."""
        places = {
            "FOLDER": self.folder,
            "CA": self.ca.pem,
            "CERT": self.leaf.cert,
            "KEY": self.leaf.key,
            "ORIGIN": self.origin,
            "TOKEN": TOKEN,
        }
        text = (CONF / template).read_text()
        for name, value in (places | {key.upper(): value for key, value in more.items()}).items():
            text = text.replace(f"@{name}@", str(value))
        made = self.folder / template
        made.write_text(text)
        return made


@contextmanager
def running(parent: Path | None = None) -> Iterator[Site]:
    """A site in a new folder under ``parent``, with its origin."""
    folder = Path(tempfile.mkdtemp(prefix="jitgate-bench-", dir=parent))
    folder.chmod(0o755)  # squid gives up root and must still find its helper's files
    try:
        for name in ("run", "www"):
            (folder / name).mkdir()
        ca = TestCA.create(folder, name="bench CA")
        site = Site(folder, ca, ca.leaf("*.bench.test"), free_port(), built(folder))
        _serve_files(folder / "www")
        names = [HOST, LENT, FILES, *(NEW % number for number in range(NEW_HOSTS))]
        (folder / "hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in names))
        config = site.configured("origin.conf")
        with server(nginx(config), OTHERS, site.origin, folder / "run" / "origin.log"):
            yield site
    finally:
        shutil.rmtree(folder)


def nginx(config: Path) -> list[str]:
    """The command that runs nginx with a configuration."""
    return ["/usr/sbin/nginx", "-e", str(config.with_suffix(".log")), "-c", str(config)]


@contextmanager
def server(
    command: list[str], processor: int, port: int, log: Path, **env: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server on one processor; its process, once it listens."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*pinned(processor), *command],
            env=os.environ | env,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        if not _listens(process, port):
            raise RuntimeError(f"{' '.join(command)} did not start:\n{log.read_text()}")
        yield process
    finally:
        process.terminate()
        process.wait(START)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def _serve_files(www: Path) -> None:
    for path, secret in ((CLEAN, None), (SECRET, "sk_live_9f3c61d05a")):
        file = www / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(user(secret))
    (www / BIG.lstrip("/")).write_bytes(os.urandom(BIG_SIZE))


def user(secret: str | None) -> str:
    """A user as Okta's API describes one, in 1 KiB; with a field that is to be masked, or none."""
    profile: dict[str, object] = {
        "firstName": "Isaac",
        "lastName": "Brock",
        "email": "isaac.brock@example.com",
        "login": "isaac.brock@example.com",
        "mobilePhone": "+1-555-415-1337",
        "department": "Engineering",
        "costCenter": "R-4711",
        "manager": {"displayName": "Ada Lovelace", "value": "00u1bench00000000009"},
    }
    if secret is not None:
        profile["apiKey"] = secret
    base = f"https://{HOST}{CLEAN}"
    whole = {
        "id": "00u1bench00000000001",
        "status": "ACTIVE",
        "created": "2026-01-14T09:33:11.000Z",
        "activated": "2026-01-14T09:41:52.000Z",
        "statusChanged": None,
        "lastLogin": "2026-11-24T16:02:10.000Z",
        "type": {"id": "oty1bench0000000001"},
        "profile": profile,
        "credentials": {"provider": {"type": "OKTA", "name": "OKTA"}},
        "_links": {
            "suspend": {"href": f"{base}/lifecycle/suspend", "method": "POST"},
            "deactivate": {"href": f"{base}/lifecycle/deactivate", "method": "POST"},
            "self": {"href": base},
        },
    }
    text = json.dumps(whole)
    return text[:-1] + " " * (1024 - len(text)) + "}"
