"""Where it runs: an event loop in a thread, and ports on loopback."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

LOOPBACK = "127.0.0.1"
T = TypeVar("T")
P = ParamSpec("P")
LONGEST = 60.0
"""Seconds that anything may take that a test asks for."""


class Looped:
    """Something whose coroutines run on a loop in another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        """Run it there, and wait."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(LONGEST)


L = TypeVar("L", bound=Looped)


def blocking(
    method: Callable[Concatenate[L, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[L, P], T]:
    """A method for who is not on the loop."""

    @functools.wraps(method)
    def waited(self: L, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.do(method(self, *args, **kwargs))

    return waited


class Site:
    """One application at two ports, without TLS and with it."""

    def __init__(self, runner: web.AppRunner, context: ssl.SSLContext, failed: list[str]) -> None:
        self.ports = (0, 0)
        self.failed = failed
        """Requests that it could not deal with: faults of its own, or bodies that are none."""
        self._runner = runner
        self._context = context
        self._sites: list[web.BaseSite] = []

    @classmethod
    async def open(cls, routes: Sequence[web.RouteDef], context: ssl.SSLContext) -> Site:
        failed: list[str] = []

        @web.middleware
        async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except web.HTTPException:
                raise
            except Exception as error:
                failed.append(f"{request.path}: {error!r}")
                raise

        application = web.Application(client_max_size=8 * 2**20, middlewares=[watched])
        application.add_routes(routes)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = cls(runner, context, failed)
        await site.open_ports()
        return site

    async def open_ports(self) -> None:
        """Listen, at the ports of the last time if there was one."""
        self._sites = []
        ports = []
        for port, context in zip(self.ports, (None, self._context), strict=True):
            listener = socket.create_server((LOOPBACK, port), backlog=256)
            ports.append(listener.getsockname()[1])
            site = web.SockSite(self._runner, listener, ssl_context=context)
            await site.start()
            self._sites.append(site)
        self.ports = (ports[0], ports[1])

    async def close_ports(self) -> None:
        """Listen no more, and cut what is open."""
        for site in self._sites:
            await site.stop()
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def close(self) -> None:
        """End it."""
        await self._runner.cleanup()


@contextmanager
def looping() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="slack", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_ended(), loop).result(LONGEST)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ended() -> None:
    """End what is still under way, such as a slow call whose client has gone."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for _ in range(10):  # what was closed meanwhile is, a turn or two later
        await asyncio.sleep(0)
