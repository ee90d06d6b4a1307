"""A backup is what it was taken of, and is put back where there is nothing."""

from __future__ import annotations

import pytest

from jitgate.errors import StateUnusable
from jitgate.proxy import authority, rotation
from jitgate.stores.backup import back_up, put_back
from jitgate.stores.recordings import RecordFiles
from jitgate.stores.state import StateFolder
from jitgate.testing.records import entry

NOW = 1_800_000_000.0


def _opened(state, recording):
    """The state folder's keys, as a run takes them, and what writes the recording with them."""
    state.site_key()
    keys = state.signing_keys()
    return RecordFiles(
        recording,
        site=keys.site,
        key=keys.key,
        key_before=keys.before,
        now=lambda: NOW,
        writer=f"w{len(list(recording.glob('logs/*'))) + 1}",
        run={},
        settled=state.signed_by,
        last_signed=state.last_signed,
    )


@pytest.fixture
def machine(tmp_path):
    """A state folder with its recording in it, as the gateway leaves them."""
    state = StateFolder(tmp_path / "state")
    recording = tmp_path / "state" / "recordings"
    files = _opened(state, recording)
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


def _rotated(state, recording):
    folder = StateFolder(state)
    files = _opened(folder, recording)
    files.open()
    files.rotate(folder.next_key(), {"by": "root", "why": "its time"})
    files.close()


def _another_ca(state, _):
    rotation.begin(state, NOW, NOW + 10)


def _no_other_ca(state, _):
    rotation.cancel(state, NOW)


def _only_the_other_ca(state, _):
    rotation.retire(state, NOW + 20)


@pytest.mark.parametrize("change", [_rotated, _another_ca, _no_other_ca, _only_the_other_ca])
def test_of_a_backup_beside_which_keys_were_changed_nothing_is_left(machine, tmp_path, change):
    state, recording = machine
    authority.load_or_create(state, lambda: NOW)
    if change in (_no_other_ca, _only_the_other_ca):
        _another_ca(state, recording)
    once = iter([change])
    backup = tmp_path / "backup"

    def passed(_):
        for each in once:
            each(state, recording)

    with pytest.raises(StateUnusable, match="take the backup again"):
        back_up(state, recording, backup, passed)
    assert not backup.exists()
    back_up(state, recording, backup, passed)
    put_back(backup, tmp_path / "there", tmp_path / "there" / "recordings")
    assert authority.read(tmp_path / "there").trusted == authority.read(state).trusted
    files = _opened(StateFolder(tmp_path / "there"), tmp_path / "there" / "recordings")
    files.open()
    files.close()
