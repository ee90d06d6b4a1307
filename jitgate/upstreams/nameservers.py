"""Names become addresses: by the name servers that the configuration names (RFC 1035, 3596).

They are recursive resolvers. Each question has an id and a port of its own, taken at random, and
the kernel drops what comes from elsewhere; what answers another question is not looked at. The
messages are taken apart by `twisted.names.dns`; the way to ask is here, because the resolver there
takes an answer from anybody for anything (docs/decisions/0044).
"""

from __future__ import annotations

import ipaddress
import secrets
import struct
from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IReactorTCP, IReactorTime, IReactorUDP, ITCPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, connectionDone
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from jitgate.errors import UpstreamUnreachable
from jitgate.upstreams.resolving import RESOLVE_WITHIN, Shared

ANSWER_WITHIN = 1.5
"""Seconds for one server to answer once; what is lost on the way is asked again in time."""

ROUNDS = 2
"""How often each server is asked."""

DATAGRAM = 8192
"""Bytes of an answer by UDP that are read; 512 were asked for."""

CHAIN = 8
"""Questions that one name may lead to by CNAMEs that its answers leave open; two are usual."""

_LENGTHS = {dns.A: 4, dns.AAAA: 16}

Server = tuple[str, int]


class Nameservers:
    """Asks the servers, in their order, for all addresses of a name. Nothing is remembered."""

    def __init__(self, reactor: object, clock: IReactorTime, servers: Sequence[Server]) -> None:
        self._tcp = cast(IReactorTCP, reactor)
        self._udp = cast(IReactorUDP, reactor)
        self._clock = clock
        self._servers = tuple(servers)
        self._shared = Shared(clock)

    async def __call__(self, host: str) -> Sequence[str]:
        turn, first = self._shared.join(host)
        if first:
            asking = Deferred.fromCoroutine(self._addresses(host.lower().encode("ascii")))
            asking.addTimeout(RESOLVE_WITHIN, self._clock)
            asking.addBoth(lambda result: self._shared.settle(host, result))
        try:
            return await turn
        except Exception as error:
            raise UpstreamUnreachable(f"The name {host} could not be resolved.") from error

    async def _addresses(self, name: bytes) -> list[str]:
        """Of both families. If one cannot be had, the other will do: all of it is checked."""
        families = [Deferred.fromCoroutine(self._family(name, kind)) for kind in _LENGTHS]
        try:
            results: list[Any] = await DeferredList(families, consumeErrors=True)
        finally:
            for each in families:
                each.cancel()
        found = [address for good, addresses in results if good for address in addresses]
        faults = [result for good, result in results if not good]
        if faults and not found:
            faults[0].raiseException()
        return found

    async def _family(self, name: bytes, kind: int) -> list[str]:
        for _ in range(CHAIN):
            found, end = followed(await self._answer(name, kind), name, kind)
            if found or end == name:
                return found
            name = end
        raise ValueError("the name leads to too many others")

    async def _answer(self, name: bytes, kind: int) -> dns.Message:
        fault: Exception = ValueError("there is no name server")
        for server in self._servers * ROUNDS:
            question = dns.Message(id=secrets.randbelow(1 << 16), recDes=1)
            question.addQuery(name, kind)
            asking = Deferred.fromCoroutine(self._exchange(server, question))
            asking.addTimeout(ANSWER_WITHIN, self._clock)
            try:
                answer = await asking
            except Exception as error:  # noqa: BLE001 # one server's; another may do better
                fault = error
            else:
                if answer.rCode in {dns.OK, dns.ENAME}:
                    return answer
                fault = ValueError(f"the server answers {answer.rCode}")
        raise fault

    async def _exchange(self, server: Server, question: dns.Message) -> dns.Message:
        """One question to one server: by UDP, and by TCP where the answer is too long for it."""
        datagrams = _Datagrams(server, question)
        port = self._udp.listenUDP(0, datagrams, "::" if ":" in server[0] else "", DATAGRAM)
        try:
            answer = await datagrams.answered
        finally:
            port.stopListening()
        if not answer.trunc:
            return answer
        return await self._by_tcp(server, question)

    async def _by_tcp(self, server: Server, question: dns.Message) -> dns.Message:
        factory = Factory.forProtocol(lambda: _Stream(question))
        factory.noisy = False
        kind = TCP6ClientEndpoint if ":" in server[0] else TCP4ClientEndpoint
        stream = cast(_Stream, await kind(self._tcp, *server).connect(factory))
        try:
            return await stream.answered
        finally:
            stream.transport.abortConnection()


def followed(answer: dns.Message, name: bytes, kind: int) -> tuple[list[str], bytes]:
    """The addresses of a name in an answer, by way of its CNAMEs; and the name these end at.

    Records of other names are nobody's answer. Raises `ValueError` for what cannot be read.
    """
    records: list[Any] = [each for each in answer.answers if each.cls == dns.IN]
    cnames = {
        each.name.name.lower(): each.payload.name.name.lower()
        for each in records
        if each.type == dns.CNAME
    }
    passed = {name}
    while (further := cnames.get(name)) is not None:
        if further in passed:
            raise ValueError("the name leads back to itself")
        passed.add(further)
        name = further
    found = [each for each in records if (each.name.name.lower(), each.type) == (name, kind)]
    if any(each.rdlength != _LENGTHS[kind] for each in found):
        raise ValueError("an address has the wrong length")
    return [str(ipaddress.ip_address(each.payload.address)) for each in found], name


def answer_to(question: dns.Message, data: bytes) -> dns.Message | None:
    """What ``data`` says to a question; None if it is about anything else, or cannot be read."""
    message = dns.Message()
    try:
        message.fromStr(data)
    except Exception:  # noqa: BLE001 # the reader of records raises whatever it stumbles over
        return None
    if not message.answer or message.id != question.id:
        return None
    cut_short = message.trunc and not message.queries  # some leave out even the question
    return message if cut_short or message.queries == question.queries else None


class _Datagrams(DatagramProtocol):
    """A question by UDP."""

    noisy = False
    transport: Any

    def __init__(self, server: Server, question: dns.Message) -> None:
        self._server = server
        self._question = question
        self.answered: Deferred[dns.Message] = Deferred()

    def startProtocol(self) -> None:
        self.transport.connect(*self._server)  # from now on the kernel drops other senders' words
        self.transport.write(self._question.toStr())

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        answer = answer_to(self._question, datagram)
        if answer is not None and not self.answered.called:
            self.answered.callback(answer)

    def connectionRefused(self) -> None:
        if not self.answered.called:
            self.answered.errback(Refused())


class _Stream(Int16StringReceiver):
    """A question by TCP (RFC 7766)."""

    transport: ITCPTransport

    def __init__(self, question: dns.Message) -> None:
        self._question = question
        self.answered: Deferred[dns.Message] = Deferred()

    def connectionMade(self) -> None:
        data = self._question.toStr()
        self.transport.write(struct.pack("!H", len(data)) + data)

    def stringReceived(self, string: bytes) -> None:
        answer = answer_to(self._question, string)
        if answer is not None and not self.answered.called:
            self.answered.callback(answer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.answered.called:
            self.answered.errback(reason)
