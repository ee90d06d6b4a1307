"""Name servers on the loopback address: dnslib's, with what a test puts into them."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, A
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

POLL = 0.01
"""Seconds after which a server notices that it is to stop; its own way takes half a second."""

NO_LOG = DNSLogger(log="-request,-reply,-truncated,-error,-recv,-send,-data", prefix=False)
KINDS = {"A": A, "AAAA": AAAA, "CNAME": CNAME}


class Handler(DNSHandler):  # type: ignore[misc]
    """Cuts what is too long for a datagram, as servers do."""

    udplen = 512


class Zone(BaseResolver):  # type: ignore[misc]
    """Answers with records that stand as `name kind value` lines; what it was asked is kept."""

    def __init__(self, *lines: str, rcode: str = "NOERROR", also: Sequence[str] = ()) -> None:
        self.records = [line.split() for line in lines]
        self.also = [line.split() for line in also]
        self.rcode = rcode
        self.asked: list[tuple[str, str, str]] = []

    def resolve(self, request: Any, handler: Any) -> Any:
        name, kind = str(request.q.qname).rstrip("."), QTYPE[request.q.qtype]
        self.asked.append((name, kind, handler.protocol))
        reply = request.reply()
        reply.header.rcode = getattr(RCODE, self.rcode)
        found = [each for each in self.records if each[0] == name and each[1] in (kind, "CNAME")]
        for owner, what, value in found + self.also:
            reply.add_answer(RR(owner, getattr(QTYPE, what), rdata=KINDS[what](value), ttl=60))
        return reply


@contextmanager
def served(zone: Zone, address: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    """A server by UDP and TCP on one port."""
    with free_port(address) as port:
        pass
    servers = [
        DNSServer(zone, port=port, address=address, tcp=tcp, logger=NO_LOG, handler=Handler)
        for tcp in (False, True)
    ]
    for server in servers:
        Thread(target=server.server.serve_forever, args=(POLL,), daemon=True).start()
    try:
        yield address, port
    finally:
        for server in servers:
            server.server.shutdown()
            server.server.server_close()


@contextmanager
def free_port(address: str) -> Iterator[int]:
    """A port where nobody listens."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as taken:
        taken.bind((address, 0))
        yield taken.getsockname()[1]
