"""Another CA in the place of the old one: agents trust both before leaves change, and after.

Each step is a change of files in the state folder, whole or not there, which the gateway takes up
with a reload. What stands half-way after a power cut is done by doing the step again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from jitgate.errors import StateUnusable
from jitgate.proxy.authority import (
    CERTIFICATES,
    KEY,
    NEXT,
    NEXT_AT,
    NEXT_KEY,
    Signers,
    made,
    pem_of,
    place,
    read,
    sync,
)

Put = Callable[[Path, bytes, int], None]
"""Makes a file appear, whole and durably, with that mode."""


def begin(folder: Path, now: float, switch_at: float, *, put: Put = place) -> Signers:
    """Make the next CA, which signs from that moment on. Raises `StateUnusable`."""
    found = read(folder)
    if found.following is not None:
        raise StateUnusable("Another CA is on its way already: retire the old one, or cancel it.")
    signer = made(datetime.fromtimestamp(now, UTC))
    put(folder / NEXT_KEY, pem_of(signer.key), 0o600)
    put(folder / NEXT, pem_of(signer.certificate), 0o644)
    moment = datetime.fromtimestamp(switch_at, UTC).isoformat(timespec="seconds")
    # With this it counts, and not before.
    put(folder / NEXT_AT, f"{moment}\n".encode("ascii"), 0o644)
    return _bundled(folder, put)


def cancel(folder: Path, now: float, *, put: Put = place) -> Signers:
    """Go on with the CA that signs. Raises `StateUnusable` once the next one does."""
    found = _on_its_way(folder)
    if now >= found.switch_at:
        raise StateUnusable("The next CA signs already: retire the old one.")
    put(folder / CERTIFICATES, pem_of(found.first.certificate), 0o644)
    _forget(folder)
    return read(folder)


def retire(folder: Path, now: float, *, put: Put = place) -> Signers:
    """Trust the old CA no more, and destroy its key. Raises `StateUnusable` while it signs."""
    found = _on_its_way(folder)
    following = found.following
    if following is None or now < found.switch_at:
        at = datetime.fromtimestamp(found.switch_at, UTC).isoformat(timespec="seconds")
        raise StateUnusable(f"The old CA signs until {at}: it can be retired after that.")
    put(folder / KEY, pem_of(following.key), 0o600)
    put(folder / CERTIFICATES, pem_of(following.certificate), 0o644)
    _forget(folder)
    return read(folder)


def _on_its_way(folder: Path) -> Signers:
    found = read(folder)
    if found.following is None:
        raise StateUnusable("No other CA is on its way: jitgate ca rotate makes one.")
    return found


def _bundled(folder: Path, put: Put) -> Signers:
    """Have the file that agents are given hold all that they must trust."""
    found = read(folder)
    put(folder / CERTIFICATES, b"".join(map(pem_of, found.trusted)), 0o644)
    return found


def _forget(folder: Path) -> None:
    """The next one is none any more; the file by which it counts goes first."""
    for name in (NEXT_AT, NEXT, NEXT_KEY):
        (folder / name).unlink(missing_ok=True)
    sync(folder)
