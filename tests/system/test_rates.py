"""A target that says how many calls it takes is not sent more; a reload forgets nothing of it."""

from __future__ import annotations

import time
from email.utils import formatdate

import orjson
import pytest
from support.gateway import health
from support.wire import answering
from system.test_reload import Desk


# What the folder's conftest makes for its other modules is not needed here.
@pytest.fixture(autouse=True)
def plain_answers():
    """Every desk begins with plain answers."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """Every desk looks after its own gateway."""


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def saying(remaining, seconds):
    """Answers that say so, by a clock that is an hour behind."""

    def handle(request, tls):
        now = int(time.time()) - 3600
        fields = {
            "Date": formatdate(now, usegmt=True),
            "X-Rate-Limit-Limit": 100,
            "X-Rate-Limit-Remaining": remaining,
            "X-Rate-Limit-Reset": now + seconds,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        tls.sendall(f"HTTP/1.1 200 OK\r\n{head}Content-Length: 2\r\n\r\n{{}}".encode())
        return True

    return handle


def test_it_is_told_to_come_again_and_health_says_so_until_then_whatever_is_reloaded(desk):
    desk.handler = saying(5, 200)
    with desk.serving(), desk.tunnel() as tunnel:
        assert health(desk.gateway)[1]["targets"] == {"state": "ok", "slowed_until": {}}
        assert tunnel.ask("GET", "/things").status == 200
        for _ in range(2):
            reply = tunnel.ask("GET", "/things")
            assert reply.status == 503
            assert orjson.loads(reply.body)["error"]["code"] == "jitgate:target-busy"
            assert 190 <= int(reply.header("Retry-After")) <= 206
            status, told = health(desk.gateway)
            assert (status, told["targets"]["state"]) == (200, "slowed")
            assert set(told["targets"]["slowed_until"]) == {"things"}
            desk.reload()
        assert tunnel.ask("GET", "/others").status == 200
    assert [each.line for each in desk.origin.received] == [
        "GET /things HTTP/1.1",
        "GET /others HTTP/1.1",
    ]


def test_it_goes_again_by_itself_once_the_window_is_over(desk):
    desk.handler = saying(0, 1)
    with desk.serving(), desk.tunnel() as tunnel:
        assert tunnel.ask("GET", "/things").status == 200
        reply = tunnel.ask("GET", "/things")
        assert reply.status == 503
        desk.handler = answering(b"{}")
        time.sleep(int(reply.header("Retry-After")))
        assert tunnel.ask("GET", "/things").status == 200
