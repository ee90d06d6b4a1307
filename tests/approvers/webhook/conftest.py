from approvers.webhook.site import OUT, HookSite
from pytest_twisted import async_yield_fixture
from support.receiver import Receiver


@async_yield_fixture
async def receiver():
    made = Receiver(OUT)
    made.start()
    yield made
    await made.stop()


@async_yield_fixture
async def site(folder, receiver):
    """A gateway with one webhook, through which alice and bob answer."""
    made = HookSite(folder, receiver)
    await made.start()
    yield made
    await made.stop()
