"""The suite for credential sources: a credential that hides well, or a fault that says why none."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence

import pytest
from zope.interface.verify import verifyObject

from jitgate.core.injection import COUNTING
from jitgate.errors import CredentialUnavailable
from jitgate.interfaces import ICredentialSource
from jitgate.provided import NEVER_ISSUED
from jitgate.testing.contract import Contract
from jitgate.testing.waiting import waits, within
from jitgate.values import Credential, Operation


class SourceContract(Contract):
    """What a suite for a source needs beside it, whatever port that provides."""

    def operations(self) -> Sequence[Operation]:
        """Some that it has a credential for."""
        return [Operation("t", "getUser", {"id": "1"}, "GET", "api.example:443", "/users/1")]

    def refused(self) -> Sequence[Operation]:
        """Some that it has none for."""
        return ()


class CredentialContract(SourceContract):
    """What every `ICredentialSource` promises. What its target takes is yours to test."""

    def make(self) -> ICredentialSource:
        """The source, made anew at each call."""
        raise NotImplementedError("let make() return what your plugin provides")

    def test_it_provides_its_port(self) -> None:
        assert verifyObject(ICredentialSource, self.make())

    @waits
    async def test_it_issues_a_credential_and_again(self) -> None:
        made = self.make()
        for operation in [*self.operations()] * 2:
            assert isinstance(await within(made.issue(operation)), Credential)

    @waits
    async def test_it_writes_no_field_of_the_call(self) -> None:
        for _, issued in await self._issued():
            written = {name.lower() for name, _ in issued.headers}
            assert not written & (NEVER_ISSUED | COUNTING)

    @waits
    async def test_its_secrets_are_those_that_its_headers_hold(self) -> None:
        """As they stand, or in Base64 as Basic has them. What is not named is not hidden."""
        for _, issued in await self._issued():
            names_its_secrets(issued)

    @waits
    async def test_what_is_told_of_it_holds_no_secret(self) -> None:
        """Facts are recorded; a repr can get into a log."""
        for made, issued in await self._issued():
            tells_no_secret(issued, made)

    @waits
    async def test_where_it_has_none_it_says_so(self) -> None:
        for operation in self.refused():
            with pytest.raises(CredentialUnavailable):
                await within(self.make().issue(operation))

    async def _issued(self) -> list[tuple[ICredentialSource, Credential]]:
        made = self.make()
        return [(made, await within(made.issue(each))) for each in self.operations()]


def names_its_secrets(issued: Credential) -> None:
    """Fail where its secrets are not exactly those that its headers hold."""
    assert all(issued.secrets), "an empty secret cannot be hidden"
    for _, value in issued.headers:
        assert any(secret in value for secret in issued.secrets), "a header without one"
    held = [each for _, value in issued.headers for each in _read(value)]
    assert all(any(secret in each for each in held) for secret in issued.secrets)


def tells_no_secret(issued: Credential, made: object) -> None:
    """Fail where what is told of it, or of its source, holds a secret."""
    told = f"{dict(issued.facts)!r} {issued!r} {made!r}"
    for secret in issued.secrets:
        assert secret.decode("latin-1") not in told
        assert repr(secret)[2:-1] not in told


def _read(value: bytes) -> Iterator[bytes]:
    yield value
    for word in value.split():
        try:
            yield base64.b64decode(word)
        except binascii.Error:
            continue
