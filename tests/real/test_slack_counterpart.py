"""The Slack that the channel is proved against, held against Slack's own client libraries.

Nothing of jitgate is in between here: `slack_sdk` calls it, and an app of `slack_bolt` is what it
sends to. What the two take from it is what they take from Slack.
"""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
import time
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import pytest
import pytest_twisted
import requests
from slack_bolt import App, BoltResponse
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_bolt.adapter.wsgi import SlackRequestHandler
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackObjectFormationError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.models.blocks import (
    ActionsBlock,
    ButtonElement,
    ContextBlock,
    HeaderBlock,
    InputBlock,
    MarkdownTextObject,
    Option,
    PlainTextInputElement,
    PlainTextObject,
    SectionBlock,
    StaticSelectElement,
)
from slack_sdk.models.views import View
from support.counterparts import LOOPBACK
from support.proxies import Relay
from support.slack import Forgery, Slack
from support.slack.blocks import completed, message_faults, view_faults
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site

EVENTS = "/slack/events"
CARD = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "May it?"}},
    {
        "type": "actions",
        "block_id": "answers",
        "elements": [
            {
                "type": "button",
                "action_id": each,
                "value": f"request-7:{each}",
                "text": {"type": "plain_text", "text": each.title()},
            }
            for each in ("approve", "details", "fail")
        ],
    },
]
MODAL = {
    "type": "modal",
    "callback_id": "less",
    "title": {"type": "plain_text", "text": "Approve less"},
    "submit": {"type": "plain_text", "text": "Approve"},
    "notify_on_close": True,
    "private_metadata": "request-7",
    "blocks": [
        {
            "type": "input",
            "block_id": "reason",
            "label": {"type": "plain_text", "text": "Why"},
            "element": {"type": "plain_text_input", "action_id": "text", "max_length": 20},
        },
        {
            "type": "input",
            "block_id": "life",
            "label": {"type": "plain_text", "text": "For how long"},
            "element": {
                "type": "static_select",
                "action_id": "chosen",
                "options": [
                    {"text": {"type": "plain_text", "text": each}, "value": each}
                    for each in ("5m", "1h")
                ],
            },
        },
    ],
}


class Bolt:
    """A small app, made with Slack's own library, and what it was told."""

    def __init__(self, client, secret):
        self.app = app = App(client=client, signing_secret=secret)
        self.bodies = []
        self.retries = []
        self.hold = threading.Event()
        self.failures = 0  # how many of the next payloads it fails
        app.middleware(self.told)
        app.action("approve")(self.approve)
        app.action("details")(self.details)
        app.action("fail")(self.fail)
        app.view("less")(self.less)
        app.view("more")(lambda ack: ack(response_action="clear"))
        for listen in (app.view_closed("less"), app.event("reaction_added")):
            listen(lambda ack: ack())
        app.event("reaction_removed")(lambda ack: ack())
        app.command("/jitgate")(lambda ack, command: ack(text=f"you said {command['text']}"))

    def told(self, body, req, next_):
        self.bodies.append(body)
        names = ("x-slack-retry-num", "x-slack-retry-reason")
        self.retries.append(tuple(req.headers.get(each, [""])[0] for each in names))
        if self.failures:
            self.failures -= 1
            return BoltResponse(status=500)
        return next_()

    def approve(self, ack, respond, body):
        ack()
        respond(text=f"{body['actions'][0]['value']} by {body['user']['id']}")

    def details(self, ack, client, body):
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    def fail(self, ack):
        self.hold.wait(10)
        ack()

    def less(self, ack, view):
        answers = {
            "no": {"response_action": "errors", "errors": {"reason": "Say more"}},
            "again": {"response_action": "update", "view": {**MODAL, "callback_id": "again"}},
            "more": {"response_action": "push", "view": {**MODAL, "callback_id": "more"}},
        }
        ack(**answers.get(view["state"]["values"]["reason"]["text"]["value"], {}))


