"""The gateway's own exchanges end in time, within bounds, and in one kind of fault."""

import gzip

import pytest
import pytest_twisted
from support.loopback import serve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.web.server import NOT_DONE_YET

from jitgate.errors import AddressRefused, CredentialUnavailable, CutShort
from jitgate.fetching import TIMEOUT, Fetched, Fetcher, died
from jitgate.flow.load import Load

LIMIT = 1000


class Counterpart:
    """A server whose answer each test sets, and a fetcher that asks it."""

    def __init__(self):
        self.requests = []
        self.arrived = Deferred()
        self.clock = Clock()
        self.answer = lambda _: b"{}"
        self.site = serve(self._render)
        self.url = self.site.origin + "/x"

    def _render(self, request):
        self.requests.append(request)
        answer = self.answer(request)
        if len(self.requests) == 1:
            self.arrived.callback(None)
        return answer

    def fetcher(self, http=None):
        client = http or self.site.client
        return Fetcher(client, self.clock, "The far side", CredentialUnavailable, LIMIT)


@pytest_twisted.async_yield_fixture
async def far():
    counterpart = Counterpart()
    yield counterpart
    await counterpart.site.stop()


async def _fault(awaitable):
    with pytest.raises(CredentialUnavailable) as caught:
        await awaitable
    return str(caught.value)


@pytest_twisted.ensureDeferred
async def test_an_answer_is_its_status_and_body(far):
    def answer(request):
        request.setResponseCode(418)
        return b"tea"

    far.answer = answer
    assert await far.fetcher().get(far.url) == Fetched(418, b"tea")
    assert far.requests[0].method == b"GET"


@pytest_twisted.ensureDeferred
async def test_every_request_says_whose_it_is_or_its_own_name(far):
    fetcher = far.fetcher()
    await fetcher.get(far.url)
    await fetcher.head_of(far.url, {"X-Token": "t"})
    await fetcher.post(far.url, {"a": "1"})
    await fetcher.call("PUT", far.url, fields={}, members={})
    await fetcher.post(far.url, {"a": "1"}, {"User-Agent": "jitgate/m-1"})
    said = [request.requestHeaders.getRawHeaders("user-agent") for request in far.requests]
    assert said == [["jitgate"]] * 4 + [["jitgate/m-1"]]


@pytest_twisted.ensureDeferred
async def test_a_form_is_posted_as_one(far):
    await far.fetcher().post(far.url, {"a": "1 &", "b": "é"})
    request = far.requests[0]
    assert request.method == b"POST"
    assert request.args == {b"a": [b"1 &"], b"b": ["é".encode()]}
    assert request.requestHeaders.getRawHeaders("content-type") == [
        "application/x-www-form-urlencoded"
    ]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest_twisted.ensureDeferred
async def test_a_call_has_the_fields_that_it_is_given_and_an_object_as_its_body(far, method):
    members = None if method == "GET" else {"a": "é"}
    bodies = []
    far.answer = lambda request: bodies.append(request.content.read()) or b"{}"
    await far.fetcher().call(method, far.url, fields={"X-Token": "t"}, members=members)
    (request,) = far.requests
    assert request.method == method.encode()
    assert request.requestHeaders.getRawHeaders("x-token") == ["t"]
    kind = request.requestHeaders.getRawHeaders("content-type")
    assert kind == (None if members is None else ["application/json"])
    assert bodies == [b"" if members is None else '{"a":"é"}'.encode()]


@pytest_twisted.ensureDeferred
async def test_no_redirect_is_followed(far):
    def answer(request):
        request.redirect(b"/elsewhere")
        return b""

    far.answer = answer
    assert (await far.fetcher().get(far.url)).status == 302
    assert len(far.requests) == 1


@pytest.mark.parametrize("length", [0, 1, LIMIT])
@pytest_twisted.ensureDeferred
async def test_an_answer_within_the_limit_is_whole(far, length):
    far.answer = lambda _: b"x" * length
    assert await far.fetcher().get(far.url) == Fetched(200, b"x" * length)


@pytest_twisted.ensureDeferred
async def test_an_answer_beyond_the_limit_is_a_fault_and_its_connection_ends(far):
    ended = []

    def answer(request):
        ended.append(request.notifyFinish())
        request.write(b"x" * (LIMIT + 1))
        return NOT_DONE_YET

    far.answer = answer
    assert "too long" in await _fault(far.fetcher().get(far.url))
    with pytest.raises(Exception, match=r"clos|lost"):
        await ended[0]


@pytest_twisted.ensureDeferred
async def test_a_compressed_answer_counts_by_what_it_unfolds_to(far):
    def answer(request):
        request.setHeader(b"Content-Encoding", b"gzip")
        return gzip.compress(b"x" * (LIMIT + 1))

    far.answer = answer
    assert "too long" in await _fault(far.fetcher().get(far.url))


class Watched:
    """A client that tells when the head of an answer has come, one turn of the reactor later."""

    def __init__(self, client):
        self.client = client
        self.headed = Deferred()

    def request(self, *args, **options):
        answer = self.client.request(*args, **options)
        return answer.addCallback(self._tell)

    def _tell(self, response):
        from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

        reactor.callLater(0, self.headed.callback, None)
        return response


