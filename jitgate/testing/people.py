"""The suite for sources of people: whether somebody is active is told in time, by True or False."""

from __future__ import annotations

import inspect

import pytest
from zope.interface.verify import verifyObject

from jitgate.errors import PeopleUnknown
from jitgate.interfaces import IPeople
from jitgate.testing.contract import Contract
from jitgate.testing.waiting import waits, within


class PeopleContract(Contract):
    """What every `IPeople` promises. Whom yours knows to be active is yours to test."""

    def make(self) -> IPeople:
        """The source, made anew at each call, where it can tell."""
        raise NotImplementedError("let make() return what your plugin provides")

    def cannot_tell(self) -> IPeople | None:
        """The same where it cannot tell."""
        return None

    def inactive(self) -> str:
        """Somebody who is deactivated where ``make`` looks."""
        raise NotImplementedError("let inactive() name somebody")

    def test_it_provides_its_port(self) -> None:
        assert verifyObject(IPeople, self.make())
        assert inspect.iscoroutinefunction(self.make().is_active)

    def test_its_deadline_is_seconds(self) -> None:
        deadline = self.make().deadline
        assert isinstance(deadline, int | float)
        assert 0 < deadline <= 10

    @waits
    async def test_who_is_deactivated_is_told_each_time(self) -> None:
        made = self.make()
        for _ in range(2):
            assert await within(made.is_active(self.inactive())) is False

    @waits
    async def test_where_it_cannot_be_told_that_is_said_as_the_port_says_it(self) -> None:
        made = self.cannot_tell()
        if made is not None:
            with pytest.raises(PeopleUnknown):
                await within(made.is_active(self.inactive()))
