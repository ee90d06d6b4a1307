"""Hides values in a stream of events (text/event-stream; WHATWG HTML, section 9.2)."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from jitgate.core.json_grammar import LONGEST_VIEWED
from jitgate.core.json_strings import Place
from jitgate.core.key_bounds import Keys
from jitgate.core.masking import Maskers
from jitgate.core.parts import Part, replaced
from jitgate.core.pausing import paused
from jitgate.core.pieces import Pieces
from jitgate.core.texts import Texts, may_be_json
from jitgate.errors import MaskingFault

LONGEST: Final = LONGEST_VIEWED
"""Characters of an event, which is held until it is whole."""

_ENDING = re.compile(r"\r\n|[\r\n]")
_KNOWN: Final = frozenset({"", "data", "event", "id", "retry"})
"""Fields that the format has; "" is a comment's. Others may be named as a secret is."""

_ARE_JSON: Final = ("{", "[", '"')
"""How no line of an event begins that anybody would send: its field would have such a name."""

LINE: Final = 512
"""Bytes of memory that a line takes beside its characters, until its event is whole and looked at.
"""

_BLANK: Final = " \t\ufeff"
_TOLD: Final = 256
"""Characters of a field's name as it is told."""


class _Line(NamedTuple):
    """A line of an event: what stands before its value, the value, and how the line ends."""

    field: str
    before: str
    value: str
    ending: str


