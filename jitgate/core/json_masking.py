"""Hides values in a JSON text as it streams, and leaves every other byte as it was.

The text is read strictly by RFC 8259. What has been understood goes on at once; an unfinished
token waits for its end. What is no JSON is a `MaskingFault`: what cannot be read cannot be masked,
so it does not go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar

from jitgate.core import json_grammar as grammar
from jitgate.core.json_glance import Hidden
from jitgate.core.masking import Maskers
from jitgate.core.passage import Passage
from jitgate.errors import MaskingFault
from jitgate.interfaces import IMasker

MISSES = 8
"""Containers that are looked at in vain for each piece that comes: each is then read once more."""

Step = Callable[["JsonMasker", int], int]


class JsonMasker:
    """A transformer that hides what the maskers say in one JSON text.

    A field that a masker hides keeps the type of its value and nothing else of it. A scalar (null
    apart) is shown as a masker that looks at values says. Every field of a repeated name counts.

    ``openly`` is for people, who must not take what is hidden for what is sent: a hidden value is a
    text that says so, and true and false, which are no secrets, are not hidden by their names.
    """

    def __init__(self, maskers: Sequence[IMasker], *, openly: bool = False) -> None:
        self._maskers = Maskers(maskers)
        self._openly = openly
        self._passage = Passage()
        self._final = False
        self._over = False
        # Where we are in the grammar: now, after this value, and in the containers around.
        self._place = self._VALUE
        self._after = self._END
        self._field = ""
        self._outer: list[tuple[grammar.Place, str]] = []
        # What to do at the end of the string that we are in, None outside of one.
        self._ended: Step | None = None
        # Who hides the value that is to come; the depth at which one is being hidden, and as what.
        self._hider: str | None = None
        self._hidden_at: int | None = None
        self._replacement = ""
        self._viewed = self._maskers.look_at_values
        self._misses = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """The names of the maskers that hid something, each with the number of values."""
        return self._maskers.counts

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return what has been understood. Raises `MaskingFault`."""
        if self._over:
            raise MaskingFault("nothing is taken after the end of a JSON text, or after a fault")
        self._misses = 0
        self._over = True  # and it stays so if anything below raises
        self._passage.take(chunk, final=self._final)
        passed = self._passage.rest(self._run())
        self._over = False
        return passed

    def finish(self) -> bytes:
        """Return what is left of the text; raises `MaskingFault` if it is not whole."""
        self._final = True
        rest = self.feed(b"")
        self._over = True
        if self._place is not self._END:
            raise self._passage.fault(0, "the text ends too early")
        return rest

    def _run(self) -> int:
        """Understand what is there; return how far that went."""
        text, size = self._passage.text, len(self._passage.text)
        at = self._inside(0) if self._ended else 0
        while at < size and not self._ended:
            step = self._place.steps.get(text[at], JsonMasker._space)
            reached = step(self, at)
            if reached == at:
                break
            at = reached
        return at

    def _space(self, at: int) -> int:
        if space := grammar.SPACE.match(self._passage.text, at):
            return space.end()
        raise self._passage.fault(at, f"{self._place.expected} was expected")

    # --- containers

    def _object(self, at: int) -> int:
        if end := self._glanced_at(at):
            return end
        self._open(at, self._NEXT_MEMBER)
        self._place = self._FIRST_NAME
        return at + 1

    def _array(self, at: int) -> int:
        if end := self._glanced_at(at):
            return end
        self._open(at, self._NEXT_ELEMENT)
        self._place = self._FIRST_ELEMENT
        return self._elements(at + 1)

    def _glanced_at(self, at: int) -> int:
        """Pass over a container that can be read in one go, without what it hides; 0 if not."""
        if self._viewed or self._hidden_at is not None or self._misses >= MISSES:
            return 0
        deepest = grammar.DEEPEST - len(self._outer)
        read = self._maskers.glance.container(self._passage.text, at, deepest)
        if read is None:
            self._misses += 1
            return 0
        end, hidden = read
        for value in hidden:
            self._conceal(value)
        return self._value_ended(end)

    def _conceal(self, value: Hidden) -> None:
        first = self._passage.text[value.begin]
        if self._openly and first in "tf":
            return
        if first != "n":
            self._maskers.count(value.hider)
        self._passage.hide(value.begin)
        self._passage.show(value.end, grammar.concealed(first, openly=self._openly))

    def _open(self, at: int, after: grammar.Place) -> None:
        if len(self._outer) == grammar.DEEPEST:
            raise self._passage.fault(at, f"more than {grammar.DEEPEST} containers in each other")
        self._outer.append((self._after, self._field))
        self._after = after

    def _close(self, at: int) -> int:
        self._after, self._field = self._outer.pop()
        return self._value_ended(at + 1)

    def _next_element(self, at: int) -> int:
        self._place = self._VALUE
        return self._elements(at + 1)

    def _elements(self, at: int) -> int:
        """Pass over elements in which there is nothing to look into."""
        elements = None if self._viewed else grammar.ELEMENTS.match(self._passage.text, at)
        if elements is None or elements.end() == at:
            return at
        self._place = self._VALUE
        return elements.end()

    # --- members

    def _next_member(self, at: int) -> int:
        self._place = self._NAME
        return at + 1

    def _name(self, at: int) -> int:
        passed = self._members(at)
        if passed > at:
            return passed
        if self._hidden_at is not None:
            return self._begin(at, JsonMasker._hidden_name_ended)
        return self._begin(at, JsonMasker._name_ended, grammar.LONGEST_NAME)

    def _members(self, at: int) -> int:
        """Pass over members up to the first value that must be looked into: most of most texts."""
        text, hider = self._passage.text, None
        while member := grammar.MEMBER.match(text, at):
            name, comma = member.group(1, 3)
            if self._hidden_at is None:
                hider = self._maskers.hider(name)
            if comma is None or hider is not None or self._viewed:
                return self._named(name, hider, member.end("value"))
            at = member.end()
            if not comma:
                self._place = self._NEXT_MEMBER
                break
            self._place = self._NAME
        return at

    def _named(self, name: str, hider: str | None, at: int) -> int:
        """Go on to the value of a field behind its colon."""
        self._field, self._hider = name, hider
        self._place = self._VALUE if hider is None else self._HIDDEN_VALUE
        return at

    def _name_ended(self, end: int) -> int:
        self._field = grammar.decoded(self._passage.held(end))
        self._hider = self._maskers.hider(self._field)
        self._passage.release()
        return self._hidden_name_ended(end)

    def _hidden_name_ended(self, end: int) -> int:
        self._place = self._COLON
        return end

    def _colon(self, at: int) -> int:
        return self._named(self._field, self._hider, at + 1)

    # --- values

    def _hide(self, at: int) -> int:
        """Begin a value of a hidden field: it is read like any other, but does not go on."""
        first = self._passage.text[at]
        if self._openly and first in "tf":
            self._hider, self._place = None, self._VALUE
            return self._VALUE.steps[first](self, at)
        if self._hider is not None and first != "n":
            self._maskers.count(self._hider)
        self._passage.hide(at)
        self._replacement = grammar.concealed(first, openly=self._openly)
        self._hider, self._hidden_at, self._viewed = None, len(self._outer), False
        self._place = self._VALUE
        return self._VALUE.steps[first](self, at)

    def _value_ended(self, end: int) -> int:
        if self._hidden_at == len(self._outer):
            self._passage.show(end, self._replacement)
            self._hidden_at, self._viewed = None, self._maskers.look_at_values
        self._place = self._after
        return end

    def _bare(self, at: int) -> int:
        """A number or a literal, once it is there whole."""
        text = self._passage.text
        run = grammar.BARE.match(text, at)
        end = run.end() if run else at
        if end - at > grammar.LONGEST_BARE:
            raise self._passage.fault(at, f"a number exceeds {grammar.LONGEST_BARE} characters")
        if end == len(text) and not self._final:
            return at
        bare = text[at:end]
        if bare not in grammar.LITERALS and not grammar.NUMBER.fullmatch(bare):
            raise self._passage.fault(at, "this is neither a number nor true, false or null")
        if self._viewed and bare != "null":
            self._look_at(at, bare)
        return self._value_ended(end)

    def _look_at(self, at: int, bare: str) -> None:
        shown = self._maskers.shown(self._field, bare, partial(grammar.fitted, bare))
        if shown is not None:
            self._passage.hide(at)
            self._passage.show(at + len(bare), shown)

    # --- strings

    def _string(self, at: int) -> int:
        if self._viewed:
            return self._begin(at, JsonMasker._viewed_ended, grammar.LONGEST_VIEWED)
        return self._begin(at, JsonMasker._value_ended)

    def _viewed_ended(self, end: int) -> int:
        value = grammar.decoded(self._passage.held(end))
        shown = self._maskers.shown(self._field, value, str)
        if shown is None:
            self._passage.release()
        else:
            self._passage.replace(end, grammar.encoded(shown))
        return self._value_ended(end)

    def _begin(self, at: int, ended: Step, limit: int | None = None) -> int:
        """Enter a string; with a limit, it is held until its end."""
        self._ended = ended
        if limit is not None:
            self._passage.hold(at, limit)
        return self._inside(at + 1)

    def _inside(self, at: int) -> int:
        """Go on in a string, to its end if it is there."""
        text = self._passage.text
        inside = grammar.INSIDE.match(text, at)
        end = inside.end() if inside else at
        self._passage.check_held(end)
        if text[end : end + 1] == '"' and self._ended:
            ended, self._ended = self._ended, None
            return ended(self, end + 1)
        if end < len(text) and not grammar.UNFINISHED_ESCAPE.fullmatch(text, end):
            raise self._passage.fault(end, "no string may hold this character or escape")
        return end

    # --- the grammar: what may stand where

    _VALUE: ClassVar = grammar.Place(
        "a value",
        {'"': _string, "{": _object, "[": _array} | dict.fromkeys("-0123456789tfn", _bare),
    )
    _HIDDEN_VALUE: ClassVar = grammar.Place("a value", dict.fromkeys(_VALUE.steps, _hide))
    _FIRST_ELEMENT: ClassVar = grammar.Place("a value or ]", {**_VALUE.steps, "]": _close})
    _NEXT_ELEMENT: ClassVar = grammar.Place("a comma or ]", {",": _next_element, "]": _close})
    _NAME: ClassVar = grammar.Place("a name", {'"': _name})
    _FIRST_NAME: ClassVar = grammar.Place("a name or }", {**_NAME.steps, "}": _close})
    _COLON: ClassVar = grammar.Place("a colon", {":": _colon})
    _NEXT_MEMBER: ClassVar = grammar.Place("a comma or }", {",": _next_member, "}": _close})
    _END: ClassVar = grammar.Place("the end", {})
