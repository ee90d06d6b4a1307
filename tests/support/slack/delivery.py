"""Bringing payloads to the app: signed and posted to its request URL, or over Socket Mode.

docs.slack.dev: authentication/verifying-requests-from-slack, apis/events-api (retries),
interactivity/handling-user-interaction (3 seconds).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import aiohttp
from support.slack.blocks import Json
from support.slack.payloads import HONEST, Forgery, encoded
from support.slack.socket import Sockets

PATIENCE = 3.0
"""Seconds that Slack waits for an answer."""

RETRIES = (0.0, 0.05, 0.05)
"""Seconds before each retry of an event. With Slack the second comes after a minute and the third
after five."""

Kind = Literal["interactive", "events_api", "slash_commands"]
"""What a payload is, in Socket Mode's words."""


@dataclass(frozen=True)
class Answer:
    """What the app answered, and what it was sent.

    `status` is None when there was no answer, `failure` the reason in the words that the Events
    API has for it. Over Socket Mode an acknowledgement is a 200, with its payload as the body.
    `earlier` are the tries before this one.
    """

    status: int | None
    body: bytes
    seconds: float
    failure: str | None
    kind: Kind
    payload: Json
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    raw: bytes = field(default=b"", repr=False)
    again: bool = True
    earlier: tuple[Answer, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether Slack takes it for an acknowledgement."""
        return self.failure is None

    @property
    def json(self) -> Json:
        """The body; nothing if it is empty."""
        told: Json = json.loads(self.body) if self.body else {}
        return told


def signed(secret: str, body: bytes, at: float) -> dict[str, str]:
    """The headers of a signature, version v0."""
    stamp = str(int(at))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256)
    return {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={digest.hexdigest()}",
    }


class Courier:
    """Knows where the app is: at a request URL, or at the far end of a WebSocket."""

    def __init__(self, secret: str, sockets: Sockets) -> None:
        self.url: str | None = None
        self.secret = secret
        self.patience, self.retries = PATIENCE, RETRIES
        self._sockets = sockets
        self._trust: ssl.SSLContext | None = None
        self._session = aiohttp.ClientSession()

    def to(self, url: str | None, trust: Path | None = None) -> None:
        """Bring everything there from now on; None: over Socket Mode."""
        self.url = url
        self._trust = None if trust is None else ssl.create_default_context(cafile=str(trust))

    async def close(self) -> None:
        await self._session.close()

    async def bring(self, kind: Kind, payload: Json, forgery: Forgery = HONEST) -> Answer:
        """Send once, as the payload's kind has it."""
        forgery.change(payload)
        if self.url is None:
            return await self._over_socket(kind, payload, {})
        return await self._post(kind, payload, self._headers(kind, payload, forgery))

    async def bring_event(self, payload: Json, forgery: Forgery = HONEST) -> Answer:
        """Send an event, again and again until it is acknowledged or refused for good."""
        answer = await self.bring("events_api", payload, forgery)
        earlier: list[Answer] = []
        for number, delay in enumerate(self.retries, start=1):
            if answer.ok or not answer.again:
                break
            await asyncio.sleep(delay)
            earlier.append(answer)
            reason = answer.failure or "unknown_error"
            if self.url is None:
                more = {"retry_attempt": number, "retry_reason": reason}
                answer = await self._over_socket("events_api", payload, more)
                continue
            headers = {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": reason}
            headers |= self._headers("events_api", payload, forgery)
            answer = await self._post("events_api", payload, headers)
        return replace(answer, earlier=tuple(earlier))

    async def replay(self, answer: Answer) -> Answer:
        """Send the same bytes under the same signature; or the same envelope."""
        if self.url is None:
            return await self._over_socket(answer.kind, answer.payload, {}, answer.headers)
        return await self._post(answer.kind, answer.payload, answer.headers, answer.raw)

    def _headers(self, kind: Kind, payload: Json, forgery: Forgery) -> dict[str, str]:
        events = kind == "events_api"
        form = "application/x-www-form-urlencoded"
        headers = {
            "Content-Type": "application/json" if events else form,
            "Accept": "application/json,*/*",
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        }
        if forgery.secret is not None:
            secret = forgery.secret or self.secret
            headers |= signed(secret, _body(kind, payload), time.time() - forgery.age)
        return headers

    async def _post(
        self, kind: Kind, payload: Json, headers: Mapping[str, str], raw: bytes | None = None
    ) -> Answer:
        raw = _body(kind, payload) if raw is None else raw
        start = time.monotonic()
        assert self.url is not None
        status, body, again = None, b"", True
        try:
            async with self._session.post(
                self.url,
                data=raw,
                headers=headers,
                ssl=self._trust or True,
                timeout=aiohttp.ClientTimeout(self.patience),
                allow_redirects=False,
            ) as got:
                status, body = got.status, await got.read()
                again = got.headers.get("X-Slack-No-Retry") != "1"
                failure = None if 200 <= status < 300 else "http_error"
        except TimeoutError:
            failure = "http_timeout"
        except aiohttp.ClientSSLError:
            failure = "ssl_error"
        except aiohttp.ClientError:
            failure = "connection_failed"
        took = time.monotonic() - start
        return Answer(status, body, took, failure, kind, payload, headers, raw, again)

    async def _over_socket(
        self, kind: Kind, payload: Json, more: Json, envelope: Mapping[str, str] | None = None
    ) -> Answer:
        start = time.monotonic()
        number = (envelope or {}).get("envelope_id")
        accepts = kind != "events_api"
        number, told, failure = await self._sockets.send(
            kind, payload, accepts=accepts, patience=self.patience, envelope_id=number, more=more
        )
        took = time.monotonic() - start
        body = b"" if told is None else json.dumps(told).encode()
        status = None if failure else 200
        return Answer(status, body, took, failure, kind, payload, {"envelope_id": number})


def _body(kind: Kind, payload: Json) -> bytes:
    """Events are JSON, commands a form, interactions a form with JSON in one field."""
    if kind == "events_api":
        return encoded(payload).encode()
    fields: Any = payload if kind == "slash_commands" else {"payload": encoded(payload)}
    return urlencode(fields).encode()
