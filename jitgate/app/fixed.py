"""Makes the sources of fixed secrets: those that the operator laid down, and a Vault's."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from jitgate.config.credential_schema import Carried, StaticCredential, VaultAuth, VaultCredential
from jitgate.credentials.carriers import Carrier, InBasic, InBody, InHeader, InQuery
from jitgate.credentials.circuit import Circuit
from jitgate.credentials.static import StaticCredentials
from jitgate.credentials.vault import Place, VaultCredentials
from jitgate.credentials.vault_server import VaultServer
from jitgate.credentials.vault_token import AppRole, GivenToken, Login, VaultToken
from jitgate.stores.state import secret_line


def static(credential: StaticCredential) -> StaticCredentials:
    """The source of a static credential. Raises `StateUnusable` or `ValueError`."""
    basic, value = credential.basic, credential.value
    secret = basic.password if basic is not None else value
    if secret is None:
        raise ValueError("a static credential has no value")
    return StaticCredentials(_carrier(credential), secret_line(secret))


def vault(
    credential: VaultCredential,
    http: HTTPClient,
    reactor: Any,
    circuit: Circuit,
    *,
    keyed: Callable[[bytes], str],
    close: Callable[[], Awaitable[object]],
) -> VaultCredentials:
    """The source of a secret that a Vault keeps. Raises `StateUnusable` or `ValueError`."""
    clock = cast(IReactorTime, reactor)
    server = VaultServer(
        credential.address.rstrip("/"),
        namespace=credential.namespace,
        http=http,
        clock=clock,
        circuit=circuit,
        pause=partial(deferLater, reactor),
        jitter=random.random,
    )
    return VaultCredentials(
        server,
        VaultToken(server, _login(credential.auth, server), clock),
        Place(credential.mount, credential.path, credential.field),
        _carrier(credential.carried),
        fresh=credential.fresh,
        oldest=credential.oldest,
        clock=clock,
        keyed=keyed,
        close=close,
    )


def _login(auth: VaultAuth, server: VaultServer) -> Login:
    if auth.token is not None:
        return GivenToken(server, secret_line(auth.token))
    role = auth.approle
    if role is None:
        raise ValueError("a Vault must know the gateway by something")
    secret = secret_line(role.secret_id)
    return AppRole(server, mount=role.mount, role_id=role.role_id, secret_id=secret)


def _carrier(written: StaticCredential | Carried) -> Carrier:
    if written.header is not None:
        return InHeader(written.header, written.prefix if isinstance(written, Carried) else "")
    if written.basic is not None:
        return InBasic(written.basic.username)
    if written.query is not None:
        return InQuery(written.query)
    return InBody(f"{written.body}")
