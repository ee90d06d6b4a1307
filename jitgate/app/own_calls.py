"""The calls that the gateway makes itself to the hosts of one target, over kept connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treq.client import HTTPClient
from twisted.web.client import Agent, HTTPConnectionPool

from jitgate.upstreams.connection import KEPT_FOR
from jitgate.upstreams.endpoint import CheckedEndpoint, CheckedEndpoints

KEPT = 8
"""Idle connections kept to one host: as many as revocations are under way at a time. A handshake
costs more than all else of a call."""


class OwnCalls:
    """Makes clients of one host each; ``endpoint`` makes the checked way to a host and port."""

    def __init__(self, reactor: Any, endpoint: Callable[[str, int], CheckedEndpoint]) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._clients: dict[str, HTTPClient] = {}
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = KEPT
        self._pool.cachedConnectionTimeout = int(KEPT_FOR)
        # Whoever makes a call decides whether it is made again, and what of it is made anew.
        self._pool.retryAutomatically = False

    def to(self, authority: str) -> HTTPClient:
        """The client that reaches ``host:port``, and nobody else."""
        if authority not in self._clients:
            host, _, port = authority.rpartition(":")
            endpoints = CheckedEndpoints(self._endpoint(host.strip("[]"), int(port)))
            agent = Agent.usingEndpointFactory(self._reactor, endpoints, pool=self._pool)
            self._clients[authority] = HTTPClient(agent)
        return self._clients[authority]

    async def stop(self) -> None:
        """End the connections that are kept."""
        await self._pool.closeCachedConnections()
