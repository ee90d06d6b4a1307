"""Tokens are not asked for where the org has no room for that, and each app waits for itself."""

from __future__ import annotations

import pytest
import pytest_twisted
from support.okta import NOW, TOKEN, hang_up, plain

from jitgate.core.rates import LONGEST, SPREAD, TRIAL
from jitgate.credentials.room import USUAL_WAIT
from jitgate.errors import CredentialBusy, CredentialUnavailable
from jitgate.values import Risk


def remaining(org, count, limit=600, seconds=50):
    org.headers = {
        "X-Rate-Limit-Limit": f"{limit}",
        "X-Rate-Limit-Remaining": f"{count}",
        "X-Rate-Limit-Reset": f"{NOW + seconds}",
    }


async def lent(source, operation, *, approved=False):
    source.returned(await source.lend(operation, reuse=0.0, granted=approved))


async def held_back(source, operation, *, approved=False):
    """For how long the gateway holds a token back that it did not ask for."""
    with pytest.raises(CredentialBusy) as caught:
        await source.lend(operation, reuse=0.0, granted=approved)
    return caught.value


@pytest_twisted.ensureDeferred
async def test_none_is_asked_for_while_none_remains(org):
    remaining(org, 0)
    source = org.source()
    await lent(source, org.reading())
    for approved in (False, True):
        fault = await held_back(source, org.operation(), approved=approved)
        assert fault.until - org.clock.seconds() == pytest.approx(50 + SPREAD)
        assert "reader" in str(fault)
    assert len(org.at(TOKEN)) == 1
    assert org.told("credential.not-minted") == []
    org.headers = {}
    org.clock.advance(50)
    await lent(source, org.reading())
    await lent(source, org.reading())


@pytest_twisted.ensureDeferred
async def test_the_last_are_for_what_was_approved(org):
    remaining(org, 2)
    source = org.source()
    await lent(source, org.reading())
    await held_back(source, org.operation())
    await lent(source, org.operation(), approved=True)
    assert len(org.at(TOKEN)) == 2


@pytest_twisted.ensureDeferred
async def test_those_who_share_a_token_need_no_room(org):
    remaining(org, 0)
    source = org.source()
    for _ in range(3):
        source.returned(await source.lend(org.reading(), reuse=60.0))
    assert len(org.at(TOKEN)) == 1


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"X_Rate_Limit_Reset": f"{NOW + 20}"}, 20),
        ({"Retry_After": "20"}, 20),
        ({"Retry_After": "99999"}, LONGEST),
        ({}, USUAL_WAIT),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_429_holds_its_own_app_back_and_no_other(org, fields, seconds):
    server = org.server()
    reader = org.app(server, risks=frozenset({Risk.READ}))
    source = org.source(reader, org.app(server, name="writer", risks=frozenset({Risk.WRITE})))
    org.answers[TOKEN] = [plain(429, **fields)]
    for said in ("answered 429", "no more requests of reader"):
        fault = await held_back(source, org.reading())
        assert said in str(fault)
        assert fault.until - org.clock.seconds() == pytest.approx(seconds + SPREAD)
    (told,) = org.told("credential.not-minted")
    assert told["user_agent_token"] == org.at(TOKEN)[0].user_agent
    assert len(org.at(TOKEN)) == 1
    await lent(source, org.operation())
    org.clock.advance(seconds)
    await lent(source, org.reading())


@pytest_twisted.ensureDeferred
async def test_after_a_wait_one_is_asked_for_first(org):
    source = org.source()
    org.answers[TOKEN] = [plain(429, Retry_After="5"), hang_up, hang_up]
    await held_back(source, org.reading())
    org.clock.advance(5)
    with pytest.raises(CredentialUnavailable, match="cannot be asked"):
        await source.lend(org.reading(), reuse=0.0)
    assert (await held_back(source, org.reading())).until == pytest.approx(
        org.clock.seconds() + 2 * TRIAL
    )
    org.clock.advance(TRIAL)
    await lent(source, org.reading())
    await lent(source, org.reading())
