"""An access request in words, for somebody who was woken to answer it.

What an agent can choose is shown and never obeyed, and keeps to a place where it cannot pass for
our own words. In names everything beyond ASCII is an escape: letters of other scripts look alike.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from jitgate.cli.columns import labelled, quoted
from jitgate.cli.moments import ahead, clock, seconds, span
from jitgate.core.visible import body_lines, size, visible

BODY_LINES = 40
"""How many lines of a body are shown unless all are asked for: about a screen."""

LINE_CHARS = 400
"""How many characters of a name, or of one line of a body: a few lines of a terminal."""

VALUE_CHARS = 2000
"""How many characters of a URL, or of anything: more than APIs have, and less than a screen."""

_WORD = re.compile(r"[A-Za-z0-9@._+~/:-]+")
"""Ids, addresses and paths: nothing in them ends a word, opens a bracket or is an escape."""

Content = Mapping[str, Any]


class View:
    """How requests are shown: at what time, in how many columns, cut or whole.

    ``options`` are those of every command that the reader may paste.
    """

    def __init__(self, now: float, columns: int, *, whole: bool = False, options: str = "") -> None:
        self._now = now
        self._columns = columns
        self._whole = whole
        self._options = options
        self._hides = False
        """Whether something of the request that is being shown was left out."""

    def request(self, request: Content, *, may_answer: bool) -> Iterator[str]:
        """A request's lines; with the commands to answer it for somebody who may."""
        pending, self._hides = request["state"] == "pending", False
        yield f"Access request {named(request['id'])} {_state(request, self._now)}"
        yield ""
        yield from self._call(request)
        yield from self._body(request)
        yield ""
        yield from self._people(request)
        if pending:
            yield from self._awaited(request)
        yield ""
        yield from self._labelled("approval", given(request))
        if pending:
            yield from self._labelled("status", _presence(request, self._now))
            left = ahead(request["expires_at"], self._now)
            yield from self._labelled("expires", f"{clock(request['expires_at'])}, {left}")
        if request["grant"] is not None:
            yield from self._labelled("grant", named(request["grant"]))
        yield from self._labelled("opened", clock(request["opened_at"]))
        yield from self._labelled("fingerprint", self._name(request["fingerprint"]))
        if pending and may_answer:
            yield ""
            yield from self._ways(request)

    def _ways(self, request: Content) -> Iterator[str]:
        """The commands to answer it, or why there are none for whoever looks."""
        if request["objection"] is not None:
            said = f"cannot answer it: {visible(request['objection'])}"
            yield from self._labelled("you", said)
            return
        if self._hides:
            whole = f"{self._command('requests', request)} --all"
            yield from self._labelled(
                "you", f"have not seen all of it; look before you answer: {whole}"
            )
        reason = " --reason TEXT" if request["needs_reason"] else ""
        approve = self._command("approve", request)
        yield f"  {approve}{reason}"
        if request["gives"]["scope"] and not request["ahead"]:
            yield f"  {approve} --once{reason}"
        yield f"  {self._command('deny', request)}"
        if request["gives"]["uses"] > 1:
            yield "  To give less: --once, for this call alone; --uses N; --life TIME, such as 2m."

    def _call(self, request: Content) -> Iterator[str]:
        action, target = self._name(request["action"]), self._name(request["target"])
        yield from self._labelled("action", f"{action} on {target}")
        if request["risk"] is not None:
            yield from self._labelled("risk", f"{request['risk']}")
        for name, value in request["resource"].items():
            yield from self._labelled("resource", self._resource(request, name, value))
        for name, value in request["parameters"].items():
            yield from self._labelled("parameter", f"{self._name(name)} {self._name(value)}")
        yield from self._labelled("call", f"{named(request['method'])} {named(request['url'])}")
        for name, value in request["headers"]:
            yield from self._labelled("field", f"{self._name(name)}: {self._name(value)}")

    def _body(self, request: Content) -> Iterator[str]:
        if request["ahead"]:
            same = " with these parameters" if request["parameters"] else ""
            coming = f"there is no call yet; any body and query{same} may come"
            yield from self._labelled("body", coming)
            return
        body, count = request["body"], request["body_bytes"]
        if body is None or not count:
            hidden = f"{size(count)} that cannot be shown: secrets in them could not be masked"
            yield from self._labelled("body", hidden if count else "no body")
            return
        yield from self._labelled("body", f"{size(count)}; what is secret in it is masked")
        lines = body_lines(body.encode("utf-8", "backslashreplace"))
        shown = lines if self._whole else lines[:BODY_LINES]
        for line in shown:
            yield from quoted(self._cut(line, LINE_CHARS), self._columns)
        if (more := len(lines) - len(shown)) > 0:
            self._hides = True
            yield f"  … {more} more lines: {self._command('requests', request)} --all"

    def _people(self, request: Content) -> Iterator[str]:
        agent = f"{self._name(request['subject'])}, as {self._name(request['issuer'])} says"
        yield from self._labelled("agent", f"{agent}; session {self._name(request['session'])}")
        humans = ", ".join(map(self._name, request["humans"]))
        yield from self._labelled("acts for", humans or "nobody that its token names")
        reason = f"{visible(request['rule'])}: {visible(request['reason'])}"
        yield from self._labelled("because", reason)
        quorums = ", and ".join(map(asked, request["quorums"]))
        yield from self._labelled("asked", quorums or "nobody: policy approves it itself")
        for answer in request["answers"]:
            yield from self._labelled("answer", answered(answer))
        if not request["answers"]:
            yield from self._labelled("answer", "none yet")
        if request["asked"] > 1:
            yield from self._labelled("repeated", f"asked {request['asked']} times")

    def _awaited(self, request: Content) -> Iterator[str]:
        """Who may still answer, and what an answer needs."""
        if request["missing"] is not None:
            yield from self._labelled("missing", f"{needed(request)} {could_give(request)}")
        for step in request["escalations"]:
            groups, at = ", ".join(map(visible, step["groups"])), clock(step["at"])
            when = f"since {at}" if step["asked"] else f"{ahead(step['at'], self._now)}, at {at}"
            yield from self._labelled("also asked", f"{groups}, {when}")
        if request["needs_reason"]:
            yield from self._labelled("reason", "an approval must say why")
        if (denials := request["denials"]) > 1:
            yield from self._labelled("denial", f"{denials} people must deny it; one is not enough")

    def _command(self, command: str, request: Content) -> str:
        return f"jitgate {command} {shlex.quote(named(request['id']))}{self._options}"

    def _resource(self, request: Content, name: str, value: str) -> str:
        said = called(request, name)
        return f"{self._name(name)} {self._cut(single(value), LINE_CHARS)}{said}"

    def _name(self, text: str) -> str:
        return self._cut(named(text), LINE_CHARS)

    def _cut(self, text: str, chars: int) -> str:
        over = 0 if self._whole else len(text) - chars
        self._hides = self._hides or over > 0
        return f"{text[:chars]} … {over} more characters: --all" if over > 0 else text

    def _labelled(self, label: str, value: str) -> Iterator[str]:
        return labelled(label, self._cut(value, VALUE_CHARS), self._columns)


