from __future__ import annotations

import pytest

from bench.profile import THREAD, by_stage, spread, stage, table

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


def test_samples_are_summed():
    stacks = [
        f"{REACTOR};f (/x/jitgate/core/policy.py:1) 3",
        f"{REACTOR};g (/x/jitgate/core/policy.py:2) 4",
        REACTOR + " 5",
    ]
    assert by_stage(stacks) == {"policy": 7, "reactor": 5}


def test_the_reactors_time_is_spread_over_its_samples():
    found = by_stage(["f (/x/jitgate/core/policy.py:1) 3", "f (/x/twisted/x.py:1) 1"])
    costs = spread(found, 100.0, 40.0)
    assert costs == {"policy": 75, "reactor": 25, THREAD: 40}
    assert table(costs)[2:] == [
        "| policy | 75.0 | 53.6 % |",
        f"| {THREAD} | 40.0 | 28.6 % |",
        "| reactor | 25.0 | 17.9 % |",
        "| a request | 140.0 | 100.0 % |",
    ]
