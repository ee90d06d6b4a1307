"""Whether what came of a response is what its case expects."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

from jitgate.app.offline_masking import Seen
from jitgate.cli.policy_expected import Difference
from jitgate.config.masking_cases import Wanted

_ESCAPES = re.compile(r'(?:\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt]))+')

_DEEPEST = 4
"""JSON texts within each other whose escapes are undone to look for what must be absent."""


def differences(expected: Wanted, seen: Seen, body: bytes) -> list[Difference]:
    """Everything in which a response did not come out as expected; nothing: the case passes."""
    return [
        *_withheld(expected, seen),
        *_masked(expected, seen),
        *_body(expected, body),
        *_texts(expected, seen, body),
    ]


def _withheld(expected: Wanted, seen: Seen) -> Iterator[Difference]:
    came = seen.why if seen.head is None else f"cut short: {seen.why}" if seen.why else "it is sent"
    if expected.withheld is False:
        if seen.why is not None:
            yield Difference("withheld", "it is sent", came)
    elif seen.head is not None or not _reasoned(expected.withheld, seen.why or ""):
        yield Difference("withheld", expected.withheld, came)


def _reasoned(wanted: bool | str, why: str) -> bool:
    return not isinstance(wanted, str) or wanted in why


def _masked(expected: Wanted, seen: Seen) -> Iterator[Difference]:
    """Values that are expected and not hidden, and the other way about."""
    if expected.masked is None:
        return
    came = [(hit.path, hit.rule) for hit in seen.hand.hits]
    left = Counter(came)
    missing = []
    for each in expected.masked:
        found = next((hit for hit in left if left[hit] and _is(each.path, each.rule, hit)), None)
        if found is None:
            missing.append((each.path, each.rule))
        else:
            left[found] -= 1
    more = [hit for hit in came if left[hit] > 0]
    if missing or more:
        yield Difference(
            "masked", [_hit(*each) for each in missing], [_hit(*each) for each in more]
        )


def _is(path: str, rule: str | None, hit: tuple[str, str]) -> bool:
    return hit[0] == path and rule in {None, hit[1]}


def _hit(path: str, rule: str | None) -> str:
    return path if rule is None else f"{path} by {rule}"


def _body(expected: Wanted, body: bytes) -> Iterator[Difference]:
    if expected.body is None:
        return
    came: Any = body.decode("utf-8", "replace")
    if isinstance(expected.body, str):
        same = expected.body.encode() == body
    else:
        try:
            came = json.loads(body)
        except ValueError:
            same = False
        else:
            same = _same(expected.body, came)
    if not same:
        yield Difference("body", expected.body, came)


def _same(wanted: Any, came: Any) -> bool:
    """Whether two values are the same in JSON, where 1 is not true."""
    return json.dumps(wanted, sort_keys=True) == json.dumps(came, sort_keys=True)


def _texts(expected: Wanted, seen: Seen, body: bytes) -> Iterator[Difference]:
    fields = seen.head.headers if seen.head is not None else ()
    sent = [body, *(part for each in fields for part in each)]
    for text in expected.absent:
        if any(holds(each, text) for each in sent):
            yield Difference("absent", text, "it is there")
    if seen.why is None:
        for text in expected.stays:
            if text.encode() not in body:
                yield Difference("kept", text, "it is not there")


def holds(data: bytes, text: str) -> bool:
    """Whether a text stands somewhere, in any charset, as it is or as JSON or URLs escape it."""
    charsets = _WIDE if b"\0" in data else ("utf-8",)
    return any(_says(data.decode(charset, "replace"), text) for charset in charsets)


_WIDE = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


def _says(written: str, text: str) -> bool:
    for _ in range(_DEEPEST):
        if text in written or text in unquote_plus(written):
            return True
        plain = _ESCAPES.sub(lambda found: str(json.loads(f'"{found[0]}"')), written)
        if plain == written:
            return False
        written = plain
    return False
