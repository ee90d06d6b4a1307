"""People answer in Slack, end to end: from the official SDK's call to what it is told.

The SDK, the gateway and the org are the real ones, or the counterparts that nobody here wrote; Slack
is `support.slack`. Every click arrives there signed over HTTP, or through Socket Mode. Times are
scaled: Slack's pace by the gateway's plugin (`support.stage`), the others by the configuration.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from real.conftest import Estate, configured
from real.sdk import Result, Sdk
from support import stage
from support.approver import APPROVER, Approver
from support.counterparts import ALICE, BOB, Agent, Issuer, Org
from support.dam import Dam
from support.gateway import GatewayProcess, health, wait_for
from support.slack import Answer, Forgery, Json, Person, Slack

from jitgate.approvers.slack.about import APPROVE, DENY
from jitgate.approvers.slack.queue import IN_A_ROOM, IN_ALL, POST, Pace
from jitgate.approvers.slack.signs import SETTLED

pytestmark = pytest.mark.timeout(120)

TIMES = {"http": {"hold": "30s", "expire": "90s"}, "socket": {"hold": "2s", "expire": "9s"}}
"""By the way in which Slack reaches the gateway. What the SDK is told to wait between two attempts
follows: (expire - 3 x hold) / 2."""

HASTE = 20.0
"""So much faster than Slack's limits the gateway writes to it: its minute is 3 seconds."""

MANY = 200
"""Requests of one minute."""

LEADS, SECURITY = {"groups": ["it-leads"]}, {"groups": ["security"]}
"""Alice is in both; Bob and Dave lead, Carol is of security. The agent is Dave's."""

GROUPS = {
    "it-leads": [APPROVER, "bob@acme.example", "dave@acme.example"],
    "security": [APPROVER, "carol@acme.example"],
}


def rule(action: str, approvers: object) -> dict[str, object]:
    return {
        "name": f"look-at-{action.lower()}",
        "reason": "Changes to people are looked at by IT",
        "match": {"targets": ["okta"], "actions": [action], "groups": ["it-agents"]},
        "effect": "review",
        "approvers": approvers,
        "mask": "okta",
    }


RULES = [
    rule("deactivateUser", LEADS),
    rule("suspendUser", {**LEADS, "quorum": 2, "signs": True}),
    rule("createUser", [LEADS, SECURITY]),
    rule("addGroup", LEADS),
]

DEACTIVATE_ALICE = f"client.deactivate_user({ALICE!r})"
DEACTIVATE_BOB = f"client.deactivate_user({BOB!r})"
SUSPEND_BOB = f"client.suspend_user({BOB!r})"
GRACE = dict.fromkeys(("email", "login"), "grace@acme.example")
CREATE_GRACE = (
    "client.create_user(models.CreateUserRequest.from_dict("
    f"{ {'profile': {'firstName': 'Grace', 'lastName': 'Hopper', **GRACE}} }))"
)


