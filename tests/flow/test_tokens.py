"""An exchange of tokens that the configuration changes under."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from support.ports import Stand
from twisted.internet.defer import Deferred
from zope.interface import implementer

from jitgate.flow.ahead import Ahead
from jitgate.flow.budgets import Budgets
from jitgate.flow.tokens import Declined, TokenExchange, Wanted
from jitgate.identity.own_tokens import OwnTokens
from jitgate.interfaces import IIdentityVerifier
from jitgate.values import Subject

SUBJECT = Subject("https://idp.example", "bot-7", frozenset(), 2_000_000_000.0)


@implementer(IIdentityVerifier)
class Slowly:
    """Proves the subject once it is let."""

    def __init__(self):
        self.let = Deferred()

    async def verify(self, token, *, again=False):
        await self.let
        return SUBJECT


@pytest.mark.parametrize("believed_anew", [False, True])
@ensureDeferred
async def test_who_was_proved_on_terms_that_are_gone_gets_no_token(believed_anew):
    stand, identity = Stand(), Slowly()
    ahead = Ahead(
        targets={},
        decide=stand.decider.ahead,
        scope_print=stand.decider.asks.scope_print,
        access=stand.access,
        budgets=Budgets(stand.budgets, stand.clock),
        clock=stand.clock,
        new_id=stand.new_id,
    )
    tokens = TokenExchange(
        ahead=ahead,
        identity=identity,
        source=OwnTokens(lambda: "jitgate/test", stand.clock),
        revocations=stand.revocations,
        clock=stand.clock,
        new_id=lambda kind: f"{kind}-1",
    )
    asked = Deferred.fromCoroutine(tokens.exchange(SUBJECT, Wanted("its token"), "s"))
    if believed_anew:
        tokens.adopt(Slowly())
    identity.let.callback(None)
    answer = await asked
    assert isinstance(answer, Declined) is believed_anew
    if believed_anew:
        assert answer.error == "slow_down"
