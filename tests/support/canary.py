"""Looks for secrets, in every way that they may be spelled, in all that anybody could read."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

SHORTEST = 16
"""Bytes of the shortest part of a secret that is looked for: less may stand anywhere."""


class Canary:
    """Knows secrets by what they are, and says where one of them stands."""

    def __init__(self) -> None:
        self._secrets: dict[bytes, str] = {}

    def keep(self, what: str, secret: str) -> None:
        """Look for this one from now on, however it is spelled."""
        for form in _forms(secret.encode("latin-1")):
            self._secrets.setdefault(form, what)

    def keep_jwt(self, what: str, jwt: str) -> None:
        """Look for each part of a JWT, and so for the whole: its header alone says nothing."""
        for part in jwt.split(".")[1:]:
            self.keep(what, part)

    def keep_key(self, what: str, pem: Path) -> None:
        """Look for a private key: the lines of its file, and the number that is the secret."""
        text = pem.read_text()
        for line in text.splitlines()[1:-2]:  # the last one may be too short
            self.keep(what, line)
        key = load_pem_private_key(text.encode(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        numbers = key.private_numbers()
        number = numbers.d if isinstance(numbers, rsa.RSAPrivateNumbers) else numbers.private_value
        raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
        for form in (raw.decode("latin-1"), str(number), raw.hex(), raw.hex().upper()):
            self.keep(what, form)

    @property
    def kept(self) -> set[str]:
        """What is looked for."""
        return set(self._secrets.values())

    def found(self, places: Mapping[str, bytes]) -> set[tuple[str, str]]:
        """What stands where."""
        return {
            (what, place)
            for place, data in places.items()
            for reading in _readings(data)
            for secret, what in self._secrets.items()
            if secret in reading
        }


def _forms(secret: bytes) -> Iterator[bytes]:
    """A secret as it is, and in base64 wherever it begins in what was encoded."""
    assert len(secret) >= SHORTEST, "it would be found anywhere"
    yield secret
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            begun = (3 - before) % 3  # bytes of it that share a group with what stands before
            groups = (len(secret) - begun) // 3
            yield encode(secret[begun : begun + 3 * groups])


def _readings(data: bytes) -> set[bytes]:
    """The data as it is, and as whoever decodes JSON or URLs in it reads it, escaped or not."""
    in_json = re.sub(rb"\\u00([0-9a-fA-F]{2})", _byte, data)
    in_json = re.sub(rb'\\(["/\\])', rb"\1", in_json)
    in_url = re.sub(rb"%([0-9a-fA-F]{2})", _byte, data)
    return {data, in_json, in_url, in_url.replace(b"+", b" ")}


def _byte(escape: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escape[1].decode())


def files_under(folder: Path) -> dict[str, bytes]:
    """Every file, whatever its kind, by its path."""
    files = (each for each in sorted(folder.rglob("*")) if each.is_file())
    return {str(each.relative_to(folder)): each.read_bytes() for each in files}
