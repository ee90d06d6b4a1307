"""Decodes what a target codes although identity was asked for (RFC 9110, section 8.4).

Pieces come out one at a time and none is large, whatever went in: what is small can unpack to
anything. What does not end where its coding ends is a `MaskingFault`: the rest was not looked at.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import brotlicffi
import zstandard

from jitgate.core.fields import values_of
from jitgate.core.wording import in_brackets
from jitgate.errors import MaskingFault
from jitgate.values import Headers

PIECE: Final = 64 * 1024
"""Bytes of a decoded piece at the most, but for zstd's: what is masked in under 2 ms."""

STEP: Final = 4 * 1024
"""Bytes that are handed to a decoder at once: what it leaves of them is copied each time."""

ZSTD_STEP: Final = 64
"""The same for zstd, whose decoder returns all that they unpack to: 2 MiB at the most, for a block
of 128 KiB takes four."""

ZSTD_WINDOW: Final = 8 * 1024 * 1024
"""Bytes that a zstd frame may make us keep (RFC 9659, section 3)."""

DECODED: Final = 1024 * 1024 * 1024
"""Bytes that a body may unpack to."""

RATIO: Final = 200
"""How often its own size a body may unpack to: lists of like things come to 50."""

FREE: Final = 1024 * 1024
"""Bytes that any body may unpack to: a page of zeros is no bomb."""

STACKED: Final = 3
"""Codings over one another; each multiplies what a byte can unpack to."""


BROTLI_WINDOW: Final = 16 * 1024 * 1024
"""The same of brotli: the largest that it has (RFC 7932, section 9.1)."""


class Coding(Protocol):
    """One coded stretch: a member of gzip, a frame of zstd."""

    @property
    def eof(self) -> bool:
        """Whether it has ended."""

    @property
    def rest(self) -> bytes:
        """What came behind its end."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes of these bytes. Raises what its library raises."""


class Decoder:
    """Decodes one coding; ``members`` says that another stretch may follow the end of one."""

    def __init__(
        self, name: str, begin: Callable[[], Coding], step: int = STEP, *, members: bool = False
    ) -> None:
        self._name, self._begin, self._step, self._members = name, begin, step, members
        self._coding = begin()
        self._coded = self._decoded = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes of these bytes, in pieces, some of them empty. Raises `MaskingFault`."""
        for at in range(0, len(data), self._step):
            part = data[at : at + self._step]
            self._coded += len(part)
            while part:
                yield from self._stretch(part)
                part = self._coding.rest if self._coding.eof else b""

    def finish(self) -> None:
        """Say that no more bytes will come. Raises `MaskingFault` if the coding has not ended."""
        if not self._coding.eof:
            raise MaskingFault(f"The response is coded ({self._name}) and ends too early.")

    def _stretch(self, part: bytes) -> Iterator[bytes]:
        if self._coding.eof:
            if not self._members:
                raise MaskingFault(f"The response goes on behind its coding ({self._name}).")
            self._coding = self._begin()
        try:
            for piece in self._coding.feed(part):
                self._decoded += len(piece)
                self._check()
                yield piece
        except _BROKEN:  # their messages may quote what they were given
            raise MaskingFault(f"The response is not coded as it says ({self._name}).") from None

    def _check(self) -> None:
        if self._decoded > DECODED:
            raise MaskingFault(f"The response unpacks to more than {DECODED} bytes.")
        if self._decoded > FREE and self._decoded > self._coded * RATIO:
            raise MaskingFault(f"The response unpacks to more than {RATIO} times its size.")


class Decoders:
    """Decodes codings over one another. They stand in the order in which they were applied."""

    def __init__(self, names: Sequence[bytes]) -> None:
        self._decoders = [_DECODERS[name]() for name in reversed(names)]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes of these bytes, in pieces, some of them empty. Raises `MaskingFault`."""
        return self._through(data, 0)

    def finish(self) -> None:
        """Say that no more bytes will come. Raises `MaskingFault` if a coding has not ended."""
        for decoder in self._decoders:
            decoder.finish()

    def _through(self, data: bytes, number: int) -> Iterator[bytes]:
        for piece in self._decoders[number].feed(data):
            if number + 1 == len(self._decoders):
                yield piece
            elif piece:
                yield from self._through(piece, number + 1)


def memory_of(codings: Sequence[bytes]) -> int:
    """Bytes that their decoders may keep, whatever comes."""
    return sum([_MEMORY[name] for name in codings])


