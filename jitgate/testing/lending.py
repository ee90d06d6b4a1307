"""The suite for sources that follow what they lend: each call has its own, and gives it back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import strategies
from twisted.internet.defer import Deferred, DeferredList
from zope.interface.verify import verifyObject

from jitgate.core.injection import COUNTING
from jitgate.errors import CredentialUnavailable
from jitgate.interfaces import ILendingSource
from jitgate.provided import NEVER_ISSUED
from jitgate.testing.contract import for_all
from jitgate.testing.credentials import SourceContract, names_its_secrets, tells_no_secret
from jitgate.testing.waiting import waits, within
from jitgate.values import Credential, ResponseHead

_TEXTS = strategies.sampled_from(
    [b"", b"nonce", b"DPoP", b'Bearer error="', b"a=b, c", b"\xff\x00"]
)
_NAMES = strategies.sampled_from([b"WWW-Authenticate", b"DPoP-Nonce", b"Date", b"X-Other"])
_FIELDS = strategies.lists(strategies.tuples(_NAMES, _TEXTS | strategies.binary(max_size=20)))


class LendingContract(SourceContract):
    """What every `ILendingSource` promises. What its target takes is yours to test."""

    fixed = False
    """Whether it has one secret for all calls, whatever ``reuse`` says."""

    def make(self) -> ILendingSource:
        """The source, made anew at each call."""
        raise NotImplementedError("let make() return what your plugin provides")

    def test_it_provides_its_port(self) -> None:
        assert verifyObject(ILendingSource, self.make())

    @waits
    async def test_what_is_lent_hides_well_and_writes_no_field_of_the_call(self) -> None:
        made = self.make()
        for operation in self.operations():
            lent = await within(made.lend(operation, reuse=0.0))
            assert not _names(lent.headers) & (NEVER_ISSUED | COUNTING)
            names_its_secrets(lent)
            tells_no_secret(lent, made)
            made.returned(lent)

    @waits
    async def test_without_reuse_no_two_calls_share_a_secret(self) -> None:
        """Neither those at once nor one after the other."""
        made, seen = self.make(), set[bytes]()
        for operation in self.operations():
            lent = [await within(made.lend(operation, reuse=0.0)) for _ in range(2)]
            for each in lent:
                made.returned(each)
            lent.append(await within(made.lend(operation, reuse=0.0, granted=True)))
            made.returned(lent[-1])
            for each in lent:
                assert self.fixed or seen.isdisjoint(each.secrets)
                seen.update(each.secrets)

    @waits
    async def test_what_asks_at_once_to_share_is_served(self) -> None:
        made = self.make()
        for operation in self.operations():
            asked = [Deferred.fromCoroutine(made.lend(operation, reuse=60.0)) for _ in range(3)]
            for served, lent in await within(DeferredList(asked, consumeErrors=True)):
                assert served, "it does not serve all who ask at once"
                made.returned(lent)

    @waits
    async def test_once_more_it_has_the_same_fields(self) -> None:
        made = self.make()
        for operation in self.operations():
            lent = await within(made.lend(operation, reuse=0.0))
            again = made.again(lent)
            assert _names(again.headers) == _names(lent.headers)
            names_its_secrets(again)
            tells_no_secret(again, made)
            made.returned(lent)

    @waits
    async def test_it_hears_of_every_answer(self) -> None:
        """Of what is no answer of its target's too."""
        made = self.make()
        for status in (200, 204, 400, 401, 403, 429, 500, 999):
            for operation in self.operations():
                lent = await within(made.lend(operation, reuse=0.0))
                said = made.heard(lent, ResponseHead(status, ((b"WWW-Authenticate", b"\xff"),)))
                assert said is None or said.endswith(".")
                made.returned(lent)

    @for_all(status=strategies.integers(100, 999), fields=_FIELDS)
    def test_no_answer_is_too_much_for_it(
        self, status: int, fields: list[tuple[bytes, bytes]]
    ) -> None:
        made, _ = self.pair()
        stranger = Credential((), ())
        said = made.heard(stranger, ResponseHead(status, tuple(fields)))
        assert said is None or said.endswith(".")
        made.returned(stranger)

    @waits
    async def test_where_it_has_none_it_says_so(self) -> None:
        for operation in self.refused():
            with pytest.raises(CredentialUnavailable):
                await within(self.make().lend(operation, reuse=0.0))


def _names(headers: Sequence[tuple[bytes, bytes]]) -> set[bytes]:
    return {name.lower() for name, _ in headers}
