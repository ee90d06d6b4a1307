"""How a value is hidden that the agent must not see, and what is told of it for the record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from sys import getsizeof
from typing import Final, cast

from jitgate.errors import ResponseDenied
from jitgate.values import Hider, Hit, How

NOTED: Final = 1000
"""Hidden values of one response that are told one by one, 100 bytes each; the rest is counted."""

TOLD: Final = 64 * 1024
"""Bytes of a hidden value that its digest is of: a longer one is known by its beginning."""

HIT: Final = 256
"""Bytes of memory that one of those takes beside its path."""

STARS: Final = "*" * 16
"""What stands for a hidden text: schemas that give a secret a least length ask for up to 14."""

SHOWN: Final = 4
"""Characters at the end of a text that `How.LAST4` shows."""

LONG_ENOUGH: Final = 12
"""Characters of a text of which the last four tell little: of a shorter one nothing is shown."""


STRICTNESS: Final = (How.LAST4, How.HASH, How.REPLACE, How.DROP, How.DENY)
"""From what tells the agent most of a value to what tells least: its end; whether two are the same;
that there is one, and of which type; nothing; and of all that came with it nothing either."""


def strictest(hiders: Iterable[Hider | None]) -> Hider | None:
    """Of those that hide one value the first that does so by the strictest way; None of none."""
    return max(filter(None, hiders), key=lambda each: STRICTNESS.index(each.how), default=None)


def unkeyed(_: bytes) -> str:
    """The digest where there is no key: nothing is told of a value."""
    return ""


def unchanged(path: str) -> str:
    """What is told of a path that may hold no secret: all of it."""
    return path


_SURROGATE = re.compile("[\ud800-\udfff]")
"""No text on record may hold one: a path has its escape (RFC 9535, section 2.7)."""


def nowhere(_: str) -> Sequence[tuple[int, int]]:
    """Where in a text secrets stand that are hidden in all bytes, where none is known."""
    return ()


Where = Callable[[int], str]
"""The path of the value that begins at a byte."""


class Hand:
    """Shows what hides values in one response, and keeps count.

    Args:
        keyed: The digest of a value that the record holds.
        session: The one that the agent is shown by `How.HASH`, under a key of its session.
        openly: For people, who must not take what is hidden for what is sent: whatever its type,
            a hidden value is a text that says so.
    """

    def __init__(
        self,
        keyed: Callable[[bytes], str] = unkeyed,
        session: Callable[[bytes], str] = unkeyed,
        *,
        openly: bool = False,
    ) -> None:
        self.openly = openly
        self._hits: list[Hit | Callable[[], Hit]] = []
        self._settled = 0
        self._told = 0
        """Bytes of the paths that are told."""
        self._keyed = keyed
        self._session = session
        self._counts: dict[str, int] = {}
        self.path_told: Callable[[str], str] = unchanged
        """What is told of a path: names in it may be what nobody is told."""
        self.secret_places: Callable[[str], Sequence[tuple[int, int]]] = nowhere
        """Where in a text something stands that is hidden in all bytes later: what is left of it
        once somebody has hidden a part of it would not be found any more."""
        self.secrets = 0
        """How often that was so."""

    @property
    def held(self) -> int:
        """Bytes of memory that what is told one by one takes, about."""
        return len(self._hits) * HIT + self._told

    @property
    def counts(self) -> Mapping[str, int]:
        """Who hid something, each with the number of values."""
        return dict(self._counts)

    @property
    def notes(self) -> bool:
        """Whether the next hidden value is told by itself, and not only counted."""
        return len(self._hits) < NOTED

    @property
    def hits(self) -> list[Hit]:
        """What was hidden, each by itself, and where it stood, in characters that all can read."""
        self.settle()
        hits = cast("list[Hit]", list(self._hits))
        together = "\n".join([each.path for each in hits])
        if self._as_told(together) == together:  # as mostly: what is in none of them
            return hits
        return [replace(each, path=self._as_told(each.path)) for each in hits]

    def _as_told(self, path: str) -> str:
        readable = _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", path)
        return self.path_told(readable)

    def settle(self) -> None:
        """Work out what is told of what was hidden so far: until then its text is kept for that."""
        for number in range(self._settled, len(self._hits)):
            each = self._hits[number]
            if not isinstance(each, Hit):
                each = self._hits[number] = each()
                self._told += getsizeof(each.path)
        self._settled = len(self._hits)

    def hid(self, rule: str, path: str | Callable[[], str], value: bytes) -> None:
        """Keep in mind that a value was hidden, as the target sent it.

        ``path``: where it stood; called once that is asked, if at all.
        """
        self._counts[rule] = self._counts.get(rule, 0) + 1
        if self.notes:
            of = self._digest(value)
            if isinstance(path, str):
                self._hits.append(Hit(rule, path, of))
                self._told += getsizeof(path)
            else:
                self._hits.append(partial(_told, rule, path, of))

    def counted(self, rule: str, values: int) -> None:
        """Keep in mind that so many were hidden, of which no more is told."""
        if values:
            self._counts[rule] = self._counts.get(rule, 0) + values

    def hid_at(self, places: Sequence[tuple[str, int, int]], data: bytes, where: Where) -> None:
        """Keep in mind what stood in several places of a text: by which rule, from where to where.

        ``where`` tells the path of what begins at one of them; it is asked when all of it is.
        """
        for rule, _, _ in places:
            self._counts[rule] = self._counts.get(rule, 0) + 1
        for rule, begin, end in places[: NOTED - len(self._hits)]:
            self._hits.append(partial(self._hit, rule, data, where, begin, end))

    def _hit(self, rule: str, data: bytes, where: Where, begin: int, end: int) -> Hit:
        return Hit(rule, where(begin), self._digest(data[begin:end]))

    def _digest(self, value: bytes) -> str:
        return self._keyed(value[:TOLD])

    def beside(self) -> Hand:
        """One like it, for what may prove to be nothing that is looked at; `take` counts it in."""
        other = Hand(self._keyed, self._session, openly=self.openly)
        other.secret_places = self.secret_places
        return other

    def take(self, other: Hand) -> None:
        """Count in what another has hidden."""
        for rule, count in other._counts.items():
            self._counts[rule] = self._counts.get(rule, 0) + count
        self.secrets += other.secrets
        self._hits += other._hits[: NOTED - len(self._hits)]
        self._told += other._told

    def text(self, hider: Hider, value: str) -> str:
        """What a hidden text, or part of one, is shown as. Raises `ResponseDenied`."""
        how = hider.how
        if how is How.DENY:
            raise denied(hider)
        secrets = len(self.secret_places(value))
        self.secrets += secrets
        if secrets and how in NEEDS_TEXT:
            return STARS
        if how is How.LAST4 and len(value) >= LONG_ENOUGH:
            return STARS[SHOWN:] + value[-SHOWN:]
        if how is How.HASH:
            return f"hmac:{self._session(value.encode('utf-8', 'surrogatepass'))[:32]}"
        return STARS

    def token(self, hider: Hider, token: str) -> str:
        """The JSON token that stands for a hidden value, of which ``token`` is enough.

        That is all of a text that is shown in part, and of what `concealed` looks at, and else the
        first character. null stays, and stands for an element that is dropped.
        Raises `ResponseDenied`.
        """
        first = token[0]
        if hider.how is How.DENY and first != "n":
            raise denied(hider)
        if hider.how is How.DROP:
            return "null"
        if first == '"' and hider.how in NEEDS_TEXT:
            return json.dumps(self.text(hider, json.loads(token)))
        return _OPENLY.get(first, '"(a number, hidden)"') if self.openly else concealed(token)


def _told(rule: str, path: Callable[[], str], digest: str) -> Hit:
    return Hit(rule, path(), digest)


NEEDS_TEXT: Final = frozenset({How.LAST4, How.HASH})
"""Where the text itself decides what it is shown as."""

CONCEALED: Final = {
    '"': f'"{STARS}"',
    "{": "{}",
    "[": "[]",
    "t": "false",
    "f": "false",
    "n": "null",
}

UUID_SIZE: Final = 38
"""Characters of a UUID (RFC 9562) in quotes."""

LONGEST_LINK: Final = 4096
"""Characters of an object that is looked at for whether it is a link."""

_UUID = re.compile(f'"{"-".join(f"[0-9a-fA-F]{{{size}}}" for size in (8, 4, 4, 4, 12))}"')
_NO_UUID: Final = '"00000000-0000-4000-8000-000000000000"'
_NO_LINK: Final = f'{{"href":"{STARS}"}}'


def concealed(token: str) -> str:
    """The emptiest token of the same type as one that is hidden whole.

    Two are asked by models to have more than their type: a text that is a UUID stays one, and an
    object with an ``href`` (a link, as HAL writes them) keeps that, and nothing of what it says.
    """
    first = token[0]
    if first == '"' and len(token) == UUID_SIZE and _UUID.fullmatch(token):
        return _NO_UUID
    if first == "{" and len(token) <= LONGEST_LINK and '"href"' in token:
        return _NO_LINK
    return CONCEALED.get(first, "0")


_OPENLY: Final = {
    '"': f'"{STARS}"',
    "{": '"(an object, hidden)"',
    "[": '"(a list, hidden)"',
    "n": "null",
}


def denied(hider: Hider) -> ResponseDenied:
    """What is raised where a response holds what no agent may have any of."""
    return ResponseDenied(f"It holds what {hider.name} lets no response hold.")
