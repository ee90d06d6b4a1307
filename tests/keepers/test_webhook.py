"""Checkpoints go to a webhook, signed as its own library wants them."""

from functools import partial

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from support.proxies import _free_port
from support.receiver import Receiver, secret
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.web.client import Agent, HTTPConnectionPool
from zope.interface.verify import verifyObject

from jitgate.core.standard_webhooks import key_of
from jitgate.errors import CheckpointNotKept
from jitgate.interfaces import IKeeper
from jitgate.keepers.webhook import WebhookKeeper

NOTE = "jitgate/x\n4\nAAAA\n\n— jitgate/x BBBB\n".encode()


@async_yield_fixture
async def receiver():
    made = Receiver(secret("out"))
    made.start()
    yield made
    await made.stop()


@async_yield_fixture
async def keeper(receiver):
    pool = HTTPConnectionPool(reactor)
    made = WebhookKeeper(
        "ops",
        receiver.url,
        (key_of(secret("out")),),
        http=HTTPClient(Agent(reactor, pool=pool)),
        clock=reactor,
        close=partial(ended, pool),
    )
    verifyObject(IKeeper, made)
    yield made
    await made.stop()


async def ended(pool):
    await pool.closeCachedConnections()


@ensureDeferred
async def test_it_is_sent_as_it_was_signed_and_under_one_id(keeper, receiver):
    await keeper.keep(NOTE)
    await keeper.keep(NOTE)
    await keeper.keep(NOTE + b"more")
    assert [each.type for each in receiver.received] == ["recording.checkpoint"] * 3
    assert receiver.received[0].data == {"note": NOTE.decode()}
    one, again, other = [each.id for each in receiver.received]
    assert one == again != other


@pytest.mark.parametrize("status", [199, 301, 400, 410, 429, 500, 503])
@ensureDeferred
async def test_whoever_does_not_say_that_it_is_kept_does_not_keep_it(keeper, receiver, status):
    receiver.status(max(status, 200) if status != 199 else 304)
    with pytest.raises(CheckpointNotKept, match="ops"):
        await keeper.keep(NOTE)


@ensureDeferred
async def test_nobody_there_is_a_fault_that_says_so(keeper):
    keeper._url = f"http://127.0.0.1:{_free_port()}/"
    with pytest.raises(CheckpointNotKept, match=r"ops.*Refused"):
        await keeper.keep(NOTE)
