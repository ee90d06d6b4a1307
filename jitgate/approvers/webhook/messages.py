"""What a webhook is sent: an access request, or what has become of it, as far as it is new there.

Types, members and their order are a promise (docs/webhooks.md). Pure: the time is an argument.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from jitgate.approvers.seen import Seen
from jitgate.approvers.shapes import grant_content, instant, request_content
from jitgate.flow.standing import Standing
from jitgate.values import AccessRequest, AccessState, Use

OPENED: Final = "access_request.opened"
CHANGED: Final = "access_request.changed"
ENDED: Final = "access_request.ended"
GRANT: Final = "grant.changed"

BODY_CHARS: Final = 64 * 1024
"""Characters of a call's body that are sent along. Receivers take some 100 KiB, often no more."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is told, and up to which revision of the store the receiver knows it then."""

    id: str
    """The same wherever and however often it is sent."""
    type: str
    shows: int
    data: Mapping[str, object]

    def body(self, at: float) -> bytes:
        """Its bytes; ``at`` is when it came about, in seconds since 1970."""
        return orjson.dumps({"type": self.type, "timestamp": instant(at), "data": self.data})


def next_message(webhook: str, seen: Seen, shown: int) -> Message | None:
    """What to tell next a webhook that knows all up to revision ``shown``; None: nothing.

    Of what came in between nothing is told: a message has the whole state.
    """
    request, grant = seen.request, seen.grant
    if request.revision > shown:
        ended = request.state is not AccessState.PENDING
        kind = ENDED if ended else CHANGED if shown else OPENED
        content = _request(request, seen.standing)
        return _message(webhook, request.id, kind, request.revision, content)
    if grant is not None and grant.revision > shown:
        content = {**grant_content(grant), "last_use": _last(seen.uses)}
        return _message(webhook, request.id, GRANT, grant.revision, content)
    return None


def is_shown_whole(request: AccessRequest) -> bool:
    """Whether all that people can see of a call is in its messages."""
    body = request.ask.shown.body
    return body is None or len(body) <= BODY_CHARS


def _request(request: AccessRequest, standing: Standing) -> dict[str, object]:
    content = request_content(request, standing)
    if is_shown_whole(request):
        return {**content, "left_out": []}
    return {**content, "body": None, "left_out": ["body"]}


def _message(
    webhook: str, request: str, kind: str, revision: int, content: Mapping[str, object]
) -> Message:
    told = orjson.dumps([webhook, request, kind, revision])
    identifier = "msg_" + hashlib.sha256(told).hexdigest()[:32]
    return Message(identifier, kind, revision, {**content, "revision": revision})


def _last(uses: Sequence[Use]) -> dict[str, object] | None:
    """The use that was taken last: the exchange, and what the target answered."""
    if not uses:
        return None
    use = uses[-1]
    return {
        "exchange": use.id,
        "state": use.state.value,
        "status": use.status,
        "taken_at": instant(use.taken_at),
        "ended_at": None if use.ended_at is None else instant(use.ended_at),
    }