@pytest.fixture(scope="module")
def slack(tmp_path_factory):
    with Slack.start(tmp_path_factory.mktemp("slack")) as made:
        made.old = made.trigger(made["alice"]), time.monotonic()
        yield made


@pytest.fixture(autouse=True)
def from_the_seed(slack):
    slack.courier.patience = 3.0
    yield
    slack.reset()


@pytest.fixture
def client(slack):
    return WebClient(slack.bot_token, base_url=slack.url)


@pytest.fixture
def channel(slack):
    return slack.channel()


@pytest.fixture
def bolt(slack, client):
    made = Bolt(client, slack.signing_secret)
    yield made
    made.hold.set()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    def handle_error(self, request, client_address):
        """Whoever hung up does so on purpose."""


@pytest.fixture
def listening(slack, bolt):
    with _Server((LOOPBACK, 0), _Quiet) as server:
        server.set_app(SlackRequestHandler(bolt.app, path=EVENTS))
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        slack.deliver_to(f"http://{LOOPBACK}:{server.server_port}{EVENTS}")
        yield server
        bolt.hold.set()
        server.shutdown()


@contextmanager
def connected(slack, bolt, **how):
    slack.deliver_to(None)
    handler = SocketModeHandler(bolt.app, slack.app_token, ping_interval=0.2, **how)
    handler.connect()
    slack.wait(lambda: slack.sockets.open)
    try:
        yield handler
    finally:
        handler.client.closed = True
        handler.client.enqueue_message("")  # it would look a second later whether it is closed
        handler.close()


def post(client, channel, **more):
    sent = client.chat_postMessage(channel=channel, text="A request", blocks=CARD, **more)
    return {**sent["message"], "channel": sent["channel"]}


def error(call, **arguments):
    with pytest.raises(SlackApiError) as raised:
        call(**arguments)
    return raised.value.response["error"]


# --- the Web API


def test_a_client_finds_out_who_it_is(slack, client):
    me = client.auth_test()
    assert (me["team_id"], me["user_id"], me["bot_id"]) == (
        "T000000001",
        "U0JITGATE0",
        "B0JITGATE0",
    )
    assert "users:read.email" in me.headers["x-oauth-scopes"]
    assert client.auth_teams_list()["teams"][0]["id"] == me["team_id"]


def test_messages_are_written_changed_answered_and_deleted(slack, client, channel):
    sent = post(client, channel)
    client.chat_postMessage(channel=channel, text="done", thread_ts=sent["ts"])
    client.chat_update(channel=channel, ts=sent["ts"], text="B", blocks=CARD[:1])
    client.chat_postEphemeral(channel=channel, user=slack["bob"].id, text="not yours")
    (seen,) = slack.messages(channel)
    assert [each["type"] for each in seen["blocks"]] == ["section"]
    assert seen["edited"]["user"] == slack.facts.bot_user_id
    assert [each["text"] for each in seen["replies"]] == ["done"]
    assert [each.text for each in slack.ephemerals(slack["bob"])] == ["not yours"]
    assert slack.ephemerals(slack["alice"]) == []
    client.chat_delete(channel=channel, ts=seen["replies"][0]["ts"])
    client.chat_delete(channel=channel, ts=sent["ts"])
    assert slack.messages(channel) == []
    called = [each.method for each in slack.calls("chat.update", "chat.delete")]
    assert called == ["chat.update", "chat.delete", "chat.delete"]


def test_a_direct_message_is_opened_and_written_to(slack, client):
    opened = client.conversations_open(users=[slack["carol"].id])["channel"]["id"]
    sent = post(client, opened)
    assert slack.message(opened)["ts"] == sent["ts"]
    assert error(client.conversations_open, users=[slack["gone"].id]) == "user_disabled"
    assert error(client.conversations_open, users=[slack["robot"].id]) == "cannot_dm_bot"


