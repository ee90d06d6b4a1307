"""What comes in over HTTP: only what Slack has signed, for this app, once, and not much of it."""

import time
from urllib.parse import urlencode

import pytest
from approvers.slack.answering import ALICE, TWO
from pytest_twisted import ensureDeferred
from support.slack import Forgery
from support.slack.delivery import signed
from twisted.internet.defer import gatherResults

from jitgate.admin.bounds import BODY_BYTES
from jitgate.approvers.slack.gate import REPLAYED, UNKEPT
from jitgate.errors import StoreDown

FORGED = "its signature is not slack's"


@pytest.mark.parametrize(
    ("forgery", "status"),
    [
        (Forgery(secret="somebody-elses-secret"), 401),
        (Forgery(secret=None), 400),
        (Forgery(age=301.0), 401),
        (Forgery(age=-302.0), 401),
        (Forgery(age=1e8), 401),
    ],
)
@ensureDeferred
async def test_what_slack_has_not_signed_just_now_is_refused_on_record(site, forgery, status):
    message = await site.post()
    answer = await site.click(message, forgery=forgery)
    assert answer.status == status
    assert await site.answers() == []
    (noted,) = site.noted
    assert noted["path"] == "/slack/events"
    assert "signed" in noted["why"] or FORGED in noted["why"].lower()


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.update({"X-Slack-Signature": "v0=" + "é" * 64}),
        lambda fields: fields.update({"X-Slack-Request-Timestamp": "yesterday"}),
        lambda fields: fields.update({"X-Slack-Request-Timestamp": f"{time.time()}"}),
        lambda fields: fields.update({"X-Slack-Signature": ""}),
        lambda fields: fields.update({"Content-Type": "text/plain"}),
        lambda fields: fields.pop("Content-Type"),
    ],
)
@ensureDeferred
async def test_what_is_oddly_signed_is_refused_and_breaks_nothing(site, change):
    message = await site.post()
    answer = await site.click(message)
    fields = dict(answer.headers)
    change(fields)
    said = await site.raw(fields, answer.raw)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert len(site.noted) == 1
    assert await site.answers() == [(ALICE, True)]


@ensureDeferred
async def test_one_signature_is_not_two(site):
    answer = await site.click(await site.post())
    fields = [*answer.headers.items(), ("X-Slack-Signature", "v0=" + "0" * 64)]
    assert (await site.raw(fields, answer.raw)).startswith(b"HTTP/1.1 400 ")


@ensureDeferred
async def test_what_was_sent_before_is_refused_on_record_even_after_a_restart(site):
    message = await site.post(terms=TWO)
    answer = await site.click(message)
    again = await site.at_slack("replay", answer)
    assert (again.status, again.again) == (403, False)
    await site.restart()
    assert (await site.at_slack("replay", answer)).status == 403
    assert [each["why"] for each in site.noted] == [REPLAYED, REPLAYED]
    assert len(site.answered()) == 1


@ensureDeferred
async def test_a_body_that_was_changed_is_not_what_was_signed(site):
    message = await site.post()
    answer = await site.click(message, "jitgate.deny")
    raw = answer.raw.replace(b"jitgate.deny", b"jitgate.approve")
    assert raw != answer.raw
    assert (await site.raw(answer.headers, raw)).startswith(b"HTTP/1.1 401 ")
    assert await site.answers() == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda payload: payload.update(api_app_id="A0SOMEBODY"), "another app"),
        (lambda payload: payload["team"].update(id="T0STRANGER"), "another workspace"),
        (lambda payload: payload["user"].update(team_id="T0STRANGER"), "another workspace"),
        (lambda payload: payload.pop("api_app_id"), "whose it is"),
        (lambda payload: payload.pop("team"), "whose it is"),
        (lambda payload: payload.update(team=None), "whose it is"),
        (lambda payload: payload["user"].update(id=["U1"]), "whose it is"),
        (lambda payload: payload.update(api_app_id=None, event={}), "whose it is"),
    ],
)
@ensureDeferred
async def test_what_is_for_another_app_or_from_another_workspace_is_refused(site, change, why):
    message = await site.post()
    answer = await site.click(message, forgery=Forgery(change=change))
    assert answer.status == 403
    assert why in site.noted[0]["why"]
    assert await site.answers() == []


