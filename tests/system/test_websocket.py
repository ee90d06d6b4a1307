"""WebSockets through the gateway, between a client and a server that nobody here wrote."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import orjson
import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target, wait_for
from support.tokens import Tokens
from support.wire import Tunnel
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

SECRET = "upstream-credential-0001"
"""Of the gateway's for the target."""


class Rooms:
    """A server of WebSockets by `websockets`: what is said in a room depends on its path."""

    def __init__(self, leaf) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(leaf.cert, leaf.key)
        self._loop = asyncio.new_event_loop()
        self.heads = []
        self.heard = []
        self.ends = []
        self.read = threading.Event()
        self.open = 0

    def __enter__(self):
        started = threading.Event()
        threading.Thread(target=self._run, args=(started,), daemon=True).start()
        assert started.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._done.set_result, None)

    def _run(self, started):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(started))
        self._loop.close()

    async def _serve(self, started):
        self._done = self._loop.create_future()
        how = {"ssl": self._tls, "select_subprotocol": _chosen, "max_size": None}
        async with serve(self._room, "127.0.0.1", 0, ping_interval=None, **how) as server:
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            await self._done

    async def _room(self, socket):
        self.heads.append(dict(socket.request.headers.raw_items()))
        self.open += 1
        try:
            await self._talk(socket, socket.request.path)
        except ConnectionClosed as ended:
            self.ends.append(ended.rcvd and (ended.rcvd.code, ended.rcvd.reason))
        finally:
            self.open -= 1

    async def _talk(self, socket, path):
        if path == "/v1/bye":
            await socket.close(4001, f"away with {SECRET}")
        elif path == "/v1/gone":
            socket.transport.abort()
        elif path == "/v1/flood":
            while True:
                await socket.send("x" * 65536)
        elif path == "/v1/deaf":
            await asyncio.to_thread(self.read.wait, 30)
        async for message in socket:
            self.heard.append(message)
            await socket.send(message)


def _chosen(_, offered):
    return offered[0] if offered else None


ROOMS = ["room", "bye", "gone", "flood", "denied"]
RULES = [
    {
        "name": "all",
        "reason": "A test.",
        "match": {"paths": [f"/v1/{each}" for each in ROOMS], "groups": ["it-agents"]},
        "effect": "permit",
        "mask": "rooms",
    },
    {
        "name": "files",
        "reason": "They hold no secret.",
        "match": {"paths": ["/v1/files"], "groups": ["it-agents"]},
        "effect": "permit",
        "mask": "files",
    },
    {
        "name": "no-reads-alone",
        "reason": "A WebSocket is no read.",
        "match": {"paths": ["/v1/denied"]},
        "when": 'has(operation.parameters.upgrade) && operation.parameters.upgrade == "websocket"',
        "effect": "deny",
    },
]
PROFILES = [
    {"profile": "rooms", "names": ["password"], "detectors": ["e-mail"]},
    {"profile": "files", "names": ["password"], "passes": ["GET"]},
]


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens = Tokens(folder)
        self.ca = TestCA.create(folder, name="origin")
        self.front = TestCA.create(folder, name="front")
        self.rooms = Rooms(self.ca.leaf("api.example"))
        leaf = self.front.leaf("localhost")
        for made, name in ((leaf.key, "front.key"), (leaf.cert, "front.pem")):
            shutil.move(made, folder / name)

    @property
    def settings(self):
        folder = self.folder
        (folder / "policy.yaml").write_bytes(orjson.dumps(RULES))
        (folder / "masking.yaml").write_bytes(orjson.dumps(PROFILES))
        (folder / "secret").write_text(SECRET)
        (folder / "secret").chmod(0o600)
        credential = {"type": "static", "header": "X-Key", "value": "file:./secret"}
        taken = {"paths": ["/v1/{room}"], "protocols": ["chat.v1"]}
        far = target(self.rooms.port, self.ca.pem, credential=credential, websocket=taken)
        reverse = {
            "address": "127.0.0.1:0",
            "cert": "./front.pem",
            "key": "file:./front.key",
            "hosts": {"localhost": "api.example"},
        }
        listen = {"proxy": "127.0.0.1:0", "admin": "127.0.0.1:0", "reverse": reverse}
        limits = {"message_bytes": "64KiB", "stop": "3s"}
        more = {"control": {"operators": {os.getuid(): "root@acme.example"}}}
        more |= {"masking": ["./masking.yaml"], "listen": listen, "limits": limits}
        return settings(folder, self.tokens.jwks, [far], **more)

    def connect(self, path="/v1/room", subject="bot-7", **how):
        """A WebSocket by `websockets` through the proxy."""
        host, port = self.gateway.proxy
        proxy = f"http://run:{self.tokens.token(subject)}@{host}:{port}"
        tls = ssl.create_default_context(cafile=str(self.gateway.ca))
        return connect(f"wss://api.example{path}", ssl=tls, proxy=proxy, ping_interval=None, **how)

    def outcome(self):
        """The last outcome, once every exchange has one."""

        def last():
            entries = self.gateway.all_entries()
            decided = [each for each in entries if each["type"] == "decision"]
            ended = [each for each in entries if each["type"] == "outcome"]
            return ended[-1] if len(decided) == len(ended) else None

        return wait_for(last)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    made = Desk(tmp_path_factory.mktemp("desk"))
    with made.rooms, GatewayProcess(made.folder, made.settings) as made.gateway:
        yield made
    assert not [line for line in made.gateway.output if "Traceback" in line or "critical" in line]


