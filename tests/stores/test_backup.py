"""A backup is what it was taken of, and is put back where there is nothing."""

from __future__ import annotations

import pytest

from jitgate.errors import StateUnusable
from jitgate.stores.backup import back_up, put_back
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.state import StateFolder
from jitgate.testing.records import entry


@pytest.fixture
def machine(tmp_path):
    """A state folder with its recording in it, as the gateway leaves them."""
    state = StateFolder(tmp_path / "state")
    state.site_key()
    keys = state.signing_keys()
    recording = tmp_path / "state" / "recordings"
    files = RecordFiles(
        recording,
        site=keys.site,
        key=keys.key,
        now=lambda: 1_800_000_000.0,
        writer="w1",
        run={},
        settled=state.signed_by,
    )
    files.open()
    files.append([entry(number) for number in range(3)])
    files.close()
    state.next_key()  # as in the midst of a rotation
    return tmp_path / "state", recording


def _all(folder):
    return {
        f"{each.relative_to(folder)}": each.read_bytes()
        for each in folder.rglob("*")
        if each.is_file() and each.name != "lock"
    }


@pytest.mark.parametrize("within", [True, False])
def test_what_is_put_back_is_what_was_there(machine, tmp_path, within):
    state, recording = machine
    back_up(state, recording, tmp_path / "backup", lambda _: None)
    there = tmp_path / "there" / "state"
    kept = there / "recordings" if within else tmp_path / "there" / "kept"
    if within:  # as who prepares a write-once recording makes it
        kept.mkdir(parents=True)
    put_back(tmp_path / "backup", there, kept)
    assert _all(kept) == _all(recording)
    for name in ("site.key", "site.key.next", "site.name", "site.vkey", "site-hmac.key"):
        assert (there / name).read_bytes() == (state / name).read_bytes()
        assert (there / name).stat().st_mode == (state / name).stat().st_mode


@pytest.mark.parametrize("where", ["state", "recordings"])
def test_a_backup_is_put_where_there_is_nothing(machine, tmp_path, where):
    back_up(*machine, tmp_path / "backup", lambda _: None)
    there = tmp_path / "there"
    (there / where).mkdir(parents=True)
    (there / where / "something").write_text("of somebody's")
    with pytest.raises(StateUnusable, match="is not empty"):
        put_back(tmp_path / "backup", there / "state", there / "recordings")
    assert [each.name for each in there.iterdir()] == [where]
    assert [each.name for each in (there / where).iterdir()] == ["something"]


def test_a_backup_is_a_folder_of_its_own(machine, tmp_path):
    (tmp_path / "backup").mkdir()
    with pytest.raises(StateUnusable, match="is there already"):
        back_up(*machine, tmp_path / "backup", lambda _: None)
