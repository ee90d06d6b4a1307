"""The story of a request, told by what left and what was kept, and by what did not."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace

import pytest
from pytest_twisted import ensureDeferred
from support.ports import AUTHORITY, JSON, REFUSED, SECRET, Asked, Stand, Told, agent, permit
from twisted.internet.defer import Deferred

from jitgate.core.policy import NEEDS_BODY
from jitgate.core.profiles import MaskingProfile
from jitgate.errors import (
    AddressRefused,
    AgentGone,
    CredentialUnavailable,
    IdentityUnavailable,
    JitgateError,
    MalformedRequest,
    UpstreamGone,
    UpstreamMalformed,
    UpstreamUnreachable,
    UpstreamUntrusted,
)
from jitgate.flow.admission import Knock, Tunnel, TurnedAway
from jitgate.flow.bodies import REVIEW_BODY
from jitgate.flow.knocked import EACH
from jitgate.flow.recorder import PROBE
from jitgate.flow.refusals import SPAN
from jitgate.maskers.names import NameMasker
from jitgate.values import Denial, Effect, Obligation, RequestHead, ResponseHead, Verdict


@ensureDeferred
async def test_a_permitted_call_goes_out_with_the_credential_and_comes_back_whole():
    stand = Stand()
    told = await stand.serve()
    head, _ = stand.sent[0]
    assert dict(head.headers)[b"Authorization"] == b"Bearer " + SECRET
    assert told.data == b'{"name":"Ada"} '
    assert (told.head.status, told.head.length, told.ended) == (200, 15, True)
    (decision,), (outcome,) = stand.entries("decision"), stand.entries("outcome")
    assert (decision["effect"], decision["rule"]) == ("permit", "the-rule")
    assert (outcome["outcome"], outcome["status"]) == ("completed", 200)
    assert outcome["exchange"] == decision["exchange"]


@pytest.mark.parametrize(
    ("verdict", "denial"),
    [
        (Verdict(Effect.DENY, "No."), "denied-by-policy"),
        (Verdict(Effect.REVIEW, "Ask."), "needs-approval"),
        (None, "denied-by-policy"),
    ],
)
@ensureDeferred
async def test_what_policy_does_not_permit_never_leaves(verdict, denial):
    stand = Stand(verdict=verdict)
    told = await stand.serve()
    assert told.head.status == 403
    assert json.loads(told.data)["type"].endswith(denial)
    assert stand.sent == []
    assert "credential" not in stand.log
    assert stand.entries("outcome")[0]["denial"] == denial


STAGES = ["identity", "catalog", "rule", "credential", "connect", "send", "read"]
FAULTS = [
    RuntimeError("secret-internals"),
    IdentityUnavailable("a"),
    CredentialUnavailable("b"),
    UpstreamUnreachable("c"),
    UpstreamUntrusted("d"),
    UpstreamMalformed("e"),
    AddressRefused("f"),
    AgentGone("g"),
    KeyError("h"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("stage", STAGES)
@ensureDeferred
async def test_every_port_failing_at_every_stage_denies_and_is_recorded(
    stage, fault, nothing_unnoticed
):
    stand = Stand(fail={stage: fault})
    told = await stand.serve(Asked("POST", body=b"{}", headers=JSON))
    if isinstance(fault, AgentGone) and stage != "rule":
        assert told.head is None  # there is nobody to tell
    else:
        assert told.head.status in {401, 403, 500, 502}
    assert b"Ada" not in told.data
    assert b"secret-internals" not in told.data
    assert (stand.sent == []) == (STAGES.index(stage) < STAGES.index("send"))
    assert len(stand.entries("decision")) == len(stand.entries("outcome")) == 1
    assert stand.entries("outcome")[0]["outcome"] in {"denied", "failed"}
    assert stand.entries("outcome")[0]["denial"]
    if not isinstance(fault, JitgateError) or stage == "rule":
        assert len(nothing_unnoticed) >= 1  # such a fault is meant to be in the log
        del nothing_unnoticed[:]


@ensureDeferred
async def test_a_fault_after_the_first_byte_truncates_and_says_why():
    stand = Stand(
        answer=ResponseHead(200, JSON, None), fail={"read more": UpstreamUnreachable("x")}
    )
    told = await stand.serve()
    assert told.started
    assert told.truncated
    assert not told.ended
    (outcome,) = stand.entries("outcome")
    assert outcome["outcome"] == "truncated"
    assert outcome["denial"] == "upstream-unreachable"


@ensureDeferred
async def test_no_token_is_told_at_connect():
    stand = Stand()
    away = await stand.tunnel(token=None)
    assert isinstance(away, TurnedAway)
    assert away.id
    assert away.refusal.denial is Denial.TOKEN_MISSING
    assert stand.entries("refused")[0]["denial"] == "token-missing"


@ensureDeferred
async def test_a_host_that_no_target_names_gets_no_tunnel():
    stand = Stand()
    away = await stand.gateway.admit(Knock("other.example:443", "t"))
    assert isinstance(away, TurnedAway)
    assert away.id
    assert away.refusal.denial is Denial.TARGET_UNKNOWN
    assert stand.log[0] != "identity"


@ensureDeferred
async def test_whose_token_asked_for_what_is_not_there_is_found_by_its_print():
    stand = Stand()
    await stand.gateway.admit(Knock("other.example:443", "t", peer="192.0.2.7:4711"))
    await stand.gateway.admit(Knock(AUTHORITY, "t", peer="192.0.2.7:4712"))
    await stand.gateway.admit(Knock(AUTHORITY, "another", peer="[2001:db8::1]:4713"))
    (refused,), (tunnel, other) = stand.entries("refused"), stand.entries("tunnel")
    assert refused["token"] == tunnel["token"] != other["token"]
    assert [each["peer"] for each in (refused, other)] == ["192.0.2.7:4711", "[2001:db8::1]:4713"]
    assert len(f"{refused['token']}") == 64


@ensureDeferred
async def test_of_one_address_only_so_many_without_a_tunnel_have_an_entry_and_the_rest_a_count():
    """Nobody needs a token for them, and each would cost the disk for ever."""
    stand = Stand()
    for port in range(3 * EACH):
        away = await stand.gateway.admit(Knock(AUTHORITY, None, peer=f"192.0.2.7:{port}"))
        assert isinstance(away, TurnedAway)
    await stand.gateway.admit(Knock(AUTHORITY, None, peer="[2001:db8::1]:4713"))
    await stand.gateway.admit(Knock(AUTHORITY, "t", peer="192.0.2.7:1"))
    told = stand.entries("refused")
    assert [each["peer"] for each in told[:EACH]] == [f"192.0.2.7:{each}" for each in range(EACH)]
    assert [each["peer"] for each in told[EACH:]] == ["[2001:db8::1]:4713"]
    assert len(stand.entries("tunnel")) == 1
    stand.clock.advance(SPAN)
    (more,) = stand.entries("refused")[EACH + 1 :]
    assert (more["peer"], more["left_out"], more["denial"]) == ("192.0.2.7", 2 * EACH, None)
    for port in range(2 * EACH):
        await stand.gateway.admit(Knock(AUTHORITY, None, peer=f"192.0.2.7:{port}"))
    await stand.knocked.stop()
    assert stand.entries("refused")[-1]["left_out"] == EACH + 1
    assert len(stand.entries("refused")) == 2 * EACH + 2


@ensureDeferred
async def test_tunnels_with_bad_tokens_are_bounded_with_them_and_good_ones_never():
    stand = Stand(subject=REFUSED)
    for port in range(3 * EACH):
        await stand.gateway.admit(Knock(AUTHORITY, "t", peer=f"192.0.2.7:{port}"))
    await stand.gateway.admit(Knock(AUTHORITY, None, peer="192.0.2.7:1"))
    assert len(stand.entries("tunnel")) == EACH
    assert stand.entries("refused") == []
    stand.subject = agent()
    for port in range(2 * EACH):
        await stand.gateway.admit(Knock(AUTHORITY, "t", peer=f"192.0.2.7:{port}"))
    assert [each["result"] for each in stand.entries("tunnel")[EACH:]] == ["admitted"] * 2 * EACH
    stand.clock.advance(SPAN)
    (more,) = stand.entries("refused")
    assert (more["peer"], more["left_out"]) == ("192.0.2.7", 2 * EACH + 1)
    stand.subject = REFUSED
    stand.clock.advance(SPAN)
    await stand.gateway.admit(Knock(AUTHORITY, "t", peer="192.0.2.7:1"))
    assert stand.entries("tunnel")[-1]["denial"] == "token-refused"
    await stand.knocked.stop()


@ensureDeferred
async def test_a_malformed_connect_is_refused_and_recorded():
    stand = Stand()
    head = RequestHead("GET", "http://api.example/x?token=hush", ())
    away = await stand.gateway.admit(Knock("", None, fault=MalformedRequest("no"), head=head))
    assert isinstance(away, TurnedAway)
    asked = stand.entries("refused")[0]["request"]
    assert asked == {"method": "GET", "target": "http://api.example/x?token=***"}
    assert away.id
    assert away.refusal.denial is Denial.MALFORMED
    assert stand.entries("refused")[0]["denial"] == "malformed-request"


@ensureDeferred
async def test_the_fields_of_the_request_are_on_record_as_they_were_sent_and_no_credential():
    stand = Stand()
    fields = ((b"Accept", b"*/*"), (b"Authorization", b"Bearer hush"), (b"Cookie", b"hush"))
    await stand.serve(Asked("GET", "/things/7", headers=fields))
    (outcome,), (sent, _) = stand.entries("outcome"), stand.sent[0]
    told = [(name.encode(), value.encode()) for name, value in outcome["request"]["headers"]]
    *others, (name, value) = sent.headers
    assert (name, value) == (b"Authorization", b"Bearer " + SECRET)
    assert told == [*others, (b"Authorization", b"***")]
    assert (b"Accept", b"*/*") in told


@ensureDeferred
async def test_nothing_of_a_request_that_was_not_sent_is_told_to_have_been():
    stand = Stand(verdict=Verdict(Effect.DENY, "No."))
    await stand.serve()
    assert "headers" not in stand.entries("outcome")[0]["request"]


@ensureDeferred
async def test_a_refused_token_is_told_inside_the_tunnel():
    stand = Stand(subject=REFUSED)
    told = await stand.serve()
    assert told.head.status == 401
    assert b"expired" in told.data
    assert stand.sent == []


@ensureDeferred
async def test_expiry_is_checked_for_each_request():
    stand = Stand(subject=agent(expires_at=10.0))
    assert (await stand.serve()).head.status == 200
    tunnel = await stand.tunnel()
    stand.clock.advance(10.0)
    told = await served(stand, tunnel, Asked())
    assert told.head.status == 401
    assert len(stand.sent) == 1


async def served(stand, tunnel, request):
    told = Told()
    await stand.gateway.serve(tunnel, request, told)
    return told


@pytest.mark.parametrize("hosts", [("other.example:443",), (AUTHORITY, "other.example:443")])
@ensureDeferred
async def test_another_host_than_the_tunnels_is_misdirected(hosts):
    stand = Stand()
    told = await stand.serve(Asked(hosts=hosts))
    assert told.head.status == 421
    assert stand.sent == []
    assert stand.entries("outcome")[0]["denial"] == "host-mismatch"


@pytest.mark.parametrize(
    "target", ["/a/../things", "//things", "/a%2fb", "https://api.example/x", "*"]
)
@ensureDeferred
async def test_a_path_with_two_readings_is_refused(target):
    stand = Stand()
    assert (await stand.serve(Asked(target=target))).head.status == 400
    assert stand.sent == []


@pytest.mark.parametrize("name", [b"X-HTTP-Method-Override", b"x_original_url"])
@ensureDeferred
async def test_a_field_that_overrides_the_method_or_the_path_is_refused(name):
    stand = Stand()
    assert (await stand.serve(Asked(headers=((name, b"DELETE"),)))).head.status == 400
    assert stand.sent == []


@pytest.mark.parametrize("name", [b"Content-Encoding", b"Content-Range"])
@ensureDeferred
async def test_a_body_that_would_be_misread_is_refused(name):
    stand = Stand()
    told = await stand.serve(Asked("PUT", body=b"{}", headers=((name, b"x"),)))
    assert told.head.status == 400
    assert stand.sent == []


@ensureDeferred
async def test_an_unknown_operation_is_denied():
    stand = Stand()
    told = await stand.serve(Asked(target="/unknown"))
    assert json.loads(told.data)["type"].endswith("operation-unknown")
    assert stand.sent == []


@ensureDeferred
async def test_an_unknown_obligation_denies(nothing_unnoticed):
    stand = Stand(verdict=permit(watermark="yes"))
    assert (await stand.serve()).head.status == 500
    assert stand.sent == []
    assert nothing_unnoticed.pop()


@ensureDeferred
async def test_an_unknown_masking_profile_denies(nothing_unnoticed):
    stand = Stand(verdict=permit(mask="none-such"))
    assert (await stand.serve()).head.status == 500
    assert stand.sent == []
    assert nothing_unnoticed.pop()


# --- the record comes first (invariant 4)


@ensureDeferred
async def test_a_changing_call_waits_for_its_decision_to_be_durable():
    stand = Stand()
    tunnel = await stand.tunnel()
    stand.slow_disk = True
    serving = Deferred.fromCoroutine(served(stand, tunnel, Asked("POST", body=b"{}")))
    assert stand.sent == []
    assert "credential" not in stand.log
    stand.slow_disk = False
    stand.waiting.pop().callback(None)
    await serving
    assert stand.log.index("fsync decision") < stand.log.index("credential")
    assert stand.log.index("credential") < stand.log.index("connect") < stand.log.index("send")
    assert stand.log[-3:] == ["fsync outcome", "release", "returned"]


@ensureDeferred
async def test_a_safe_call_may_leave_before_but_nothing_comes_back():
    stand = Stand(answer=ResponseHead(200, JSON, None))
    tunnel = await stand.tunnel()
    stand.slow_disk = True
    told = Told()
    serving = Deferred.fromCoroutine(stand.gateway.serve(tunnel, Asked(), told))
    assert len(stand.sent) == 1
    assert told.seen == []
    stand.waiting.pop(0).callback(None)
    assert told.seen == ["start", "write", "write"]
    assert not told.ended
    stand.waiting.pop(0).callback(None)
    await serving
    assert told.ended


@ensureDeferred
async def test_an_answer_that_is_gathered_waits_for_the_decision_and_the_outcome():
    stand = Stand()
    tunnel = await stand.tunnel()
    stand.slow_disk = True
    told = Told()
    serving = Deferred.fromCoroutine(stand.gateway.serve(tunnel, Asked(), told))
    assert "read more" in stand.log
    for _ in ("decision", "outcome"):
        assert told.seen == []
        stand.waiting.pop(0).callback(None)
    await serving
    assert told.seen == ["start", "write", "finish"]
    assert stand.log[-4:] == ["fsync decision", "fsync outcome", "release", "returned"]


@pytest.mark.parametrize("had", ["nothing", "a part"])
@ensureDeferred
async def test_a_call_whose_decision_was_lost_has_not_been_completed(had):
    stand, rest = Stand(), Deferred()
    tunnel = await stand.tunnel()
    stand.slow_disk = True
    if had == "nothing":
        stand.answer_when = rest
    else:
        stand.rest_when = rest
    told = Told()
    serving = Deferred.fromCoroutine(stand.gateway.serve(tunnel, Asked(), told))
    assert ("read" in stand.log) == (had == "a part")
    stand.slow_disk, stand.records.failure = False, OSError(28, "No space left on device")
    stand.waiting.pop(0).callback(None)
    stand.records.failure = None
    stand.clock.advance(PROBE)
    assert stand.recorder.down is None
    rest.callback(None)
    await serving
    assert json.loads(told.data)["type"].endswith("recorder-down")
    assert [entry["outcome"] for entry in stand.entries("outcome")] == ["failed"]


@pytest.mark.parametrize("length", [15, 100_000])
@ensureDeferred
async def test_the_last_byte_of_a_counted_body_waits_for_the_outcome(length):
    pieces = (b'{"name":', b'"Ada"} ') if length == 15 else (b"a" * 60_000, b"b" * 40_000)
    stand = Stand(answer=ResponseHead(200, JSON, length), pieces=pieces)
    tunnel = await stand.tunnel()
    stand.slow_disk = True
    told = Told()
    serving = Deferred.fromCoroutine(stand.gateway.serve(tunnel, Asked(), told))
    stand.waiting.pop(0).callback(None)
    assert len(told.data) < length
    assert not told.ended
    stand.waiting.pop(0).callback(None)
    await serving
    assert told.data == b"".join(pieces)


@pytest.mark.parametrize("status", [200, 204, 304])
@ensureDeferred
async def test_the_head_itself_waits_where_there_is_no_body(status):
    stand = Stand(answer=ResponseHead(status, (), 0), pieces=())
    tunnel = await stand.tunnel()
    stand.slow_disk = True
    told = Told()
    serving = Deferred.fromCoroutine(stand.gateway.serve(tunnel, Asked("HEAD"), told))
    stand.waiting.pop(0).callback(None)
    assert told.seen == []
    stand.waiting.pop(0).callback(None)
    await serving
    assert told.seen == ["start", "finish"]


@ensureDeferred
async def test_without_a_recorder_everything_is_denied(nothing_unnoticed):
    stand = Stand()
    stand.records.failure = OSError(28, "No space left on device")
    told = await stand.serve(Asked("POST", body=b"{}"))
    assert told.head.status == 502
    assert json.loads(told.data)["type"].endswith("recorder-down")
    assert stand.sent == []
    told = await stand.serve()
    assert b"Ada" not in told.data
    stand.records.failure = None
    stand.clock.advance(0.5)
    assert (await stand.serve()).head.status == 200
    del nothing_unnoticed[:]


@ensureDeferred
async def test_a_recorder_that_was_never_started_denies():
    stand = Stand()
    await stand.recorder.stop()
    told = await stand.serve()
    assert json.loads(told.data)["type"].endswith("recorder-down")
    assert stand.sent == []


# --- what the agent must not hold, and what must not leave (invariant 5)


@ensureDeferred
async def test_an_echo_of_the_credential_is_masked_wherever_it_stands():
    echo = b'{"auth":"Bearer ' + SECRET + b'"}'
    headers = (*JSON, (b"X-Echo", b"Bearer " + SECRET), (b"Set-Cookie", b"sid=1"))
    stand = Stand(answer=ResponseHead(200, headers, len(echo)), pieces=(echo[:20], echo[20:]))
    told = await stand.serve()
    assert SECRET not in told.data
    assert len(told.data) == len(echo) == told.head.length
    assert all(SECRET not in value for _, value in told.head.headers)
    assert b"Set-Cookie" not in dict(told.head.headers)
    assert SECRET.decode() not in repr(stand.records.entries)


@ensureDeferred
async def test_what_the_agent_brought_as_credentials_stays_behind():
    own = tuple(
        (name, b"agents-own")
        for name in (b"Authorization", b"Cookie", b"Proxy-Authorization", b"X-Api-Key", b"X-Other")
    )
    stand = Stand()
    await stand.serve(Asked(headers=(*own, (b"Accept", b"*/*"))))
    head, _ = stand.sent[0]
    assert b"agents-own" not in [value for _, value in head.headers]
    assert dict(head.headers)[b"Accept"] == b"*/*"


@ensureDeferred
async def test_fields_marked_secret_are_masked_and_the_length_is_right():
    body = b'{"client_secret": "hunter2", "id": 1.10}'
    stand = Stand(
        answer=ResponseHead(200, (*JSON, (b"ETag", b'"abc"')), len(body)),
        pieces=(body,),
        secrets=frozenset({"client_secret"}),
    )
    told = await stand.serve()
    assert told.data == b'{"client_secret": "****************", "id": 1.10}'
    assert told.head.length == len(told.data)
    assert b"ETag" not in dict(told.head.headers)
    assert stand.entries("outcome")[0]["masks"] == {"catalog": 1}


@ensureDeferred
async def test_a_profile_masks_by_name():
    body = b'{"apiToken":{"value":"x"}}'
    profile = MaskingProfile("p", (NameMasker("p", ("*token*",)),))
    stand = Stand(
        verdict=permit(mask="p"),
        profiles={"p": profile},
        answer=ResponseHead(200, JSON, len(body)),
        pieces=(body,),
    )
    assert (await stand.serve()).data == b'{"apiToken":{}}'


@pytest.mark.parametrize(
    "headers",
    [
        ((b"Content-Type", b"text/html"),),
        (),
        (*JSON, *JSON),
        ((b"Content-Type", b"application/json; charset=utf-16"),),
        (*JSON, (b"Content-Encoding", b"gzip")),
    ],
)
@ensureDeferred
async def test_what_cannot_be_looked_at_is_withheld(headers):
    stand = Stand(answer=ResponseHead(200, headers, 15), secrets=frozenset({"name"}))
    told = await stand.serve()
    assert told.head.status == 502
    problem = json.loads(told.data)
    assert problem["type"].endswith("response-withheld")
    assert "Do not repeat it" in problem["retry"]
    assert b"Ada" not in told.data


@pytest.mark.parametrize(("method", "status"), [("GET", 502), ("POST", 403)])
@ensureDeferred
async def test_so_it_is_where_no_length_is_announced(method, status):
    pieces = (b"<html>hunter2</html>",)
    stand = Stand(answer=ResponseHead(200, JSON, None), pieces=pieces, secrets=frozenset({"name"}))
    told = await stand.serve(Asked(method, "/things/7", b"{}" * (method == "POST"), JSON))
    assert told.head.status == status
    assert b"response-withheld" in told.data
    assert b"hunter2" not in told.data


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@ensureDeferred
async def test_a_withheld_answer_to_a_change_is_nothing_that_clients_send_again(method):
    """They send any 5xx again by themselves, and the change would be made twice."""
    html = ((b"Content-Type", b"text/html"),)
    stand = Stand(answer=ResponseHead(201, html, 15), secrets=frozenset({"name"}))
    told = await stand.serve(Asked(method, "/things/7", b"{}", JSON))
    assert told.head.status == 403
    assert b"response-withheld" in told.data
    assert b"The target answered with status 201." in told.data
    assert b"text/html is not looked at" in told.data
    assert b"Do not repeat it" in told.data
    assert b"Retry-After" not in dict(told.head.headers)
    (outcome,) = stand.entries("outcome")
    assert (outcome["outcome"], outcome["denial"]) == ("failed", "response-withheld")
    assert outcome["upstream"] == {"status": 201}
    assert outcome["status"] == 403


@pytest.mark.parametrize(("method", "status"), [("GET", 502), ("POST", 403), ("DELETE", 403)])
@pytest.mark.parametrize("stage", ["send", "read"])
@pytest.mark.parametrize("fault", [UpstreamMalformed, UpstreamUnreachable, UpstreamGone])
@ensureDeferred
async def test_a_change_whose_answer_is_broken_is_nothing_that_clients_send_again(
    fault, stage, method, status
):
    """Nobody knows whether it was made; any 5xx would make them send it again by themselves."""
    stand = Stand(fail={stage: fault("It broke.")})
    stand.always_kept = stage == "read"
    told = await stand.serve(Asked(method, "/things/7", b"{}" * (method == "POST"), JSON))
    assert told.head.status == status
    assert b"It broke." in told.data
    look_first = b"The target may have carried it out: look before you repeat it."
    assert (look_first in told.data) is (status == 403)
    assert b"Retry-After" not in dict(told.head.headers)
    (outcome,) = stand.entries("outcome")
    assert (outcome["outcome"], outcome["status"]) == ("failed", status)


@pytest.mark.parametrize("fault", [UpstreamUnreachable, UpstreamUntrusted])
@ensureDeferred
async def test_a_change_that_was_not_sent_may_be_sent_again(fault):
    stand = Stand(fail={"connect": fault("It broke.")})
    told = await stand.serve(Asked("POST", "/things/7", b"{}", JSON))
    assert told.head.status == 502
    assert stand.sent == []


@ensureDeferred
async def test_what_was_hidden_is_on_record_value_by_value_and_tells_nothing_of_it():
    pieces = (b'{"name": "hunter2", "a": {"name": "hunter2"}, "name": null}',)
    stand = Stand(
        answer=ResponseHead(200, JSON, len(pieces[0])), pieces=pieces, secrets=frozenset({"name"})
    )
    await stand.serve()
    (outcome,) = stand.entries("outcome")
    one, other = outcome["masked"]
    assert (one["path"], other["path"]) == ("$['name']", "$['a']['name']")
    assert one["rule"] == other["rule"] == "catalog"
    assert one["hmac"] == other["hmac"]
    digest = hmac.digest(b"k" * 32, b'jitgate masked\0"hunter2"', "sha256").hex()
    assert one["hmac"] == digest
    assert outcome["masks"] == {"catalog": 2}


@ensureDeferred
async def test_a_secret_in_a_request_body_does_not_reach_the_record():
    stand = Stand()
    await stand.serve(Asked("POST", body=b'{"password":"hunter2","name":"Ada"}', headers=JSON))
    (outcome,) = [entry for entry in stand.records.entries if entry.type == "outcome"]
    assert outcome.bodies["request"].data == b'{"password":"****************","name":"Ada"}'
    assert "hunter2" not in repr(outcome.fields)
    assert stand.sent[0][1] == b'{"password":"hunter2","name":"Ada"}'


# --- the body, where a rule must read it


class ReadsBody:
    """A rule that decides by the body."""

    name = "reader"
    version = "1"

    def judge(self, inquiry):
        if inquiry.body is None:
            return NEEDS_BODY
        return Verdict(Effect.PERMIT if b"ok" in inquiry.body else Effect.DENY, "By its body.")


FORM = ((b"Content-Type", b"application/x-www-form-urlencoded; charset=utf-8"),)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"a=b&c=d", 200),
        (b"a=b&_method=DELETE", 400),
        (b"%5Fmethod=put", 400),
        (b"a=b&_method", 400),
        (b"", 200),
    ],
)
@ensureDeferred
async def test_a_form_that_asks_for_another_method_is_refused(body, status):
    stand = Stand()
    told = await stand.serve(Asked("POST", body=body, headers=FORM))
    assert told.head.status == status
    assert [data for _, data in stand.sent] == ([body] if status == 200 else [])


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (b"multipart/mixed; boundary=x", 403),
        (b"Application/HTTP", 403),
        (b"application/graphql+json", 403),
        (b"application/json-rpc", 403),
        (b"multipart/form-data; boundary=x", 200),
    ],
)
@ensureDeferred
async def test_a_body_that_says_it_holds_calls_is_unknown(kind, status):
    stand = Stand()
    told = await stand.serve(Asked("POST", body=b"x", headers=((b"Content-Type", kind),)))
    assert told.head.status == status
    assert len(stand.sent) == (1 if status == 200 else 0)


@pytest.mark.parametrize(("body", "status"), [(b"ok", 200), (b"bad", 403)])
@ensureDeferred
async def test_a_rule_that_reads_the_body_gets_it_and_the_same_bytes_leave(body, status):
    stand = Stand(verdict=None)
    stand.decider._policy = replace(stand.decider._policy, rules=(ReadsBody(),))
    told = await stand.serve(Asked("POST", body=body))
    assert told.head.status == status
    assert [data for _, data in stand.sent] == ([body] if status == 200 else [])


@pytest.mark.parametrize("announced", [True, False])
@ensureDeferred
async def test_a_body_too_large_to_be_read_by_a_rule_is_refused(announced):
    stand = Stand(verdict=None)
    stand.decider._policy = replace(stand.decider._policy, rules=(ReadsBody(),))
    told = await stand.serve(Asked("POST", body=b"ok" * REVIEW_BODY, announced=announced))
    assert told.head.status == 413
    assert stand.sent == []


@ensureDeferred
async def test_a_dead_kept_connection_is_tried_again_for_safe_calls_only():
    for method, tries in (("GET", 2), ("POST", 1), ("DELETE", 1)):
        stand = Stand(fail={"send": UpstreamGone("dead")})
        stand.always_kept = True
        await stand.serve(Asked(method))
        assert stand.log.count("send") == tries
        assert stand.fresh_asked[0] == (method != "GET")


@ensureDeferred
async def test_a_target_that_is_slow_is_not_asked_twice():
    stand = Stand(fail={"send": UpstreamUnreachable("The target did not answer.")})
    stand.always_kept = True
    await stand.serve(Asked("GET"))
    assert stand.log.count("send") == 1


@ensureDeferred
async def test_a_call_with_a_body_goes_on_a_fresh_connection_as_it_cannot_be_tried_again():
    stand = Stand()
    await stand.serve(Asked("GET", body=b"x"))
    assert stand.fresh_asked == [True]


@ensureDeferred
async def test_the_same_subject_and_name_are_the_same_session():
    stand = Stand()
    sessions = set()
    for name in ("run-1", "run-1", "run-2"):
        tunnel = await stand.gateway.admit(Knock(AUTHORITY, "t", name))
        assert isinstance(tunnel, Tunnel)
        sessions.add(tunnel.session)
    assert len(sessions) == 2


def test_obligations_are_told_apart_by_name():
    assert permit(mask="a").obligations == (Obligation("mask", "a"),)


@ensureDeferred
async def test_a_rule_that_masks_nothing_does_not_unmask_for_one_that_agrees():
    stand = Stand(secrets=frozenset({"name"}))
    rules = (Says("a", permit()), Says("b", permit(mask="none")))
    stand.decider._policy = replace(stand.decider._policy, rules=rules)
    assert b"Ada" not in (await stand.serve()).data


class Says:
    """A rule that always answers the same."""

    version = "1"

    def __init__(self, name, verdict):
        self.name = name
        self.verdict = verdict

    def judge(self, inquiry):
        return self.verdict


@ensureDeferred
async def test_query_parameters_that_sound_secret_are_not_recorded():
    stand = Stand()
    await stand.serve(Asked(target="/things?limit=2&activationToken=abc123"))
    (decision,) = stand.entries("decision")
    assert decision["request"]["target"] == "/things?limit=2&activationToken=***"
    assert "abc123" not in repr(stand.records.entries)
    assert stand.sent[0][0].target == "/things?limit=2&activationToken=abc123"


@ensureDeferred
async def test_an_agent_that_is_gone_is_not_said_to_have_had_its_answer():
    stand = Stand()
    tunnel, told = await stand.tunnel(), Told()
    told.gone = True
    await stand.gateway.serve(tunnel, Asked(), told)
    (outcome,) = stand.entries("outcome")
    assert outcome["outcome"] != "completed"
    assert outcome["denial"] == "agent-gone"


@pytest.mark.parametrize("stage", ["credential", "connect"])
@ensureDeferred
async def test_only_what_may_have_arrived_asks_to_be_looked_at(stage):
    for where, looks in ((stage, False), ("send", True)):
        stand = Stand(fail={where: UpstreamUnreachable("down")})
        told = await stand.serve(Asked("POST", body=b"{}"))
        assert (b"look before you repeat" in told.data) is looks


@ensureDeferred
async def test_a_part_of_a_masked_body_is_withheld():
    stand = Stand(
        answer=ResponseHead(206, JSON, 9), pieces=(b'"hunter2"',), secrets=frozenset({"password"})
    )
    told = await stand.serve()
    assert told.head.status == 502
    assert b"hunter2" not in told.data


@pytest.mark.parametrize("query", ["pass%77ord=abc123", "x=1;password=abc123", "tok%65n=abc123"])
@ensureDeferred
async def test_no_spelling_of_a_secret_parameter_is_recorded(query):
    stand = Stand()
    await stand.serve(Asked(target=f"/things?{query}"))
    assert "abc123" not in repr(stand.records.entries)


@ensureDeferred
async def test_a_rule_that_raises_is_named_to_the_agent_and_on_record_with_the_policy(
    nothing_unnoticed,
):
    stand = Stand(fail={"rule": KeyError("secret")})
    told = await stand.serve(Asked())
    answer, (decision,) = json.loads(told.data), stand.entries("decision")
    assert (answer["rule"], answer["detail"]) == ("the-rule", "Rule the-rule raised KeyError.")
    assert (decision["effect"], decision["rule"]) == ("deny", "the-rule")
    assert decision["policy"] == stand.decider._policy.version
    assert len(nothing_unnoticed) == 1
    nothing_unnoticed.clear()
