"""Numbers of payment cards (ISO/IEC 7812-1): by their issuers' ranges and their check digit."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from jitgate.core.pausing import pause, paused

SHORTEST, LONGEST = 13, 19
"""Digits of a number."""

GROUPS = 10
"""Groups that it is written in: cards have up to five, and nobody writes more than pairs."""

_RUN = re.compile(rb"[0-9](?>[ -]?[0-9]){12,4096}+")
_MORE = re.compile(rb"(?>[ -]?[0-9]){1,4096}+")
"""How a run begins, and goes on: a long one is not read in one go."""

_GROUP = re.compile(rb"[0-9]+")

_ISSUED = re.compile(
    rb"""4[0-9]{12}(?:[0-9]{3}){0,2}                                          # Visa
    |5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12} # Mastercard
    |3[47][0-9]{13}                                                          # American Express
    |3(?:0[0-59]|[689][0-9])[0-9]{11,16}                                     # Diners Club
    |35(?:2[89]|[3-8][0-9])[0-9]{12,15}                                      # JCB
    |6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12,15}                              # Discover
    |(?:62|81)[0-9]{14,17}                                                   # UnionPay
    |(?:50(?:18|20|38)|5893|6304|6759|676[1-3])[0-9]{9,15}                   # Maestro
    |220[0-4][0-9]{12,15}                                                    # Mir
    |(?:60|82|508[0-9])[0-9]{12,14}|9792[0-9]{12}                            # RuPay, Troy
    """,
    re.VERBOSE,
)

_DIGITS = bytes((code - 48) % 10 for code in range(256))
_DOUBLED = bytes(sum(divmod(2 * ((code - 48) % 10), 10)) for code in range(256))


def cards(text: bytes) -> Iterator[tuple[int, int]]:
    """Where numbers of cards are: digits in groups, with one space or dash between two.

    None begins or ends within a group, or beside a letter of ASCII: that is a longer number, or a
    name of something else.
    """
    for begin, end in paused(_runs(text)):
        yield from _in_run(text, _groups(text, begin, end))


def _runs(text: bytes) -> Iterator[tuple[int, int]]:
    """Where the runs are of digits in groups that are long enough."""
    end = 0
    while run := _RUN.search(text, end):
        begin, end = run.span()
        while more := _MORE.match(text, end):
            pause()
            end = more.end()
        yield begin, end


def _groups(text: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The groups of a run that stand beside no letter."""
    if text[max(begin - 1, 0) : begin].isalpha():
        begin = _GROUP.match(text, begin).end()  # type: ignore[union-attr]  # a run begins so
    ends_in_letter = text[end : end + 1].isalpha()
    for group in _GROUP.finditer(text, begin, end):
        if not (ends_in_letter and group.end() == end):
            yield group.span()


def _in_run(text: bytes, coming: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    groups = deque(islice(coming, GROUPS))
    while groups:
        pause()
        last = _last(text, groups)
        if last is not None:
            yield groups[0][0], groups[last][1]
        for _ in range(1 if last is None else last + 1):
            groups.popleft()
            groups.extend(islice(coming, 1))


def _last(text: bytes, groups: Iterable[tuple[int, int]]) -> int | None:
    """The last group of the longest number that begins with the first, None if none does."""
    digits, found = b"", None
    for number, (begin, end) in enumerate(groups):
        digits += text[begin : min(end, begin + LONGEST + 1)]
        if len(digits) > LONGEST:
            break
        if len(digits) >= SHORTEST and _ISSUED.fullmatch(digits) and is_checked(digits):
            found = number
    return found


def is_checked(digits: bytes) -> bool:
    """Whether the last digit is the check digit of those before it (ISO/IEC 7812-1, annex B)."""
    plain, doubled = digits[::-2].translate(_DIGITS), digits[-2::-2].translate(_DOUBLED)
    return (sum(plain) + sum(doubled)) % 10 == 0
