"""Fuzzes what decodes and masks a response by coverage, with atheris.

Run from tests/: ``python -m fuzz.masking codings|texts SECONDS``. It ends with 0 once the time is
over. What broke a promise is left in the working folder as crash-*.
"""

from __future__ import annotations

import gzip
import itertools
import sys
import tempfile
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["jitgate.core"]):
    from jitgate.core.codings import Decoders
    from jitgate.core.media import masked, masker_of

from support.masking import ENCODERS, FOUND, KEY, VALUE, hiding, whole

from jitgate.core.masking import Chain
from jitgate.errors import MaskingFault

LONGEST = 4096
"""Bytes of an input: more than that only finds the bounds, which have tests of their own."""

KINDS = [
    b"application/json",
    b"application/x-ndjson",
    b"application/json-seq",
    b"text/event-stream",
    b"application/x-www-form-urlencoded",
    b"text/plain",
    b"text/plain; charset=utf-16le",
    b"text/plain; charset=iso-8859-1",
]
MARKS = {"utf-16-le": b"\xff\xfe"}
NAMES = [b"gzip", b"deflate", b"br", b"zstd"]


def cut(data: bytes, seed: int) -> list[bytes]:
    """The same bytes in pieces of one to eight, as the seed has it."""
    sizes, at, pieces = itertools.cycle((seed >> 4 & 7, seed & 7, seed >> 2 & 7)), 0, []
    while at < len(data):
        size = 1 + next(sizes)
        pieces.append(data[at : at + size])
        at += size
    return pieces


def codings(data: bytes) -> None:
    """Cuts change nothing, and what the standard library takes comes out as it does there."""
    if len(data) < 2:
        return
    names, coded = [NAMES[data[0] % len(NAMES)]], data[1:]
    one, other = _decoded(names, [coded]), _decoded(names, cut(coded, data[-1]))
    assert one == other
    if names[0] == b"gzip":
        assert one is None or gzip.decompress(coded) == one
    if names[0] == b"deflate" and one is not None:
        assert one in {_inflated(coded, 15), _inflated(coded, -15)}


def _decoded(names: list[bytes], pieces: list[bytes]) -> bytes | None:
    decoders, found = Decoders(names), b""
    try:
        for piece in pieces:
            found += b"".join(decoders.feed(piece))
        decoders.finish()
    except MaskingFault:
        return None
    return found


def _inflated(coded: bytes, window: int) -> bytes | None:
    try:
        return zlib.decompress(coded, window)
    except zlib.error:
        return None


def texts(data: bytes) -> None:
    """Cuts change nothing, and what is found by what it is does not come out."""
    if len(data) < 2:
        return
    headers, body = ((b"Content-Type", KINDS[data[0] % len(KINDS)]),), data[1:]
    try:
        one = masked(headers, body, hiding())
    except MaskingFault:
        one = None
    try:
        other = whole(masker_of(headers, hiding(), Chain(())), cut(body, data[-1]))
    except MaskingFault:
        other = None
    assert one == other
    assert one is None or b"utf-16" in headers[0][1] or FOUND.encode() not in one
    if one is not None:
        assert masked(headers, one, hiding()) == one


def main(which: str, seconds: int) -> None:
    """Fuzz one of them for so long."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, data in enumerate(_begin(which)):
            (corpus / f"{number}").write_bytes(data)
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}"]
        look = {"codings": codings, "texts": texts}[which]
        atheris.Setup([sys.argv[0], *options, str(corpus)], look)
        atheris.Fuzz()


def _begin(which: str) -> list[bytes]:
    if which == "codings":
        data = f'{{"secret":"{VALUE}"}}'.encode() * 3
        return [
            bytes([NAMES.index(name)]) + encode(data)
            for name, encode in ENCODERS.values()
            if name in NAMES
        ]
    made = [
        f'{{"secret":"{VALUE}","a":["{FOUND}",1.50,null]}}',
        f'{{"secret":1}}\n\n{{"a":"{FOUND}"}}\r\n',
        f'\x1e{{"secret":1}}\n\x1e"{FOUND}"',
        f': c\r\ndata: {{"secret":\ndata: "{VALUE}"}}\r\r\ndata: {FOUND}\ndata\nid: {FOUND}\n\n',
        f"secret={VALUE}&a=%6bey-0&b={FOUND};c",
        f"a\n{FOUND}\n{KEY}\n[1]\n",
        f"a\n{FOUND}\n",
        f"\xe9 {FOUND}",
    ]
    charsets = ["utf-8"] * 6 + ["utf-16-le", "latin-1"]
    return [
        bytes([number]) + MARKS.get(charset, b"") + text.encode(charset)
        for number, (text, charset) in enumerate(zip(made, charsets, strict=True))
    ]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
