"""Checking one log against what is signed of it: bytes, order, tree, bodies, and what is left over.

A check goes on after a difference. Where entries are missing, the roots behind the gap cannot fit
and are not compared again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from jitgate.core.merkle import Tree, leaf_hash
from jitgate.stores.bodychecks import BodiesCheck
from jitgate.stores.findings import Finding, Report, Severity
from jitgate.stores.layout import lines_name, segments
from jitgate.stores.lines import FORMAT, LineInvalid, read_line
from jitgate.stores.scanning import Tail, left_behind, raw_lines

Content = dict[str, Any]

Step = Finding | int
"""A finding, or a number of bytes that have been dealt with."""

_OPENINGS = frozenset({"log.open", "site.open", "segment.resumed"})


@dataclass(slots=True)
class Claims:
    """What is known of a log from elsewhere: from checkpoints, or from the site log."""

    heads: dict[int, str] = field(default_factory=dict)
    """The root, in hex, that the log has at a size."""
    covered: int = 0
    """How many of its entries the checkpoint stands for."""
    closed: int | None = None
    """How many entries it ended with, if it has ended."""
    abandoned: object = None
    """What its closing says was left behind them."""


class LogCheck:
    """One pass over a log. ``size`` is the number of entries up to where it has come."""

    def __init__(
        self,
        folder: Path,
        name: str,
        claims: Claims,
        report: Report,
        visit: Callable[[Content], None],
    ) -> None:
        self.size = 0
        self._folder = folder
        self._name = name
        self._claims = claims
        self._report = report
        self._visit = visit
        self._tree = Tree()
        self._comparable = True
        self._agreed = 0
        self._shift = 0
        self._last = ""
        self._left: tuple[Tail, ...] = ()

    def run(self) -> Iterator[Step]:
        """Check everything; yields findings, and how many bytes each step has dealt with."""
        firsts = segments(self._folder)
        if firsts and firsts[0] != 0:
            yield self._lost(firsts[0], f"entries 0 to {firsts[0] - 1} are missing")
        for first, following in zip_longest(firsts, firsts[1:]):
            stop = self._claims.closed if following is None else following
            yield from self._segment(first, stop)
        last = firsts[-1] if firsts else 0
        signed = max(self._claims.heads, default=0)
        if self.size < signed and self._comparable:
            what = f"{self.size} entries are there, {signed} are signed for: cut or rolled back"
            yield self._lost(last, what)
        yield from self._ending(last)

    def _segment(self, first: int, stop: int | None) -> Iterator[Step]:
        """One segment, of which the entries before ``stop`` count."""
        self.size, self._shift, length = first, 0, 0
        bodies = BodiesCheck(self._folder, first)
        for raw in raw_lines(self._folder / lines_name(first)):
            if self.size == stop or not raw.endswith(b"\n"):
                break
            content = yield from self._line(first, raw)
            if length == 0:
                yield from self._opening(first, content)
            tally = self._report.covered if self._is_covered else self._report.unwitnessed
            for problem in bodies.check(content, tally):
                yield self._finding(first, problem)
            tally.count(content.get("time"))
            self.size += 1
            yield from self._compare(first)
            length += len(raw)
            yield len(raw)
        bodies.close()
        yield bodies.end
        if length == 0:
            yield from self._opening(first, {})
        if stop is not None and self.size < stop:
            yield self._lost(first, f"entries {self.size} to {stop - 1} are missing")
        if stop is not None and self.size > stop:
            yield self._lost(first, f"the log had ended with {stop} entries")
        self._left = left_behind(self._folder, first, length, bodies.end)

    @property
    def _is_covered(self) -> bool:
        return self.size < self._claims.covered

    def _line(self, first: int, raw: bytes) -> Generator[Finding, None, Content]:
        """The content of a line; an empty one, after a finding, if it has none."""
        self._tree.append(leaf_hash(raw))
        try:
            content = read_line(raw)
        except LineInvalid as error:
            yield self._finding(first, str(error))
            return {}
        shift = content["seq"] - self.size
        if shift != self._shift:
            yield self._finding(first, f"seq {content['seq']} stands in the place of {self.size}")
            self._shift = shift
        if content["time"] < self._last:
            yield self._finding(first, "time runs back")
        self._last = content["time"]
        self._visit(content)
        return content

    def _opening(self, first: int, content: Content) -> Iterator[Finding]:
        """The first line of a segment says what it is, and explains what the last one left."""
        left, self._left = self._left, ()
        if content.get("type") not in _OPENINGS:
            yield self._finding(first, "the segment does not begin with an opening entry")
        if first == 0 and content.get("format", FORMAT) != FORMAT:
            yield self._finding(first, "the format is not one that is known", Severity.UNCERTAIN)
        if content.get("type") == "log.open" and f"logs/{content.get('log')}" != self._name:
            yield self._finding(first, f"the log is {content.get('log')!r} by its first entry")
        may_shrink = content.get("why") == "failed"
        yield from self._explained(first, left, content.get("abandoned"), may_shrink=may_shrink)

    def _ending(self, last: int) -> Iterator[Finding]:
        """What stands behind the last entry: explained if the log has ended, else unfinished."""
        if self._claims.closed is None:
            self._report.unfinished += sum(tail.bytes for tail in self._left)
        else:
            said = self._claims.abandoned
            yield from self._explained(last, self._left, said, may_shrink=False)

    def _explained(
        self, first: int, left: Sequence[Tail], said: object, *, may_shrink: bool
    ) -> Iterator[Finding]:
        """Hold what was left behind against what an entry says of it.

        After a failed sync nobody can make sure of it, so that a power cut may shorten it.
        """
        found = {tail.file: tail for tail in left}
        items = said if isinstance(said, list) else []
        expected = {str(item.get("file")): item for item in items if isinstance(item, Mapping)}
        for file in sorted({*found, *expected}):
            tail, item = found.get(file), expected.get(file)
            if item is None and tail is not None:
                what = f"{tail.bytes} bytes from {tail.offset} of {file} on belong to no entry"
                yield self._finding(first, what)
            elif item is not None and (tail is None or tail._asdict() != item):
                length = item.get("bytes")
                shorter = tail is None or (isinstance(length, int) and tail.bytes < length)
                severity = Severity.UNCERTAIN if may_shrink and shorter else Severity.TAMPERED
                what = f"the bytes that were left behind in {file} are not what they were"
                yield self._finding(first, what, severity)

    def _compare(self, first: int) -> Iterator[Finding]:
        """Hold the tree against what is signed, at each size that something is signed for."""
        signed = self._claims.heads.get(self.size)
        if signed is None or not self._comparable:
            return
        if self._tree.root.hex() == signed:
            self._agreed = self.size
            return
        self._comparable = False
        span = f"{self._agreed} to {self.size - 1}"
        yield Finding(
            Severity.TAMPERED,
            self._path(first),
            None,
            f"entries {span} are not those that were signed (one, or more, differ)",
        )

    def _lost(self, first: int, what: str) -> Finding:
        self._comparable = False
        return Finding(Severity.TAMPERED, self._path(first), None, what)

    def _finding(self, first: int, what: str, severity: Severity = Severity.TAMPERED) -> Finding:
        return Finding(severity, self._path(first), self.size, what)

    def _path(self, first: int) -> str:
        return f"{self._name}/{lines_name(first)}"
