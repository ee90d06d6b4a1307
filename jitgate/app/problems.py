"""What is wrong with a configuration, gathered while it is put together, to be said at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from jitgate.errors import ConfigurationInvalid, MustStop, OptionsInvalid

Made = TypeVar("Made")
Arguments = ParamSpec("Arguments")


class Problems:
    """A list of sentences that grows."""

    def __init__(self, found: Sequence[str] = ()) -> None:
        self._found = list(found)

    def add(self, problem: str) -> None:
        """One more."""
        self._found.append(problem)

    def unique(self, kind: str, names: Sequence[str]) -> None:
        """Names of which each may stand once."""
        twice = sorted({name for name in names if names.count(name) > 1})
        self._found += [f"the {kind} {name!r} is provided more than once" for name in twice]

    def attempt(
        self,
        where: str,
        make: Callable[Arguments, Made],
        *args: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Made | None:
        """What ``make`` makes; if it cannot, a problem at that place, and None."""
        try:
            return make(*args, **named)
        except OptionsInvalid as error:
            self._found += error.problems  # they say where themselves
        except ConfigurationInvalid as error:
            self._found += [f"{where}: {problem}" for problem in error.problems]
        except (MustStop, ValueError) as error:
            self._found.append(f"{where}: {error}")
        return None

    def raise_any(self) -> None:
        """Raise `ConfigurationInvalid` if there are some."""
        if self._found:
            raise ConfigurationInvalid(self._found)
