"""The gateway's own calls: over kept connections, by the checked way, to one host each."""

import pytest
import pytest_twisted
from support.loopback import serve
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.server import NOT_DONE_YET

from jitgate.app.own_calls import OwnCalls
from jitgate.errors import CredentialUnavailable, UpstreamUnreachable
from jitgate.fetching import Fetcher, died
from jitgate.upstreams.endpoint import CheckedEndpoint


async def no_names(_):
    return []


class Far:
    """A server, and calls of it that count their connections."""

    def __init__(self, reactor):
        self.ports = []
        self.answer = lambda _: b"{}"
        self.site = serve(self._render)
        self.authority = self.site.origin.removeprefix("https://")
        trust = trustRootFromCertificates([Certificate.loadPEM(self.site.pem)])

        def checked(host, port):
            dial = (host, port)
            return CheckedEndpoint(
                host, port, reactor=reactor, resolve=no_names, trust=trust, dial=dial
            )

        self.calls = OwnCalls(reactor, checked)
        self.fetcher = Fetcher(
            self.calls.to(self.authority), reactor, "The far side", CredentialUnavailable, 1000
        )

    def _render(self, request):
        self.ports.append(request.getClientAddress().port)
        return self.answer(request)

    async def post(self):
        return await self.fetcher.post(self.site.origin + "/x", {"a": "b"})


@pytest_twisted.async_yield_fixture
async def far():
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    made = Far(reactor)
    yield made
    await made.calls.stop()
    await made.site.stop()


@pytest_twisted.ensureDeferred
async def test_a_connection_serves_one_call_after_the_other(far):
    for _ in range(3):
        await far.post()
    assert len(set(far.ports)) == 1


@pytest_twisted.ensureDeferred
async def test_the_end_is_the_end_of_those_that_are_kept(far):
    await far.post()
    await far.calls.stop()
    await far.post()
    assert len(set(far.ports)) == 2


@pytest_twisted.ensureDeferred
async def test_a_call_on_a_connection_that_proves_dead_is_not_made_again_unasked(far):
    def dies(request):
        request.channel.transport.abortConnection()
        return NOT_DONE_YET

    await far.post()
    far.answer = dies
    with pytest.raises(CredentialUnavailable) as caught:
        await far.fetcher.get(far.site.origin + "/x")
    assert died(caught.value)
    assert len(far.ports) == 2
    far.answer = lambda _: b"{}"
    assert (await far.post()).status == 200


@pytest_twisted.ensureDeferred
async def test_a_client_reaches_its_own_host_and_nobody_else(far):
    client = far.calls.to(far.authority)
    assert client is far.calls.to(far.authority)
    with pytest.raises(UpstreamUnreachable):
        await client.get("https://elsewhere.example/")
    with pytest.raises(UpstreamUnreachable):
        await client.get(far.site.origin.replace("https", "http"))
