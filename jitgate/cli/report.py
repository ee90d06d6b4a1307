"""A session as a report in one file: what was verified, who approved and why, what went where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jitgate.cli.contents import body, heads
from jitgate.cli.markup import Markup, element, facts, lines, page, table
from jitgate.cli.timeline import who, words
from jitgate.cli.verdicts import finding_line, report_content, report_lines
from jitgate.cli.verification import Verified
from jitgate.exports.exchanges import Told, exchanges, instant
from jitgate.stores.lines import timestamp
from jitgate.stores.reading import Kept, Recording

BODY_LINES = 400
"""How many lines of a body a report has: some sheets of paper."""

LINE_CHARS = 4000
"""How many characters of a line of a body it has: a sheet."""

FINDINGS = 50
"""Differences that are told one by one; `verify` tells all."""

_VERDICTS = {
    "verified": ("yes", "Verified: every entry and every body is as it was written."),
    "unwitnessed": ("wait", "Verified up to the checkpoint. What came after is not yet witnessed."),
    "uncertain": ("wait", "Not verified: it could not be told whether this is what was written."),
    "tampered": ("no", "TAMPERED: the recording is not what was written and signed."),
}
_KINDS = {"permit": "yes", "review": "wait", "deny": "no", "completed": "yes", "denied": "no",
          "pending": "wait", "truncated": "no", "failed": "no", "approved": "yes", "expired": "no",
          "refused": "no"}  # fmt: skip
"""How an entry is marked, by what it says."""


def report(
    recording: Recording,
    wanted: str,
    sessions: Sequence[Sequence[Kept]],
    checked: Verified | None,
    *,
    version: str,
    now: float,
) -> Iterator[str]:
    """The report's HTML, piece by piece, of the sessions or the exchange called ``wanted``.

    ``sessions`` have entries by time, at least one each. ``checked`` is None where nothing was.
    """
    names = {kept.text("session") for entries in sessions for kept in entries}
    title = f"Session {wanted}" if wanted in names else f"Exchange {wanted}"
    return page(title, _content(recording, title, sessions, checked, version=version, now=now))


def _content(
    recording: Recording,
    title: str,
    sessions: Sequence[Sequence[Kept]],
    checked: Verified | None,
    *,
    version: str,
    now: float,
) -> Iterator[Markup]:
    yield element("h1", title)
    yield element(
        "p", f"Written {_second(now)} by jitgate {version} from a recording. All times are UTC."
    )
    yield element("h2", "Is this what was written?")
    yield from _verification(checked, max(entries[-1].time for entries in sessions))
    for number, entries in enumerate(sessions, 1):
        if len(sessions) > 1:
            yield element("h2", f"Of this name, session {number} of {len(sessions)}")
        yield from _session(recording, entries)


def _verification(checked: Verified | None, last: str) -> Iterator[Markup]:
    """What was checked, with what, and what that does not tell."""
    if checked is None:
        yield element(
            "div",
            element("p", "NOT VERIFIED: no public key was given.", kind="name"),
            element("p", "Nothing here shows that these entries are what a gateway wrote. Give the"
                    " key with --key FILE, or the configuration with --config FILE."),
            kind="verdict no",
        )  # fmt: skip
        return
    content = report_content(checked.key_from, checked.report, list(checked.findings))
    kind, said = _VERDICTS[content["result"]]
    parts = [element("p", said, kind="name")]
    unwitnessed = checked.report.unwitnessed
    if unwitnessed.first is not None and unwitnessed.first <= last:
        parts.append(element("p", "Some of what is not yet witnessed may be this session's."))
    yield element("div", *parts, kind=f"verdict {kind}")
    given = checked.checkpoint_from
    yield facts(
        [
            ("public key", checked.key.text),
            ("read from", str(checked.key_from)),
            ("checkpoint", "the newest beside the recording" if given is None else str(given)),
        ]
    )
    yield lines(line.removeprefix("  ") for line in report_lines(checked.report))
    found = list(checked.findings)
    if found:
        yield lines(finding_line(each).strip() for each in found[:FINDINGS])
    if len(found) > FINDINGS:
        yield element("p", f"And {len(found) - FINDINGS} more, which jitgate verify tells.")
    yield from (element("p", said) for said in _limits(given is not None))


def _limits(outside: bool) -> Iterator[str]:
    yield "What would be seen: what was changed, removed or moved of what the checkpoint covers."
    if outside:
        yield (
            "That checkpoint was given from elsewhere, so an older copy in the place of the "
            "recording would be seen too. Whether it was kept where nobody of the gateway's could "
            "change it, you know."
        )
    else:
        yield (
            "What would not: that the whole recording, with its checkpoints, is an older copy of "
            "itself. For that, give a checkpoint that was kept elsewhere: --checkpoint FILE."
        )
    yield (
        "Nor does it tell whether what was written is what happened: for that the gateway of then "
        "is to be believed. This report is a copy: whoever doubts it verifies the recording itself."
    )


def _session(recording: Recording, entries: Sequence[Kept]) -> Iterator[Markup]:
    subject = next((found for kept in entries if (found := kept.part("subject"))), {})
    yield element("h2", "Who")
    yield facts(
        [
            ("agent", who(subject)),
            ("session", _name(entries)),
            ("first entry", entries[0].time),
            ("last entry", entries[-1].time),
        ]
    )
    start, calls = instant(entries[0]), exchanges(entries)
    yield element("h2", "Exchanges")
    if calls:
        headings = ("began", "call", "policy", "came to", "exchange")
        yield table(headings, (_exchange(told, start) for told in calls), kind="calls")
    else:
        yield element("p", "There is none.")
    yield element("h2", "Who approved, and why")
    yield from _people(entries)
    yield element("h2", "Timeline")
    for kept in entries:
        yield _entry(recording, kept, instant(kept) - start)


def _exchange(told: Told, start: float) -> tuple[str, ...]:
    decided = told.decision
    effect, rule = ("", "") if decided is None else (decided.text("effect"), decided.text("rule"))
    word = None if told.outcome is None else told.outcome.text("outcome")
    action = told.operation.get("action")
    call = f"{told.method or '?'} {told.url or told.target or '?'}"
    status = "" if told.status is None else f"{told.status}, "
    policy = f"{effect or '?'} by {rule}" if rule else effect or "?"
    if told.spent is not None:
        policy += f"; approved by {_listed(told.spent.content.get('approved_by'))}"
    return (
        f"{told.started - start:+.3f} s",
        f"{action}: {call}" if isinstance(action, str) and action else call,
        policy,
        f"{status}{word or 'not on record'}",
        told.id,
    )


def _people(entries: Sequence[Kept]) -> Iterator[Markup]:
    """Every answer, beside what it is an answer to."""
    asked = {
        kept.text("access_request"): kept
        for kept in entries
        if kept.type in ("access.opened", "access.carried")
    }
    answers = [kept for kept in entries if kept.type in ("access.answered", "access.void")]
    if not answers:
        yield element("p", "Nobody answered." if asked else "Nobody was asked.")
        return
    yield table(
        ("when", "who", "answer", "why", "by", "asked for"),
        (_answer(kept, asked.get(kept.text("access_request"))) for kept in answers),
        kind="people",
    )


def _answer(kept: Kept, asked: Kept | None) -> tuple[str, ...]:
    said = "approves" if kept.content.get("approves") is True else "denies"
    if kept.type == "access.void":
        said = f"{said}: counts no longer"
    operation = {} if asked is None else asked.part("operation")
    action = operation.get("action")
    return (
        f"{kept.time[:23]}Z",
        kept.text("approver") or "?",
        said,
        kept.text("reason") or kept.text("why") or "no reason given",
        kept.text("channel") or "",
        f"{action if isinstance(action, str) else '?'} ({kept.text('access_request') or '?'})",
    )


def _entry(recording: Recording, kept: Kept, offset: float) -> Markup:
    title, *more = words(kept)
    parts = [
        element("div", f"{kept.time[:23]}Z, +{offset:.3f} s, entry {kept.name}", kind="when"),
        element("h3", title),
        *(element("p", line) for line in more),
    ]
    for title, fields in heads(kept) if kept.type == "outcome" else ():
        parts.append(element("p", title, kind="name"))
        parts.append(lines(map(_cut, fields)))
    for name in kept.part("bodies"):
        parts.extend(_body(recording, kept, name))
    return element("div", *parts, kind=f"entry {_kind(kept)}".strip())


def _body(recording: Recording, kept: Kept, name: str) -> Iterator[Markup]:
    title, found = body(recording, kept, name)
    yield element("p", title, kind="name")
    if found:
        yield lines(map(_cut, found[:BODY_LINES]))
    if (more := len(found) - BODY_LINES) > 0:
        yield element("p", f"… {more} more lines: jitgate show {kept.name}")


def _cut(line: str) -> str:
    over = len(line) - LINE_CHARS
    return line[:LINE_CHARS] + (f" … {over} more characters" if over > 0 else "")


def _kind(kept: Kept) -> str:
    if kept.type == "access.answered":
        return "yes" if kept.content.get("approves") is True else "no"
    said = (kept.text(field) for field in ("effect", "outcome", "state", "result"))
    return next((kind for word in said if word and (kind := _KINDS.get(word))), "")


def _listed(names: object) -> str:
    return ", ".join(map(str, names)) if isinstance(names, list) else "?"


def _name(entries: Sequence[Kept]) -> str:
    return next((name for kept in entries if (name := kept.text("session"))), "?")


def _second(moment: float) -> str:
    return f"{timestamp(moment)[:19]}Z"
