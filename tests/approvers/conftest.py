import shutil
import tempfile
from pathlib import Path

import pytest
from approvers.site import Site
from pytest_twisted import async_yield_fixture


@pytest.fixture
def folder():
    """A folder that every user can enter, with a path short enough for a socket."""
    made = Path(tempfile.mkdtemp(prefix="jitgate-control-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@async_yield_fixture
async def site(folder):
    """A control socket at which whoever runs the test is alice, an approver."""
    site = Site(folder)
    await site.start()
    yield site
    await site.stop()