def codings_of(headers: Headers) -> tuple[bytes, ...]:
    """How a body is coded beyond identity, in the order in which it was. Raises `MaskingFault`.

    Identity is no name that may stand there (RFC 9110, section 8.4.1): alone it is let pass.
    """
    listed = values_of(headers, b"content-encoding")
    if not listed:
        return ()
    written = b",".join(listed).lower()
    names = [each.strip(b" \t") for each in written.split(b",")]
    names = [each for each in names if each]
    if set(names) <= {b"identity"}:
        return ()
    unknown = [each for each in names if each not in _DECODERS]
    if unknown:
        said = in_brackets(unknown[0].decode("ascii", "replace"))
        raise MaskingFault(f"The response is coded{said} so that it cannot be looked at.")
    if len(names) > STACKED:
        raise MaskingFault(f"The response is coded more than {STACKED} times over.")
    return tuple(names)


class _Zlib:
    """zlib's decompressor, for the formats that ``window`` stands for."""

    def __init__(self, window: int) -> None:
        self._decompressor = zlib.decompressobj(window)

    @property
    def eof(self) -> bool:
        return self._decompressor.eof

    @property
    def rest(self) -> bytes:
        return self._decompressor.unused_data

    def feed(self, data: bytes) -> Iterator[bytes]:
        piece = self._decompressor.decompress(data, PIECE)
        yield piece
        while not self.eof and (len(piece) == PIECE or self._decompressor.unconsumed_tail):
            piece = self._decompressor.decompress(self._decompressor.unconsumed_tail, PIECE)
            yield piece


class _Deflate:
    """zlib's format (RFC 1950), or bare deflate (RFC 1951), which some send under its name."""

    def __init__(self) -> None:
        self._head = b""
        self._inner: _Zlib | None = None

    @property
    def eof(self) -> bool:
        return self._inner is not None and self._inner.eof

    @property
    def rest(self) -> bytes:
        return b"" if self._inner is None else self._inner.rest

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            data = self._head + data
            if len(data) < _ZLIB_HEAD and data != _NOTHING:
                self._head = data
                return
            bare = data[0] & 0x0F != zlib.DEFLATED or int.from_bytes(data[:2], "big") % 31
            self._inner = _Zlib(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS)
        yield from self._inner.feed(data)


_ZLIB_HEAD: Final = 2
_NOTHING: Final = b"\x03"
"""How bare deflate begins that has nothing in it, but for the bits that are yet to come."""


class _Brotli:
    """Brotli (RFC 7932); what its decoder keeps is 16 MiB at the most."""

    rest = b""

    def __init__(self) -> None:
        self._decompressor = brotlicffi.Decompressor()
        self.eof = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield self._decompressor.decompress(data, output_buffer_limit=PIECE)
        while not (self._decompressor.can_accept_more_data() or self._decompressor.is_finished()):
            yield self._decompressor.decompress(b"", output_buffer_limit=PIECE)
        self.eof = self._decompressor.is_finished()


class _Zstd:
    """One frame of zstd (RFC 8878).

    Its decoder checks other things of a frame that it gets whole than of one that comes in parts.
    So that what is broken is broken however it is cut, it never gets the first byte with the rest.
    """

    def __init__(self) -> None:
        self._begun = False
        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        self._decompressor = decompressor.decompressobj()

    @property
    def eof(self) -> bool:
        return self._decompressor.eof

    @property
    def rest(self) -> bytes:
        return self._decompressor.unused_data

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not self._begun and data:
            self._begun = True
            self._decompressor.decompress(data[:1])
            data = data[1:]
        yield self._decompressor.decompress(data)


def _gzip() -> Decoder:
    return Decoder("gzip", lambda: _Zlib(16 + zlib.MAX_WBITS), members=True)


_BROKEN = (zlib.error, brotlicffi.error, zstandard.ZstdError)
_DECODERS: Final[dict[bytes, Callable[[], Decoder]]] = {
    b"gzip": _gzip,
    b"x-gzip": _gzip,
    b"deflate": lambda: Decoder("deflate", _Deflate),
    b"br": lambda: Decoder("br", _Brotli),
    b"zstd": lambda: Decoder("zstd", _Zstd, ZSTD_STEP, members=True),
}

_ZLIB: Final = 64 * 1024
"""Bytes: a window of 32 KiB (RFC 1951), and tables."""

_MEMORY: Final = {
    b"gzip": _ZLIB,
    b"x-gzip": _ZLIB,
    b"deflate": _ZLIB,
    b"br": BROTLI_WINDOW,
    b"zstd": ZSTD_WINDOW,
}