def test_no_channel_is_written_to_without_an_invitation(slack, client):
    assert error(client.chat_postMessage, channel=slack.channel(invited=False), text="x") == (
        "not_in_channel"
    )
    private = slack.channel(private=True)
    assert post(client, private)["ts"] == slack.message(private)["ts"]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("alice", {"is_restricted": False, "is_email_confirmed": True, "deleted": False}),
        ("guest", {"is_restricted": True, "is_ultra_restricted": False}),
        ("single", {"is_ultra_restricted": True}),
        ("stranger", {"team_id": "T0STRANGER", "is_stranger": True}),
        ("robot", {"is_bot": True}),
        ("gone", {"deleted": True}),
        ("unproven", {"is_email_confirmed": False}),
    ],
)
def test_people_are_told_of_as_they_are(slack, client, name, known):
    user = client.users_info(user=slack[name].id)["user"]
    assert {each: user[each] for each in known} == known
    assert ("email" in user["profile"]) == (name not in {"stranger", "nomail"})


def test_people_change_and_are_found_by_address(slack, client):
    alice = slack["alice"]
    assert client.users_lookupByEmail(email="Alice@acme.example")["user"]["id"] == alice.id
    slack.change(alice, email="mallory@acme.example")
    assert client.users_info(user=alice.id)["user"]["profile"]["email"] == "mallory@acme.example"
    assert error(client.users_lookupByEmail, email="alice@acme.example") == "users_not_found"
    slack.change(alice, deleted=True)
    assert error(client.users_lookupByEmail, email="mallory@acme.example") == "users_not_found"
    assert "email" not in client.users_info(user=slack["nomail"].id)["user"]["profile"]


def test_user_groups_have_members(slack, client):
    leads = slack.group("it-leads", slack["alice"], slack["bob"])
    ended = slack.group("old", slack["carol"], enabled=False)
    listed = client.usergroups_list(include_users=True)["usergroups"]
    assert [(each["id"], each["handle"], len(each["users"])) for each in listed] == [
        (leads, "it-leads", 2)
    ]
    assert client.usergroups_users_list(usergroup=leads)["users"] == [
        slack["alice"].id,
        slack["bob"].id,
    ]
    assert error(client.usergroups_users_list, usergroup=ended) == "no_such_subteam"


def test_tokens_are_looked_at(slack, client):
    assert error(WebClient(base_url=slack.url).auth_test) == "not_authed"
    assert error(WebClient("xoxb" + "-other", base_url=slack.url).auth_test) == "invalid_auth"
    for_apps = WebClient(slack.app_token, base_url=slack.url)
    assert error(for_apps.chat_postMessage, channel="C", text="x") == "not_allowed_token_type"
    slack.refuse_token("token_revoked")
    assert error(client.auth_test) == "token_revoked"
    slack.refuse_token(None)
    assert client.auth_test()["ok"]


def test_faults_happen_as_often_as_they_are_ordered(slack, client, channel):
    client.retry_handlers.clear()
    slack.limit("chat.postMessage", times=2, retry_after=1)
    with pytest.raises(SlackApiError) as limited:
        post(client, channel)
    assert limited.value.response.status_code == 429
    assert limited.value.response.headers["Retry-After"] == "1"
    client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=1))
    post(client, channel)
    client.retry_handlers.clear()
    slack.fail("chat.postMessage", status=503)
    with pytest.raises(SlackApiError) as failed:
        post(client, channel)
    assert failed.value.response.status_code == 503
    with slack.down(), pytest.raises(OSError):
        client.auth_test()
    client.timeout = 0.1
    slack.slow("auth.test", seconds=0.3)
    with pytest.raises(TimeoutError):
        client.auth_test()
    client.timeout = 30
    slack.lose("chat.postMessage")
    with pytest.raises(OSError):
        client.chat_postMessage(channel=channel, text="lost")
    assert slack.message(channel)["text"] == "lost"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_it_can_make_nothing_of_is_told(slack, client):
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"Bearer {slack.bot_token}", "Content-Type": "application/json"}
        assert session.post(f"{slack.url}auth.test", "{", headers=headers).status_code == 500
    with pytest.raises(AssertionError, match="JSONDecodeError"):
        slack.reset()


