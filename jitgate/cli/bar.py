"""A progress bar on standard error, for what takes long; nothing where that is no terminal."""

from __future__ import annotations

import sys


class Bar:
    """One bar on one line, to be cleared before anything else is printed."""

    WIDTH = 40

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = -1

    def show(self, done: int, total: int) -> None:
        """So much of it is done."""
        percent = 100 * done // max(total, 1)
        if self._terminal and percent != self._shown:
            self._shown = percent
            filled = "#" * (self.WIDTH * percent // 100)
            print(
                f"\r  [{filled:<{self.WIDTH}}] {percent:3} %", end="", file=sys.stderr, flush=True
            )

    def clear(self) -> None:
        """Take it away."""
        if self._shown >= 0:
            self._shown = -1
            print("\r" + " " * (self.WIDTH + 12) + "\r", end="", file=sys.stderr, flush=True)

    def passed(self, count: int) -> None:
        """So many bytes of nobody knows how many are done."""
        mebibytes = count >> 20
        if self._terminal and mebibytes != self._shown and mebibytes:
            self._shown = mebibytes
            print(f"\r  {mebibytes} MiB", end="", file=sys.stderr, flush=True)
