"""How much, and for how long: every bound on agents, targets and the gateway's own work.

One frozen value is handed to whoever holds a bound. Each default stands here with its reason, and
each can be set in the configuration under ``limits``; what waits for people has its bounds under
``approvals``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jitgate.core.heads import HEAD_BYTES, HEAD_FIELDS


@dataclass(frozen=True, slots=True)
class Limits:
    """Durations are seconds, sizes are bytes."""

    head_bytes: int = HEAD_BYTES
    """Of a message's head, or of its trailers, on both sides."""

    head_fields: int = HEAD_FIELDS
    """Fields of a head, or of the trailers, on both sides."""

    body_bytes: int = 1024 * 1024 * 1024
    """Of a request's body. Files that APIs take are smaller; a body without an end is an attack."""

    message_bytes: int = 1024 * 1024
    """Of a WebSocket's message, in each direction: it is held whole, to be looked at and kept."""

    connect: float = 15.0
    """From the connection to the end of the CONNECT's head."""

    handshake: float = 15.0
    """For the agent's TLS handshake."""

    idle: float = 75.0
    """From one exchange to the next request's first byte; SDKs keep idle connections about 60."""

    head: float = 15.0
    """From a request's first byte to the end of its head: SDKs write a head at once."""

    stalled: float = 60.0
    """That an exchange waits for an agent that sends nothing more, or has not taken what waits for
    it: 64 KiB at most, so that one that takes less than 1 KiB a second holds nothing for long."""

    total: float = 3600.0
    """Of an exchange, but for the time that people take. Event streams and large downloads last;
    an hour is what the gateway grants them before their agent has to come anew."""

    closing: float = 10.0
    """That an agent has to take the last bytes, or to stop sending, before it is cut off."""

    stop: float = 10.0
    """From the word to stop to the end of the process: what runs is given most of it to end."""

    dial: float = 10.0
    """For any address of a target to accept; three round trips across the world take one."""

    dial_handshake: float = 10.0
    """For the TLS handshake with a target."""

    silence: float = 300.0
    """Without a byte of the response after which a target is given up; long polls take 60. And
    without a word of either side after which a WebSocket is ended; most ping every 20 to 60."""

    connections: int = 20_000
    """Tunnels of proved agents, of all together: as many as calls may wait for people."""

    connections_per_agent: int = 2_000
    """Tunnels of one agent: half of ``exchanges``, so that no agent takes them all."""

    unproved: int = 1_000
    """Connections that have not proved who they are, or were refused. They have their own share,
    and the oldest makes room: proved agents are not locked out, and a connection needs to prove
    itself only before so many others come."""

    http2_streams: int = 100
    """Exchanges at once on one HTTP/2 connection; what clients count on before they are told."""

    http2_resets: int = 20
    """A second, of an HTTP/2 connection: requests that the agent gives up, that are malformed or
    more than `http2_streams`. For 10 seconds as many at once: all that an SDK has open, twice."""

    http2_frames: int = 100
    """A second, of an HTTP/2 connection: frames that carry nothing (PING, SETTINGS, PRIORITY, empty
    DATA) beside those that answer DATA. For 10 seconds as many at once; a client needs a few."""

    exchanges: int = 4_000
    """Exchanges carried at once, but for those that wait for people. One takes some 100 KiB, and up
    to 2 MiB while the record keeps its bodies."""

    exchanges_per_agent: int = 2_000
    """Of one agent: half of ``exchanges``. One connection of HTTP/2 carries many."""

    masking_bytes: int = 512 * 1024 * 1024
    """Of all responses together, beyond 64 KiB of each: what decoders keep, and what waits for its
    end to be looked at. What a gateway can spare beside its connections."""

    def share(self, workers: int) -> Limits:
        """What one of so many workers may carry, so that all of them carry no more than this."""
        return replace(
            self,
            connections=share(self.connections, workers),
            connections_per_agent=share(self.connections_per_agent, workers),
            unproved=share(self.unproved, workers),
            exchanges=share(self.exchanges, workers),
            exchanges_per_agent=share(self.exchanges_per_agent, workers),
            masking_bytes=share(self.masking_bytes, workers),
        )


def share(bound: int, workers: int) -> int:
    """One worker's part of what is a bound for all of them: rounded up, so that it is never 0."""
    return -(-bound // workers)


LIMITS = Limits()
"""The bounds where nothing is configured."""