def named(text: object) -> str:
    """A name that others chose, in ASCII."""
    return visible(str(text)).encode("ascii", "backslashreplace").decode()


def single(text: str) -> str:
    """A name that others chose, as one word: in quotes, unless nothing in it looks like more.

    So no id can be made to look as if a name stood behind it, and no name as if we said more.
    """
    return text if _WORD.fullmatch(text) else json.dumps(text)


def called(content: Content, name: str) -> str:
    """What a resource is called at its target, or why nobody is told; in brackets behind its id."""
    known = content["names"].get(name)
    if known is None:
        return ""
    return f" ({visible(known['why']) if known['name'] is None else single(known['name'])})"


def resource_words(content: Content) -> str:
    """What a call is about, in a line."""
    return ", ".join(
        f"{named(name)} {single(value)}{called(content, name)}"
        for name, value in content["resource"].items()
    )


def asked(quorum: Content) -> str:
    """Whom one quorum asks."""
    groups, count = " or ".join(map(visible, quorum["groups"])), quorum["count"]
    return f"one of {groups}" if count == 1 else f"{count} different people of {groups}"


def answered(answer: Content) -> str:
    """What somebody has said."""
    did = "approved" if answer["approves"] else "denied"
    said = f": {visible(answer['reason'])}" if answer["reason"] else ""
    who, channel = visible(answer["approver"]), visible(answer["channel"])
    less = f" {_less(answer['less'])}," if answer["less"] else ""
    return f"{who} {did}{less} at {clock(answer['at'])} by {channel}{said}"


