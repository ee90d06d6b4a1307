"""Slack's Web API as `jitgate.approvers.slack.calls.Calls.call` gives it, without a network.

For what needs many hours or thousands of messages. What it answers is held against the counterpart
in `support.slack` by tests/approvers/slack/test_memory.py.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jitgate.errors import SlackBusy, SlackDown, SlackRefused

Json = dict[str, Any]

BOT = "U0JITGATE"
TIER_3 = 50


@dataclass
class Limits:
    """What is counted: messages of a second in each room, and updates of a minute in all."""

    a_room: float = 1.0
    burst: int = 3
    updates: int = TIER_3 + 10


@dataclass
class MemorySlack:
    """Rooms with messages. ``faults``: what becomes of the next calls, by method, in order.

    ``down`` before they are carried out, ``lost`` after; ``busy``; or the word of a refusal.
    """

    clock: IReactorTime
    limits: Limits | None = None
    people: dict[str, str] = field(default_factory=dict)
    """Slack users by their e-mail addresses."""
    profiles: dict[str, Json] = field(default_factory=dict)
    """What else is told of them, by their addresses."""
    rooms: dict[str, dict[str, Json]] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    """By which word a room refuses."""
    faults: dict[str, deque[str]] = field(default_factory=dict)
    is_down: bool = False
    calls: list[tuple[str, Json]] = field(default_factory=list)
    before: Callable[[str, Json], Deferred[None] | None] = lambda method, arguments: None
    """What a call waits for before it is carried out."""
    after: Callable[[str, Json], None] = lambda method, arguments: None
    """Called when it was carried out, before anybody hears of it."""
    _number: int = 0
    _times: dict[str, deque[float]] = field(default_factory=dict)

    async def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """What `Calls.call` promises."""
        told = {name: value for name, value in arguments.items() if value is not None}
        self.calls.append((method, told))
        waits = self.before(method, told)
        if waits is not None:
            await waits
        ordered = self.faults.get(method) or self.faults.get("*") or deque()
        fault = ordered.popleft() if ordered else "down" if self.is_down else ""
        if fault == "down":
            raise SlackDown("Slack does not answer: timed out.")
        if fault == "busy" or (not fault and self._is_too_much(method, told)):
            raise SlackBusy(method, 7.0)
        if fault and fault != "lost":
            raise SlackRefused(method, fault)
        answer = self._carried_out(method, told)
        self.after(method, told)
        if fault == "lost":
            raise SlackDown("Slack does not answer: ConnectionResetError.")
        return answer

    def _is_too_much(self, method: str, told: Json) -> bool:
        if self.limits is None or method not in {"chat.postMessage", "chat.update"}:
            return False
        posts = method == "chat.postMessage"
        within, most = (10.0, 10 * self.limits.a_room + self.limits.burst) if posts else (
            60.0, self.limits.updates
        )  # fmt: skip
        times = self._times.setdefault(told["channel"] if posts else method, deque())
        now = self.clock.seconds()
        while times and times[0] <= now - within:
            times.popleft()
        if len(times) >= most:
            return True
        times.append(now)
        return False

    def _carried_out(self, method: str, told: Json) -> Json:
        if method == "users.lookupByEmail":
            return self._found(told["email"])
        if method == "conversations.open":
            room = "D" + told["users"][1:]
            self.rooms.setdefault(room, {})
            return {"ok": True, "channel": {"id": room}}
        room = told["channel"]
        if room in self.closed:
            raise SlackRefused(method, self.closed[room])
        if room not in self.rooms:
            raise SlackRefused(method, "channel_not_found")
        carry = {
            "chat.postMessage": self._posted,
            "chat.update": self._updated,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
        }[method]
        return carry(room, self.rooms[room], told)

    def _found(self, email: str) -> Json:
        if email not in self.people:
            raise SlackRefused("users.lookupByEmail", "users_not_found")
        return {"ok": True, "user": {"id": self.people[email], **self.profiles.get(email, {})}}

    def _posted(self, room: str, messages: dict[str, Json], told: Json) -> Json:
        if "thread_ts" in told and told["thread_ts"] not in messages:
            raise SlackRefused("chat.postMessage", "thread_not_found")
        self._number += 1
        ts = f"{int(self.clock.seconds())}.{self._number:06d}"
        kept = {"text", "blocks", "thread_ts", "reply_broadcast"} & told.keys()
        message: Json = {"ts": ts, "user": BOT, **{name: told[name] for name in kept}}
        messages[ts] = message
        return {"ok": True, "channel": room, "ts": ts, "message": message}

    def _updated(self, room: str, messages: dict[str, Json], told: Json) -> Json:
        if told["ts"] not in messages:
            raise SlackRefused("chat.update", "message_not_found")
        if messages[told["ts"]]["user"] != BOT:
            raise SlackRefused("chat.update", "cant_update_message")
        messages[told["ts"]] |= {"text": told["text"], "blocks": told["blocks"]}
        return {"ok": True, "channel": room, "ts": told["ts"]}

    def _history(self, room: str, messages: dict[str, Json], told: Json) -> Json:
        since = float(told["oldest"])
        top = [each for each in messages.values() if not each.get("thread_ts")]
        return _page([each for each in reversed(top) if float(each["ts"]) >= since], told)

    def _replies(self, room: str, messages: dict[str, Json], told: Json) -> Json:
        ts = told["ts"]
        found = [e for e in messages.values() if ts in {e["ts"], e.get("thread_ts")}]
        return _page(found, told)

    # --- what a test looks at

    def cards(self, room: str) -> list[Json]:
        """The messages of a room that are in no thread, in order."""
        return [each for each in self.rooms[room].values() if "thread_ts" not in each]

    def thread(self, room: str, ts: str) -> list[str]:
        """The lines of a thread, in order, by the words that are in them."""
        replies = [each for each in self.rooms[room].values() if each.get("thread_ts") == ts]
        return [words(block) for each in replies for block in each["blocks"]]

    def counted(self) -> Counter[str]:
        """How often each method was called."""
        return Counter(method for method, _ in self.calls)


def words(block: Json) -> str:
    """The words of a rich text block; of a date its fallback, of a mention its id."""
    elements = [each for part in block["elements"] for each in part["elements"]]
    told = (
        each.get("text") or each.get("fallback") or f"<{each.get('usergroup_id')}>"
        for each in elements
    )
    return "".join(told)


def _page(found: list[Json], told: Json) -> Json:
    begin, size = int(told.get("cursor", "0")), told["limit"]
    more = f"{begin + size}" if begin + size < len(found) else ""
    return {
        "ok": True,
        "messages": found[begin : begin + size],
        "response_metadata": {"next_cursor": more},
    }
