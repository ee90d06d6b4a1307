"""Hides secrets that the configuration knows, in whatever field they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from zope.interface import implementer

from jitgate.core.hiding import STARS
from jitgate.core.literals import Literals
from jitgate.core.parts import Part, replaced
from jitgate.core.spellings import Ways, texts, units_of
from jitgate.interfaces import IKnownSecrets
from jitgate.values import How, Span

SHORTEST: Final = 8
"""Characters of a secret: a shorter one stands in much that is none."""

WHAT: Final = "literal"
"""What is told to have been found."""

_WRITTEN: Final = {
    '"': rb'\\?"',
    "\\": rb"\\\\?",
    "/": rb"\\?/",
    "\b": rb"(?:\\b|\x08)",
    "\f": rb"(?:\\f|\x0c)",
    "\n": rb"(?:\\n|\n)",
    "\r": rb"(?:\\r|\r)",
    "\t": rb"(?:\\t|\t)",
}
r"""What JSON writes in another way than text, but for ``\u``, which is a sign by itself."""


@implementer(IKnownSecrets)
class LiteralsMasker:
    """Hides each of some secrets in every text and number, as encoders of JSON and URLs write it.

    Whoever asks it hides them in names as well (`jitgate.core.known_names`).

    Raises `ValueError` for one that is no text, or too short; it does not tell it.
    """

    looks_at_values = True
    names = ()
    paths = ()
    version = ""
    """Nothing is made of the secrets that could be compared with them."""

    def __init__(self, name: str, secrets: Iterable[bytes], how: How = How.REPLACE) -> None:
        self.name = name
        self.how = how
        self.rule = f"{name}/{WHAT}"
        self.literals = Literals([_checked(each).encode() for each in secrets])
        signs = [_sign(units) for each in self.literals for units in units_of(each)]
        self.signs = tuple(signs)

    def hides(self, field: str) -> bool:
        return False

    def mask(self, field: str, value: str) -> str | None:
        parts = [Part(begin, end, STARS, what) for begin, end, what in self.spans(value)]
        return replaced(value, parts) if parts else None

    def spans(self, value: str) -> Sequence[Span]:
        return [Span(begin, end, WHAT) for begin, end in self.literals.places(value)]


def _checked(secret: bytes) -> str:
    try:
        text = secret.decode()
    except UnicodeDecodeError:  # it would tell the bytes
        raise ValueError("A known secret is no text.") from None
    if len(text) < SHORTEST:
        raise ValueError(f"A known secret has less than {SHORTEST} characters.")
    return text


def _sign(units: Sequence[Ways]) -> bytes:
    """What fits it as it stands in JSON, and in text that is none."""
    return b"".join([b"(?:%b)" % b"|".join(map(_written, texts(ways))) for ways in units])


def _written(text: str) -> bytes:
    return b"".join(_WRITTEN.get(each) or re.escape(each).encode() for each in text)
