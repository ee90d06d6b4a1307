"""What arrives at the Web API, what was shown to one person alone, and what a test orders."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from support.slack.blocks import Json


class Refused(Exception):
    """The method's answer is an error."""

    def __init__(self, error: str, **more: object) -> None:
        super().__init__(error)
        self.answer: Json = {"ok": False, "error": error, **more}


@dataclass(frozen=True)
class Call:
    """A call that arrived, with what came with it and what was answered."""

    method: str
    arguments: Json
    answer: Json
    status: int = 200
    at: float = field(default_factory=time.monotonic)
    """When, in seconds of a clock that only goes on."""


@dataclass
class Fault:
    """What becomes of the next calls of a method; `*` is any.

    They are answered late by `seconds`, and with `status` if there is one; a 429 bears
    `retry_after`. `lost`: they are done, and the connection is cut before the answer.
    """

    method: str
    times: int
    status: int | None = None
    retry_after: int = 1
    seconds: float = 0.0
    lost: bool = False


@dataclass(frozen=True)
class Ephemeral:
    """A message that one person alone saw, in a channel."""

    user: str
    channel: str
    text: str
    blocks: Sequence[Json]
    thread_ts: str | None = None
