"""The sandbox of ``jitgate demo``: an org and an identity provider that exist only while it runs.

Nothing it makes is worth stealing afterwards: every key and secret is new at each start.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from jitgate.demo.authority import SandboxCA
from jitgate.demo.authorization import ServiceApp
from jitgate.demo.issuer import AgentIssuer
from jitgate.demo.org import SCOPES, Org


class Sandbox:
    """Runs `Org` and `AgentIssuer`, and writes the files that a gateway in front of them needs.

    Args:
        folder: Where ``ca.pem`` and ``okta-client-key.pem`` go; made if it does not exist.
        reactor: The reactor (IReactorTCP and IReactorTime).
        granted: The scopes that the gateway's service app holds.
    """

    def __init__(self, folder: Path, reactor: Any, granted: frozenset[str] = SCOPES) -> None:
        self.client_id = f"0oa{secrets.token_hex(9)[:17]}"
        self.key_id = secrets.token_urlsafe(12)
        self.ca = folder / "ca.pem"
        """The CA that signed both servers' certificates."""
        self.client_key = folder / "okta-client-key.pem"
        """The service app's private key (RSA 2048, PKCS #8)."""
        self._authority = SandboxCA()
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        app = ServiceApp(self.client_id, self.key_id, self._key.public_key(), granted)
        self.org = Org(reactor, self._authority, app)
        self.issuer = AgentIssuer(reactor, self._authority)

    async def start(self) -> None:
        """Write the files, then listen. Raises `StateUnusable` or `OSError`; then nothing runs."""
        self._write_files()
        try:
            await self.org.start()
            await self.issuer.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop both servers and end their connections; harmless if they never started."""
        await self.org.stop()
        await self.issuer.stop()

    def _write_files(self) -> None:
        self.ca.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        pem = serialization.Encoding.PEM
        _replace(self.ca, self._authority.certificate.public_bytes(pem), 0o644)
        key = self._key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _replace(self.client_key, key, 0o600)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Put ``content`` at ``path``; the mode never depends on a file that was there before."""
    handle, name = tempfile.mkstemp(dir=path.parent)  # 0600 until it is said otherwise
    with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        os.fchmod(file.fileno(), mode)
        file.write(content)
    Path(name).replace(path)
