"""What masking is made of: what the maskers say of one value, and the chaining of transformers.

A *transformer* takes bytes in pieces and returns bytes in pieces. The two that hide something are
`jitgate.core.json_masking.JsonMasker` and `jitgate.core.literals.LiteralMasker`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol, TypeGuard, cast

from zope.interface import implementer

from jitgate.core.hiding import NEEDS_TEXT, STARS, STRICTNESS, Hand, strictest
from jitgate.core.json_glance import Glance
from jitgate.core.json_grammar import LONGEST_VIEWED
from jitgate.core.json_search import search
from jitgate.core.parts import Part, replaced
from jitgate.core.paths import Follower, Path
from jitgate.core.pausing import paused
from jitgate.errors import MaskerOff, MaskingFault
from jitgate.interfaces import IMasker, IStatedMasker
from jitgate.values import Hider, How, Span

REMEMBERED_FIELDS = 1024
"""Field names whose answers are kept; a response rarely has more than a hundred. Past it all are
forgotten, so that memory is bounded."""

REMEMBERED_LENGTH = 256
"""Characters of the longest field name that is kept, so that the names kept stay under 1 MiB."""

REMEMBERED_SETS = 512
"""Sets of maskers for which answers are kept: profiles, with what catalogs mark."""


class Transformer(Protocol):
    """The shape of everything that rewrites a stream of bytes."""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return what may go on because of them. Raises `JitgateError`."""

    def finish(self) -> bytes:
        """Say that no more bytes will come; return what is left. Raises `JitgateError`."""

    @property
    def held(self) -> int:
        """Bytes of memory that it holds of what it has taken, about: more where it tells less."""


class Chain:
    """Transformers in a row: what the first returns, the second takes, and so on."""

    def __init__(self, transformers: Sequence[Transformer]) -> None:
        self._transformers = tuple(transformers)

    def feed(self, chunk: bytes) -> bytes:
        """Pass ``chunk`` through all of them; return what comes out at the end."""
        for transformer in self._transformers:
            chunk = transformer.feed(chunk)
        return chunk

    @property
    def held(self) -> int:
        """What all of them hold."""
        return sum([each.held for each in self._transformers])

    def finish(self) -> bytes:
        """Finish them in order, each with what those before it still had."""
        rest = b""
        for transformer in self._transformers:
            rest = (transformer.feed(rest) if rest else b"") + transformer.finish()
        return rest


class Shown(NamedTuple):
    """What a value is shown as instead, if at all, and what of it was hidden, by which rules."""

    text: str
    """All of it; not to be taken where it is ``dropped``."""
    parts: tuple[Part, ...]
    """What of the value itself is hidden; empty where a masker told no parts but all of it."""
    rules: tuple[str, ...]
    dropped: bool = False


