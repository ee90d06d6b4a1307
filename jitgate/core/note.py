"""Signed notes and tree checkpoints, as C2SP's signed-note and tlog-checkpoint describe them.

A checkpoint is three lines of text (origin, tree size, root) under an Ed25519 signature. Any reader
of those two formats can check ours. Parsing takes exactly one spelling of everything.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from jitgate.core.merkle import HASH_BYTES
from jitgate.errors import JitgateError

NOTE_BYTES = 64 * 1024
"""The largest note that is read; a checkpoint with a hundred witnesses has a fifth of it."""

_ED25519 = b"\x01"
"""The signature type of signed-note that says Ed25519."""

_ID_BYTES = 4
_PUBLIC_BYTES = 32
_DASH = "\N{EM DASH} "
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class NoteInvalid(JitgateError):
    """A note, a checkpoint or a verifier key is not what it should be; the message says how."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A named Ed25519 public key (32 bytes) that notes are checked with."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise NoteInvalid(f"{self.name!r} is not a key name: no spaces and no plus signs")
        if len(self.public) != _PUBLIC_BYTES:
            raise NoteInvalid("an Ed25519 public key has 32 bytes")

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read ``name+id+key``, one line with or without its newline; raises `NoteInvalid`."""
        name, plus, rest = text.removesuffix("\n").partition("+")
        key_id, second_plus, encoded = rest.partition("+")
        if not (plus and second_plus):
            raise NoteInvalid("a verifier key has the form name+id+key")
        blob = _unbase64(encoded, "verifier key")
        if blob[:1] != _ED25519:
            raise NoteInvalid("the verifier key is not of the type Ed25519")
        key = cls(name, blob[1:])
        if key.id.hex() != key_id:
            raise NoteInvalid("the verifier key's id does not belong to its name and key")
        return key

    @property
    def id(self) -> bytes:
        """The four bytes that signature lines name the key by."""
        blob = self.name.encode() + b"\n" + _ED25519 + self.public
        return sha256(blob).digest()[:_ID_BYTES]

    @property
    def text(self) -> str:
        """The key as one line for people and files, without a newline."""
        return f"{self.name}+{self.id.hex()}+{_base64(_ED25519 + self.public)}"


@dataclass(frozen=True, slots=True)
class Signer:
    """A named Ed25519 private key."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self.private.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """The note: ``text``, which ends in a newline, a blank line and one signature line."""
        return signed_by(text, self)

    def line(self, text: str) -> str:
        """The signature line under ``text``."""
        signature = self.private.sign(text.encode())
        return f"{_DASH}{self.name} {_base64(self.verifier.id + signature)}\n"


def signed_by(text: str, *signers: Signer) -> str:
    """The note that all of these sign: ``text``, which ends in a newline, and a line for each."""
    _check_text(text)
    return "".join([text, "\n", *(each.line(text) for each in signers)])


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log's tree: whose log, how many leaves, which root (32 bytes)."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()
    """Further lines, which a reader may leave unread."""

    @property
    def text(self) -> str:
        """The body of the note that carries it."""
        lines = (self.origin, str(self.size), _base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read the body of a note; raises `NoteInvalid`."""
        if not text.endswith("\n"):
            raise NoteInvalid("a checkpoint ends in a newline")
        lines = text[:-1].split("\n")
        if len(lines) < 3 or not all(lines):
            raise NoteInvalid("a checkpoint has the lines origin, size and root, none empty")
        if not _SIZE.fullmatch(lines[1]):
            raise NoteInvalid("the checkpoint's size is not a decimal number")
        root = _unbase64(lines[2], "checkpoint's root")
        if len(root) != HASH_BYTES:
            raise NoteInvalid("the checkpoint's root has not 32 bytes")
        return cls(lines[0], int(lines[1]), root, tuple(lines[3:]))


def open_note(note: bytes, key: VerifierKey) -> str:
    """The text of a note that ``key`` has signed; raises `NoteInvalid` if it has not.

    Signatures by other keys are not looked at, as signed-note asks.
    """
    text, signatures = _split(note)
    found = [blob for name, blob in signatures if name == key.name and blob[:_ID_BYTES] == key.id]
    if not found:
        raise NoteInvalid(f"the note is not signed by {key.name} with the key {key.id.hex()}")
    public = Ed25519PublicKey.from_public_bytes(key.public)
    for blob in found:
        try:
            public.verify(blob[_ID_BYTES:], text.encode())
        except InvalidSignature:
            raise NoteInvalid(f"the signature by {key.name} does not fit the note") from None
    return text


def open_checkpoint(note: bytes, key: VerifierKey) -> Checkpoint:
    """The checkpoint in a note that ``key`` has signed, for the log named like the key.

    Raises `NoteInvalid`.
    """
    checkpoint = Checkpoint.parse(open_note(note, key))
    if checkpoint.origin != key.name:
        raise NoteInvalid(f"the checkpoint is for the log {checkpoint.origin}, not {key.name}")
    return checkpoint


def unsigned_checkpoint(note: bytes) -> Checkpoint:
    """What a note says, whoever has signed it, if anybody; raises `NoteInvalid`."""
    text, _ = _split(note)
    return Checkpoint.parse(text)


def _split(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    if len(note) > NOTE_BYTES:
        raise NoteInvalid(f"the note is longer than {NOTE_BYTES} bytes")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise NoteInvalid("the note is not UTF-8") from None
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise NoteInvalid("the note has no signature lines behind a blank line")
    _check_text(text + "\n")
    return text + "\n", [_signature(line) for line in lines[:-1].split("\n")]


def _signature(line: str) -> tuple[str, bytes]:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not (line.startswith(_DASH) and space and _NAME.fullmatch(name)):
        raise NoteInvalid("a signature line has the form \N{EM DASH} name signature")
    blob = _unbase64(encoded, "signature")
    if len(blob) <= _ID_BYTES:
        raise NoteInvalid("the signature is too short")
    return name, blob


def _check_text(text: str) -> None:
    if not text.endswith("\n") or _CONTROL.search(text):
        raise NoteInvalid(
            "a note's text is lines that end in a newline, without control characters"
        )


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def _unbase64(text: str, what: str) -> bytes:
    """Decode the one canonical spelling: padded, and no stray bits in the last character."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        raise NoteInvalid(f"the {what} is not base64") from None
    if _base64(data) != text:
        raise NoteInvalid(f"the {what} is not in the one canonical base64 form")
    return data
