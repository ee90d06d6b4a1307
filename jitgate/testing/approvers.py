"""The suite for approver channels: each state of a request is told, as often as it is asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from jitgate.errors import ApproversUnreachable
from jitgate.interfaces import IApproverChannel, IGrantChannel
from jitgate.testing.contract import QUICK, Contract, quickest
from jitgate.testing.waiting import waits, within
from jitgate.values import (
    AccessRequest,
    AccessState,
    Answer,
    Ask,
    Escalation,
    Grant,
    GrantState,
    Less,
    Operation,
    Quorum,
    Shown,
    Subject,
    Terms,
    Use,
)

_POOL = "PoolThread-twisted"
"""How threads begin that belong to the reactor, which gives them to the next who asks."""

_AGENT = Subject("https://idp.example", "bot-7", frozenset({"agents"}), 2e9)
_CALL = Operation("t", "dropUser", {"id": "1"}, "DELETE", "api.example:443", "/users/1")
_SHOWN = Shown("https://api.example/users/1", (("Prefer", "x"),), '{"why": "<b>\\n\U0001d7d8"}', 20)
_TERMS = Terms((Quorum(("it-leads",)),))
_MORE = Terms(
    (Quorum(("it-leads",), 2, (Escalation(300.0, ("security",)),), reason=True, denials=2),), 5
)
_ASK = Ask(_AGENT, _CALL, "f1", _TERMS, "people-look", "Looked at", "p1", "run-1", "ex-1", _SHOWN)
_ACTIVE = GrantState.ACTIVE
REQUEST = AccessRequest("ar-1", _ASK, opened_at=1.8e9, expires_at=1.8e9 + 600)
"""One that is pending."""


def requests() -> Iterator[AccessRequest]:
    """One in each state, one whose body cannot be shown, and one with all that may come with it."""
    yield from (replace(REQUEST, state=state, why="A test.") for state in AccessState)
    yield replace(REQUEST, id="ar-2", ask=replace(_ASK, shown=replace(_SHOWN, body=None)))
    yield replace(
        REQUEST,
        id="ar-3",
        ask=replace(_ASK, terms=_MORE),
        answers=(Answer("alice@acme.com", True, 1.8e9, "cli", "OPS-7", Less(uses=2, life=60.0)),),
        asked=4,
        escalated=300.0,
    )


def grants() -> Iterator[tuple[Grant, Use | None]]:
    """One that is live, one whose only use was answered, one whose use is unknown, one revoked."""
    live = Grant("g-1", "ar-1", _ASK, ("alice@acme.com",), 1.8e9, 1.8e9 + 300, {_ACTIVE: 1})
    use = Use("ex-1", "g-1", "f1", 1.8e9 + 1, ended_at=1.8e9 + 2)
    yield live, None
    yield (
        replace(live, tally={GrantState.SPENT: 1}),
        replace(use, state=GrantState.SPENT, status=204),
    )
    yield (
        replace(live, tally={GrantState.UNKNOWN: 1}),
        replace(use, state=GrantState.UNKNOWN),
    )
    yield replace(live, tally={GrantState.REVOKED: 1}, why="Revoked by bob@acme.com."), None


class ChannelContract(Contract):
    """What every `IApproverChannel` promises. Whom yours reaches, and how, is yours to test."""

    def make(self) -> IApproverChannel:
        """The channel, made anew at each call, where it can reach somebody."""
        raise NotImplementedError("let make() return what your plugin provides")

    def unreachable(self) -> IApproverChannel | None:
        """The same where it can reach nobody."""
        return None

    def test_it_provides_its_port(self) -> None:
        assert verifyObject(IApproverChannel, self.make())

    @waits
    async def test_each_state_is_told_and_may_be_told_again(self) -> None:
        """A gateway that starts anew tells again what is pending."""
        made = self.make()
        for request in requests():
            for _ in range(2):
                await within(made.tell(request))

    @waits
    async def test_what_becomes_of_a_grant_is_told_where_it_is_shown(self) -> None:
        made = self.make()
        if IGrantChannel.providedBy(made):
            assert verifyObject(IGrantChannel, made)
            for grant, use in grants():
                await within(made.tell_grant(grant, use))

    @waits
    async def test_who_cannot_be_reached_is_said_as_the_port_says_it(self) -> None:
        made = self.unreachable()
        if made is not None:
            with pytest.raises(ApproversUnreachable):
                await within(made.tell(REQUEST))

    @waits
    async def test_it_holds_no_thread(self) -> None:
        """Neither the reactor's, in which all others wait, nor one of its own when it is done."""
        made, before = self.make(), set(threading.enumerate())
        calls: list[Deferred[None]] = []
        asked = lambda: calls.append(Deferred.fromCoroutine(made.tell(REQUEST)))
        assert quickest(asked, time.monotonic) < QUICK, "the reactor waits for it"
        for each in calls:
            await within(each)
        left = {each.name for each in set(threading.enumerate()) - before}
        assert not {name for name in left if not name.startswith(_POOL)}