def test_it_speaks_tls_too(slack):
    trusting = ssl.create_default_context(cafile=str(slack.ca))
    assert WebClient(slack.bot_token, base_url=slack.secure_url, ssl=trusting).auth_test()["ok"]


# --- blocks and views


def plain(length):
    return PlainTextObject(text="x" * length)


def buttons(count):
    return [ButtonElement(text="a", action_id=f"b{each}") for each in range(count)]


LIMITS = {
    "section": (3000, lambda n: SectionBlock(text=MarkdownTextObject(text="x" * n))),
    "fields": (10, lambda n: SectionBlock(fields=[plain(1)] * n)),
    "header": (150, lambda n: HeaderBlock(text=plain(n))),
    "context": (10, lambda n: ContextBlock(elements=[plain(1)] * n)),
    "actions": (25, lambda n: ActionsBlock(elements=buttons(n))),
    "button text": (75, lambda n: ActionsBlock(elements=[ButtonElement(text=plain(n))])),
    "button value": (
        2000,
        lambda n: ActionsBlock(elements=[ButtonElement(text="a", value="x" * n)]),
    ),
    "action_id": (
        255,
        lambda n: ActionsBlock(elements=[ButtonElement(text="a", action_id="x" * n)]),
    ),
    "block_id": (255, lambda n: SectionBlock(text=plain(1), block_id="x" * n)),
    "label": (
        2000,
        lambda n: InputBlock(label=plain(n), element=PlainTextInputElement(action_id="a")),
    ),
    "placeholder": (
        150,
        lambda n: InputBlock(
            label=plain(1), element=PlainTextInputElement(action_id="a", placeholder=plain(n))
        ),
    ),
    "options": (
        100,
        lambda n: SectionBlock(
            text=plain(1),
            accessory=StaticSelectElement(
                action_id="a",
                options=[Option(text="x", value=str(each)) for each in range(n)],
            ),
        ),
    ),
}


@pytest.mark.parametrize("what", LIMITS)
def test_limits_are_those_of_the_library(what):
    most, make = LIMITS[what]
    block = make(most).to_dict()
    assert message_faults([block]) == []
    with pytest.raises(SlackObjectFormationError):
        make(most + 1).to_dict()
    (fault,) = message_faults([_stretched(block, most)])
    assert fault.startswith((f"must be less than {most + 1} ", f"no more than {most} items"))


def _stretched(value, most):
    """The same with one more of what there are so many of: characters, or items of a list."""
    if isinstance(value, dict):
        return {name: _stretched(each, most) for name, each in value.items()}
    if isinstance(value, list) and len(value) == most:
        return [
            *value,
            value[-1] | {each: "more" for each in ("action_id", "value") if each in value[-1]},
        ]
    if isinstance(value, list):
        return [_stretched(each, most) for each in value]
    return value + "x" if value == "x" * most else value


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "section"}],
        [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}],
        [{"type": "section", "text": "text"}],
        [{"type": "section", "text": {"type": "html", "text": "x"}}],
        [{"type": "section", "text": {"type": "mrkdwn", "text": "x", "emoji": True}}],
        [{"type": "section", "text": {"type": "mrkdwn", "text": "x"}, "color": "red"}],
        [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}],
        [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}],
        [{"type": "actions", "elements": []}],
        [{"type": "actions", "elements": [{"type": "button", "action_id": "a"}]}],
        [{"type": "context", "elements": [{"type": "button"}]}],
        [{"type": "carousel-of-secrets"}],
        [{"type": "divider", "block_id": "a"}] * 2,
        [{"type": "divider"}] * 51,
        {"type": "divider"},
        [CARD[1] | {"elements": [CARD[1]["elements"][0]] * 2}],
    ],
)
def test_a_wrong_card_is_refused(client, channel, blocks):
    with pytest.raises(SlackApiError) as refused:
        client.chat_postMessage(channel=channel, text="x", blocks=json.dumps(blocks))
    told = refused.value.response
    assert told["error"] == "invalid_blocks"
    assert told["response_metadata"]["messages"][0].startswith("[ERROR] ")
    assert "[json-pointer:/blocks" in told["errors"][0]


