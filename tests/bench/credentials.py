"""What a credential costs: minted and revoked, and reused. ``python -m tests.bench.credentials``.

Processor time of this process alone; the org is a TLS server in another. The best of several runs:
other programs on the machine count as little as they can.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import deferLater, react

from jitgate.app.ids import Fresh
from jitgate.app.own_calls import OwnCalls
from jitgate.credentials.dpop import Nonces, Prover
from jitgate.credentials.okta import OktaCredentials
from jitgate.credentials.okta_app import Client, OktaApp, OktaServer
from jitgate.credentials.signing import PrivateKey, Signer
from jitgate.reactor import install
from jitgate.upstreams.endpoint import CheckedEndpoint
from jitgate.values import Operation, ResponseHead, Risk

RUNS, CALLS = 10, 100
AUTHORITY = "acme.okta.example:443"
READ = Operation(
    "okta",
    "getUser",
    {"id": "00u1"},
    "GET",
    AUTHORITY,
    "/api/v1/users/00u1",
    scopes=("okta.users.read",),
    risk=Risk.READ,
)
TOKEN = {
    "token_type": "DPoP",
    "expires_in": 3600,
    "access_token": f"{'a' * 120}.{'e30' * 250}.{'s' * 342}",
    "scope": "okta.users.read",
}


def serve() -> None:
    """Stand in for the org, until the input ends; say where, and by which certificate."""
    from support.loopback import serve as served  # noqa: PLC0415 (it installs a reactor)
    from twisted.internet import reactor, stdio  # noqa: PLC0415
    from twisted.internet.protocol import Protocol  # noqa: PLC0415

    class Ends(Protocol):
        def connectionLost(self, reason: object = None) -> None:
            reactor.stop()  # type: ignore[attr-defined]

    answer = json.dumps(TOKEN).encode()
    site = served(lambda request: answer if request.path.endswith(b"token") else b"")
    where = {"origin": site.origin, "pem": site.pem.decode()}
    print(json.dumps(where), flush=True)
    stdio.StandardIO(Ends())
    reactor.run()  # type: ignore[attr-defined]


def source(
    reactor: Any, org: dict[str, Any], key: PrivateKey
) -> tuple[OktaCredentials, DeferredQueue[str]]:
    """The source as the gateway puts it together, and what it has put on record."""
    trust = trustRootFromCertificates([Certificate.loadPEM(org["pem"])])

    host, _, port = org["origin"].removeprefix("https://").partition(":")

    def checked(host: str, port: int) -> CheckedEndpoint:
        return CheckedEndpoint(
            host, port, reactor=reactor, resolve=no_names, trust=trust, dial=(host, port)
        )

    calls, new_id = OwnCalls(reactor, checked), Fresh(16)
    server = OktaServer(org["origin"], calls.to(f"{host}:{port}"), reactor, lambda: 0.5)
    app = OktaApp(
        Client("app", "0oa1"),
        Signer(key, {"kid": "k1"}),
        Prover(reactor, new_id),
        server,
        new_id=new_id,
        pause=partial(deferLater, reactor),
    )
    told = DeferredQueue[str]()
    made = OktaCredentials(
        [app],
        reach=calls.to,
        noted=lambda kind, _: told.put(kind),
        clock=reactor,
        jitter=lambda: 0.5,
        keyed=lambda _: "",
        nonces=Nonces(),
        close=calls.stop,
        alive=100,
    )
    return made, told


async def no_names(_: str) -> list[str]:
    """Addresses are given."""
    return []


async def cost(call: Callable[[], Awaitable[object]], calls: int = CALLS) -> float:
    """Milliseconds of processor time of one call, at best."""
    times = []
    for _ in range(RUNS):
        before = time.process_time()
        for _ in range(calls):
            await call()
        times.append((time.process_time() - before) / calls * 1e3)
    return min(times)


async def measure(reactor: Any, org: dict[str, Any]) -> None:
    keys: dict[str, PrivateKey] = {
        "RS256": rsa.generate_private_key(65537, 2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
    }
    for name, key in keys.items():
        made, told = source(reactor, org, key)

        async def whole(made: OktaCredentials = made, told: DeferredQueue[str] = told) -> None:
            lent = await made.lend(READ, reuse=0.0)
            made.heard(lent, ResponseHead(200, ()))
            made.returned(lent)
            assert await told.get() == "credential.revoked"

        await whole()
        print(f"{await cost(whole):7.3f} ms  minted with DPoP, proved, and revoked ({name})")

        async def again(made: OktaCredentials = made) -> None:
            lent = await made.lend(READ, reuse=3000.0)
            made.heard(lent, ResponseHead(200, ()))
            made.returned(lent)

        await again()
        print(f"{await cost(again, 1000):7.3f} ms  reused with DPoP, proved ({name})")
        await made.stop()


def main() -> None:
    install()
    command = [sys.executable, "-m", "tests.bench.credentials", "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as org:
        assert org.stdout is not None
        told = json.loads(org.stdout.readline())
        react(lambda reactor: Deferred.fromCoroutine(measure(reactor, told)))


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
