"""Coded responses: read decoded, with turns for others."""

from __future__ import annotations

import gzip

import pytest

from jitgate.core.codings import PIECE
from jitgate.errors import MaskingFault
from jitgate.flow.decoding import Decoded
from tests.flow.test_release import Upstream, run


class Turns:
    count = 0

    async def __call__(self):
        self.count += 1


def test_what_unpacks_to_much_lets_others_have_their_turn():
    data, turns = bytes(range(256)) * 4000, Turns()
    body, read = Decoded(Upstream([gzip.compress(data)]), [b"gzip"], turns), []
    while piece := run(body.read()):
        read.append(piece)
    assert b"".join(read) == data
    assert turns.count >= len(data) // PIECE - 1


def test_members_in_which_there_is_nothing_do_so_too():
    turns = Turns()
    body = Decoded(Upstream([gzip.compress(b"") * 8_000]), [b"gzip"], turns)
    assert run(body.read()) == b""
    assert turns.count >= 7


def test_what_ends_early_is_no_end():
    body = Decoded(Upstream([gzip.compress(b"{}")[:-1]]), [b"gzip"], Turns())
    assert run(body.read()) == b"{}"
    with pytest.raises(MaskingFault, match="too early"):
        run(body.read())