def test_blocks_that_are_no_json_and_too_long_an_update_are_refused(client, channel):
    assert error(client.chat_postMessage, channel=channel, text="x", blocks="[{") == (
        "invalid_blocks_format"
    )
    sent = post(client, channel)
    arguments = {"channel": channel, "ts": sent["ts"], "text": "x" * 4001}
    assert error(client.chat_update, **arguments) == "msg_too_long"


def test_what_is_kept_is_complete():
    assert message_faults(CARD) == []
    kept = completed(CARD)
    assert kept[0]["block_id"]
    assert kept[1]["block_id"] == "answers"
    assert kept[0]["text"]["verbatim"] is False
    assert kept[1]["elements"][0]["text"]["emoji"] is True
    assert message_faults(kept) == []


@pytest.mark.parametrize(
    "change",
    [
        {"title": {"type": "plain_text", "text": "x" * 25}},
        {"submit": None},
        {"submit": {"type": "mrkdwn", "text": "x"}},
        {"blocks": [{"type": "divider"}] * 101},
        {"blocks": []},
        {"private_metadata": "x" * 3001},
        {"callback_id": "x" * 256},
        {"type": "dialog"},
        {"colour": "red"},
    ],
)
def test_a_wrong_view_is_refused(slack, client, change):
    view = {name: each for name, each in (MODAL | change).items() if each is not None}
    assert view_faults(MODAL) == []
    assert view_faults(view) != []
    trigger = slack.trigger(slack["alice"])
    assert error(client.views_open, trigger_id=trigger, view=view) == "invalid_arguments"
    assert client.views_open(trigger_id=trigger, view=MODAL)["ok"]


def test_a_view_of_the_library_is_taken():
    assert view_faults(View(**MODAL).to_dict()) == []


# --- interactions over HTTP


def test_a_click_is_what_bolt_takes_for_one(slack, client, channel, bolt, listening):
    sent = post(client, channel)
    answer = slack.click(sent, "approve", slack["alice"])
    assert (answer.status, answer.ok) == (200, True)
    assert answer.seconds < 3
    (body,) = bolt.bodies
    assert body["type"] == "block_actions"
    assert body["team"] == {"id": "T000000001", "domain": "acme"}
    assert body["user"]["id"] == slack["alice"].id
    assert body["user"]["team_id"] == "T000000001"
    assert body["api_app_id"] == slack.facts.app_id
    assert body["container"] == {
        "type": "message",
        "message_ts": sent["ts"],
        "channel_id": channel,
        "is_ephemeral": False,
    }
    assert body["channel"]["id"] == channel
    assert body["message"]["blocks"] == sent["blocks"]
    (action,) = body["actions"]
    assert (action["block_id"], action["value"]) == ("answers", "request-7:approve")
    (said,) = slack.wait(lambda: slack.ephemerals(slack["alice"]))
    assert said.text == f"request-7:approve by {slack['alice'].id}"


def test_a_click_shows_the_card_as_it_is_and_an_old_one_on_demand(
    slack, client, channel, bolt, listening
):
    sent = post(client, channel)
    client.chat_update(channel=channel, ts=sent["ts"], text="B", blocks=CARD[:1])
    with pytest.raises(AssertionError, match="0 elements 'approve'"):
        slack.click(sent, "approve", slack["alice"])
    assert slack.click(sent, "approve", slack["alice"], as_shown=True).ok
    assert bolt.bodies[0]["message"]["blocks"] == sent["blocks"]


