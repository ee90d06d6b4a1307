"""Channels and messages as somebody sees them who looks on."""

from __future__ import annotations

from support.slack.blocks import Json
from support.slack.web import Front


class Looking:
    """Sees every channel, with the token of somebody who is in all of them."""

    def __init__(self, front: Front, admin_token: str) -> None:
        self._front = front
        self._admin_token = admin_token

    async def messages(self, channel: str) -> list[Json]:
        """A channel's messages, oldest first, each with its replies."""
        found = []
        for message in sorted(await self._history(channel), key=_when):
            if message.get("thread_ts", message["ts"]) != message["ts"]:
                continue
            replies: list[Json] = []
            if message.get("reply_count"):
                _, *replies = await self._thread(channel, message["ts"])
            found.append({**self._seen(message, channel), "replies": replies})
        return found

    async def _history(self, channel: str) -> list[Json]:
        found: list[Json] = []
        at: Json = {"channel": channel, "limit": 1000}
        while at.get("cursor") != "":
            told = await self._asked("conversations.history", at)
            found += told["messages"]
            at["cursor"] = told["response_metadata"]["next_cursor"]
        return found

    async def _thread(self, channel: str, ts: str) -> list[Json]:
        told = await self._asked("conversations.replies", {"channel": channel, "ts": ts})
        return [self._seen(each, channel) for each in told["messages"]]

    async def _asked(self, method: str, arguments: Json) -> Json:
        """Direct messages are seen by who is in them, the app."""
        direct = arguments["channel"].startswith("D")
        token = self._front.bot_token if direct else self._admin_token
        return await self._front.emulate.done(method, arguments, token)

    def _seen(self, message: Json, channel: str) -> Json:
        return {**self._front.shown(message), "channel": channel}

    async def current(self, message: Json) -> Json:
        """A message as it is now."""
        found = await self._thread(message["channel"], message["ts"])
        assert found, "the message is gone"
        return found[0]

    async def named(self, channel: str) -> Json:
        """A channel's id and name, as payloads have them."""
        if channel.startswith("D"):
            return {"id": channel, "name": "directmessage"}
        told = await self._front.emulate.done(
            "conversations.info", {"channel": channel}, self._admin_token
        )
        return {"id": channel, "name": told["channel"]["name"]}


def _when(message: Json) -> tuple[int, int]:
    seconds, _, number = str(message["ts"]).partition(".")
    return int(seconds), int(number)
