"""What a button or a view is about: which request, and the version of the card that was seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Final, Self

from jitgate.flow.shown_requests import shown_parameters
from jitgate.values import AccessRequest

APPROVE: Final = "jitgate.approve"
LESS: Final = "jitgate.less"
DENY: Final = "jitgate.deny"
DETAILS: Final = "jitgate.details"
REVOKE: Final = "jitgate.revoke"
"""What buttons and views are called: ``action_id`` of a button, ``callback_id`` of its view."""

PAGES: Final = ("jitgate.page.first", "jitgate.page.back", "jitgate.page.next", "jitgate.page.last")
"""Buttons within Details; the value of each names the page that it leads to."""

VERSION_CHARS: Final = 16
"""64 bits. One request has one ask, so nobody gets to choose between two with the same."""


@dataclass(frozen=True, slots=True)
class About:
    """What a click is about. It stands in values and metadata, which come back from Slack."""

    request: str
    version: str
    page: int = 0
    """Of Details, counted from 0."""

    @property
    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """From its text; None for anything that is none."""
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(read, dict) or read.keys() != {"request", "version", "page"}:
            return None
        request, version, page = read["request"], read["version"], read["page"]
        if not isinstance(request, str) or not isinstance(version, str):
            return None
        is_page = isinstance(page, int) and not isinstance(page, bool) and page >= 0
        return cls(request, version, page) if is_page else None


def version_of(request: AccessRequest, names: Mapping[str, str]) -> str:
    """A digest over all that an approver decides by.

    That is who asks and for whom, which call and all of it that is shown, what its names were found
    to stand for, why and under which terms people are asked, and until when. It leaves out answers,
    escalations, whether the agent is there, how often it has asked and what has become of the
    request: a card that another answer has made anew is still the card that somebody decided by.

    Nothing goes into it that the card does not show, or that stands there keyed: a digest over
    what is masked would help to guess it.
    """
    ask, shown, operation = request.ask, request.ask.shown, request.ask.operation
    subject = ask.subject
    seen = [
        request.id,
        request.expires_at,
        [subject.issuer, subject.id, subject.agent, *subject.humans],
        [operation.target, operation.action, operation.method],
        None if operation.risk is None else operation.risk.value,
        [dict(operation.resource), shown_parameters(operation), dict(names)],
        [shown.url, [*map(list, shown.headers)], shown.body, shown.length],
        [ask.fingerprint, ask.rule, ask.reason, asdict(ask.terms)],
    ]
    told = json.dumps(seen, sort_keys=True).encode()
    return sha256(told).hexdigest()[:VERSION_CHARS]
