"""Standard Webhooks 1.0.0: whose a message is, when it was sent, and that it is whole.

Sections are those of spec/standard-webhooks.md (github.com/standard-webhooks/standard-webhooks).
Signed is with HMAC-SHA256 (``v1``) alone: whoever checks such a signature could make one, so that
each direction has keys of its own.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
"""The fields of a message ("Webhook headers")."""

TOLERANCE: Final = 300.0
"""Seconds by which a message's timestamp may differ from the time here: what the specification's
own libraries take."""

KEY_BYTES: Final = range(24, 65)
"""How many bytes a key may have ("Signature scheme")."""

SIGNATURES: Final = 10
"""Signatures of a message that are looked at: keys that are replaced are few."""

_PREFIX: Final = "whsec_"
_VERSION: Final = b"v1,"

_IDENTIFIER = re.compile(rb"[!-\-/-~]{1,128}")
"""Visible ASCII without full stops: these part what is signed."""

_SECONDS = re.compile(rb"0|[1-9][0-9]{0,10}")

Fields = Mapping[str, Sequence[bytes]]
"""A message's fields by their names in lower case: every value that stands there."""


@dataclass(frozen=True, slots=True)
class Proved:
    """A message that was signed with one of the keys, not long ago."""

    id: str
    """The same however often it is sent."""


@dataclass(frozen=True, slots=True)
class NotProved:
    """Why it is not known whose a message is, in a sentence."""

    why: str


def key_of(secret: str) -> bytes:
    """The key that a secret is written for: ``whsec_`` and its base64.

    Raises `ValueError`, with a sentence that holds nothing of the secret.
    """
    text = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        key = b""
    if text == secret or len(key) not in KEY_BYTES:
        least, most = KEY_BYTES[0], KEY_BYTES[-1]
        raise ValueError(f"this is no secret: whsec_ and the base64 of {least} to {most} bytes")
    return key


def signed(identifier: str, at: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The fields of a message that is sent at that time, in seconds since 1970.

    With a signature by each key, so that whoever checks them may have any ("Webhook headers").
    """
    stamp = f"{at}"
    content = _content(identifier.encode("ascii"), stamp.encode("ascii"), body)
    signatures = [(_VERSION + _signature(key, content)).decode("ascii") for key in keys]
    return {ID: identifier, TIMESTAMP: stamp, SIGNATURE: " ".join(signatures)}


def proved(fields: Fields, body: bytes, keys: Sequence[bytes], now: float) -> Proved | NotProved:
    """Whether a message that has come was signed with one of the keys, and lately.

    Nothing is told of it that needs no key to find out: the time is looked at last.
    """
    identifier, stamp, signatures = (_one(fields, name) for name in (ID, TIMESTAMP, SIGNATURE))
    if identifier is None or stamp is None or signatures is None:
        return NotProved(f"It needs {ID}, {TIMESTAMP} and {SIGNATURE}, each once.")
    if not _IDENTIFIER.fullmatch(identifier) or not _SECONDS.fullmatch(stamp):
        return NotProved(f"Its {ID} or its {TIMESTAMP} is none.")
    given = signatures.split(b" ")
    if len(given) > SIGNATURES:
        return NotProved(f"It has more than {SIGNATURES} signatures.")
    content = _content(identifier, stamp, body)
    expected = [_VERSION + _signature(key, content) for key in keys]
    # Each with each, whatever was found before: how long it takes tells nothing.
    same = [hmac.compare_digest(each, right) for each in given for right in expected]
    if not any(same):
        return NotProved("None of its signatures is by a key that is known here.")
    if abs(now - int(stamp)) > TOLERANCE:
        return NotProved(f"Its {TIMESTAMP} is more than {TOLERANCE:.0f} s from the time here.")
    return Proved(identifier.decode("ascii"))


def _one(fields: Fields, name: str) -> bytes | None:
    """The value of a field that stands there once: of two, others might look at another."""
    values = fields.get(name, ())
    return values[0] if len(values) == 1 else None


def _content(identifier: bytes, stamp: bytes, body: bytes) -> bytes:
    """What is signed ("Signature scheme")."""
    return b".".join((identifier, stamp, body))


def _signature(key: bytes, content: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key, content, "sha256"))