class Maskers:
    """Several maskers asked as one, for one response: who hides a field, what a value is shown as.

    A masker that raises, or answers what its port does not allow, is a `MaskingFault` that names
    it: what it was to hide is not known, so nothing may pass.
    """

    def __init__(self, maskers: Sequence[IMasker], hand: Hand | None = None) -> None:
        self.hand = Hand() if hand is None else hand
        self.asked = asked(tuple(maskers), self.hand.openly)

    @property
    def look_at_values(self) -> bool:
        """Whether any of them has to be shown the values."""
        return bool(self.asked.lookers)

    @property
    def counts(self) -> Mapping[str, int]:
        """The names of those that hid something, each with the number of values."""
        return self.hand.counts

    def hider(self, field: str) -> Hider | None:
        """Who hides fields of this name, by the strictest way; None if nobody does."""
        return self.asked.hiders[field]

    def shown(
        self, field: str, value: str, fit: Callable[[str], str], *, is_literal: bool = False
    ) -> Shown | None:
        """What to show in place of ``value``, None if every masker leaves it as it is.

        Those that state what they hide look at the value itself, and all parts that they find are
        hidden. Of the others each sees what was made of it before, so that two that hide different
        parts of one value both do. ``fit`` turns an answer into one that the value's type allows.
        ``is_literal``: it is true or false, and not for those who state what they hide, which is in
        texts and numbers. Raises `MaskingFault`.
        """
        found = [] if is_literal else self.asked.found(value)
        if not found and not self.asked.unstated:  # as mostly
            return None
        worst = strictest([each.hider for each in found])
        if worst is not None and worst.how is How.DROP:
            return Shown("", (), (worst.name,), dropped=True)
        if found:  # of a secret that is hidden in part the rest would not be known any more
            found += [Found(*place, None) for place in self.hand.secret_places(value)]
        united = paused(_united(found))
        parts = tuple(  # or all is denied
            [self._part(begin, end, by, value) for begin, end, by in united if by is not None]
        )
        rules, text = [part.rule for part in parts], value
        if parts:
            text = fit(replaced(value, parts))
        for masker in self.asked.unstated:
            answer = _masked(masker, field, text)
            if answer is not None:
                answer = STARS if self.hand.secret_places(text) else answer
                text, parts = fit(answer), ()
                rules.append(masker.name)
        return Shown(text, parts, tuple(rules)) if rules else None

    def telling(self, hider: Hider, field: str, value: str) -> Hider:
        """Who hides a text of which ``hider`` tells something: who looks at it may be stricter.

        Raises `MaskingFault`.
        """
        if hider.how not in NEEDS_TEXT:
            return hider
        hiders = [hider, *(each.hider for each in self.asked.found(value))]
        plain = (each for each in self.asked.unstated if _masked(each, field, value) is not None)
        hiders += map(self.asked.hider_of, plain)
        return cast(Hider, strictest(hiders))

    def _part(self, begin: int, end: int, hider: Hider, value: str) -> Part:
        return Part(begin, end, self.hand.text(hider, value[begin:end]), hider.name)


class Found(NamedTuple):
    """A part of a text that somebody hides, and who; None: that is hidden later."""

    begin: int
    end: int
    hider: Hider | None


def _united(found: list[Found]) -> Sequence[Found]:
    """In order, and what overlaps as one that is hidden by the strictest way."""
    if len(found) < 2:  # as mostly
        return found
    united = list[Found]()
    for each in paused(sorted(found, key=itemgetter(0))):
        last = united[-1] if united else None
        if last is not None and each.begin < last.end:
            hider = strictest([last.hider, each.hider])
            united[-1] = Found(last.begin, max(last.end, each.end), hider)
        else:
            united.append(each)
    return united


def _rule(masker: IMasker, span: Span) -> str:
    return f"{masker.name}/{span.what}" if span.what else str(masker.name)


class _Hiders(dict[str, Hider | None]):
    """Who hides a field, by its name: asked once, and remembered."""

    def __init__(self, of: Asked) -> None:
        super().__init__()
        self._of = of

    def __missing__(self, field: str) -> Hider | None:
        hiding = (each for each in self._of.maskers if _hides(each, field))
        hider = strictest(map(self._of.hider_of, hiding))
        if len(field) <= REMEMBERED_LENGTH:
            if len(self) >= REMEMBERED_FIELDS:
                self.clear()
            self[field] = hider
        return hider


