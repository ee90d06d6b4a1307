"""What systemd is told, at a real socket."""

from __future__ import annotations

import os
import socket

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from jitgate.admin.phase import STARTS, STOPS, Phase, ServiceManager


@pytest.fixture(params=["path", "abstract"])
def told(request, tmp_path):
    address = f"{tmp_path}/notify" if request.param == "path" else f"@jitgate-{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(address.replace("@", "\0", 1))
        heard.setblocking(False)
        yield address, heard


def _words(heard):
    words = []
    try:
        while True:
            words += heard.recv(4096).decode().splitlines()
    except BlockingIOError:
        return words


@ensureDeferred
async def test_it_says_when_it_serves_that_it_lives_and_when_it_stops(told):
    address, heard = told
    environment, clock = (
        {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "10000000", "HOME": "/"},
        Clock(),
    )
    phase = Phase(ServiceManager(environment), clock, lambda: "Serves.")
    assert environment == {"HOME": "/"}  # what is started later says nothing there
    assert (phase.why(), _words(heard)) == (STARTS, [])
    await phase.start()
    assert (phase.why(), _words(heard)) == (None, ["READY=1", "STATUS=Serves.", "WATCHDOG=1"])
    clock.advance(5.0)
    assert _words(heard) == ["WATCHDOG=1"]
    await phase.stop()
    assert (phase.why(), _words(heard)[0]) == (STOPS, "STOPPING=1")
    clock.advance(5.0)
    assert _words(heard) == ["WATCHDOG=1"]  # a stop takes its time


@ensureDeferred
async def test_without_a_service_manager_or_with_one_that_is_gone_it_serves_all_the_same(tmp_path):
    for environment in ({}, {"NOTIFY_SOCKET": f"{tmp_path}/nobody"}):
        phase = Phase(ServiceManager(environment), Clock())
        await phase.start()
        assert phase.why() is None


@pytest.mark.parametrize(("pid", "watched"), [(f"{os.getpid()}", 2.0), ("1", None), (None, 2.0)])
def test_a_watchdog_counts_that_is_meant_for_this_process(pid, watched):
    environment = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "2000000"}
    if pid is not None:
        environment["WATCHDOG_PID"] = pid
    assert ServiceManager(environment).watched == watched
