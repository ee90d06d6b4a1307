"""The suite for facts: what can be said of them without asking whom they ask."""

from __future__ import annotations

import inspect

from zope.interface.verify import verifyObject

from jitgate.interfaces import IFacts
from jitgate.testing.contract import QUICK, Contract, for_all, quickest
from jitgate.testing.strategies import operations, subjects
from jitgate.values import Operation, Subject


class FactsContract(Contract):
    """What every `IFacts` promises beside what it gathers, which is yours to test."""

    def make(self) -> IFacts:
        """The facts, made anew at each call."""
        raise NotImplementedError("let make() return what your plugin provides")

    def test_they_provide_their_port(self) -> None:
        assert verifyObject(IFacts, self.make())
        assert inspect.iscoroutinefunction(self.make().gather)

    def test_their_times_are_seconds(self) -> None:
        made = self.make()
        assert isinstance(made.deadline, int | float)
        assert isinstance(made.max_age, int | float)
        assert made.deadline > 0
        assert made.max_age >= 0

    @for_all(operation=operations(), subject=subjects())
    def test_the_same_call_has_the_same_key(self, operation: Operation, subject: Subject) -> None:
        one, other = self.pair()
        key = one.key(operation, subject)
        hash(key)
        assert one.key(operation, subject) == key
        assert other.key(operation, subject) == key

    @for_all(operation=operations(), subject=subjects())
    def test_the_key_is_told_quickly(self, operation: Operation, subject: Subject) -> None:
        made, _ = self.pair()
        assert quickest(lambda: made.key(operation, subject)) < QUICK
