"""Names with ``*`` for any number of characters and ``?`` for one; all else stands for itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Matcher = Callable[[str], re.Match[str] | None]


def globs_matcher(globs: Sequence[str], flags: re.RegexFlag = re.NOFLAG) -> Matcher:
    """One matcher of whole names for all the globs; without any it matches nothing."""
    each = (f"(?:{_expression(glob)})" for glob in globs)
    return re.compile("|".join(each) or "(?!)", flags | re.DOTALL).fullmatch


def _expression(glob: str) -> str:
    """The glob as a regular expression whose work grows with the name's length, never faster.

    Each piece between two stars is taken at the first place where it fits (`(?>...)` never tries
    another): whatever a later place would leave for the rest, the first leaves too.
    """
    first, *rest = (_piece(piece) for piece in glob.split("*"))
    if not rest:
        return first
    middle = "".join(f"(?>.*?{piece})" for piece in rest[:-1] if piece)
    return f"{first}{middle}.*{rest[-1]}"


def _piece(piece: str) -> str:
    return "".join("." if character == "?" else re.escape(character) for character in piece)
