"""A recording as the gateway made it, changed in every way that somebody might, and verified.

It has two runs: the first met a full disk, went on in a new segment and was killed; the second
stopped in order. What an auditor has beside it are the public key and the newest checkpoint.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.counterparts import TestCA
from support.gateway import GatewayProcess, health, settings, target, wait_for
from support.tokens import Tokens
from support.wire import Origin, Tunnel

from jitgate.cli import main
from jitgate.core.merkle import leaf_hash, root_of
from jitgate.core.note import Checkpoint, Signer, VerifierKey

OTHER = Ed25519PrivateKey.from_private_bytes(b"another test's key, as worthless")


# What the folder's conftest makes for its other modules is not needed here.
@pytest.fixture(autouse=True)
def plain_answers():
    """There is one gateway for the module, and it has ended before the first test."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """What it met was foreseen."""


@dataclass(frozen=True)
class Kept:
    """A recording, an older copy of it, and what an auditor keeps elsewhere."""

    folder: Path
    older: Path
    key: Path
    checkpoint: Path

    def verify(self, folder, *more):
        """The command's exit code."""
        outside = ["--key", str(self.key), "--checkpoint", str(self.checkpoint)]
        return main(["verify", str(folder), *outside, *more])


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    ca, tokens = TestCA.create(folder, name="origin"), Tokens(folder)

    def handle(request, tls):
        body = b'"' + b64encode(sha256(request.head).digest() * 3000) + b'"'
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        tls.sendall(head.encode() + b"\r\n\r\n" + body)
        return True

    def run():
        return GatewayProcess(folder, settings(folder, tokens.jwks, [target(origin.port, ca.pem)]))

    def ask(gateway, *paths):
        with Tunnel(gateway.proxy, gateway.ca, tokens.token()) as tunnel:
            return [tunnel.ask("POST", path, b'{"a":1}').status for path in paths]

    with Origin(ca.leaf("api.example"), handle) as origin:
        with run() as gateway:
            assert ask(gateway, "/1", "/2", "/3") == [200] * 3
            (lines,) = gateway.recordings.glob("logs/*/*.jsonl")
            limit = lines.stat().st_size + 40
            most = resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (limit, most[1]))
            Tunnel(gateway.proxy, gateway.ca, tokens.token()).close()
            wait_for(lambda: len([*gateway.recordings.glob("logs/*/*.jsonl")]) == 2)
            resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, most)
            wait_for(lambda: health(gateway)[0] == 200)
            assert b'"abandoned"' in max(gateway.recordings.glob("logs/*/*.jsonl")).read_bytes()
            assert ask(gateway, "/4", "/5") == [200] * 2
            gateway.process.kill()
            gateway.process.wait(30)
        recordings = gateway.recordings
        (first,) = recordings.glob(
            "logs/*"
        )  # of two that begin in one second nobody knows the order
        wait_for(lambda: time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) > first.name[:16])
        with run() as gateway:
            shutil.copytree(recordings, folder / "older")
            assert ask(gateway, "/6", "/7", "/8") == [200] * 3
            assert gateway.stop() == 0
    shutil.copy(max((recordings / "checkpoints").iterdir()), folder / "kept.note")
    key = folder / "state" / "site.vkey"
    return Kept(recordings, folder / "older", key, folder / "kept.note")


@pytest.fixture
def copy(kept, tmp_path):
    shutil.copytree(kept.folder, tmp_path / "copy")
    for path in files(tmp_path / "copy"):
        path.chmod(0o600)
    return tmp_path / "copy"


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def logs(copy):
    return sorted((copy / "logs").iterdir())


def segments(copy):
    """The files of lines: three of two writers' logs, and two of the site log."""
    found = [*copy.glob("logs/*/*.jsonl"), *copy.glob("site/*.jsonl")]
    assert len(found) == 5
    return sorted(found)


def bodies(copy):
    return sorted(copy.glob("logs/*/*.bodies"))


def replaced(path, change):
    path.write_bytes(change(path.read_bytes()))


def in_lines(change):
    """A change to the list of a segment's lines."""

    def changed(path):
        lines = path.read_bytes().splitlines(keepends=True)
        change(lines)
        path.write_bytes(b"".join(lines))

    return changed


def swap(first, second):
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def rename(first, second):
    """Swap two folders."""
    middle = first.with_name("x")
    first.rename(middle)
    second.rename(first)
    middle.rename(second)


def flip(at):
    def flipped(data):
        place = int(at * (len(data) - 1))
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return lambda path: replaced(path, flipped)


def swapped(one, other):
    def change(lines):
        lines[one], lines[other] = lines[other], lines[one]

    return in_lines(change)


