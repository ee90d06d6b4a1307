"""emulate's Slack, which the Web API's front has behind it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import aiohttp
from support.slack.blocks import Json

HOST = "slack.example"


class Emulate:
    """Calls methods of emulate's, all of which take JSON."""

    def __init__(self, port: int, ca: Path) -> None:
        self.asked: dict[str, str] = {}
        """For which user a trigger id was made."""
        self._port = port
        self._context = ssl.create_default_context(cafile=str(ca))
        fresh = aiohttp.TCPConnector(force_close=True)  # what is kept open, Node ends at any time
        self._session = aiohttp.ClientSession(connector=fresh)

    async def close(self) -> None:
        await self._session.close()

    async def call(self, method: str, arguments: Json, token: str) -> Json:
        """The answer to a method; it may be an error."""
        told: dict[str, Any] = {
            name: value for name, value in arguments.items() if value is not None
        }
        async with self._session.post(
            f"https://127.0.0.1:{self._port}/api/{method}",
            json=told,
            headers={"Host": HOST, "Authorization": f"Bearer {token}"},
            ssl=self._context,
            server_hostname=HOST,
        ) as got:
            if got.status == 404:
                return {"ok": False, "error": "unknown_method"}
            answer: Json = await got.json()
        return answer

    async def done(self, method: str, arguments: Json, token: str) -> Json:
        """The answer to a method that must not fail."""
        answer = await self.call(method, arguments, token)
        if not answer["ok"]:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer

    async def trigger(self, user: str, token: str, view: str | None = None) -> str:
        """A trigger id for a user, for whom a view may be on top."""
        told = {"user_id": user, "view_id": view}
        made = await self.done("views.generateTriggerId", told, token)
        self.asked[made["trigger_id"]] = user
        return str(made["trigger_id"])
