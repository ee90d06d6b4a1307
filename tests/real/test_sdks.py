"""The SDKs of Okta, Slack, GitHub and Microsoft Graph, unmodified, at their own addresses.

Each program plays all its scenarios once, in one process; the tests look at what it told.
"""

from __future__ import annotations

import pytest
from real.world import clean, play
from support.counterparts import PORTAL_SECRET

MASKED = "*" * 16


@pytest.fixture(scope="module")
def slack(world):
    return world.play("with_slack_sdk.py")


@pytest.fixture(scope="module")
def github(world):
    return world.play("with_pygithub.py")


@pytest.fixture(scope="module")
def graph(world):
    return world.play("with_msgraph.py")


# --- slack_sdk


def test_slack_sdk_reads_what_is_masked(slack):
    assert slack["read"] == {"admin": MASKED, "ada": MASKED}


def test_slack_sdk_writes(slack):
    sent, history = slack["write"]
    assert sent == "grüße"
    assert sent in history


def test_slack_sdk_uploads_a_file(slack):
    assert slack["large"] == 2 * 1024 * 1024


def test_slack_sdk_raises_its_own_error_with_our_reason(slack):
    said = slack.raised("denied")
    assert said.startswith("SlackApiError")
    assert "Messages stay where they are" in said
    assert slack.calls("POST", "https://slack.com/api/chat.delete") == 1


def test_slack_sdk_calls_in_turn_and_at_once(slack):
    assert slack["several"] == [True] * 8


def test_slack_sdk_waits_when_it_is_told_to_if_it_was_given_its_own_handler(slack):
    assert slack.raised("slow_down").startswith("SlackApiError")
    assert slack["slow_down_obeyed"] == 2


def test_slack_sdk_shows_why_the_target_is_down(slack):
    assert "connection refused" in slack.raised("down")


def test_slack_sdk_shows_a_403_of_the_proxy_for_another_host(slack):
    assert "Tunnel connection failed: 403" in slack.raised("unknown")


# --- PyGithub


def test_pygithub_reads_what_is_masked(github):
    assert github["read"] == ["Octo", MASKED]


def test_pygithub_writes(github):
    assert github["write"] == ["über", 100_000]


def test_pygithub_follows_links_to_further_pages(github):
    assert github["paged"] == 3


def test_pygithub_raises_its_own_error_with_our_reason(github):
    said = github.raised("denied")
    assert said.startswith("GithubException: 403")
    assert "Agents delete nothing" in said
    assert github.calls("DELETE", "https://api.github.com/repos/octocat/hello") == 1


def test_pygithub_calls_in_turn_and_at_once(github):
    assert github["several"] == ["octocat"] * 8


def test_pygithub_waits_when_it_is_told_to(github):
    assert github["slow_down"] == github["unavailable"] == 2


def test_pygithub_sends_eleven_times_where_a_target_is_down_and_then_does_not_say_why(github):
    assert "too many 502 error responses" in github.raised("down")
    assert github.calls("GET", "https://down.example/users/octocat") == 11


def test_pygithub_sends_a_change_once_whose_answer_is_withheld_and_says_why(github):
    """It would send any 5xx again ten times, and change ten things."""
    said = github.raised("withheld")
    assert said.startswith("GithubException: 403")
    assert "text/html is not looked at" in said
    assert "The target answered with status 201." in said
    assert "Do not repeat it" in said
    assert github.calls("POST", "https://httpbin.example/in-html/user/repos") == 1


# --- msgraph-sdk


def test_msgraph_reads_what_is_masked(graph):
    assert graph["read"] == ["Ada Lovelace", MASKED]


def test_msgraph_writes(graph):
    method, sent = graph["write"]
    assert method == "POST"
    assert (sent["displayName"], sent["jobTitle"]) == ("Grüße", "x")


def test_msgraph_raises_its_own_error_with_our_reason(graph):
    assert graph.raised("denied") == (
        "ODataError: Denied by policy (jitgate): Agents delete nothing (status 403)"
    )
    assert graph.calls("DELETE", "https://graph.microsoft.com/v1.0/users/ada") == 1


def test_msgraph_calls_in_turn_and_at_once(graph):
    assert graph["several"] == ["Ada Lovelace"] * 8


def test_msgraph_waits_when_it_is_told_to(graph):
    assert graph["slow_down"] == graph["unavailable"] == 2


def test_msgraph_shows_why_the_target_is_down(graph):
    assert "connection refused" in graph.raised("down")


# --- any of them


@pytest.mark.parametrize("program", ["with_slack_sdk.py", "with_pygithub.py", "with_msgraph.py"])
def test_a_token_out_of_time_is_the_sdks_own_error_that_says_so(world, program):
    told = world.play(program, "read", token=world.tokens.token(life=-120))
    assert "has expired" in told.raised("read")


# --- Okta's for Node; that for Python has a file of its own


@pytest.fixture
def okta(estate, npm):
    def played(*scenarios, agent="it-agent"):
        more = {"NODE_EXTRA_CA_CERTS": str(estate.gateway.ca)}
        environment = clean() | estate.environment(agent) | more
        return play(npm, "with_okta.mjs", environment, *scenarios)

    return played


def test_okta_for_node_reads_writes_and_is_masked(okta, estate):
    told = okta("read", "masked", "write", "several")
    assert "alice@acme.example" in told["read"]["said"]
    secrets = {secret for _, secret in told["masked"]["said"]}
    assert secrets == {MASKED}
    assert PORTAL_SECRET not in str(told)
    assert told["write"]["said"] == "grace@acme.example"
    assert len(set(told["several"]["said"])) == 1
    arrived = [each for each in estate.org.answered() if not each.wanted_nonce]
    assert {each.status for each in arrived} == {200, 201}


def test_okta_for_node_raises_its_own_error_with_our_reason(okta, estate):
    told = okta("denied", "unpermitted")
    assert "Administrators are made by people" in told["denied"]["text"]
    assert "No rule permits" in told["unpermitted"]["text"]
    assert estate.org.calls() == []