TO_A_SEGMENT = {
    "first byte flipped": flip(0),
    "middle byte flipped": flip(0.5),
    "last byte flipped": flip(1),
    "first entry deleted": in_lines(lambda lines: lines.pop(0)),
    "an entry deleted": in_lines(lambda lines: lines.pop(1)),
    "last entry deleted": in_lines(lambda lines: lines.pop()),
    "an entry put in": in_lines(lambda lines: lines.insert(1, b"{}\n")),
    "an entry repeated": in_lines(lambda lines: lines.insert(1, lines[1])),
    "first entries reordered": swapped(0, 1),
    "last entries reordered": swapped(-1, -2),
    "cut within the last entry": lambda path: replaced(path, lambda data: data[:-3]),
    "cut within the first entry": lambda path: replaced(path, lambda data: data[:9]),
    "cut behind the first entry": in_lines(lambda lines: lines.__delitem__(slice(1, None))),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "an empty line put in": in_lines(lambda lines: lines.insert(1, b"\n")),
    "white space added": in_lines(lambda lines: lines.append(lines.pop()[:-1] + b" \n")),
    "its tail replaced": in_lines(lambda lines: lines.append(lines.pop().replace(b"2", b"3"))),
    "called by another number": lambda path: path.rename(path.with_name("000000000001.jsonl")),
}

OF_WHAT_FAILED = {"last entry deleted", "cut within the last entry"}
"""They hit, in the first segment, only what the full disk took of an entry that never counted. A
power cut may take that too, so it is told, and not called tampering."""