@pytest.mark.parametrize("headed", [False, True])
@pytest_twisted.ensureDeferred
async def test_an_answer_that_does_not_end_in_time_is_a_fault_and_its_connection_ends(far, headed):
    ended = []

    def answer(request):
        ended.append(request.notifyFinish())
        if headed:
            request.write(b"x")
        return NOT_DONE_YET

    far.answer = answer
    client = Watched(far.site.client)
    fault = Deferred.fromCoroutine(_fault(far.fetcher(client).get(far.url)))
    await (client.headed if headed else far.arrived)
    far.clock.advance(TIMEOUT - 0.1)
    assert not fault.called
    far.clock.advance(0.1)
    assert await fault == "The far side did not answer within 10 s."
    with pytest.raises(Exception, match=r"clos|lost"):
        await ended[0]


@pytest_twisted.ensureDeferred
async def test_an_answer_in_time_leaves_no_timer_behind(far):
    await far.fetcher().get(far.url)
    assert far.clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_an_answer_cut_short_is_a_fault(far):
    def answer(request):
        request.setHeader(b"Content-Length", b"100")
        request.write(b"x")
        request.channel.loseConnection()
        return NOT_DONE_YET

    far.answer = answer
    fault = await _fault(far.fetcher().get(far.url))
    assert fault.startswith("The far side cannot be asked: ConnectionDone")


@pytest_twisted.ensureDeferred
async def test_a_port_that_nobody_listens_on_is_a_fault(far):
    await far.site.stop()
    fault = await _fault(far.fetcher().get(far.url))
    assert fault == "The far side cannot be asked: ConnectionRefusedError."


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_is_not_trusted_is_a_fault(far):
    other = serve(lambda _: b"{}")
    try:
        fault = await _fault(far.fetcher(other.client).get(far.url))
    finally:
        await other.stop()
    assert "cannot be asked" in fault
    assert far.requests == []


@pytest_twisted.ensureDeferred
async def test_a_fault_of_ours_on_the_way_keeps_its_sentence(far):
    class Refuses:
        async def request(self, *args, **options):
            raise AddressRefused("The name resolves to 10.0.0.1.")

    fault = await _fault(far.fetcher(Refuses()).get(far.url))
    assert fault == "The far side cannot be asked: The name resolves to 10.0.0.1."


def test_a_body_is_not_in_the_repr():
    assert "hunter2" not in repr(Fetched(200, b"hunter2"))


# --- what is beside the body


@pytest_twisted.ensureDeferred
async def test_fields_go_along_and_fields_come_back(far):
    def answer(request):
        request.setHeader(b"X-Nonce", b"n-1")
        request.responseHeaders.setRawHeaders(b"X-Twice", [b"a", b"b"])
        request.setHeader(b"X-Odd", b"\xff")
        return b"{}"

    far.answer = answer
    fetched = await far.fetcher().post(far.url, {"a": "b"}, {"DPoP": "a-proof"})
    assert far.requests[0].getHeader("DPoP") == "a-proof"
    named = ("x-nonce", "X-Twice", "X-Odd", "X-None")
    assert [fetched.header(name) for name in named] == ["n-1", None, None, None]
    assert "n-1" not in repr(fetched)


@pytest.mark.parametrize("length", [0, LIMIT, 100 * LIMIT])
@pytest_twisted.ensureDeferred
async def test_what_comes_before_a_body_can_be_had_alone(far, length):
    def answer(request):
        request.setHeader(b"X-Nonce", b"n-1")
        return b"x" * length

    far.answer = answer
    fetched = await far.fetcher().head_of(far.url, {"DPoP": "a-proof"})
    assert (fetched.status, fetched.header("X-Nonce")) == (200, "n-1")
    assert far.requests[0].method == b"GET"


@pytest_twisted.ensureDeferred
async def test_a_call_may_have_less_time_than_others(far):
    far.answer = lambda _: NOT_DONE_YET
    fault = Deferred.fromCoroutine(_fault(far.fetcher().post(far.url, {}, within=3.0)))
    await far.arrived
    far.clock.advance(3)
    assert "did not answer" in await fault


def hang_up(request):
    request.channel.transport.abortConnection()
    return NOT_DONE_YET


async def _raised(awaitable):
    with pytest.raises(CredentialUnavailable) as caught:
        await awaitable
    return caught.value


@pytest_twisted.ensureDeferred
async def test_a_connection_that_died_is_told_from_all_else(far):
    far.answer = hang_up
    assert died(await _raised(far.fetcher().get(far.url)))
    far.answer = lambda _: b"x" * (LIMIT + 1)
    assert not died(await _raised(far.fetcher().get(far.url)))
    other = serve(lambda _: b"{}")
    try:
        assert not died(await _raised(far.fetcher(other.client).get(far.url)))
    finally:
        await other.stop()
    await far.site.stop()
    assert not died(await _raised(far.fetcher().get(far.url)))


@pytest.mark.parametrize("headed", [False, True])
@pytest_twisted.ensureDeferred
async def test_who_is_cancelled_is_told_that_and_no_fault_of_the_far_side(far, headed):
    def answer(request):
        if headed:
            request.write(b"x")
        return NOT_DONE_YET

    far.answer = answer
    client = Watched(far.site.client)
    asking = Deferred.fromCoroutine(far.fetcher(client).get(far.url))
    await (client.headed if headed else far.arrived)
    asking.cancel()
    with pytest.raises(CancelledError):
        await asking
    assert far.clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_an_exchange_that_is_cut_short_says_why_it_was(far):
    far.answer = lambda _: NOT_DONE_YET
    with Load(far.clock).exchange() as span:

        async def asked():
            await span.within(far.fetcher().get(far.url))

        asking = Deferred.fromCoroutine(asked())
        await far.arrived
        span.cut("The gateway is stopping.")
        with pytest.raises(CutShort, match="is stopping"):
            await asking
