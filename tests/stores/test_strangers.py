"""What is put in the place of a recording's files: found, passed over, never waited for."""

import json
import os
import resource
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from vectors.recording import make as vector
from zstandard import ZstdCompressor

from jitgate.core.note import Signer
from jitgate.stores import layout
from jitgate.stores.frames import PLAIN_BYTES, BodyRef, FrameInvalid, pack
from jitgate.stores.opening import opened
from jitgate.stores.reading import Recording
from jitgate.stores.stock import take_stock
from jitgate.stores.verifying import verify
from jitgate.values import Body

VECTOR = Path(vector.__file__).parent
FIRST = f"logs/{vector.FIRST}"
MEMORY = 512 << 20
GIGABYTES = 20 << 30


@pytest.fixture
def folder(tmp_path):
    copy = Path(shutil.copytree(VECTOR / "recordings", tmp_path / "recordings"))
    for path in copy.rglob("0*"):
        path.chmod(0o600)
    return copy


def whats(folder):
    key = Signer(vector.SITE, vector.KEY).verifier
    *steps, report = verify(folder, key, (VECTOR / "checkpoint.note").read_bytes())
    return report, [(step.file, step.what) for step in steps if hasattr(step, "what")]


def pipe(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def link(path):
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def loop(path):
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


def place(path):
    path.unlink(missing_ok=True)
    path.mkdir()


PLACES = [
    "checkpoints/000000000011.note",
    f"{FIRST}/000000000000.jsonl",
    f"{FIRST}/000000000000.bodies",
    f"{FIRST}/000000000003.leaves",
    "site/000000000009.jsonl",
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("put", [pipe, link, loop, place], ids=lambda put: put.__name__)
@pytest.mark.parametrize("path", PLACES)
def test_what_is_no_file_is_found_and_passed_over(folder, path, put):
    changed = folder / f"logs/{vector.SECOND}/000000000000.jsonl"
    changed.write_bytes(changed.read_bytes().replace(b"ex-3", b"ex-9"))
    put(folder / path)
    report, found = whats(folder)
    assert (path, "it does not belong into a recording") in found
    assert f"logs/{vector.SECOND}/000000000000.jsonl" in dict(found)
    assert report.tampered >= 2
    recording = Recording(folder)
    shown = [kept for kept in recording.every_entry() if kept.log == vector.SECOND]
    assert len(shown) == 7


@pytest.mark.timeout(20)
@pytest.mark.parametrize("put", [pipe, link, place], ids=lambda put: put.__name__)
def test_who_goes_on_writing_passes_over_nothing(folder, put):
    put(folder / "site/000000000010.jsonl")
    with pytest.raises(OSError, match=r"."):
        take_stock(folder / "site", lambda _content, _tree: None)


def grown(folder, path, length):
    (folder / path).touch()
    os.truncate(folder / path, length)


def long_note(folder):
    grown(folder, "checkpoints/000000000011.note", GIGABYTES)


def long_leaves(folder):
    grown(folder, f"{FIRST}/000000000002.leaves", GIGABYTES)


def long_lines(folder):
    grown(folder, f"logs/{vector.SECOND}/000000000000.jsonl", GIGABYTES)


def long_bodies(folder):
    grown(folder, f"logs/{vector.SECOND}/000000000000.bodies", GIGABYTES)
    change_bodies(folder, length=GIGABYTES, plain_length=GIGABYTES)


def bomb(folder):
    """A frame that holds what it says: a GiB in some KB."""
    compressor, plain, pieces = ZstdCompressor(level=1).compressobj(), sha256(), []
    for _ in range(64):
        plain.update(bytes(16 << 20))
        pieces.append(compressor.compress(bytes(16 << 20)))
    frame = b"".join([*pieces, compressor.flush()])
    (folder / f"logs/{vector.SECOND}/000000000000.bodies").write_bytes(frame)
    digests = {"sha256": sha256(frame).hexdigest(), "plain_sha256": plain.hexdigest()}
    change_bodies(folder, length=len(frame), plain_length=1 << 30, of=1 << 30, **digests)


def change_bodies(folder, **fields):
    path = folder / f"logs/{vector.SECOND}/000000000000.jsonl"
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    for line in lines:
        for ref in line.get("bodies", {}).values():
            ref.update(fields)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("put", [long_note, long_leaves, long_lines, long_bodies, bomb])
def test_what_claims_to_be_long_takes_no_memory(folder, put):
    put(folder)
    jitgate = [sys.executable, "-m", "jitgate"]
    checks = ["verify", "--key", VECTOR / "site.vkey", "--checkpoint", VECTOR / "checkpoint.note"]
    for command, code in ((checks, 1), (["replay", "ex-3", "--recordings"], 0)):
        done = subprocess.run(
            [*jitgate, *command, folder],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )
        assert (done.returncode, done.stderr) == (code, "")


def test_no_frame_holds_more_than_every_reader_takes():
    data = bytes(PLAIN_BYTES + 1)
    _, said = pack(Body(data, len(data), complete=True), ZstdCompressor(), "0.bodies", 0)
    ref = BodyRef.parse(said)
    assert (ref.plain_length, ref.of, ref.complete) == (PLAIN_BYTES, PLAIN_BYTES + 1, False)
    with pytest.raises(FrameInvalid, match="longer than any"):
        BodyRef.parse({**said, "plain_length": PLAIN_BYTES + 1})


def with_bad_block(bad, monkeypatch):
    opening = os.open

    def failing(path, *more, **named):
        if path == bad:
            raise OSError(5, "Input/output error")
        return opening(path, *more, **named)

    monkeypatch.setattr(os, "open", failing)


UNREAD = {
    "site/000000000000.jsonl": ["site/000000000000.jsonl"],
    f"{FIRST}/000000000000.jsonl": [f"{FIRST}/000000000000.jsonl"],
    f"{FIRST}/000000000000.bodies": [f"{FIRST}/000000000000.jsonl"],
}


@pytest.mark.parametrize("bad", UNREAD)
def test_what_cannot_be_read_is_said_and_is_no_tampering_and_the_rest_is_checked(
    folder, monkeypatch, bad
):
    log, exchange = (FIRST, b"ex-2") if "bodies" in bad else (f"logs/{vector.SECOND}", b"ex-3")
    changed = folder / log / "000000000000.jsonl"
    with monkeypatch.context() as patched:
        with_bad_block(folder / bad, patched)
        report, found = whats(folder)
        assert (report.tampered, sorted({file for file, _ in found})) == (0, sorted(UNREAD[bad]))
        assert report.uncertain
        changed.write_bytes(changed.read_bytes().replace(exchange, b"ex-9"))
        report, found = whats(folder)
        assert report.tampered == 1
        assert any(f"{log}/" in file and "those that were signed" in what for file, what in found)


def test_of_a_site_log_that_cannot_be_read_nothing_is_concluded_from_what_it_lacks(
    folder, monkeypatch
):
    with_bad_block(folder / "site/000000000004.jsonl", monkeypatch)
    report, found = whats(folder)
    assert (f"logs/{vector.SECOND}", "the site log does not know of this log") in found
    assert (report.tampered, report.uncertain) == (0, len(found))


def test_a_note_that_cannot_be_read_is_said_and_the_rest_is_checked(folder, monkeypatch):
    """A disk with a bad block: the fault is the system's, and comes where the note is read."""
    with_bad_block(folder / "checkpoints/000000000010.note", monkeypatch)
    report, found = whats(folder)
    assert (report.tampered, report.uncertain) == (0, 1)
    assert found == [("checkpoints/000000000010.note", "it cannot be read: Input/output error")]
    assert report.covered.entries == 22


def test_what_goes_while_it_is_measured_is_not_missed(folder, monkeypatch):
    """A checkpoint is prepared under another name, and is renamed at any time."""
    prepared = folder / "checkpoints/000000000011.note.new"
    prepared.touch()
    walk = os.walk

    def renaming(top):
        for found in walk(top):
            yield found if found[0] != str(prepared.parent) else (prepared.unlink(), found)[1]

    monkeypatch.setattr(os, "walk", renaming)
    assert layout.size_of(folder) > 0
    assert not prepared.exists()


def test_only_a_file_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        opened(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        opened(tmp_path)
    (tmp_path / "link").symlink_to(__file__)
    with pytest.raises(OSError, match="symbolic links"):
        opened(tmp_path / "link")
