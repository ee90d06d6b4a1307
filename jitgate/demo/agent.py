"""The demo's agent: a plain blocking HTTP client, with nothing of the gateway's code in it.

All it is given is what any agent has: a proxy's address, its own token, and a CA file to trust.
"""

from __future__ import annotations

import base64
import http.client
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT = 60.0
"""Seconds before the agent gives up: what SDKs usually have."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; header names as they were sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)


def call(  # noqa: PLR0917 - in the order in which they are said
    proxy: tuple[str, int],
    token: str,
    ca: Path,
    method: str,
    url: str,
    body: bytes | None = None,
) -> Reply:
    """Make one call through a CONNECT tunnel; blocks, so run it in a thread.

    Args:
        proxy: The gateway's host and port.
        token: The agent's token, sent as the password of Proxy-Authorization (RFC 7617).
        ca: The one CA file to trust.
        method: The HTTP method.
        url: An https URL.
        body: JSON, if any.

    Raises:
        OSError: The proxy refused the tunnel, or a connection or TLS failed.
        http.client.HTTPException: What came back was not a whole HTTP response.
    """
    parts = urlsplit(url)
    trust = ssl.create_default_context(cafile=ca)
    connection = http.client.HTTPSConnection(*proxy, context=trust, timeout=TIMEOUT)
    pair = base64.b64encode(f"demo:{token}".encode()).decode()
    connection.set_tunnel(
        str(parts.hostname), parts.port or 443, {"Proxy-Authorization": f"Basic {pair}"}
    )
    try:
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        kind = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, body, {"Accept": "application/json", **kind})
        response = connection.getresponse()
        return Reply(response.status, tuple(response.getheaders()), response.read())
    finally:
        connection.close()
