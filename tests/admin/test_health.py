"""The admin port: health and nothing else, and whoever looks for more is on record."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher

from jitgate.admin.bounds import A_MINUTE, BODY_BYTES, Refusals
from jitgate.admin.health import AdminSite
from jitgate.admin.metrics import Metrics, Reading
from jitgate.admin.phase import STARTS, STOPS
from jitgate.core.tally import COMMIT_SECONDS, ENTRIES, FAMILIES, Family, Tally


class Door:
    """The site, served; what it notes, and what the recorder is said to be."""

    def __init__(self):
        self.noted, self.down, self.clock = [], None, Clock()
        self.store_down = None
        down = {"recorder": lambda: self.down, "store": lambda: self.store_down}
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self.off, self.slowed = [], {}
        self.phase = None
        self.tally = Tally()
        self.readings = []
        counts = lambda: dict(self.tally.rows())
        self.site = AdminSite(
            endpoint,
            down,
            Refusals(self.noted.append, self.clock),
            lambda: self.off,
            slowed=lambda: self.slowed,
            phase=lambda: self.phase,
            metrics=Metrics(counts, lambda: self.readings, reactor),
        )

    async def ask(self, path, method="GET"):
        url = f"http://127.0.0.1:{self.site.port.getHost().port}{path}"
        return await deferToThread(_asked, urllib.request.Request(url, method=method))


def _asked(request):
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (our own)
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.fixture
def door(request):
    return Door()


@ensureDeferred
async def test_it_tells_health(door):
    await door.site.start()
    assert (await door.ask("/healthz"))[0] == 200
    door.down = "The disk is full."
    status, body = await door.ask("/healthz")
    assert status == 503
    assert b"The disk is full." in body
    assert door.noted == []
    await door.site.stop()


@ensureDeferred
async def test_who_asks_leaves_no_line_in_the_log(door):
    """Probes come every few seconds, for ever."""
    lines = []
    await door.site.start()
    globalLogPublisher.addObserver(lines.append)
    try:
        await door.ask("/healthz")
        await door.ask("/elsewhere")
    finally:
        globalLogPublisher.removeObserver(lines.append)
        await door.site.stop()
    assert lines == []


@ensureDeferred
async def test_it_tells_that_the_store_is_down_and_goes_on_with_what_needs_none(door):
    await door.site.start()
    door.store_down = "There is no connection."
    status, body = await door.ask("/healthz")
    assert status == 200
    assert orjson.loads(body)["store"] == {"state": "down", "reason": "There is no connection."}
    assert orjson.loads(body)["recorder"] == {"state": "ok", "reason": None}
    await door.site.stop()


@ensureDeferred
async def test_it_names_what_is_switched_off_and_that_is_no_failure(door):
    await door.site.start()
    status, body = await door.ask("/healthz")
    assert orjson.loads(body)["plugins"] == {"state": "ok", "switched_off": []}
    door.off = ["Rule slow was switched off."]
    status, body = await door.ask("/healthz")
    assert status == 200
    assert orjson.loads(body)["plugins"] == {"state": "switched-off", "switched_off": door.off}
    await door.site.stop()


@ensureDeferred
async def test_it_says_which_targets_calls_wait_for_and_that_is_no_failure(door):
    await door.site.start()
    _, body = await door.ask("/healthz")
    assert orjson.loads(body)["targets"] == {"state": "ok", "slowed_until": {}}
    door.slowed = {"okta": 1_000_000_000.25}
    status, body = await door.ask("/healthz")
    assert status == 200
    until = {"okta": "2001-09-09T01:46:41Z"}
    assert orjson.loads(body)["targets"] == {"state": "slowed", "slowed_until": until}
    await door.site.stop()


@ensureDeferred
async def test_it_is_ready_once_all_has_started_until_it_stops_or_cannot_record(door):
    await door.site.start()
    assert await door.ask("/readyz") == (200, b'{"ready":true,"reasons":{}}')
    for phase in (STARTS, STOPS):
        door.phase = phase
        status, body = await door.ask("/readyz")
        assert (status, orjson.loads(body)["reasons"]) == (503, {"gateway": phase})
    door.phase, door.down = None, "The disk is full."
    status, body = await door.ask("/readyz")
    assert (status, orjson.loads(body)["reasons"]) == (503, {"recorder": "The disk is full."})
    door.down, door.store_down = None, "There is no connection."
    assert (await door.ask("/readyz"))[0] == 200  # what needs no people goes on
    assert door.noted == []
    await door.site.stop()


@ensureDeferred
async def test_a_scrape_is_told_what_was_counted_and_what_is(door):
    await door.site.start()
    door.tally.add(ENTRIES, 'a"b\\c\n')
    door.tally.took(COMMIT_SECONDS, 0.002)
    door.tally.took(COMMIT_SECONDS, 100.0)
    door.readings = [
        Reading(Family("jitgate_x", "X", ("process",)), ("control",), 4.5),
        Reading(Family("jitgate_y", "Y"), (), 3, counter=True),
    ]
    status, body = await door.ask("/metrics")
    assert status == 200
    families = {each.name: each for each in text_string_to_metric_families(body.decode())}
    samples = {
        (each.name, *sorted(each.labels.items())): each.value
        for family in families.values()
        for each in family.samples
    }
    assert samples["jitgate_entries_total", ("type", 'a"b\\c\n')] == 1
    assert samples["jitgate_record_commit_seconds_bucket", ("le", "0.001")] == 0
    assert samples["jitgate_record_commit_seconds_bucket", ("le", "0.0025")] == 1
    assert samples["jitgate_record_commit_seconds_bucket", ("le", "60.0")] == 1
    assert samples["jitgate_record_commit_seconds_bucket", ("le", "+Inf")] == 2
    assert samples["jitgate_record_commit_seconds_count",] == 2
    assert samples["jitgate_x", ("process", "control")] == 4.5
    assert (families["jitgate_y"].type, samples["jitgate_y_total",]) == ("counter", 3)
    assert {each.name for each in FAMILIES} <= families.keys()
    await door.site.stop()


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", "/approve"), ("DELETE", "/grants/g-1"), ("GET", "/healthz2")],
)
@ensureDeferred
async def test_whoever_looks_for_more_gets_nothing_and_is_on_record(door, method, path):
    await door.site.start()
    status, _ = await door.ask(path, method)
    assert status == 404
    (noted,) = door.noted
    assert (noted["method"], noted["path"]) == (method, path)
    assert "127.0.0.1" in noted["peer"]
    await door.site.stop()


@ensureDeferred
async def test_a_flood_is_counted_and_does_not_fill_the_record(door):
    await door.site.start()
    for _ in range(A_MINUTE + 5):
        await door.ask("/x")
    assert len(door.noted) == A_MINUTE
    door.clock.advance(60)
    await door.ask("/x")
    assert door.noted[-1]["left_out"] == 5
    await door.site.stop()


@pytest.mark.parametrize("head", ["Content-Length: {}", "Transfer-Encoding: chunked"])
@ensureDeferred
async def test_a_body_that_is_too_long_ends_the_connection_and_is_on_record(door, head):
    await door.site.start()
    length = BODY_BYTES + 1
    chunk = b"x" * length
    if "chunked" in head:
        chunk = b"%x\r\n" % length + chunk + b"\r\n0\r\n\r\n"
    said = f"POST /x HTTP/1.1\r\nHost: a\r\n{head.format(length)}\r\n\r\n".encode() + chunk
    answer = await deferToThread(_raw, door.site.port.getHost().port, said)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.count(b"HTTP/1.1") == 1
    (noted,) = door.noted
    assert noted["why"] == "The body is too long."
    assert (await door.ask("/healthz"))[0] == 200
    await door.site.stop()


def _raw(port, said):
    with socket.create_connection(("127.0.0.1", port), 10) as peer:
        try:
            peer.sendall(said)
        except ConnectionError:
            pass
        answer = b""
        try:
            while data := peer.recv(65536):
                answer += data
        except ConnectionError:
            pass
        return answer
