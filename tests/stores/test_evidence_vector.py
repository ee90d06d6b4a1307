"""The vector with all that may happen to a recording: read by ours, and by the page alone."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from vectors.evidence import make as vector

from jitgate.cli import main
from jitgate.core.note import VerifierKey
from jitgate.stores.verifying import verify

HERE = Path(vector.__file__).parent
RECORDINGS = HERE / "recordings"
NOTES = {int(path.stem): path.read_bytes() for path in (RECORDINGS / "checkpoints").glob("*.note")}
KEPT, NEWEST = (HERE / "kept.note").read_bytes(), (HERE / "newest.note").read_bytes()


def test_it_is_verified_by_each_key_and_as_it_is_said():
    assert vector.verified(HERE) == json.loads((HERE / "verified.json").read_text())
    for name in ("1.vkey", "2.vkey", "3.vkey"):
        key = VerifierKey.parse((HERE / name).read_text())
        for note in (NEWEST, KEPT, None):
            *_, report = verify(RECORDINGS, key, note)
            assert (report.tampered, report.uncertain, report.deleted) == (0, 0, 5)
            assert report.all_witnessed == (note != KEPT)


PROOFS = [
    ("grown-under-the-first-key.proof", ["--since", "kept.note", "--key", "1.vkey"], 0),
    ("grown-under-the-first-key.proof", ["--since", "kept.note", "--key", "3.vkey"], 1),
    ("rotation.proof", ["--key", "1.vkey"], 0),
    ("rotation.proof", ["--key", "2.vkey"], 0),
    ("rotation.proof", ["--key", "3.vkey"], 1),
    (
        "grown-over-rotations.proof",
        ["--since", "kept.note", "--key", "3.vkey", "--key-before", "1.vkey"],
        0,
    ),
    ("grown-over-rotations.proof", ["--since", "kept.note", "--key", "3.vkey"], 1),
    (
        "grown-over-rotations.proof",
        ["--since", "kept.note", "--key", "1.vkey", "--key-before", "3.vkey"],
        1,
    ),
    ("entry.proof", ["--since", "newest.note", "--key", "3.vkey"], 0),
    ("entry.proof", ["--key", "1.vkey", "--key-before", "3.vkey"], 1),
]


@pytest.mark.parametrize(("proof", "words", "code"), PROOFS)
def test_its_proofs_show_what_they_say_to_who_has_the_keys(proof, words, code, monkeypatch, capsys):
    monkeypatch.chdir(HERE)
    assert main(["proof", "check", proof, *words]) == code
    assert capsys.readouterr().out.startswith(("Shown: ", "NOT SHOWN: ")[code])


def test_it_is_what_is_written_today(tmp_path):
    """Frames may differ with the version of zstd, and so all digests; the lines' keys may not."""
    vector.make(tmp_path)
    paths = sorted(path.relative_to(HERE) for path in RECORDINGS.rglob("*") if path.is_file())
    made = tmp_path / "recordings"
    assert paths == sorted(each.relative_to(tmp_path) for each in made.rglob("*") if each.is_file())
    for path in paths:
        if path.suffix == ".jsonl":
            assert shapes(tmp_path / path) == shapes(HERE / path)


def shapes(path):
    lines = [line for line in path.read_bytes().splitlines() if line.endswith(b"}")]
    return [[*json.loads(line)] for line in lines]


# --- a reader that knows the page, RFC 9162 and C2SP's notes, and nothing of jitgate's code


def root(leaves):
    """RFC 9162, section 2.1.1."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashed(b"\x01" + root(leaves[:half]) + root(leaves[half:]))


def hashed(data):
    return hashlib.sha256(data).digest()


def read_key(text):
    name, _, blob = text.strip().split("+", 2)
    public = base64.b64decode(blob)
    return name, hashed(name.encode() + b"\n" + public)[:4], public[1:]


def is_signed(note, key):
    name, key_id, public = read_key(key)
    text, _, lines = note.decode().rpartition("\n\n")
    for line in lines.splitlines():
        _, signer, blob = line.split(" ")
        signature = base64.b64decode(blob)
        if signer == name and signature[:4] == key_id:
            Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], (text + "\n").encode())
            return True
    return False


def head(note):
    origin, size, encoded, *_ = note.decode().split("\n")
    return origin, int(size), base64.b64decode(encoded)


def entries_of(log, ends=None):
    """The leaves of a log, and the lines that are there, by the rules of the page."""
    firsts = sorted({int(path.stem) for path in log.iterdir() if path.suffix != ".bodies"})
    leaves, lines = [], {}
    for first, stop in zip(firsts, [*firsts[1:], ends], strict=True):
        path = log / f"{first:012d}"
        if not path.with_suffix(".jsonl").exists():
            data = path.with_suffix(".leaves").read_bytes()
            leaves += [data[at : at + 32] for at in range(0, len(data), 32)]
            continue
        for line in path.with_suffix(".jsonl").read_bytes().splitlines(keepends=True):
            if len(leaves) == stop:
                break
            lines[len(leaves)] = json.loads(line)
            assert lines[len(leaves)]["seq"] == len(leaves)
            leaves.append(hashed(b"\x00" + line))
    return leaves, lines


def test_who_knows_the_page_alone_comes_to_the_same():
    leaves, site = entries_of(RECORDINGS / "site")
    rotations = [each for each in site.values() if each["type"] == "key.rotated"]
    keys = [rotations[0]["old"], *(each["new"] for each in rotations)]
    assert [(HERE / f"{number}.vkey").read_text().strip() for number in (1, 2, 3)] == keys
    ends = [each["seq"] + 1 for each in rotations]
    for size, note in NOTES.items():
        signer = sum(size > end for end in ends)
        by = {at for at, key in enumerate(keys) if is_signed(note, key)}
        assert by == ({signer, signer + 1} if size in ends else {signer})
        assert head(note) == ("jitgate/test-vector", size, root(leaves[:size]))
    assert head(NEWEST)[1] == len(leaves)
    told = [each for each in site.values() if each["type"] in ("log.head", "log.closed")]
    ends_of = {each["log"]: each["size"] for each in told if each["type"] == "log.closed"}
    for name in vector.RUNS:
        mine, _ = entries_of(RECORDINGS / "logs" / name, ends_of[name])
        for each in told:
            if each["log"] == name and each["size"]:
                assert root(mine[: each["size"]]).hex() == each["root"]
    (gone,) = [each for each in site.values() if each["type"] == "segment.deleted"]
    leaves_file = RECORDINGS / "logs" / gone["log"] / f"{gone['first']:012d}.leaves"
    assert hashlib.sha256(leaves_file.read_bytes()).hexdigest() == gone["leaves"]
    _, first = entries_of(RECORDINGS / "logs" / vector.RUNS[0], ends_of[vector.RUNS[0]])
    (resumed,) = [each for each in first.values() if each.get("why") == "failed"]
    for left in resumed["abandoned"]:
        data = (RECORDINGS / "logs" / vector.RUNS[0] / left["file"]).read_bytes()
        found = data[left["offset"] :]
        assert (len(found), hashlib.sha256(found).hexdigest()) == (left["bytes"], left["sha256"])
