"""Name servers that the operator names: dnslib's, on the loopback address, by UDP and TCP."""

from __future__ import annotations

import socket
import threading

import pytest
from dnslib import AAAA, QTYPE, RR, A, DNSRecord
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.names import Zone, free_port, served
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.names import dns

from jitgate.errors import UpstreamUnreachable
from jitgate.upstreams.nameservers import CHAIN, Nameservers, answer_to, followed
from jitgate.upstreams.resolving import RESOLVE_WITHIN


async def resolved(*servers, name="api.example"):
    return await Nameservers(reactor, reactor, servers)(name)


@ensureDeferred
async def test_all_addresses_of_both_families_are_found():
    zone = Zone(
        "api.example A 8.8.8.8", "api.example A 8.8.4.4", "api.example AAAA 2606:4700::1111"
    )
    with served(zone) as server:
        found = await resolved(server, name="API.example")
    assert sorted(found) == ["2606:4700::1111", "8.8.4.4", "8.8.8.8"]
    assert sorted(zone.asked) == [("api.example", "A", "udp"), ("api.example", "AAAA", "udp")]


@ensureDeferred
async def test_a_name_of_one_family_is_found():
    with served(Zone("api.example A 8.8.8.8")) as server:
        assert await resolved(server) == ["8.8.8.8"]


@ensureDeferred
async def test_an_answer_that_is_too_long_for_a_datagram_comes_by_tcp():
    addresses = [f"8.8.{number}.8" for number in range(100)]
    zone = Zone(*(f"api.example A {each}" for each in addresses))
    with served(zone) as at:
        found = await resolved(at)
    assert sorted(found) == sorted(addresses)
    assert ("api.example", "A", "tcp") in zone.asked


@ensureDeferred
async def test_a_chain_of_names_is_followed_to_its_addresses():
    chain = (
        "b.edge.example A 10.0.0.1",
        "a.edge.example A 8.8.8.8",
        "api.example CNAME Edge.example",
        "edge.example CNAME a.edge.example",
    )
    zone = Zone(also=chain)
    with served(zone) as server:
        assert await resolved(server) == ["8.8.8.8"]


@ensureDeferred
async def test_a_chain_that_an_answer_leaves_open_is_asked_on():
    zone = Zone("api.example CNAME edge.example", "edge.example AAAA 2606:4700::1111")
    with served(zone) as server:
        assert await resolved(server) == ["2606:4700::1111"]


@pytest.mark.parametrize(
    "records",
    [
        ["api.example CNAME api.example"],
        ["api.example CNAME b.example", "b.example CNAME api.example"],
        [f"{n}.example CNAME {n + 1}.example" for n in range(2 * CHAIN)]
        + ["api.example CNAME 0.example"],
    ],
    ids=["to itself", "in a circle", "without an end"],
)
@ensureDeferred
async def test_a_chain_that_leads_nowhere_is_given_up(records):
    zone = Zone(*records)
    with served(zone) as server, pytest.raises(UpstreamUnreachable):
        await resolved(server)
    assert len(zone.asked) <= 2 * (CHAIN + 1)


@ensureDeferred
async def test_what_an_answer_says_of_other_names_is_not_looked_at():
    zone = Zone("api.example A 8.8.8.8", also=["other.example A 10.0.0.1", ". A 10.0.0.2"])
    with served(zone) as server:
        assert await resolved(server) == ["8.8.8.8"]


@ensureDeferred
async def test_a_name_that_there_is_not_has_no_address():
    zone = Zone(rcode="NXDOMAIN")
    with served(zone) as server:
        assert await resolved(server) == []
    assert len(zone.asked) == 2, "what is known was asked again"


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"])
@ensureDeferred
async def test_a_server_that_cannot_say_is_passed_over(rcode):
    with served(Zone(rcode=rcode)) as bad, served(Zone("api.example A 8.8.8.8")) as good:
        assert await resolved(bad, good) == ["8.8.8.8"]


@ensureDeferred
async def test_a_server_that_is_down_is_passed_over():
    with free_port("127.0.0.1") as port, served(Zone("api.example A 8.8.8.8")) as good:
        assert await resolved(("127.0.0.1", port), good) == ["8.8.8.8"]


@ensureDeferred
async def test_where_no_server_can_say_the_name_is_unreachable():
    told = r"api\.example could not be resolved"
    with served(Zone(rcode="SERVFAIL")) as server, pytest.raises(UpstreamUnreachable, match=told):
        await resolved(server)


