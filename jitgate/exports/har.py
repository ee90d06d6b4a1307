"""A session as an HTTP Archive, HAR 1.2, which browser tools open.

What is not on record is left out, or -1 where the format wants a number, with a comment that says
so. Text stands as text where it is the UTF-8 of exactly the recorded bytes, else as base64.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jitgate.errors import JitgateError
from jitgate.exports.exchanges import KeptBody, Told, exchanges, instant, kept_body, text
from jitgate.exports.messages import messages, shown_messages
from jitgate.stores.lines import timestamp
from jitgate.stores.reading import Kept, Recording

VERSION = "1.2"
SPOKEN = "HTTP/1.1"
"""What targets are spoken to in; which version the agent spoke is not on record."""

NOWHERE = "https://not-recorded.invalid"
"""In the place of a host that is not on record (RFC 2606: there is none of that name)."""

UNREADABLE = "unreadable"
"""Names, in an entry's `_jitgate`, the bodies that should be on record and cannot be read."""

_TEXT = re.compile(r"[\t\n\r\x20-\x7e\x80-\U0010ffff]*")
_CHARSET = re.compile(r'charset\s*=\s*"?([^\s";]+)', re.IGNORECASE)
_IS_UTF8 = ("utf-8", "utf8", "us-ascii")

Content = dict[str, Any]


def har(
    recording: Recording, sessions: Sequence[Sequence[Kept]], version: str
) -> tuple[Content, Iterator[Content]]:
    """The archive without its entries, and these, as they are read.

    ``sessions`` has each one's entries by time, at least one; ``version`` is the writer's.
    """
    log: Content = {
        "version": VERSION,
        "creator": {"name": "jitgate", "version": version},
        "pages": [_page(number, entries) for number, entries in enumerate(sessions)],
        "comment": "As recorded: masked. Requests are as the target got them.",
    }
    found = (
        _entry(recording, told, _page_id(number)) | shown_messages(recording, said.get(told.id, ()))
        for number, entries in enumerate(sessions)
        for said in [messages(entries)]
        for told in exchanges(entries)
    )
    return log, found


def _page_id(number: int) -> str:
    return f"session_{number + 1}"


def _page(number: int, entries: Sequence[Kept]) -> Content:
    named = next((name for kept in entries if (name := kept.text("session"))), "")
    return {
        "startedDateTime": timestamp(instant(entries[0])),
        "id": _page_id(number),
        "title": named,
        "pageTimings": {},
    }


def _entry(recording: Recording, told: Told, page: str) -> Content:
    bodies = {name: kept_body(recording, told, name) for name in ("request", "response")}
    unreadable = [name for name, body in bodies.items() if isinstance(body, JitgateError)]
    return {
        "pageref": page,
        "startedDateTime": timestamp(told.started),
        "time": _millis(told.seconds),
        "request": _request(told, bodies["request"]),
        "response": _response(told, bodies["response"]),
        "cache": {},
        "timings": _timings(told),
        "_jitgate": {**_reasons(told), **({UNREADABLE: unreadable} if unreadable else {})},
    }


def _request(told: Told, body: KeptBody | JitgateError | None) -> Content:
    url = told.url
    request: Content = {
        "method": told.method or "",
        "url": url or f"{NOWHERE}{_path(told.target)}",
        "httpVersion": SPOKEN,
        "cookies": [],
        "headers": _named(told.asked_with),
        "queryString": _query(url or told.target or ""),
        "headersSize": -1,
        "bodySize": -1 if told.sent is None else told.sent,
    }
    if url is None:
        request["comment"] = "The host is not on record."
    if told.sent or isinstance(body, KeptBody):
        request["postData"] = {"mimeType": _kind(told.asked_with), **_post(told, body)}
    return request


def _named(fields: Sequence[tuple[str, str]]) -> list[Content]:
    return [{"name": name, "value": value} for name, value in fields]


def _kind(fields: Sequence[tuple[str, str]]) -> str:
    return next((value for name, value in fields if name.lower() == "content-type"), "")


def _post(told: Told, body: KeptBody | JitgateError | None) -> Content:
    """The text of a request's body; HAR has no base64 there."""
    if not isinstance(body, KeptBody):
        return {"text": "", "comment": _missing(told, body)}
    said = _text(body.data)
    if said is None:
        encoded = base64.b64encode(body.data).decode()
        return {"text": "", "comment": "It is no text: _base64 has it.", "_base64": encoded}
    return {"text": said, "comment": "As recorded: masked."}


