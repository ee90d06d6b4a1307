"""A running sandbox, and a client for it that shares no code with Twisted or the gateway."""

import http.client
import json
import socket
import ssl
import time
import uuid
from urllib.parse import urlencode

import jwt
import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from jitgate.demo.authorization import ASSERTION_TYPE, TOKEN_PATH
from jitgate.demo.sandbox import Sandbox
from jitgate.demo.site import Call


@pytest_twisted.async_yield_fixture
async def sandbox(tmp_path):
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    running = Sandbox(tmp_path / "sandbox", reactor)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def resting(tmp_path):
    """A sandbox whose servers were never started: their logic alone, without a network."""
    built = Sandbox(tmp_path / "sandbox", reactor=None)
    built._write_files()
    return built


def strict_trust(ca):
    trust = ssl.create_default_context(cafile=ca)
    trust.verify_flags |= ssl.VERIFY_X509_STRICT
    return trust


def open_connection(ca, host, port):
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.sock = strict_trust(ca).wrap_socket(plain, server_hostname=host)
    except ssl.SSLError:
        plain.close()
        raise
    return connection


@pytest.fixture
def connect():
    """Opens a TLS connection, blocking: (CA file, host, port) to an HTTPConnection."""
    return open_connection


@pytest.fixture
def client_of():
    """The service app that belongs to a sandbox."""
    return Client


@pytest.fixture
def ask():
    """Makes one request over real TLS in a thread: a Deferred of (status, headers, JSON)."""

    def exchange(where, method, path, headers, body):
        connection = open_connection(*where)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.headers, json.loads(response.read())
        finally:
            connection.close()

    def start(where, method, path, *, headers=None, body=None):
        return deferToThread(exchange, where, method, path, headers or {}, body)

    return start


class Client:
    """The service app's side of the token endpoint, by PyJWT alone."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.key = sandbox.client_key.read_bytes()

    def assertion(self, *, key=None, algorithm="RS256", kid=None, without=(), **twisted):
        claims = {
            "iss": self.sandbox.client_id,
            "sub": self.sandbox.client_id,
            "aud": "https://acme.okta.example/oauth2/v1/token",
            "exp": int(time.time()) + 300,
            "jti": str(uuid.uuid4()),
            **twisted,
        }
        claims = {name: value for name, value in claims.items() if name not in without}
        header = {"kid": kid or self.sandbox.key_id}
        return jwt.encode(claims, self.key if key is None else key, algorithm, header)

    def form(self, scope, assertion=None, **twisted):
        fields = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion or self.assertion(),
            **twisted,
        }
        return urlencode(fields).encode()

    def token(self, scope):
        """An access token, had without a network."""
        answer = self.sandbox.org.answer(Call("POST", TOKEN_PATH, "", (), self.form(scope)))
        assert answer.status == 200
        return answer.content["access_token"]


@pytest.fixture
def client(resting):
    return Client(resting)