def test_forgeries_are_refused_by_bolt(slack, client, channel, bolt, listening):
    sent, alice = post(client, channel), slack["alice"]

    def status(**how):
        return slack.click(sent, "approve", alice, forgery=Forgery(**how)).status

    assert status(secret="another") == 401
    assert status(secret=None) == 401
    assert status(age=301) == 401
    assert status(age=-301) == 401
    assert bolt.bodies == []
    assert status(age=290) == 200
    assert status(change=lambda payload: payload["team"].update(id="T0OTHER")) == 200
    assert bolt.bodies[-1]["team"]["id"] == "T0OTHER"


def test_a_replay_is_the_same_bytes(slack, client, channel, bolt, listening):
    sent = post(client, channel)
    first = slack.click(sent, "approve", slack["alice"], forgery=Forgery(age=100))
    again = slack.replay(first)
    assert again.status == 200  # Bolt itself does not notice
    assert (again.raw, again.headers) == (first.raw, first.headers)
    assert bolt.bodies[0] == bolt.bodies[1]


def test_who_is_slow_or_gone_is_seen_as_that(slack, client, channel, bolt, listening):
    slack.courier.patience = 0.3
    sent = post(client, channel)
    slow = slack.click(sent, "fail", slack["alice"])
    assert (slow.status, slow.failure) == (None, "http_timeout")
    bolt.hold.set()
    slack.deliver_to(f"http://{LOOPBACK}:1{EVENTS}")
    assert slack.click(sent, "approve", slack["alice"]).failure == "connection_failed"


def test_a_modal_is_opened_corrected_changed_pushed_and_closed(
    slack, client, channel, bolt, listening
):
    alice = slack["alice"]
    slack.click(post(client, channel), "details", alice)
    (view,) = slack.wait(lambda: slack.views(alice))
    with pytest.raises(AssertionError, match="must be filled in"):
        slack.submit(view, alice, {"life": "1h"})
    with pytest.raises(AssertionError, match="cannot choose '2h'"):
        slack.submit(view, alice, {"reason": "no", "life": "2h"})
    with pytest.raises(AssertionError, match="0 to 20"):
        slack.submit(view, alice, {"reason": "x" * 21, "life": "1h"})
    refused = slack.submit(view, alice, {"reason": "no", "life": "1h"})
    assert refused.json["errors"] == {"reason": "Say more"}
    assert slack.views(alice) == [view]
    state = bolt.bodies[-1]["view"]["state"]["values"]
    assert state["reason"]["text"] == {"type": "plain_text_input", "value": "no"}
    assert state["life"]["chosen"]["selected_option"]["value"] == "1h"
    slack.submit(view, alice, {"text": "again", "chosen": "5m"})
    assert [each["callback_id"] for each in slack.views(alice)] == ["again"]
    client.views_update(view_id=view["id"], view=MODAL)
    assert [each["callback_id"] for each in slack.views(alice)] == ["less"]
    slack.submit(view, alice, {"text": "more", "chosen": "5m"})
    assert [each["callback_id"] for each in slack.views(alice)] == ["less", "more"]
    with pytest.raises(AssertionError, match="another view is on top"):
        slack.submit(view, alice, {"reason": "x", "life": "1h"})
    assert slack.submit(slack.views(alice)[1], alice, {"reason": "x", "life": "1h"}).ok
    assert slack.views(alice) == []
    slack.click(post(client, channel), "details", alice)
    (view,) = slack.wait(lambda: slack.views(alice))
    assert slack.close(view, alice).status == 200
    assert bolt.bodies[-1]["type"] == "view_closed"
    assert slack.views(alice) == []
    assert error(client.views_update, view_id=view["id"], view=MODAL) == "not_found"


def test_a_trigger_is_good_once_and_not_for_long(slack, client):
    trigger = slack.trigger(slack["bob"])
    assert client.views_open(trigger_id=trigger, view=MODAL)["ok"]
    assert error(client.views_open, trigger_id=trigger, view=MODAL) == "exchanged_trigger_id"
    late = slack.trigger(slack["bob"], late=True)
    assert error(client.views_open, trigger_id=late, view=MODAL) == "expired_trigger_id"
    assert error(client.views_open, trigger_id="1.2.x", view=MODAL) == "invalid_trigger_id"


