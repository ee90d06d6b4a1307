"""Every refusal in every shape: complete, harmless to SDKs, and without a way to split a head."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.http1_writing import response_bytes
from jitgate.proxy.refusals import STATUS, TITLES, rendered
from jitgate.values import Denial, Pending, Refusal

MANNERS = ["problem", "okta"]


@pytest.mark.parametrize("denial", Denial)
@pytest.mark.parametrize("manner", MANNERS)
def test_every_denial_has_a_status_a_title_and_a_body(denial, manner):
    head, body = rendered(Refusal(denial, "Because.", "the-rule"), "x-1", manner)
    assert head.status == STATUS[denial]
    assert head.length == len(body)
    told = json.loads(body)
    for fact in ("Because.", "the-rule", "x-1", denial.value, TITLES[denial], "Do not repeat"):
        assert fact in json.dumps(told)


def test_a_problem_says_why_where_sdks_of_microsoft_graph_look_for_it():
    _, body = rendered(Refusal(Denial.POLICY, "Because."), "x-1", "problem")
    assert json.loads(body)["error"] == {
        "code": "jitgate:denied-by-policy",
        "message": "Denied by policy (jitgate): Because.",
    }


NOT_YET = {Denial.OVERLOADED, Denial.TARGET_BUSY}
"""Those that are made for a client to send again, once it has waited."""


@pytest.mark.parametrize("denial", [each for each in Denial if each not in NOT_YET])
def test_no_denial_invites_a_client_to_send_again(denial):
    """503 makes one SDK send at once; Retry-After makes another lose the reason."""
    head, _ = rendered(Refusal(denial, "No."), "x-1", "okta")
    names = {name.lower() for name, _ in head.headers}
    assert head.status not in {202, 429, 503, 504}
    assert b"retry-after" not in names
    assert 400 <= head.status < 600


def test_only_a_missing_token_is_a_407_and_says_how_to_bring_one():
    assert [denial for denial in Denial if STATUS[denial] == 407] == [Denial.TOKEN_MISSING]
    head, _ = rendered(Refusal(Denial.TOKEN_MISSING, "No."), "", "problem")
    schemes = [v.split(b" ")[0] for name, v in head.headers if name == b"Proxy-Authenticate"]
    assert schemes == [b"Bearer", b"Basic"]


def test_a_refused_token_is_challenged_as_rfc_6750_says():
    head, _ = rendered(Refusal(Denial.TOKEN_REFUSED, "No."), "", "problem")
    assert b'error="invalid_token"' in dict(head.headers)[b"WWW-Authenticate"]


@given(st.sampled_from(MANNERS), st.text(), st.none() | st.text())
def test_nothing_that_a_refusal_says_can_change_its_head(manner, detail, rule):
    detail = detail.encode("utf-8", "replace").decode()
    rule = rule and rule.encode("utf-8", "replace").decode()
    head, body = rendered(Refusal(Denial.POLICY, detail, rule), "x-1", manner)
    plain, _ = rendered(Refusal(Denial.POLICY, "No."), "x-1", manner)
    assert head.headers == plain.headers
    data = response_bytes(head, chunked=False, keep_alive=True)
    assert data.count(b"\r\n\r\n") == 1
    assert json.loads(body)


def test_no_rendered_refusal_may_be_cached():
    head, _ = rendered(Refusal(Denial.POLICY, "No."), "x-1", "problem")
    assert dict(head.headers)[b"Cache-Control"] == b"no-store"


BUSY = Refusal(
    Denial.OVERLOADED, "Full.", pending=Pending("", "", 1000.0, 1000.0, again=2.0), manner="busy"
)


@pytest.mark.parametrize("manner", ["okta", "problem"])
def test_what_was_carried_out_is_nothing_to_send_again(manner):
    """Okta's SDKs send a 503 and a 504 again, others any 5xx."""
    refusal = Refusal(Denial.RESPONSE_WITHHELD, "It is XML.", manner="carried-out")
    head, body = rendered(refusal, "x-17", manner)
    assert head.status == 403
    assert b"response-withheld" in body
    assert b"It is XML." in body
    assert {name for name, _ in head.headers} == {b"Content-Type", b"Cache-Control"}
    assert rendered(replace(refusal, manner=None), "x-17", manner)[0].status == 502


def test_a_busy_gateway_slows_an_okta_sdk_down_in_its_own_form():
    head, body = rendered(BUSY, "x-1", "okta")
    fields = dict(head.headers)
    assert head.status == 429
    assert fields[b"Date"] == b"Thu, 01 Jan 1970 00:16:40 GMT"
    assert fields[b"X-Rate-Limit-Reset"] == b"1001"  # the SDK waits a second longer
    assert b"Retry-After" not in fields
    assert json.loads(body)["errorCode"] == "jitgate:overloaded"


def test_a_busy_gateway_tells_others_when_to_come_again():
    head, body = rendered(BUSY, "x-1", "problem")
    assert (head.status, dict(head.headers)[b"Retry-After"]) == (503, b"2")
    assert json.loads(body)["status"] == 503
