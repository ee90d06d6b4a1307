"""Socket Mode: the same answers through a connection that the gateway opens, and opens again."""

import pytest
from approvers.slack.answering import ALICE, SIGNED, SlackSite
from pytest_twisted import async_yield_fixture, ensureDeferred
from support.listening import until
from support.slack import Forgery
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from jitgate.approvers.slack import socket_mode
from jitgate.approvers.slack.about import DENY
from jitgate.approvers.slack.gate import REPLAYED
from jitgate.approvers.slack.socket_mode import SocketMode, is_safe
from jitgate.errors import StoreDown
from jitgate.values import AccessState


@async_yield_fixture
async def site(folder, slack):
    """A gateway that people answer in Slack, through Socket Mode."""
    site = SlackSite(folder, slack, socket=True)
    await site.start()
    yield site
    await site.stop()


@ensureDeferred
async def test_a_click_is_acknowledged_once_it_is_kept(site):
    message = await site.post()
    answer = await site.click(message)
    assert answer.ok
    assert (await site.request()).state is AccessState.APPROVED
    assert [each["approver"] for each in site.answered()] == [ALICE]


@ensureDeferred
async def test_a_form_and_a_sign_come_the_same_way(site):
    message = await site.post(terms=SIGNED)
    await site.react(message)
    assert await site.answers() == [(ALICE, True)]
    await site.click(message, DENY)
    wrong = await site.submit(values={"reason": "x" * 400})
    assert wrong.ok
    assert await site.answers() == [(ALICE, False)]


@ensureDeferred
async def test_what_is_wrong_in_a_form_is_told_in_it(site):
    message = await site.post()
    await site.click(message, DENY)
    await site.click(message, name="bob")
    answer = await site.submit(values={"reason": "no"})
    assert "approved already" in answer.json["errors"]["reason"]


@ensureDeferred
async def test_an_envelope_that_was_seen_is_refused_on_record(site):
    answer = await site.click(await site.post())
    again = await site.at_slack("replay", answer)
    assert not again.ok
    await until(lambda: site.noted)
    assert site.noted == [{"why": REPLAYED}]
    assert len(site.answered()) == 1


@ensureDeferred
async def test_another_app_and_another_workspace_are_refused_here_too(site):
    message = await site.post()
    for change in (
        lambda payload: payload.update(api_app_id="A0SOMEBODY"),
        lambda payload: payload["team"].update(id="T0STRANGER"),
    ):
        assert not (await site.click(message, forgery=Forgery(change=change))).ok
    assert await site.answers() == []
    await until(lambda: len(site.noted) == 2)


@ensureDeferred
async def test_nothing_is_let_in_that_may_have_been_seen(site):
    message = await site.post()
    site.once.failure = StoreDown("The disk is gone.")
    assert not (await site.click(message)).ok
    assert await site.answers() == []


@pytest.mark.parametrize("how", ["refresh_requested", "warning", "cut"])
@ensureDeferred
async def test_a_connection_that_ends_is_opened_again(site, how):
    before = site.slack.calls("apps.connections.open")
    if how == "cut":
        site.slack.drop()
    else:
        await site.at_slack("disconnect", how)
    await until(lambda: len(site.slack.calls("apps.connections.open")) > len(before))
    await until(lambda: site.link.down is None)
    message = await site.post()
    assert (await site.click(message)).ok
    assert await site.answers() == [(ALICE, True)]


@ensureDeferred
async def test_a_slack_that_is_down_at_the_start_is_tried_again(folder, slack, monkeypatch):
    monkeypatch.setattr(socket_mode, "FIRST", 0.05)
    site = SlackSite(folder, slack, socket=True)
    slack.fail("apps.connections.open", times=2)
    await site.store.open()
    await site.recorder.start()
    try:
        for part in site.parts:
            await part.start()
        assert "no connection" in site.link.down
        await until(lambda: site.link.down is None)
        assert len(slack.calls("apps.connections.open")) == 3
    finally:
        await site.stop()


@ensureDeferred
async def test_a_stop_while_there_is_no_connection_ends_at_once(folder, slack):
    slack.refuse_token("invalid_auth")
    site = SlackSite(folder, slack, socket=True)
    await site.link.start()
    await until(lambda: slack.calls("apps.connections.open"))
    await site.link.stop()
    await site.link.stop()


@pytest.mark.parametrize(
    ("url", "api", "safe"),
    [
        ("wss://wss-primary.slack.com/link/?ticket=1", "https://slack.com/api/", True),
        ("wss://wss.slack.com:443/link", "https://slack.com/api/", True),
        ("ws://wss-primary.slack.com/link", "https://slack.com/api/", False),
        ("wss://wss.slack.com:8443/link", "https://slack.com/api/", False),
        ("wss://wss.slack.com:x/link", "https://slack.com/api/", False),
        ("http://slack.com/link", "https://slack.com/api/", False),
        ("ws://127.0.0.1:8080/link", "http://127.0.0.1:8080/api/", True),
    ],
)
def test_a_connection_is_as_safe_as_the_api(url, api, safe):
    assert is_safe(url, api) is safe


@ensureDeferred
async def test_nothing_of_it_is_done_before_it_starts(slack, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    made = SocketMode(None, slack.app_token, lambda fields: None, reactor, base_url=slack.url)
    await deferToThread(lambda: None)
    assert slack.calls() == []
    assert made.down is not None
