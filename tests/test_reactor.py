"""The reactor that serves: each event is handled, whatever comes of the others."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import closing

import pytest
from support.pumped import Turns
from twisted.internet import reactor as before
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ReactorNotRunning
from twisted.internet.main import CONNECTION_DONE

from jitgate.reactor import install


class End(FileDescriptor):
    """One end of a pair of sockets that reads, and ends with what came."""

    def __init__(self, reactor, end, at_end=lambda: None):
        super().__init__(reactor)
        self.socket, self.fileno, self.at_end = end, end.fileno, at_end
        self.read = b""
        self.startReading()

    def doRead(self):
        self.read += self.socket.recv(100)
        return CONNECTION_DONE

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.at_end()


@pytest.fixture
def reactor():
    with closing(Turns()) as turns:
        yield turns


@pytest.fixture
def pairs():
    made = [socket.socketpair() for _ in range(2)]
    yield made
    for each in (*made[0], *made[1]):
        each.close()


def test_a_fault_does_not_take_the_other_events_with_it(reactor, pairs, nothing_unnoticed):
    ends = [End(reactor, mine, lambda: 1 / 0) for mine, _ in pairs]
    for _, theirs in pairs:
        theirs.send(b"x")
    reactor.until(lambda: all(end.read for end in ends))
    assert [event["log_failure"].type for event in nothing_unnoticed] == [ZeroDivisionError] * 2
    nothing_unnoticed.clear()
    assert not reactor.getReaders()[1:]


def test_what_an_event_before_it_has_closed_is_not_read(reactor, pairs):
    ends = []
    ends += [End(reactor, mine, lambda: [e.stopReading() for e in ends]) for mine, _ in pairs]
    for _, theirs in pairs:
        theirs.send(b"x")
    reactor.until(lambda: any(end.read for end in ends))
    reactor.rest()
    assert sorted(end.read for end in ends) == [b"", b"x"]


def test_it_is_the_reactor_of_a_process_that_has_none():
    code = (
        "from jitgate.reactor import Reactor, install; install()\n"
        "from twisted.internet import reactor; assert type(reactor) is Reactor\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_reactor_that_is_there_stays():
    install()
    assert sys.modules["twisted.internet.reactor"] is before


def test_to_be_told_twice_to_stop_is_to_be_told_once(reactor):
    program = (
        "from jitgate.reactor import install; install(); from twisted.internet import reactor; "
        "import os, signal, sys; from twisted.logger import globalLogBeginner, textFileLogObserver; "
        "globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)]); "
        "twice = lambda: [os.kill(os.getpid(), signal.SIGTERM) for _ in range(2)]; "
        "reactor.callWhenRunning(twice); reactor.run()"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.count("Received SIGTERM") == 2
    assert "Traceback" not in done.stderr
    with pytest.raises(ReactorNotRunning):
        reactor.stop()
