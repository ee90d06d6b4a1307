"""Bodies as zstd frames, each under two digests: of the frame as it stands, of what it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256

from zstandard import (
    ZstdCompressor,
    ZstdDecompressor,
    ZstdError,
    frame_header_size,
    get_frame_parameters,
)

from jitgate.errors import JitgateError
from jitgate.values import Body

LEVEL = 1
"""zstd's fastest ordinary level: bodies are written while somebody waits."""

WINDOW_BYTES = 8 * 1024 * 1024
"""The largest window that is decoded (RFC 8878, 3.1.1.1.2, asks every decoder for this much)."""

PLAIN_BYTES = 4 * 1024 * 1024
"""The most that a frame holds, so that no reader needs much memory: four times what a gateway
keeps of a body. Of one that is longer the first bytes are kept."""

FRAME_BYTES = PLAIN_BYTES + PLAIN_BYTES // 128
"""The longest frame: zstd adds less than that to what it cannot make shorter."""

PIECE_BYTES = 256 * 1024
"""How much is unpacked at a time, whatever a frame claims to hold."""


class FrameInvalid(JitgateError):
    """A body is not what its entry says; the message says how."""


@dataclass(frozen=True, slots=True)
class BodyRef:
    """Where a body stands and what it must be, as its entry says. Lengths are in bytes."""

    file: str
    offset: int
    length: int
    sha256: str
    plain_length: int
    plain_sha256: str
    of: int
    """The length of the whole body, of which ``plain_length`` bytes were kept."""
    complete: bool

    @classmethod
    def parse(cls, content: object) -> BodyRef:
        """Read one member of an entry's ``bodies``; raises `FrameInvalid`."""
        if not isinstance(content, Mapping) or set(content) != _FIELDS:
            raise FrameInvalid("the body's reference has other fields than the format's")
        ref = cls(**content)
        numbers = (ref.offset, ref.length, ref.plain_length, ref.of)
        texts = (ref.file, ref.sha256, ref.plain_sha256)
        if not (
            all(type(number) is int and number >= 0 for number in numbers)
            and all(type(text) is str for text in texts)
            and type(ref.complete) is bool
        ):
            raise FrameInvalid("the body's reference has a field of a wrong type")
        if ref.length > FRAME_BYTES or ref.plain_length > PLAIN_BYTES:
            raise FrameInvalid("the body is longer than any that is written")
        return ref


_FIELDS = {field.name for field in fields(BodyRef)}


def pack(
    body: Body, compressor: ZstdCompressor, file: str, offset: int
) -> tuple[bytes, dict[str, object]]:
    """The frame of ``body``, and as it stands in the entry the reference to it in ``file``."""
    kept = body.data[:PLAIN_BYTES]
    frame = compressor.compress(kept)
    return frame, {
        "file": file,
        "offset": offset,
        "length": len(frame),
        "sha256": sha256(frame).hexdigest(),
        "plain_length": len(kept),
        "plain_sha256": sha256(kept).hexdigest(),
        "of": body.length,
        "complete": body.complete and len(kept) == len(body.data),
    }


def unpack(frame: bytes, ref: BodyRef) -> Iterator[bytes]:
    """What the frame holds, in pieces; raises `FrameInvalid` at the first difference to ``ref``.

    Nothing that is not what the writer wrote reaches the decompressor, and never more is unpacked
    than ``ref`` says.
    """
    if len(frame) != ref.length or sha256(frame).hexdigest() != ref.sha256:
        raise FrameInvalid("the frame's bytes are not those that were written")
    digest, length = sha256(), 0
    for piece in _pieces(frame):
        length += len(piece)
        if length > ref.plain_length:
            raise FrameInvalid("the frame holds more than its entry says")
        digest.update(piece)
        yield piece
    if (length, digest.hexdigest()) != (ref.plain_length, ref.plain_sha256):
        raise FrameInvalid("the frame holds something else than its entry says")


def _pieces(frame: bytes) -> Iterator[bytes]:
    decompressor = ZstdDecompressor(max_window_size=WINDOW_BYTES)
    try:
        if not _is_one(frame):
            raise FrameInvalid("the frame is not zstd, or not one alone")
        with decompressor.stream_reader(frame) as reader:
            while piece := reader.read(PIECE_BYTES):
                yield piece
    except ZstdError as error:
        raise FrameInvalid(f"the frame is not zstd: {error}") from None


def _is_one(frame: bytes) -> bool:
    """Whether this is one frame from its begin to its end (RFC 8878, section 3.1.1).

    Another one behind it, or one to be skipped, would be other bytes to another reader.
    """
    if frame[:4] != _MAGIC:
        return False
    at, last = frame_header_size(frame), 0
    while not last:
        header = int.from_bytes(frame[at : at + 3], "little")
        if at + 3 > len(frame):
            return False
        last, kind = header & 1, header >> 1 & 3
        at += 3 + (1 if kind == _REPEATED else header >> 3)
    return at + 4 * get_frame_parameters(frame).has_checksum == len(frame)


_MAGIC = b"\x28\xb5\x2f\xfd"

_REPEATED = 1
"""The kind of a block that is one byte, repeated."""
