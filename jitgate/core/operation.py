"""What a call is: its one canonical spelling, and the operation that a catalog knows it as.

Everything here reads the path of a request in its canonical spelling, which `canonical_target`
alone makes. What it refuses has two readings somewhere between here and the target, and a call
with two readings could be approved as one and carried out as the other.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from jitgate.core.overrides import OverrideSearch
from jitgate.values import NotCanonical

# --- the one spelling


class CanonicalTarget(NamedTuple):
    """An origin-form request target (RFC 9112, section 3.2.1) in its one spelling.

    The path is as RFC 3986, section 6.2.2 normalises it; the query is byte for byte as it came,
    without the "?". An empty query is the same as none.
    """

    path: str
    query: str


_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_INVALID_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

# Read over a path whose escapes are canonical already. The first that is found is the reason, so
# the order is from the plain to the subtle. The last one allows by list (pchar of RFC 3986,
# section 3.3, without ";"), so that what nobody thought of is refused as well.
_REFUSED_IN_PATH = (
    (re.compile(r"\A(?!/)"), "The path does not begin with a slash."),
    (re.compile(r"#"), "The target holds a fragment."),
    (re.compile(r"[^\x00-\x7f]"), "The path holds a byte that is not ASCII."),
    (re.compile(r"[\x00-\x1f\x7f]|%[01]|%7F"), "The path holds a control character."),
    (re.compile(r"\\|%5C"), "The path holds a backslash."),
    (re.compile(r"%2F"), "The path holds an escaped slash."),
    (re.compile(r";|%3B"), "The path holds a semicolon."),
    (re.compile(r"%25[0-9A-Fa-f]{2}"), "The path is percent-escaped twice."),
    (re.compile(r"//"), "The path has an empty segment."),
    (re.compile(r"/\.{1,2}(?:/|\Z)"), "The path has a dot segment."),
    (re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,=:@/%]"), "The path holds a forbidden character."),
)
_REFUSED_IN_QUERY = (
    (re.compile(r"#"), "The target holds a fragment."),
    (re.compile(r"[^\x00-\x7f]"), "The query holds a byte that is not ASCII."),
    (re.compile(r"[\x00-\x20\x7f]"), "The query holds a space or a control character."),
)
_PLAIN = re.compile(
    r"(/|(?:/(?!\.{1,2}(?:[/?]|\Z))[A-Za-z0-9\-._~!$&'()*+,=:@]++)+/?)(?:\?([!\"$&-~]*+))?"
)
"""What is canonical as it stands, but for the names in its query: the path, and the query."""

COMBINING: Final = 30
"""Combining characters in a row: more stand in no writing (UAX #15, Stream-Safe Text Format), and
whoever normalises a text puts a run of them in order in quadratic time."""

_PERHAPS = re.compile("%|method", re.IGNORECASE)
"""Without any of these no name asks for another method."""
_C1_CONTROL = re.compile(r"[\x80-\x9f]")
_EMPTY_SEGMENTS = re.compile(r"(?<=[^/])/{2,}")
"""Not those at the beginning: "//host/path" has a second reading (RFC 3986, section 4.2)."""


def canonical_target(
    target: str, method: str = "GET", *, merging: bool = False
) -> CanonicalTarget | NotCanonical:
    """The one spelling of a request target, or why it is refused.

    "*" stands for the server as a whole, of which OPTIONS alone can ask (RFC 9112, 3.2.4).

    Escapes of unreserved characters are decoded and the rest upper-cased; ``merging`` makes one
    slash of several inside a path, which are refused otherwise. Nothing else is changed, and what
    would need more (dot segments, RFC 3986, section 6.2.2.3) is refused. The spelling of a
    spelling is itself, and it is all that is decided on and sent.
    """
    if target == "*" and method == "OPTIONS":
        return CanonicalTarget("*", "")
    plain = _PLAIN.fullmatch(target)
    if plain is not None:
        path, query = plain[1], plain[2] or ""
        reason = _reason_in_names(query)
        return CanonicalTarget(path, query) if reason is None else NotCanonical(reason)
    return _carefully(target, merging=merging)


def _carefully(target: str, *, merging: bool) -> CanonicalTarget | NotCanonical:
    """The one spelling of a target that is not plain, or the first reason against it."""
    # Before anything is decoded: in "%%32F" decoding would make a valid escape of an invalid one.
    if _INVALID_ESCAPE.search(target):
        return NotCanonical("The target holds an invalid percent escape.")
    path, _, query = target.partition("?")
    if "%" in path:
        path = _ESCAPE.sub(lambda escape: _canonical_escape(escape[0]), path)
    if merging:
        path = _EMPTY_SEGMENTS.sub("/", path)
    reason = (
        _first_reason(path, _REFUSED_IN_PATH)
        or _first_reason(query, _REFUSED_IN_QUERY)
        or _reason_in_escapes(path)
        or _reason_in_names(query)
    )
    return CanonicalTarget(path, query) if reason is None else NotCanonical(reason)


@functools.cache
def _canonical_escape(escape: str) -> str:
    character = chr(int(escape[1:], 16))
    return character if character in _UNRESERVED else escape.upper()


def _first_reason(text: str, refused: tuple[tuple[re.Pattern[str], str], ...]) -> str | None:
    for pattern, reason in refused:
        if pattern.search(text):
            return reason
    return None


def _reason_in_escapes(path: str) -> str | None:
    """What is wrong with the text that the path's escapes stand for."""
    if "%" not in path:
        return None
    try:
        text = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return "The path's escapes are not UTF-8."
    if _C1_CONTROL.search(text):
        return "The path holds a control character."
    return None if text.isascii() else _reason_in_normalising(text)


def _reason_in_normalising(text: str) -> str | None:
    """What is wrong with what a server makes of a text that takes what looks alike for the same.

    Each character is decomposed by itself, which takes linear time; as a whole it is safe after.
    """
    decomposed = "".join([unicodedata.normalize("NFKD", each) for each in text])
    if _longest_run(map(unicodedata.combining, decomposed)) > COMBINING:
        return "The path holds a long run of combining characters."
    return "The path is percent-escaped twice." if _ESCAPE.search(decomposed) else None


def _longest_run(classes: Iterable[int]) -> int:
    """How many in a row are not 0, at most."""
    run = longest = 0
    for each in classes:
        run = run + 1 if each else 0
        longest = max(longest, run)
    return longest


def _reason_in_names(query: str) -> str | None:
    """Frameworks take some parameters for the method, in whatever spelling they come."""
    if not _PERHAPS.search(query):
        return None
    search = OverrideSearch()
    found = search.feed(query.encode("latin-1")) or search.feed(b"")
    return "The query overrides the method." if found else None


# --- templates of paths

_IN_SEGMENTS = "!$&'()*+,=:@~"
"""What stands in a segment as it is (pchar of RFC 3986, section 3.3), but for ";"."""

_PARAMETER = re.compile(r"\{([A-Za-z0-9_.$-]+)\}")


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A path in which a whole segment may be a parameter: ``/v1/things/{id}``.

    Fixed segments match letter by letter, a parameter matches any one segment but an empty one,
    and a trailing slash matches only a trailing slash. Raises `ValueError` where the text is no
    such template, or could match no canonical path.
    """

    text: str
    segments: tuple[str | None, ...] = field(init=False, repr=False)
    """What stands between the slashes, the nothing before the first one too; None: a parameter."""
    names: tuple[str, ...] = field(init=False, repr=False)
    """The parameters' names in order."""

    def __post_init__(self) -> None:
        parts = [(part, _PARAMETER.fullmatch(part)) for part in self.text.split("/")]
        names = tuple(parameter[1] for _, parameter in parts if parameter)
        sample = "/".join("x" if parameter else part for part, parameter in parts)
        if canonical_target(sample) != CanonicalTarget(sample, ""):
            raise ValueError(f"{self.text!r} is not a template of a canonical path")
        if len(set(names)) != len(names):
            raise ValueError(f"{self.text!r} names a parameter twice")
        segments = tuple(None if parameter else part for part, parameter in parts)
        object.__setattr__(self, "segments", segments)
        object.__setattr__(self, "names", names)

    def filled(self, resource: Mapping[str, str]) -> str:
        """The path with these parameters, percent-encoded. Raises `KeyError` if one is missing."""
        values = iter(self.names)
        return "/".join(
            segment if segment is not None else quote(resource[next(values)], safe=_IN_SEGMENTS)
            for segment in self.segments
        )

    @property
    def pattern(self) -> str:
        """A regular expression that fits the whole of a path wherever `matches` is true."""
        return "/".join("[^/]+" if part is None else re.escape(part) for part in self.segments)

    def matches(self, path: str) -> bool:
        """Whether a canonical path is of this template."""
        if not self.names:
            return path == self.text
        parts = path.split("/")
        if len(parts) != len(self.segments):
            return False
        for part, segment in zip(parts, self.segments, strict=True):
            if part != segment if segment is not None else not part:
                return False
        return True
