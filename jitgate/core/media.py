"""Which transformer looks at which response, by what its fields say it is; or why none can."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from jitgate.core.charsets import Recoded
from jitgate.core.codings import codings_of
from jitgate.core.events import EventMasker
from jitgate.core.fields import values_of
from jitgate.core.forms import FormMasker
from jitgate.core.json_body import GatheredJson, StreamedJson
from jitgate.core.json_texts import LINES, RECORDS, JsonTexts
from jitgate.core.known_names import in_names
from jitgate.core.masking import Chain, Maskers, Transformer
from jitgate.core.texts import TextMasker
from jitgate.errors import MaskingFault
from jitgate.interfaces import IMasker, IStatedMasker
from jitgate.values import Headers, How

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_TYPE = re.compile(rf"[ \t]*+({_WORD}/{_WORD})[ \t]*+")
_PARAMETER = re.compile(rf';[ \t]*+(?>({_WORD})=({_WORD}|"(?>[^"\\]|\\.)*+"))?+[ \t]*+')

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
FORM: Final = "application/x-www-form-urlencoded"
TEXT: Final = "text/plain"
NDJSON: Final = "application/x-ndjson"
SEQUENCE: Final = "application/json-seq"

_MEANT: Final[Mapping[str, str]] = {
    "text/json": JSON,
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    "application/x-jsonl": NDJSON,
    "application/jsonlines": NDJSON,
    "application/x-jsonlines": NDJSON,
    "application/x-json-stream": NDJSON,
    "application/stream+json": NDJSON,
}
"""Other names of the same, that servers use."""


SAID: Final = 256
SAID_BYTES: Final = 256
"""How many Content-Types are remembered, and of how many bytes each: targets have a few."""

_AMBIGUOUS: Final = "The response does not say in one way what it is (Content-Type)."


class Media(NamedTuple):
    """What a body is said to be: its type, and its charset if that is said; in lower case."""

    kind: str
    charset: str | None = None

    @property
    def format(self) -> str:
        """The type whose rules it follows (RFC 6839, RFC 8091)."""
        if self.kind in _MEANT:
            return _MEANT[self.kind]
        if self.kind.endswith("+json"):
            return JSON
        return SEQUENCE if self.kind.endswith("+json-seq") else self.kind


def media_of(headers: Headers) -> Media | None:
    """What the one Content-Type says (RFC 9110, section 8.3); None if there is none.

    Raises `MaskingFault` for two, and for what is none: who reads it could take it for another.
    """
    written = values_of(headers, b"content-type")
    if not written:
        return None
    if len(written) > 1:
        raise MaskingFault(_AMBIGUOUS)
    return _remembered(written[0]) if len(written[0]) <= SAID_BYTES else _media(written[0])


def _media(written: bytes) -> Media:
    text = written.decode("latin-1")
    begun = _TYPE.match(text)
    if begun is None:
        raise MaskingFault(_AMBIGUOUS)
    charsets, at = set[str](), begun.end()
    while at < len(text):
        found = _PARAMETER.match(text, at)
        if found is None:
            raise MaskingFault(_AMBIGUOUS)
        if found[1] is not None and found[1].lower() == "charset":
            charsets.add(found[2].strip('"').lower())
        at = found.end()
    if len(charsets) > 1:
        raise MaskingFault("The response is said to be in more than one charset.")
    return Media(begun[1].lower(), next(iter(charsets), None))


_remembered = functools.lru_cache(maxsize=SAID)(_media)


def masker_of(
    headers: Headers,
    maskers: Maskers,
    hidden: Transformer,
    *,
    passes: bool = False,
    gathered: bool = False,
) -> Transformer:
    """What hides in a body what the maskers say.

    Args:
        headers: They say what the body is.
        maskers: Who hides something.
        hidden: What hides more in it, in UTF-8.
        passes: Whether what cannot be looked at holds no secret.
        gathered: Whether nothing of it goes on before all of it has come.

    Raises `MaskingFault`, with the reason, where nothing can look at such a body.
    """
    media = media_of(headers)
    hidden = Chain([*in_names(maskers), hidden])
    makers = _GATHERED if gathered else _MAKERS
    make = None if media is None else makers.get(media.format)
    if passes and make is None:
        return bare_of(headers, hidden)
    if media is None:
        return Nothing("The response may hold secrets, and does not say what it is.")
    if make is None:
        raise MaskingFault(f"The response may hold secrets, and {media.kind} is not looked at.")
    if media.format in _UTF8_ALONE and media.charset not in {None, "utf-8", "utf8"}:
        raise MaskingFault(f"The response is {media.kind}, which is in UTF-8 alone.")
    return Recoded(Chain([make(maskers), hidden]), media.charset, is_json=media.format in _ARE_JSON)


def bare_of(headers: Headers, hidden: Transformer) -> Transformer:
    """What hides in a body of any kind what ``hidden`` does, also in UTF-16 and UTF-32.

    That is for JSON, and for what says that it is in them. Raises `MaskingFault`.
    """
    try:
        media = media_of(headers)
    except MaskingFault:
        return hidden
    if media is None:
        return hidden
    is_wide = media.charset is not None and media.charset.startswith(("utf-16", "utf-32"))
    if media.format == JSON or is_wide:
        charset = media.charset if is_wide else None
        return Recoded(hidden, charset, is_json=media.format == JSON)
    return hidden


def has_names(headers: Headers) -> bool:
    """Whether what a body holds has names to tell it by; raises as `media_of` does."""
    media = media_of(headers)
    return media is not None and media.format in _ARE_JSON | {FORM}


def masked(headers: Headers, data: bytes, maskers: Maskers) -> bytes:
    """A whole body without what the maskers hide. Raises `MaskingFault`."""
    if codings_of(headers):
        raise MaskingFault("The body is coded.")
    masker = masker_of(headers, maskers, Chain(()), gathered=True)
    return masker.feed(data) + masker.finish()


def denies(maskers: Iterable[IMasker]) -> bool:
    """Whether what one of them hides lets no response go that holds it."""
    return any(IStatedMasker.providedBy(each) and each.how is How.DENY for each in maskers)


class Nothing:
    """A transformer of what has nothing in it; whatever comes is a `MaskingFault`."""

    def __init__(self, why: str) -> None:
        self._why = why

    held = 0

    def feed(self, chunk: bytes) -> bytes:
        """Raises `MaskingFault` if there is anything."""
        if chunk:
            raise MaskingFault(self._why)
        return b""

    def finish(self) -> bytes:
        """There was nothing."""
        return b""


_ARE_JSON: Final = frozenset({JSON, NDJSON, SEQUENCE})
_UTF8_ALONE: Final = frozenset({EVENTS, NDJSON, SEQUENCE})

_MAKERS: Final[Mapping[str, Callable[[Maskers], Transformer]]] = {
    JSON: lambda maskers: StreamedJson(maskers.asked.maskers, maskers.hand),
    NDJSON: lambda maskers: JsonTexts(maskers, LINES),
    SEQUENCE: lambda maskers: JsonTexts(maskers, RECORDS),
    EVENTS: EventMasker,
    FORM: FormMasker,
    TEXT: TextMasker,
}

_GATHERED: Final[Mapping[str, Callable[[Maskers], Transformer]]] = {
    **_MAKERS,
    JSON: lambda maskers: GatheredJson(maskers.asked.maskers, maskers.hand),
}
"""The same where all of the body is at hand before any of it goes on."""
