"""The call that people decide on, as far as it fits a card; whether anything of it does not."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from jitgate.approvers.slack import limits
from jitgate.approvers.slack.blocks import lines
from jitgate.approvers.slack.text import (
    Element,
    Room,
    body_text,
    boxed,
    foreign,
    is_long,
    mixed_words,
    said,
    several,
)
from jitgate.core.visible import size
from jitgate.flow.shown_requests import shown_parameters
from jitgate.values import AccessRequest

LAID_OUT: Final = 16_384
"""Characters of a body that are laid out for a card, which shows the first lines of it alone."""


UNSEEN: Final = (
    "cannot be shown, since what is secret in it could not be masked. Whoever approves it has not "
    "seen it."
)
"""Of a body that nobody can show."""


@dataclass(frozen=True, slots=True)
class CallParts:
    """A call in the parts of a card."""

    who: list[Element]
    what: list[Element]
    exact: list[Element]
    """Rich text: what will be sent."""
    why: list[Element]
    """The reason of the rule that asks people."""
    rule: list[Element]
    hides: bool
    """Whether some of it is left out: then nobody approves it who has not opened Details."""


def call_parts(request: AccessRequest, names: Mapping[str, str]) -> CallParts:
    """The call of a request; ``names``: what the target calls what a resource parameter names."""
    cut, ask = _Cut(), request.ask
    return CallParts(
        who=_who(cut, request),
        what=_what(cut, request, names),
        exact=[lines(*_head(cut, request)), *_body(cut, request)],
        why=cut.value(ask.reason, limits.CARD_REASON_CHARS),
        rule=cut.value(ask.rule),
        hides=cut.hides,
    )


def hides_something(request: AccessRequest, names: Mapping[str, str]) -> bool:
    """Whether the card leaves out some of what an approver decides by.

    A body that nobody can show is not left out by the card, and Details could not show it either.
    """
    return call_parts(request, names).hides


class _Cut:
    """Shows values as far as there is room, and knows whether there was for all."""

    def __init__(self) -> None:
        self.hides = False
        self._room = Room(limits.CARD_CALL_CHARS)

    def value(self, value: str, most: int = limits.CARD_VALUE_CHARS) -> list[Element]:
        """A value by itself."""
        shown = self.part(value, most)
        if self._room.takes(shown):
            return shown
        self.hides = True
        return [said("…")]

    def part(self, value: str, most: int = limits.CARD_VALUE_CHARS) -> list[Element]:
        """A value of one of `several`, for which there is room together or none."""
        self.hides = self.hides or is_long(value, most)
        return foreign(value, most)

    def several(self, values: Iterable[list[Element]], between: str = ", ") -> list[Element]:
        """The first of some values, and how many more there are."""
        every = list(values)
        first = every[: limits.CARD_VALUES]
        shown = [*itertools.takewhile(self._room.takes, first)]
        if (more := len(every) - len(shown)) > 0:
            self.hides = True
            shown.append([said(f"{more} more that are hidden", bold=True)])
        return several(shown, between)

    def pairs(self, values: Iterable[tuple[str, str]], mark: str = " ") -> list[Element]:
        """Names, and the values that they have."""
        return self.several(
            [*self.part(name), said(mark), *self.part(value)] for name, value in values
        )


def _who(cut: _Cut, request: AccessRequest) -> list[Element]:
    subject = request.ask.subject
    who = cut.value(subject.id if subject.agent is None else subject.agent)
    if subject.agent is not None:
        who += [said(" as "), *cut.value(subject.id)]
    if not subject.humans:
        return [*who, said(", for nobody that its token names")]
    return [*who, said(", for "), *cut.several(map(cut.part, subject.humans))]


def _what(cut: _Cut, request: AccessRequest, names: Mapping[str, str]) -> list[Element]:
    """The resource, by its ids and by the names that were looked up for them; then where."""
    operation = request.ask.operation
    every = (
        [
            *([*cut.part(names[name]), said(" (looked up), ")] if names.get(name) else []),
            *cut.part(name),
            said(" "),
            *cut.part(value),
        ]
        for name, value in operation.resource.items()
    )
    what = cut.several(every)
    return [*what, *([said(" at ")] if what else ()), *cut.value(operation.target)]


def _head(cut: _Cut, request: AccessRequest) -> list[list[Element]]:
    """The request line and the fields, each in a line of its own."""
    ask, operation = request.ask, request.ask.operation
    method = said(f"{operation.method} ", bold=True)
    told = [[method, *cut.value(ask.shown.url, limits.CARD_URL_CHARS)]]
    named = [said("operation "), *cut.value(operation.action)]
    if parameters := shown_parameters(operation):
        named += [said(" with "), *cut.pairs(parameters.items())]
    told.append(named)
    if ask.shown.headers:
        told.append([said("fields "), *cut.pairs(ask.shown.headers, ": ")])
    return told


def _body(cut: _Cut, request: AccessRequest) -> list[Element]:
    shown = request.ask.shown
    if request.ask.terms.ahead:
        return [lines([said("No call yet: any body and query may come.", bold=True)])]
    if not shown.length:
        return [lines([said("No body")])]
    if shown.body is None:
        return [lines([said(f"⚠ Body: {size(shown.length)} that {UNSEEN}", bold=True)])]
    body = shown.body[:LAID_OUT]
    every = body_text(body)
    fits = "\n".join(every[: limits.CARD_BODY_LINES])[: limits.CARD_BODY_CHARS]
    total = len("\n".join(every)) + len(shown.body) - len(body)
    told = [said(f"Body, {size(shown.length)}, secrets masked")]
    if mixed_words(shown.body):
        told.append(said("; ⚠ words in it mix scripts, and show escapes", bold=True))
    if (more := total - len(fits)) > 0:
        cut.hides = True
        told.append(said(f"; {more:,} of {total:,} characters are hidden", bold=True))
    return [lines(told), boxed([fits])]
