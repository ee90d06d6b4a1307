"""Looks in Slack for what was sent and nobody noted: a card, the lines of a thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from twisted.logger import Logger

from jitgate.approvers.slack.about import About
from jitgate.approvers.slack.rooms import Call
from jitgate.errors import SlackRefused

PAGES: Final = 3
PAGE: Final = 100
"""How far it is looked: so many answers of so many messages. What is sought is minutes old."""

_Message = Mapping[str, Any]


class Finder:
    """Asks by ``call``. Where Slack refuses to show it, nothing is found; that is logged once."""

    _log = Logger()

    def __init__(self, call: Call) -> None:
        self._call = call
        self._refused: set[str] = set()

    async def cards(self, room: str, request: str, since: float) -> Sequence[str]:
        """Where messages are (``ts``) that seem to be a card of a request, the latest first.

        Whoever else may post there can write one that seems so: only its own app can change it.
        """
        asked = {"channel": room, "oldest": f"{since:.6f}"}
        return [
            str(each["ts"])
            async for each in self._messages("conversations.history", asked)
            if _is_about(each, request)
        ]

    async def lines(self, room: str, ts: str) -> set[str]:
        """The ids of the blocks in a thread that are from whom its first message is from."""
        found: set[str] = set()
        ours: object = None
        async for each in self._messages("conversations.replies", {"channel": room, "ts": ts}):
            ours = each.get("user") if each.get("ts") == ts else ours
            if ours is not None and each.get("user") == ours:
                found |= {str(block.get("block_id")) for block in each.get("blocks") or ()}
        return found

    async def _messages(self, method: str, asked: Mapping[str, Any]) -> AsyncIterator[_Message]:
        cursor: str | None = None
        for _ in range(PAGES):
            try:
                answer = await self._call(method, **asked, limit=PAGE, cursor=cursor)
            except SlackRefused as fault:
                self._blind(fault)
                return
            for each in answer.get("messages") or ():
                yield each
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                return

    def _blind(self, fault: SlackRefused) -> None:
        if fault.word not in self._refused:
            self._refused.add(fault.word)
            self._log.warn(
                "{fault} What was sent when an answer got lost may stand in Slack twice.",
                fault=f"{fault}",
            )


def _is_about(message: _Message, request: str) -> bool:
    """Whether a button of it is about the request."""
    elements = [
        each for block in message.get("blocks") or () for each in block.get("elements") or ()
    ]
    values = [each.get("value") for each in elements if isinstance(each, dict)]
    abouts = [About.read(value) for value in values if isinstance(value, str)]
    return any(about is not None and about.request == request for about in abouts)