def _less(less: Content) -> str:
    """By how much less somebody gives than policy offers."""
    parts = []
    if less["once"]:
        parts.append("this call alone")
    if less["uses"] is not None:
        parts.append(_calls(less["uses"]))
    if less["life"] is not None:
        parts.append(f"for {span(less['life'])}")
    return ", ".join(parts)


def _calls(uses: int) -> str:
    return "1 call" if uses == 1 else f"up to {uses} calls"


def needed(request: Content) -> str:
    """How many approvals are missing, and of which groups."""
    places = request["missing"] or ()
    missing = sum(place["count"] for place in places)
    groups = dict.fromkeys(name for place in places for name in place["groups"])
    more = "1 more approval is" if missing == 1 else f"{missing} more approvals are"
    return f"{more} needed, of {', '.join(map(visible, groups))}."


def could_give(request: Content) -> str:
    """Who could give what is missing, as far as it is known."""
    free, unknown, empty = (
        ", ".join(map(visible, request[key])) for key in ("could_answer", "unknown", "empty")
    )
    said = [f"Who could give it: {free}."] if free else []
    if unknown:
        said.append(f"Who is in {unknown} is not known yet.")
    elif not free:
        said.append("Nobody is left who could give it.")
    if empty:
        said.append(f"Nobody is in {empty}.")
    return " ".join(said)


def given(request: Content) -> str:
    """What an approval gives, by what those who approved so far give."""
    gives = request["gives"]
    offered = {name: request[name] for name in ("uses", "life", "scope")}
    said = _given(request, gives)
    if gives == offered:
        return said
    return f"{said}; policy offers {_calls(offered['uses'])} within {span(offered['life'])}"


def _given(request: Content, gives: Content) -> str:
    life = span(gives["life"])
    if not gives["scope"]:
        return f"for this call alone, once, within {life} of it"
    what = "A SCOPE, NOT THIS CALL ALONE"
    if request["ahead"]:
        what = "A SCOPE, AHEAD OF ANY CALL, FOR A TOKEN OF THE AGENT'S"
    return (
        f"{what}: {_calls(gives['uses'])} within {life} of it, with "
        f"any query, fields and body, of {named(request['action'])} on "
        f"{named(request['target'])}, {resource_words(request) or 'any resource'}"
    )


def _state(request: Content, now: float) -> str:
    if request["state"] == "pending":
        left = span(seconds(request["expires_at"]) - now)
        return f"waits for an answer: {left} left"
    return f"is {request['state']}. {visible(request['why'])}".rstrip()


def _presence(request: Content, now: float) -> str:
    if request["presence"] == "attached":
        return "the agent waits for the answer"
    away = "the agent is away; nothing goes out before it sends the call again"
    if request["ahead"]:
        away = "the agent asks ahead of its call, and comes back for the answer"
    if request["away_until"] is None:
        return away
    return f"{away}; withdrawn {ahead(request['away_until'], now)} unless it does"
