"""What the approver's commands do: ask the gateway, and say its answer in words or in JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from jitgate.cli.asked import View, answered, given, named, needed, resource_words
from jitgate.cli.calling import Content, Gateway, NotTold
from jitgate.cli.columns import table, width
from jitgate.cli.configured import socket_in_any_state
from jitgate.cli.moments import ahead, clock_at, seconds, span
from jitgate.core.visible import visible

CELL_CHARS = 40
"""How many characters a cell of a table has at most, so that a row stays one."""

FOR_CHARS = 70
"""The same for what a grant is for: two names of an API and an id."""


def requests(arguments: argparse.Namespace) -> int:
    """Show one request, or all that are pending, or what comes."""
    if arguments.id is not None and arguments.follow:
        raise NotTold("Give an ID or --follow, not both.")
    gateway = Gateway(arguments)
    if arguments.follow:
        return _follow(gateway, arguments)
    if arguments.id is not None:
        line = gateway.one("request", arguments.id)
        if arguments.json:
            return _print_json(line["request"])
        view = _view(arguments, gateway)
        return _say(view.request(line["request"], may_answer=_may_answer(line)))
    pending = [line["request"] for line in gateway.all("requests")]
    if arguments.json:
        return _print_json(pending)
    if not pending:
        return _say(["Nothing waits."])
    return _say(
        [*table([*_pending_rows(pending)]), "", f"To see one: jitgate requests ID{gateway.options}"]
    )


def approve(arguments: argparse.Namespace) -> int:
    """Approve a request."""
    return _answer("approve", arguments)


def deny(arguments: argparse.Namespace) -> int:
    """Deny a request."""
    return _answer("deny", arguments)


def grants(arguments: argparse.Namespace) -> int:
    """List every grant with a use left or in use."""
    found = [line["grant"] for line in Gateway(arguments).all("grants")]
    if arguments.json:
        return _print_json(found)
    return _say(table([*_grant_rows(found)]) if found else ["Nothing is granted."])


def revoke(arguments: argparse.Namespace) -> int:
    """Revoke a grant."""
    line = Gateway(arguments).one("revoke", arguments.id, reason=arguments.reason)
    if arguments.json:
        return _print_json(line["grant"])
    return _say(_revoked(line["grant"]))


def revoke_subject(arguments: argparse.Namespace) -> int:
    """Believe a subject no more."""
    line = Gateway(arguments).one("revoke-subject", arguments.id, reason=arguments.reason)
    if arguments.json:
        return _print_json(line["revoked"])
    return _say(_no_more(line["revoked"]))


def _no_more(revoked: Content) -> Iterator[str]:
    yield visible(revoked["why"])
    ended = [f"{count} {kind}" for kind, count in revoked["ended"].items() if count]
    if ended:
        yield f"Ended: {', '.join(ended)}."
    else:
        yield (
            "Nothing was open under that id. It must be exact, as jitgate sessions shows it: "
            "if it is not, nothing has been taken back."
        )
    yield (
        "No token of that id counts that was made until now, or in the next half minute. To keep "
        "it out, disable it at its identity provider: a newer token is believed."
    )


def reload(arguments: argparse.Namespace) -> int:
    """Have the gateway read its configuration again."""
    lines = [*Gateway(arguments, socket_in_any_state).told("reload")]
    if not lines or "reload" not in lines[-1]:
        raise NotTold("The gateway ended the connection before it had answered; its log says more.")
    done = lines[-1]["reload"]
    problems = [line["problem"] for line in lines if "problem" in line]
    notices = [line["notice"] for line in lines if "notice" in line]
    if arguments.json:
        _print_json({**done, "problems": problems, "notices": notices})
    elif done["replaced"]:
        same = done["policy"] == done["before"]
        was = "the same as before" if same else f"before it was {visible(done['before'])}"
        said = f"{visible(done['file'])}: in force. Policy {visible(done['policy'])}, {was}."
        _say([said, *map(visible, notices)])
    else:
        shown = [line for problem in problems for line in problem.split("\n")]
        print(*map(visible, shown), sep="\n", file=sys.stderr)
        print("Nothing was replaced: the gateway serves as before.", file=sys.stderr)
    return 0 if done["replaced"] else 1


def _answer(command: str, arguments: argparse.Namespace) -> int:
    says: dict[str, str | None] = {"reason": arguments.reason}
    if command == "approve":
        says |= {"uses": arguments.uses, "life": arguments.life}
        says["once"] = "true" if arguments.once else None
    line = Gateway(arguments).one(command, arguments.id, **says)
    if arguments.json:
        return _print_json(line["request"])
    return _say(_said(line["request"]))


def _follow(gateway: Gateway, arguments: argparse.Namespace) -> int:
    """Show every request as it comes and as it ends, until somebody has seen enough."""
    shown: dict[str, Content] = {}
    try:
        for line in gateway.follow():
            request = line.get("request")
            if arguments.json and request is not None:
                print(json.dumps(request), flush=True)
            elif not arguments.json:
                _say(_news(line, shown, _view(arguments, gateway)))
                sys.stdout.flush()
    except KeyboardInterrupt:
        return 0
    raise NotTold("The gateway has ended the connection: it stops, or this was not read in time.")


# --- in words


def _news(line: Content, shown: dict[str, Content], view: View) -> Iterator[str]:
    """A block for what has happened to a request; ``shown`` are those that still wait."""
    if "end" in line:
        if not shown:
            yield from ("Nothing waits yet.", "")
        return
    request = line["request"]
    before = shown.pop(request["id"], None)
    if request["state"] != "pending":
        yield f"{named(request['id'])} has ended: {request['state']}. {visible(request['why'])}"
        yield ""
        return
    shown[request["id"]] = request
    if before is None:
        yield from (*view.request(request, may_answer=_may_answer(line)), "")
        return
    for answer in request["answers"]:
        if answer not in before["answers"]:
            yield f"{named(request['id'])}: {answered(answer)}"
            yield from (needed(request), "")
    for step in request["escalations"]:
        if step["asked"] and {**step, "asked": False} in before["escalations"]:
            yield f"{named(request['id'])}: {', '.join(map(visible, step['groups']))} asked as well"
            yield ""


def _said(request: Content) -> Iterator[str]:
    """What somebody's answer has done."""
    what = f"{named(request['action'])} on {named(request['target'])}"
    yield f"{named(request['id'])}: {_cell(what)}, asked by {_cell(named(request['subject']))}"
    if request["state"] == "denied":
        yield "Denied. The agent is told so, with your reason if you gave one."
    elif request["state"] == "approved":
        yield _approved(request)
    elif request["answers"][-1]["approves"]:
        yield f"Approved; {needed(request)}"
        yield f"With them it gives: {given(request)}."
    else:
        against = sum(not answer["approves"] for answer in request["answers"])
        more = request["denials"] - against
        yield f"Denied; {more} more of those who are asked must deny it as well, or it goes on."


