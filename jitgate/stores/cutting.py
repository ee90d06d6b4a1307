"""When the logs of a run are cut, so that what ended there is a whole recording by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jitgate.stores.writers import Others


class Cuts:
    """Each ``every`` seconds all logs are cut, right behind a checkpoint (None: never).

    Workers, whose logs are ``others``, do it once they see that the site log was cut.
    """

    def __init__(self, every: float | None, now: Callable[[], float], others: Others) -> None:
        self._every = every
        self._now = now
        self._others = others
        self._at, self._size = 0.0, 0
        """When they are cut next, and the size of the run's own log when they were last."""
        self._behind: Path | None = None
        self.whole: Path | None = None
        """The newest checkpoint of which all that it covers is in ended segments."""

    def begin(self) -> None:
        """The run has begun."""
        self._at = self._now() + (self._every or 0.0)

    def due(self, size: int) -> bool:
        """An idle run is not cut: the opening of a segment alone is not worth one."""
        grown = size > self._size + 1 or self._others.have_grown
        return self._every is not None and grown and self._now() >= self._at

    def cut(self, behind: Path, size: int) -> None:
        """They are cut behind a checkpoint, where the run's own log had so many entries."""
        self._behind, self._size = behind, size
        self._others.to_cut()
        self.begin()

    def settle(self, recording: Path) -> None:
        """Take the checkpoint for whole once workers have cut theirs as well."""
        if self._behind is not None and self._others.have_cut(recording):
            self.whole, self._behind = self._behind, None
