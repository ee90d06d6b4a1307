"""A whole gateway in this process: what a reload leaves of the configuration before."""

import gc

import orjson
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.gateway import settings, target
from support.tokens import Tokens

from jitgate.app import make_service
from jitgate.config import load
from jitgate.credentials.static import StaticCredentials
from jitgate.identity.oidc import OidcVerifier
from jitgate.upstreams.https import HttpsUpstream


def alive(*kinds):
    """What there is of each kind. Whoever keeps it keeps it alive, so that it can be told apart."""
    gc.collect()
    return [[each for each in gc.get_objects() if type(each) is kind] for kind in kinds]


@ensureDeferred
async def test_a_reload_lets_go_of_the_credentials_the_ways_and_the_issuers_of_before(tmp_path):
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("Bearer not-a-real-one")
    credential = {"type": "static", "header": "Authorization", "value": f"file:{token}"}
    ca = TestCA.create(tmp_path, name="origin")
    far = target(1, ca.pem, credential=credential)
    file = tmp_path / "jitgate.yaml"
    file.write_bytes(orjson.dumps(settings(tmp_path, Tokens(tmp_path).jwks, [far])))
    kinds = StaticCredentials, HttpsUpstream, OidcVerifier
    before = alive(*kinds)
    service = make_service(load(file), reactor, hangup=False)
    service.startService()
    await service.started
    try:
        reloading = service._parts[-1]
        for _ in range(3):
            assert (await reloading.reload({"uid": 7})).replaced
        made = zip(alive(*kinds), before, strict=True)
        assert [len(now) - len(then) for now, then in made] == [1, 1, 1]
    finally:
        await service.stopService()
