"""The parser of the command line: what is mistyped is told by the command that it was typed for."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Names what it does not know, and what may be meant. Commands below it have the same class.

    Options are typed whole: what stands for one today could stand for two tomorrow.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse does, but nothing is left over: that would be told of `jitgate` as a whole.

        Exits with status 2 for what it does not know.
        """
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._unknown(unknown)
        return found, unknown

    def _unknown(self, unknown: Sequence[str]) -> NoReturn:
        options = [name for action in self._actions for name in action.option_strings]
        hint = _meant(unknown[0].partition("=")[0], options)
        if not hint and not unknown[0].startswith("-"):
            hint = " (words that belong together stand in quotes)"
        self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse does, with what may be meant before the list of all."""
        if action.choices is not None and value not in action.choices:
            known = [f"{each}" for each in action.choices]
            told = f"there is no {value!r}{_meant(f'{value}', known)}: choose from "
            raise argparse.ArgumentError(action, told + ", ".join(known))


def _meant(typed: str, known: Iterable[str]) -> str:
    import difflib  # only for who has mistyped something

    near = difflib.get_close_matches(typed, list(known), 1)
    return f" (is {near[0]} meant?)" if near else ""
