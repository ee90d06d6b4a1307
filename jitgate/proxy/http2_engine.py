"""python-h2 as it is used here: it keeps the states of streams and windows, and codes heads.

What a request may say is not left to it (`jitgate.core.http2_heads`), and no more than one frame
is given to it at once: so a fault is known to be of one stream. What it would take for the end of
the connection, and is not, is kept from it: Content-Length, and the peer's GOAWAY.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import Event
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.struct import HeaderTuple
from hyperframe.frame import GoAwayFrame

from jitgate.core.http2_frames import FRAME, Broken, Code
from jitgate.core.http2_heads import list_size
from jitgate.core.limits import Limits
from jitgate.errors import AgentGone, HeadTooLarge

WINDOW = 64 * 1024 - 1
"""Bytes of one request's body that may come before somebody asks for them."""

SHARED_WINDOW = 1024 * 1024
"""Bytes of all bodies together that may be on their way. They are let in at once: what waits here
is bounded by each request's own window, so that one that waits holds back none of the others."""

TABLE = 4096
"""Bytes of fields that are remembered of heads that were sent; agents may allow gigabytes, and each
field of each head is compared with all that is remembered."""

CLOSED = 1_000
"""Streams of which it is remembered how they ended: what was on its way has come long since."""

_RESIZED = re.compile(rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f]){3}")
"""A third change of the table's size before a head, where two say all (RFC 7541, section 4.2)."""

_NO_LENGTH = b"content-length"


class _Heads(Decoder):
    """Decodes heads, and keeps their Content-Length to itself.

    It is held to the body elsewhere, where a wrong one is the fault of its stream alone.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.fields: Sequence[tuple[bytes, bytes]] = ()

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        if _RESIZED.match(data):
            raise Broken("A head changes the table's size again and again.", Code.COMPRESSION_ERROR)
        try:
            fields = list(super().decode(data, raw))
        except OversizedHeaderListError:
            raise HeadTooLarge("A head is larger than it may be, once it is decoded.") from None
        except HPACKError:  # what it says holds bytes of the head
            raise Broken("A head cannot be decoded.", Code.COMPRESSION_ERROR) from None
        self.fields = fields
        return [field for field in fields if field[0] != _NO_LENGTH]


class _Coder(Encoder):
    """Codes heads, and remembers no more of them than `TABLE`, whatever the agent allows."""

    @property
    def header_table_size(self) -> int:
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        Encoder.header_table_size.fset(self, min(value, TABLE))  # type: ignore[attr-defined]


class _Connection(H2Connection):
    MAX_CLOSED_STREAMS = CLOSED


class Engine:
    """The server's side of one HTTP/2 connection, without its bytes' way in and out."""

    def __init__(self, limits: Limits) -> None:
        most = list_size(limits.head_bytes, limits.head_fields)
        self._h2 = _Connection(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._heads = self._h2.decoder = _Heads(most)
        self._h2.encoder = _Coder()
        self._h2.local_settings = Settings(
            client=False, initial_values={SettingCodes.MAX_HEADER_LIST_SIZE: most}
        )
        self._h2.initiate_connection()
        # It holds the peer to it once that has said that it knows; before, streams are refused.
        self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: limits.http2_streams})
        self._received = 0
        self._out = b""
        self.let_in(SHARED_WINDOW - WINDOW)

    @property
    def last_stream(self) -> int:
        """The highest number of a stream that the agent has opened."""
        return self._h2.highest_inbound_stream_id

    @property
    def fields(self) -> Sequence[tuple[bytes, bytes]]:
        """All fields of the head, or of the trailers, that the last frame has completed."""
        return self._heads.fields

    # --- in

    def receive(self, frame: bytes) -> list[Event]:
        """What a frame means. Raises `Broken` or `HeadTooLarge`, which end it all."""
        self._out += self._h2.data_to_send()
        try:
            return self._h2.receive_data(frame)
        except ProtocolError as error:  # what it says may hold bytes of a head
            code = ErrorCodes(error.error_code)
        self._h2.clear_outbound_data_buffer()  # it says so to the agent; whoever calls does
        raise Broken(f"The connection broke HTTP/2 ({code.name}).", code)

    def let_in(self, size: int, stream: int | None = None) -> None:
        """So much more of a body may come; without a stream, of all of them together."""
        if stream is None:
            self._received += size
            if self._received < SHARED_WINDOW // 2:
                return
            size, self._received = self._received, 0
        with suppress(ProtocolError, KeyError):  # it has ended
            self._h2.increment_flow_control_window(size, stream)

    # --- out

    def room(self, stream: int) -> int:
        """Bytes of a body that the agent takes now. Raises as `head` does."""
        with _while_open():
            return max(0, self._h2.local_flow_control_window(stream))

    def head(self, stream: int, fields: list[tuple[bytes, bytes]], *, ends: bool) -> None:
        """Send a head, an interim one, or trailers. Raises `AgentGone` if the stream has ended."""
        with _while_open():
            self._h2.send_headers(stream, fields, ends)

    def data(self, stream: int, data: bytes, *, ends: bool) -> None:
        """Send a part of a body for which there is `room`. Raises as `head` does."""
        most = min(FRAME, self._h2.max_outbound_frame_size)
        pieces = [data[at : at + most] for at in range(0, len(data), most)] or [b""]
        with _while_open():
            for piece in pieces[:-1]:
                self._h2.send_data(stream, piece)
            self._h2.send_data(stream, pieces[-1], ends)

    def reset(self, stream: int, code: Code) -> None:
        """End a stream short, or ask for no more of its request."""
        with suppress(ProtocolError):  # it has ended
            self._h2.reset_stream(stream, int(code))

    def taken(self) -> bytes:
        """What is to be sent."""
        out, self._out = self._out + self._h2.data_to_send(), b""
        return out


@contextmanager
def _while_open() -> Iterator[None]:
    try:
        yield
    except (ProtocolError, KeyError):
        raise AgentGone("The stream has ended.") from None


def goaway(last_stream: int, code: int) -> bytes:
    """What says that streams after that one are not served; those before it go on.

    h2 would take the connection for closed once it has said so.
    """
    frame = GoAwayFrame(0, last_stream_id=last_stream, error_code=code)
    return bytes(frame.serialize())