class Desk:
    """The gateway between the SDK and the org, whose people are in Slack, and who is at them all."""

    def __init__(self, org: Org, issuer: Issuer, slack: Slack, dam: Dam, folder: Path) -> None:
        self.org, self.slack, self.dam, self.folder = org, slack, dam, folder
        self._issuer = issuer
        self.channel = slack.channel()
        self.fatal = folder / "fatal"
        self.gateway: GatewayProcess | None = None
        self._way = ""
        self.sdk: Sdk
        for name, token in {
            "bot": slack.bot_token,
            "app": slack.app_token,
            "signing": slack.signing_secret,
        }.items():
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(token)
        (folder / "policy.yaml").write_bytes(orjson.dumps(RULES))

    # --- the gateway

    def serve(self, way: str) -> None:
        """Have a gateway that Slack reaches so: this one, or another over the same state."""
        running = self.gateway is not None and self.gateway.process.poll() is None
        if running and self._way == way:
            return
        self.stop()
        self._way = way
        self.gateway = GatewayProcess(self.folder, self._settings(way))
        admin = self.gateway.ports["admin"]
        self.slack.deliver_to(f"http://127.0.0.1:{admin}/slack/events" if way == "http" else None)
        if way == "socket":
            wait_for(lambda: health(self.gateway)[1]["slack"]["state"] == "ok")

    def _settings(self, way: str) -> dict[str, Any]:
        made = configured(self.folder, self.org, self._issuer)
        made["identity"]["issuers"][0]["owners"] = {"it-agent": "dave@acme.example"}
        made["targets"][0]["dial"] = f"127.0.0.1:{self.dam.port}"
        fatal = {"fatal": str(self.fatal), "haste": HASTE}
        made["plugins"].append({"file": stage.__file__, "options": fatal})
        made["policy"] = [str(self.folder / "policy.yaml")]
        tokens = {"http": ("signing_secret", "signing"), "socket": ("app_token", "app")}
        name, file = tokens[way]
        bounds = dict.fromkeys(("per_agent", "per_approver"), 10 * MANY)
        return made | {
            "control": {"approvers": {os.getuid(): APPROVER}},
            "approvals": {
                **TIMES[way],
                "channels": ["cli", "slack", "stage"],
                "groups": GROUPS,
                "per_agent": 2 * MANY,
                "cool_down": "0s",
                "fatigue": {**bounds, "denials": 100},
            },
            "limits": {"connections_per_agent": 2 * MANY},
            "slack": {
                "app": self.slack.facts.app_id,
                "team": self.slack.facts.team_id,
                "channel": self.channel,
                "bot_token": "file:./bot",
                "api": self.slack.url,
                name: f"file:./{file}",
            },
        }

    def kill(self) -> None:
        assert self.gateway is not None
        os.kill(self.gateway.process.pid, signal.SIGKILL)
        self.has_died()

    def has_died(self) -> None:
        assert self.gateway is not None
        assert self.gateway.process.wait(30) == -signal.SIGKILL

    def stop(self) -> None:
        if self.gateway is not None:
            with self.gateway:
                pass
            output = "".join(self.gateway.output)
            assert "Traceback" not in output, output
            assert "critical]" not in output, output

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """What is on record since the test began."""
        assert self.gateway is not None
        found = sorted(self.gateway.all_entries(), key=lambda each: each["time"])
        return [each for each in found[self.begun :] if each["type"] == kind]

    # --- the agent

    def calls(self, call: str, *, patience: float = 600.0) -> Future[Result]:
        """The SDK makes a call."""
        estate = Estate(self.org, self._issuer, self.gateway, self.folder)
        return self.sdk.call(call, estate.environment(), patience=patience)

    def end(self) -> None:
        """A test is over: whatever it has left waiting waits no longer."""
        if len(self.entries("access.opened")) > len(self.entries("access.ended")):
            approver = Approver(self.gateway.config)
            for request in approver.waiting():
                approver.deny(request["id"], "The test is over")

    def arrivals(self) -> list[tuple[str, str]]:
        """The agent's calls that reached the org; not the gateway's own, for names of things."""
        return [
            (each.method, each.path.rpartition("/")[2])
            for each in self.org.journal()
            if each.path.startswith("/api/") and not each.wanted_nonce
            if not any(field.startswith("jitgate/n-") for field in each.fields)
        ]

    # --- Slack

    def begin(self) -> None:
        """A test begins: the org is as it was seeded, and Slack has heard of nothing."""
        self.slack.reset()
        self.dam.open()
        self.org.reset()
        self.org.clear()
        self.begun = len(self.gateway.all_entries())

    def cards(self) -> list[Json]:
        """The messages that were posted since, but for what stands in threads."""
        return [
            {"channel": self.channel, "ts": each.answer["ts"]}
            for each in self.slack.calls(POST)
            if each.answer.get("ok") and "thread_ts" not in each.arguments
        ]

    def card(self) -> Json:
        """The only card, once it is there."""
        (card,) = self.slack.wait(self.cards, 30)
        return card

    def text(self, card: Json) -> str:
        """All that a card says by now."""
        return f"{self.slack.do(self.slack.looking.current(card))['blocks']}"

    def shows(self, card: Json, words: str) -> None:
        """Wait until a card says so."""
        self.slack.wait(lambda: words in self.text(card), 30)

    def told(self, person: Person) -> str:
        """What somebody alone was told last, once they were told anything new."""
        heard = self.slack.wait(lambda: self.slack.ephemerals(person), 30)
        self.slack.front.ephemerals.clear()
        return heard[-1].text

    def denies(self, card: Json, person: Person, reason: str) -> None:
        assert self.slack.click(card, DENY, person).ok
        assert self.slack.submit(self.slack.views(person)[-1], person, {"reason": reason}).ok


