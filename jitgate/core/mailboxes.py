"""The mailboxes that a name leads to, however it is written: for who must not approve.

Identity providers and people write addresses in many ways (`mailto:`, a name before it in angle
brackets, a tag). Here whoever is taken for another by mistake cannot approve, and nothing else
follows: so every address within a name counts.
"""

from __future__ import annotations

import functools
import re
from contextlib import suppress
from typing import Final

KEPT: Final = 1024
"""Names whose mailboxes are kept: most of ten thousand requests that are listed have the same."""

_APART: Final = r"\s<>()\[\]{},;:\"'\\|/?&=#"
"""What stands in no address that is written plainly: it is around one, or between two."""

_WITHIN: Final = re.compile(f"[^{_APART}@]+@[^{_APART}@]+")


@functools.lru_cache(maxsize=KEPT)
def mailboxes(name: str) -> frozenset[str]:
    """The name itself, and every address in it; as `jitgate.core.answers.person` spells it."""
    return frozenset(map(_mailbox, (name, *_WITHIN.findall(name))))


def is_plain(name: str) -> bool:
    """Whether a name with an address is that address and nothing more: such names are compared."""
    return _WITHIN.fullmatch(name) is not None


def plain(name: str) -> str | None:
    """The address in a name, if there is one alone."""
    found = _WITHIN.findall(name)
    return found[0] if len(found) == 1 else None


def _mailbox(name: str) -> str:
    """A person, by an address without its tag (RFC 5233), whose domain has one spelling."""
    local, at, domain = name.rpartition("@")
    return f"{local.partition('+')[0]}@{_domain(domain)}" if at else domain


@functools.lru_cache(maxsize=KEPT)
def _domain(name: str) -> str:
    with suppress(UnicodeError):  # what is no domain is compared as it stands
        name = name.encode("idna").decode()
    return name.rstrip(".")
