"""Checkpoints and proofs, checked by code that nobody here wrote, and its proofs by ours.

aics-tlog (Apache-2.0) says that it wants a later Python than the oldest we run on. What is used of
it runs there all the same, in an environment of its own.
"""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from stores.site import KEY, SITE, VERIFIER, Site, entries
from vectors.evidence import make as vector

from jitgate.cli import main
from jitgate.core.merkle import leaf_hash, verify_consistency, verify_inclusion
from jitgate.core.note import Signer, open_checkpoint
from jitgate.core.proofs import Consistency

FOREIGN = "aics-tlog==0.2.1"

PROOFS = """
import base64, json, sys
from aics_tlog import MerkleTree
tree = MerkleTree(base64.b64decode(line) for line in json.load(sys.stdin))
print(json.dumps({
    "roots": [tree.root(size).hex() for size in range(len(tree) + 1)],
    "inclusion": [[each.hex() for each in tree.inclusion_proof(n)] for n in range(len(tree))],
    "consistency": [[each.hex() for each in tree.consistency_proof(n)] for n in range(len(tree) + 1)],
}))
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Runs Python with the foreign package, and returns what ran."""
    folder = tmp_path_factory.mktemp("foreign")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "-q", "--python", python, "install"]
    subprocess.run([*pip, "--ignore-requires-python", FOREIGN], check=True)

    def run(*arguments, said=""):
        words = [python, *map(str, arguments)]
        return subprocess.run(words, input=said, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recording of 21 entries in the site log, its public key in a file, its checkpoints."""
    folder = tmp_path_factory.mktemp("recorded")
    site = Site(folder / "recordings")
    records = site.run()
    for number in range(15):
        records.append(entries(number, number + 1, body=b"{}"))
        records.checkpoint()
    records.close()
    (folder / "site.vkey").write_text(VERIFIER.text + "\n")
    return folder, sorted((site.folder / "checkpoints").iterdir())


@pytest.fixture
def jitgate(recorded, capsys):
    folder, _ = recorded

    def run(*arguments):
        words = [*map(str, arguments), "--key", str(folder / "site.vkey")]
        code = main(["proof", *words])
        return code, capsys.readouterr().out

    return run


def lines_of(folder):
    files = sorted(folder.glob("*.jsonl"))
    return [line for file in files for line in file.read_bytes().splitlines(keepends=True)]


def test_every_checkpoint_is_taken_by_the_other_and_none_that_was_changed(foreign, recorded):
    folder, notes = recorded
    check = ["-m", "aics_tlog", "verify-checkpoint", "--vkey-file", folder / "site.vkey", "--note"]
    for note in (notes[0], notes[-1]):
        told = foreign(*check, note)
        assert told.returncode == 0, told.stdout + told.stderr
    changed = folder / "changed.note"
    size = int(notes[-1].stem)
    changed.write_text(notes[-1].read_text().replace(f"\n{size}\n", f"\n{size - 1}\n"))
    assert foreign(*check, changed).returncode != 0


def test_the_checkpoint_that_two_keys_have_signed_is_taken_by_the_other_with_either(foreign):
    folder = Path(vector.__file__).parent
    rotated = folder / "recordings" / "checkpoints" / "000000000013.note"
    check = ["-m", "aics_tlog", "verify-checkpoint", "--note", rotated, "--vkey-file"]
    codes = [foreign(*check, folder / f"{number}.vkey").returncode for number in (1, 2, 3)]
    assert codes == [0, 0, 1]


@pytest.mark.parametrize("old", [0, 3, 8, -1])
def test_our_consistency_proofs_are_taken_by_the_other(foreign, recorded, jitgate, tmp_path, old):
    folder, notes = recorded
    code, text = jitgate("consistency", notes[old], folder / "recordings")
    assert code == 0
    (tmp_path / "proof").write_text(text)
    code, said = jitgate("check", tmp_path / "proof", "--since", notes[old])
    assert (code, said[:6]) == (0, "Shown:")
    head, _, note = text.partition("\n\n")
    assert note == notes[-1].read_text()
    (tmp_path / "hashes").write_text("\n".join(head.split("\n")[1:]))
    older, newer = (
        open_checkpoint(each.read_bytes(), VERIFIER) for each in (notes[old], notes[-1])
    )
    roots = [each.text.split("\n")[2] for each in (older, newer)]

    def checked(old_size):
        told = foreign(
            *("-m", "aics_tlog", "verify-consistency", "--proof", tmp_path / "hashes"),
            *("--old-size", old_size, "--old-root", roots[0]),
            *("--new-size", newer.size, "--new-root", roots[1]),
        )
        return json.loads(told.stdout)["ok"]

    assert checked(older.size) is True
    assert checked(older.size - 1) is False


@pytest.mark.parametrize("entry", ["site:0", "site:11", "run-1:7", "run-1:16"])
def test_our_inclusion_proofs_are_taken_by_the_other(foreign, recorded, jitgate, tmp_path, entry):
    folder, notes = recorded
    code, text = jitgate("inclusion", entry, folder / "recordings")
    assert code == 0
    (tmp_path / "proof").write_text(text)
    code, said = jitgate("check", tmp_path / "proof")
    assert (code, said[:6]) == (0, "Shown:")
    *_, last = content = json.loads(text)["steps"]
    for step in content:
        (tmp_path / "leaf").write_text(step["line"])
        (tmp_path / "hashes").write_text("\n".join(step["path"]))
        if step is last:
            tree = ["--checkpoint", notes[-1], "--vkey-file", folder / "site.vkey"]
        else:
            root = foreign("-c", PRINT_ROOT, said=json.dumps(json.loads(last["line"])["root"]))
            tree = ["--size", step["size"], "--root", root.stdout.strip()]
        check = ["-m", "aics_tlog", "verify-inclusion", "--leaf", tmp_path / "leaf"]
        check += ["--proof", tmp_path / "hashes", *tree, "--index"]
        told = foreign(*check, step["seq"])
        assert json.loads(told.stdout)["ok"] is True, told.stdout
        assert json.loads(foreign(*check, step["seq"] + 1).stdout)["ok"] is False


PRINT_ROOT = """
import base64, json, sys
print(base64.b64encode(bytes.fromhex(json.load(sys.stdin))).decode())
"""


def test_its_roots_are_ours_and_its_proofs_are_taken_by_ours(foreign, recorded):
    folder, notes = recorded
    lines = lines_of(folder / "recordings" / "site")
    told = foreign(
        "-c", PROOFS, said=json.dumps([base64.b64encode(each).decode() for each in lines])
    )
    theirs = json.loads(told.stdout)
    roots = [bytes.fromhex(each) for each in theirs["roots"]]
    for note in notes:
        ours = open_checkpoint(note.read_bytes(), VERIFIER)
        assert roots[ours.size] == ours.root
        path = tuple(map(bytes.fromhex, theirs["consistency"][ours.size]))
        assert verify_consistency(ours.size, ours.root, len(lines), roots[-1], path)
        proof = Consistency(ours.size, path, notes[-1].read_bytes())
        assert proof.check(VERIFIER, note.read_bytes())[0] == ours
    for seq, line in enumerate(lines):
        path = tuple(map(bytes.fromhex, theirs["inclusion"][seq]))
        assert verify_inclusion(leaf_hash(line), seq, len(lines), path, roots[-1])


def test_a_checkpoint_that_the_other_signs_is_taken_by_ours(foreign, tmp_path):
    told = foreign("-c", SIGN, SITE, said=KEY.private_bytes_raw().hex())
    assert told.stdout == Signer(SITE, KEY).sign(f"{SITE}\n7\n{'A' * 43}=\n")
    assert open_checkpoint(told.stdout.encode(), VERIFIER).size == 7


SIGN = """
import sys
from pathlib import Path
from aics_tlog import Checkpoint, sign_checkpoint
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(sys.stdin.read()))
note = sign_checkpoint(Checkpoint(sys.argv[1], 7, bytes(32)), key, sys.argv[1])
print(note.serialise(), end="")
"""