@ensureDeferred
async def test_servers_are_reached_by_ipv6():
    """dnslib's own server is of IPv4; the answer is made by it all the same."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.bind(("::1", 0))

        def answer():
            for _ in range(2):
                data, sender = server.recvfrom(512)
                asked = DNSRecord.parse(data)
                reply = asked.reply()
                if asked.q.qtype == QTYPE.AAAA:
                    reply.add_answer(RR("api.example", QTYPE.AAAA, rdata=AAAA("2606:4700::1111")))
                server.sendto(reply.pack(), sender)

        threading.Thread(target=answer, daemon=True).start()
        assert await resolved(server.getsockname()[:2]) == ["2606:4700::1111"]


# --- time


def silent_server():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    return server


@ensureDeferred
async def test_servers_that_are_silent_are_waited_for_no_longer_than_may_be():
    clock = Clock()
    with silent_server() as one, silent_server() as two:
        servers = [each.getsockname() for each in (one, two)]
        asking = Deferred.fromCoroutine(Nameservers(reactor, clock, servers)("api.example"))
        clock.pump([0.1] * int(RESOLVE_WITHIN * 10 + 1))
        with pytest.raises(UpstreamUnreachable):
            await asking
        for each in (one, two):
            each.setblocking(False)
            assert each.recv(512)
    assert not clock.getDelayedCalls()


@ensureDeferred
async def test_those_who_ask_at_once_share_an_answer_and_the_next_asks_anew():
    zone = Zone("api.example A 8.8.8.8")
    with served(zone) as server:
        resolve = Nameservers(reactor, reactor, [server])
        together = [Deferred.fromCoroutine(resolve("api.example")) for _ in range(10)]
        assert await gatherResults(together) == [["8.8.8.8"]] * 10
        assert len(zone.asked) == 2
        await resolve("api.example")
        assert len(zone.asked) == 4


# --- what is an answer


QUESTION = dns.Message(id=7, recDes=1)
QUESTION.addQuery(b"api.example", dns.A)


def reply(**changes):
    """dnslib's answer to the question, or to one that differs."""
    asked = DNSRecord.parse(QUESTION.toStr())
    asked.header.id = changes.get("id", 7)
    made = asked.reply()
    made.header.qr = changes.get("qr", 1)
    if "q" in changes:
        made.questions = changes["q"]
    made.add_answer(RR("api.example", QTYPE.A, rdata=A("8.8.8.8")))
    return made.pack()


def test_an_answer_is_one_to_the_question():
    answer = answer_to(QUESTION, reply())
    assert followed(answer, b"api.example", dns.A) == (["8.8.8.8"], b"api.example")


@pytest.mark.parametrize(
    "forged",
    [
        {"id": 8},
        {"qr": 0},
        {"q": []},
        {"q": [DNSRecord.question("other.example").q]},
        {"q": [DNSRecord.question("api.example", "AAAA").q]},
        {"q": [DNSRecord.question("api.example").q] * 2},
    ],
)
def test_an_answer_to_anything_else_is_not_looked_at(forged):
    assert answer_to(QUESTION, reply(**forged)) is None


@ensureDeferred
async def test_a_forged_answer_before_the_right_one_changes_nothing():
    """The server's own address is asked, so the kernel lets these through: the id is wrong."""
    right = Zone("api.example A 8.8.8.8")
    with silent_server() as server:

        def answer():
            for _ in range(2):
                data, sender = server.recvfrom(512)
                asked = DNSRecord.parse(data)
                forged = asked.reply()
                forged.header.id = (asked.header.id + 1) % 65536
                forged.add_answer(RR("api.example", QTYPE.A, rdata=A("10.0.0.1")))
                with silent_server() as elsewhere:  # right in all but where it comes from
                    spoofed = asked.reply()
                    spoofed.add_answer(RR("api.example", QTYPE.A, rdata=A("10.0.0.2")))
                    elsewhere.sendto(spoofed.pack(), sender)
                server.sendto(forged.pack(), sender)
                server.sendto(b"\x00" * 5, sender)
                server.sendto(
                    right.resolve(asked, type("By", (), {"protocol": "udp"})).pack(), sender
                )

        threading.Thread(target=answer, daemon=True).start()
        assert await resolved(server.getsockname()) == ["8.8.8.8"]


@given(st.binary(max_size=600), st.booleans())
def test_whatever_a_server_sends_is_an_answer_or_none(data, framed):
    """Nothing but ValueError gets out, which passes the server over."""
    if framed:
        data = QUESTION.toStr()[:2] + b"\x80\x00\x00\x01\x00\x01\x00\x00\x00\x00" + data
    answer = answer_to(QUESTION, data)
    if answer is not None:
        try:
            found, _ = followed(answer, b"api.example", dns.A)
        except ValueError:
            return
        assert all(each.count(".") == 3 for each in found)
