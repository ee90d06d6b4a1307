from __future__ import annotations

import pytest

from bench.profile import by_stage, shares, stage

REACTOR = "Reactor.doIteration (/x/jitgate/reactor.py:28)"
PUMP = "TlsPump.write (/x/jitgate/tls.py:3)"
OPENSSL = "Connection.send (/x/OpenSSL/SSL.py:1)"


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([REACTOR, "f (/x/jitgate/core/policy.py:1)"], "policy"),
        ([REACTOR, "f (/x/jitgate/core/policy.py:1)", "g (/usr/lib/python3/re.py:1)"], "policy"),
        ([REACTOR, "f (/x/jitgate/proxy/streams.py:1)", PUMP, OPENSSL], "TLS, towards agents"),
        ([REACTOR, "f (/x/jitgate/upstreams/https.py:1)", PUMP, OPENSSL], "TLS, towards targets"),
        ([REACTOR, PUMP, OPENSSL], "TLS, reading"),
        ([REACTOR, PUMP, "doRead (/x/twisted/internet/tcp.py:1)"], "sockets"),
        ([REACTOR], "reactor"),
        (["main (/usr/lib/python3/runpy.py:1)"], "other"),
    ],
)
def test_a_stack_is_in_the_stage_of_its_innermost_frame(frames, expected):
    assert stage(frames) == expected


def test_samples_are_summed_and_those_of_waiting_threads_left_out():
    stacks = [
        f"{REACTOR};f (/x/jitgate/core/policy.py:1) 3",
        f"{REACTOR};g (/x/jitgate/core/policy.py:2) 4",
        "main (/x/jitgate/cli/serve.py:1);Reactor.doIteration (/x/jitgate/reactor.py:26) 50",
        "Worker._work (/x/jitgate/service.py:99) 60",
    ]
    assert by_stage(stacks) == {"policy": 7}


def test_shares_are_of_the_whole():
    lines = shares(by_stage(["f (/x/jitgate/core/policy.py:1) 3", "f (/x/twisted/x.py:1) 1"]))
    assert lines[2:] == ["| policy | 75.0 % |", "| reactor | 25.0 % |"]
