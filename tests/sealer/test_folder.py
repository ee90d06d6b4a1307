"""What the sealer takes for a segment, and what it does to it; by the kernel's own word."""

import mmap
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.sealer import FOUR, flags_of, loosen

from jitgate.sealer.flags import IMMUTABLE, add_flags
from jitgate.sealer.folder import Folder
from jitgate.sealer.keeping import DAY, Keeping, Refused
from jitgate.sealer.serving import Serving, listening

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_debian("chattr", "lsattr")]

OWNER = 4001
FIRST = "000000000000.jsonl"
OTHER = "000000000000.bodies"


@pytest.fixture
def recording(tmp_path):
    top = tmp_path / "recordings"
    for folder in (top, top / "site", top / "logs", top / "logs" / "w"):
        folder.mkdir(mode=0o700)
        os.chown(folder, OWNER, OWNER)
    for path in (top / "site" / FIRST, top / "logs" / "w" / FIRST):
        path.write_bytes(b"{}\n")
        os.chown(path, OWNER, OWNER)
    yield top
    loosen(tmp_path)


@pytest.fixture
def folder(recording):
    opened = Folder(recording, OWNER)
    yield opened
    opened.close()


def segment(recording, log="logs/w"):
    return recording / log / FIRST


def test_what_is_kept_only_grows(recording, folder):
    path = segment(recording)
    folder.keep("w", FIRST)
    assert flags_of(path) == "a"
    with path.open("ab") as file:
        file.write(b"more\n")
    assert path.read_bytes() == b"{}\nmore\n"
    for change in (
        lambda: path.open("wb"),
        lambda: path.open("r+b"),
        path.unlink,
        lambda: path.rename(path.with_name("x")),
        lambda: os.truncate(path, 0),
        lambda: path.chmod(0o666),
    ):
        with pytest.raises(PermissionError):
            change()


def test_what_is_sealed_does_not_even_grow(recording, folder):
    path = segment(recording)
    folder.keep("w", FIRST)
    folder.seal("w", FIRST)
    assert flags_of(path) == "ai"
    for change in (
        lambda: path.open("ab"),
        path.unlink,
        lambda: path.chmod(0o666),
        lambda: os.link(path, path.with_name("x")),
        lambda: os.utime(path, (0, 0)),
    ):
        with pytest.raises(PermissionError):
            change()


def test_the_site_log_is_no_other_log(recording, folder):
    folder.seal("site", FIRST)
    assert flags_of(segment(recording, "site")) == "i"
    assert flags_of(segment(recording)) == ""


def test_nothing_is_loosened_by_asking_again(recording, folder):
    folder.seal("w", FIRST)
    with suppress(PermissionError):  # some file systems have no objection
        folder.keep("w", FIRST)
    folder.seal("w", FIRST)
    assert "i" in flags_of(segment(recording))


@pytest.mark.parametrize("how", ["append", "write", "mapped"])
def test_it_is_not_sealed_before_all_writers_let_go_and_they_get_no_further(recording, folder, how):
    path = segment(recording)
    descriptor = os.open(path, os.O_RDWR | (os.O_APPEND if how == "append" else 0))
    mapped = mmap.mmap(descriptor, 3) if how == "mapped" else None
    if mapped is not None:
        os.close(descriptor)
    with pytest.raises(Refused, match="open for writing"):
        folder.seal("w", FIRST)
    assert flags_of(path) == "i"
    if mapped is None:
        os.close(descriptor)
    else:
        mapped.close()
    folder.seal("w", FIRST)


