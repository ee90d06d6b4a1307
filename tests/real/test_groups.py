"""The shipped source of groups, asked of an Okta org as nobody here wrote one."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from support.counterparts import ENGINEERING, LOOPBACK, ORG_SEED, Org
from support.service_app import ServiceApp
from treq.client import HTTPClient
from twisted.internet import reactor, ssl
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from jitgate.errors import PeopleUnknown
from jitgate.fetching import Fetcher
from jitgate.shipped import shipped
from jitgate.testing import provided
from jitgate.trust import NamedPolicy

EMPTY = "00gnobodyisthere00001"


@pytest.fixture(scope="module")
def org(tmp_path_factory):
    empty = {"okta_id": EMPTY, "name": "Empty", "description": "Nobody"}
    seed = ORG_SEED | {"groups": [*ORG_SEED["groups"], empty]}
    folder = tmp_path_factory.mktemp("org")
    with Org.start(folder, unbound=["jitgate"], seed=seed) as made:
        made.tell(reuse=True)  # the token is no call's: it reads again and again
        yield made


@implementer(IAgentEndpointFactory)
class AtItsPort:
    """The org's name leads to its port here, and its certificate is for its name."""

    def __init__(self, org):
        trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(org.ca.read_bytes())])
        self.port, self.policy = org.port, NamedPolicy(trust)

    def endpointForURI(self, uri):
        plain = TCP4ClientEndpoint(reactor, LOOPBACK, self.port)
        return wrapClientTLS(self.policy.creatorForNetloc(uri.host, uri.port), plain)


@pytest.fixture
def groups(org):
    """The plugin, with a token that may read groups and nothing else."""
    (made,) = provided(shipped("plugins") / "okta_groups.py", org=org.url)
    token = ServiceApp(org, org.app).mint("okta.groups.read")
    agent = HTTPClient(Agent.usingEndpointFactory(reactor, AtItsPort(org)))
    shown = f"Bearer {token}"
    fetcher = Fetcher(agent, reactor, "Okta", PeopleUnknown, 1_000_000, authorization=shown)
    return type(made)(made._options, fetcher)


@ensureDeferred
async def test_its_members_are_told_and_an_empty_group_has_none(groups, org):
    org.clear()
    assert await groups.members(ENGINEERING) == {"alice@acme.example"}
    assert await groups.members(EMPTY) == set()
    asked = [(each.method, each.path, each.status, each.reason) for each in org.journal()]
    paths = [f"/api/v1/groups/{each}/users" for each in (ENGINEERING, EMPTY)]
    assert asked == [("GET", path, 200, None) for path in paths]


@ensureDeferred
async def test_a_group_that_there_is_not_is_unknown(groups):
    with pytest.raises(PeopleUnknown, match="404"):
        await groups.members("00gthereisnosuch00001")
