"""Details: all of a request, in pages. Nothing is cut, however long it is.

It is text in boxes, a line of ours for each thing that is told. What goes on in the next line has a
mark before it, and so has each line of the body: nothing that others wrote stands at the left edge.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from jitgate.approvers.slack import limits
from jitgate.approvers.slack.about import DETAILS, PAGES, About, version_of
from jitgate.approvers.slack.blocks import Block, actions, button, lines, modal, rich
from jitgate.approvers.slack.call import UNSEEN
from jitgate.approvers.slack.text import body_text, boxed, mixed, one_line, said
from jitgate.core.columns import wrapped
from jitgate.core.visible import size
from jitgate.flow.shown_requests import shown_parameters
from jitgate.values import AccessRequest

_GOES_ON: Final = "  ↪ "
_BODY: Final = "│ "
_BODY_GOES_ON: Final = "┆ "

KEPT_BODIES: Final = 2
"""Bodies that are kept in their lines: whoever reads one turns many pages of it."""


def details_view(request: AccessRequest, names: Mapping[str, str], page: int = 0) -> dict[str, Any]:
    """A page of Details, counted from 0; the last one if there are not so many."""
    texts = [*_texts(_lines(request, names))]
    pages = -(-len(texts) // limits.PAGE_TEXTS)
    page = min(page, pages - 1)
    about = About(request.id, version_of(request, names), page)
    begin = page * limits.PAGE_TEXTS
    told = f"Page {page + 1} of {pages}. Body: {_length(request)}. What is secret is masked."
    blocks: list[Block] = [rich(lines([said(told, bold=True)]))]
    blocks += [rich(boxed([each])) for each in texts[begin : begin + limits.PAGE_TEXTS]]
    if pages > 1:
        blocks.append(actions(*_turning(about, pages)))
    return modal(DETAILS, "All of the request", blocks, about.text)


def _turning(about: About, pages: int) -> Iterator[dict[str, Any]]:
    """Buttons to other pages; a value names the page that its button leads to."""
    leads_to = (0, max(about.page - 1, 0), min(about.page + 1, pages - 1), pages - 1)
    for words, action, page in zip(
        ("⏮ First", "◀ Back", "Next ▶", "Last ⏭"), PAGES, leads_to, strict=True
    ):
        yield button(words, action, replace(about, page=page).text)


def _length(request: AccessRequest) -> str:
    length = request.ask.shown.length
    return f"{size(length)} ({length:,} bytes)" if length >= 1024 else size(length)


def _texts(every: Iterable[str]) -> Iterator[str]:
    """Lines gathered into texts that are as long as may be."""
    text = ""
    for line in every:
        if text and len(text) + 1 + len(line) > limits.TEXT_CHARS:
            yield text
            text = line
        else:
            text = f"{text}\n{line}" if text else line
    yield text


def _lines(request: AccessRequest, names: Mapping[str, str]) -> Iterator[str]:
    ask, operation, subject = request.ask, request.ask.operation, request.ask.subject
    yield from _told("request", request.id)
    yield from _told("agent", subject.id if subject.agent is None else subject.agent)
    if subject.agent is not None:
        yield from _told("as", subject.id)
    yield from _told("says", subject.issuer)
    for human in subject.humans:
        yield from _told("for", human)
    yield from _told("session", ask.session)
    yield from _told("target", operation.target)
    yield from _told("operation", operation.action)
    for name, value in operation.resource.items():
        yield from _told("resource", f"{name} {value}")
    for name, value in names.items():
        yield from _told("looked up", f"{name} {value}")
    for name, value in shown_parameters(operation).items():
        yield from _told("parameter", f"{name} {value}")
    yield from _told("rule", ask.rule)
    yield from _told("because", ask.reason)
    yield from _told("fingerprint", ask.fingerprint)
    yield ""
    yield from _told("method", operation.method)
    yield from _told("URL", ask.shown.url)
    for name, value in ask.shown.headers:
        yield from _told("field", f"{name}: {value}")
    yield from _body(request)


def _told(label: str, value: str) -> Iterator[str]:
    flag = f"   ⚠ {mixed(value)}" if mixed(value) else ""
    yield from _wrapped(f"{label:<12}{one_line(value)}{flag}", "", _GOES_ON)


def _body(request: AccessRequest) -> Iterator[str]:
    shown = request.ask.shown
    yield ""
    if request.ask.terms.ahead:
        yield "body        there is no call yet: any may come"
    elif shown.body is not None:
        yield f"body        {_length(request)}"
        yield from _body_lines(shown.body)
    else:
        unseen = f"body        {size(shown.length)} that {UNSEEN}" if shown.length else "no body"
        yield from _wrapped(unseen, "", _GOES_ON)


@functools.lru_cache(maxsize=KEPT_BODIES)
def _body_lines(body: str) -> tuple[str, ...]:
    every = (_wrapped(line, _BODY, _BODY_GOES_ON) for line in body_text(body))
    return tuple(line for wrapped in every for line in wrapped)


def _wrapped(line: str, mark: str, goes_on: str) -> Iterator[str]:
    """A line in pieces, each behind its mark."""
    for piece in wrapped(line, limits.LINE_COLUMNS - len(goes_on)):
        yield f"{mark}{piece}"
        mark = goes_on
