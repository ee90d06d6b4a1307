"""What the control process tells its workers of itself."""

from __future__ import annotations

from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from jitgate.app.crew import Desk
from jitgate.flow.recorder import Recorder


class Store:
    def open(self):
        pass

    def close(self):
        pass


async def at_once(work, *args):
    return work(*args)


@ensureDeferred
async def test_workers_go_on_with_what_has_begun_while_nothing_new_may_begin():
    clock = Clock()
    recorder = Recorder(Store(), clock=clock, in_thread=at_once, held_up=lambda: "It is full.")
    desk = Desk(recorder, None, None, None, None, clock)
    assert "started" in desk.down()
    await recorder.start()
    assert (desk.down(), desk.held_up()) == (None, "It is full.")
    assert recorder.down == "It is full."
    await recorder.stop()
    assert "stopped" in desk.down()
