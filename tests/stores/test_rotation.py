"""The key that signs checkpoints is rotated: who may sign what from then on, and who is believed."""

import errno
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from stores.site import KEY, SITE, VERIFIER, crash, entries, entry

from jitgate.core.merkle import leaf_hash, root_of
from jitgate.core.note import (
    Checkpoint,
    NoteInvalid,
    Signer,
    open_checkpoint,
    signed_by,
    unsigned_checkpoint,
)
from jitgate.core.proofs import ProofInvalid
from jitgate.core.rotation import Keys, Rotation
from jitgate.errors import StateUnusable
from jitgate.stores.findings import Severity
from jitgate.stores.proving import Prover

OTHER, THIRD, THIEFS = (
    Ed25519PrivateKey.from_private_bytes(each * 32) for each in (b"2", b"3", b"4")
)
NEW, NEWEST, THIEF = (Signer(SITE, each).verifier for each in (OTHER, THIRD, THIEFS))
BY = {"by": "root", "why": "a year is over"}


def rotated(site, *keys, **more):
    """A run in which one key after the other takes over, with entries between and behind."""
    records = site.run(**more)
    records.append(entries(0, 3))
    records.checkpoint()
    for number, key in enumerate(keys, 1):
        records.rotate(key, BY)
        records.append([entry(10 * number)])
        records.checkpoint()
    records.close()


def notes(site):
    return {unsigned_checkpoint(each.read_bytes()).size: each for each in paths(site)}


def paths(site):
    return sorted((site.folder / "checkpoints").glob("*.note"))


def told(site):
    lines = site.lines("site/000000000000.jsonl")
    return [each for each in lines if each["type"] == "key.rotated"]


def signed(note, key):
    try:
        return open_checkpoint(note, key) is not None
    except NoteInvalid:
        return False


def test_a_rotation_is_an_entry_and_the_checkpoint_that_ends_with_it_is_signed_by_both(site):
    rotated(site, OTHER)
    (said,) = told(site)
    assert (said["old"], said["new"]) == (VERIFIER.text, NEW.text)
    assert {key: said[key] for key in BY} == BY
    by_both = notes(site).pop(said["seq"] + 1).read_bytes()
    assert signed(by_both, VERIFIER)
    assert signed(by_both, NEW)
    for size, path in notes(site).items():
        assert signed(path.read_bytes(), VERIFIER) == (size <= said["seq"] + 1)
        assert signed(path.read_bytes(), NEW) == (size > said["seq"])


@pytest.mark.parametrize("key", [VERIFIER, NEW, NEWEST])
def test_a_recording_is_verified_by_each_of_its_keys(site, key):
    kept = []
    records = site.run()
    records.append(entries(0, 3))
    records.checkpoint()
    kept.append(site.checkpoint())
    for number, new in enumerate((OTHER, THIRD), 1):
        records.rotate(new, BY)
        kept.append(site.checkpoint())
        records.append([entry(10 * number)])
        records.checkpoint()
        kept.append(site.checkpoint())
    records.close()
    findings, report = site.verify(site.checkpoint(), key)
    assert findings == []
    assert report.all_witnessed
    assert [each.id for each, _ in report.keys] == [VERIFIER.id, NEW.id, NEWEST.id]
    assert report.is_retired == (key != NEWEST)
    for note in (None, *kept):
        assert site.verify(note, key)[0] == []


def test_a_run_goes_on_with_the_key_that_took_over_and_with_no_other(site):
    rotated(site, OTHER)
    with pytest.raises(StateUnusable, match="not this site's"):
        site.run()
    with pytest.raises(StateUnusable, match="not this site's"):
        site.run(key=THIRD)
    site.run(key=OTHER).close()
    assert site.verify(site.checkpoint())[0] == []


def test_a_key_that_is_found_beside_the_one_before_takes_over_at_the_start(site):
    seen = []
    site.run().close()
    records = site.run(key=OTHER, key_before=KEY, settled=seen.append)
    records.append([entry(1)])
    records.close()
    assert [each.verifier for each in seen] == [NEW]
    (said,) = [each for path in segments_of(site) for each in site.lines(path) if "new" in each]
    assert (said["old"], said["new"], said["by"]) == (VERIFIER.text, NEW.text, "start")
    for more in ({"key_before": KEY}, {}):  # it may stay there, and need not
        site.run(key=OTHER, **more).close()
    for key in (VERIFIER, NEW):
        assert site.verify(site.checkpoint(), key)[0] == []
    with pytest.raises(StateUnusable, match="was retired"):
        site.run(key=KEY, key_before=OTHER)


