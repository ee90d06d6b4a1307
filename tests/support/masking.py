"""Maskers for tests, cuts, and codings by encoders that nobody here wrote."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Mapping, Sequence

import brotlicffi
import zstandard
from hypothesis import strategies as st
from zope.interface import implementer

from jitgate.core.hiding import Hand
from jitgate.core.masking import Maskers, Transformer
from jitgate.core.paths import Path
from jitgate.interfaces import IMasker, IStatedMasker
from jitgate.maskers.names import NameMasker
from jitgate.values import How, Span

VALUE = "hunter2-" + "Q7w9" * 3
"""What no agent may see; it stands in fields that are named ``secret``."""

FOUND = "key-" + "0123456789abcdef"
"""What is found for what it is, wherever it stands."""

KEY = "\n".join(
    [
        "-----BEGIN PRIVATE" + " KEY-----",
        "MIIBVQ" + "IBADANBg",
        "kqhkiG9w",
        "-----END PRIVATE KEY-----",
    ]
)
"""What looks as a private key does."""


@implementer(IStatedMasker)
class Detector:
    """Finds what `FOUND` and `KEY` are like."""

    name, version, looks_at_values = "detector", "1", True
    names: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    signs: tuple[bytes, ...] = (rb"key-[0-9a-f]{16}", rb"-----BEGIN")
    _looks = re.compile(
        r"key-[0-9a-f]{16}|-----BEGIN PRIVATE KEY-----[^-]*+-----END PRIVATE KEY-----"
    )

    def __init__(self, how: How = How.REPLACE) -> None:
        self.how = how

    def hides(self, field: str) -> bool:
        return False

    def mask(self, field: str, value: str) -> str | None:
        return self._looks.sub("*" * 16, value) if self.spans(value) else None

    def spans(self, value: str) -> Sequence[Span]:
        return [Span(*found.span(), "key") for found in self._looks.finditer(value)]


def names(how: How = How.REPLACE) -> IMasker:
    return NameMasker("names", ["*secret"], how)


def hiding(*maskers: IMasker) -> Maskers:
    """By name and by what values are, or as these maskers do; told with their own length."""
    hand = Hand(keyed=lambda value: f"{len(value)}")
    return Maskers(maskers or (names(), Detector()), hand)


def whole(transformer: Transformer, pieces: Sequence[bytes]) -> bytes:
    return b"".join([*map(transformer.feed, pieces), transformer.finish()])


cuts = st.lists(st.integers(0, 10**6), max_size=12)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The same bytes in pieces."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]


def _bare_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


def _members(data: bytes) -> bytes:
    return b"".join(gzip.compress(each) for each in (data[:7], b"", data[7:]))


def _frames(data: bytes) -> bytes:
    made = zstandard.ZstdCompressor(write_checksum=True)
    skipped = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    return made.compress(data[:7]) + skipped + made.compress(data[7:])


ENCODERS: Mapping[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "gzip": (b"gzip", gzip.compress),
    "x-gzip": (b"X-GZip", gzip.compress),
    "gzip of several members": (b"gzip", _members),
    "deflate": (b"deflate", zlib.compress),
    "bare deflate": (b"deflate", _bare_deflate),
    "br": (b"br", brotlicffi.compress),
    "zstd": (b"zstd", zstandard.ZstdCompressor().compress),
    "zstd of several frames": (b"zstd", _frames),
}
"""Names of codings, each with the Content-Encoding and what codes so."""