@contextmanager
def desk_in(folder: Path) -> Iterator[Desk]:
    with ExitStack() as stack:
        agents = [Agent("it-agent", ("it-agents",))]
        org = stack.enter_context(Org.start(folder))
        issuer = stack.enter_context(Issuer.start(folder, agents))
        slack = stack.enter_context(Slack.start(folder))
        dam = stack.enter_context(Dam(org.port))
        desk = Desk(org, issuer, slack, dam, folder)
        stack.callback(desk.stop)
        desk.serve("http")
        desk.sdk = stack.enter_context(Sdk.start(str(desk.gateway.ca)))
        yield desk


@pytest.fixture(autouse=True)
def from_the_seed():
    """Each test begins a desk of its own (`Desk.begin`)."""


@pytest.fixture(scope="module")
def every_test(tmp_path_factory):
    with desk_in(tmp_path_factory.mktemp("desk")) as desk:
        yield desk


def by(*ways: str):
    """In which ways a test is done; it is over HTTP alone if nothing is said."""

    def marked(test):
        test.ways = ways
        return test

    return marked


def pytest_generate_tests(metafunc):
    """Grouped by the way: each has a gateway of its own."""
    ways = getattr(metafunc.function, "ways", ("http",))
    metafunc.parametrize("way", ways, scope="module")


@pytest.fixture
def desk(every_test, way):
    every_test.serve(way)
    every_test.begin()
    yield every_test
    every_test.end()


def is_waiting(desk: Desk, call: Future[Result]) -> bool:
    return not call.done() and desk.arrivals() == []


def succeeds(call: Future[Result]) -> None:
    assert call.result(60)["error"] == ""


# --- yes, no, and nothing


@by("http", "socket")
def test_a_click_lets_the_sdks_call_go(desk):
    call = desk.calls(DEACTIVATE_ALICE)
    card = desk.card()
    shown = desk.text(card)
    assert "alice@acme.example" in shown  # looked up: the call has her id alone
    assert "it-agent" in shown
    assert is_waiting(desk, call)
    assert desk.slack.click(card, APPROVE, desk.slack["bob"]).ok
    succeeds(call)
    assert desk.arrivals() == [("POST", "deactivate")]
    (answer,) = desk.entries("access.answered")
    assert (answer["approver"], answer["channel"]) == ("bob@acme.example", "slack")
    desk.shows(card, "Used: the call was sent, and answered.")


@by("http", "socket")
def test_a_denial_is_the_sdks_error_with_its_reason(desk):
    call = desk.calls(DEACTIVATE_ALICE)
    desk.denies(desk.card(), desk.slack["bob"], "She comes back on Monday")
    result = call.result(60)
    assert result["kind"] == "OktaAPIError"
    assert "She comes back on Monday" in result["error"]
    assert desk.arrivals() == []


@by("socket")
def test_what_nobody_answers_expires_and_is_nobodys_no(desk):
    call = desk.calls(DEACTIVATE_BOB)
    card = desk.card()
    result = call.result(60)
    assert result["kind"] == "OktaAPIError"
    assert "Nobody answered in time" in result["error"]
    desk.shows(card, "⌛ Expired, nobody decided")
    assert "Denied" not in desk.text(card)
    assert desk.entries("access.answered") == []
    (ended,) = desk.entries("access.ended")
    assert ended["state"] == "expired"
    assert desk.arrivals() == []


def test_who_hangs_up_and_sends_again_finds_the_approval_of_meanwhile(desk):
    assert desk.calls(DEACTIVATE_ALICE, patience=2).result(60)["kind"] == "TimeoutError"
    card = desk.card()
    wait_for(lambda: [e for e in desk.entries("outcome") if e.get("denial") == "agent-gone"])
    assert desk.slack.click(card, APPROVE, desk.slack["alice"]).ok
    assert desk.arrivals() == []
    succeeds(desk.calls(DEACTIVATE_ALICE))
    assert desk.cards() == [card]
    assert desk.arrivals() == [("POST", "deactivate")]


# --- who may answer


@by("http", "socket")
def test_who_may_not_answer_is_told_so_alone_and_the_call_waits(desk):
    call = desk.calls(DEACTIVATE_ALICE)
    card = desk.card()
    assert desk.slack.click(card, APPROVE, desk.slack["erin"]).ok
    assert "none of the groups" in desk.told(desk.slack["erin"])
    (refused,) = wait_for(lambda: desk.entries("slack.refused"))
    assert (refused["user"], refused["person"]) == (desk.slack["erin"].id, "erin@acme.example")
    assert is_waiting(desk, call)
    assert desk.slack.click(card, APPROVE, desk.slack["bob"]).ok
    succeeds(call)