def test_messages_pass_both_ways_and_stand_on_record(desk):
    async def talk():
        async with desk.connect() as socket:
            await socket.send('{"n": 1.10}')
            first = await socket.recv()
            await (await socket.ping(b"there?"))
            await socket.send("[" + "1," * 20000 + "1]")
            second = await socket.recv()
            await socket.close(4002, "thanks")
            return first, len(second), socket.close_code

    assert asyncio.run(talk()) == ('{"n": 1.10}', 40003, 4002)
    outcome = desk.outcome()
    assert outcome["outcome"] == "completed"
    assert outcome["status"] == 101
    assert outcome["messages"] == {"agent": 2, "target": 2}
    assert outcome["close"] == {"by": "agent", "code": 4002}
    said = desk.gateway.entries("message")
    assert [(each["by"], each["number"], each["kind"], each["bytes"]) for each in said] == [
        ("agent", 1, "text", 11),
        ("target", 1, "text", 11),
        ("agent", 2, "text", 40003),
        ("target", 2, "text", 40003),
    ]
    assert wait_for(lambda: desk.rooms.ends)[-1] == (4002, "thanks")
    head = desk.rooms.heads[-1]
    assert head["X-Key"] == SECRET
    assert "Authorization" not in head
    assert "Sec-WebSocket-Extensions" not in head
    decision = desk.gateway.entries("decision")[-1]
    assert decision["operation"]["parameters"] == {"upgrade": "websocket"}
    kinds = [each["type"] for each in desk.gateway.all_entries()]
    assert kinds.index("decision") < kinds.index("message") < kinds.index("outcome")


def test_what_the_agent_must_not_see_is_masked_in_messages_to_it(desk):
    async def talk():
        async with desk.connect() as socket:
            seen = []
            for said in (
                '{"password": "hush-hush", "a": 1}',
                "write to ada@acme.example",
                f"your key is {SECRET}",
            ):
                await socket.send(said)
                seen.append(await socket.recv())
            return seen

    first, second, third = asyncio.run(talk())
    assert "hush-hush" not in first
    assert json.loads(first)["a"] == 1
    assert "ada@acme.example" not in second
    assert SECRET not in third
    assert desk.rooms.heard[-3:][0] == '{"password": "hush-hush", "a": 1}'
    outcome = desk.outcome()
    assert outcome["masks"]["credential"] == 1
    recorded = b"".join(each.read_bytes() for each in desk.gateway.recordings.rglob("*.jsonl"))
    assert b"hush-hush" not in recorded


