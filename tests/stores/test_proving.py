"""Proofs from a recording hold for who has nothing else, and for nothing else than they say."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest
from stores.site import KEY, SITE, START, VERIFIER, Site, crash, entries, entry

from jitgate.core.merkle import leaf_hash
from jitgate.core.note import Checkpoint, Signer
from jitgate.core.proofs import Consistency, Inclusion, ProofInvalid, Step
from jitgate.stores.proving import Prover
from jitgate.values import Entry


@pytest.fixture
def notes(site):
    """A recording of two runs, and every checkpoint of it in order."""
    for first in (0, 10):
        records = site.run(segment_bytes=700)
        for number in range(first, first + 8, 2):
            records.append(entries(number, number + 2, body=b"{}"))
            records.checkpoint()
        records.close()
    return [path.read_bytes() for path in sorted((site.folder / "checkpoints").iterdir())]


def flipped(data):
    return bytes([data[0] ^ 1, *data[1:]])


def test_between_any_two_checkpoints_the_log_is_shown_to_have_grown(site, notes):
    for later, note in enumerate(notes):
        prover = Prover(site.folder, VERIFIER, note)
        for old in notes[: later + 1]:
            proof = Consistency.parse(prover.consistency(old).text)
            assert [each.size for each in proof.check(VERIFIER, old)] == [
                int(each.split(b"\n")[1]) for each in (old, note)
            ]


def test_what_is_left_is_proved_where_segments_were_deleted_and_their_leaves_stay(site, notes):
    folder = site.folder / "logs" / "run-1"
    first, second = sorted(folder.glob("*.jsonl"))[:2]
    lines = first.read_bytes().splitlines(keepends=True)
    leaves = b"".join(map(leaf_hash, lines))
    first.with_suffix(".leaves").write_bytes(leaves)
    told = {"log": "run-1", "first": 0, "entries": len(lines), "leaves": sha256(leaves).hexdigest()}
    records = site.run()
    records.tell(Entry("segment.deleted", START, told))
    records.close()
    first.unlink()
    first.with_suffix(".bodies").unlink(missing_ok=True)
    prover = Prover(site.folder, VERIFIER)
    there = int(second.stem)
    proof = Inclusion.parse(prover.inclusion("run-1", there).text)
    proof.check(VERIFIER)
    assert proof.steps[0].line == second.read_bytes().splitlines(keepends=True)[0]
    with pytest.raises(ProofInvalid):
        prover.inclusion("run-1", 0)


def test_a_changed_consistency_proof_shows_nothing(site, notes):
    old = notes[2]
    proof = Prover(site.folder, VERIFIER).consistency(old)
    changes = [
        replace(proof, old=proof.old + 1),
        replace(proof, path=proof.path[1:]),
        replace(proof, path=(*proof.path, proof.path[0])),
        replace(proof, path=(flipped(proof.path[0]), *proof.path[1:])),
        replace(proof, note=notes[-2]),
    ]
    for change in changes:
        with pytest.raises(ProofInvalid):
            Consistency.parse(change.text).check(VERIFIER, old)
    with pytest.raises(ProofInvalid, match="the checkpoint has"):
        proof.check(VERIFIER, notes[3])


def test_the_log_that_was_forked_is_not_shown_to_have_grown(site, notes, tmp_path):
    """Both sides are signed by the key; only the one that the old checkpoint is of fits it."""
    fork = site.copy(tmp_path / "fork")
    site.run().close()
    old = site.checkpoint()
    records = fork.run()
    records.append([entry(1)])
    records.close()
    fork.run().close()
    with pytest.raises(ProofInvalid, match="not what the older checkpoint stands for"):
        Prover(fork.folder, VERIFIER).consistency(old)
    with pytest.raises(ProofInvalid, match="the older checkpoint is of"):
        Prover(site.folder, VERIFIER, notes[0]).consistency(old)


def test_every_entry_is_shown_to_be_under_the_checkpoint_with_its_very_bytes(site, notes):
    prover = Prover(site.folder, VERIFIER)
    for log, folder in (("site", "site"), ("run-1", "logs/run-1"), ("run-2", "logs/run-2")):
        lines = [
            line
            for path in sorted((site.folder / folder).glob("*.jsonl"))
            for line in path.read_bytes().splitlines(keepends=True)
        ]
        for seq, line in enumerate(lines):
            proof = Inclusion.parse(prover.inclusion(log, seq).text)
            assert proof.check(VERIFIER).size == int(notes[-1].split(b"\n")[1])
            assert (proof.steps[0].log, proof.steps[0].seq, proof.steps[0].line) == (log, seq, line)


def test_a_changed_inclusion_proof_shows_nothing(site, notes):
    proof = Prover(site.folder, VERIFIER).inclusion("run-1", 1)
    entry_, head = proof.steps
    other = Prover(site.folder, VERIFIER).inclusion("run-2", 1)
    changes = [
        (replace(entry_, line=entry_.line.replace(b"ex-", b"ey-")), head),
        (replace(entry_, line=entry_.line[:-1]), head),
        (replace(entry_, seq=entry_.seq - 1), head),
        (replace(entry_, log="run-2"), head),
        (replace(entry_, size=entry_.size + 1), head),
        (replace(entry_, path=entry_.path[:-1]), head),
        (replace(entry_, path=(flipped(entry_.path[0]), *entry_.path[1:])), head),
        (entry_, replace(head, line=head.line.replace(b"run-1", b"run-2"))),
        (entry_, replace(head, log="run-1")),
        (entry_, other.steps[1]),
        (entry_,),
        (entry_, entry_, head),
        (),
    ]
    for steps in changes:
        with pytest.raises(ProofInvalid):
            Inclusion.parse(Inclusion(steps, proof.note).text).check(VERIFIER)
    with pytest.raises(ProofInvalid, match="not signed by"):
        Inclusion(proof.steps, proof.note.replace(b"jitgate/test", b"jitgate/else")).check(VERIFIER)
    with pytest.raises(ProofInvalid):
        Inclusion(proof.steps, notes[-2]).check(VERIFIER)


def test_an_entry_of_the_site_log_that_is_no_head_stands_for_no_log():
    """An entry of another type is no head, whatever fields a later version gives it."""
    entry_ = Step("run-1", 0, 1, b'{"seq":0}\n', ())
    root = leaf_hash(entry_.line).hex()
    for kind, shown in (("log.head", True), ("log.closed", True), ("log.opened", False)):
        content = {"type": kind, "log": "run-1", "size": 1, "root": root}
        line = json.dumps(content).encode() + b"\n"
        note = Signer(SITE, KEY).sign(Checkpoint(SITE, 1, leaf_hash(line)).text).encode()
        proof = Inclusion((entry_, Step("site", 0, 1, line, ())), note)
        if shown:
            assert proof.check(VERIFIER).size == 1
            continue
        with pytest.raises(ProofInvalid, match="no head"):
            proof.check(VERIFIER)


def test_what_is_not_witnessed_cannot_be_shown(site, notes):
    records = site.run()
    records.append(entries(0, 3))
    for log, seq in (("run-3", 2), ("run-1", 999), ("run-9", 0), ("../site", 0), ("site", 999)):
        with pytest.raises(ProofInvalid, match="does not stand for an entry"):
            Prover(site.folder, VERIFIER).inclusion(log, seq)
    crash(records)


def test_nothing_is_proved_from_a_recording_that_was_changed(site, notes, tmp_path):
    path = site.folder / "logs/run-1/000000000000.jsonl"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"ex-1", b"ex-9"))
    with pytest.raises(ProofInvalid, match="run-1 is not what was signed"):
        Prover(site.folder, VERIFIER).inclusion("run-1", 2)
    Prover(site.folder, VERIFIER).inclusion("run-2", 0)
    path = site.folder / "site/000000000000.jsonl"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"run-1", b"run-7"))
    with pytest.raises(ProofInvalid, match="site is not what was signed"):
        Prover(site.folder, VERIFIER).consistency(notes[0])


def test_without_a_checkpoint_there_is_no_proof(tmp_path):
    with pytest.raises(ProofInvalid, match="no checkpoint"):
        Prover(Site(tmp_path).folder, VERIFIER)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"old 3\n",
        b"old 03\n\nnote",
        b"old 3\nAAAA\n\nnote",
        b"old 3\n!\n\nnote",
        b"old 3\n" + b"A" * 43 + b"B=\n\n",
        b"old 3\n" + (b"A" * 43 + b"=\n") * 64 + b"\n",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b'{"proof":"jitgate-inclusion/1","steps":[{"log":1}],"checkpoint":""}',
        b'{"proof":"jitgate-inclusion/1","steps":5,"checkpoint":""}',
        b'{"proof":"jitgate-inclusion/1","steps":[],"checkpoint":5}',
        b'{"proof":"jitgate-inclusion/2","steps":[],"checkpoint":""}',
    ],
)
def test_what_is_no_proof_is_told(data):
    for kind in (Consistency, Inclusion):
        with pytest.raises(ProofInvalid):
            kind.parse(data)
