"""`jitgate mask test`: whether responses come out of masking as test files expect."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jitgate.app.offline import Offline, offline
from jitgate.app.offline_masking import PIECE, Masking, Seen, head_of, masking_of, seen
from jitgate.cli.bar import Bar
from jitgate.cli.configured import named_file
from jitgate.cli.mask_expected import differences
from jitgate.cli.mask_words import masked_rows, seen_json
from jitgate.cli.policy_expected import Difference
from jitgate.cli.policy_words import standing
from jitgate.config.masking_cases import (
    Answer,
    MaskingCase,
    masking_case_files,
    read_masking_cases,
)
from jitgate.core.visible import visible
from jitgate.errors import ConfigurationInvalid, PeerFault
from jitgate.values import ResponseHead

PASS, FAIL = 0, 1

SHOWN_CHARS = 400
"""Characters of a body that are shown of one that is not as expected; the rest is for --json."""


class _Prepared(NamedTuple):
    case: MaskingCase
    masking: Masking
    head: ResponseHead
    body: bytes


class _Tried(NamedTuple):
    case: MaskingCase
    masking: Masking
    seen: Seen
    differences: Sequence[Difference]


def test(arguments: argparse.Namespace) -> int:
    """Try every case. Raises `ConfigurationInvalid` where it could not be told."""
    made = offline(named_file(arguments.config))
    prepared = _prepared(arguments.files or masking_case_files(made.configuration), made)
    failures, bar = [], Bar()
    for number, each in enumerate(prepared):
        bar.show(number, len(prepared))
        tried = _tried(each)
        if tried.differences:
            failures.append(tried)
            if not arguments.json:
                bar.clear()
                print(*_failure_lines(tried), "", sep="\n")
    bar.clear()
    named = {name for each in prepared for name in each.case.response.profile}
    unnamed = [name for name in made.profiles if name not in named]
    if arguments.json:
        print(json.dumps(_content(len(prepared), failures, unnamed), indent=2))
    else:
        print(*_summary(len(prepared), len(failures), unnamed, made), sep="\n")
    return FAIL if failures or (unnamed and arguments.strict) else PASS


def _prepared(files: Sequence[Path], made: Offline) -> list[_Prepared]:
    problems: list[str] = []
    cases = [case for file in files for case in read_masking_cases(file, problems)]
    if not problems and not cases:
        problems.append(
            "There are no cases: put test files into a folder `tests` beside the masking files, "
            "or name FILES."
        )
    prepared = []
    for case in cases:
        answer = case.response
        try:
            masking = masking_of(made, answer.profile, answer.target, answer.action)
            prepared.append(_Prepared(case, masking, _head(answer), _body(answer)))
        except ConfigurationInvalid as error:
            problems += [f"{case.where}: {problem}" for problem in error.problems]
        except PeerFault as fault:
            problems.append(f"{case.where}: {fault}")
        except OSError as error:
            problems.append(f"{case.where}: {error.filename}: {error.strerror}")
    if problems:
        raise ConfigurationInvalid(problems)
    return prepared


def _head(answer: Answer) -> ResponseHead:
    lines = [f"HTTP/1.1 {answer.status} "]
    if answer.content_type is not None:
        lines.append(f"Content-Type: {answer.content_type}")
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    return head_of("".join(f"{line}\r\n" for line in [*lines, ""]).encode())


def _body(answer: Answer) -> bytes:
    if answer.file is not None:
        return answer.file.read_bytes()
    text = answer.body
    return (text if isinstance(text, str) else json.dumps(text)).encode()


def _tried(prepared: _Prepared) -> _Tried:
    out: list[bytes] = []
    case, body = prepared.case, prepared.body
    pieces = (body[at : at + PIECE] for at in range(0, len(body), PIECE))
    came = seen(prepared.masking, prepared.head, pieces, out.append)
    found = differences(case.expect, came, b"".join(out))
    return _Tried(case, prepared.masking, came, found)


# --- in words


def _failure_lines(tried: _Tried) -> Iterator[str]:
    yield f"FAILED  {standing(tried.case.where)}: {visible(_named(tried.case))}"
    for each in tried.differences:
        yield f"  {each.what}: expected {_word(each.expected)}"
        yield f"  {' ' * len(each.what)}  came     {_word(each.came)}"
    if tried.seen.head is not None and tried.seen.hand.counts:
        yield ""
        yield from (f"  {row}" for row in masked_rows(tried.masking, tried.seen))


def _named(case: MaskingCase) -> str:
    answer = case.response
    return case.name or f"{answer.content_type} by {', '.join(answer.profile)}"


def _word(value: Any) -> str:
    if value in (None, []):
        return "nothing more"
    if isinstance(value, bool):
        return "that it is withheld" if value else "that it is sent"
    told = visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return told if len(told) <= SHOWN_CHARS else f"{told[:SHOWN_CHARS]}…"


def _summary(cases: int, failed: int, unnamed: Sequence[str], made: Offline) -> Iterator[str]:
    where = {each.profile: each.where for each in made.configuration.profiles}
    if unnamed:
        yield "No case names these profiles:"
        yield from (f"  {visible(name)}  {standing(where.get(name, ''))}" for name in unnamed)
        yield ""
    yield (
        f"{_many(cases, 'case')}: {cases - failed} passed, {failed} failed. "
        f"{_many(len(made.profiles), 'profile')}: {len(made.profiles) - len(unnamed)} named."
    )


def _many(count: int, one: str) -> str:
    return f"{count} {one}{'s' * (count != 1)}"


# --- for programs


def _content(cases: int, failures: Sequence[_Tried], unnamed: Sequence[str]) -> dict[str, Any]:
    return {
        "cases": cases,
        "failed": [
            {
                "where": each.case.where,
                "case": _named(each.case),
                "differences": [difference._asdict() for difference in each.differences],
                "came": seen_json(each.masking, each.seen, digests=False),
            }
            for each in failures
        ],
        "unnamed": list(unnamed),
    }
