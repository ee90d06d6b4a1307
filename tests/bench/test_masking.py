from __future__ import annotations

import json
from itertools import islice

import pytest

from bench import masking, masking_memory, users
from bench.conf import mitmproxy_addon
from bench.gateway import NAMES
from bench.site import user
from jitgate.core.hiding import STARS, Hand
from jitgate.core.json_body import masked
from jitgate.maskers.names import NameMasker

SMALL = [each for each in masking.MEASURES if "1 KiB" in each.name or "100 KiB" in each.name]


@pytest.mark.parametrize("measure", SMALL, ids=lambda each: each.name)
def test_a_row_masks_what_it_says(measure):
    assert measure._wrong(measure.body()) is None


def test_a_row_that_masks_nothing_fails():
    row, *_ = masking.Measure("a", lambda: users.one(hits=True), bytes, hides=users.HUSH).run(1, 1)
    assert row.failed == "a secret is in what came out"


def test_bodies_are_the_same_at_each_run():
    assert users.array(5000) == users.array(5000)
    assert len(set(islice(users.users(), 100))) == 100
    assert 900 < len(users.one()) < 1150


@pytest.mark.parametrize("body", [user("hush"), user(None)])
def test_the_peer_hides_the_same_fields_as_jitgate(body):
    ours = masked(body.encode(), (NameMasker("bench", NAMES),), Hand())
    assert json.loads(mitmproxy_addon.masked(body, NAMES).replace('"***"', f'"{STARS}"')) == (
        json.loads(ours)
    )


@pytest.mark.parametrize("kind", masking_memory.KINDS)
def test_a_long_body_takes_no_more_memory_than_a_short_one(kind):
    """`python -m tests.bench.masking_memory` does it with 1 GiB."""
    size = 32 * 1024 * 1024
    assert masking_memory.grown(kind, size, masking_memory.RARELY) < 16
