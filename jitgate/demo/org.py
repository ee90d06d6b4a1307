"""A stand-in for an Okta org that judges for itself what it is sent, and keeps a journal of it.

It knows nothing of the gateway's catalog: which scope a call needs stands in its own table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from jitgate.demo.authority import SandboxCA
from jitgate.demo.authorization import REVOKE_PATH, TOKEN_PATH, AuthorizationServer, ServiceApp
from jitgate.demo.directory import Directory, error, not_found
from jitgate.demo.site import Answer, Call, TlsSite

HOST = "acme.okta.example"
"""The name the org answers to; a name that never resolves (RFC 2606, section 2)."""

_Action = Callable[[Directory, tuple[str, ...], Call], Answer]

_ROUTES: tuple[tuple[str, str, str, _Action], ...] = (
    ("GET", "/api/v1/users", "okta.users.read", Directory.list_users),
    ("POST", "/api/v1/users", "okta.users.manage", Directory.create_user),
    ("GET", "/api/v1/users/{}", "okta.users.read", Directory.get_user),
    (
        "POST",
        "/api/v1/users/{}/lifecycle/deactivate",
        "okta.users.manage",
        Directory.deactivate_user,
    ),
    ("POST", "/api/v1/users/{}/roles", "okta.roles.manage", Directory.assign_role),
    ("GET", "/api/v1/groups", "okta.groups.read", Directory.list_groups),
    ("GET", "/api/v1/apps", "okta.apps.read", Directory.list_apps),
)
"""Method, path, the scope that the call needs, and what answers it."""

SCOPES = frozenset(scope for _, _, scope, _ in _ROUTES)
"""Every scope that some call needs."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request that reached the org; it keeps no secret and no body."""

    method: str
    path: str
    query: str
    scopes: frozenset[str]
    """Those of the good token that came with it; where tokens are issued and revoked, of those."""
    status: int
    """What it was answered with."""
    body_sha256: str
    authorized: bool
    """Whether any Authorization field came with it."""
    headers: tuple[str, ...]
    """The names of its header fields, in lower case."""


class Org:
    """The org ``https://acme.okta.example``, in truth on a port of the loopback address.

    Args:
        reactor: The reactor (IReactorTCP and IReactorTime).
        ca: Signs the org's certificate.
        app: The one client that may ask for access tokens.
    """

    host = HOST
    url = f"https://{HOST}"

    def __init__(self, reactor: Any, ca: SandboxCA, app: ServiceApp) -> None:
        self.directory = Directory()
        self.journal: list[Arrival] = []
        """Everything that arrived, in order."""
        self._tokens = AuthorizationServer(self.url, app)
        self._site = TlsSite(reactor, ca.issue(HOST), self.answer)
        self.start = self._site.start
        self.stop = self._site.stop

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        return self._site.port

    @property
    def client_secrets(self) -> tuple[str, ...]:
        """The applications' secrets, so that a check can look for them where they must not be."""
        return tuple(
            app["credentials"]["oauthClient"]["client_secret"] for app in self.directory.apps
        )

    def answer(self, call: Call) -> Answer:
        """Judge one call, and write it down."""
        endpoints = {TOKEN_PATH: self._tokens.token, REVOKE_PATH: self._tokens.revoke}
        scopes, answer = endpoints.get(call.path, self._serve)(call)
        self.journal.append(_arrival(call, scopes, answer.status))
        return answer

    def _serve(self, call: Call) -> tuple[frozenset[str], Answer]:
        scopes = self._tokens.scopes(call)
        if scopes is None:
            challenge = _challenge("invalid_token")
            return frozenset(), error(401, "E0000011", "Invalid token provided", (), challenge)
        for method, pattern, scope, action in _ROUTES:
            arguments = _match(pattern, call.path)
            if method == call.method and arguments is not None:
                permitted = scope in scopes
                return scopes, (
                    action(self.directory, arguments, call) if permitted else _forbidden(scope)
                )
        return scopes, not_found(call.path)


def _forbidden(scope: str) -> Answer:
    summary = "You do not have permission to perform the requested action"
    challenge = _challenge("insufficient_scope", scope)
    return error(403, "E0000006", summary, [f"The access token lacks {scope}."], challenge)


def _challenge(code: str, scope: str = "") -> str:
    """The value of WWW-Authenticate (RFC 6750, section 3)."""
    needed = f', scope="{scope}"' if scope else ""
    return f'Bearer realm="{Org.url}", error="{code}"{needed}'


def _match(pattern: str, path: str) -> tuple[str, ...] | None:
    """The decoded segments that stand where ``pattern`` says {}, or None if it does not match."""
    pairs = list(zip(pattern.split("/"), path.split("/"), strict=False))
    whole = pattern.count("/") == path.count("/")
    if not whole or any(wanted not in ("{}", given) for wanted, given in pairs):
        return None
    return tuple(unquote(given) for wanted, given in pairs if wanted == "{}")


def _arrival(call: Call, scopes: frozenset[str], status: int) -> Arrival:
    names = tuple(name.decode("latin-1") for name, _ in call.headers)
    return Arrival(
        method=call.method,
        path=call.path,
        query=call.query,
        scopes=scopes,
        status=status,
        body_sha256=hashlib.sha256(call.body).hexdigest(),
        authorized="authorization" in names,
        headers=names,
    )
