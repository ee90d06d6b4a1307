"""How plugins ask a service outside over HTTP: the options that this takes, and the way there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from treq.client import HTTPClient
from twisted.internet import ssl
from twisted.web.client import Agent

from jitgate.config.kinds import Duration, FilePath, Secret
from jitgate.errors import JitgateError
from jitgate.fetching import Fetcher
from jitgate.plugins import PluginOptions
from jitgate.stores.state import secret_line
from jitgate.trust import NamedPolicy

HOST = re.compile(
    r"https://[a-zA-Z0-9.\[\]:-]+|http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]+)?"
)
"""How an address begins that may be asked: plain HTTP is for this machine alone."""


class OutsideOptions(PluginOptions):
    """How a service is asked, whatever it is asked for."""

    authorization: Secret | None = None
    """What the Authorization field says."""
    trust: FilePath | None = None
    """These certificates instead of the system's bundle."""
    deadline: Annotated[Duration, Field(ge=0.1, le=10.0)] = 3.0

    def fetcher(self, name: str, fault: type[JitgateError], limit: int) -> Fetcher:
        """Makes exchanges with the service, as `Fetcher` describes ``name``, ``fault``, ``limit``.

        Raises `StateUnusable` where the secret cannot be read, `ValueError` where it is not ASCII,
        and `OSError` or OpenSSL's error where the certificates cannot be.
        """
        from twisted.internet import reactor  # noqa: PLC0415 (whoever serves has installed it)

        clock: Any = reactor
        roots = ssl.platformTrust() if self.trust is None else _trusted(self.trust)
        secret = None
        if self.authorization is not None:
            secret = secret_line(self.authorization).decode("ascii")
        return Fetcher(
            HTTPClient(Agent(clock, NamedPolicy(roots))),
            clock,
            name,
            fault,
            limit,
            timeout=self.deadline,
            authorization=secret,
        )


def _trusted(file: Path) -> Any:
    return ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(file.read_bytes())])