class EventMasker:
    """A transformer that hides values in events (UTF-8), and lets each go once it is whole.

    The data of one event is looked at as one: as JSON if it is JSON, or if each of its lines is,
    else as text; what its other fields hold, as text. What is not hidden stays as it was.
    """

    def __init__(self, maskers: Maskers) -> None:
        self._maskers, self._texts = maskers, Texts(maskers)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._begun = Pieces("")
        self._lines: list[_Line] = []
        self._size, self._number = 0, 1
        self._after_return = False
        self._is_cut = False
        """Whether what is left is of an event that has not ended: no client takes it for one."""

    @property
    def held(self) -> int:
        """The event that is not whole; of its characters each may take four bytes."""
        return self._begun.held + len(self._lines) * LINE + self._size * 4

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return the events that are whole. Raises `MaskingFault`."""
        return "".join(self._passed(self._decoded(chunk, final=False))).encode("utf-8")

    def finish(self) -> bytes:
        """Say that no more bytes will come; return what is left. Raises `MaskingFault`."""
        passed = [*self._passed(self._decoded(b"", final=True))]
        if self._begun.size:
            self._lines.append(_line(self._begun.taken(), ""))
        self._is_cut = True
        passed.append(self._shown())
        return "".join(passed).encode("utf-8")

    def _decoded(self, chunk: bytes, *, final: bool) -> str:
        try:
            return self._decoder.decode(chunk, final)
        except UnicodeDecodeError:  # it would tell the bytes
            raise MaskingFault("The events are not all UTF-8.") from None

    def _passed(self, new: str) -> Iterator[str]:
        """Take what came; of it and of what waits, the events that are whole.

        An event may end with a return: a line feed that follows belongs to it, and comes later.
        """
        if self._after_return and new:
            self._after_return = False
            if new[0] == "\n":
                new = new[1:]
                yield from self._line_feed()
        at = 0
        for found in paused(_ENDING.finditer(new)):
            self._grow(found.start() - at + 1)
            line = self._begun.ended(new[at : found.start()])
            self._lines.append(_line(line, found[0]))
            at = found.end()
            if not line:
                yield self._shown()
                self._size = 0
        if at:
            self._after_return = at == len(new) and new[-1] == "\r"
        if at < len(new):
            self._grow(len(new) - at)
            self._begun.add(new[at:])

    def _grow(self, characters: int) -> None:
        self._size += characters
        if self._size > LONGEST:
            raise MaskingFault(f"An event has more than {LONGEST} characters.")

    def _line_feed(self) -> Iterator[str]:
        if self._lines:
            last = self._lines[-1]
            self._lines[-1] = last._replace(ending=last.ending + "\n")
        else:
            yield "\n"

    def _shown(self) -> str:
        """The event as the agent may see it."""
        lines, where = self._lines, f"event {self._number}"
        self._lines = []
        if any(line.before.lstrip(_BLANK).startswith(_ARE_JSON) for line in paused(lines)):
            raise MaskingFault("The response is said to be events, but seems to be JSON.")
        if any(line.field for line in paused(lines)):
            self._number += 1
        shown = {number: self._beside(line, where) for number, line in enumerate(paused(lines))}
        data = [number for number, line in enumerate(paused(lines)) if line.field == "data"]
        values = [lines[number].value for number in data]
        spread = self._of_data(values, where) if data else {}
        for at, number in enumerate(paused(data)):
            if spread.get(at) != values[at]:
                shown[number] = _written(lines[number], spread.get(at))
        return "".join(shown.values())

    def _beside(self, line: _Line, where: str) -> str:
        """A line as it is shown if it holds no data."""
        if line.field == "data":
            return line.before + line.value + line.ending
        value, name, event = line.value, line.field, where
        where = f"{event} {name}".rstrip()
        if name not in _KNOWN:
            hider = self._maskers.hider(name) if value else None
            name, where = self._name(name, event)
            if hider is not None:
                hider = self._maskers.telling(hider, line.field, value)
                self._maskers.hand.hid(hider.name, where, _bytes(value))
                value = self._maskers.hand.text(hider, value)
        return name + line.before[len(line.field) :] + self._seen(value, where) + line.ending

    def _name(self, name: str, event: str) -> tuple[str, str]:
        """A field's name as it is shown, and by it where what is hidden is said to have stood."""
        told = list[str]()
        shown = self._seen(name, lambda: told[0])
        told.append(f"{event} {shown[:_TOLD]}".rstrip())
        return shown, told[0]

    def _seen(self, text: str, where: Place) -> str:
        return _one_line(replaced(text, self._texts.parts(text, where))) if text else text

    def _of_data(self, values: Sequence[str], where: str) -> Mapping[int, str]:
        """What the lines of data hold as they are shown, by their numbers; some may be gone."""
        text = "\n".join(values)
        if not text or text.isspace():
            return dict(enumerate(values))
        parts = self._texts.json_parts(text, f"{where} ", rooted=True)
        if parts is not None:
            return _spread(text, parts)
        begun = self._begun_json(text, where)
        return self._by_lines(values, where) if begun is None else dict(enumerate(begun))

    def _begun_json(self, text: str, where: str) -> Sequence[str] | None:
        """The lines of JSON that is cut off with its event, as far as they may be shown."""
        if not self._is_cut or not may_be_json(text):
            return None
        begun = self._texts.json_begun(text, f"{where} ")
        return None if begun is None else begun.split("\n")

    def _by_lines(self, values: Sequence[str], where: str) -> Mapping[int, str]:
        """The same of data that is no JSON: a line may be, and what is between is text.

        Not so in a key: all its lines are one text, of which none is cut out that may be JSON.
        """
        shown, run, keys = dict[int, str](), list[str](), Keys()
        for number, value in enumerate(paused(values)):
            is_text = not value or value.isspace()
            parts = None if is_text else self._texts.json_parts(value, f"{where} ", rooted=True)
            line = replaced(value, parts) if parts else value
            if parts is None and number == len(values) - 1 and not keys.is_open:
                begun = self._begun_json(value, where)
                if begun is not None:
                    self._add(shown, run, number, where)
                    return {**shown, number: begun[0]}
            if parts is None or keys.is_open:
                run.append(line)
                keys.read(value)
            else:
                self._add(shown, run, number, where)
                run.clear()
                shown[number] = line
        self._add(shown, run, len(values), where)
        return shown

    def _add(self, shown: dict[int, str], run: Sequence[str], end: int, where: str) -> None:
        """Show the text that ends before a line."""
        text = "\n".join(run)
        spread = _spread(text, self._of_text(text, where)) if run else {}
        shown.update({end - len(run) + at: line for at, line in spread.items()})

    def _of_text(self, text: str, where: str) -> list[Part]:
        if not text or text.isspace():
            return []
        self._texts.need_lookers()
        return self._texts.seen(text, where, "data")


def _line(text: str, ending: str) -> _Line:
    field, colon, value = text.partition(":")
    if colon and value.startswith(" "):
        colon, value = ": ", value[1:]
    return _Line(field, field + colon, value, ending)


def _written(line: _Line, value: str | None) -> str:
    """A line of data with another value; nothing of it if it has none."""
    if value is None:
        return ""
    return (line.before if ":" in line.before else "data: ") + value + line.ending


def _spread(text: str, parts: Sequence[Part]) -> dict[int, str]:
    """What the lines of a text hold once its parts are hidden, by their numbers.

    What goes over several lines is shown in the first, with what stands behind it in the last: of
    the others nothing is left.
    """
    shown, number, began, at = {0: ""}, 0, 0, 0
    for part in paused((*parts, Part(len(text), len(text), "", ""))):
        first, *others = text[at : part.begin].split("\n")
        shown[began] += first
        for other in others:
            began = number = number + 1
            shown[began] = other
        shown[began] += _one_line(part.instead)
        number += text.count("\n", part.begin, part.end)
        at = part.end
    return shown


def _one_line(text: str) -> str:
    return _ENDING.sub(" ", text)


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")
