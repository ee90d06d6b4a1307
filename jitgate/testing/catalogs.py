"""The suite for catalogs: each call is one operation or none, and stays the call that it is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from jitgate.interfaces import ICatalog
from jitgate.provided import ProvidedCatalog
from jitgate.testing.contract import QUICK, Contract, for_all, quickest
from jitgate.testing.strategies import operations
from jitgate.values import Operation

AUTHORITY = "api.example:443"


class CatalogContract(Contract):
    """What every `ICatalog` promises. Which call is what is yours to test."""

    def make(self) -> ICatalog:
        """The catalog, made anew at each call."""
        raise NotImplementedError("let make() return what your plugin provides")

    def calls(self) -> Sequence[tuple[str, str]]:
        """Method and path of some calls that it knows."""
        return ()

    def test_it_provides_its_port(self) -> None:
        assert verifyObject(ICatalog, self.make())
        assert all(isinstance(each, str) for each in self.make().actions)

    def test_it_knows_calls_by_their_actions(self) -> None:
        made = self._held()
        for method, path in self.calls():
            found = made.operation(AUTHORITY, method, path, "")
            assert found is not None, f"{method} {path} is not known"
            assert found.action in made.actions
            assert found.target == "a-target"

    def test_its_samples_are_of_its_actions(self) -> None:
        made = self._held()
        assert {each.action for each in made.samples(AUTHORITY)} <= made.actions

    @for_all(asked=operations(), query=st.sampled_from(["", "a=1"]))
    def test_it_answers_of_every_call(self, asked: Operation, query: str) -> None:
        """Raises for another call than was asked about, as the gateway does."""
        call = AUTHORITY, asked.method, asked.path, query
        found = self._held().operation(*call)
        assert found is None or found.action in self._held().actions
        assert self._held().operation(*call) == found

    @for_all(asked=operations())
    def test_it_answers_quickly(self, asked: Operation) -> None:
        made, _ = self.pair()
        call = AUTHORITY, asked.method, asked.path, ""
        assert quickest(lambda: made.operation(*call)) < QUICK

    @for_all(asked=operations())
    def test_what_is_named_is_that_operation(self, asked: Operation) -> None:
        made = self._held()
        for action in sorted(made.actions)[:20]:
            found = made.named(AUTHORITY, action, asked.resource)
            assert found is None or (found.action, found.query) == (action, "")

    def _held(self) -> ProvidedCatalog:
        """As the gateway asks it."""
        made, _ = self.pair()
        if not ICatalog.providedBy(made):
            pytest.fail("it does not say that it provides ICatalog")
        return ProvidedCatalog("a-target", "the catalog", made)
