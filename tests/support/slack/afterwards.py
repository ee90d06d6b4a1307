"""Response URLs: where an app may answer an interaction afterwards.

docs.slack.dev, interactivity/handling-user-interaction: five times within 30 minutes.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from aiohttp import web
from support.slack.blocks import Json
from support.slack.noted import Call, Refused
from support.slack.web import Front, arguments_of

USES, SECONDS = 5, 1800
"""How often, and for how long, one may be used."""


@dataclass
class ResponseUrl:
    """Which interaction one is for."""

    user: str
    channel: str
    message: str | None
    thread: str | None
    made: float
    uses: int = 0


class ResponseUrls:
    """All that were given out."""

    def __init__(self, front: Front) -> None:
        self.base = ""
        """What comes before their paths."""
        self.later = 0.0
        """Seconds that they think have passed beside those that have."""
        self._front = front
        self._urls: dict[str, ResponseUrl] = {}

    def new(
        self, user: str, channel: str, message: str | None = None, thread: str | None = None
    ) -> str:
        """One for an interaction of a user."""
        team = self._front.facts.team_id
        path = f"{team}/{secrets.randbelow(10**12)}/{secrets.token_urlsafe(18)}"
        self._urls[path] = ResponseUrl(user, channel, message, thread, self._now())
        return f"{self.base}/actions/{path}"

    def _now(self) -> float:
        return time.monotonic() + self.later

    async def serve(self, request: web.Request) -> web.Response:
        """What an app says."""
        told = await arguments_of(request)
        said = await self._said(request.match_info["path"], told)
        status = 200 if said == "ok" else 404 if said.endswith("_url") else 400
        answer = {"ok": said == "ok", "said": said}
        self._front.noted(Call("response_url", told, answer, status))
        return web.Response(text=said, status=status)

    async def _said(self, path: str, told: Json) -> str:
        url = self._urls.get(path)
        if url is None:
            return "no_such_url"
        if self._now() - url.made > SECONDS:
            return "expired_url"
        if url.uses >= USES:
            return "used_url"
        url.uses += 1
        try:
            await self._take(url, told)
        except Refused as refused:
            return str(refused.answer["error"])
        return "ok"

    async def _take(self, url: ResponseUrl, told: Json) -> None:
        told = self._front.checked_message("response_url", told)
        at = {"channel": url.channel, "ts": url.message}
        if told.get("delete_original"):
            await self._front.as_the_app("chat.delete", at)
        elif told.get("replace_original"):
            await self._front.as_the_app("chat.update", {**told, **at})
        elif told.get("response_type") == "in_channel":
            await self._front.as_the_app("chat.postMessage", {**told, "channel": url.channel})
        else:
            self._front.saw({**told, "user": url.user, "channel": url.channel})
