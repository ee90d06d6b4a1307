"""`jitgate mask`: what an agent would see of the response on standard input, and why."""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence

from jitgate.app.offline import offline
from jitgate.app.offline_masking import KEY, PIECE, Masking, Seen, head_of, masking_of, seen
from jitgate.cli.bar import Bar
from jitgate.cli.configured import named_file
from jitgate.cli.mask_words import counted, masked_rows, seen_json
from jitgate.core.visible import visible
from jitgate.errors import ConfigurationInvalid, PeerFault
from jitgate.values import ResponseHead

GOOD, WITHHELD = 0, 1

JSON = "application/json"
"""What a body is taken for that nobody says anything about."""


def mask(arguments: argparse.Namespace) -> int:
    """Let standard input through; raises `ConfigurationInvalid` for what cannot be told."""
    head, assumed = _head(arguments)
    key = KEY if arguments.key is None else arguments.key.read_bytes()
    made = offline(named_file(arguments.config))
    masking = masking_of(made, _profiles(arguments), arguments.target, arguments.action)
    bar, out = Bar(), sys.stdout.buffer
    done = seen(masking, head, _pieces(sys.stdin.fileno(), bar), out.write, key)
    out.flush()
    bar.clear()
    _report(arguments, masking, done, assumed)
    return GOOD if done.why is None else WITHHELD


def _profiles(arguments: argparse.Namespace) -> Sequence[str]:
    problems = []
    if not arguments.profile:
        problems.append("Name who masks: --profile P, as a rule's `mask` would.")
    if (arguments.target is None) != (arguments.action is None):
        problems.append("--target and --action go together: what is secret is marked by action.")
    if problems:
        raise ConfigurationInvalid(problems)
    profiles: Sequence[str] = arguments.profile
    return profiles


# --- what comes in


_WITHOUT_REASON = re.compile(rb"HTTP/[23](?:\.0)? ([0-9]{3}) *")
"""How curl begins a head that came over HTTP/2 or HTTP/3, where there is no reason phrase."""


def _head(arguments: argparse.Namespace) -> tuple[ResponseHead, bool]:
    """The response's head, and whether what its body is had to be assumed.

    Of several, as redirects leave them, it is the last. Raises `ConfigurationInvalid`, `OSError`.
    """
    file, kind = arguments.head, arguments.content_type
    lines = [b"HTTP/1.1 200 OK"]
    if file is not None:
        written = file.read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n")
        lines = written.split(b"\n\n")[-1].split(b"\n")
        lines[0] = _WITHOUT_REASON.sub(rb"HTTP/1.1 \1 -", lines[0])
    if kind is not None or file is None:
        lines = [line for line in lines if not line.lower().startswith(b"content-type:")]
        lines.append(f"Content-Type: {kind or JSON}".encode())
    try:
        return head_of(b"\r\n".join([*lines, b"", b""])), kind is None and file is None
    except PeerFault as fault:
        raise ConfigurationInvalid([f"{file or '--content-type'}: {fault}"]) from fault


def _pieces(body: int, bar: Bar) -> Iterator[bytes]:
    """The body, piece by piece as it comes, with a bar where a terminal shows nothing else."""
    status = os.fstat(body)
    length = status.st_size if stat.S_ISREG(status.st_mode) else 0
    done, shows = 0, not sys.stdout.isatty()
    while piece := os.read(body, PIECE):
        yield piece
        done += len(piece)
        if shows and length:
            bar.show(min(done, length), length)
        elif shows:
            bar.passed(done)


# --- what is told of it


def _report(arguments: argparse.Namespace, masking: Masking, done: Seen, assumed: bool) -> None:
    told = {
        **seen_json(masking, done, digests=arguments.key is not None),
        "assumed": JSON if assumed else None,
        "unmarked": masking.unmarked,
    }
    if arguments.report is not None:
        arguments.report.write_text(f"{json.dumps(told, indent=2)}\n", encoding="utf-8")
    if arguments.json:
        print(json.dumps(told, indent=2), file=sys.stderr)
    else:
        print(*_lines(masking, done, assumed), sep="\n", file=sys.stderr)


def _lines(masking: Masking, done: Seen, assumed: bool) -> Iterator[str]:
    if done.head is not None:
        yield from masked_rows(masking, done)
    if assumed:
        yield f"The body is taken for {JSON}: --content-type or --head says it otherwise."
    if masking.unmarked:
        yield (
            "What the catalog marks as secret is not known without a call: name --target and "
            "--action."
        )
    if done.why is None:
        yield counted(done)
    elif done.head is None:
        yield f"Withheld: {visible(done.why)}"
    else:
        yield f"Cut short after {done.released} bytes: {visible(done.why)}"