class Asked:
    """What is the same for every text that these maskers look at.

    ``openly``: for people (`Hand`), who see that something was there: nothing is dropped, and
    nothing denied, which is for answers.
    """

    def __init__(self, maskers: tuple[IMasker, ...], openly: bool) -> None:
        self.maskers = maskers
        self._openly = openly
        self.lookers = tuple(masker for masker in maskers if masker.looks_at_values)
        self.stated = tuple([each for each in self.lookers if is_stated(each)])
        self.unstated = tuple([each for each in self.lookers if not is_stated(each)])
        self.hiders = _Hiders(self)
        self.glance = Glance(self.hiders)
        led = [(path, self.hider_of(each)) for each in maskers for path in _paths(each)]
        led.sort(key=lambda each: STRICTNESS.index(each[1].how), reverse=True)
        self.follower = Follower([path for path, _ in led]) if led else None
        self.path_hiders = tuple(hider for _, hider in led)
        """Who hides what the path of that number leads to; the strictest are the first."""
        stated = [each for each in maskers if is_stated(each)]
        signs = [(0, sign) for each in stated for sign in each.signs]
        self.signs = None
        """Finds what may be looked at by those that look at values; None: all of it is."""
        if all(is_stated(each) and each.signs for each in self.lookers):
            self.signs = search((*signs, (0, ESCAPE)) if signs else ())
        self.drops = any(self.hider_of(each).how is How.DROP for each in stated)
        self.without_paths = tuple(map(_pathless, maskers))
        """The same where paths do not lead on: who hides for what something is still does."""

    def hider_of(self, masker: IMasker, rule: str = "") -> Hider:
        """It as one that hides a value; ``rule`` is the name of it for this value."""
        how = cast(How, masker.how) if is_stated(masker) else How.REPLACE
        if self._openly and how in {How.DROP, How.DENY}:
            how = How.REPLACE
        return Hider(rule or str(masker.name), how)

    def found(self, value: str) -> list[Found]:
        """What of a value those find who state what they hide. Raises `MaskingFault`."""
        return [
            Found(span.begin, span.end, self.hider_of(masker, _rule(masker, span)))
            for masker in self.stated
            for span in paused(_spans(masker, value))
        ]


LONGEST_ANSWER: Final = LONGEST_VIEWED
"""Characters that a masker may show instead of a value: as many as a value may have that it sees.
Were each character shown as `STARS`, a text that a plugin sees would have half as many."""

ESCAPE: Final = rb"\\u"
"""In what is written so, what may be hidden shows no sign."""

asked: Final = lru_cache(maxsize=REMEMBERED_SETS)(Asked)


def is_stated(masker: IMasker) -> TypeGuard[IStatedMasker]:
    """Whether it states beforehand what it hides."""
    return bool(IStatedMasker.providedBy(masker))


@implementer(IStatedMasker)
class _Pathless:
    """A masker without its paths."""

    paths: Sequence[Path] = ()

    def __init__(self, masker: IStatedMasker) -> None:
        self._masker = masker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._masker, name)


def _pathless(masker: IMasker) -> IMasker:
    return _Pathless(masker) if is_stated(masker) and masker.paths else masker


def _paths(masker: IMasker) -> Sequence[Path]:
    return cast("Sequence[Path]", masker.paths) if is_stated(masker) else ()


def _hides(masker: IMasker, field: str) -> bool:
    try:
        answer = masker.hides(field)
    except MaskerOff:
        raise  # it names the masker, and says more
    except BaseException as cause:
        raise MaskingFault(f"masker {masker.name!r} failed on a field") from cause
    if answer is True or answer is False:
        return answer
    raise MaskingFault(f"masker {masker.name!r} says neither yes nor no about a field")


def _masked(masker: IMasker, field: str, value: str) -> str | None:
    try:
        answer = masker.mask(field, value)
    except MaskerOff:
        raise
    except BaseException as cause:
        raise MaskingFault(f"masker {masker.name!r} failed on a value") from cause
    if answer is None:
        return answer
    if isinstance(answer, str):
        text = str.__str__(answer)  # its characters, whatever else it says of itself
        if len(text) <= LONGEST_ANSWER:
            return text
        raise MaskingFault(
            f"masker {masker.name!r} answers a value with more than {LONGEST_ANSWER} characters"
        )
    raise MaskingFault(f"masker {masker.name!r} answers a value with something not a string")


def _spans(masker: IStatedMasker, value: str) -> Sequence[Span]:
    try:
        return masker.spans(value)
    except MaskerOff:
        raise
    except BaseException as cause:
        raise MaskingFault(f"masker {masker.name!r} failed on a value") from cause
