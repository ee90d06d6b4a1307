"""Checking one log against what is signed of it: bytes, order, tree, bodies, and what is left over.

A check goes on after a difference. Where entries are missing, the roots behind the gap cannot fit
and are not compared again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from jitgate.core.merkle import HASH_BYTES, Tree, leaf_hash
from jitgate.stores.bodychecks import BodiesCheck
from jitgate.stores.claims import Again, Claims
from jitgate.stores.extent import Deleted, Part, parts
from jitgate.stores.findings import Finding, Report, Severity
from jitgate.stores.layout import LEAVES, leaves_name, lines_name, numbered, segments
from jitgate.stores.lines import FORMAT, LINE_BYTES, LineInvalid, moment, read_line, seq_of
from jitgate.stores.opening import length_of, opened
from jitgate.stores.scanning import Left, left_behind, raw_lines

Content = dict[str, Any]

Step = Finding | int
"""A finding, or a number of bytes that have been dealt with."""

_OPENINGS = frozenset({"log.open", "site.open", "segment.resumed"})


class LogCheck:
    """One pass over a log. ``size`` is the number of entries up to where it has come."""

    def __init__(
        self,
        folder: Path,
        name: str,
        claims: Claims,
        report: Report,
        visit: Callable[[Content], None],
        *,
        again: Again,
        is_to_come: Callable[[str], bool],
    ) -> None:
        self.size = 0
        self.ahead: Finding | None = None
        """The first entry whose time has not come yet."""
        self._is_to_come = is_to_come
        self._folder = folder
        self._name = name
        self._claims = claims
        self._report = report
        self._visit = visit
        self._again = again
        self._tree = Tree()
        self._comparable = True
        self._agreed = 0
        self._shift = 0
        self._last = ""
        self._left: tuple[Left, ...] | None = ()
        """What stands behind the last entry of a segment; None if that was deleted."""

    def run(self) -> Iterator[Step]:
        """Check everything; yields findings, and how many bytes each step has dealt with."""
        yield from self._untold()
        found = list(parts(self._folder, self._claims.told))
        if found and found[0].first != 0:
            yield self._lost(found[0].first, f"entries 0 to {found[0].first - 1} are missing")
        for part in found:
            try:
                yield from self._part(part)
            except OSError as error:
                yield self._unread(part, error)
            if part.stop is not None and self.size < part.stop:
                yield self._lost(part.first, f"entries {self.size} to {part.stop - 1} are missing")
            if part.stop is not None and self.size > part.stop:
                yield self._lost(part.first, f"the log had ended with {part.stop} entries")
        last = found[-1].first if found else 0
        signed = max(self._claims.heads, default=0)
        if self.size < signed and self._comparable:
            what = f"{self.size} entries are there, {signed} are signed for: cut or rolled back"
            yield self._lost(last, what)
        yield from self._ending(last)

    def _unread(self, part: Part, error: OSError) -> Finding:
        """A file that cannot be read. What comes behind it is checked as behind a gap."""
        self._comparable, self._left = False, None
        self.size = self.size if part.stop is None else part.stop
        what = f"it cannot be read: {error.strerror}"
        return Finding(Severity.UNCERTAIN, self._path(part.first), None, what)

    def _untold(self) -> Iterator[Finding]:
        """What looks like lawful deletion where lines are missing, and is none.

        A reader may take it for one.
        """
        for first in sorted(self._gone()):
            if first in self._claims.unsigned:
                what = "lines are missing, and the entry that says they were deleted is not signed"
            else:
                what = f"no entry tells of a deletion that has left {leaves_name(first)}"
            severity = Severity.TAMPERED if self._claims.are_all else Severity.UNCERTAIN
            yield Finding(severity, self._path(first), None, what)

    def _gone(self) -> set[int]:
        """The segments without lines that seem to be deleted, and were not as far as is known."""
        said = {*numbered(self._folder, LEAVES), *self._claims.unsigned}
        gone = said - self._claims.told.deleted.keys() - {*segments(self._folder)}
        if gone:
            self._claims = self._again()
        return gone - self._claims.told.deleted.keys()

    def _part(self, part: Part) -> Iterator[Step]:
        deleted = self._claims.told.deleted.get(part.first)
        if part.is_there and length_of(self._folder / lines_name(part.first)) is None:
            # It was there a moment ago.
            self._claims = self._again()
            deleted = self._claims.told.deleted.get(part.first)
        elif part.is_there:
            deleted = None
        yield from self._segment(part) if deleted is None else self._deleted(deleted)

    def _segment(self, part: Part) -> Iterator[Step]:
        """One segment, of which the entries before its end count.

        Where nothing says where that is, and nothing is signed, it is where a reader would stop:
        what a crash has left behind may be anything.
        """
        first, signed = part.first, max(self._claims.heads, default=0)
        self.size, self._shift, length = first, 0, 0
        with closing(BodiesCheck(self._folder, first)) as bodies:
            for raw in raw_lines(self._folder / lines_name(first)):
                if self.size == part.stop or not raw.endswith(b"\n"):
                    break
                if part.stop is None and self.size >= signed and not self._counts(raw):
                    break
                content = yield from self._line(first, raw)
                if length == 0:
                    yield from self._opening(first, content)
                tally = self._report.covered if self._is_covered else self._report.unwitnessed
                for what, severity in bodies.check(content, tally):
                    yield self._finding(first, what, severity)
                tally.count(content.get("time"))
                self.size += 1
                yield from self._compare(first)
                length += len(raw)
                yield len(raw)
        yield bodies.end
        if length == 0:
            yield from self._opening(first, {})
        self._left = left_behind(self._folder, first, length, bodies.end)
        if length_of(self._folder / lines_name(first)) is None:
            self._left = None  # it was deleted meanwhile

    def _deleted(self, told: Deleted) -> Iterator[Step]:
        """The leaves of a segment that was deleted; they are what the site log told of it."""
        leaves = self._leaves(told)
        yield from self._hidden(told.first, leaves)
        if self._left is not None:
            # Whether they may have shrunk stood in what was deleted as well.
            yield from self._explained(told.first, self._left, told.abandoned, may_shrink=True)
        self.size, self._left = told.first, None
        if len(leaves) != told.entries * HASH_BYTES or sha256(leaves).hexdigest() != told.sha256:
            self.size += told.entries
            what = "the leaves that stay of a deleted segment are missing, or others"
            yield self._lost(told.first, what)
            return
        for at in range(0, len(leaves), HASH_BYTES):
            self._tree.append(leaves[at : at + HASH_BYTES])
            self.size += 1
            yield from self._compare(told.first)
        self._report.deleted += told.entries
        self._report.deleted_segments += 1
        age, before = self._claims.ages.get(told.first, 0.0), self._report.youngest
        self._report.youngest = age if before is None else min(before, age)
        yield len(leaves)

    def _leaves(self, told: Deleted) -> bytes:
        """The leaves that stay of a segment; none where there are not as many as were told of."""
        path, length = self._folder / leaves_name(told.first), told.entries * HASH_BYTES
        if length_of(path) != length:
            return b""
        with opened(path) as file:
            return file.read(length)

    def _hidden(self, first: int, leaves: bytes) -> Iterator[Finding]:
        """Whoever has the key can say of entries that they were a segment, and are deleted.

        They cannot make the sealer remove them: they stand behind those that count before.
        """
        for left in self._left or ():
            with opened(left.path) as file:
                file.seek(left.offset)
                if leaf_hash(file.readline(LINE_BYTES)) == leaves[:HASH_BYTES]:
                    what = f"what is said to be deleted stands in {left.path.name}"
                    yield self._lost(first, what)

    @property
    def _is_covered(self) -> bool:
        return self.size < self._claims.covered

    def _counts(self, raw: bytes) -> bool:
        """Whether a line is the next entry: whatever else it is, it has the next number."""
        return seq_of(raw) == self.size + self._shift

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
        yield from self._timed(first, content["time"])
        self._visit(content)
        return content

    def _timed(self, first: int, time: str) -> Iterator[Finding]:
        try:
            moment(time)
        except ValueError:
            yield self._finding(first, f"no calendar has the time {time}")
        if self.ahead is None and self._is_to_come(time):
            what = f"its time, {time}, has not come yet by this machine's clock"
            self.ahead = self._finding(first, what, Severity.UNCERTAIN)

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
        if left is not None:
            yield from self._explained(first, left, content.get("abandoned"), may_shrink=may_shrink)

    def _ending(self, last: int) -> Iterator[Finding]:
        """What stands behind the last entry: explained if the log has ended, else unfinished."""
        if self._left is None:
            return
        if self._claims.told.closed is None:
            self._report.unfinished += sum(left.bytes for left in self._left)
        else:
            said = self._claims.told.abandoned
            yield from self._explained(last, self._left, said, may_shrink=False)

    def _explained(
        self, first: int, left: Sequence[Left], said: object, *, may_shrink: bool
    ) -> Iterator[Finding]:
        """Hold what was left behind against what an entry says of it.

        After a failed sync nobody can make sure of it, so that a power cut may shorten it.
        """
        found = {each.path.name: each for each in left}
        items = said if isinstance(said, list) else []
        expected = {str(item.get("file")): item for item in items if isinstance(item, Mapping)}
        for file in sorted({*found, *expected}):
            there, item = found.get(file), expected.get(file)
            if item is None and there is not None:
                what = f"{there.bytes} bytes from {there.offset} of {file} on belong to no entry"
                yield self._finding(first, what)
                continue
            try:
                is_same = item is None or _is(there, item)
            except OSError as error:
                what = f"what was left behind in {file} cannot be read: {error.strerror}"
                yield self._finding(first, what, Severity.UNCERTAIN)
                continue
            if item is not None and not is_same:
                length = item.get("bytes")
                shorter = there is None or (isinstance(length, int) and there.bytes < length)
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


def _is(left: Left | None, item: Mapping[str, Any]) -> bool:
    """Whether what was left behind is what an entry says.

    It is read only where it is as long as that: a file may claim to have any length.
    """
    if left is None or (left.offset, left.bytes) != (item.get("offset"), item.get("bytes")):
        return False
    return left.tail._asdict() == item
