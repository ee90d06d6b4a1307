"""Asks a Vault, or an OpenBao, over HTTP: bounded, told plainly, tried again where it helps.

The statuses are those of its documentation ("HTTP Status Codes"). Nothing of what it answers to a
call that failed is repeated: only that it is sealed is read out of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import orjson
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime

from jitgate.credentials.circuit import Circuit
from jitgate.errors import CredentialUnavailable
from jitgate.fetching import Fetched, Fetcher

MAX_ANSWER = 1024 * 1024
"""Bytes of an answer: Vault takes secrets of up to a megabyte, all fields together."""

TIMEOUT = 4.0
"""Seconds for one exchange: it is near, and an agent waits."""

TRIES = 3
FIRST_WAIT = 0.2
"""Seconds before the second try; before the third it is twice as long. Give or take a half."""

ENOUGH = 5.0
"""Seconds after which nothing is tried again."""

_PASSING: Final[Mapping[int, str]] = {
    412: "has not caught up with what it is asked for",
    429: "is asked too often",
    472: "is a standby for disaster recovery",
    473: "is a standby",
    500: "failed",
    502: "could not reach what it needed",
    503: "is down for maintenance, or sealed",
}


class VaultDown(CredentialUnavailable):
    """Vault cannot be asked at present; the message says why."""


class VaultRefused(CredentialUnavailable):
    """Vault said no; ``status`` is its answer's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class VaultServer:
    """One Vault, in one namespace of it.

    Args:
        address: ``https://vault.acme.example:8200``, without a slash at its end.
        namespace: Its path, or None for the root.
        http: Reaches it at its checked address and trusts what is configured for it.
        clock: Wall-clock time.
        circuit: Of this server: it is left alone for a while where it fails again and again.
        pause: Waits for so many seconds.
        jitter: A number from 0 to 1, another at each call: gateways do not come back all at once.
    """

    def __init__(
        self,
        address: str,
        *,
        namespace: str | None,
        http: HTTPClient,
        clock: IReactorTime,
        circuit: Circuit,
        pause: Callable[[float], Awaitable[object]],
        jitter: Callable[[], float],
    ) -> None:
        self._address = address
        self._fields = {"X-Vault-Request": "true"}  # it refuses what lacks it where it is set so
        if namespace is not None:
            self._fields["X-Vault-Namespace"] = namespace
        self._fetcher = Fetcher(http, clock, "Vault", VaultDown, MAX_ANSWER, timeout=TIMEOUT)
        self._clock = clock
        self._circuit = circuit
        self._pause = pause
        self._jitter = jitter

    async def asked(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        members: Mapping[str, object] | None = None,
    ) -> Mapping[str, Any]:
        """The object that it answers with to a call of ``/v1/PATH``.

        Raises `VaultDown`, after it was tried again, or `VaultRefused`.
        """
        fields = self._fields if token is None else {**self._fields, "X-Vault-Token": token}
        call = partial(
            self._fetcher.call,
            method,
            f"{self._address}/v1/{quote(path)}",
            fields=fields,
            members=members,
        )
        begun, wait, tried = self._clock.seconds(), FIRST_WAIT, None
        for tries_left in reversed(range(TRIES)):
            try:
                trial = self._circuit.enter(self._clock.seconds())
            except CredentialUnavailable as left_alone:
                raise tried or VaultDown(f"{left_alone}") from left_alone
            try:
                return await self._once(call, trial=trial)
            except VaultDown as down:
                if not tries_left or self._clock.seconds() >= begun + ENOUGH:
                    raise
                tried = down
            await self._pause(wait * (0.5 + self._jitter()))
            wait *= 2
        raise VaultDown("Vault was not asked.")

    async def _once(
        self, call: Callable[[], Awaitable[Fetched]], *, trial: bool
    ) -> Mapping[str, Any]:
        try:
            told = _told(await call())
        except VaultDown:
            self._circuit.failed(self._clock.seconds(), trial=trial)
            raise
        except VaultRefused:
            self._circuit.succeeded()
            raise
        except BaseException:
            self._circuit.left(trial=trial)
            raise
        self._circuit.succeeded()
        return told


def _told(answer: Fetched) -> Mapping[str, Any]:
    status = answer.status
    if 300 <= status < 400:
        raise VaultRefused(
            "Vault is a standby that sends the gateway on to another server, where it does not "
            "go: the address must be that of the active one, or of what stands before all.",
            status,
        )
    try:
        members = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        members = None
    if status in _PASSING or status >= 500:
        why = "is sealed" if _is_sealed(members) else _PASSING.get(status, "failed")
        raise VaultDown(f"Vault {why} ({status}).")
    if status != 200:
        raise VaultRefused(f"Vault answered {status}.", status)
    if not isinstance(members, dict):
        raise VaultDown("Vault's answer is not a JSON object.")
    return members


def _is_sealed(members: object) -> bool:
    errors = members.get("errors") if isinstance(members, dict) else None
    return isinstance(errors, list) and any("sealed" in f"{each}".lower() for each in errors)
