"""A receiver of webhooks on loopback, which believes what the specification's own library does."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from standardwebhooks import Webhook
from support.loopback import Answer, _Everything
from twisted.internet.interfaces import IListeningPort
from twisted.web.http import Request
from twisted.web.server import Site


def secret(of: str) -> str:
    """A secret of that name, as the configuration wants it."""
    return "whsec" + "_" + base64.b64encode(of.encode().ljust(32, b".")).decode()


def called_back(
    data: Mapping[str, object],
    key: str,
    at: float,
    *,
    kind: str = "access_request.answer",
    **how: Any,
) -> tuple[dict[str, str], bytes]:
    """The fields and the body of a callback, signed by the library."""
    identifier = how.get("id", f"msg_{abs(hash(json.dumps(data, sort_keys=True)))}")
    body = how.get("body") or json.dumps({"type": kind, "data": data})
    moment = datetime.fromtimestamp(int(at), UTC)
    fields = {
        "webhook-id": identifier,
        "webhook-timestamp": f"{int(at)}",
        "webhook-signature": Webhook(key).sign(identifier, moment, body),
        "content-type": "application/json",
    }
    return fields, body.encode()


@dataclass(frozen=True)
class Received:
    """A message that the library has believed."""

    id: str
    type: str
    data: dict[str, Any]
    at: str
    body: bytes
    fields: Mapping[str, str]


class Receiver:
    """Serves plain HTTP; answers 204, or what ``answer`` says once it has been set."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.received: list[Received] = []
        self.tries = 0
        self.is_late = False
        """Whether the test's clock has gone on for longer than the library believes in."""
        self.answer: Callable[[Request], bytes | int] | None = None
        self._port: IListeningPort | None = None

    def start(self) -> None:
        from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

        site = Site(_Everything(cast(Answer, self.render)))
        self._port = cast("Any", reactor).listenTCP(0, site, interface="127.0.0.1")

    @property
    def url(self) -> str:
        assert self._port is not None
        return f"http://127.0.0.1:{cast('Any', self._port).getHost().port}/jitgate"

    async def stop(self) -> None:
        if self._port is not None:
            await cast("Any", self._port.stopListening())

    def status(self, code: int, **fields: str) -> None:
        """Answer so from now on, and take nothing."""

        def answer(request: Request) -> bytes:
            request.setResponseCode(code)
            for name, value in fields.items():
                request.setHeader(name.replace("_", "-"), value)
            return b""

        self.answer = answer

    def _believed(self, body: bytes, fields: Mapping[str, str]) -> Any:
        if not self.is_late:
            return Webhook(self.key).verify(body, dict(fields))
        at = datetime.fromtimestamp(int(fields["webhook-timestamp"]), UTC)
        right = Webhook(self.key).sign(fields["webhook-id"], at, body.decode())
        assert right in fields["webhook-signature"].split(" ")
        return json.loads(body)

    def render(self, request: Request) -> bytes | int:
        self.tries += 1
        assert request.content is not None
        body = request.content.read()
        fields = {
            name.decode().lower(): values[0].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        message = self._believed(body, fields)
        assert request.method == b"POST"
        assert fields["content-type"] == "application/json"
        if self.answer is not None:
            return self.answer(request)
        told = message["type"], message["data"], message["timestamp"]
        self.received.append(Received(fields["webhook-id"], *told, body, fields))
        request.setResponseCode(204)
        return b""
