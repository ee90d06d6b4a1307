"""The suite for identity verifiers: a Subject or a Refusal for whatever is brought as a token."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from jitgate.errors import IdentityUnavailable, StoreDown
from jitgate.interfaces import IIdentityVerifier
from jitgate.testing.contract import Contract, for_all
from jitgate.testing.waiting import waits, within
from jitgate.values import Refusal, Subject

LONG = 20 * 1024
"""Characters of a token that is longer than any that is sound, and fits into a request's head."""


class IdentityContract(Contract):
    """What every `IIdentityVerifier` promises. Which tokens are refused is yours to test."""

    def make(self) -> IIdentityVerifier:
        """The verifier, made anew at each call."""
        raise NotImplementedError("let make() return what your plugin provides")

    def good(self) -> str:
        """A token that proves somebody, another one at each call."""
        raise NotImplementedError("let good() return a token that proves somebody")

    def bad(self) -> Sequence[str]:
        """Tokens that prove nobody, beside those that prove nobody anywhere."""
        return ()

    def test_it_provides_its_port(self) -> None:
        assert verifyObject(IIdentityVerifier, self.make())

    @waits
    async def test_a_good_token_proves_a_subject(self) -> None:
        subject = await within(self.make().verify(self.good()))
        assert isinstance(subject, Subject)
        assert all((subject.issuer, subject.id, subject.expires_at))
        assert isinstance(subject.groups, frozenset)
        assert subject.binding is None, "only the gateway's own tokens are bound to anything"

    @waits
    async def test_it_is_proved_again_for_the_tunnel_that_has_proved_it(self) -> None:
        made, token = self.make(), self.good()
        first = await within(made.verify(token))
        assert isinstance(first, Subject)
        assert await within(made.verify(token, again=True)) == first

    @waits
    async def test_a_bad_token_is_refused_and_not_repeated(self) -> None:
        good = self.good()
        cut = [good[: len(good) // 2], good[: -len(good) // 4]]
        for token in ["", " ", "..", "a.b.c", "x" * LONG, good + "x" * LONG, *cut, *self.bad()]:
            for again in (False, True):
                refusal = await within(self.make().verify(token, again=again))
                assert isinstance(refusal, Refusal), f"{token[:60]!r} is not refused"
                assert refusal.detail
                assert len(token) <= 5 or token not in refusal.detail

    @for_all(token=st.text())
    def test_whatever_is_brought_is_answered(self, token: str) -> Deferred[None]:
        return Deferred.fromCoroutine(self._nobody(token))

    async def _nobody(self, token: str) -> None:
        made, _ = self.pair()
        with contextlib.suppress(IdentityUnavailable, StoreDown):
            assert isinstance(await within(made.verify(token)), Refusal)
