"""What masking is made of: what the maskers say of one value, and the chaining of transformers.

A *transformer* takes bytes in pieces and returns bytes in pieces. The two that hide something are
`jitgate.core.json_masking.JsonMasker` and `jitgate.core.literals.LiteralMasker`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from jitgate.core.json_glance import Glance
from jitgate.errors import MaskerOff, MaskingFault
from jitgate.interfaces import IMasker

REMEMBERED_FIELDS = 1024
"""Field names whose answers are kept; a response rarely has more than a hundred. Past it all are
forgotten, so that memory is bounded."""

REMEMBERED_LENGTH = 256
"""Characters of the longest field name that is kept, so that the names kept stay under 1 MiB."""

REMEMBERED_SETS = 64
"""Sets of maskers for which answers are kept: profiles, with what catalogs mark."""


class Transformer(Protocol):
    """The shape of everything that rewrites a stream of bytes."""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return what may go on because of them. Raises `JitgateError`."""

    def finish(self) -> bytes:
        """Say that no more bytes will come; return what is left. Raises `JitgateError`."""


class Chain:
    """Transformers in a row: what the first returns, the second takes, and so on."""

    def __init__(self, transformers: Sequence[Transformer]) -> None:
        self._transformers = tuple(transformers)

    def feed(self, chunk: bytes) -> bytes:
        """Pass ``chunk`` through all of them; return what comes out at the end."""
        for transformer in self._transformers:
            chunk = transformer.feed(chunk)
        return chunk

    def finish(self) -> bytes:
        """Finish them in order, each with what those before it still had."""
        rest = b""
        for transformer in self._transformers:
            rest = (transformer.feed(rest) if rest else b"") + transformer.finish()
        return rest


class Maskers:
    """Several maskers asked as one, for one text: who hides a field, what a value is shown as.

    A masker that raises, or answers what its port does not allow, is a `MaskingFault` that names
    it: what it was to hide is not known, so nothing may pass.
    """

    def __init__(self, maskers: Sequence[IMasker]) -> None:
        self._asked = _asked(tuple(maskers))
        self._counts: Counter[str] = Counter()

    @property
    def look_at_values(self) -> bool:
        """Whether any of them has to be shown the values."""
        return bool(self._asked.lookers)

    @property
    def glance(self) -> Glance:
        """What reads whole values by what they hide."""
        return self._asked.glance

    @property
    def counts(self) -> Mapping[str, int]:
        """The names of those that hid something, each with the number of values."""
        return dict(self._counts)

    def count(self, name: str) -> None:
        """Note that the masker of that name hid one value."""
        self._counts[name] += 1

    def hider(self, field: str) -> str | None:
        """The name of the first masker that hides fields of this name, None if none does."""
        return self._asked.hiders[field]

    def shown(self, field: str, value: str, fit: Callable[[str], str]) -> str | None:
        """What to show in place of ``value``, None if every masker leaves it as it is.

        Each masker sees what those before it made of the value, so that two that hide different
        parts of one value both do. ``fit`` turns an answer into one that the value's type allows.
        """
        shown = None
        for masker in self._asked.lookers:
            answer = _masked(masker, field, value)
            if answer is not None:
                shown = value = fit(answer)
                self.count(masker.name)
        return shown


class _Hiders(dict[str, str | None]):
    """Who hides a field, by its name: asked once, and remembered."""

    def __init__(self, maskers: tuple[IMasker, ...]) -> None:
        super().__init__()
        self._maskers = maskers

    def __missing__(self, field: str) -> str | None:
        hider = next((str(each.name) for each in self._maskers if _hides(each, field)), None)
        if len(field) <= REMEMBERED_LENGTH:
            if len(self) >= REMEMBERED_FIELDS:
                self.clear()
            self[field] = hider
        return hider


class _Asked:
    """What is the same for every text that these maskers look at."""

    def __init__(self, maskers: tuple[IMasker, ...]) -> None:
        self.lookers = tuple(masker for masker in maskers if masker.looks_at_values)
        self.hiders = _Hiders(maskers)
        self.glance = Glance(self.hiders)


_asked = lru_cache(maxsize=REMEMBERED_SETS)(_Asked)


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
    if answer is None or isinstance(answer, str):
        return answer
    raise MaskingFault(f"masker {masker.name!r} answers a value with something not a string")