TRICKS = {
    "a link": lambda path, out: path.symlink_to(out),
    "another name of a file outside": lambda path, out: path.hardlink_to(out),
    "a folder": lambda path, out: path.mkdir(),
    "a pipe": lambda path, out: os.mkfifo(path),
    "another's file": lambda path, out: path.write_bytes(b"x"),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_nothing_but_a_file_of_its_owner_s_is_taken(recording, folder, tmp_path, trick):
    path, out = segment(recording), tmp_path / "outside"
    out.write_bytes(b"outside")
    os.chown(out, OWNER, OWNER)
    path.unlink()
    TRICKS[trick](path, out)
    if trick in {"a folder", "a pipe"}:
        os.chown(path, OWNER, OWNER)
    for deed in (folder.keep, folder.seal):
        with pytest.raises((Refused, OSError)):
            deed("w", FIRST)
    assert flags_of(out) == ""
    if path.is_file() and not path.is_symlink():
        assert flags_of(path) == ""


def test_no_step_on_the_way_may_be_a_link(recording, folder, tmp_path):
    out = tmp_path / "elsewhere"
    out.mkdir()
    (out / FIRST).write_bytes(b"x")
    os.chown(out / FIRST, OWNER, OWNER)
    (recording / "logs" / "v").symlink_to(out)
    with pytest.raises(OSError, match="Not a directory|symbolic"):
        folder.seal("v", FIRST)
    (recording / "logs").rename(recording / "x")
    (recording / "logs").symlink_to(tmp_path)
    with pytest.raises(OSError, match="Not a directory|symbolic"):
        folder.seal("elsewhere", FIRST)
    assert flags_of(out / FIRST) == ""


@pytest.mark.parametrize(
    ("log", "name"),
    [
        ("..", FIRST),
        (".", FIRST),
        ("", FIRST),
        ("w/../w", FIRST),
        ("w", f"../w/{FIRST}"),
        ("w", f"./{FIRST}"),
        ("w", "lock"),
        ("w", "0.jsonl"),
        ("w", f"{FIRST}.new"),
        ("w", f"{FIRST}\n"),
        ("w\x00", FIRST),
        ("w", "٠٠٠٠٠٠٠٠٠٠٠٠.jsonl"),
    ],
)
def test_only_a_segment_s_name_is_one(recording, folder, log, name):
    with pytest.raises(Refused, match="not the name"):
        folder.seal(log, name)


def test_a_folder_put_in_the_place_of_the_recording_is_another_one(recording, folder, tmp_path):
    recording.rename(tmp_path / "moved")
    recording.mkdir()
    (recording / "logs").mkdir()
    (recording / "logs" / "w").mkdir()
    segment(recording).write_bytes(b"other")
    os.chown(segment(recording), OWNER, OWNER)
    folder.seal("w", FIRST)
    assert flags_of(segment(recording)) == ""


def test_a_flag_that_stands_is_not_cleared_by_another(recording):
    path = segment(recording)
    descriptor = os.open(path, os.O_RDONLY)
    subprocess.run(["chattr", "+d", str(path)], check=True)
    add_flags(descriptor, IMMUTABLE)
    os.close(descriptor)
    done = subprocess.run(["lsattr", str(path)], check=True, capture_output=True, text=True)
    assert {"i", "d"} <= set(done.stdout.split()[0])


@pytest.fixture
def serving(folder, tmp_path):
    tmp_path.chmod(0o755)
    with listening(tmp_path / "socket", OWNER) as made:
        yield Serving(made, folder, OWNER)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"keep",
        b"keep w",
        b"clear w 000000000000.jsonl",
        b"unseal w 000000000000.jsonl",
        b"keep w 000000000000.jsonl x",
        b"keep  w 000000000000.jsonl",
        b"KEEP w 000000000000.jsonl",
        b"ping ping",
        b"\xff\xfe",
        b"x" * 256,
    ],
)
def test_what_is_no_request_is_refused_and_changes_nothing(recording, serving, packet):
    assert serving.reply(packet, OWNER).startswith(b"no: ")
    assert flags_of(segment(recording)) == ""


def test_it_says_what_it_did(recording, serving):
    assert serving.reply(b"ping", OWNER) == b"ok"
    assert serving.reply(b"keep w 000000000000.jsonl", OWNER) == b"ok"
    assert serving.reply(b"seal w 000000000000.jsonl", OWNER) == b"ok"
    assert flags_of(segment(recording)) == "ai"
    assert serving.reply(b"seal w 000000000007.jsonl", OWNER) == b"no: No such file or directory"


