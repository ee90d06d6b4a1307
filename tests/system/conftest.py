"""One gateway for a module of tests, before an origin that each test tells how to answer."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens
from support.wire import Handler, Origin, Received, Tunnel, answering


@dataclass
class Scene:
    """The gateway, the origin behind it, and how an agent gets in."""

    gateway: GatewayProcess
    origin: Origin
    tokens: Tokens
    handler: Handler

    def tunnel(self, **how) -> Tunnel:
        token = how.pop("token", None) or self.tokens.token()
        return Tunnel(self.gateway.proxy, self.gateway.ca, token, **how)

    def handle(self, request: Received, tls: ssl.SSLSocket) -> bool | None:
        return self.handler(request, tls)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("scene")
    ca = TestCA.create(folder, name="origin")
    tokens = Tokens(folder)
    made = Scene.__new__(Scene)
    with Origin(ca.leaf("api.example"), made.handle) as origin:
        configuration = settings(folder, tokens.jwks, [target(origin.port, ca.pem)])
        with GatewayProcess(folder, configuration) as gateway:
            made.gateway, made.origin, made.tokens = gateway, origin, tokens
            yield made


@pytest.fixture(autouse=True)
def plain_answers(scene):
    """Every test begins with an origin that answers a small JSON body, and an empty journal."""
    scene.handler = answering(b'{"name":"Ada"}')
    scene.origin.received.clear()


@pytest.fixture(autouse=True)
def no_unforeseen_fault(scene):
    """A gateway that logged a failure failed, whatever its agents were told."""
    yield
    assert not [
        line for line in scene.gateway.output if "Traceback" in line or "#critical]" in line
    ], "".join(scene.gateway.output)