@ensureDeferred
async def test_whoever_is_of_another_workspace_reads_why_they_answer_nothing_and_is_on_record(site):
    message = await site.post()
    assert (await site.click(message, name="stranger")).status == 403
    assert "another Slack workspace" in (await site.told("stranger"))[0]
    (refused,) = site.refused()
    assert refused["user"] == site.slack["stranger"].id
    assert refused["access_request"] == "ar-1"
    assert await site.answers() == []


@ensureDeferred
async def test_while_nobody_can_tell_what_was_sent_before_nothing_is_let_in(site):
    message = await site.post()
    site.once.failure = StoreDown("The disk is gone.")
    answer = await site.click(message)
    assert (answer.status, answer.again) == (503, True)
    assert site.noted[0]["why"] == UNKEPT
    assert await site.answers() == []
    site.once.failure = None
    assert (await site.click(message)).ok


@ensureDeferred
async def test_slack_finds_the_request_url_where_it_is(site):
    answer = await site.at_slack("verify_url")
    assert answer.json == {"challenge": answer.payload["challenge"]}


@ensureDeferred
async def test_nothing_is_said_to_who_does_not_sign(site):
    """Bolt would answer these two unsigned, or with less than a signature."""
    body = urlencode({"ssl_check": "1", "token": "x"}).encode()
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await site.raw(fields, body)).startswith(b"HTTP/1.1 400 ")
    forged = fields | signed("another-secret", body, time.time())
    assert (await site.raw(forged, body)).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/slack/events", 405),
        ("PUT", "/slack/events", 405),
        ("POST", "/slack", 404),
        ("POST", "/slack/", 404),
        ("POST", "/slack/events/", 404),
        ("POST", "/slack/install", 404),
        ("GET", "/slack/oauth_redirect", 404),
    ],
)
@ensureDeferred
async def test_there_is_one_thing_to_post_to(site, method, path, status):
    said = await site.raw({}, b"", method=method, path=path)
    assert said.startswith(f"HTTP/1.1 {status} ".encode())
    assert site.noted[0]["path"] == path


@ensureDeferred
async def test_what_this_app_does_not_ask_for_is_refused_on_record(site):
    answer = await site.at_slack(
        "command", "/jitgate approve all", site.slack["alice"], site.channel
    )
    assert answer.status != 200
    answer = await site.at_slack("event", {"type": "app_uninstalled", "user": "U1"})
    assert answer.status != 200
    assert len(site.noted) == 2


@ensureDeferred
async def test_a_body_that_is_too_long_or_no_text_is_refused(site):
    fields = {"Content-Type": "application/json", "Content-Length": f"{BODY_BYTES + 1}"}
    assert (await site.raw(fields, b"{", length=False)).startswith(b"HTTP/1.1 413 ")
    body = b"\xff\xfe"
    signature = {"X-Slack-Signature": "v0=" + "0" * 64, "X-Slack-Request-Timestamp": "1"}
    fields = {"Content-Type": "application/json", **signature}
    assert (await site.raw(fields, body)).startswith(b"HTTP/1.1 400 ")
    assert len(site.noted) == 2


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"7", b"{", b'{"event": 7}', b"payload=%7B"])
@ensureDeferred
async def test_what_is_signed_and_nonsense_breaks_nothing(site, body):
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        fields = {"Content-Type": kind, **signed(site.slack.signing_secret, body, time.time())}
        status = (await site.raw(fields, body)).split()[1]
        assert status in {b"400", b"403", b"404"}
    assert site.refused() == []


@ensureDeferred
async def test_two_hundred_clicks_at_once_are_all_taken_and_each_once(site):
    messages = [await site.post(f"ar-{number}") for number in range(20)]
    clicks = [site.begin_click(message) for message in messages for _ in range(10)]
    answers = await gatherResults(clicks)
    assert all(answer.ok for answer in answers)
    for number in range(20):
        assert await site.answers(f"ar-{number}") == [(ALICE, True)]
    assert len(site.answered()) == 20
    grants = await site.store.grants()
    assert len({each.access_request for each in grants}) == len(grants) == 20


@ensureDeferred
async def test_what_is_at_hand_when_it_stops_is_done_first(site):
    message = await site.post()
    site.slack.slow("users.info", seconds=0.3)
    clicking = site.begin_click(message)
    await site.underway()
    await site.callback.stop()
    site.parts.remove(site.callback)
    assert (await clicking).ok
    assert await site.answers() == [(ALICE, True)]
    assert (await site.click(message)).status == 503
