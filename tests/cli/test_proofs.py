"""`jitgate proof`, as the one who has the recording and the one who has none see it."""

import json
from pathlib import Path

import pytest
from stores.site import VERIFIER, Site, crash
from vectors.recording import make as vector

from jitgate.cli import main
from jitgate.core.note import Checkpoint, Signer
from jitgate.values import Entry

VECTOR = Path(vector.__file__).parent
RECORDINGS = VECTOR / "recordings"
OLDEST = RECORDINGS / "checkpoints" / "000000000004.note"
ENTRY = f"{vector.FIRST}:2"


@pytest.fixture
def proof(capsys):
    def run(*arguments, key=VECTOR / "site.vkey"):
        code = main(["proof", *map(str, arguments), "--key", str(key)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def grown(proof, tmp_path):
    code, out, _ = proof("consistency", OLDEST, RECORDINGS)
    assert code == 0
    (tmp_path / "grown").write_text(out)
    return tmp_path / "grown"


@pytest.fixture
def included(proof, tmp_path):
    code, out, _ = proof("inclusion", ENTRY, RECORDINGS)
    assert code == 0
    (tmp_path / "included").write_text(out)
    return tmp_path / "included"


def test_who_kept_a_checkpoint_is_shown_that_the_log_only_grew(proof, grown):
    code, out, err = proof("check", grown, "--since", OLDEST)
    assert (code, err) == (0, "")
    assert out == (
        "Shown: the site log of jitgate/test-vector with 10 entries begins with "
        "the 4 entries of the checkpoint that you kept.\n"
    )


def test_who_is_shown_an_entry_sees_it_and_where_it_stands(proof, included):
    code, out, _ = proof("check", included)
    assert code == 0
    first, *rest = out.splitlines()
    assert first.startswith(f"Shown: entry 2 of the log {vector.FIRST} stands in the recording of")
    entry = json.loads("\n".join(rest))
    assert entry["seq"] == 2


def test_an_entry_is_shown_to_be_under_the_checkpoint_that_was_kept_or_it_is_not(
    proof, included, tmp_path
):
    assert proof("check", included, "--since", VECTOR / "checkpoint.note")[0] == 0
    code, out, _ = proof("check", included, "--since", OLDEST)
    assert (code, out[:10]) == (1, "NOT SHOWN:")
    assert "only a consistency proof shows" in out
    size = json.loads(included.read_text())["steps"][-1]["size"]
    other = Signer(vector.SITE, vector.KEY).sign(Checkpoint(vector.SITE, size, bytes(32)).text)
    (tmp_path / "kept").write_text(other)
    code, out, _ = proof("check", included, "--since", tmp_path / "kept")
    assert (code, out[:10]) == (1, "NOT SHOWN:")
    assert "of another log" in out
    assert proof("check", included, "--since", "/nowhere")[0] == 2


def test_an_older_checkpoint_can_be_proved_under(proof):
    code, out, _ = proof("inclusion", "site:1", RECORDINGS, "--checkpoint", OLDEST)
    assert (code, json.loads(out)["checkpoint"]) == (0, OLDEST.read_text())


def test_a_proof_that_shows_nothing_is_one_and_said(proof, grown, included, tmp_path):
    code, out, _ = proof("check", grown, "--since", VECTOR / "checkpoint.note")
    assert (code, out[:10]) == (1, "NOT SHOWN:")
    included.write_text(included.read_text().replace('\\"permit\\"', '\\"deny\\"'))
    assert proof("check", included)[0] == 1
    (tmp_path / "other.vkey").write_text(VERIFIER.text)
    code, out, _ = proof("check", grown, "--since", OLDEST, key=tmp_path / "other.vkey")
    assert (code, out[:10]) == (1, "NOT SHOWN:")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["inclusion", "x-17", RECORDINGS], "Name the entry as LOG:SEQ"),
        (["inclusion", "site:-1", RECORDINGS], "Name the entry as LOG:SEQ"),
        (["inclusion", "site:99", RECORDINGS], "does not stand for an entry 99 of site"),
        (["inclusion", "../site:0", RECORDINGS], "does not stand for an entry"),
        (["inclusion", ENTRY, "/nowhere"], "There is no folder /nowhere."),
        (["consistency", "/nowhere", RECORDINGS], "/nowhere: No such file"),
        (
            ["consistency", VECTOR / "README.md", RECORDINGS],
            "That cannot be proved: a signature line has",
        ),
        (
            ["consistency", VECTOR / "checkpoint.note", RECORDINGS, "--checkpoint", OLDEST],
            "the older checkpoint is of 10 entries, the newer one of 4",
        ),
        (["check", "/nowhere"], "/nowhere: No such file"),
    ],
)
def test_what_keeps_it_from_a_proof_is_said_in_a_sentence(proof, arguments, said):
    code, out, err = proof(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_growth_is_shown_only_to_who_says_since_when(proof, grown):
    code, out, err = proof("check", grown)
    assert (code, out) == (2, "")
    assert "--since" in err


def test_what_an_entry_says_is_shown_and_not_obeyed(proof, tmp_path):
    site = Site(tmp_path / "recordings")
    records = site.run()
    records.append([Entry("x\x1b[2J", 1.0, {"note": "\x1b]0;owned\x07\u202e"})])
    records.checkpoint()
    crash(records)
    (tmp_path / "site.vkey").write_text(VERIFIER.text)
    code, out, _ = proof("inclusion", "run-1:1", site.folder, key=tmp_path / "site.vkey")
    (tmp_path / "proof").write_text(out)
    code, out, _ = proof("check", tmp_path / "proof", key=tmp_path / "site.vkey")
    assert code == 0
    assert not {"\x1b", "\x07", "\u202e"} & set(out)
