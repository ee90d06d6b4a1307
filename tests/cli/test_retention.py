"""What root says to the sealer is what root was asked to say, whatever the gateway answers."""

import json
import os
import socket
from threading import Thread

import pytest

from jitgate.cli import main

pytestmark = pytest.mark.needs_root


@pytest.fixture
def peers(tmp_path):
    """A gateway that answers with ``said``, and a sealer that says ok to all that it was ``asked``."""
    gateway = socket.socket(socket.AF_UNIX)
    sealer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made = {"said": [], "asked": [], "gateway": tmp_path / "g", "sealer": tmp_path / "s"}
    for listening, name in ((gateway, "gateway"), (sealer, "sealer")):
        listening.bind(os.fsencode(made[name]))
        listening.listen(1)

    def answer():
        with gateway.accept()[0] as peer:
            peer.makefile("rb").readline()
            lines = [{"ok": True, "segment": each} for each in made["said"]]
            for line in (*lines, {"ok": True, "end": True}):
                peer.sendall(json.dumps(line).encode() + b"\n")

    def seal():
        with sealer.accept()[0] as peer:
            while packet := peer.recv(500):
                made["asked"].append(packet.decode())
                peer.send(b"ok")

    threads = [Thread(target=answer), Thread(target=seal)]
    for each in threads:
        each.start()
    yield made
    for each in threads:
        each.join(10)
        assert not each.is_alive()
    gateway.close()
    sealer.close()


def release(peers, segment):
    where = ("--socket", str(peers["gateway"]), "--sealer", str(peers["sealer"]))
    return main(["retention", "release", segment, "--reason", "over", *where])


def test_of_a_log_all_segments_are_released_and_of_a_segment_that_one(peers):
    peers["said"] = ["B:0", "B:70"]
    assert release(peers, "B") == 0
    assert peers["asked"] == [
        "ping",
        "release B 000000000000.jsonl",
        "release B 000000000070.jsonl",
    ]


@pytest.mark.parametrize("other", ["A:0", "B:7", "BB:0", "B:0:0", "B", "B:x"])
def test_a_gateway_in_wrong_hands_ends_no_hold_that_root_did_not_mean(peers, capsys, other):
    peers["said"] = ["B:0", other]
    assert release(peers, "B:0") == 2
    assert peers["asked"] == ["ping"]
    assert "No hold has ended" in capsys.readouterr().err
