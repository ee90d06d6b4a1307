"""Fuzzes the HTTP/1.1 readers by coverage, with atheris; the other parsers are its oracle.

Run from tests/: ``python -m fuzz.http1 requests|responses SECONDS``. It begins with the vectors and
ends with 0 once the time is over. What broke a promise is left in the working folder as crash-*.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["jitgate.core"]):
    from jitgate.core.http1_reading import RequestReader, ResponseReader

from support.agreement import (
    TRICKY,
    agree,
    h11_response,
    of_h11,
    of_llhttp,
    our_response,
    ours,
    said,
)
from support.http1 import messages

LONGEST = 4096
"""Bytes of an input: more than that only finds the bounds, which have tests of their own."""


def cut(data: bytes, seed: int) -> list[bytes]:
    """The same bytes in pieces of one to eight, as the seed has it."""
    sizes, at, pieces = itertools.cycle((seed >> 4 & 7, seed & 7, seed >> 2 & 7)), 0, []
    while at < len(data):
        size = 1 + next(sizes)
        pieces.append(data[at : at + size])
        at += size
    return pieces


def requests(data: bytes) -> None:
    """No other parser sees other requests, and cuts change nothing."""
    assert agree(ours(data), of_h11(data))
    assert agree(ours(data), of_llhttp(data))
    if b"CONNECT" not in data:  # what follows one comes as it comes
        pieces = cut(data, data[-1] if data else 0)
        assert said(RequestReader(), pieces) == said(RequestReader(), [data])


def responses(data: bytes) -> None:
    """No other parser sees another response, and cuts change nothing."""
    for method in ("GET", "HEAD"):
        mine, theirs = our_response(data, method), h11_response(data, method)
        assert mine is None or theirs is None or mine == theirs
        pieces = cut(data, data[-1] if data else 0)
        assert said(ResponseReader(method), pieces) == said(ResponseReader(method), [data])


def main(which: str, seconds: int) -> None:
    """Fuzz one of the readers for so long."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, (message, _) in enumerate(messages(which).values()):
            (corpus / f"{number}").write_bytes(message)
        words = Path(folder) / "words"
        words.write_text("".join(f'"{_escaped(each)}"\n' for each in TRICKY), "ascii")
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-dict={words}"]
        look = {"requests": requests, "responses": responses}[which]
        atheris.Setup([sys.argv[0], *options, str(corpus)], look)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
