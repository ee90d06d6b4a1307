"""Calls, each a function that knows how it must end.

What does not end so is a `Trouble`, which a fault of the site explains or nothing does. Faults that
are of one call alone (a target that resets, an agent that goes away) are expected by that call.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import time
from itertools import count

import orjson
from support.http2 import Agent2, asking
from support.wire import Reply

from .agent import JSON, PATIENCE, Agent, Unexpected, same
from .far import BODY
from .site import HOST, OWN_HOST, USER

_numbers = count(1)


def read(agent: Agent) -> None:
    path = agent.path("read")
    body = agent.expect(agent.kept.ask("GET", path), path, 200)
    same(orjson.loads(body)["path"], path)


def once(agent: Agent) -> None:
    path = agent.path("read")
    with agent.tunnel() as tunnel:
        agent.expect(tunnel.ask("GET", path), path, 200)


def okta(agent: Agent) -> None:
    path = f"{USER}?n={next(_numbers)}"
    org = agent.site.org
    assert org is not None
    with agent.tunnel(authority=f"{org.host}:443", sni=org.host) as tunnel:
        tunnel.send(f"GET {path} HTTP/1.1\r\nHost: {org.host}\r\n\r\n".encode())
        body = agent.expect(tunnel.reply(), path, 200)
        same(orjson.loads(body)["profile"]["login"], "alice@acme.example")


def http2(agent: Agent) -> None:
    with agent.tunnel(alpn=("h2",)) as tunnel:
        h2 = Agent2(tunnel)
        paths = [agent.path("read") for _ in range(agent.chance.randint(1, 8))]
        streams = [h2.ask(asking(b"GET", path.encode())) for path in paths]
        for number, path in zip(streams, paths, strict=True):
            got = h2.answer(number)
            if got.reset is not None or not got.ended:
                raise Unexpected(f"RST_STREAM {got.reset}, GOAWAY {h2.goaway}")
            agent.expect(Reply(got.status, [], got.body), path, 200)


def reverse(agent: Agent) -> None:
    site = agent.site
    context = ssl.create_default_context(cafile=str(site.front.pem))
    raw = socket.create_connection(("127.0.0.1", site.gateway.ports["reverse"]), PATIENCE)
    with raw, context.wrap_socket(raw, server_hostname=OWN_HOST) as tls:
        for _ in range(agent.chance.randint(1, 4)):
            path = agent.path("read")
            head = f"GET {path} HTTP/1.1\r\nHost: {OWN_HOST}\r\nAuthorization: Bearer "
            head += agent.token
            tls.sendall(f"{head}\r\nJitgate-Session: run\r\n\r\n".encode())
            response = http.client.HTTPResponse(tls)
            response.begin()
            agent.expect(Reply(response.status, [], response.read()), path, 200)


def upload(agent: Agent) -> None:
    path, data = agent.path("up"), agent.chance.randbytes(agent.chance.choice([10, 5000, 150_000]))
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/octet-stream\r\n"
    if agent.chance.random() < 0.5:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
        message = head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body
    else:
        message = head.encode() + b"Content-Length: %d\r\n\r\n" % len(data) + data
    tunnel = agent.kept
    tunnel.send(message)
    told = orjson.loads(agent.expect(tunnel.reply(), path, 200))
    same(told["sha256"], hashlib.sha256(data).hexdigest())


def download(agent: Agent) -> None:
    path = agent.path("body")
    same(len(agent.expect(agent.kept.ask("GET", path), path, 200)), BODY)


def denied(agent: Agent) -> None:
    path = agent.path("denied")
    agent.expect(agent.kept.ask("GET", path), path, 403)


def own_pages(agent: Agent) -> None:
    authority = "jitgate.internal"
    with agent.tunnel(authority=f"{authority}:443", sni=authority) as tunnel:
        tunnel.send(f"GET /access-requests HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        same(tunnel.reply().status, 200)


# --- calls whose target fails


def reset(agent: Agent) -> None:
    path = agent.path("reset")
    agent.expect(agent.kept.ask("GET", path), path, 502)


def malformed(agent: Agent) -> None:
    path = agent.path("malformed")
    try:
        agent.expect(agent.kept.ask("GET", path), path, 502)
    except (OSError, http.client.HTTPException):
        agent.hang_up()  # what is malformed in the body cuts the response short


def cut(agent: Agent) -> None:
    path = agent.path("cut")
    try:
        status = agent.kept.ask("GET", path).status
    except (OSError, http.client.HTTPException):
        agent.hang_up()
    else:
        raise Unexpected(f"{status} of a response that broke off")


def stall(agent: Agent) -> None:
    path = agent.path("stall")
    with agent.tunnel() as tunnel:
        agent.expect(tunnel.ask("GET", path), path, 502)


# --- agents that misbehave


def vanish(agent: Agent) -> None:
    """Go away somewhere in a call."""
    kind, method = agent.chance.choice([("body", "GET"), ("held", "POST"), ("events", "GET")])
    path = agent.path(kind)
    body = b'{"a":1}' if method == "POST" else b""
    length = f"{JSON}Content-Length: {len(body)}\r\n" if body else ""
    message = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{length}\r\n".encode() + body
    with agent.tunnel() as tunnel:
        tunnel.send(message[: agent.chance.randint(1, len(message))])
        time.sleep(agent.chance.choice([0, 0.05, 0.5]))
        if agent.chance.random() < 0.5:
            # As one that is killed: no word of TLS, and its host resets.
            linger = (1).to_bytes(4, "little") + bytes(4)
            tunnel.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def slowly(agent: Agent) -> None:
    path = agent.path("slowly")
    with agent.tunnel() as tunnel:
        tunnel.send(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        got = 0
        while got < BODY:
            piece = tunnel.tls.recv(32768)
            if not piece:
                raise Unexpected("a slow reader was cut off")
            got += len(piece)
            time.sleep(0.05)


def garbled(agent: Agent) -> None:
    """What is no request."""
    with agent.tunnel() as tunnel:
        head = agent.chance.choice(
            [
                b"GET / HTTP/1.1\r\nHost: api.example\r\nHost: api.example\r\n\r\n",
                b"GET /\r\n HTTP/1.1\r\n\r\n",
                b"\r\n".join(
                    (
                        *(b"POST /up/1 HTTP/1.1", b"Host: api.example", b"Content-Length: 1"),
                        *(b"Transfer-Encoding: chunked", b"", b"0", b"", b""),
                    )
                ),
            ]
        )
        tunnel.send(head)
        same(tunnel.reply().status, 400)


def elsewhere(agent: Agent) -> None:
    """A host that no target names."""
    try:
        agent.tunnel(authority="other.example:443", sni="other.example").close()
    except Unexpected as said:
        if " 403 " not in f"{said} ":
            raise
    else:
        raise Unexpected("a tunnel to a host that no target names")


def expired(agent: Agent) -> None:
    """A token that expires while its tunnel is open."""
    first, second = agent.path("read"), agent.path("read")
    token = agent.site.tokens.token(agent.subject, life=2)
    with agent.tunnel(token=token) as tunnel:
        # A busy machine may take two seconds for a tunnel.
        agent.expect(tunnel.ask("GET", first), first, 200, 401)
        time.sleep(2.5)
        try:
            agent.expect(tunnel.ask("GET", second), second, 401)
        except (OSError, http.client.HTTPException):
            """A tunnel that was opened with a bad token, or has just been told, is not kept."""
