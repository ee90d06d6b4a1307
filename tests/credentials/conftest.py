"""An Okta org for each test, which ends with nothing wrong in what it was sent."""

import pytest_twisted
from support.okta import OktaOrg


@pytest_twisted.async_yield_fixture
async def org():
    it = OktaOrg()
    yield it
    await it.site.stop()
    assert it.hostile == []
