import base64
import ssl

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import LineReceiver

from jitgate.demo.agent import call
from jitgate.demo.authority import SandboxCA
from jitgate.demo.org import HOST

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nX-One: 1\r\nX-One: 2\r\n\r\nok"

GRANTED = b"HTTP/1.1 200 OK\r\n\r\n"
REFUSED = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


class TerminatingProxy(LineReceiver):
    """A gateway in miniature: takes CONNECT, ends the TLS under its own name, answers."""

    def lineReceived(self, line):
        self.factory.lines.append(line)
        if line:
            return
        if self.factory.lines[0].startswith(b"CONNECT"):
            self.transport.write(self.factory.verdict)
            self.factory.tunnels.append(self.factory.lines)
            self.factory.lines = []
            if self.factory.verdict == GRANTED:
                self.transport.startTLS(self.factory.options)
        else:
            self.setRawMode()
            self.transport.write(ANSWER)

    def rawDataReceived(self, data):
        self.factory.body += data

    def connectionLost(self, reason):
        self.factory.gone.callback(None)


class Gateway(Factory):
    protocol = TerminatingProxy

    def __init__(self, *names, verdict=GRANTED):
        self.ca = SandboxCA()
        self.options = self.ca.issue(*names)
        self.verdict, self.lines, self.tunnels, self.body = verdict, [], [], b""
        self.gone = Deferred()


@pytest.fixture
def through(tmp_path):
    """Makes a call through a gateway: a coroutine of what `call` returns or raises."""

    async def make(gateway, *request, ca=None):
        from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

        trusted = tmp_path / "ca.pem"
        trusted.write_bytes((ca or gateway.ca).certificate.public_bytes(Encoding.PEM))
        port = reactor.listenTCP(0, gateway, interface="127.0.0.1")
        where = ("127.0.0.1", port.getHost().port)
        try:
            return await deferToThread(call, where, "secret-token", trusted, *request)
        finally:
            await gateway.gone
            await port.stopListening()

    return make


@pytest_twisted.ensureDeferred
async def test_a_call_goes_through_the_tunnel_with_the_token_only_on_the_outside(through):
    gateway = Gateway(HOST)
    url = f"https://{HOST}/api/v1/users?limit=2"
    reply = await through(gateway, "POST", url, b'{"a":1}')
    pair = base64.b64encode(b"demo:secret-token")
    (outside,) = gateway.tunnels
    assert outside[0].startswith(f"CONNECT {HOST}:443 ".encode())
    assert b"Proxy-Authorization: Basic " + pair in outside
    assert gateway.lines[0] == b"POST /api/v1/users?limit=2 HTTP/1.1"
    assert f"Host: {HOST}".encode() in gateway.lines
    assert pair not in b"".join(gateway.lines)
    assert gateway.body == b'{"a":1}'
    assert (reply.status, reply.body) == (202, b"ok")
    assert reply.headers[1:] == (("X-One", "1"), ("X-One", "2"))


@pytest_twisted.ensureDeferred
async def test_a_refused_tunnel_is_an_error_that_tells_the_status(through):
    with pytest.raises(OSError, match="407"):
        await through(Gateway(HOST, verdict=REFUSED), "GET", f"https://{HOST}/")


@pytest.mark.parametrize("fault", ["another name", "another ca"])
@pytest_twisted.ensureDeferred
async def test_a_gateway_that_cannot_show_the_right_certificate_is_sent_nothing(through, fault):
    gateway = Gateway("other.example" if fault == "another name" else HOST)
    ca = SandboxCA() if fault == "another ca" else None
    with pytest.raises(ssl.SSLCertVerificationError):
        await through(gateway, "GET", f"https://{HOST}/", ca=ca)
    assert gateway.lines == []
