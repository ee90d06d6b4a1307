"""Posts checkpoints in a Slack channel, where people see them.

Whoever has the app's token can take back what it has posted, unless the workspace forbids that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from zope.interface import implementer

from jitgate.errors import CheckpointNotKept, SlackFault
from jitgate.interfaces import IKeeper

NOTE_CHARS: Final = 3000
"""Of a note: what Slack takes of a text (docs.slack.dev: composition-objects/text-object). Ours
have some 200; one that was cut would be worth nothing."""

_HOW: Final = (
    "To check a copy of the recording by it, put each box in a file, with a line end behind its "
    "last line: jitgate verify COPY --checkpoint NOTE --key KEY. The key is in force by what this "
    "gateway says; compare it with the one that you have."
)


class Call(Protocol):
    """A call of Slack's Web API; raises `SlackFault`."""

    def __call__(self, method: str, **arguments: object) -> Awaitable[Mapping[str, Any]]: ...


@implementer(IKeeper)
class SlackKeeper:
    """One channel, by its id; ``close`` ends the calls.

    ``public_key`` gives the text form of the key in force. What was posted and not acknowledged is
    posted again: a checkpoint that stands there twice says nothing else.
    """

    def __init__(
        self,
        name: str,
        channel: str,
        *,
        every: float,
        call: Call,
        public_key: Callable[[], str],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self.name = name
        self.every = every
        self._channel = channel
        self._call = call
        self._public_key = public_key
        self._close = close

    async def keep(self, note: bytes) -> None:
        text = note.decode()
        if len(text) > NOTE_CHARS:
            raise CheckpointNotKept(
                f"The keeper {self.name} takes no checkpoint of {len(text)} characters."
            )
        origin, size, *_ = text.split("\n")
        said = f"Checkpoint of the recording of {origin}: {size} entries of its site log"
        boxes = [_box(text), _box(self._public_key())]
        try:
            await self._call(
                "chat.postMessage",
                channel=self._channel,
                text=said,
                blocks=[{"type": "rich_text", "elements": [_line(said), *boxes, _line(_HOW)]}],
                unfurl_links=False,
            )
        except SlackFault as fault:
            raise CheckpointNotKept(f"The keeper {self.name}: {fault}") from fault

    async def stop(self) -> None:
        await self._close()


def _line(text: str) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}


def _box(text: str) -> dict[str, Any]:
    """As it stands: nothing in it is a link, a name or an emoji."""
    return {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}
