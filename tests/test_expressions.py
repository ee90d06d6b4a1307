"""The regular expressions, as every Python from 3.11 on reads them."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from re import _constants as constants
from re import _parser as parser

import pytest

import jitgate


def expressions(values) -> Iterator[re.Pattern]:
    for value in values:
        if isinstance(value, re.Pattern):
            yield value
        elif isinstance(value, dict):
            yield from expressions(value.values())
        elif isinstance(value, list | tuple):
            yield from expressions(value)


def all_of_them() -> dict[str, re.Pattern]:
    found = {}
    for module in pkgutil.walk_packages(jitgate.__path__, "jitgate."):
        if not module.name.endswith("__main__"):
            for each in expressions(vars(import_module(module.name)).values()):
                found[f"{module.name}: {each.pattern!r}"] = each
    return found


def steps(tree) -> Iterator[tuple]:
    """Each operation of a parsed expression, however deep."""
    for part in tree:
        if isinstance(part, parser.SubPattern):
            yield from steps(part)
        elif isinstance(part, tuple | list):
            if part and part[0] is constants.POSSESSIVE_REPEAT:
                yield part
            yield from steps(part)


def goes_astray(expression: str | bytes) -> bool:
    """Whether it repeats possessively what is neither one character nor an atomic group.

    Before 3.11.5 Python forgets where it was when such a repeat ends within what it repeats
    (github.com/python/cpython/issues/106052), and reads on in the middle.
    """
    bodies = [body for _, (_, _, body) in steps(parser.parse(expression))]
    whole = {constants.ATOMIC_GROUP, constants.IN, constants.LITERAL, constants.NOT_LITERAL}
    return any(len(body) != 1 or body[0][0] not in {*whole, constants.ANY} for body in bodies)


@pytest.mark.parametrize(
    ("expression", "does"),
    [
        (r"1(?:\.[0-9]++)?+x", True),
        (rb"(a(?:bc)*+)", True),
        (r"x|(?:a|b)*+", False),  # which is a class of characters
        (r"x|(?:a|bc)*+", True),
        (r"1(?>\.[0-9]++)?+x", False),
        (r"[a-z]*+.?+a{2,3}+", False),
    ],
)
def test_what_is_looked_for_is_found(expression, does):
    assert goes_astray(expression) is does


def test_no_expression_is_read_otherwise_by_an_older_python():
    found = all_of_them()
    assert len(found) > 50
    assert [name for name, each in found.items() if goes_astray(each.pattern)] == []