TO_BODIES = {
    "first byte flipped": flip(0),
    "middle byte flipped": flip(0.5),
    "last byte flipped": flip(1),
    "cut": lambda path: replaced(path, lambda data: data[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "lengthened": lambda path: replaced(path, lambda data: data + data[:64]),
    "of other bytes": lambda path: replaced(path, lambda data: os.urandom(len(data))),
    "without its beginning": lambda path: replaced(path, lambda data: data[64:]),
}


@pytest.mark.parametrize("segment", range(5))
@pytest.mark.parametrize("change", TO_A_SEGMENT)
def test_a_changed_segment_is_found(kept, copy, change, segment, capsys):
    TO_A_SEGMENT[change](segments(copy)[segment])
    lost = segment == 0 and change in OF_WHAT_FAILED
    assert kept.verify(copy) == (2 if lost else 1)
    assert ("left behind" if lost else "TAMPERED") in capsys.readouterr().out


@pytest.mark.parametrize("file", range(3))
@pytest.mark.parametrize("change", TO_BODIES)
def test_changed_bodies_are_found(kept, copy, change, file, capsys):
    path = bodies(copy)[file]
    TO_BODIES[change](path)
    assert kept.verify(copy) == 1
    assert str(path.parent.relative_to(copy)) in capsys.readouterr().out


def forged(copy):
    """An entry changed, and all that follows from it: heads, roots, checkpoint, under another key."""
    log = logs(copy)[1]
    (path,) = log.glob("*.jsonl")
    replaced(path, lambda data: data.replace(b"bot-7", b"bot-8"))
    leaves = [leaf_hash(line) for line in path.read_bytes().splitlines(keepends=True)]
    signer = Signer(VerifierKey.parse((copy / "key").read_text()).name, OTHER)
    site = []
    for file in sorted((copy / "site").iterdir()):
        lines = []
        for line in file.read_bytes().splitlines():
            content = json.loads(line)
            if content.get("log") == log.name and "root" in content:
                content["root"] = root_of(leaves[: content["size"]]).hex()
            if content["type"] == "site.open":
                content["vkey"] = signer.verifier.text
            lines.append(json.dumps(content, separators=(",", ":")).encode() + b"\n")
        file.write_bytes(b"".join(lines))
        site += map(leaf_hash, lines)
    for note in (copy / "checkpoints").iterdir():
        size = int(note.stem)
        note.write_text(signer.sign(Checkpoint(signer.name, size, root_of(site[:size])).text))
    (copy / "key").unlink()
    return signer.verifier


TO_THE_WHOLE = {
    "rolled back": lambda kept, copy: (shutil.rmtree(copy), shutil.copytree(kept.older, copy)),
    "a whole log gone": lambda kept, copy: shutil.rmtree(logs(copy)[0]),
    "the newest log gone": lambda kept, copy: shutil.rmtree(logs(copy)[1]),
    "all logs gone": lambda kept, copy: shutil.rmtree(copy / "logs"),
    "the site log gone": lambda kept, copy: shutil.rmtree(copy / "site"),
    "everything gone": lambda kept, copy: (shutil.rmtree(copy), copy.mkdir()),
    "two logs swapped": lambda kept, copy: rename(*logs(copy)),
    "a log there twice": lambda kept, copy: shutil.copytree(logs(copy)[1], copy / "logs" / "z"),
    "two segments swapped": lambda kept, copy: swap(*segments(copy)[:2]),
    "two segments of the site log swapped": lambda kept, copy: swap(*segments(copy)[3:]),
    "the bodies of two segments swapped": lambda kept, copy: swap(*bodies(copy)[:2]),
    "the bodies of two logs swapped": lambda kept, copy: swap(*bodies(copy)[1:]),
    "a segment of the site log that an older copy has": lambda kept, copy: shutil.copy(
        max((kept.older / "site").iterdir()), copy / "site"
    ),
    "a segment that leads elsewhere": lambda kept, copy: (
        segments(copy)[0].rename(copy.parent / "elsewhere"),
        segments_link(copy),
    ),
    "a checkpoint of another size": lambda kept, copy: shutil.copy(
        kept.checkpoint, copy / "checkpoints" / "000000000001.note"
    ),
    "written anew and signed with another key": lambda kept, copy: (
        shutil.copy(kept.key, copy / "key"),
        forged(copy),
    ),
    "its checkpoints signed by another key": lambda kept, copy: [
        note.write_text(Signer(VerifierKey.parse(kept.key.read_text()).name, OTHER).sign(head))
        for note in (copy / "checkpoints").iterdir()
        for head in ["\n".join(note.read_text().split("\n")[:3]) + "\n"]
    ],
}


def segments_link(copy):
    (logs(copy)[0] / "000000000000.jsonl").symlink_to(copy.parent / "elsewhere")


@pytest.mark.parametrize("change", TO_THE_WHOLE)
def test_a_changed_recording_is_found(kept, copy, change, capsys):
    TO_THE_WHOLE[change](kept, copy)
    assert kept.verify(copy) == 1
    assert "TAMPERED" in capsys.readouterr().out


def test_what_was_written_anew_is_well_made_and_only_the_key_tells(kept, copy, tmp_path, capsys):
    """Else the table would prove nothing; and a checkpoint of theirs helps nobody."""
    shutil.copy(kept.key, copy / "key")
    (tmp_path / "their.vkey").write_text(forged(copy).text)
    theirs = ["verify", str(copy), "--checkpoint", str(max((copy / "checkpoints").iterdir()))]
    assert main([*theirs, "--key", str(tmp_path / "their.vkey")]) == 0
    assert main([*theirs, "--key", str(kept.key)]) == 1


NEUTRAL = {
    "nothing": lambda copy: None,
    "times": lambda copy: [os.utime(path, (0, 0)) for path in copy.rglob("*")],
    "modes": lambda copy: [path.chmod(0o777) for path in copy.rglob("*")],
    "copied again, under another umask": lambda copy: subprocess.run(
        ["sh", "-c", f"umask 077; cp -r {copy} {copy}-2; rm -r {copy}; mv {copy}-2 {copy}"],
        check=True,
    ),
    "in an archive": lambda copy: (
        shutil.make_archive(str(copy), "gztar", copy),
        shutil.rmtree(copy),
        shutil.unpack_archive(f"{copy}.tar.gz", copy, filter="data"),
    ),
    "what was being prepared": lambda copy: (logs(copy)[1] / "000000000099.jsonl.new").touch(),
    "without its own checkpoints": lambda copy: shutil.rmtree(copy / "checkpoints"),
    "without the lock": lambda copy: (copy / "lock").unlink(),
}


@pytest.mark.parametrize("change", NEUTRAL)
def test_what_changes_nothing_is_accepted(kept, copy, change, capsys):
    NEUTRAL[change](copy)
    assert kept.verify(copy) == 0
    assert "Verified: every entry and every body" in capsys.readouterr().out


def test_verify_goes_on_after_a_difference_and_says_for_each_file_what_is_wrong(kept, copy, capsys):
    for path in (*segments(copy)[:3], *bodies(copy)):
        flip(0.5)(path)
    assert kept.verify(copy, "--json") == 1
    (told,) = json.loads(capsys.readouterr().out)
    named = {finding["file"] for finding in told["findings"]}
    assert named == {str(path.relative_to(copy)) for path in segments(copy)[:3]}
    of_bodies = [each for each in told["findings"] if "its body" in each["what"]]
    assert len(of_bodies) >= 3
    assert all(each["entry"] is not None for each in of_bodies)


def test_what_an_older_checkpoint_does_not_cover_is_two_unless_it_is_allowed(kept, copy, capsys):
    older = max((kept.older / "checkpoints").iterdir())
    command = ["verify", str(copy), "--key", str(kept.key), "--checkpoint", str(older)]
    assert main(command) == 2
    assert "not yet witnessed: " in capsys.readouterr().out
    assert main([*command, "--allow-unwitnessed"]) == 0
    flip(0.5)(bodies(copy)[2])
    assert main([*command, "--allow-unwitnessed"]) == 1


def test_a_process_of_its_own_says_the_same(kept, copy):
    """Offline, with nothing but the files: no state, no configuration, an empty environment."""
    command = [sys.executable, "-m", "jitgate", "verify", copy, "--key", kept.key]
    command += ["--checkpoint", kept.checkpoint]
    env = {"PYTHONPATH": str(Path(main.__code__.co_filename).parents[2])}
    assert subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0
    flip(0.5)(bodies(copy)[0])
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
