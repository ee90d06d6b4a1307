"""Socket Mode: what people do in Slack comes through a connection that the gateway opens.

So nothing of the gateway's needs to be reached from outside. Slack's own client keeps the
connection up, in threads of its own; here it is begun, retried and ended.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final
from urllib.parse import urlsplit

from slack_bolt.adapter.socket_mode.internals import send_response
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jitgate.approvers.slack.bolt import SILENT, Bolt
from jitgate.approvers.slack.calls import BASE_URL, TIMEOUT, Client
from jitgate.errors import SlackBusy, SlackDown, SlackFault, traced

THREADS: Final = 32
"""Things that are done at a time: each takes two seconds at most."""

PING: Final = 2.0
"""Seconds between two looks at the connection, and so until one that has ended is opened again."""

BUFFER: Final = 64 * 1024
"""Bytes that are read at a time: Slack's client goes one call deeper for each piece it reads."""

FIRST, LONGEST = 1.0, 30.0
"""Seconds until it is tried again at a start: doubled each time, up to the second."""

STOP: Final = 5.0
"""Seconds for the connection to end when the gateway stops; its threads end with the process."""

Refused = Callable[[Mapping[str, object]], None]


class SocketMode:
    """A part of the service. Slack may be down when it starts: then it goes on trying.

    Args:
        bolt: What is sent is handed to it.
        token: The app's ("xapp-...").
        refused: Puts on record what was not let in, on the reactor.
        reactor: Where that is.
        base_url: Where the API is.
        trust: A PEM file of the authorities to believe, instead of the system's.
    """

    _log = Logger()

    def __init__(
        self,
        bolt: Bolt,
        token: str,
        refused: Refused,
        reactor: Any,
        *,
        base_url: str = BASE_URL,
        trust: Path | None = None,
    ) -> None:
        self._bolt = bolt
        self._refused = refused
        self._reactor = reactor
        self._web = Client(token, base_url, trust, TIMEOUT)
        self._web.ssl = ssl.create_default_context(cafile=trust)
        self._client: _Client | None = None
        self._stopping = Event()

    @property
    def down(self) -> str | None:
        """Why nothing comes in at present, for people."""
        client = self._client
        if client is not None and client.is_connected():
            return None
        return "There is no connection to Slack: nobody can answer there."

    async def start(self) -> None:
        """Begin to connect; nobody waits for it."""
        Thread(target=self._connect, name="slack-connect", daemon=True).start()

    async def stop(self) -> None:
        """End the connection; what is at hand is done first."""
        self._stopping.set()
        if self._client is None:
            return
        ended: Deferred[None] = Deferred()
        Thread(target=self._close, args=(ended,), name="slack-close", daemon=True).start()
        ended.addTimeout(STOP, self._reactor, lambda *_: None)
        await ended

    # --- in threads

    def _connect(self) -> None:
        """Until there is a connection: from then on Slack's client opens it again by itself."""
        pause, said = FIRST, False
        while not self._stopping.is_set():
            try:
                if self._client is None:
                    self._client = _Client(self._web, self._take)
                self._client.connect_to_new_endpoint()
            except Exception as fault:  # noqa: BLE001 (whatever it was, it is tried again)
                why = f"{fault}" if isinstance(fault, SlackFault) else traced(fault)
                if not said:
                    self._say(f"There is no connection to Slack yet: {why}")
                said = True
                busy = fault.retry_after if isinstance(fault, SlackBusy) else 0.0
                self._stopping.wait(max(pause, busy))
                pause = min(2 * pause, LONGEST)
            else:
                self._say("Connected to Slack.")
                return

    def _say(self, words: str) -> None:
        self._reactor.callFromThread(self._log.warn, "{words}", words=words)

    def _close(self, ended: Deferred[None]) -> None:
        client = self._client
        try:
            if client is not None:
                client.close()
        except Exception as fault:  # noqa: BLE001 (its threads end with the process)
            self._say(f"The connection to Slack did not end cleanly: {traced(fault)}")
        self._reactor.callFromThread(lambda: None if ended.called else ended.callback(None))

    def _take(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        """One envelope. Slack hears that it was taken once it is done."""
        begun = time.time()
        body = request.payload if isinstance(request.payload, dict) else {}
        response = self._bolt.enveloped(body, request.envelope_id)
        if response.status != 200:
            fields = {"why": response.body or "It is nothing that this app asks Slack for."}
            self._reactor.callFromThread(self._refused, fields)
        send_response(client, request, response, begun)


class _Client(SocketModeClient):
    """Slack's client, which logs nothing, and goes to Slack by no other way than told."""

    def __init__(
        self, web: Client, take: Callable[[BaseSocketModeClient, SocketModeRequest], None]
    ) -> None:
        self._not_before = 0.0
        super().__init__(
            app_token="-",  # noqa: S106 (`web` has it)
            logger=SILENT,
            web_client=web,
            ping_interval=PING,
            receive_buffer_size=BUFFER,
            concurrency=THREADS,
        )
        self.proxy = None  # no variable of the environment decides it
        self._web = web
        self.socket_mode_request_listeners.append(take)

    def connect(self) -> None:
        """Open a connection, of which it is seen when it ends. Raises `SlackDown`."""
        super().connect()
        session: Any = self.current_session
        if session.sock is None:
            raise SlackDown("Slack does not take the connection.")
        session.sock = _Socket(session.sock)

    def issue_new_wss_url(self) -> str:
        """Where to connect to, of Slack; in the clear only where Slack itself is called so."""
        wait = self._not_before - time.monotonic()
        if wait > 0:
            raise SlackBusy("Slack opens no more connections for now.", wait)
        try:
            url = self._web.answer("apps.connections.open", {}).get("url")
        except SlackBusy as busy:
            self._not_before = time.monotonic() + busy.retry_after
            raise
        if not isinstance(url, str) or not is_safe(url, self._web.base_url):
            raise SlackDown("Slack does not tell where to connect to.")
        return url


class _Socket:
    """A socket whose end is an error: Slack's client reads on for ever from one that has ended."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def recv(self, size: int) -> bytes:
        """What is there, or `ConnectionResetError` if nothing will be."""
        data: bytes = self._socket.recv(size)
        if not data:
            raise ConnectionResetError("the connection has ended")
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def is_safe(url: str, api: str) -> bool:
    """Whether a connection there is as safe as one to the API is.

    Slack's client speaks TLS at port 443 alone, whatever the scheme says.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if api.startswith("http:"):
        return parts.scheme in {"ws", "wss"}
    return parts.scheme == "wss" and port in {None, 443}
