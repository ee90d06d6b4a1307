"""A page of HTML in which nothing of what others wrote is markup.

Whatever text becomes part of a page goes through `element`, which shows it as `core/visible.py`
does and escapes it. A page needs no script and nothing from outside, and its policy allows neither.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from html import escape

from jitgate.core.visible import visible


class Markup(str):
    """HTML that was made here."""

    __slots__ = ()


def element(tag: str, *content: str, kind: str = "") -> Markup:
    """An element; ``tag`` and ``kind``, its class, are words of ours, never of a record's."""
    inside = "".join(part if isinstance(part, Markup) else _shown(part) for part in content)
    named = f' class="{kind}"' if kind else ""
    return Markup(f"<{tag}{named}>{inside}</{tag}>")


def lines(text: Iterable[str]) -> Markup:
    """Preformatted lines."""
    return element("pre", Markup("\n".join(_shown(line) for line in text)))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> Markup:
    """A table; its headings are repeated on each sheet of paper."""
    head = element("thead", element("tr", *(element("th", each) for each in headings)))
    body = (element("tr", *(element("td", cell) for cell in row)) for row in rows)
    return element("table", head, element("tbody", *body), kind=kind)


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Names with what they are, in two columns."""
    rows = (element("tr", element("th", name), element("td", value)) for name, value in pairs)
    return element("table", element("tbody", *rows), kind="facts")


def page(title: str, content: Iterable[str]) -> Iterator[str]:
    """The whole page, piece by piece."""
    digest = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    yield (
        '<!DOCTYPE html>\n<html lang="en" dir="ltr">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{element('title', title)}\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )
    for piece in content:
        yield f"{piece}\n"
    yield "</body>\n</html>\n"


def _shown(text: str) -> Markup:
    return Markup(escape(visible(text)))


STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1b1b; background: #fff;
  max-width: 62rem; margin: 2rem auto; padding: 0 1.25rem; }
body * { unicode-bidi: bidi-override; direction: ltr; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #999; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .3rem 0; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .5rem;
  border-bottom: 1px solid #ddd; }
thead th { border-bottom: 1px solid #777; white-space: nowrap; }
.calls th:nth-child(1) { width: 11%; }
.calls th:nth-child(3) { width: 19%; }
.calls th:nth-child(4) { width: 14%; }
.calls th:nth-child(5) { width: 16%; }
.people th:nth-child(1) { width: 22%; }
.people th:nth-child(2) { width: 20%; }
.people th:nth-child(3), .people th:nth-child(5) { width: 10%; }
.people th:nth-child(6) { width: 22%; }
.calls td:nth-child(1) { white-space: nowrap; }
.facts th { width: 11rem; font-weight: 600; }
pre { font: 12px/1.4 ui-monospace, monospace; white-space: pre-wrap; margin: .35rem 0;
  padding: .5rem;  background: #f5f5f5; border: 1px solid #ddd; }
.entry { margin: .8rem 0; padding: .1rem 0 .1rem .8rem; border-left: 4px solid #bbb; }
.when { color: #555; font-size: .85rem; }
.yes { border-left-color: #2e7d32; }
.no { border-left-color: #b3261e; }
.wait { border-left-color: #b26a00; }
.verdict { border: 2px solid #777; padding: .6rem .8rem; margin: .6rem 0; }
.verdict.yes { border-color: #2e7d32; }
.verdict.no { border-color: #b3261e; }
.verdict.wait { border-color: #b26a00; }
.name { font-weight: 600; }
@page { size: A4; margin: 16mm 14mm; }
@media print {
  body { font-size: 10pt; max-width: none; margin: 0; padding: 0; }
  h1 { font-size: 15pt; }
  h2 { font-size: 12pt; }
  h3 { font-size: 10pt; }
  table, .when { font-size: 9pt; }
  pre { font-size: 8pt; }
  h2, h3, .when, .name { break-after: avoid; }
  tr, .verdict { break-inside: avoid; }
  thead { display: table-header-group; }
}
"""
"""Characters stand in their order, whatever script they are of (`bidi-override`): letters that run
from right to left could change places with ours."""
