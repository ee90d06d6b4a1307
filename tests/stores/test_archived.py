"""What is in an archive is a recording by itself, up to the checkpoint that lies there with it."""

import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from stores.site import SITE, VERIFIER, Site, crash, entries, entry

from jitgate.core.note import Signer
from jitgate.stores.archived import InArchives
from jitgate.values import Archived

EVERY = 0.5
"""Seconds, of a clock that goes an eighth further each time it is asked."""


def archived(records, to):
    """What an archive holds once all that can be put there has been, as a recording."""
    whole = records.whole_notes()
    for each in (*records.sealed("s3://b/"), *whole):
        (to / each.key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(each.path, to / each.key)
    return Site(to)


def covered(records, to, key=VERIFIER):
    """How many entries are vouched for there; all that is must be as it was."""
    findings, report = archived(records, to).verify(None, key)
    assert findings == []
    assert not report.tampered
    return report


def worked(records, numbers):
    for number in numbers:
        records.append([entry(number, body=b"body %d" % number)])
        records.checkpoint()


@pytest.mark.parametrize("end", ["close", "crash"])
def test_of_runs_that_have_ended_all_that_was_signed(site, tmp_path, end):
    first = site.run()
    worked(first, range(3))
    getattr(first, end)() if end == "close" else crash(first)
    second = site.run()
    report = covered(second, tmp_path / "a")
    assert report.logs == 1
    assert report.unwitnessed.entries == 0
    worked(second, range(3, 6))
    assert covered(second, tmp_path / "b") == report  # nothing more is sealed without a cut
    crash(second)


def test_of_a_run_that_goes_on_all_up_to_the_last_cut(site, tmp_path):
    site.run().close()
    records = site.run(cut_every=EVERY)
    before = covered(records, tmp_path / "before").covered.entries
    for step in range(4):
        worked(records, range(10 * step, 10 * step + 5))
        report = covered(records, tmp_path / f"{step}")
        assert report.covered.entries > before
        before = report.covered.entries
    records.close()
    assert site.verify(site.checkpoint())[0] == []
    assert site.run().close() is None


def test_a_rotation_of_the_key_can_be_followed_there_by_either_key(site, tmp_path):
    new = Ed25519PrivateKey.from_private_bytes(b"2" * 32)
    keys = VERIFIER, Signer(SITE, new).verifier
    records = site.run(cut_every=EVERY)
    worked(records, range(3))
    records.rotate(new, {"by": "root"})
    covered(records, tmp_path / "not yet")
    worked(records, range(3, 20))
    for number, key in enumerate(keys):
        report = covered(records, tmp_path / f"{number}", key)
        assert len(report.keys) == 2
        assert report.checkpoint.size > report.keys[0][1]
    records.close()


def test_an_idle_run_is_not_cut(site):
    records = site.run(cut_every=EVERY)
    worked(records, range(3))
    for _ in range(3):
        records.checkpoint()
    before = sorted(site.folder.rglob("*.jsonl"))
    for _ in range(10):
        records.checkpoint()
    assert sorted(site.folder.rglob("*.jsonl")) == before
    assert records.whole_notes()
    records.close()


def test_without_an_archive_nothing_is_cut(site):
    records = site.run()
    worked(records, range(20))
    assert len(list(site.folder.rglob("*.jsonl"))) == 2
    assert records.whole_notes() == []
    records.close()


@pytest.mark.parametrize("when", range(5, 12))
def test_a_cut_that_fails_anywhere_takes_nothing_with_it(site, tmp_path, when):
    records = site.run(cut_every=EVERY)
    records.append(entries(0, 3))
    done = site.disk.done
    for _ in range(8):
        site.now()
    begun, sync = len(done), site.disk.sync

    def failing(descriptor):
        if len(done) - begun >= when:
            site.disk.failing = "sync"
        sync(descriptor)

    site.disk.sync = failing
    try:
        records.checkpoint()
    except OSError:
        pass
    site.disk.sync, site.disk.failing = sync, None
    records.recover()
    records.append(entries(3, 6))
    records.checkpoint()
    records.close()
    findings, report = site.verify(site.checkpoint())
    assert findings == []
    assert not report.tampered
    after = site.run()
    covered(after, tmp_path / "a")
    after.close()


@pytest.mark.parametrize("change", [{"until": 7}, {"until": "soon"}, {"place": []}, {"file": {}}])
def test_what_the_record_says_of_a_file_in_other_words_is_not_believed(change):
    known = InArchives()
    said = {
        "file": "site/000000000000.jsonl",
        "archive": "a",
        "place": "s3://b/",
        "bucket": "b",
        "key": "k",
        "version": "v",
        "sha256": "00",
        "bytes": 1,
        "until": "2026-11-24T02:06:00.000000Z",
    }
    known.learn({**said, **change})
    known.learn({name: said[name] for name in said if name != "place"})
    assert known.get("s3://b/", said["file"]) is None
    known.learn(said)
    kept = known.get("s3://b/", said["file"])
    assert kept == Archived("a", "s3://b/", "b", "k", "v", "00", 1, 1795485960.0)
