"""The variables that make an agent's clients use the proxy and trust the gateway's certificates.

There is no one variable for either: each client looks at its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

LOOPBACK = "localhost,127.0.0.1,::1"
"""What clients reach without the proxy: what the agent itself runs on its machine, nothing else."""

_UNCHECKED = frozenset(
    {"GIT_SSL_NO_VERIFY", "NODE_TLS_REJECT_UNAUTHORIZED", "PYTHONHTTPSVERIFY", "GIT_SSL_CAPATH"}
)
"""What makes a client believe other certificates than the gateway's, or any."""


def variables(proxy: str, bundle: Path) -> dict[str, str]:
    """What to set; ``bundle`` holds the gateway's CA, alone in its folder.

    HTTP_PROXY is among it so that `http://jitgate.internal/` is found, and so that a call in plain
    HTTP is refused with a reason instead of going around the gateway.

    SSL_CERT_FILE and those after it *replace* what a client trusts. The gateway's CA alone is
    right there: every host but the loopback is reached through the gateway, and a client that goes
    around it fails by that instead of going unnoticed. SSL_CERT_DIR is set because OpenSSL and Go
    look into the system's folder as well as long as it is not.
    """
    return {
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), proxy),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), LOOPBACK),
        "SSL_CERT_FILE": f"{bundle}",
        "SSL_CERT_DIR": f"{bundle.parent}",
        "REQUESTS_CA_BUNDLE": f"{bundle}",
        "CURL_CA_BUNDLE": f"{bundle}",
        "AWS_CA_BUNDLE": f"{bundle}",
        "GIT_SSL_CAINFO": f"{bundle}",
        "PIP_CERT": f"{bundle}",
        "NODE_EXTRA_CA_CERTS": f"{bundle}",
        "NODE_USE_ENV_PROXY": "1",
    }


def stale(outside: Mapping[str, str]) -> list[str]:
    """The names of what was set outside and would lead around the gateway.

    Whatever ends in ``_proxy`` names a way out of its own: ALL_PROXY, which some clients prefer,
    npm_config_https_proxy, PIP_PROXY, grpc_proxy, and the exceptions to those.
    """
    return [name for name in outside if name.lower().endswith("_proxy") or name in _UNCHECKED]


def holding(outside: Mapping[str, str], token: str) -> list[str]:
    """The names of variables whose value has the token in it, as `jitgate env` prints one."""
    return [name for name, value in outside.items() if token in value]


def agent_environment(
    outside: Mapping[str, str], proxy: str, bundle: Path, token: str
) -> dict[str, str]:
    """The whole environment of an agent: that outside, less what it must not have, and ours."""
    dropped = {*stale(outside), *holding(outside, token)}
    kept = {name: value for name, value in outside.items() if name not in dropped}
    return kept | variables(proxy, bundle)
