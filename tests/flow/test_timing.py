"""What went by for what, in an exchange: for people, the credential, the target, in all."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON, Asked, Stand, review

from jitgate.errors import CredentialUnavailable
from jitgate.flow.timing import Timing

TOOK = {"credential": 0.5, "connect": 0.25, "answer": 2.0}


def timed(**how):
    """A stand at which each stage takes its time."""
    stand = Stand(**how)

    async def pause(what):
        stand.clock.advance(TOOK.get(what, 0.0))

    stand.pause = pause
    return stand


@ensureDeferred
async def test_the_outcome_tells_what_of_the_time_went_by_for_whom():
    stand = timed(verdict=review())
    await stand.start()
    told, done = stand.asked(Asked("POST", "/things/7", b"{}", JSON))
    stand.clock.advance(30.0)
    await stand.says()
    await done
    assert told.head.status == 200
    (entry,) = stand.entries("outcome")
    assert entry["timings"] == {"people": 30.0, **TOOK, "body": 0.0}
    assert entry["seconds"] == pytest.approx(30.0 + sum(TOOK.values()), abs=0.001)


@ensureDeferred
async def test_of_what_did_not_come_so_far_nothing_is_told():
    stand = timed(fail={"connect": CredentialUnavailable("down")})
    await stand.start()
    assert (await stand.serve()).head.status == 502
    (entry,) = stand.entries("outcome")
    assert entry["timings"].keys() == {"credential", "connect"}
    stand = timed()
    await stand.start()
    await stand.serve(Asked(target="/unknown"))
    assert "timings" not in stand.entries("outcome")[0]


def test_what_is_waited_for_several_times_adds_up_to_a_microsecond():
    now = [100.0]
    timing = Timing(lambda: now[0])
    for _ in range(2):
        since = timing.now()
        now[0] += 0.00000149
        timing.spent("people", since)
    timing.answered(now[0] - 1)
    now[0] += 2
    assert timing.told() == {
        "seconds": 2.000003,
        "timings": {"people": 0.000003, "answer": 1.0, "body": 2.0},
    }
