"""The suite for sources of groups: who is in one is told whole and in time, or not at all."""

from __future__ import annotations

import inspect
from collections.abc import Collection

import pytest
from zope.interface.verify import verifyObject

from jitgate.core.answers import is_person, person
from jitgate.errors import PeopleUnknown
from jitgate.flow.elsewhere import MEMBERS
from jitgate.interfaces import IGroups
from jitgate.testing.contract import Contract
from jitgate.testing.waiting import waits, within


class GroupsContract(Contract):
    """What every `IGroups` promises. Who is in which group is yours to test."""

    def make(self) -> IGroups:
        """The source, made anew at each call, where it can tell."""
        raise NotImplementedError("let make() return what your plugin provides")

    def cannot_tell(self) -> IGroups | None:
        """The same where it cannot tell."""
        return None

    def group(self) -> str:
        """A group that somebody is in where ``make`` looks."""
        raise NotImplementedError("let group() name a group")

    def no_group(self) -> str:
        """What a group there could be called, and none is."""
        raise NotImplementedError("let no_group() name one that there is not")

    def misnamed(self) -> str | None:
        """What no group there can be called; None where any name will do."""
        return None

    def test_it_provides_its_port(self) -> None:
        assert verifyObject(IGroups, self.make())
        assert inspect.iscoroutinefunction(self.make().members)

    def test_its_deadline_is_seconds(self) -> None:
        deadline = self.make().deadline
        assert isinstance(deadline, int | float)
        assert 0 < deadline <= 10

    def test_what_no_group_is_called_is_found_without_asking(self) -> None:
        made, wrong = self.make(), self.misnamed()
        assert made.misnamed(self.group()) is None
        assert made.misnamed(self.no_group()) is None
        if wrong is not None:
            said = made.misnamed(wrong)
            assert isinstance(said, str)
            assert said

    @waits
    async def test_everybody_in_a_group_is_told_each_time(self) -> None:
        made = self.make()
        told = [await within(made.members(self.group())) for _ in range(2)]
        for members in told:
            assert isinstance(members, Collection)
            assert not isinstance(members, str | bytes | dict)
            assert 0 < len(members) <= MEMBERS
            for each in members:
                assert person(each) == each, f"{each!r} is not as persons are spelled"
                assert is_person(each), f"{each!r} is no person's address, nor an issuer and an id"
        assert set(told[0]) == set(told[1])

    @waits
    async def test_a_group_that_there_is_not_is_not_one_without_members(self) -> None:
        with pytest.raises(PeopleUnknown):
            await within(self.make().members(self.no_group()))

    @waits
    async def test_where_it_cannot_be_told_that_is_said_as_the_port_says_it(self) -> None:
        made = self.cannot_tell()
        if made is not None:
            with pytest.raises(PeopleUnknown):
                await within(made.members(self.group()))