def test_a_response_url_is_good_five_times_in_half_an_hour(slack, client, channel, bolt, listening):
    sent, alice = post(client, channel), slack["alice"]
    slack.click(sent, "approve", alice)
    slack.wait(slack.ephemerals)
    url = bolt.bodies[0]["response_url"]
    assert said(url, {"text": "for all", "response_type": "in_channel"}) == (200, "ok")
    assert slack.messages(channel)[-1]["text"] == "for all"
    assert said(url, {"text": "over", "replace_original": True}) == (200, "ok")
    assert slack.messages(channel)[0]["text"] == "over"
    assert said(url, {"blocks": [{"type": "x"}]}) == (400, "invalid_blocks")
    assert said(url, {"delete_original": True}) == (200, "ok")
    assert [each["text"] for each in slack.messages(channel)] == ["for all"]
    assert said(url, {"text": "more"}) == (404, "used_url")
    slack.command("/jitgate help", alice, channel)
    url = bolt.bodies[-1]["response_url"]
    slack.later(1801)
    assert said(url, {"text": "late"}) == (404, "expired_url")


def said(url, told):
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(url, json=told, timeout=10)
    return answer.status_code, answer.text


def test_a_command_is_answered(slack, channel, bolt, listening):
    answer = slack.command("/jitgate help me", slack["dave"], channel)
    assert answer.body == b"you said help me"
    assert bolt.bodies[-1]["user_id"] == slack["dave"].id


@pytest_twisted.ensureDeferred
async def test_an_app_in_this_reactor_is_clicked_at_from_a_thread(slack, client, channel):
    got = []

    class Endpoint(Resource):
        def render_POST(self, request):
            got.append(json.loads(request.args[b"payload"][0]))
            return b""

    endpoint = Endpoint()
    endpoint.isLeaf = True
    port = reactor.listenTCP(0, Site(endpoint), interface=LOOPBACK)
    slack.deliver_to(f"http://{LOOPBACK}:{port.getHost().port}/")
    sent = await deferToThread(post, client, channel)
    answer = await deferToThread(slack.click, sent, "approve", slack["alice"])
    assert (answer.status, got[0]["user"]["id"]) == (200, slack["alice"].id)
    await port.stopListening()


# --- events over HTTP


def test_a_reaction_comes_and_goes_as_an_event(slack, client, channel, bolt, listening):
    sent, alice = post(client, channel), slack["alice"]
    assert slack.react(sent, "white_check_mark", alice).ok
    assert slack.message(channel)["reactions"] == [
        {"name": "white_check_mark", "users": [alice.id], "count": 1}
    ]
    event = bolt.bodies[-1]["event"]
    assert event["item"] == {"type": "message", "channel": channel, "ts": sent["ts"]}
    assert (event["type"], event["user"]) == ("reaction_added", alice.id)
    assert event["item_user"] == slack.facts.bot_user_id
    assert bolt.bodies[-1]["authorizations"][0]["user_id"] == slack.facts.bot_user_id
    assert slack.react(sent, "white_check_mark", alice, remove=True).ok
    assert bolt.bodies[-1]["event"]["type"] == "reaction_removed"
    assert "reactions" not in slack.message(channel)


def test_an_event_that_fails_comes_again(slack, client, channel, bolt, listening):
    bolt.failures = 2
    answer = slack.react(post(client, channel), "x", slack["bob"])
    assert [each.status for each in answer.earlier] == [500, 500]
    assert answer.status == 200
    assert bolt.retries == [("", ""), ("1", "http_error"), ("2", "http_error")]
    assert len({each["event_id"] for each in bolt.bodies}) == 1


def test_the_request_url_is_verified(slack, bolt, listening):
    answer = slack.verify_url()
    assert answer.json["challenge"] == answer.payload["challenge"]


# --- Socket Mode


