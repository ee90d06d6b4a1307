"""Checkpoints go to a syslog server: rsyslog's own, and some that do what none should."""

import json
import re
import subprocess
from contextlib import contextmanager

import pytest
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.gateway import wait_for
from support.proxies import _await_listening, _free_port
from twisted.internet import reactor
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from zope.interface.verify import verifyObject

from jitgate.app.far import trusting
from jitgate.errors import CheckpointNotKept
from jitgate.interfaces import IKeeper
from jitgate.keepers.syslog import TIMEOUT, SyslogKeeper
from jitgate.trust import Named

NOTE = "jitgate/x\n4\nAAAA\n\n— jitgate/x BBBB\n".encode()

TLS = """
global(
  defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}"
)
"""
SERVER = """
module(load="imtcp" StreamDriver.Name="{driver}" StreamDriver.Mode="{mode}"
       StreamDriver.AuthMode="anon")
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="all" type="string" string="%pri% %app-name% %msgid% %timestamp% %msg%\\n")
action(type="omfile" file="{log}" template="all")
"""


@contextmanager
def rsyslog(folder, leaf=None, ca=None):
    """rsyslogd on a port; the file that it writes."""
    port, log, conf = _free_port(), folder / "got.log", folder / "rsyslog.conf"
    kind = {"driver": "ptcp", "mode": 0} if leaf is None else {"driver": "ossl", "mode": 1}
    text = "" if leaf is None else TLS.format(ca=ca.pem, cert=leaf.cert, key=leaf.key)
    conf.write_text(text + SERVER.format(port=port, log=log, **kind))
    command = ["rsyslogd", "-n", "-f", str(conf), "-i", str(folder / "pid")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        _await_listening(process, port)
        yield port, log
    finally:
        process.terminate()
        process.communicate(timeout=30)


def logged(log):
    """What rsyslog has taken the message for: priority, program, id; and the note in it."""
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    (line,) = log.read_text().splitlines()
    head, message = re.fullmatch(r"(\S+ \S+ \S+) .*?(\{.*\})", line).groups()
    return head.split(" "), json.loads(message)["note"].encode()


@pytest.fixture
def authority(tmp_path):
    return TestCA.create(tmp_path)


@pytest.mark.needs_debian("rsyslogd")
@ensureDeferred
async def test_rsyslog_takes_it_over_tcp(tmp_path):
    with rsyslog(tmp_path) as (port, log):
        keeper = SyslogKeeper("siem", HostnameEndpoint(reactor, "127.0.0.1", port), reactor)
        verifyObject(IKeeper, keeper)
        await keeper.keep(NOTE)
        head, note = await deferToThread(logged, log)
    assert head == ["110", "jitgate", "checkpoint"]
    assert note == NOTE


@pytest.mark.needs_debian("rsyslogd")
@ensureDeferred
async def test_rsyslog_takes_it_over_tls(tmp_path, authority):
    leaf = authority.leaf("localhost")
    with rsyslog(tmp_path, leaf, authority) as (port, log):
        trust = trusting((authority.pem.read_bytes(),))
        plain = HostnameEndpoint(reactor, "localhost", port)
        keeper = SyslogKeeper("siem", wrapClientTLS(Named("localhost", trust), plain), reactor)
        await keeper.keep(NOTE)
        _, note = await deferToThread(logged, log)
        stranger = wrapClientTLS(Named("other.example", trust), plain)
        with pytest.raises(CheckpointNotKept, match="siem"):
            await SyslogKeeper("siem", stranger, reactor).keep(NOTE)
    assert note == NOTE


class Odd(Protocol):
    """Does with the connection what a test says, once something has come."""

    def __init__(self, does):
        self.does = does

    def dataReceived(self, data):
        self.does(self.transport)


@contextmanager
def listening(does):
    factory = Factory.forProtocol(lambda: Odd(does))
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        yield port.getHost().port
    finally:
        port.stopListening()


@ensureDeferred
async def test_a_server_that_breaks_off_has_kept_nothing():
    with listening(lambda transport: transport.abortConnection()) as port:
        keeper = SyslogKeeper("siem", HostnameEndpoint(reactor, "127.0.0.1", port), reactor)
        with pytest.raises(CheckpointNotKept, match="siem"):
            await keeper.keep(NOTE)


@ensureDeferred
async def test_one_that_does_not_end_is_waited_for_so_long_and_no_longer():
    clock = Clock()
    with listening(lambda _: clock.advance(TIMEOUT)) as port:
        keeper = SyslogKeeper("siem", HostnameEndpoint(reactor, "127.0.0.1", port), clock)
        with pytest.raises(CheckpointNotKept, match="within 20 seconds"):
            await keeper.keep(NOTE)


@ensureDeferred
async def test_nobody_there_is_a_fault_that_says_so():
    keeper = SyslogKeeper("siem", HostnameEndpoint(reactor, "127.0.0.1", _free_port()), reactor)
    with pytest.raises(CheckpointNotKept, match=r"siem.*Connection"):
        await keeper.keep(NOTE)
