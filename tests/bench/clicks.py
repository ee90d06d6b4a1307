"""How soon a click in Slack wakes its call, while ten thousand others wait for theirs.

A real gateway, which Slack (`support.slack`) calls back over HTTP, signed; the cards come at Slack's
own pace, and are repaired each minute as ever. Each is clicked at as it appears, so that what waits
to be shown is as long as can be. Timed is from when Slack begins to post the click until the agent
has the first byte of its answer: the signature, who it is (a call of Slack's), the commit, the
record on the disk, the call to the origin and back. Slack itself answers as soon as it can.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.approver import APPROVER
from support.gateway import GatewayProcess
from support.slack import Forgery, Json, Slack

from jitgate.approvers.slack.about import APPROVE, About
from jitgate.approvers.slack.queue import POST

from . import gateway
from .figures import US, Goal, Row, rows
from .held import allow_files, change, opened, path_of, roomy, until_held
from .rounds import Bench

CLICKS = 100
"""Requests that are approved: a card comes each second."""

PATIENCE = 30.0
"""Seconds that a card, or an answer, may take to come."""


@dataclass(frozen=True)
class Clicks:
    """The rows about a click."""

    name: str = "clicks"
    tells: str = "10,000 held requests that Slack shows: from a click to the agent's answer"

    def run(self, bench: Bench) -> list[Row]:
        allow_files(bench.held + 1000)
        with bench.gateway_folder() as folder, Slack.start(folder) as slack:
            configured = roomy(bench.held) | {"slack": _section(slack, folder)}
            approvals: Any = configured["approvals"]
            approvals["channels"] = ["cli", "slack"]
            with gateway.running(bench.site, folder, **configured) as (run, token):
                slack.deliver_to(f"http://127.0.0.1:{run.ports['admin']}/slack/events")
                took = sorted(_taken(bench, run, slack, token))
        middle, late = took[len(took) // 2], took[math.ceil(len(took) * 0.99) - 1]
        return [
            *rows("click to the agent's answer, p50", "ms", {US: [middle]}, None),
            *rows("click to the agent's answer, p99", "ms", {US: [late]}, Goal(100)),
        ]


def _section(slack: Slack, folder: Path) -> Mapping[str, object]:
    tokens = {"bot_token": slack.bot_token, "signing_secret": slack.signing_secret}
    for name, token in tokens.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(token)
    return {
        "app": slack.facts.app_id,
        "team": slack.facts.team_id,
        "channel": slack.channel(),
        "api": slack.url,
        "people": {slack["alice"].id: APPROVER},
        **{name: f"file:./{name}" for name in tokens},
    }


@contextmanager
def _held(bench: Bench, run: GatewayProcess, token: str) -> Iterator[dict[str, Any]]:
    """Calls that wait, by the path that each is for; hung up in the end."""
    tunnels = list(opened(bench, run, token))
    try:
        for number, tunnel in enumerate(tunnels):
            tunnel.send(change(bench, number))
        until_held(bench, run, len(tunnels))
        yield {path_of(number): tunnel.tls for number, tunnel in enumerate(tunnels)}
    finally:
        for tunnel in tunnels:
            tunnel.close()


def _taken(bench: Bench, run: GatewayProcess, slack: Slack, token: str) -> Iterator[float]:
    """Milliseconds from a click to the agent's answer, one after the other."""
    with _held(bench, run, token) as calls, ThreadPoolExecutor(1) as clicking:
        paths = {
            each["access_request"]: each["operation"]["url"].partition(str(bench.site.origin))[2]
            for each in run.entries("access.opened")
        }
        for number, card in zip(range(CLICKS), _cards(slack), strict=False):
            began: list[float] = []
            forgery = Forgery(change=lambda payload, began=began: began.append(time.monotonic()))
            tls = calls[paths[_about(slack, card)]]
            tls.settimeout(PATIENCE)
            click = clicking.submit(slack.click, card, APPROVE, slack["alice"], forgery=forgery)
            if not tls.recv(1):
                raise RuntimeError("an approved call did not come back")
            took = 1000 * (time.monotonic() - began[0])
            answer = click.result()
            if not answer.ok:
                raise RuntimeError(f"a click was not acknowledged: {answer.failure}")
            if number % 10 == 0:
                bench.say(f"  click {number}: {took:.1f} ms, Slack {1000 * answer.seconds:.1f} ms")
            yield took


def _cards(slack: Slack) -> Iterator[Json]:
    """The cards, each as it appears."""
    seen: set[str] = set()

    def new() -> list[Json]:
        return [
            {"channel": each.arguments["channel"], "ts": each.answer["ts"]}
            for each in slack.calls(POST)
            if each.answer.get("ok") and "thread_ts" not in each.arguments
            if each.answer["ts"] not in seen
        ]

    while True:
        for card in slack.wait(new, PATIENCE):
            seen.add(card["ts"])
            yield card


def _about(slack: Slack, card: Json) -> str:
    """The id of the request that a card shows."""
    blocks = slack.do(slack.looking.current(card))["blocks"]
    buttons = [each for block in blocks for each in block.get("elements", ())]
    value = next(each["value"] for each in buttons if each.get("action_id") == APPROVE)
    about = About.read(value)
    if about is None:
        raise RuntimeError("a button is about nothing")
    return about.request