def segments_of(site):
    return sorted(str(each.relative_to(site.folder)) for each in (site.folder / "site").iterdir())


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_a_rotation_that_fails_has_not_been_or_is_finished_with_the_next_checkpoint(site, failing):
    records = site.run()
    site.disk.failing = failing
    with pytest.raises(OSError):
        records.rotate(OTHER, BY)
    site.disk.failing = None
    records.recover()
    assert site.verify()[0] == []
    records.rotate(THIRD, BY)
    records.close()
    findings, report = site.verify(site.checkpoint(), NEWEST)
    assert findings == []
    assert [key for key, _ in report.keys] == [VERIFIER, NEWEST]


class Full:
    """Takes the entry of a rotation, and not the checkpoint that both keys have signed."""

    def __init__(self, disk):
        self.disk, self.sync, self.folder = disk, disk.sync, disk.sync_folder

    def __enter__(self):
        self.disk.sync_folder = self._no_room

    def __exit__(self, *_):
        self.disk.sync_folder = self.folder

    def _no_room(self, folder):
        raise OSError(errno.ENOSPC, "no room")


def test_a_rotation_on_the_log_is_signed_by_both_before_anything_else_is_signed(site):
    records = site.run()
    with Full(site.disk), pytest.raises(OSError):
        records.rotate(OTHER, BY)
    assert site.verify()[0] == []
    records.append([entry(1)])
    records.checkpoint()
    records.close()
    for key in (VERIFIER, NEW):
        assert site.verify(site.checkpoint(), key)[0] == []


def test_a_rotation_that_a_crash_has_cut_off_is_finished_at_the_start_if_both_keys_are_there(site):
    records = site.run()
    with Full(site.disk), pytest.raises(OSError):
        records.rotate(OTHER, BY)
    crash(records)
    for keys in ({"key": KEY}, {"key": OTHER}, {"key": THIRD, "key_before": KEY}):
        with pytest.raises(StateUnusable):
            site.run(**keys)
    site.run(key=OTHER, key_before=KEY).close()
    assert [each["by"] for each in told(site)] == ["root"]
    for key in (VERIFIER, NEW):
        assert site.verify(site.checkpoint(), key)[0] == []


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("when", range(11))
def test_wherever_it_is_killed_the_next_start_has_the_rotation_once_and_all_verifies(site, when):
    records = site.run()
    records.append(entries(0, 3))
    disk, left = site.disk, [when]

    def killed_before(call):
        def run(*arguments):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return call(*arguments)

        return run

    kept = {name: getattr(disk, name) for name in ("write", "sync", "sync_folder")}
    for name, call in kept.items():
        setattr(disk, name, killed_before(call))
    try:
        records.rotate(OTHER, BY)
    except Killed:
        assert when < 10
    else:
        assert when == 10, "there are as many calls as places here"
    for name, call in kept.items():
        setattr(disk, name, call)
    crash(records)
    site.run(key=OTHER, key_before=KEY).close()
    told_of = [each for path in segments_of(site) for each in site.lines(path) if "new" in each]
    assert [each["new"] for each in told_of] == [NEW.text]
    for key in (VERIFIER, NEW):
        findings, report = site.verify(site.checkpoint(), key)
        assert findings == []
        assert [each for each, _ in report.keys] == [VERIFIER, NEW]
    site.run(key=OTHER).close()


def test_an_entry_that_somebody_put_behind_the_checkpoint_makes_no_key_theirs(site):
    site.run().close()
    log = site.folder / "site" / "000000000000.jsonl"
    log.chmod(0o600)
    last = json.loads(log.read_bytes().splitlines()[-1])
    forged = {"seq": last["seq"] + 1, "time": last["time"], "type": "key.rotated"}
    with log.open("a") as file:
        said = {**forged, "old": VERIFIER.text, "new": THIEF.text}
        file.write(json.dumps(said, separators=(",", ":")) + "\n")
    with pytest.raises(StateUnusable, match=THIEF.id.hex()):
        site.run()


# --- changes that are found, by the old key and by the new one


