"""What every suite needs: the thing that is tested, made anew, and others that must differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

QUICK = 0.005
"""Seconds that a rule or a masker may take for one answer: the reactor does nothing else then."""

TRIES = 5
"""A machine may be busy at one time; not each time."""

_SETTINGS = settings(
    deadline=None,
    max_examples=50,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
"""Time is measured where it is promised; what is slow is not looked at again and again."""

Test = TypeVar("Test", bound=Callable[..., object])


def for_all(**strategies: SearchStrategy[Any]) -> Callable[[Test], Test]:
    """Mark a test as a property over these: each class that inherits it gets one of its own.

    One test of Hypothesis shared by several classes is one to pytest's plugins as well: they would
    take the second class for the first.
    """

    def marked(test: Test) -> Test:
        test.for_all = test, strategies  # type: ignore[attr-defined]
        return test

    return marked


def _property(test: FunctionType, strategies: dict[str, SearchStrategy[Any]]) -> Callable[..., Any]:
    own = FunctionType(test.__code__, test.__globals__, test.__name__, None, test.__closure__)
    own.__qualname__, own.__doc__ = test.__qualname__, test.__doc__
    own.__annotations__ = test.__annotations__
    made = _SETTINGS(given(**strategies)(own))
    made.for_all = test, strategies  # type: ignore[attr-defined]
    return made


class Contract:
    """The suite of one port. Inherit it in a class whose name begins with ``Test``."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in dir(cls):
            marked = getattr(getattr(cls, name), "for_all", None)
            if marked is not None:
                setattr(cls, name, _property(*marked))

    @pytest.fixture(autouse=True)
    def _in_a_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        """Of each test alone, and empty: where what keeps files may keep them."""

    def make(self) -> Any:
        """The thing that is tested, made anew at each call."""
        raise NotImplementedError("let make() return what your plugin provides")

    def pair(self) -> tuple[Any, Any]:
        """Two of it, made alike, for all the questions that are asked: loading one takes a while.

        An answer that depends on what was asked before shows as well.
        """
        cls = type(self)
        if "_pair" not in cls.__dict__:
            setattr(cls, "_pair", (self.make(), self.make()))  # noqa: B010 (of this class alone)
        made: tuple[Any, Any] = cls.__dict__["_pair"]
        return made

    def others(self) -> Sequence[Any]:
        """The same with other options, each of which makes it answer something else."""
        return ()

    def test_it_has_a_name_and_a_version(self) -> None:
        made = self.make()
        for attribute in ("name", "version"):
            value = getattr(made, attribute)
            assert isinstance(value, str), f"its {attribute} is no text"
            assert value, f"its {attribute} is empty"

    def test_made_alike_it_has_the_same_name_and_version(self) -> None:
        one, other = self.make(), self.make()
        assert (one.name, one.version) == (other.name, other.version)

    def test_its_version_tells_its_options_apart(self) -> None:
        """Else what it decides could change while the policy's version does not."""
        versions = [each.version for each in (self.make(), *self.others())]
        assert len(set(versions)) == len(versions)


def quickest(call: Callable[[], object], clock: Callable[[], float] = time.thread_time) -> float:
    """Seconds that the call takes, at best: of processor time, if no other clock is given."""
    times = []
    for _ in range(TRIES):
        before = clock()
        call()
        times.append(clock() - before)
        if times[-1] < QUICK:
            break
    return min(times)
