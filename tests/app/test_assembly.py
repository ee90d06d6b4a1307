"""A whole gateway in this process: how it is put together, and what a reload leaves of before."""

import gc
import subprocess
import sys

import orjson
import pytest
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.gateway import settings, target
from support.okta import KEY, pem
from support.tokens import Tokens

from jitgate.app import check, make_service
from jitgate.config import load
from jitgate.core.limits import LIMITS
from jitgate.core.tally import LIMITS_HIT
from jitgate.credentials.okta import OktaCredentials
from jitgate.credentials.static import StaticCredentials
from jitgate.errors import ConfigurationInvalid, MaskingFault
from jitgate.flow.accounts import Accounts
from jitgate.flow.masking_room import MaskingRoom
from jitgate.identity.oidc import OidcVerifier
from jitgate.upstreams.https import HttpsUpstream


def alive(*kinds):
    """What there is of each kind. Whoever keeps it keeps it alive, so that it can be told apart."""
    gc.collect()
    return [[each for each in gc.get_objects() if type(each) is kind] for kind in kinds]


def configured(folder, **more):
    ca = TestCA.create(folder, name="origin")
    file = folder / "jitgate.yaml"
    far = target(1, ca.pem)
    file.write_bytes(orjson.dumps(settings(folder, Tokens(folder).jwks, [far], **more)))
    return load(file)


def test_a_shared_store_whose_package_is_not_there_is_an_error_that_says_what_to_do(
    tmp_path, monkeypatch
):
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    configuration = configured(tmp_path, store={"type": "postgres", "socket": f"{tmp_path}"})
    assert check(configuration, reactor)
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as where it is not installed
    with pytest.raises(ConfigurationInvalid, match=r"pip install 'jitgate\[postgres\]'") as told:
        check(configuration, reactor)
    assert told.value.problems[0].startswith(f"{tmp_path}/jitgate.yaml:")


def test_without_a_shared_store_its_package_is_not_loaded():
    look = "import sys, jitgate.app, jitgate.cli.running; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@ensureDeferred
async def test_a_reload_lets_go_of_the_credentials_the_ways_and_the_issuers_of_before(tmp_path):
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("Bearer not-a-real-one")
    credential = {"type": "static", "header": "Authorization", "value": f"file:{token}"}
    ca = TestCA.create(tmp_path, name="origin")
    far = target(1, ca.pem, credential=credential)
    key = tmp_path / "app.pem"
    key.touch(mode=0o600)
    key.write_bytes(pem(KEY))
    app = {"client_id": "0oa1", "key_id": "k1", "private_key": f"file:{key}"}
    okta = {"type": "okta", "org": "https://acme.okta.example"} | app
    org = target(1, ca.pem, name="okta", hosts=["acme.okta.example"], credential=okta)
    file = tmp_path / "jitgate.yaml"
    file.write_bytes(orjson.dumps(settings(tmp_path, Tokens(tmp_path).jwks, [far, org])))
    kinds = StaticCredentials, OktaCredentials, HttpsUpstream, OidcVerifier
    before = alive(*kinds)
    service = make_service(load(file), reactor, hangup=False)
    service.startService()
    await service.started
    try:
        reloading = service._parts[-1]
        for _ in range(3):
            assert (await reloading.reload({"uid": 7})).replaced
        made = zip(alive(*kinds), before, strict=True)
        assert [len(now) - len(then) for now, then in made] == [1, 1, 2, 1]
    finally:
        await service.stopService()


@ensureDeferred
async def test_what_finds_no_room_is_counted_with_all_else(tmp_path):
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    kinds = MaskingRoom, Accounts
    before = alive(*kinds)
    service = make_service(configured(tmp_path), reactor, hangup=False)
    service.startService()
    await service.started
    try:
        made = zip(alive(*kinds), before, strict=True)
        (room,), (accounts,) = [[each for each in now if each not in then] for now, then in made]
        with pytest.raises(MaskingFault):
            room.one("somebody", 2 * LIMITS.masking_bytes)
        assert (LIMITS_HIT.name, "masking_bytes") in dict(accounts.tally.rows())
    finally:
        await service.stopService()
