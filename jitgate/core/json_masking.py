"""Hides values in a JSON text as it streams, and leaves every other byte as it was.

The text is read strictly by RFC 8259. What has been understood goes on at once; an unfinished
token waits for its end. What is no JSON is a `MaskingFault`: what cannot be read cannot be masked,
so it does not go on.

It is longer than others because it is one reader: each step of the grammar, be it at a name, at a
container or in what is hidden, goes by the same state and may lead to any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from sys import getsizeof
from typing import ClassVar, NamedTuple

from jitgate.core import json_grammar as grammar
from jitgate.core.hiding import NEEDS_TEXT, Hand, strictest
from jitgate.core.json_glance import Hidden
from jitgate.core.json_places import Key, places, written
from jitgate.core.json_signs import Signs
from jitgate.core.json_strings import Place, Strings, joined
from jitgate.core.masking import Asked, Maskers
from jitgate.core.parts import Part, replaced
from jitgate.core.passage import Passage
from jitgate.core.paths import State
from jitgate.core.pausing import EVERY, pause
from jitgate.errors import MaskingFault
from jitgate.interfaces import IMasker
from jitgate.values import Hider, How

MISSES = 8
"""Containers that are looked at in vain for each piece that comes: each is then read once more."""

LOOKS = 64
"""By which part of it a name must have grown to be looked at once more: short ones are at once."""

_NOWHERE: State = frozenset()

Step = Callable[["JsonMasker", int], int]


class Frame(NamedTuple):
    """What is known of a container while we are in one that it holds."""

    after: grammar.Place
    field: str
    number: int | None
    """Of the element that we are in, where it is an array."""
    state: State
    is_empty: bool


class JsonMasker:
    """A transformer that hides what the maskers say in one JSON text.

    A field that a masker hides keeps the type of its value and nothing else of it, unless that one
    says how else (`How`). A scalar (null apart) is shown as a masker that looks at values says, and
    so is what a text holds that is JSON again. Every field of a repeated name counts.

    Args:
        maskers: Whoever says what is hidden.
        hand: Shows it, and keeps count.
        under: Where this text stands, if it does in another.
        depth: In how many.
    """

    def __init__(
        self,
        maskers: Sequence[IMasker],
        hand: Hand | None = None,
        *,
        under: Place = "",
        depth: int = 0,
    ) -> None:
        self._maskers = Maskers(maskers, hand)
        self._asked, self._hand = self._maskers.asked, self._maskers.hand
        self._texts = Strings(self._maskers, depth, inside)
        self._under = under
        self._passage = Passage()
        self._final = self._over = False
        # Where we are in the grammar: now, after this value, and in the containers around.
        self._place = self._VALUE
        self._after = self._END
        self._field = ""
        self._index: int | None = None
        self._is_empty = False
        self._outer: list[Frame] = []
        # Which paths lead on from the container that we are in, and from the value that comes.
        follower = self._asked.follower
        self._state = _NOWHERE
        self._below = _NOWHERE if follower is None else follower.start
        # What to do at the end of the string that we are in, None outside of one.
        self._ended: Step | None = None
        # Who hides the value that is to come, and the one that is being hidden; at what depth, and
        # as what.
        self._hider: Hider | None = None
        self._hiding: Hider | None = None
        self._hidden_at: int | None = None
        self._replacement = ""
        self._viewed = self._maskers.look_at_values
        self._signs = Signs(self._asked)
        self._misses = 0
        # Characters of a name that somebody may drop, below which it is not looked at again.
        self._enough = 0
        # Characters of a number that waits for its end.
        self._waiting = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """The names of the maskers that hid something, each with the number of values."""
        return self._hand.counts

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return what has been understood. Raises `MaskingFault`."""
        if self._over:
            raise MaskingFault("nothing is taken after the end of a JSON text, or after a fault")
        self._misses = 0
        self._over = True  # and it stays so if anything below raises
        self._passage.take(chunk, final=self._final)
        self._signs.forget()
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

    @property
    def held(self) -> int:
        """Bytes of memory that it holds of what it has taken, about: names above all."""
        return self._passage.memory + sum([getsizeof(frame.field) for frame in self._outer])

    @property
    def is_between(self) -> bool:
        """Whether it is in an array that is all of the text, and an element may come next."""
        at_element = self._place is self._FIRST_ELEMENT or self._place is self._VALUE
        in_array = len(self._outer) == 1 and self._index is not None and self._hidden_at is None
        return at_element and in_array and not (self._passage.text or self._ended)

    @property
    def element(self) -> int:
        """The number of the element that comes, where it `is_between` two."""
        return self._index or 0

    def passed(self, elements: int) -> None:
        """So many elements, and the commas behind them, have gone another way."""
        self._index, self._place = self.element + elements, self._VALUE
        self._led_to(self._index)  # else the paths would be those of an element before it

    def parts(self, text: str) -> list[Part]:
        """What of a whole text is hidden, and as what. Raises `MaskingFault`."""
        changes = self._passage.noted()
        self._passage.take_text(text)
        self.finish()
        return [Part(begin, end, instead, "") for begin, end, instead in changes]

    def _run(self) -> int:
        """Understand what is there; return how far that went."""
        text, size = self._passage.text, len(self._passage.text)
        at, taken = self._inside(0) if self._ended else 0, 0
        while at < size and not self._ended:
            step = self._place.steps.get(text[at], JsonMasker._space)
            reached = step(self, at)
            if reached == at:
                break
            at = reached
            taken += 1
            if taken % EVERY == 0:
                pause()
        return at

    def _is_clear(self, begin: int, end: int) -> bool:
        """Whether nobody has to look at a value that stands there, in the text at hand."""
        return not self._viewed or end <= self._signs.clear_until(self._passage.text, begin)

    def _space(self, at: int) -> int:
        if space := grammar.SPACE.match(self._passage.text, at):
            return space.end()
        raise self._passage.fault(at, f"{self._place.expected} was expected")

    # --- where we are

    def _path(self, rest: Sequence[Key] = ()) -> Place:
        """The path of the value at hand, or of one within it that ``rest`` leads to."""
        keys = [_key(frame.number, frame.field) for frame in self._outer[1:]]
        if self._outer:
            keys.append(_key(self._index, self._field))
        return joined(self._under, written([*keys, *rest]))

    def _hid(self, rule: str, value: str, rest: Sequence[Key] = ()) -> None:
        path = self._path(rest) if self._hand.notes else ""
        self._hand.hid(rule, path, value.encode("utf-8", "surrogatepass"))

    # --- containers

    def _object(self, at: int) -> int:
        if end := self._glanced_at(at):
            return end
        self._open(at, self._NEXT_MEMBER, None)
        self._place = self._FIRST_NAME
        return at + 1

    def _array(self, at: int) -> int:
        if end := self._glanced_at(at):
            return end
        self._open(at, self._NEXT_ELEMENT, 0)
        self._place = self._FIRST_ELEMENT
        return self._elements(at + 1)

    def _glanced_at(self, at: int) -> int:
        """Pass over a container that can be read in one go, without what it hides; 0 if not."""
        if self._hidden_at is not None or self._misses >= MISSES or self._below:
            return 0
        if not self._is_clear(at, at + 1):
            return 0
        deepest = grammar.DEEPEST - len(self._outer)
        read = self._asked.glance.container(self._passage.text, at, deepest)
        if read is None or not self._is_clear(at, read[0]):
            self._misses += read is None
            return 0
        end, hidden = read
        if hidden:
            self._conceal(at, end, hidden)
        return self._value_ended(end)

    def _conceal(self, at: int, end: int, hidden: Sequence[Hidden]) -> None:
        text, trails = self._passage.text, list[tuple[Key, ...]]()
        if self._hand.notes:
            trails = places(text[at:end], [value.begin - at for value in hidden])
        for number, value in enumerate(hidden):
            token = text[value.begin : value.end]
            if self._hand.openly and token[0] in "tf":
                continue
            if token[0] != "n":
                self._hid(value.hider.name, token, trails[number] if trails else ())
            self._passage.hide(value.begin)
            self._passage.show(value.end, self._hand.token(value.hider, token))

    def _open(self, at: int, after: grammar.Place, index: int | None) -> None:
        if len(self._outer) == grammar.DEEPEST:
            raise self._passage.beyond(at, f"more than {grammar.DEEPEST} containers in each other")
        frame = Frame(self._after, self._field, self._index, self._state, self._is_empty)
        self._outer.append(frame)
        self._after, self._index, self._is_empty = after, index, True
        self._state, self._below = self._below, _NOWHERE

    def _close(self, at: int) -> int:
        self._after, self._field, self._index, self._state, self._is_empty = self._outer.pop()
        return self._value_ended(at + 1)

    # --- elements

    def _next_element(self, at: int) -> int:
        self._index = (self._index or 0) + 1
        self._place = self._VALUE
        return self._elements(at + 1)

    def _elements(self, at: int) -> int:
        """Pass over elements in which there is nothing to look into; see to whose turn it is."""
        if not self._state:
            text = self._passage.text
            end = self._signs.clear_until(text, at) if self._viewed else len(text)
            elements = grammar.ELEMENTS.match(text, at, end)
            if elements is not None and elements.end() > at:
                self._index = (self._index or 0) + _count(elements.group())
                self._place, at = self._VALUE, elements.end()
        if self._state and self._hidden_at is None:
            self._led_to(self._index or 0)
        return at

    def _led_to(self, key: Key) -> Hider | None:
        """Follow the paths to a member or an element; who hides it for where it is."""
        follower = self._asked.follower
        if follower is None or not self._state:
            self._below = _NOWHERE
            return None
        move = follower.below(self._state, key)
        self._below = move.state
        if move.hit is None:
            return None
        hider = self._asked.path_hiders[move.hit]
        if isinstance(key, int):
            first = self._place is self._FIRST_ELEMENT
            self._hider = hider
            self._place = self._FIRST_HIDDEN_ELEMENT if first else self._HIDDEN_VALUE
        return hider

    # --- members

    def _next_member(self, at: int) -> int:
        if self._asked.drops and self._hidden_at is None:
            if self._is_empty:  # all before it are dropped, and so is what parted them from this
                self._passage.hide(at)
                self._passage.show(at + 1, "")
                self._place = self._NAME
                return at + 1
            return self._unless_dropped(at, at + 1)
        self._place = self._NAME
        return at + 1

    def _name(self, at: int) -> int:
        if self._hidden_at is not None:
            passed = self._members(at)
            return passed if passed > at else self._begin(at, JsonMasker._hidden_name_ended)
        if self._asked.drops:
            if self._is_empty:
                kept = self._unless_dropped(at, at)
                if (kept == at and self._is_empty) or self._hidden_at is not None:
                    return kept
        else:
            passed = self._members(at)
            if passed > at:
                return passed
        return self._begin(at, JsonMasker._name_ended, grammar.LONGEST_NAME)

    def _unless_dropped(self, begin: int, at: int) -> int:
        """Drop the member whose name comes, from ``begin`` on, if somebody does; or go on to it.

        Waits for all of its name, of which what stands before it depends on.
        """
        text = self._passage.text
        size = len(text) - at
        if size < self._enough and not self._final:
            return begin
        name = grammar.NAME.match(text, at)
        self._enough = 0
        if name is None and not self._final and size <= grammar.LONGEST_NAME:
            # It is read again from its beginning: of a long one not for each few characters.
            self._enough = size + size // LOOKS
            return begin
        if name is not None:
            field = grammar.decoded(name["name"])
            hider = self._hider_of(field)
            if hider is not None and hider.how is How.DROP:
                return self._drop(begin, name.end(), field, hider)
        self._is_empty = False
        self._place = self._NAME
        return at

    def _drop(self, begin: int, at: int, field: str, hider: Hider) -> int:
        self._passage.hide(begin)
        self._named(field, None, at)
        self._hidden_at, self._viewed, self._below = len(self._outer), False, _NOWHERE
        self._replacement, self._place, self._hiding = "", self._VALUE, hider
        self._passage.keep(at)
        return at

    def _members(self, at: int) -> int:
        """Pass over members up to the first value that must be looked into: most of most texts."""
        text, hider = self._passage.text, None
        for _ in range(EVERY):
            member = grammar.MEMBER.match(text, at)
            if member is None:
                break
            name, comma = member.group(1, 3)
            if self._hidden_at is None:
                hider = self._hider_of(name)
            if comma is None or hider is not None or not self._is_clear(at, member.end()):
                return self._named(name, hider, member.end("value"))
            at = member.end()
            if not comma:
                self._place = self._NEXT_MEMBER
                break
            self._place = self._NAME
        return at

    def _hider_of(self, field: str) -> Hider | None:
        """Who hides a member, for its name or for where it is."""
        hider = self._maskers.hider(field)
        led = self._led_to(field) if self._state else None
        return hider if led is None else strictest((hider, led))

    def _named(self, name: str, hider: Hider | None, at: int) -> int:
        """Go on to the value of a field behind its colon."""
        self._field, self._hider = name, hider
        self._place = self._VALUE if hider is None else self._HIDDEN_VALUE
        return at

    def _name_ended(self, end: int) -> int:
        self._field = grammar.decoded(self._passage.held(end))
        self._hider = self._hider_of(self._field)
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
        first, hider, self._hider = self._passage.text[at], self._hider, None
        self._place, self._hiding = self._VALUE, hider
        if hider is None or (self._hand.openly and first in "tf"):
            return self._VALUE.steps[first](self, at)
        if first == '"' and hider.how in NEEDS_TEXT:
            return self._begin(at, JsonMasker._partly_hidden, grammar.LONGEST_VIEWED)
        self._passage.hide(at)
        self._passage.keep(at)
        self._replacement = self._hand.token(hider, first)
        self._hidden_at, self._viewed, self._below = len(self._outer), False, _NOWHERE
        return self._VALUE.steps[first](self, at)

    def _value_ended(self, end: int) -> int:
        if self._hidden_at == len(self._outer):
            value, hider = self._passage.lost(end), self._hiding
            if hider is not None and self._replacement:
                self._replacement = self._hand.token(hider, value)
            self._passage.show(end, self._replacement)
            self._hidden_at, self._viewed = None, self._maskers.look_at_values
            if hider is not None and (value != "null" or hider.how is How.DROP):
                self._hid(hider.name, value)
        self._place = self._after
        return end

    def _bare(self, at: int) -> int:
        """A number or a literal, once it is there whole."""
        text = self._passage.text
        end = at + self._waiting  # so much of it was read before
        run = grammar.BARE.match(text, end)
        end = run.end() if run else end
        if end - at > grammar.LONGEST_BARE:
            raise self._passage.beyond(at, f"a number exceeds {grammar.LONGEST_BARE} characters")
        if end == len(text) and not self._final:
            self._waiting = end - at
            return at
        self._waiting = 0
        bare = text[at:end]
        if bare not in grammar.LITERALS and not grammar.NUMBER.fullmatch(bare):
            raise self._passage.fault(at, "this is neither a number nor true, false or null")
        if bare != "null" and not self._is_clear(at, end):
            self._look_at(at, bare)
        return self._value_ended(end)

    def _look_at(self, at: int, bare: str) -> None:
        fit, is_literal = partial(grammar.fitted, bare), bare in grammar.LITERALS
        shown = self._maskers.shown(self._field, bare, fit, is_literal=is_literal)
        if shown is not None:
            for rule in shown.rules:
                self._hid(rule, bare)
            self._passage.hide(at)
            instead = "null" if shown.dropped else shown.text
            if self._hand.openly and not is_literal:
                instead = self._hand.token(Hider("", How.REPLACE), bare)
            self._passage.show(at + len(bare), instead)

    # --- strings

    def _string(self, at: int) -> int:
        if self._hidden_at is not None or not self._asked.maskers:
            return self._begin(at, JsonMasker._value_ended)
        text = self._passage.text
        first = text[at + 1 : at + 2]
        if not first:
            return at  # by how a text begins is told whether it may be JSON again
        if first not in grammar.MAY_BEGIN_NESTED:
            if not self._viewed:
                return self._begin(at, JsonMasker._value_ended)
            inside = grammar.INSIDE.match(text, at + 1)
            end = at + 1 if inside is None else inside.end()
            if text[end : end + 1] == '"' and self._is_clear(at, end + 1):
                return self._value_ended(end + 1)
        return self._begin(at, JsonMasker._viewed_ended, grammar.LONGEST_VIEWED)

    def _viewed_ended(self, end: int) -> int:
        token = self._passage.held(end)
        path = self._path() if self._hand.notes else ""
        looked = self._viewed and (
            token[1] in grammar.MAY_BEGIN_NESTED or self._signs.are_in(token)
        )
        parts = self._texts.parts(self._field, token, path, looked=looked)
        if parts:
            self._passage.replace(end, replaced(token, parts), parts)
        else:
            self._passage.release()
        return self._value_ended(end)

    def _partly_hidden(self, end: int) -> int:
        """A text of a hidden field is there whole, of which something is shown."""
        token, hider = self._passage.held(end), self._hiding
        if hider is not None:
            hider = self._maskers.telling(hider, self._field, grammar.decoded(token))
            self._passage.replace(end, self._hand.token(hider, token))
            self._hid(hider.name, token)
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
    _FIRST_HIDDEN_ELEMENT: ClassVar = grammar.Place(
        "a value or ]", {**_HIDDEN_VALUE.steps, "]": _close}
    )
    _NEXT_ELEMENT: ClassVar = grammar.Place("a comma or ]", {",": _next_element, "]": _close})
    _NAME: ClassVar = grammar.Place("a name", {'"': _name})
    _FIRST_NAME: ClassVar = grammar.Place("a name or }", {**_NAME.steps, "}": _close})
    _COLON: ClassVar = grammar.Place("a colon", {":": _colon})
    _NEXT_MEMBER: ClassVar = grammar.Place("a comma or }", {",": _next_member, "}": _close})
    _END: ClassVar = grammar.Place("the end", {})


def inside(asked: Asked, hand: Hand, under: Place, depth: int, text: str) -> list[Part]:
    """What is hidden in a text that is JSON, for what it is and not for where it is.

    Raises `NotJson`, `MaskingFault`.
    """
    return JsonMasker(asked.without_paths, hand, under=under, depth=depth).parts(text)


def _key(index: int | None, field: str) -> Key:
    return field if index is None else index


def _count(elements: str) -> int:
    """How many elements stand there, each with its comma."""
    commas = elements.count(",")
    return commas if '"' not in elements else sum(1 for _ in grammar.ELEMENT.finditer(elements))