def _response(told: Told, body: KeptBody | JitgateError | None) -> Content:
    fields = told.answer
    location = [value for name, value in fields if name.lower() == "location"]
    response: Content = {
        "status": told.status or 0,
        "statusText": "",
        "httpVersion": SPOKEN,
        "cookies": list(_cookies(fields)),
        "headers": _named(fields),
        "content": _content(told, body),
        "redirectURL": location[0] if location else "",
        "headersSize": -1,
        "bodySize": -1 if told.released is None else told.released,
    }
    if told.trailers:
        response["_trailers"] = _named(told.trailers)
    if told.outcome is None:
        response["comment"] = "What became of it is not on record."
    elif told.status is None:
        response["comment"] = "No answer was given."
    return response


def _content(told: Told, body: KeptBody | JitgateError | None) -> Content:
    kind = _kind(told.answer)
    released = told.released
    content: Content = {"size": -1 if released is None else released, "mimeType": kind}
    if not isinstance(body, KeptBody):
        return content | ({"text": ""} if released == 0 else {"comment": _missing(told, body)})
    if not body.whole:
        content["comment"] = f"The first {len(body.data)} of {body.of} bytes are on record."
    elif body.of != released:
        content["comment"] = "More is hidden in the record than was from the agent."
    said = _text(body.data) if _is_utf8(kind) else None
    if said is None:
        return content | {"text": base64.b64encode(body.data).decode(), "encoding": "base64"}
    return content | {"text": said}


def _missing(told: Told, body: JitgateError | KeptBody | None) -> str:
    """Why a body is not there."""
    if isinstance(body, JitgateError):
        return f"It cannot be read: {body}"
    if told.outcome is not None and told.outcome.text("record") == "head":
        return "Rules left it out of the record."
    return "It is not on record."


def _is_utf8(kind: str) -> bool:
    named = _CHARSET.search(kind)
    return named is None or named.group(1).lower() in _IS_UTF8


def _text(data: bytes) -> str | None:
    """What is the text of these bytes; None where there are others than a text's."""
    try:
        said = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return said if _TEXT.fullmatch(said) else None


def _timings(told: Told) -> Content:
    """Until it was sent, until the target answered, and the rest, as far as that is on record."""
    whole = told.seconds or 0.0
    parts = {name: told.part(name) for name in ("people", "credential", "connect")}
    wait, receive = told.part("answer"), told.part("body")
    if wait is None or receive is None:
        return _by_entries(told, whole)
    connect = parts["connect"] or 0.0
    blocked = max(whole - connect - wait - receive, 0.0)
    return {
        "blocked": _millis(blocked),
        "dns": -1,
        "connect": _millis(connect),
        "ssl": -1,
        "send": 0,
        "wait": _millis(wait),
        "receive": _millis(receive),
        **{f"_{name}": _millis(parts[name]) for name in _WAITED if parts[name] is not None},
        "comment": "blocked: until it could be sent, by people if they were asked (_people), with "
        "what its credential took (_credential). connect: with names looked up and TLS.",
    }


_WAITED = ("people", "credential")


def _by_entries(told: Told, whole: float) -> Content:
    """Until it was known whether it may go, and the rest; more is not on record."""
    waited = 0.0 if told.let_go is None else min(max(told.let_go - told.started, 0.0), whole)
    return {
        "blocked": _millis(waited),
        "dns": -1,
        "connect": -1,
        "ssl": -1,
        "send": 0,
        "wait": _millis(whole - waited),
        "receive": 0,
        "comment": "blocked: until it was decided, by people if they were asked. wait: the rest.",
    }


def _millis(seconds: float | None) -> float:
    return round((seconds or 0.0) * 1000, 3)


def _reasons(told: Told) -> Content:
    """Who let it pass, and why, which HAR has no fields for."""
    decided: Mapping[str, Any] = {} if told.decision is None else told.decision.content
    came: Mapping[str, Any] = {} if told.outcome is None else told.outcome.content
    spent: Mapping[str, Any] = {} if told.spent is None else told.spent.content
    entries = (told.decision, told.spent, told.outcome)
    known = {
        "exchange": told.id,
        "entries": [kept.name for kept in entries if kept is not None],
        "target": text(told.operation, "target"),
        "action": text(told.operation, "action"),
        **{name: decided.get(name) for name in ("subject", "effect", "rule", "reason", "policy")},
        "approved_by": spent.get("approved_by"),
        **{name: came.get(name) for name in ("outcome", "denial", "why", "masks", "grant")},
    }
    return {name: value for name, value in known.items() if value is not None}


def _path(target: str | None) -> str:
    return target if target is not None and target.startswith("/") else "/"


def _query(url: str) -> list[Content]:
    try:
        query = urlsplit(url).query
    except ValueError:
        return []
    pairs = parse_qsl(query, keep_blank_values=True, errors="backslashreplace")
    return [{"name": name, "value": value} for name, value in pairs]


def _cookies(fields: Sequence[tuple[str, str]]) -> Iterator[Content]:
    for name, value in fields:
        if name.lower() == "set-cookie":
            key, _, said = value.split(";", 1)[0].partition("=")
            yield {"name": key.strip(), "value": said.strip()}
