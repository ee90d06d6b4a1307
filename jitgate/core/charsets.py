"""In which characters a body is written: told by how it begins, as it is declared, or both.

What masks takes UTF-8. A body in another charset is turned into that and back, so that what is not
hidden leaves byte for byte as it came; a byte order mark stays, and is shown to nobody.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import Final

from jitgate.core.masking import Transformer
from jitgate.core.wording import in_brackets
from jitgate.errors import MaskingFault

_UTF: Final[Mapping[str, frozenset[str]]] = {
    "utf-8": frozenset({"utf-8"}),
    "utf8": frozenset({"utf-8"}),
    "us-ascii": frozenset({"utf-8"}),
    "ascii": frozenset({"utf-8"}),
    "utf-16": frozenset({"utf-16-le", "utf-16-be"}),
    "utf-16le": frozenset({"utf-16-le"}),
    "utf-16be": frozenset({"utf-16-be"}),
    "utf-32": frozenset({"utf-32-le", "utf-32-be"}),
    "utf-32le": frozenset({"utf-32-le"}),
    "utf-32be": frozenset({"utf-32-be"}),
}
"""What may be meant by each name. ASCII is UTF-8 of which less is used."""

_SINGLE_BYTES: Final = {
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
}

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before that of UTF-16, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ANY_MARK: Final = tuple([mark for mark, _ in _MARKS])
_LONGEST_MARK: Final = 4


class Recoded:
    """A transformer that hands a body to another one as UTF-8.

    Args:
        inner: Takes UTF-8, and returns it.
        declared: What the Content-Type says, in lower case, if anything.
        is_json: It begins with an ASCII character: its zero bytes tell what it is where no mark
            does (RFC 4627, section 3). Other text is in more than single bytes if a mark says so,
            or the first of it that is not ASCII: who takes no notice of a declaration that is
            wrong would read other text than is seen.

    Raises `MaskingFault` for a charset that is not known here.
    """

    def __init__(self, inner: Transformer, declared: str | None, *, is_json: bool) -> None:
        self._inner, self._is_json = inner, is_json
        self._single = None if declared is None else _SINGLE_BYTES.get(declared)
        if is_json and self._single is not None:
            self._single = "ascii"  # JSON is in Unicode; in what is said in both, all is the same
        self._allowed = None if declared is None else _UTF.get(declared, frozenset())
        if self._allowed is not None and not self._allowed and self._single is None:
            said = in_brackets(f"{declared}")
            raise MaskingFault(f"The response is in a charset{said} that is not looked at.")
        self._head: bytes | None = b""
        self._reader: codecs.IncrementalDecoder | None = None
        self._writer: codecs.IncrementalDecoder | None = None
        self._charset = "utf-8"
        self._open: bytes | None = None
        """The beginning of a character beyond ASCII, while none has told what all of it is in."""

    @property
    def held(self) -> int:
        """What the other one holds; of characters that are not whole it is some bytes."""
        return self._inner.held

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return what may go on. Raises `MaskingFault`."""
        if self._head is not None:
            self._head += chunk
            if len(self._head) < _LONGEST_MARK:
                return b""
            return self._begin(self._head)
        return self._passed(chunk, final=False)

    def finish(self) -> bytes:
        """Say that no more bytes will come; return what is left. Raises `MaskingFault`."""
        early = b"" if self._head is None else self._begin(self._head)
        return early + self._passed(b"", final=True)

    def _begin(self, head: bytes) -> bytes:
        self._head = None
        mark, self._charset = self._told(head)
        if self._charset != "utf-8":
            self._writer = codecs.getincrementaldecoder("utf-8")()
            self._reader = codecs.getincrementaldecoder(self._charset)()
        if self._single is not None and not self._is_json:
            self._open = b""
        return mark + self._passed(head[len(mark) :], final=False)

    def _told(self, head: bytes) -> tuple[bytes, str]:
        """The byte order mark, if there is one, and the charset. Raises `MaskingFault`."""
        mark, charset = _marked(head)
        if self._single is not None:
            if charset is not None:
                raise MaskingFault("The response is not in the charset that it is said to be in.")
            return b"", self._single
        if charset is None and self._is_json:
            charset = _by_zeros(head)
        charset = charset or "utf-8"
        if self._allowed is not None and head and charset not in self._allowed:
            raise MaskingFault("The response is not in the charset that it is said to be in.")
        return mark, charset

    def _first_seen(self, data: bytes, *, final: bool) -> bytes:
        """What can be passed on of single bytes, or of what only says that it is in them."""
        data = (self._open or b"") + data
        beyond = _BEYOND_ASCII.search(data)
        is_utf8 = beyond and _is_utf8(data[beyond.start() : beyond.start() + _LONGEST_CHARACTER])
        if beyond and is_utf8 is None and not final:
            self._open = data[beyond.start() :]
            return data[: beyond.start()]
        self._open = None if beyond else b""
        if is_utf8:
            self._reader = self._writer = None
        return data

    def _passed(self, data: bytes, *, final: bool) -> bytes:
        if self._open is not None:
            data = self._first_seen(data, final=final)
        if self._reader is not None and (data or final):
            try:
                data = self._reader.decode(data, final).encode("utf-8")
            except UnicodeError:  # it would tell the bytes
                raise MaskingFault(f"The response is not all {self._charset}.") from None
        passed = self._inner.feed(data) if data else b""
        if final:
            passed += self._inner.finish()
        if self._writer is None:
            return passed
        try:
            return self._writer.decode(passed, final).encode(self._charset)
        except UnicodeError:
            raise MaskingFault(f"What is shown cannot be said in {self._charset}.") from None


def _marked(head: bytes) -> tuple[bytes, str | None]:
    """The byte order mark and the charset that it stands for, if there is one."""
    if not head.startswith(_ANY_MARK):
        return b"", None
    return next(each for each in _MARKS if head.startswith(each[0]))


_BEYOND_ASCII: Final = re.compile(rb"[\x80-\xff]")
_LONGEST_CHARACTER: Final = 4


def _is_utf8(data: bytes) -> bool | None:
    """Whether these bytes begin with a character of UTF-8; None if more must come to tell."""
    for size in range(1, len(data) + 1):
        try:
            if codecs.utf_8_decode(data[:size], "strict", False)[0]:
                return True
        except UnicodeDecodeError:
            return False
    return None


def _by_zeros(head: bytes) -> str:
    """The charset of a text whose first character is ASCII and not NUL."""
    if head[:1] == b"\0":
        return "utf-32-be" if head[1:2] == b"\0" else "utf-16-be"
    if head[1:2] == b"\0":
        return "utf-32-le" if head[2:4] == b"\0\0" else "utf-16-le"
    return "utf-8"
