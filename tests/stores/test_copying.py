"""A copy of a recording holds what a recording holds, whatever the gateway calls it."""

import pytest

from jitgate.errors import StateUnusable
from jitgate.stores.copying import PIECE, Copy, Piece, files, pieces
from tests.stores.site import entries


def test_a_copy_is_verified_as_what_it_is_of_is(site, tmp_path):
    records = site.run()
    records.append(entries(0, 3, body=b"{}" * PIECE))
    records.checkpoint()
    (site.folder / "logs" / "notes.txt").write_text("of somebody's own")
    (site.folder / "site" / "000000000009.jsonl.new").touch()
    copy = Copy(tmp_path / "copy")
    for piece in pieces(site.folder, files(site.folder)):
        copy.take(piece)
    taken = {path.relative_to(tmp_path / "copy") for path in (tmp_path / "copy").rglob("*.*")}
    assert copy.files == len(taken) == 5
    for path in taken:
        assert (tmp_path / "copy" / path).read_bytes() == (site.folder / path).read_bytes()
    records.close()


def test_what_begins_while_a_copy_is_given_out_is_in_it_with_what_tells_of_it(site, tmp_path):
    records = site.run()
    begun, copy = pieces(site.folder, files(site.folder)), Copy(tmp_path / "copy")
    copy.take(next(begun))
    records.enlist("run-1.1.1")
    (site.folder / "logs" / "run-1.1.1").mkdir()
    lines = site.folder / "logs" / "run-1" / "000000000000.jsonl"
    (site.folder / "logs" / "run-1.1.1" / lines.name).write_bytes(lines.read_bytes())
    for piece in begun:
        copy.take(piece)
    assert b'"run-1.1.1"' in (tmp_path / "copy" / "site" / lines.name).read_bytes()
    assert (tmp_path / "copy" / "logs" / "run-1.1.1" / lines.name).exists()
    records.close()


def test_what_was_deleted_meanwhile_is_left_out(site, tmp_path):
    site.run().close()
    assert [*pieces(site.folder, ["site/000000000099.jsonl"])] == []


@pytest.mark.parametrize(
    "name",
    [
        "../000000000000.jsonl",
        "/etc/passwd",
        "logs/../../000000000000.jsonl",
        "logs/.ssh/000000000000.jsonl",
        "logs/run/../000000000000.jsonl",
        "logs/run/x.jsonl",
        "site/000000000000.sh",
        "000000000000.jsonl",
        "checkpoints/000000000000.jsonl",
        "lock",
        "",
    ],
)
def test_no_other_file_is_written(tmp_path, name):
    copy = Copy(tmp_path / "copy")
    with pytest.raises(StateUnusable, match="which no recording has"):
        copy.take(Piece(name, b"x"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_that_came_before_is_not_written_again(tmp_path):
    copy, name = Copy(tmp_path / "copy"), "site/000000000000.jsonl"
    copy.take(Piece(name, b"a"))
    copy.take(Piece(name, b"b"))
    copy.take(Piece("checkpoints/000000000001.note", b""))
    with pytest.raises(FileExistsError):
        copy.take(Piece(name, b"c"))
    assert (tmp_path / "copy" / name).read_bytes() == b"ab"
