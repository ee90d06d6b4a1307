"""What an exchange leaves behind: all of its facts, none of its secrets."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import orjson
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from support.ports import SECRET, Asked, agent
from zope.interface.verify import verifyObject

from jitgate.flow.account import Account, Start, Witness, Witnessed, shown_form, shown_target
from jitgate.interfaces import IRequest
from jitgate.values import (
    Body,
    Decision,
    Denial,
    Effect,
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
        started=5.0,
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
    )
    made.released.saw(b"no")
    entry = made.outcome_entry(6.5, "denied", REFUSAL)
    assert entry.fields["status"] == 403
    assert entry.fields["seconds"] == 1.5
    assert entry.fields["denial"] == "denied-by-policy"
    assert entry.fields["released"] == {"bytes": 2, "hmac": hashlib.sha256(b"no").hexdigest()}
    assert set(entry.bodies) == {"request", "response"}
    assert orjson.dumps(entry.fields)  # whatever bytes a field's value holds


def test_an_outcome_keeps_no_empty_bodies():
    assert account().outcome_entry(6.0, "completed", None).bodies == {}


def test_a_query_without_values_is_shown_in_no_more_time_than_others():
    """In a time that grows with its square, this would not end."""
    assert shown_target("/a?" + "q" * 4_000_000) == "/a?" + "q" * 4_000_000
    assert shown_form(b"&token=x;q" * 100_000) == b"&token=***;q" * 100_000