def test_binary_passes_only_where_a_profile_says_that_it_holds_no_secret(desk):
    async def talk(path):
        async with desk.connect(path) as socket:
            await socket.send(b"\x00\x01")
            return await socket.recv()

    assert asyncio.run(talk("/v1/files")) == b"\x00\x01"
    with pytest.raises(ConnectionClosed) as ended:
        asyncio.run(talk("/v1/room"))
    assert ended.value.rcvd.code == 1008
    outcome = desk.outcome()
    assert (outcome["outcome"], outcome["denial"]) == ("truncated", "response-withheld")


@pytest.mark.parametrize(
    ("path", "code", "outcome", "by"),
    [("/v1/bye", 4001, "completed", "target"), ("/v1/gone", 1011, "truncated", "gateway")],
)
def test_the_targets_end_is_the_agents_once_it_is_on_record(desk, path, code, outcome, by):
    async def talk():
        async with desk.connect(path) as socket:
            await socket.recv()

    with pytest.raises(ConnectionClosed) as ended:
        asyncio.run(talk())
    assert ended.value.rcvd.code == code
    assert SECRET not in ended.value.rcvd.reason
    entry = desk.gateway.entries("outcome")[-1]  # it was durable before
    assert (entry["outcome"], entry["close"]) == (outcome, {"by": by, "code": code})


def test_a_message_that_is_too_large_ends_it_in_either_direction(desk):
    async def talk(path, said):
        async with desk.connect(path) as socket:
            if said:
                await socket.send(said)
            while True:
                await socket.recv()

    for path, said, denial in (
        ("/v1/room", "x" * 65537, "body-too-large"),
        ("/v1/room", ["x" * 60000] * 2, "body-too-large"),
    ):
        before = len(desk.rooms.heard)
        with pytest.raises(ConnectionClosed) as ended:
            asyncio.run(talk(path, said))
        assert ended.value.rcvd.code == 1009
        assert desk.outcome()["denial"] == denial
        assert len(desk.rooms.heard) == before


@pytest.mark.parametrize(
    ("path", "how", "status"),
    [
        ("/v2/room", {}, 400),
        ("/v1/denied", {}, 403),
        ("/v1/room", {"origin": "https://evil.example"}, 403),
        ("/v1/room", {"origin": "https://api.example"}, None),
    ],
)
def test_what_is_not_to_be_opened_is_refused_before_anything_leaves(desk, path, how, status):
    async def talk():
        async with desk.connect(path, **how):
            return

    before = len(desk.rooms.heads)
    if status is None:
        asyncio.run(talk())
        assert "Origin" not in desk.rooms.heads[-1]
        return
    with pytest.raises(InvalidStatus) as refused:
        asyncio.run(talk())
    assert refused.value.response.status_code == status
    assert len(desk.rooms.heads) == before


def test_only_a_subprotocol_of_the_configuration_is_offered(desk):
    async def talk(*names):
        async with desk.connect(subprotocols=names) as socket:
            return socket.subprotocol

    assert asyncio.run(talk("chat.v2", "chat.v1")) == "chat.v1"
    assert desk.rooms.heads[-1]["Sec-WebSocket-Protocol"] == "chat.v1"
    assert asyncio.run(talk("bearer.token-of-the-agent")) is None
    assert "Sec-WebSocket-Protocol" not in desk.rooms.heads[-1]


def test_an_agent_that_reads_nothing_holds_the_target_back(desk):
    async def talk():
        async with desk.connect("/v1/flood", max_queue=1) as socket:
            await asyncio.sleep(1.0)
            so_far = len(desk.gateway.entries("message"))
            await asyncio.sleep(0.5)
            assert len(desk.gateway.entries("message")) == so_far
            for _ in range(so_far + 5):
                await socket.recv()

    asyncio.run(talk())
    wait_for(lambda: desk.rooms.open == 0)


