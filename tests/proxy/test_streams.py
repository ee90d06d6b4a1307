"""A request's body on its way in, a piece at a time, without a connection."""

import pytest
from support.access import now

from jitgate.errors import BodyTooLarge
from jitgate.proxy.streams import AgentRequest
from jitgate.values import RequestHead

HEAD = RequestHead("POST", "/things", ((b"Host", b"api.example"),))


class Unasked:
    """What carries a body that is there before anybody asks for it."""

    keeps = True


def test_a_body_is_read_up_to_its_limit_and_no_byte_further():
    request = AgentRequest(Unasked(), HEAD, ("api.example",), most=1000)
    for _ in range(4):
        request.add(b"x" * 250)
    assert request.fault is None
    request.add(b"y")
    assert [now(request.read()) for _ in range(4)] == [b"x" * 250] * 4
    with pytest.raises(BodyTooLarge, match="Bodies of up to 1000 bytes are carried"):
        now(request.read())


def test_a_body_that_is_as_long_as_it_may_be_is_whole():
    request = AgentRequest(Unasked(), HEAD, ("api.example",), most=1000)
    request.add(b"x" * 1000)
    request.end()
    assert [now(request.read()), now(request.read())] == [b"x" * 1000, b""]
