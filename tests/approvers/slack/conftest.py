import pytest
from approvers.slack.answering import SlackSite
from pytest_twisted import async_yield_fixture
from support.slack import Slack


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """One Slack for all tests."""
    with Slack.start(tmp_path_factory.mktemp("slack")) as slack:
        yield slack


@pytest.fixture
def slack(workspace):
    """It, as if nothing had happened there."""
    workspace.courier.retries = ()  # whoever wants events again says so
    yield workspace
    workspace.deliver_to(None)
    workspace.reset()


@async_yield_fixture
async def site(folder, slack):
    """A gateway that people answer in Slack, over HTTP."""
    site = SlackSite(folder, slack)
    await site.start()
    yield site
    await site.stop()
