"""JSON bodies masked in every way that there is, and by a slow reference that reads whole texts.

The reference goes by the words of the ports and of RFC 8259 alone: it looks at one character after
the other, in no pieces, and knows no shorter way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

from zope.interface import implementer

from jitgate.core import json_grammar
from jitgate.core.hiding import STARS, Hand
from jitgate.core.json_body import GatheredJson, StreamedJson
from jitgate.core.json_body import masked as masked_whole
from jitgate.core.json_masking import JsonMasker
from jitgate.core.json_strings import NESTED
from jitgate.core.json_whole import whole
from jitgate.core.paths import Path, Segment, parsed
from jitgate.core.profiles import MarkedFields
from jitgate.errors import MaskingFault
from jitgate.interfaces import IMasker, IStatedMasker
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.names import NameMasker
from jitgate.maskers.paths import PathMasker
from jitgate.values import Hider, How, Span

HUSH = "HuSh"
HUSH_NUMBER = "777"


@implementer(IStatedMasker)
class Marks:
    """Hides two marks in texts and numbers."""

    version, looks_at_values = "1", True
    names: Sequence[str] = ()
    paths: Sequence[Path] = ()
    signs: Sequence[bytes] = (HUSH.encode(), HUSH_NUMBER.encode())

    def __init__(self, how: How = How.REPLACE, name: str = "marks") -> None:
        self.how, self.name = how, name

    def hides(self, field: str) -> bool:
        return False

    def mask(self, field: str, value: str) -> str | None:
        shown = re.sub(f"{HUSH}|{HUSH_NUMBER}", STARS, value)
        return shown if shown != value else None

    def spans(self, value: str) -> Sequence[Span]:
        found = re.finditer(f"{HUSH}|{HUSH_NUMBER}", value)
        return [Span(*each.span(), "mark") for each in found]


@implementer(IStatedMasker)
class Pathless:
    """A masker where its paths do not lead on."""

    paths = ()

    def __init__(self, masker: IMasker) -> None:
        self._masker = masker

    def __getattr__(self, name: str) -> object:
        return getattr(self._masker, name)


@implementer(IStatedMasker)
class Everything(Marks):
    """Hides the marks, fields of one name, and what a path leads to."""

    names, paths = ("secret",), (parsed("$..aT"), parsed("$.a"))

    def hides(self, field: str) -> bool:
        return field == "secret"


@implementer(IMasker)
class Unstated:
    """Hides the marks, and fields of one name, and states nothing of it."""

    name, version, looks_at_values = "unstated", "1", True

    def hides(self, field: str) -> bool:
        return field == "secret"

    def mask(self, field: str, value: str) -> str | None:
        return Marks().mask(field, value)


NAMES = ("secret", "*T", "a?")
PATHS = ("$.a", "$..b", "$[*].c", "$.d[1]", "$..[0].e", "$.*.f[*]")
SETS: Sequence[tuple[IMasker, ...]] = (
    (),
    (NameMasker("n", NAMES),),
    (NameMasker("n", NAMES, How.DROP),),
    (NameMasker("n", NAMES, How.LAST4),),
    (NameMasker("n", NAMES, How.HASH), Marks()),
    (NameMasker("n", NAMES, How.DENY),),
    (Marks(),),
    (NameMasker("n", NAMES, How.DROP), Marks(How.DROP)),
    (PathMasker("p", PATHS),),
    (NameMasker("n", ["x"]), PathMasker("p", PATHS, How.DROP)),
    (PathMasker("p", PATHS, How.HASH), Marks(How.HASH)),
    (NameMasker("n", NAMES), DetectorMasker("d", ["jwt", "okta-token", "payment-card", "e-mail"])),
    (NameMasker("n", ["*é*", "s*e", "?", "*\\*"]), Marks()),
    (MarkedFields(frozenset({"secret", "a*"})), NameMasker("n", ["b"], How.DROP)),
    (Unstated(),),
    (PathMasker("p", ["$..a", "$[1]"]), NameMasker("n", ["secret"]), Marks()),
    (Everything(),),
)
"""What is masked with, by a small number."""

HALVES = ("Hu", "Sh", "uS", "77", "HuSh")


@implementer(IStatedMasker)
class Halves(Marks):
    """Hides some of the parts of the marks, of which several overlap."""

    def __init__(self, name: str, parts: Sequence[str], how: How) -> None:
        self.name, self.how, self._parts = name, how, parts
        self.signs = tuple([each.encode() for each in parts])

    def spans(self, value: str) -> Sequence[Span]:
        return [Span(*each.span(), "half") for each in re.finditer("|".join(self._parts), value)]


SEVERAL: Sequence[tuple[IMasker, ...]] = (
    (PathMasker("p", ["$..a", "$[*].secret"], How.DENY), NameMasker("m", ["a*", "s*"])),
    (PathMasker("p", ["$..aT", "$.secret"]), NameMasker("m", ["*T", "secret"], How.LAST4)),
    (NameMasker("m", ["a*"], How.LAST4), NameMasker("n", ["*T", "secret"], How.DENY)),
    (NameMasker("m", ["a*", "secret"], How.HASH), NameMasker("n", ["*T"], How.DROP)),
    (MarkedFields(frozenset({"secret", "aT"})), NameMasker("n", ["a*"], How.DROP)),
    (MarkedFields(frozenset({"secret"})), NameMasker("n", NAMES, How.LAST4)),
    (PathMasker("p", PATHS), NameMasker("m", ["a*", "secret"], How.LAST4)),
    (PathMasker("p", PATHS, How.DROP), NameMasker("m", ["a*", "b"]), Marks(How.LAST4)),
    (PathMasker("p", ["$..a"], How.LAST4), PathMasker("q", ["$[*].a", "$.a"], How.DENY)),
    (Halves("l", ["Hu", "77"], How.LAST4), Halves("r", ["Sh"], How.REPLACE)),
    (Halves("l", ["uS"], How.HASH), Halves("r", ["Sh", "77"], How.REPLACE), Marks(How.LAST4)),
    (Halves("l", ["Hu"], How.DROP), Halves("r", ["HuSh"], How.DENY)),
    (Halves("l", ["HuSh"], How.REPLACE), Halves("r", ["Hu"], How.DROP)),
    (NameMasker("m", ["secret", "a"], How.LAST4), Halves("r", ["Hu"], How.REPLACE)),
    (NameMasker("m", ["secret", "a"], How.HASH), Halves("r", ["Hu"], How.DROP)),
    (NameMasker("m", ["secret", "a"], How.LAST4), Halves("r", ["Sh"], How.DENY)),
    (NameMasker("m", ["secret"], How.LAST4), Unstated()),
)
"""More than one that hide the same, each in a way of its own."""


def hand() -> Hand:
    """One that tells values as they are."""
    return Hand(
        lambda value: f"<{value.decode('utf-8', 'backslashreplace')}>",
        lambda value: f"{len(value):032}",
    )


class Told(NamedTuple):
    """What came of a text in one way."""

    out: bytes | None
    """None if not all of it went on."""
    before: bytes
    """What went on."""
    hits: Sequence[tuple[str, str, str]] = ()
    counts: Mapping[str, int] = {}


def pieces(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """The same bytes in pieces of these sizes, again and again; without any, in one."""
    cut, at = list[bytes](), 0
    while at < len(data):
        size = sizes[len(cut) % len(sizes)] if sizes else len(data)
        cut.append(data[at : at + size])
        at += size
    return cut


def fed(
    kind: Callable[[Sequence[IMasker], Hand], JsonMasker | GatheredJson | StreamedJson],
    cut: Sequence[bytes],
    maskers: Sequence[IMasker],
) -> Told:
    """What a transformer makes of these pieces."""
    held, before = hand(), b""
    transformer = kind(maskers, held)
    try:
        for each in cut:
            before += transformer.feed(each)
        before += transformer.finish()
    except MaskingFault:
        return Told(None, before)
    hits = [(each.path, each.rule, each.digest) for each in held.hits]
    return Told(before, before, hits, held.counts)


def at_once(data: bytes, maskers: Sequence[IMasker]) -> Told | None:
    """What the fast way makes of a whole text; None where it leaves that to the other."""
    held = hand()
    try:
        out = whole(tuple(maskers)).masked(data, held)
    except MaskingFault:
        return Told(None, b"")
    if out is None:
        return None
    hits = [(each.path, each.rule, each.digest) for each in held.hits]
    return Told(out, out, hits, held.counts)


def agreed(data: bytes, sizes: Sequence[int], maskers: Sequence[IMasker]) -> bytes | None:
    """What every way makes of a text, however it is cut: the same, and what the reference says."""
    expected = Reference(maskers).masked(data)
    step = fed(JsonMasker, [data], maskers)
    assert step.out == expected, "step by step"
    fast = at_once(data, maskers)
    assert fast is None or fast == step, "at once"
    cut = pieces(data, sizes)
    for kind in (JsonMasker, GatheredJson, StreamedJson):
        other = fed(kind, cut, maskers)
        assert other[2:] == step[2:], kind
        assert other.out == step.out, kind
        assert other.before.startswith(step.before) or step.before.startswith(other.before), kind
    try:
        out = masked_whole(data, maskers, hand())
    except MaskingFault:
        assert expected is None
    else:
        assert out == expected
    return expected


# --- the reference

Edit = tuple[int, int, str]

_STRING = re.compile(r'"(?>[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"')
_RUN = re.compile(r"[-+.0-9A-Za-z]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_UNIT = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|.", re.DOTALL)


class _NoJson(Exception):
    pass


class _Withheld(Exception):
    pass


class Reference:
    """Masks whole texts, reading each value by itself."""

    def __init__(self, maskers: Sequence[IMasker], texts: int = 0) -> None:
        self._maskers = maskers
        self._texts = texts
        self._lookers = [each for each in maskers if each.looks_at_values]
        plain = [each for each in self._lookers if not IStatedMasker.providedBy(each)]
        assert self._lookers in (plain[:1], [each for each in self._lookers if each not in plain])

    def masked(self, data: bytes) -> bytes | None:
        """The masked text, None if it is withheld."""
        try:
            text = data.decode()
            edits = self.edits(text)
        except (_NoJson, _Withheld, MaskingFault, UnicodeDecodeError):
            return None
        return applied(text, edits).encode()

    def edits(self, text: str) -> list[Edit]:
        """What is replaced, in order."""
        self._text, self._edits = text, list[Edit]()
        end = self._space(self._value(self._space(0), (), 0, quiet=False))
        if end < len(text):
            raise _NoJson
        return self._edits

    def _space(self, at: int) -> int:
        while self._text[at : at + 1] in (" ", "\t", "\n", "\r"):
            at += 1
        return at

    def _value(self, at: int, keys: tuple[str | int, ...], depth: int, *, quiet: bool) -> int:
        """Read a value and return its end; what is in it is not told where that is hidden."""
        first = self._text[at : at + 1]
        if first in ("{", "["):
            if depth == json_grammar.DEEPEST:
                raise _Withheld
            read = self._members if first == "{" else self._elements
            return read(self._space(at + 1), keys, depth + 1, quiet=quiet)
        token = self._token(at)
        if not quiet:
            self._scalar(at, token, str(keys[-1]) if keys else "")
        return at + len(token)

    def _token(self, at: int) -> str:
        if self._text[at : at + 1] == '"':
            found = _STRING.match(self._text, at)
            if found is None:
                raise _NoJson
            return found.group()
        found = _RUN.match(self._text, at)
        if found is None or found.group()[0] not in "-0123456789tfn":
            raise _NoJson
        token = found.group()
        if len(token) > json_grammar.LONGEST_BARE:
            raise _Withheld
        if token not in ("true", "false", "null") and not _NUMBER.fullmatch(token):
            raise _NoJson
        return token

    def _elements(self, at: int, keys: tuple[str | int, ...], depth: int, *, quiet: bool) -> int:
        number = 0
        while number or self._text[at : at + 1] != "]":
            hider = None if quiet else _worst(self._led((*keys, number)))
            self._unless_denied(hider, at)
            end = self._value(at, (*keys, number), depth, quiet=quiet or hider is not None)
            if hider is not None:
                self._conceal(hider, at, end)
            at = self._space(end)
            if self._text[at : at + 1] == "]":
                break
            at = self._comma(at)
            number += 1
        return at + 1

    def _comma(self, at: int) -> int:
        if self._text[at : at + 1] != ",":
            raise _NoJson
        return self._space(at + 1)

    def _members(self, at: int, keys: tuple[str | int, ...], depth: int, *, quiet: bool) -> int:
        first, kept, comma = True, False, at
        while not first or self._text[at : at + 1] != "}":
            if self._text[at : at + 1] != '"':
                raise _NoJson
            name = self._token(at)
            colon = self._space(at + len(name))
            if self._text[colon : colon + 1] != ":":
                raise _NoJson
            key = json.loads(name)
            hider = None if quiet else _worst([*self._named(key), *self._led((*keys, key))])
            begin = self._space(colon + 1)
            self._unless_denied(hider, begin)
            drops = hider is not None and hider.how is How.DROP
            before = len(self._edits)
            if drops and kept:
                self._edits.append((comma, comma, ""))
            end = self._value(begin, (*keys, key), depth, quiet=quiet or hider is not None)
            if drops:
                self._edits[before:] = [(comma if kept else at, end, "")]
            elif hider is not None:
                self._conceal(hider, begin, end)
            kept, first = kept or not drops, False
            at = comma = self._space(end)
            if self._text[at : at + 1] == "}":
                break
            at = self._comma(at)
            if not kept:
                self._edits.append((comma, comma + 1, ""))
        return at + 1

    # --- who hides what

    def _named(self, name: str) -> list[Hider]:
        return [_hider(each) for each in self._maskers if each.hides(name)]

    def _led(self, keys: Sequence[str | int]) -> list[Hider]:
        return [
            _hider(each)
            for each in self._maskers
            for path in getattr(each, "paths", ())
            if leads(path.segments, keys)
        ]

    def _unless_denied(self, hider: Hider | None, begin: int) -> None:
        """Withhold at once what is denied, whatever may follow: it may have been sent by then."""
        denied = hider is not None and hider.how is How.DENY
        if denied and self._text[begin : begin + 1] in tuple('"{[-0123456789tf'):
            raise _Withheld

    def _conceal(self, hider: Hider, begin: int, end: int) -> None:
        token = self._text[begin:end]
        if token[0] == '"' and hider.how in (How.LAST4, How.HASH):
            value = json.loads(token)
            found = [each for looker in self._lookers for each in _in(looker, value)]
            hider = _worst([hider, *found]) or hider
        self._edits.append((begin, end, hand().token(hider, token)))

    # --- scalars

    def _scalar(self, at: int, token: str, field: str) -> None:
        if token[0] == '"':
            value = json.loads(token)
            edits = self._nested(value)
            if self._lookers:
                seen = self._looked(field, applied(value, edits))
                if isinstance(seen, str):
                    self._edits.append((at, at + len(token), seen))
                    return
                edits = twice(value, edits, seen)
            self._edits += [
                (at + begin, at + end, instead) for begin, end, instead in in_token(token, edits)
            ]
        elif token != "null" and self._lookers:
            shown = self._number(field, token)
            if shown is not None:
                self._edits.append((at, at + len(token), shown))

    def _nested(self, value: str) -> list[Edit]:
        if value.lstrip(" \t\n\r")[:1] not in ("{", "[", '"'):
            return []
        if self._texts == NESTED:
            raise _Withheld
        maskers = [Pathless(each) if getattr(each, "paths", ()) else each for each in self._maskers]
        try:
            return Reference(maskers, self._texts + 1).edits(value)
        except _NoJson:
            return []

    def _number(self, field: str, token: str) -> str | None:
        """What a number, true or false is shown as instead."""
        if not IStatedMasker.providedBy(self._lookers[0]):
            answer = self._lookers[0].mask(field, token)
            return None if answer is None else json_grammar.fitted(token, answer)
        if token in ("true", "false"):  # which are no text, and no number
            return None
        edits = self._looked(field, token)
        if isinstance(edits, str):
            return edits
        return json_grammar.fitted(token, applied(token, edits)) if edits else None

    def _looked(self, field: str, value: str) -> str | list[Edit]:
        """What is shown instead of parts of a value; or the token that is shown instead of it."""
        if not IStatedMasker.providedBy(self._lookers[0]):
            answer = self._lookers[0].mask(field, value)
            return [] if answer is None else json.dumps(answer)
        worst = _worst([found for each in self._lookers for found in _in(each, value)])
        if worst is not None and worst.how is How.DENY:
            raise _Withheld
        if worst is not None and worst.how is How.DROP:
            return "null"
        return [
            (begin, end, hand().text(hider, value[begin:end]))
            for begin, end, hider in self._runs(value)
        ]

    def _runs(self, value: str) -> list[tuple[int, int, Hider]]:
        """What is hidden of a text: from where to where, and who hides it."""
        found = sorted(
            (span.begin, span.end, number)
            for number, each in enumerate(self._lookers)
            for span in cast(IStatedMasker, each).spans(value)
        )
        runs = list[tuple[int, int, list[Hider]]]()
        for begin, end, number in found:
            if not runs or begin >= runs[-1][1]:
                runs.append((begin, end, []))
            first, last, hiders = runs[-1]
            runs[-1] = first, max(last, end), [*hiders, _hider(self._lookers[number])]
        return [(begin, end, hider) for begin, end, all_ in runs if (hider := _worst(all_))]


def _hider(masker: IMasker) -> Hider:
    return Hider(masker.name, getattr(masker, "how", How.REPLACE))


def _worst(hiders: Sequence[Hider]) -> Hider | None:
    """Who hides what several do."""
    for how in (How.DENY, How.DROP, How.REPLACE, How.HASH, How.LAST4):
        for each in hiders:
            if each.how is how:
                return each
    return None


def _in(looker: IMasker, value: str) -> list[Hider]:
    """Whether it hides any of a text."""
    if IStatedMasker.providedBy(looker):
        found = bool(looker.spans(value))
    else:
        found = looker.mask("", value) is not None
    return [_hider(looker)] if found else []


def leads(segments: Sequence[Segment], keys: Sequence[str | int]) -> bool:
    """Whether a path leads to what these names and indices lead to."""
    if not segments or not keys:
        return not segments and not keys
    (selector, deep), *rest = segments
    fits = selector is None or (type(selector) is type(keys[0]) and selector == keys[0])
    return (fits and leads(rest, keys[1:])) or (deep and leads(segments, keys[1:]))


def applied(text: str, edits: Sequence[Edit]) -> str:
    """The text with these places of it replaced."""
    made, at = "", 0
    for begin, end, instead in edits:
        made, at = made + text[at:begin] + instead, end
    return made + text[at:]


def in_token(token: str, edits: Sequence[Edit]) -> list[Edit]:
    """What is replaced of the token of a text, of which these places are."""
    at = [1]
    for unit in _UNIT.findall(token[1:-1]):
        at.append(at[-1] + len(unit))
    return [(at[begin], at[end], json.dumps(instead)[1:-1]) for begin, end, instead in edits]


def twice(text: str, first: Sequence[Edit], second: Sequence[Edit]) -> list[Edit]:
    """What two rounds of edits, one after the other, replace of a text: character by character."""
    cells: list[tuple[int | None, str]] = [*enumerate(text)]
    for edits in (first, second):
        made, at = list[tuple[int | None, str]](), 0
        for begin, end, instead in edits:
            made += [*cells[at:begin], *((None, each) for each in instead)]
            at = end
        cells = [*made, *cells[at:]]
    found, at, instead = list[Edit](), 0, ""
    for place, character in [*cells, (len(text), "")]:
        if place is None:
            instead += character
            continue
        if instead or place > at:
            found.append((at, place, instead))
        at, instead = place + 1, ""
    return found