def test_nobody_answers_what_their_own_agent_asks(desk):
    call = desk.calls(DEACTIVATE_ALICE)
    card = desk.card()
    assert desk.slack.click(card, APPROVE, desk.slack["dave"]).ok
    assert "an agent of theirs" in desk.told(desk.slack["dave"])
    assert is_waiting(desk, call)
    assert desk.entries("access.answered") == []
    assert desk.slack.click(card, APPROVE, desk.slack["bob"]).ok
    succeeds(call)


def test_two_groups_are_two_people_and_the_second_lets_it_go(desk):
    """Alice is in both groups, and counts for one of them, however often she approves."""
    call = desk.calls(CREATE_GRACE)
    card = desk.card()
    for _ in range(2):
        assert desk.slack.click(card, APPROVE, desk.slack["alice"]).ok
        desk.shows(card, "1 approval is missing")
        assert is_waiting(desk, call)
    assert desk.slack.click(card, APPROVE, desk.slack["bob"]).ok
    succeeds(call)
    assert desk.arrivals() == [("POST", "users")]
    (grant,) = desk.entries("grant.made")
    assert grant["approved_by"] == ["alice@acme.example", "bob@acme.example"]


# --- what is not Slack's, or not of now


@pytest.mark.parametrize(
    "forgery",
    [Forgery(secret="e" * 32), Forgery(secret=None), Forgery(age=301), Forgery(age=-301)],
    ids=["forged", "unsigned", "stale", "from the future"],
)
def test_a_click_that_slack_has_not_signed_just_now_is_none(desk, forgery):
    call = desk.calls(DEACTIVATE_ALICE)
    card = desk.card()
    refused = desk.slack.click(card, APPROVE, desk.slack["bob"], forgery=forgery)
    assert refused.status in {400, 401}
    assert is_waiting(desk, call)
    assert desk.entries("access.answered") == []
    assert desk.slack.click(card, APPROVE, desk.slack["bob"]).ok
    succeeds(call)


def test_a_click_that_is_sent_once_more_is_none(desk):
    call = desk.calls(SUSPEND_BOB)
    card = desk.card()
    click = desk.slack.click(card, APPROVE, desk.slack["alice"])
    assert click.ok
    assert desk.slack.replay(click).status == 403
    assert len(desk.entries("access.answered")) == 1
    assert is_waiting(desk, call)
    assert desk.slack.click(card, APPROVE, desk.slack["bob"]).ok
    succeeds(call)


def test_who_clicks_too_late_for_slack_to_open_the_form_is_told_to_press_again(desk):
    call = desk.calls(DEACTIVATE_ALICE)
    card = desk.card()
    assert desk.slack.click(card, DENY, desk.slack["bob"], late=True).ok
    assert "Press it again" in desk.told(desk.slack["bob"])
    assert desk.slack.views(desk.slack["bob"]) == []
    assert is_waiting(desk, call)
    desk.denies(card, desk.slack["bob"], "Not today")
    assert "Not today" in call.result(60)["error"]


# --- reactions


@by("http", "socket")
def test_a_reaction_approves_and_takes_back_until_it_is_decided(desk):
    call = desk.calls(SUSPEND_BOB)
    card = desk.card()
    time.sleep(SETTLED + 0.2)  # people read first: before that no reaction counts
    message = desk.slack.do(desk.slack.looking.current(card))
    alice, bob = desk.slack["alice"], desk.slack["bob"]
    assert desk.slack.react(message, "white_check_mark", alice).ok
    assert [each["approver"] for each in desk.entries("access.answered")] == [APPROVER]
    assert desk.slack.react(message, "white_check_mark", alice, remove=True).ok
    (void,) = desk.entries("access.void")
    assert void["approver"] == APPROVER
    assert desk.slack.react(message, "white_check_mark", bob).ok
    assert is_waiting(desk, call)  # his alone
    assert desk.slack.react(message, "white_check_mark", alice).ok
    succeeds(call)
    assert desk.slack.react(message, "white_check_mark", alice, remove=True).ok
    assert len(desk.entries("access.void")) == 1
    assert desk.arrivals() == [("POST", "suspend")]


def test_a_reaction_is_no_answer_to_what_destroys(desk):
    call = desk.calls(DEACTIVATE_ALICE)
    card = desk.card()
    message = desk.slack.do(desk.slack.looking.current(card))
    assert desk.slack.react(message, "white_check_mark", desk.slack["bob"]).ok
    assert "A reaction is no answer" in desk.told(desk.slack["bob"])
    assert is_waiting(desk, call)
    assert desk.slack.click(card, APPROVE, desk.slack["bob"]).ok
    succeeds(call)