def forged(site, size, *keys, root=None):
    """A checkpoint of the recording at ``size``, signed by these."""
    found = Checkpoint(SITE, size, root or root_at(site, size))
    return signed_by(found.text, *(Signer(SITE, each) for each in keys)).encode()


def root_at(site, size):
    lines = (site.folder / "site" / "000000000000.jsonl").read_bytes().splitlines(keepends=True)
    return root_of([leaf_hash(each) for each in lines[:size]])


def put(site, size, note):
    path = site.folder / "checkpoints" / f"{size:012d}.note"
    path.unlink(missing_ok=True)
    path.write_bytes(note)


def rotation_removed(site, at):
    log = site.folder / "site" / "000000000000.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.chmod(0o600)
    log.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))


def to_another_key(site, at):
    log = site.folder / "site" / "000000000000.jsonl"
    log.chmod(0o600)
    log.write_bytes(log.read_bytes().replace(NEW.text.encode(), THIEF.text.encode()))


TAMPERINGS = {
    "the rotation is removed": rotation_removed,
    "another key is named": to_another_key,
    "the checkpoint by both is gone": lambda site, at: notes(site)[at + 1].unlink(),
    "it is signed by the old key alone": lambda s, at: put(s, at + 1, forged(s, at + 1, KEY)),
    "it is signed by the new key alone": lambda s, at: put(s, at + 1, forged(s, at + 1, OTHER)),
    "it is signed by another key": lambda s, at: put(s, at + 1, forged(s, at + 1, THIEFS)),
    "it is signed by the old key and another": lambda s, at: put(
        s, at + 1, forged(s, at + 1, KEY, THIEFS)
    ),
    "the retired key signs on": lambda s, at: put(s, at + 2, forged(s, at + 2, KEY)),
    "the retired key signs the newest": lambda s, at: put(
        s, max(notes(s)), forged(s, max(notes(s)), KEY)
    ),
    "the retired key signs another past": lambda s, at: put(
        s, 2, forged(s, 2, KEY, root=b"x" * 32)
    ),
    "the new key signs the past": lambda s, at: put(s, 2, forged(s, 2, OTHER)),
}


@pytest.mark.parametrize("tampering", TAMPERINGS.values(), ids=TAMPERINGS)
@pytest.mark.parametrize("key", [VERIFIER, NEW])
def test_tampering_with_a_rotation_is_found(site, tampering, key):
    rotated(site, OTHER)
    (said,) = told(site)
    kept = site.checkpoint()
    tampering(site, said["seq"])
    for note in (None, kept):
        findings, _ = site.verify(note, key)
        assert [each for each in findings if each.severity is Severity.TAMPERED]


def test_a_stolen_retired_key_makes_nothing_that_the_new_one_verifies(site, tmp_path):
    """It signs another log, with a rotation to the new key in it, which is public."""
    rotated(site, OTHER)
    stolen = type(site)(tmp_path / "stolen")
    records = stolen.run()
    records.append(entries(5, 9))
    records.checkpoint()
    crash(records)
    findings, report = stolen.verify(None, NEW)
    assert [each.severity for each in findings][-1] is Severity.UNCERTAIN
    assert (report.checkpoint, report.covered.entries) == (None, 0)
    log = stolen.folder / "site" / "000000000000.jsonl"
    log.chmod(0o600)
    size = len(stolen.lines("site/000000000000.jsonl"))
    time = stolen.lines("site/000000000000.jsonl")[-1]["time"]
    said = {"seq": size, "time": time, "type": "key.rotated", "old": VERIFIER.text, "new": NEW.text}
    with log.open("a") as file:
        file.write(json.dumps(said, separators=(",", ":")) + "\n")
    put(stolen, size + 1, forged(stolen, size + 1, KEY))
    findings, report = stolen.verify(None, NEW)
    assert {each.severity for each in findings} == {Severity.TAMPERED, Severity.UNCERTAIN}
    assert (report.checkpoint, report.covered.entries) == (None, 0)
    # By the old key it looks right, but for a checkpoint that was kept of what came later.
    assert stolen.verify(site.checkpoint())[1].tampered


def test_a_rotation_that_is_not_signed_yet_is_none(site):
    records = site.run()
    with Full(site.disk), pytest.raises(OSError):
        records.rotate(OTHER, BY)
    findings, report = site.verify()
    assert findings == []
    assert [each for each, _ in report.keys] == [VERIFIER]
    assert site.verify(None, NEW)[1].checkpoint is None
    crash(records)


