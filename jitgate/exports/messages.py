"""What a WebSocket's two sides said, as browser tools show it beside its handshake."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from jitgate.errors import JitgateError
from jitgate.exports.exchanges import instant
from jitgate.stores.reading import Kept, Recording

_TEXT, _BINARY = 1, 2
"""Opcodes of frames (RFC 6455, section 5.2)."""


def messages(entries: Iterable[Kept]) -> Mapping[str, list[Kept]]:
    """The messages among entries, by their exchange, in order."""
    found: dict[str, list[Kept]] = {}
    for kept in entries:
        key = kept.text("exchange") if kept.type == "message" else None
        if key is not None:
            found.setdefault(key, []).append(kept)
    return found


def shown_messages(recording: Recording, said: Iterable[Kept]) -> dict[str, Any]:
    """What an entry of HAR has beside it, in the members that Chromium's tools write and read."""
    shown = [_message(recording, kept) for kept in said]
    return {"_resourceType": "websocket", "_webSocketMessages": shown} if shown else {}


def _message(recording: Recording, kept: Kept) -> dict[str, Any]:
    is_text = kept.text("kind") == "text"
    message: dict[str, Any] = {
        "type": "send" if kept.text("by") == "agent" else "receive",
        "time": instant(kept),
        "opcode": _TEXT if is_text else _BINARY,
        "data": "",
    }
    if "message" not in kept.part("bodies"):
        return {**message, "_comment": "It is not on record."}
    try:
        data = recording.body(kept, "message")
    except (JitgateError, OSError):
        return {**message, "_comment": "It cannot be read."}
    text = data.decode("utf-8", "replace") if is_text else base64.b64encode(data).decode()
    return {**message, "data": text}