def test_a_click_an_event_and_a_modal_come_over_socket_mode(slack, client, channel, bolt):
    sent, alice = post(client, channel), slack["alice"]
    with connected(slack, bolt):
        assert slack.click(sent, "approve", alice).ok
        assert slack.wait(slack.ephemerals)[0].user == alice.id
        assert slack.react(sent, "x", alice).ok
        slack.click(sent, "details", alice)
        (view,) = slack.wait(lambda: slack.views(alice))
        assert slack.submit(view, alice, {"reason": "no", "life": "1h"}).json["errors"]
        assert slack.command("/jitgate help", alice, channel).json["text"] == "you said help"
        first = slack.click(sent, "approve", alice)
        assert slack.replay(first).headers == first.headers
    assert [each["type"] for each in bolt.bodies[:2]] == ["block_actions", "event_callback"]
    assert slack.sockets.strange == []


def test_what_is_not_acknowledged_comes_again_and_a_late_word_is_seen(slack, client, channel, bolt):
    bolt.failures = 1
    slack.courier.patience = 0.4
    sent = post(client, channel)
    with connected(slack, bolt):
        answer = slack.react(sent, "x", slack["bob"])
        assert [each.failure for each in answer.earlier] == ["timeout"]
        assert answer.ok
        assert bolt.retries == [("0", ""), ("1", "timeout")]
        assert slack.click(sent, "fail", slack["bob"]).failure == "timeout"
        bolt.hold.set()
        assert slack.wait(lambda: slack.sockets.strange)


@pytest.mark.parametrize("how", ["refresh_requested", "warning", "cut"])
def test_a_client_that_is_sent_away_comes_back(slack, client, channel, bolt, how):
    sent = post(client, channel)
    with connected(slack, bolt):
        before = slack.sockets.opened
        if how == "cut":
            slack.drop()
        else:
            slack.disconnect(how)
        slack.wait(lambda: slack.sockets.opened > before and len(slack.sockets.open) == 1)
        assert slack.click(sent, "approve", slack["alice"]).ok


def test_payloads_go_to_any_one_of_several_connections(slack, client, channel, bolt):
    sent = post(client, channel)
    with connected(slack, bolt), connected(slack, bolt):
        slack.wait(lambda: len(slack.sockets.open) == 2)
        assert slack.click(sent, "approve", slack["alice"]).ok
        assert slack.click(sent, "approve", slack["alice"]).ok
        assert len(bolt.bodies) == 2


def test_nobody_connects_without_a_ticket_or_twice_with_one(slack, bolt):
    apps = WebClient(slack.app_token, base_url=slack.url)
    assert (
        error(
            WebClient(slack.bot_token, base_url=slack.url).apps_connections_open,
            app_token=slack.bot_token,
        )
        == "not_allowed_token_type"
    )
    url = apps.apps_connections_open(app_token=slack.app_token)["url"].replace("ws:", "http:")
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(url, timeout=10).status_code == 400  # it is no WebSocket's beginning
        assert session.get(url, timeout=10).status_code == 401  # and the ticket is spent
        assert session.get(url.replace("ticket=", "ticket=x"), timeout=10).status_code == 401


def test_a_client_behind_a_proxy_speaks_tls(slack, client, channel, bolt):
    sent = post(client, channel)
    slack.sockets.secure = True
    trusting = ssl.create_default_context(cafile=str(slack.ca))
    web = WebClient(slack.bot_token, base_url=slack.secure_url, ssl=trusting)
    with (
        Relay((LOOPBACK, slack.sockets.ports[1])) as relay,
        connected(slack, bolt, web_client=web, proxy=f"http://{LOOPBACK}:{relay.address[1]}"),
    ):
        assert slack.click(sent, "approve", slack["alice"]).ok


def test_a_trigger_is_out_of_time_after_three_seconds(slack, client):
    """The last test, so that it has little to wait for."""
    trigger, made = slack.old
    threading.Event().wait(max(0.0, made + 3 - time.monotonic()))
    assert error(client.views_open, trigger_id=trigger, view=MODAL) == "expired_trigger_id"