# --- a gateway that dies


def goes_once(desk: Desk, card: Json) -> None:
    """After a restart: approved once, spent once, sent once, and shown so."""
    succeeds(desk.calls(DEACTIVATE_ALICE))
    assert desk.arrivals() == [("POST", "deactivate")]
    for kind in ("access.opened", "access.answered", "grant.made", "grant.spent"):
        assert len(desk.entries(kind)) == 1, kind
    assert [each["ts"] for each in desk.cards()] == [card["ts"]]
    desk.shows(card, "Used: the call was sent, and answered.")


def dies(desk: Desk) -> tuple[Future[Result], Json, Answer]:
    """A click at the moment of which the gateway is killed: kept, and never acknowledged.

    The card is as they saw it: after a restart somebody may click at it before it is shown anew.
    """
    call = desk.calls(DEACTIVATE_ALICE)
    card = desk.slack.do(desk.slack.looking.current(desk.card()))
    desk.fatal.touch()
    click = desk.slack.click(card, APPROVE, desk.slack["bob"])
    desk.has_died()
    desk.fatal.unlink()
    return call, card, click


def test_killed_between_commit_and_acknowledgement_nothing_is_lost_or_doubled(desk):
    call, card, click = dies(desk)
    assert not click.ok
    assert call.result(60)["error"]
    assert desk.arrivals() == []
    desk.serve("http")
    assert desk.slack.click(card, APPROVE, desk.slack["bob"], as_shown=True).ok
    assert "approved already" in desk.told(desk.slack["bob"])
    goes_once(desk, card)


@by("socket")
def test_killed_before_it_acknowledges_over_a_socket_nothing_is_lost_or_doubled(desk):
    call, card, click = dies(desk)
    assert not click.ok
    assert call.result(60)["error"]
    assert desk.arrivals() == []
    desk.serve("socket")
    goes_once(desk, card)


def test_killed_between_acknowledgement_and_forward_nothing_is_lost_or_doubled(desk):
    call = desk.calls(DEACTIVATE_ALICE)
    card = desk.card()
    desk.shows(card, APPROVE)
    desk.dam.shut()
    assert desk.slack.click(card, APPROVE, desk.slack["bob"]).ok
    desk.kill()
    assert len(desk.entries("grant.made")) == 1
    assert desk.entries("grant.spent") == []
    assert call.result(60)["error"]
    desk.dam.open()
    desk.serve("http")
    assert desk.arrivals() == []
    goes_once(desk, card)


# --- many at once


def keeps_to(pace: Pace, times: list[float]) -> bool:
    """Whether calls came at most as a bucket lets them; what is late on its way comes together."""
    return all(
        number - first + 1 <= pace.burst + 1 + pace.rate * HASTE * (times[number] - at + 0.25)
        for first, at in enumerate(times)
        for number in range(first, len(times))
    )


def test_two_hundred_requests_of_a_minute_are_two_hundred_cards_and_none_is_doubled(desk):
    calls = [
        desk.calls(
            "client.add_group(models.AddGroupRequest.from_dict("
            f"{ {'profile': {'name': f'Group {number}'}} }))"
        )
        for number in range(MANY)
    ]
    answered: set[str] = set()
    with ThreadPoolExecutor(8) as people:

        def new() -> list[Json]:
            return [each for each in desk.cards() if each["ts"] not in answered]

        clicks = []
        while len(answered) < MANY:
            for card in desk.slack.wait(new, 30):
                answered.add(card["ts"])
                someone = desk.slack[("alice", "bob")[len(answered) % 2]]
                clicks.append(people.submit(desk.slack.click, card, APPROVE, someone))
        assert all(each.result().ok for each in clicks)
    for call in calls:
        succeeds(call)
    assert len(desk.cards()) == MANY
    assert desk.arrivals() == [("POST", "groups")] * MANY
    for kind in ("access.opened", "access.answered", "grant.made", "grant.spent"):
        found = desk.entries(kind)
        assert len({each["access_request"] for each in found}) == len(found) == MANY, kind
    posted = [each.at for each in desk.slack.calls(POST)]
    assert keeps_to(IN_A_ROOM[POST], posted)
    assert keeps_to(IN_ALL[POST], posted)