def test_it_works_at_a_host_of_the_gateway_s_own(desk):
    async def talk():
        tls = ssl.create_default_context(cafile=str(desk.front.pem))
        fields = {"Authorization": f"Bearer {desk.tokens.token()}"}
        url = f"wss://localhost:{desk.gateway.ports['reverse']}/v1/room"
        own = url.replace("wss", "https").removesuffix("/v1/room")
        how = {"ssl": tls, "proxy": None, "additional_headers": fields, "origin": own}
        async with connect(url, **how) as socket:
            await socket.send("hello")
            return await socket.recv()

    assert asyncio.run(talk()) == "hello"


def test_revoking_its_subject_ends_it_at_once(desk):
    async def talk():
        async with desk.connect(subject="bot-8") as other, desk.connect(subject="bot-9") as socket:
            await socket.send("a")
            await socket.recv()
            command = [sys.executable, "-m", "jitgate", "subjects", "revoke", "bot-9"]
            command += ["--config", str(desk.gateway.config)]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, timeout=30, check=False
            )
            assert done.returncode == 0, done.stderr
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 10)
            await other.send("b")
            assert await other.recv() == "b"

    asyncio.run(talk())
    cut = wait_for(
        lambda: [
            each for each in desk.gateway.entries("outcome") if "revoked" in str(each.get("why"))
        ]
    )
    assert (cut[-1]["outcome"], cut[-1]["messages"]) == ("truncated", {"agent": 1, "target": 1})
    wait_for(lambda: desk.rooms.open == 0)


HANDSHAKE = (
    b"GET /v1/room HTTP/1.1\r\nHost: api.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.mark.parametrize(
    "change",
    [
        (b"GET ", b"POST "),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"Version: 13", b"Version: 12"),
        (b"AA==\r\n", b"A=\r\n"),
        (b"Upgrade: websocket", b"Upgrade: websocket, h2c"),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"Connection: Upgrade\r\n", b""),
        (b"Host:", b"Content-Length: 3\r\nHost:"),
        (b"Host:", b"Transfer-Encoding: chunked\r\nHost:"),
    ],
)
def test_a_handshake_that_is_not_plainly_one_is_refused(desk, change):
    before = len(desk.rooms.heads)
    with Tunnel(desk.gateway.proxy, desk.gateway.ca, desk.tokens.token()) as tunnel:
        tunnel.send(HANDSHAKE.replace(*change) + b"\r\n")
        assert tunnel.reply().status == 400
    assert len(desk.rooms.heads) == before


def test_what_follows_a_refused_handshake_is_never_read_as_a_request(desk):
    before = len(desk.rooms.heads)
    with Tunnel(desk.gateway.proxy, desk.gateway.ca, desk.tokens.token()) as tunnel:
        smuggled = b"GET /v1/room HTTP/1.1\r\nHost: api.example\r\n\r\n"
        tunnel.send(HANDSHAKE.replace(b"/v1/room", b"/v1/denied") + b"\r\n" + smuggled)
        assert tunnel.reply().status == 403
        with contextlib.suppress(OSError):
            assert tunnel.tls.recv(65536) == b""
    assert len(desk.rooms.heads) == before


def test_frames_that_are_none_end_it(desk):
    with Tunnel(desk.gateway.proxy, desk.gateway.ca, desk.tokens.token()) as tunnel:
        tunnel.send(HANDSHAKE + b"\r\n")
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += tunnel.tls.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=" in answer
        tunnel.send(b"\x81\x02hi")  # not masked
        assert tunnel.tls.recv(65536)[2:4] == (1002).to_bytes(2)
    assert desk.outcome()["denial"] == "malformed-request"


def test_a_stop_ends_what_is_open(tmp_path):
    desk = Desk(tmp_path)

    async def talk():
        async with desk.connect() as socket:
            await socket.send("a")
            await socket.recv()
            stopping = asyncio.get_running_loop().run_in_executor(None, desk.gateway.stop)
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert await stopping == 0

    with desk.rooms, GatewayProcess(tmp_path, desk.settings) as desk.gateway:
        asyncio.run(talk())
        entries = desk.gateway.entries("outcome")
    assert (entries[-1]["outcome"], entries[-1]["denial"]) == ("truncated", "cut-short")
