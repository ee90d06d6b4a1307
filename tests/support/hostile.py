"""Tokens that attackers make: each of the vectors, made with keys of a test's own."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.jwts import SigningKey, base64url

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors/tokens/hostile.json").read_text()
)
"""``reason`` is a part of what the refusal says."""


EDITS: dict[str, Callable[[list[str]], str]] = {
    "pad-header": lambda parts: f"{parts[0]}=.{parts[1]}.{parts[2]}",
    "pad-signature": lambda parts: f"{parts[0]}.{parts[1]}.{parts[2]}==",
    "newline": lambda parts: f"{parts[0]}.{parts[1][:8]}\n{parts[1][8:]}.{parts[2]}",
    "alphabet": lambda parts: f"{parts[0]}.{parts[1]}.{parts[2][:-2]}+/",
    # 64 bytes end with a letter of which four bits are used: only A, Q, g, w are it.
    "bits": lambda parts: f"{parts[0]}.{parts[1]}.{parts[2][:-1]}{chr(ord(parts[2][-1]) + 1)}",
    "two": lambda parts: f"{parts[0]}.{parts[1]}",
    "four": lambda parts: f"{parts[0]}.{parts[1]}.{parts[2]}.e30",
    "five": lambda parts: f"{parts[0]}..{parts[1]}.{parts[2]}.e30",
    "json": lambda parts: json.dumps(
        dict(zip(("protected", "payload", "signature"), parts, strict=True))
    ),
}
"""Other spellings of a sound token, by the word in ``edit``."""


ROOM = 11_500
"""Bytes of a claim that makes a token as long as it may be."""


def _many(piece: str, around: str = "[]") -> str:
    """As many pieces, with a number each if they want one, as fit into a list."""
    first = piece.format(0x1000)
    listed = (piece.format(0x1000 + number) for number in range(ROOM // (len(first) + 1)))
    return f"{around[0]}{','.join(listed)}{around[1]}"


HEAVY: dict[str, str] = {
    "lists in lists": "[" * 900 + "]" * 900,
    "objects in objects": '{"a":' * 900 + "1" + "}" * 900,
    "lists without end": "[" * ROOM,
    "objects, as many as there may be": "[" + "{}," * 1_000 + "1]",
    "objects, each with a member": "[" + '{"":1},' * 1_000 + "1]",
    "more objects than there may be": _many("{{}}"),
    "numbers": _many("1"),
    "numbers with exponents": _many("1.5e-300"),
    "long numbers": _many("9" * 4_299),
    "a number with a long fraction": "1." + "9" * ROOM,
    "members": _many('"{:x}":1', "{}"),
    "texts": _many('"{:x}"'),
    "a text": '"' + "a" * ROOM + '"',
    "a text of escapes": '"' + r"\u00e9" * (ROOM // 6) + '"',
    "a text with half a pair at its end": '"' + "a" * (ROOM - 8) + r'\ud800"',
}
"""Claims that take long to read, as JSON; nothing else is wrong with most of them."""


@dataclass(frozen=True)
class Forge:
    """Makes them, as if of one issuer that signs with ``key`` (ES256, under the id ``k1``)."""

    issuer: str
    key: SigningKey
    now: int

    def token(self, vector: dict[str, Any]) -> str:
        """The token of a vector."""
        header = vector["header"].encode(vector.get("header_encoding", "utf-8"))
        claims = self._filled(vector["claims"]).encode(vector.get("encoding", "utf-8"))
        over = f"{base64url(header)}.{base64url(claims)}"
        signature = self._signature(vector.get("sign", "ours"), over.encode())
        edit = EDITS[vector["edit"]] if "edit" in vector else ".".join
        return edit([*over.split("."), base64url(signature)])

    def heavy(self) -> dict[str, str]:
        """Tokens that take long to read, by name: signed by the issuer, and expired at the end."""
        start = self._filled('"iss":"@ISS@","aud":"jitgate","sub":"bot-7","exp":@PAST@')
        header = b'{"alg":"ES256","kid":"k1"}'
        return {
            name: self.key.signed(header, f'{{{start},"x":{claim}}}'.encode())
            for name, claim in HEAVY.items()
        }

    def _filled(self, claims: str) -> str:
        places = {"ISS": self.issuer, "NOW": self.now, "EXP": self.now + 600, "PAST": self.now - 1}
        for name, value in places.items():
            claims = claims.replace(f"@{name}@", str(value))
        return claims

    def _signature(self, how: str, over: bytes) -> bytes:
        match how:
            case "ours":
                return self.key.signature(over)
            case "other":
                return SigningKey.es256("k1").signature(over)
            case "der":
                return bytes(self.key.private.sign(over, ec.ECDSA(hashes.SHA256())))
            case "zeros":
                return bytes(64)
            case "hmac":
                pem = self.key.private.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
                return hmac.digest(pem, over, "sha256")
            case "nothing":
                return b""
        raise ValueError(how)