def test_a_socket_where_others_may_write_is_not_made(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(Refused, match="others may write"):
        listening(tmp_path / "socket", OWNER)


def test_the_power_runs_nothing_but_the_standard_library_and_the_sealer():
    code = (
        "import sys, jitgate.sealer.serving;"
        "print([n for n in sys.modules if n.startswith('jitgate')],"
        " [m.__file__ for m in sys.modules.values() if 'site-packages' in"
        " (getattr(m, '__file__', None) or '')])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=root,
        env={"PYTHONPATH": str(root)},
    )
    ours, others = done.stdout.strip().split("] [")
    assert "site-packages" not in others
    assert set(ours.strip("[]").replace("'", "").split(", ")) == {
        "jitgate",
        "jitgate.sealer",
        "jitgate.sealer.flags",
        "jitgate.sealer.folder",
        "jitgate.sealer.keeping",
        "jitgate.sealer.serving",
    }


@pytest.fixture
def holds(tmp_path):
    (tmp_path / "holds").mkdir(mode=0o700)
    return tmp_path / "holds"


@pytest.fixture
def aged(recording, holds):
    """A sealer for which as many days have gone by as it is told: nobody can set a change time."""
    days = [0.0]
    opened = Folder(recording, OWNER, Keeping(30, holds, lambda: time.time() + days[0] * DAY))
    opened.days = days
    yield opened
    opened.close()


def test_what_has_expired_is_deleted_and_not_a_day_before(recording, aged):
    path = segment(recording)
    aged.seal("w", FIRST)
    aged.days[0] = 29.9
    for deed in (aged.check_expired, aged.delete):
        with pytest.raises(Refused, match="not expired"):
            deed("w", FIRST)
    assert flags_of(path) == "i"
    aged.days[0] = 30.1
    aged.check_expired("w", FIRST)
    assert flags_of(path) == "i"
    aged.delete("w", FIRST)
    assert not path.exists()


def test_what_is_not_sealed_has_no_age(recording, aged):
    aged.days[0] = 31
    aged.keep("w", FIRST)
    with pytest.raises(Refused, match="not sealed"):
        aged.delete("w", FIRST)
    assert flags_of(segment(recording)) == "a"


def test_the_site_log_and_leaves_are_never_deleted(recording, aged):
    leaves = "000000000000.leaves"
    (recording / "logs" / "w" / leaves).write_bytes(bytes(32))
    os.chown(recording / "logs" / "w" / leaves, OWNER, OWNER)
    aged.days[0] = 31
    for log, name in (("site", FIRST), ("w", leaves)):
        aged.seal(log, name)
        with pytest.raises(Refused, match="never deleted"):
            aged.delete(log, name)


def test_a_sealer_that_knows_of_no_retention_deletes_nothing(recording, folder):
    folder.seal("w", FIRST)
    for deed in (folder.check_expired, folder.delete, folder.hold):
        with pytest.raises(Refused, match="no retention"):
            deed("w", FIRST)


def test_what_is_held_is_kept_under_whatever_name_its_folder_has(recording, aged, holds):
    aged.seal("w", FIRST)
    aged.hold("w", FIRST)
    aged.hold("w", FIRST)
    aged.days[0] = 31
    (recording / "logs" / "w").rename(recording / "logs" / "v")
    with pytest.raises(Refused, match="held"):
        aged.delete("v", FIRST)
    (recording / "logs" / "v").rename(recording / "logs" / "w")
    aged.release("w", FIRST)
    aged.release("w", FIRST)
    aged.delete("w", FIRST)
    assert list(holds.iterdir()) == []


def test_what_can_be_removed_is_not_held_for_its_number_is_given_again(recording, aged, holds):
    with pytest.raises(Refused, match="not kept"):
        aged.hold("w", FIRST)
    assert list(holds.iterdir()) == []
    aged.keep("w", FIRST)
    aged.hold("w", FIRST)


def test_a_hold_ends_under_the_name_alone_under_which_it_was_placed(recording, aged):
    """Folders have no flags: a gateway in wrong hands has one name lead to what another held."""
    logs = recording / "logs"
    other = logs / "v"
    other.mkdir(mode=0o700)
    (other / FIRST).write_bytes(b"{}\n")
    for path in (other, other / FIRST):
        os.chown(path, OWNER, OWNER)
    for log in ("v", "w"):
        aged.seal(log, FIRST)
    aged.hold("w", FIRST)
    aged.days[0] = 31
    for one, two in (("v", "x"), ("w", "v"), ("x", "w")):
        (logs / one).rename(logs / two)
    for deed in (aged.release, aged.hold):
        with pytest.raises(Refused, match=f"held as w {FIRST}"):
            deed("v", FIRST)
    with pytest.raises(Refused, match="held"):
        aged.delete("v", FIRST)
    aged.delete("w", FIRST)
    assert (other / FIRST).exists()


def test_bodies_that_came_after_the_hold_are_held_with_their_lines(recording, aged):
    aged.keep("w", FIRST)
    aged.hold("w", FIRST)
    bodies = segment(recording).with_name(OTHER)
    bodies.write_bytes(b"body")
    os.chown(bodies, OWNER, OWNER)
    for name in (FIRST, OTHER):
        aged.seal("w", name)
    aged.days[0] = 31
    for name in (FIRST, OTHER):
        for deed in (aged.check_expired, aged.delete):
            with pytest.raises(Refused, match="held"):
                deed("w", name)
    with pytest.raises(Refused, match="by its lines"):
        aged.hold("w", OTHER)
    aged.release("w", FIRST)
    for name in (FIRST, OTHER):  # what is left of a deletion that was cut off goes as well
        aged.delete("w", name)
    assert not bodies.exists()


def test_a_hold_whose_writing_was_cut_off_is_no_less_one(recording, aged, holds):
    aged.seal("w", FIRST)
    (holds / f"{segment(recording).stat().st_ino}").touch()
    aged.days[0] = 31
    with pytest.raises(Refused, match="held"):
        aged.delete("w", FIRST)
    with pytest.raises(Refused, match="held as nothing"):
        aged.release("w", FIRST)


def test_who_is_served_may_hold_and_only_root_may_release(recording, aged, tmp_path):
    with listening(tmp_path / "socket", OWNER) as made:
        serving = Serving(made, aged, OWNER)
        name = b" w 000000000000.jsonl"
        assert serving.reply(b"seal" + name, OWNER) == b"ok"
        assert serving.reply(b"hold" + name, OWNER) == b"ok"
        aged.days[0] = 31
        assert serving.reply(b"release" + name, OWNER) == b"no: that is not for you"
        assert serving.reply(b"delete" + name, OWNER) == b"no: held"
        assert serving.reply(b"delete" + name, 0) == b"no: that is not for you"
        assert serving.reply(b"release" + name, 0) == b"ok"
        assert serving.reply(b"expired" + name, OWNER) == b"ok"
        assert serving.reply(b"delete" + name, OWNER) == b"ok"
    assert not segment(recording).exists()


def test_holds_are_where_only_the_sealer_writes(holds):
    with pytest.raises(Refused, match="a day at least"):
        Keeping(0, holds)
    holds.chmod(0o777)
    with pytest.raises(Refused, match="others may write"):
        Keeping(30, holds)


DELETE = """
import sys, time
from pathlib import Path
from jitgate.sealer.folder import Folder
from jitgate.sealer.keeping import DAY, Keeping
keeping = Keeping(30, Path(sys.argv[2]), lambda: time.time() + 31 * DAY)
Folder(Path(sys.argv[1]), int(sys.argv[3]), keeping).delete("w", "000000000000.jsonl")
"""


def test_the_capabilities_of_its_unit_are_enough_to_delete(recording, aged, holds):
    aged.seal("w", FIRST)
    subprocess.run(
        [
            *("setpriv", f"--bounding-set={FOUR}", "--inh-caps=-all"),
            *(sys.executable, "-c", DELETE, str(recording), str(holds), str(OWNER)),
        ],
        check=True,
    )
    assert not segment(recording).exists()
