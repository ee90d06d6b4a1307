"""What an exchange leaves behind: all of its facts, none of its secrets."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.masking import VALUE
from support.ports import SECRET, Asked, agent, no_others
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jitgate.core.hiding import STARS
from jitgate.core.tally import Tally
from jitgate.flow.account import Account
from jitgate.flow.accounts import RECORD_BODY, Accounts, hand_of
from jitgate.flow.call import Call
from jitgate.flow.recorder import Recorder
from jitgate.flow.shown_bodies import shown_request
from jitgate.flow.shown_requests import sent_fields, shown_fields, shown_target
from jitgate.flow.timing import Timing
from jitgate.flow.witness import LARGE, Start, Witness, Witnessed
from jitgate.interfaces import IMasker, IRequest
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.known import LiteralsMasker
from jitgate.maskers.names import NameMasker
from jitgate.stores.memory import MemoryRecords
from jitgate.values import (
    Body,
    Credential,
    Decision,
    Denial,
    Effect,
    Hider,
    How,
    Observed,
    Operation,
    Refusal,
    RequestHead,
    ResponseHead,
    Risk,
)


class Pieces(Asked):
    """A request whose body comes in pieces and says nothing of its length."""

    def __init__(self, pieces, length=None):
        super().__init__("POST")
        self.head = RequestHead("POST", "/things", (), length)
        self.pieces = list(pieces)
        self.reads = 0

    async def read(self):
        self.reads += 1
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece


@given(st.lists(st.binary(max_size=20)), st.integers(0, 50))
def test_a_witness_digests_everything_and_keeps_the_beginning(pieces, limit):
    witness = Witness(Start(hashlib.sha256()), limit)
    for piece in pieces:
        witness.saw(piece)
    whole = b"".join(pieces)
    assert witness.digest == hashlib.sha256(whole).hexdigest()
    assert witness.body == Body(whole[:limit], len(whole), complete=len(whole) <= limit)


@ensureDeferred
async def test_what_is_read_through_is_witnessed_as_it_is_read():
    witness = Witness(Start(hmac.new(b"k", b"", "sha256")), 100)
    request = Witnessed(Pieces([b"ab", b"cd"]), witness)
    assert verifyObject(IRequest, request)
    assert await request.read() == b"ab"
    assert witness.bytes == 2
    assert await request.read() == b"cd"
    assert await request.read() == b""
    assert witness.digest == hmac.digest(b"k", b"abcd", "sha256").hex()


# --- entries


def account(**facts):
    made = Account(
        id="x-1",
        session="s-1",
        subject=agent(),
        head=RequestHead(
            "POST", "/things", ((b"Authorization", SECRET), (b"Cookie", b"sid=" + SECRET)), 3
        ),
        timing=Timing(iter([5.0, 6.5]).__next__),
        sent=Witness(Start(hmac.new(b"k", b"", "sha256")), 100),
        released=Witness(Start(hashlib.sha256()), 100),
    )
    for name, value in facts.items():
        setattr(made, name, value)
    return made


REFUSAL = Refusal(Denial.POLICY, "No rule permits it.", "default")
OPERATION = Operation("things", "POST", {"id": "7"}, "POST", "api.example:443", "/things", "a=b")


def test_a_decision_says_who_asked_what_and_by_which_rule_under_which_policy():
    decision = Decision(Effect.PERMIT, "the-rule", "They may.", "v1")
    entry = account(operation=OPERATION, decision=decision).decision_entry(6.0, None)
    assert (entry.type, entry.time) == ("decision", 6.0)
    assert entry.fields["subject"]["id"] == "bot-7"
    assert entry.fields["operation"]["url"] == "https://api.example/things?a=b"
    assert {name: entry.fields[name] for name in ("effect", "rule", "reason", "policy")} == {
        "effect": "permit",
        "rule": "the-rule",
        "reason": "They may.",
        "policy": "v1",
    }


def test_a_decision_says_what_changes_the_meaning_and_nothing_that_sounds_secret():
    parameters = {"sendEmail": "true", "oauthTokens": "false", "newPassword": "hunter2"}
    operation = replace(OPERATION, risk=Risk.PRIVILEGED, parameters=parameters)
    shown = account(operation=operation).decision_entry(6.0, REFUSAL).fields["operation"]
    assert shown["risk"] == "privileged"
    assert shown["parameters"] == parameters | {"newPassword": "***"}


def test_a_decision_says_what_rules_would_have_done_that_are_only_tried_out():
    observed = (("a", Observed(Effect.DENY, "Too late.")), ("b", Observed(None, "Unclear.")))
    decision = Decision(Effect.PERMIT, "the-rule", "They may.", "v1", observed=observed)
    entry = account(operation=OPERATION, decision=decision).decision_entry(6.0, None)
    assert entry.fields["observed"] == [
        {"rule": "a", "effect": "deny", "reason": "Too late."},
        {"rule": "b", "effect": None, "reason": "Unclear."},
    ]
    assert orjson.dumps(entry.fields)
    without = account(operation=OPERATION, decision=replace(decision, observed=()))
    assert "observed" not in without.decision_entry(6.0, None).fields


def test_a_refusal_before_policy_is_recorded_as_a_denial():
    fields = account(subject=None).decision_entry(6.0, REFUSAL).fields
    assert (fields["effect"], fields["rule"], fields["operation"]) == ("deny", None, None)
    assert fields["reason"] == "No rule permits it."
    assert fields["subject"] is None


def test_no_entry_holds_what_the_agent_sent_as_its_headers():
    made = account(operation=OPERATION)
    for entry in (made.decision_entry(6.0, None), made.outcome_entry(6.0, "failed", REFUSAL)):
        assert SECRET not in orjson.dumps(entry.fields)


def test_an_outcome_says_what_came_of_it_and_why():
    made = account(
        answer=ResponseHead(403, ((b"X", b"\xff"),), 2),
        upstream_status=200,
        credential={"kind": "okta"},
        masks={"catalog": 2},
        request_body=Body(b"{}", 2, complete=True),
        response_body=Body(b"no", 2, complete=True),
    )
    made.released.saw(b"no")
    entry = made.outcome_entry(6.5, "denied", REFUSAL)
    assert entry.fields["status"] == 403
    assert entry.fields["seconds"] == 1.5
    assert entry.fields["denial"] == "denied-by-policy"
    assert entry.fields["released"] == {"bytes": 2, "hmac": hashlib.sha256(b"no").hexdigest()}
    assert set(entry.bodies) == {"request", "response"}
    assert orjson.dumps(entry.fields)  # whatever bytes a field's value holds


def ended(coroutine):
    """What it comes to that waits for nobody."""
    with pytest.raises(StopIteration) as told:
        coroutine.send(None)
    return told.value.value


LINES = b'{"password":"hunter2"}\n{"name":"Ada"}\n'


@pytest.mark.parametrize(
    ("kind", "body", "shown"),
    [
        (b"application/x-ndjson", LINES, LINES.replace(b"hunter2", b"*" * 16)),
        (b"application/json-seq", b'\x1e{"pin":7}\n', b'\x1e{"pin":"(a number, hidden)"}\n'),
        (b"application/x-www-form-urlencoded", b"pin=7&a=%20b", b"pin=****************&a=%20b"),
        (b"application/json; charset=utf-16", '{"pin":"7"}'.encode("utf-16-le"), '{"pin":"****************"}'.encode("utf-16-le")),
        (b"text/plain", b"my password is hunter2", None),
        (b"text/plain", b'{"password":"hunter2"}', None),
        (b"text/event-stream", b"data: hunter2\n\n", None),
        (b"application/xml", b"<password>hunter2</password>", None),
        (b"application/json", b"hunter2", None),
        (b"application/json, x", b"{}", None),
    ],
)  # fmt: skip
def test_a_requests_body_is_shown_where_what_is_secret_in_it_has_a_name(kind, body, shown):
    made = account()
    made.head = made.head._replace(headers=((b"Content-Type", kind),))
    made.sent.saw(body)
    found = ended(shown_request(made, no_others))
    assert (None if found is None else found.data) == shown


def test_a_coded_body_of_a_request_is_not_shown():
    made = account()
    coded = ((b"Content-Type", b"application/json"), (b"Content-Encoding", b"gzip"))
    made.head = made.head._replace(headers=coded)
    made.sent.saw(b"{}")
    assert ended(shown_request(made, no_others)) is None


def test_what_is_masked_for_the_record_lets_others_have_their_turn():
    made, turns = account(), []
    made.head = made.head._replace(headers=((b"Content-Type", b"application/json"),))
    made.sent = Witness(made.sent._start, RECORD_BODY)
    made.sent.saw(b'{"a":[%b1]}' % (b'{"password":1},' * 5000))

    async def turn():
        turns.append(True)

    shown = ended(shown_request(made, turn))
    assert shown.data.count(b"(a number, hidden)") == 5000
    assert len(turns) > 3


def test_equal_values_are_told_apart_by_session_where_the_agent_sees_and_not_on_record():
    hands = [hand_of(b"k", session) for session in ("s-1", "s-1", "s-2", "")]
    hider = Hider("names", How.HASH)
    shown = [hand.text(hider, VALUE) for hand in hands]
    assert shown[0] == shown[1]
    assert len(set(shown)) == 3
    for hand in hands:
        hand.hid("names", lambda: "$", VALUE.encode())
    assert len({hand.hits[0].digest for hand in hands}) == 1
    assert hands[0].hits[0].digest[:32] not in "".join(shown)


def test_an_outcome_keeps_no_empty_bodies():
    assert account().outcome_entry(6.0, "completed", None).bodies == {}


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/a?b=1&password=p4ss;hush&c=2", "/a?b=1&password=***&c=2"),
        ("/a?b=1;password=p4ss;hush&c=2;d", "/a?b=1;password=***&c=2;d"),
        ("/a?b;pass%77ord=hush;e=1", "/a?b;pass%77ord=***"),
        (f"/a?b={'x' * 5000};password=p4ss;hush&c", f"/a?b={'x' * 5000};password=***&c"),
        ("/a?secret;b=hush&c=2", "/a?secret;b=***&c=2"),
        ("/a?b=1;c;e=2&&=;", "/a?b=1;c;e=2&&=;"),
    ],
)
def test_a_value_that_sounds_secret_is_not_shown_up_to_its_end(target, shown):
    assert shown_target(target) == shown


def test_people_are_not_shown_a_number_that_is_not_sent():
    made = account(
        head=RequestHead("POST", "/a", ((b"Content-Type", b"application/json"),)),
        maskers=(DetectorMasker("d", ["payment-card"]), LiteralsMasker("l", [b"40001234"])),
    )
    made.sent = Witness(Start(hashlib.sha256()), 100)
    made.sent.saw(b'{"to":4111111111111111,"limit":40001234,"n":true}')
    shown = ended(shown_request(made, no_others))
    hidden = b'"(a number, hidden)"'
    assert shown.data == b'{"to":%b,"limit":%b,"n":true}' % (hidden, hidden)


HIDING = (NameMasker("n", ["ssn"], How.DENY), DetectorMasker("d", ["github-token"], How.DROP))
TOKEN = "ghp_" + "A1b2" * 9


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/a?ssn=1-2-3&b=1", "/a?ssn=****************&b=1"),
        (f"/a?note={TOKEN}&b=1", "/a?note=****************&b=1"),
        (f"/a?note={TOKEN};password=1&c", "/a?note=****************;password=***&c"),
        (f"/a?{TOKEN}=1", "/a?****************=1"),
        (
            "/a?u=https%3A%2F%2Fb%2F%3Fpassword%3Dhush",
            f"/a?u={quote(f'https://b/?password={STARS}', safe='*')}",
        ),
        (
            "/a?f=%7B%22password%22%3A%22hush%22%7D",
            "/a?f=" + quote(f'{{"password":"{STARS}"}}', safe="*"),
        ),
        ("/a?q=eve&p=2&k=3&d=4", "/a?q=eve&p=2&k=3&d=4"),
        ("/users/ann@acme.com?b=%20", "/users/ann@acme.com?b=%20"),
    ],
)
def test_what_its_profile_hides_stands_in_no_url_on_record(target, shown):
    made = account(head=RequestHead("GET", target, ()), maskers=HIDING)
    fields = made.decision_entry(6.0, None).fields
    assert fields["request"]["target"] == shown


def test_fields_are_shown_to_people_without_what_is_hidden():
    fields = (
        (b"Content-Type", b"application/json"),
        (b"X-New-Secret", b"hush"),
        (b"Prefer", b"respond-async, password=hush"),
        (b"X-Note", f"ssn=1-2-3; {TOKEN}".encode()),
    )
    shown = dict(shown_fields(fields, HIDING))
    assert shown == {
        b"Content-Type": b"application/json",
        b"X-New-Secret": STARS.encode(),
        b"Prefer": b"respond-async, password=" + STARS.encode(),
        b"X-Note": f"ssn={STARS}; {STARS}".encode(),
    }
    deep = ((b"X-Note", b"a[" + b"b][" * 100 + b"=1"),)
    assert shown_fields(deep, HIDING) == ((b"X-Note", b"***"),)


@pytest.mark.parametrize("query", ["a=" * 2048 + "x", "a[" + "b][" * 100 + "=1"])
def test_a_query_that_cannot_be_looked_into_is_not_shown(query):
    assert shown_target(f"/a?{query}", HIDING) == "/a?***"


def test_a_query_without_values_is_shown_in_no_more_time_than_others():
    """In a time that grows with its square, this would not end."""
    assert shown_target("/a?" + "q" * 4_000_000) == "/a?" + "q" * 4_000_000


FIELDS = (
    (b"Host", b"a"),
    (b"x-pin", b"hush"),
    (b"x", b"?token=hush&a=1"),
    (b"User-Agent", b"sdk/1 x"),
)


def test_fields_of_a_request_are_on_record_without_what_is_secret():
    head = RequestHead("GET", "/", (*FIELDS, (b"X-Key", b"hush")))
    credential = Credential(((b"X-Key", b"hush"),), (b"hush",))
    by = (NameMasker("n", ["pin"]),)
    assert [*map(list, sent_fields(head, credential, "x", by))] == [
        ["Host", "a"],
        ["x-pin", STARS],
        ["x", f"?token={STARS}&a=1"],
        ["User-Agent", "sdk/1 x"],
        ["X-Key", "***"],
    ]


def test_of_fields_that_cannot_be_looked_at_the_names_are_on_record():
    class Fails(NameMasker):
        looks_at_values = True

        def spans(self, value):
            raise ValueError

    shown = sent_fields(RequestHead("GET", "/", FIELDS), Credential((), ()), "x", (Fails("f", []),))
    assert [value for _, value in shown] == ["***", "***", "***", "*** x"]


@given(st.lists(st.sampled_from([0, 1, 7, LARGE - 1, LARGE, 3 * LARGE]), max_size=12))
def test_what_is_kept_is_the_beginning_however_it_came(sizes):
    limit, sent = 5 * LARGE, b"".join(bytes([65 + at]) * size for at, size in enumerate(sizes))
    witness, begin = Witness(Start(hashlib.sha256()), limit), 0
    for size in sizes:
        witness.saw(sent[begin : begin + size])
        begin += size
    assert witness.body == Body(sent[:limit], len(sent), complete=len(sent) <= limit)
    assert witness.digest == hashlib.sha256(sent).hexdigest()


@implementer(IMasker)
class Counting:
    """Looks at each value and hides none; how often it was asked."""

    name, version, looks_at_values = "counting", "1", True

    def __init__(self):
        self.asked = 0

    def hides(self, field):
        return False

    def mask(self, field, value):
        self.asked += 1


class Turns:
    """Takes turns, and counts them."""

    def __init__(self):
        self.count = 0

    async def __call__(self):
        self.count += 1


def test_a_long_query_is_looked_at_once_and_lets_others_have_their_turn():
    made, counting, turns = account(), Counting(), Turns()
    accounts = Accounts(
        Recorder(MemoryRecords(), clock=Clock(), in_thread=None),
        clock=Clock(),
        new_id=str,
        site_key=b"k",
        turn=turns,
        tally=Tally(),
    )
    query = "?" + "a=%41&" * 600
    made.head = made.head._replace(target=f"/a{query}")
    made.operation = replace(OPERATION, query=query[1:])
    made.maskers = (counting,)
    ended(accounts.looked(made))
    assert turns.count > 3
    looked = counting.asked
    assert looked > 600
    entry = made.decision_entry(1.0, None)
    assert entry.fields["request"]["target"] == f"/a{query}"
    assert entry.fields["operation"]["url"].endswith(query)
    assert counting.asked == looked


def test_fields_that_take_long_do_not_keep_others_from_their_turn_as_a_request_leaves():
    made, turns = account(), Turns()
    call = Call(made, made.subject, "s", *[None] * 5)
    head = RequestHead("GET", "/", ((b"Accept", b'a="' * 6000),))
    ended(call.departs(head, Credential((), ()), turns))
    assert turns.count > 3
    assert made.begun
    assert dict(made.sent_fields)["Accept"] == 'a="' * 6000
