"""What is measured: jitgate, and the peers beside it, each doing the same job on one processor.

All of them terminate TLS, check the origin's certificate, and keep connections to it. nginx is no
proxy for agents but a reverse one: the floor of what the work costs in C.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from support.counterparts import TestCA
from support.gateway import GatewayProcess

from . import gateway, machine
from .figures import US
from .load import Load
from .site import HOST, SECRET, Site, free_port, nginx, server

MITMPROXY = "mitmproxy==11.0.2"
"""Its pins do not fit the project's own, so it lives in an environment of its own."""


@dataclass(frozen=True)
class Proxy:
    """One that runs."""

    name: str
    pid: int
    port: int
    trust: Path
    """What vouches for the leafs that clients get from it."""
    site: Site
    header: str = ""
    """A line that CONNECT needs, with the agent's token."""
    reverse: bool = False

    def load(self, path: str, host: str = HOST, **options: object) -> Load:
        """A load on it; ``options`` are cload's letters."""
        chosen = {"P": f"127.0.0.1:{self.port}", "C": self.trust, "u": path, **options}
        chosen["h"] = f"{host}:{self.site.origin}"
        if self.header:
            chosen["A"] = self.header
        words = [word for key, value in chosen.items() for word in (f"-{key}", str(value)) if word]
        return Load(self.site.cload, [*words, *(["-D"] if self.reverse else [])])

    def used(self) -> float:
        """Seconds of processor that it has used."""
        return machine.processor_seconds(self.pid)

    def memory(self) -> int:
        """Bytes of memory that it has."""
        return machine.memory(self.pid)


@contextmanager
def jitgate(site: Site, folder: Path, name: str = US, **more: object) -> Iterator[Proxy]:
    """The gateway, with every stage on; ``more`` are sections of its configuration."""
    with gateway.running(site, folder, **more) as (run, token):
        yield of_gateway(site, run, token, name)


def of_gateway(site: Site, run: GatewayProcess, token: str, name: str = US) -> Proxy:
    """The gateway as one of those that are measured."""
    header = f"Proxy-Authorization: Bearer {token}"
    return Proxy(name, run.process.pid, run.ports["proxy"], run.ca, site, header)


def direct(site: Site) -> Proxy:
    """Nobody in between."""
    return Proxy("direct", os.getpid(), site.origin, site.ca.pem, site, reverse=True)


@contextmanager
def nginx_reverse(site: Site) -> Iterator[Proxy]:
    """nginx before the origin, TLS on both sides."""
    port = free_port()
    config = site.configured("nginx.conf", port=port)
    with server(nginx(config), machine.PROXIES, port, site.folder / "run" / "nginx.log") as run:
        yield Proxy("nginx", run.pid, port, site.ca.pem, site, reverse=True)


@contextmanager
def squid(site: Site) -> Iterator[Proxy]:
    """squid with ssl-bump. Its leafs share its authority's key, on the curve that jitgate takes."""
    bundle = site.folder / "squid.pem"
    if not bundle.exists():
        bundle.write_bytes(_authority_with_key(site))
    database = site.folder / "run" / "ssl_db"
    shutil.rmtree(database, ignore_errors=True)
    helper = "/usr/lib/squid/security_file_certgen"
    subprocess.run([helper, "-c", "-s", database, "-M", "16MB"], check=True, capture_output=True)
    for each in (database.parent, database, *database.rglob("*")):
        shutil.chown(each, "proxy", "proxy")
    port = free_port()
    command = ["/usr/sbin/squid", "-N", "-f", str(site.configured("squid.conf", port=port))]
    with server(command, machine.PROXIES, port, site.folder / "run" / "squid.log") as run:
        yield Proxy("squid", run.pid, port, site.folder / "squid-ca.pem", site)


@contextmanager
def mitmproxy(site: Site) -> Iterator[Proxy]:
    """mitmproxy as it is installed, with an addon that looks at each message, and masks as we do."""
    port, home = free_port(), site.folder / "run" / "mitmproxy"
    options = {"confdir": home, "ssl_verify_upstream_trusted_ca": site.ca.pem, "http2": "false"}
    command = [str(_mitmdump()), "-q", "--listen-host", "127.0.0.1", "--listen-port", str(port)]
    command += [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
    command += ["-s", str(site.configured("mitmproxy_addon.py"))]
    log = site.folder / "run" / "mitmproxy.log"
    told = {
        "BENCH_ORIGIN": str(site.origin),
        "BENCH_MASKED": SECRET,
        "BENCH_NAMES": ",".join(gateway.NAMES),
    }
    with server(command, machine.PROXIES, port, log, **told) as run:
        yield Proxy("mitmproxy", run.pid, port, home / "mitmproxy-ca-cert.pem", site)


Started = Callable[[Site], AbstractContextManager[Proxy]]

PEERS: Mapping[str, Started] = {"squid": squid, "nginx": nginx_reverse, "mitmproxy": mitmproxy}


def missing(peer: str) -> str | None:
    """What a peer lacks here, or None if it can run."""
    programs = {"squid": "/usr/sbin/squid", "nginx": "/usr/sbin/nginx"}
    program = programs.get(peer)
    return None if program is None or Path(program).exists() else f"{program} is not installed"


def _authority_with_key(site: Site) -> bytes:
    """A certificate authority for squid and its key, in one PEM; the certificate also by itself."""
    ca = TestCA.create(site.folder, name="squid CA")
    shutil.copy(ca.pem, site.folder / "squid-ca.pem")
    return ca.pem.read_bytes() + ca._key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _mitmdump() -> Path:
    """mitmproxy's program, installed once into an environment of its own."""
    cache = Path.home() / ".cache" / "jitgate-bench" / MITMPROXY.replace("==", "-")
    program = cache / "bin" / "mitmdump"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", cache], check=True)
        subprocess.run([cache / "bin" / "pip", "install", "--quiet", MITMPROXY], check=True)
    return program
