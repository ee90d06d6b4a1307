"""Arithmetic that a condition may do: none whose result compares with nothing.

NaN is neither less than a number, nor more, nor the same. What denies where ``body.a < 5`` would
not deny then, so that whoever makes the body could go round it. Values that are handed over are
finite and below 2^64; NaN comes of a text ("nan"), of 0/0, and of what is infinite: a sum or a
product that is too large.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from jitgate.rules.cel_syntax import Call, Constant, Node, every
from jitgate.rules.cel_values import EXACT

PRODUCTS: Final = 10
"""Multiplications and divisions in an expression, each by less than 2^64 or a sum of such: with
2,000 characters nothing reaches 2^1024, where the infinite begins."""

_WHOLE = frozenset({"int", "uint", "size"})


def numbers_refused(tree: Node) -> Iterator[tuple[int, str]]:
    """What is wrong with an expression's arithmetic, and at which of its characters."""
    products = []
    for node in every(tree):
        match node:
            case Constant(number=float(number)) if not abs(number) < EXACT:
                yield node.at, "a number with a point is too large to be told exactly"
            case Call(function="double", arguments=(given,)) if not _is_whole(given):
                message = "double() takes 'nan' from outside: write a number, or double(int(…))"
                yield given.at, message
            case Call(function="_/_", arguments=(_, by)):
                products.append(node.at)
                if not _divides(by):
                    message = f"a value may only be divided by a literal from 1/2^{_BITS} on"
                    yield by.at, message
            case Call(function="_*_"):
                products.append(node.at)
    if len(products) > PRODUCTS:
        message = f"a condition multiplies and divides {PRODUCTS} times at most"
        yield sorted(products)[PRODUCTS], message


_BITS = round(math.log2(EXACT))


def _is_number(node: Node) -> bool:
    return isinstance(node, Constant) and node.number is not None


def _divides(node: Node) -> bool:
    number = node.number if isinstance(node, Constant) else None
    return number is not None and abs(number) >= 1 / EXACT


def _is_whole(node: Node) -> bool:
    """Whether it is a number whatever comes from outside, or an error."""
    return _is_number(node) or (isinstance(node, Call) and node.function in _WHOLE)
