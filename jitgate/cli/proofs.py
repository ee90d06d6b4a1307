"""`jitgate proof`: proofs for people who have a checkpoint and the public key, and no recording."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from jitgate.cli.verdicts import GOOD, TAMPERED
from jitgate.cli.verification import public_key, read_key
from jitgate.core.note import VerifierKey
from jitgate.core.proofs import Consistency, Inclusion, ProofInvalid
from jitgate.core.visible import body_lines, visible
from jitgate.errors import StateUnusable
from jitgate.stores.proving import Prover


def consistency(arguments: argparse.Namespace) -> int:
    """Write a proof that the log only grew since the checkpoint OLD."""
    old = arguments.old.read_bytes()
    return _written(arguments, lambda prover: prover.consistency(old))


def inclusion(arguments: argparse.Namespace) -> int:
    """Write a proof that an entry is under the checkpoint."""
    log, _, seq = arguments.entry.rpartition(":")
    if not (log and seq.isascii() and seq.isdigit()):
        raise StateUnusable("Name the entry as LOG:SEQ, as `jitgate show` does.")
    return _written(arguments, lambda prover: prover.inclusion(log, int(seq)))


def check(arguments: argparse.Namespace) -> int:
    """Check a proof: 0 if it shows what it says, 1 if not, 2 if that could not be told."""
    before, data = [read_key(each) for each in arguments.key_before], arguments.proof.read_bytes()
    keys = [public_key(arguments), *before]
    try:
        if data.startswith(b"old "):
            _grown(Consistency.parse(data), keys, arguments.since)
        else:
            _included(Inclusion.parse(data), keys, arguments.since)
    except ProofInvalid as error:
        print(f"NOT SHOWN: {visible(str(error))}")
        return TAMPERED
    return GOOD


def _included(proof: Inclusion, keys: Sequence[VerifierKey], kept: Path | None) -> None:
    key, *before = keys
    checkpoint = proof.check(key, None if kept is None else kept.read_bytes(), *before)
    entry = proof.steps[0]
    print(
        f"Shown: entry {entry.seq} of the log {visible(entry.log)} stands in the recording of "
        f"{visible(checkpoint.origin)}, under its checkpoint of {checkpoint.size} entries:"
    )
    for line in body_lines(entry.line):
        print(f"  {line}")


def _grown(proof: Consistency, keys: Sequence[VerifierKey], since: Path | None) -> None:
    key, *before = keys
    if since is None:
        raise StateUnusable("Give the checkpoint that you kept with --since OLD.")
    old, new = proof.check(key, since.read_bytes(), *before)
    print(
        f"Shown: the site log of {visible(new.origin)} with {new.size} entries begins with "
        f"the {old.size} entries of the checkpoint that you kept."
    )


def _written(
    arguments: argparse.Namespace, prove: Callable[[Prover], Consistency | Inclusion]
) -> int:
    if not arguments.path.is_dir():
        raise StateUnusable(f"There is no folder {arguments.path}.")
    note = arguments.checkpoint.read_bytes() if arguments.checkpoint else None
    try:
        proof = prove(Prover(arguments.path, public_key(arguments), note))
    except ProofInvalid as error:
        raise StateUnusable(f"That cannot be proved: {visible(str(error))}.") from None
    sys.stdout.write(proof.text.decode())
    return GOOD