# --- proofs


def test_that_a_log_only_grew_is_shown_across_rotations_to_who_has_both_keys(site):
    rotated(site, OTHER, THIRD)
    first, *_, last = [each.read_bytes() for each in paths(site)]
    for key in (VERIFIER, NEWEST):
        proof = Prover(site.folder, key).consistency(first)
        assert proof.note == last
        old, new = proof.check(NEWEST, first, VERIFIER)
        assert (old.size, new.size) == (min(notes(site)), max(notes(site)))
        with pytest.raises(ProofInvalid):
            proof.check(NEWEST, first)
        with pytest.raises(ProofInvalid):
            proof.check(VERIFIER, first)
        with pytest.raises(ProofInvalid):
            proof.check(VERIFIER, first, NEWEST)  # only what was kept may be a retired key's


def test_who_has_the_old_key_alone_is_shown_the_rotation_and_goes_on_from_there(site):
    rotated(site, OTHER)
    (said,) = told(site)
    first, by_both = paths(site)[0].read_bytes(), notes(site)[said["seq"] + 1].read_bytes()
    prover = Prover(site.folder, VERIFIER, by_both)
    prover.consistency(first).check(VERIFIER, first)
    shown = prover.inclusion("site", said["seq"])
    assert shown.check(VERIFIER, by_both).size == said["seq"] + 1
    found = Rotation.read(json.loads(shown.steps[0].line))
    grown = Prover(site.folder, NEW).consistency(by_both)
    assert grown.check(found.new, by_both)[1].size == max(notes(site))


def test_an_entry_is_shown_under_a_checkpoint_of_each_key(site):
    rotated(site, OTHER)
    for path in paths(site)[1:]:
        note = path.read_bytes()
        proof = Prover(site.folder, NEW, note).inclusion("run-1", 1)
        size = unsigned_checkpoint(note).size
        signer, *before = (NEW,) if size > told(site)[0]["seq"] else (NEW, VERIFIER)
        assert proof.check(signer, note, *before).size == size
        if before:
            with pytest.raises(ProofInvalid):
                proof.check(signer, None, *before)


# --- keys, by themselves


def test_keys_lead_on_only_as_far_as_both_have_signed():
    def rotation(size, old, new, *by):
        note = signed_by(Checkpoint(SITE, size, b"r" * 32).text, *by).encode()
        return Rotation(size, old, new), note

    first = rotation(5, VERIFIER, NEW, Signer(SITE, KEY), Signer(SITE, OTHER))
    second = rotation(9, NEW, NEWEST, Signer(SITE, OTHER), Signer(SITE, THIRD))
    back = rotation(12, NEWEST, VERIFIER, Signer(SITE, THIRD), Signer(SITE, KEY))
    strange = rotation(9, THIEF, NEWEST, Signer(SITE, THIEFS), Signer(SITE, THIRD))
    alone = rotation(9, NEW, NEWEST, Signer(SITE, OTHER))

    def keys(given, *told):
        found = {each.size: note for each, note in told}
        return [
            Keys(given, [each for each, _ in told], found.get).at(size)
            for size in (0, 5, 6, 9, 10, 13)
        ]

    for given in (VERIFIER, NEW, NEWEST):
        assert keys(given, first, second) == [None, VERIFIER, NEW, NEW, NEWEST, NEWEST]
    assert keys(VERIFIER, first, alone) == [None, VERIFIER, NEW, NEW, None, None]
    assert keys(NEWEST, first, alone) == [None, None, None, None, NEWEST, NEWEST]
    assert keys(VERIFIER, first, strange) == [None, VERIFIER, NEW, NEW, None, None]
    for given in (VERIFIER, NEW, NEWEST):
        assert keys(given, first, second, back)[-1] is None
    assert keys(THIEF, first, second) == [None, *[THIEF] * 5]


def test_a_name_that_differs_leads_nowhere():
    other = Signer("jitgate/other", OTHER)
    note = signed_by(Checkpoint(SITE, 5, b"r" * 32).text, Signer(SITE, KEY), other).encode()
    keys = Keys(VERIFIER, [Rotation(5, VERIFIER, other.verifier)], {5: note}.get)
    assert keys.at(6) is None
