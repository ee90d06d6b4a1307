"""Who makes room where too many have not proved who they are, and what is told of it."""

from twisted.internet.task import Clock

from jitgate.proxy.registry import Connections


class Caller:
    """A connection that remembers its end."""

    aborted = False

    def abort(self):
        self.aborted = True


def counted(share):
    noted, clock = [], Clock()
    return Connections(clock, share, noted.append), clock, noted


def test_the_oldest_of_the_unproved_makes_room_and_no_other():
    made, clock, noted = counted(3)
    callers = [Caller() for _ in range(6)]
    for number, each in enumerate(callers):
        made.add(each)
        if number == 1:
            made.proved(each)
    assert [each.aborted for each in callers] == [True, False, True, False, False, False]
    clock.advance(1)
    assert noted == [{"count": 2, "share": 3}]


def test_whoever_has_ended_takes_no_room():
    made, clock, noted = counted(1)
    first, second = Caller(), Caller()
    made.add(first)
    made.discard(first)
    made.add(second)
    assert not first.aborted
    assert not second.aborted
    assert list(made) == [second]
    assert not clock.getDelayedCalls()
    assert noted == []
