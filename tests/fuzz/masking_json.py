"""Fuzzes the masking of JSON by coverage, with atheris; a slow reference is its oracle.

Run from tests/: ``python -m fuzz.masking_json SECONDS``. It begins with what is kept in corpus/ and
the vectors, and ends with 0 once the time is over. What broke a promise is left in the working
folder as crash-*.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["jitgate.core", "jitgate.maskers"]):
    from support.masked import SETS, agreed

LONGEST = 4096
"""Bytes of an input: more than that only finds the bounds, which have tests of their own."""

TESTS = Path(__file__).parents[1]
CORPUS = Path(__file__).with_name("corpus") / "masking_json.txt"
"""Inputs that an earlier run has found, one a line, in base64."""

WORDS = (
    *("HuSh", "777", "secret", "aT", "\\u0073", "\\u", "\\ud83d\\ude00", "\\ud800", '\\"', "\\\\"),
    *('{"secret":', '"secret"', '"a":', '"b":', '"c":', '"d":', '"e":', '"f":', '"HuSh"', "},"),
    *('"{\\"secret\\":1}"', '"[\\"', '\\"}"', "[[", "]]", "{}", "true", "false", "null", "-0.5e+3"),
    *(
        "e3",
        "\\n",
        "\\/",
        '"\\u007b',
        "é",
        "\u017f",
        "\u212a",
        "\ufeff",
        "\u2028",
        "😀",
        "ey",
        "@é",
        "a@b.example",
    ),
)


def one(data: bytes) -> None:
    """Every way masks a text alike. Its last bytes say how it is cut, and by whom it is masked."""
    if len(data) > 2:
        sizes = [1 + (data[-2] & 15), 1 + (data[-2] >> 4)]
        agreed(data[:-2], sizes, SETS[data[-1] % len(SETS)])


def main(seconds: int) -> None:
    """Fuzz for so long."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        vectors = json.loads((TESTS / "vectors" / "json" / "minefield.json").read_text())
        texts = [*vectors["accepted"].values(), *vectors["refused"].values()]
        inputs = [
            text.encode("latin-1") + bytes([number % 256, number % len(SETS)])
            for number, text in enumerate(texts)
        ]
        inputs += map(base64.b64decode, CORPUS.read_text().split())
        for number, data in enumerate(inputs):
            (corpus / f"{number}").write_bytes(data)
        words = Path(folder) / "words"
        words.write_text("".join(f'"{_escaped(each.encode())}"\n' for each in WORDS), "ascii")
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST}",
            f"-dict={words}",
            "-len_control=10",
        ]
        atheris.Setup([sys.argv[0], *options, str(corpus)], one)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main(int(sys.argv[1]))