def _approved(request: Content) -> str:
    if request["ahead"]:
        return (
            "Approved: the agent now gets a token for it, whose calls go out under the grant "
            f"{named(request['grant'])} until {_over(request)}."
        )
    if request["presence"] == "attached":
        goes = "the agent's call goes out now"
        more = request["gives"]["uses"] - 1
        if not more:
            return f"Approved: {goes}."
        return f"Approved: {goes}, and up to {more} more like it until {_over(request)}."
    return (
        f"Approved. The agent is away; the grant {named(request['grant'])} waits until "
        f"{_over(request)} for it to send the call again."
    )


def _over(request: Content) -> str:
    """When a grant that has just been made is over."""
    return clock_at(seconds(request["answers"][-1]["at"]) + request["gives"]["life"])


def _revoked(grant: Content) -> Iterator[str]:
    agent = _cell(named(grant["subject"]))
    yield f"{named(grant['id'])}: {_cell(_for(grant), FOR_CHARS)}, given to {agent}"
    if grant["state"] == "revoked in flight":
        yield "Revoked. A call was out under it and was ended: the target may have carried it out."
    else:
        yield "Revoked: nothing goes out under it any more."


def _for(grant: Content) -> str:
    """What a grant is for."""
    resource = resource_words(grant)
    what = f"{named(grant['action'])} on {named(grant['target'])}"
    return f"{'any ' * grant['scope']}{what}" + (f", {resource}" if resource else "")


def _pending_rows(pending: Sequence[Content]) -> Iterator[Sequence[str]]:
    now = time.time()
    yield "ID", "AGE", "EXPIRES", "AGENT", "ACTION", "RESOURCE", "STATUS"
    for request in pending:
        yield (
            named(request["id"]),
            span(now - seconds(request["opened_at"])),
            ahead(request["expires_at"], now),
            _cell(named(request["subject"])),
            _cell(f"{named(request['action'])} on {named(request['target'])}"),
            _cell(resource_words(request), FOR_CHARS),
            _status(request),
        )


def _status(request: Content) -> str:
    status = "waiting" if request["presence"] == "attached" else "away"
    return status if request["asked"] == 1 else f"{status}, asked {request['asked']} times"


def _grant_rows(found: Sequence[Content]) -> Iterator[Sequence[str]]:
    now = time.time()
    yield "ID", "LEFT", "EXPIRES", "AGENT", "FOR", "APPROVED BY"
    for grant in found:
        yield (
            named(grant["id"]),
            f"{grant['left']} of {grant['uses']}",
            ahead(grant["expires_at"], now),
            _cell(named(grant["subject"])),
            _cell(_for(grant), FOR_CHARS),
            _cell(", ".join(map(visible, grant["approved_by"]))),
        )


def _cell(text: str, chars: int = CELL_CHARS) -> str:
    return text if len(text) <= chars else f"{text[:chars]}…"


def _view(arguments: argparse.Namespace, gateway: Gateway) -> View:
    return View(time.time(), width(), whole=arguments.all, options=gateway.options)


def _may_answer(line: Content) -> bool:
    return bool(line["power"] == "approver")


def _say(lines: Iterable[str]) -> int:
    for line in lines:
        print(line)
    return 0


def _print_json(content: object) -> int:
    print(json.dumps(content, indent=2))
    return 0
