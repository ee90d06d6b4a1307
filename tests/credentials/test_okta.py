"""A token for one operation: lent with a proof of each call, followed, and taken back."""

import gc
import json
from dataclasses import replace
from weakref import WeakSet

import pytest
import pytest_twisted
from support.okta import NOW, REVOKE, TOKEN, error, hang_up, plain
from twisted.internet.defer import CancelledError, Deferred
from twisted.web.server import NOT_DONE_YET
from zope.interface.verify import verifyObject

from jitgate.credentials.circuit import FAILURES
from jitgate.credentials.dpop import Nonces
from jitgate.credentials.okta import ASKED_FIRST
from jitgate.credentials.revoking import AT_END, AT_ONCE, FIRST_WAIT
from jitgate.errors import CredentialRefused, CredentialUnavailable
from jitgate.interfaces import ILastingSource
from jitgate.testing.lending import LendingContract
from jitgate.values import Credential, ResponseHead, Risk


async def settled(org, count=1):
    """Wait until so many revocations have been told."""
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted
    from twisted.internet.task import deferLater  # noqa: PLC0415

    while len(org.noted) < count:
        await deferLater(reactor, 0.001)


def answer(status, *fields):
    return ResponseHead(status, fields)


# --- what is lent


@pytest_twisted.ensureDeferred
async def test_a_call_presents_its_token_with_a_proof_of_that_very_call(org):
    source, asked = org.source(), org.reading(query="limit=1")
    lent = await source.lend(asked, reuse=0.0)
    assert (await org.call(asked, lent)).status == 200
    (call,) = org.at(asked.path)
    claims = call.proved()
    assert call.authorization == "DPoP hunter2.token-0~"
    assert (claims["htm"], claims["htu"]) == ("GET", org.url + asked.path)
    assert set(claims) == {"jti", "htm", "htu", "iat", "ath"}


def test_the_usual_port_is_not_part_of_what_is_proved(org):
    prover = org.app().prover
    for url in ("https://acme.okta.com:443/a?b=c#d", "https://acme.okta.com/a"):
        claims = claims_of(prover.proof("GET", url))
        assert claims["htu"] == "https://acme.okta.com/a"


def claims_of(proof):
    import jwt  # noqa: PLC0415

    return jwt.decode(proof, options={"verify_signature": False})


@pytest_twisted.ensureDeferred
async def test_without_dpop_it_is_a_bearer_token(org):
    lent = await org.source(dpop=False).lend(org.operation(), reuse=0.0)
    assert lent.headers == ((b"Authorization", b"Bearer hunter2.token-0~"),)
    assert lent.secrets == (b"hunter2.token-0~",)
    assert [each.path for each in org.asked] == [TOKEN]


@pytest_twisted.ensureDeferred
async def test_what_may_be_said_of_it_goes_on_record_and_no_secret_does(org):
    lent = await org.source().lend(org.reading(), reuse=0.0)
    assert lent.facts == {
        "kind": "okta",
        "app": "reader",
        "scopes": ["okta.users.read"],
        "expires_at": NOW + 3600,
        "fingerprint": "keyed(16)",
        "user_agent_token": lent.facts["user_agent_token"],
    }
    assert "hunter2" not in repr(lent)
    assert dict(lent.headers)[b"DPoP"].decode() not in repr(lent)


@pytest_twisted.ensureDeferred
async def test_once_more_it_has_a_proof_of_its_own(org):
    source, asked = org.source(), org.reading()
    lent = await source.lend(asked, reuse=0.0)
    again = source.again(lent)
    assert set(again.secrets) == {again.headers[0][1].split()[1], again.headers[1][1]}
    assert again.facts == lent.facts
    for each in (lent, again):
        assert (await org.call(asked, each)).status == 200
    first, second = (call.proved()["jti"] for call in org.at(asked.path))
    assert first != second


@pytest.mark.parametrize(
    "path", ["/.well-known/okta-organization", "/.well-known/a/b", "/oauth2/v1/keys"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest_twisted.ensureDeferred
async def test_what_anybody_may_read_is_read_without_a_credential(org, method, path):
    asked = replace(org.operation(), method=method, path=path, scopes=())
    source = org.source()
    lent = await source.lend(asked, reuse=0.0)
    assert lent == Credential((), (), {"kind": "none"})
    assert source.again(lent) is lent
    assert source.heard(lent, answer(401, (b"WWW-Authenticate", b'DPoP error="a"'))) is None
    source.returned(lent)
    assert org.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/users/00u1/factors/questions"),
        ("DELETE", "/api/v1/api-tokens/current"),
        ("POST", "/security/api/v1/security-events"),
        ("POST", "/.well-known/okta-organization"),
        ("POST", "/oauth2/v1/keys"),
        ("GET", "/.well-known"),
        ("GET", "/.well-known/"),
        ("GET", "/api/.well-known/okta-organization"),
        ("GET", "/oauth2/v1/keys/k1"),
        ("GET", "/oauth2/v1/authorize"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_no_other_operation_without_scopes_goes_without_a_credential(org, method, path):
    asked = replace(org.operation(), method=method, path=path, scopes=())
    with pytest.raises(CredentialRefused, match="deactivateUser needs no scope.*not a public read"):
        await org.source().lend(asked, reuse=0.0)
    assert org.asked == []


# --- the API's nonce


@pytest_twisted.ensureDeferred
async def test_before_the_first_change_the_api_is_asked_what_it_wants_to_see(org):
    source, asked, org.api_nonce = org.source(), org.operation(), "api-1"
    lent = await source.lend(asked, reuse=0.0)
    assert (await org.call(asked, lent)).status == 200
    assert [(each.method, each.path) for each in org.asked] == [
        ("POST", TOKEN),
        ("GET", ASKED_FIRST),
        ("POST", asked.path),
    ]
    assert org.at(asked.path)[0].proved()["nonce"] == "api-1"
    assert org.at(ASKED_FIRST)[0].authorization == "DPoP hunter2.token-0~"


@pytest.mark.parametrize("nonce", [None, "api-1"])
@pytest_twisted.ensureDeferred
async def test_what_is_known_is_not_asked_for_again(org, nonce):
    source, org.api_nonce = org.source(), nonce
    for _ in range(2):
        await source.lend(org.operation(), reuse=0.0)
    assert len(org.at(ASKED_FIRST)) == 1


@pytest_twisted.ensureDeferred
async def test_before_the_first_read_it_is_asked_and_before_no_other(org):
    source, org.api_nonce = org.source(), "api-1"
    for _ in range(2):
        lent = await source.lend(org.reading(), reuse=0.0)
        assert claims_of(dict(lent.headers)[b"DPoP"])["nonce"] == "api-1"
    assert len(org.at(ASKED_FIRST)) == 1


@pytest.mark.parametrize("status", [302, 404, 429, 503])
@pytest_twisted.ensureDeferred
async def test_where_that_shows_nothing_a_read_goes_out_all_the_same(org, status):
    org.answers[ASKED_FIRST] = [plain(status)]
    assert (await org.source().lend(org.reading(), reuse=0.0)).headers


@pytest_twisted.ensureDeferred
async def test_a_read_that_was_answered_has_told_as_much(org):
    source, asked = org.source(), org.reading()
    org.answers[ASKED_FIRST] = [plain(404)]
    source.heard(await source.lend(asked, reuse=0.0), answer(200))
    await source.lend(org.operation(), reuse=0.0)
    assert len(org.at(ASKED_FIRST)) == 1


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429, 500, 503])
@pytest_twisted.ensureDeferred
async def test_an_answer_that_does_not_look_at_the_proof_tells_nothing(org, status):
    source = org.source()
    org.answers[ASKED_FIRST] = [plain(404)]
    source.heard(await source.lend(org.reading(), reuse=0.0), answer(status))
    await source.lend(org.operation(), reuse=0.0)
    assert len(org.at(ASKED_FIRST)) == 2


@pytest_twisted.ensureDeferred
async def test_a_read_that_was_refused_for_its_scopes_has_told_as_much(org):
    source = org.source()
    field = (b"WWW-Authenticate", b'Bearer realm="a", error="insufficient_scope"')
    org.answers[ASKED_FIRST] = [plain(404)]
    source.heard(await source.lend(org.reading(), reuse=0.0), answer(403, field))
    await source.lend(org.operation(), reuse=0.0)
    assert len(org.at(ASKED_FIRST)) == 1


@pytest_twisted.ensureDeferred
async def test_before_a_read_that_people_gave_leave_for_it_is_asked_as_well(org):
    source, org.api_nonce = org.source(), "api-1"
    lent = await source.lend(org.reading(), reuse=0.0, granted=True)
    assert claims_of(dict(lent.headers)[b"DPoP"])["nonce"] == "api-1"


TOOK = {
    "it may be read": plain(200, b"x" * 200_000),
    "it may not, in Okta's words": plain(403, b'{"errorCode":"E0000006"}'),
    "it may not, in the words of RFC 6750": plain(
        403, WWW_Authenticate='Bearer realm="a", error="insufficient_scope"'
    ),
    "whatever it says, with a nonce": plain(503, DPoP_Nonce="api-1"),
}


@pytest.mark.parametrize("answers", TOOK.values(), ids=TOOK)
@pytest_twisted.ensureDeferred
async def test_an_answer_that_shows_what_the_api_wants_lets_the_change_go(org, answers):
    org.answers[ASKED_FIRST] = [answers]
    assert await org.source().lend(org.operation(), reuse=0.0)


SHOWS_NOTHING = {
    "too many": plain(429, Retry_After="5"),
    "it is down": plain(503),
    "it failed": plain(500, b'{"errorCode":"E0000009"}'),
    "a nonce is wanted and not given": plain(401, WWW_Authenticate='DPoP error="use_dpop_nonce"'),
    "no more than no": plain(401),
    "somebody in front": plain(403, b"<html>"),
    "somebody in front, in JSON": plain(403, b'{"error":"access_denied"}'),
    "somebody in front, in a list": plain(403, b'["errorCode"]'),
    "somebody in front, at length": plain(403, b"x" * 200_000),
    "another scheme": plain(403, WWW_Authenticate='Basic error="insufficient_scope"'),
    "elsewhere": plain(302, Location="https://idp.example/"),
    "nothing there": plain(404, b'{"errorCode":"E0000007"}'),
    "a nonce that is none": plain(401, DPoP_Nonce='"'),
}


@pytest.mark.parametrize("answers", SHOWS_NOTHING.values(), ids=SHOWS_NOTHING)
@pytest.mark.parametrize(("method", "granted"), [("GET", True), ("POST", False), ("POST", True)])
@pytest_twisted.ensureDeferred
async def test_where_it_does_not_show_that_nothing_else_is_sent(org, method, granted, answers):
    source, asked = org.source(), org.operation(method=method)
    org.answers[ASKED_FIRST] = [answers]
    with pytest.raises(CredentialUnavailable, match=r"answered \d+ when .* nothing else was sent"):
        await source.lend(asked, reuse=0.0, granted=granted)
    await settled(org)
    assert org.live == set()
    assert org.at(asked.path) == []
    assert await source.lend(asked, reuse=0.0, granted=granted), "it is asked anew"
    assert len(org.at(ASKED_FIRST)) == 2


@pytest_twisted.ensureDeferred
async def test_a_token_that_the_api_does_not_accept_there_goes_no_further(org):
    source, asked = org.source(), org.reading()
    field = 'DPoP error="invalid_token"'
    refused = plain(401, WWW_Authenticate=field, DPoP_Nonce="api-1")
    org.answers[ASKED_FIRST] = [plain(404), refused]
    first = await source.lend(asked, reuse=60.0)
    with pytest.raises(CredentialUnavailable, match="did not accept the gateway's token"):
        await source.lend(asked, reuse=60.0, granted=True)
    third = await source.lend(asked, reuse=60.0)
    assert first.secrets[0] != third.secrets[0]


@pytest_twisted.ensureDeferred
async def test_what_is_known_of_an_api_outlives_the_source(org):
    known = Nonces()
    for _ in range(2):
        await org.source(nonces=known).lend(org.operation(), reuse=0.0)
    assert len(org.at(ASKED_FIRST)) == 1


@pytest_twisted.ensureDeferred
async def test_an_api_that_does_not_answer_is_sent_no_change_and_the_token_is_revoked(org):
    org.answers[ASKED_FIRST] = [hang_up, hang_up]
    with pytest.raises(CredentialUnavailable, match="The target cannot be asked"):
        await org.source().lend(org.operation(), reuse=0.0)
    first, second = (each.proved()["jti"] for each in org.at(ASKED_FIRST))
    assert first != second
    await settled(org)
    assert org.live == set()


@pytest_twisted.ensureDeferred
async def test_a_kept_connection_that_is_dead_is_no_fault_of_the_api(org):
    org.answers[ASKED_FIRST] = [hang_up]
    assert await org.source().lend(org.operation(), reuse=0.0)


@pytest_twisted.ensureDeferred
async def test_every_answer_may_bring_the_next_nonce(org):
    source, asked = org.source(), org.reading()
    lent = await source.lend(asked, reuse=0.0)
    source.heard(lent, answer(200, (b"dpop-nonce", b"api-2")))
    assert claims_of(dict(source.again(lent).headers)[b"DPoP"])["nonce"] == "api-2"
    source.heard(lent, answer(200, (b"DPoP-Nonce", b"api-3"), (b"DPoP-Nonce", b"api-4")))
    assert claims_of(dict(source.again(lent).headers)[b"DPoP"])["nonce"] == "api-2"


@pytest_twisted.ensureDeferred
async def test_the_nonce_of_one_api_is_not_shown_to_another(org):
    source = org.source()
    lent = await source.lend(org.reading(), reuse=0.0)
    source.heard(lent, answer(200, (b"DPoP-Nonce", b"api-2")))
    other = await source.lend(org.reading(authority="other.example:443"), reuse=0.0)
    assert "nonce" not in claims_of(dict(other.headers)[b"DPoP"])


# --- a challenge


CHALLENGES = {
    "a nonce": (401, b'DPoP error="use_dpop_nonce"', "another nonce"),
    "a nonce, in Okta's way": (400, b'DPoP error="use_dpop_nonce"', "another nonce"),
    "a nonce, among others": (
        401,
        b'Bearer realm="a, DPoP error=x", DPoP algs="ES256" , error=use_dpop_nonce',
        "another nonce",
    ),
    "the proof": (401, b'dpop error_description="no \\"a\\"", error="invalid_dpop_proof"', "proof"),
    "the token": (401, b'DPoP error="invalid_token"', "token"),
    "a bearer token": (401, b'Bearer authorization_uri="a", error="invalid_token"', "token"),
}


@pytest.mark.parametrize(("status", "field", "says"), CHALLENGES.values(), ids=CHALLENGES)
@pytest_twisted.ensureDeferred
async def test_a_challenge_of_the_credential_is_told(org, status, field, says):
    source = org.source()
    lent = await source.lend(org.reading(), reuse=0.0)
    said = source.heard(lent, answer(status, (b"WWW-Authenticate", field)))
    assert says in said


@pytest.mark.parametrize(
    ("status", "field"),
    [
        (403, b'DPoP error="insufficient_scope"'),
        (403, b'DPoP error="use_dpop_nonce"'),
        (200, b'DPoP error="use_dpop_nonce"'),
        (400, b'DPoP error="invalid_token"'),
        (401, b'Bearer error="use_dpop_nonce"'),
        (401, b'DPoP realm="error=use_dpop_nonce"'),
        (401, b'Basic realm="a"'),
        (401, b"error"),
        (401, b"\xff"),
        (401, b""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_all_else_is_the_targets_answer(org, status, field):
    source = org.source()
    lent = await source.lend(org.reading(), reuse=0.0)
    assert source.heard(lent, answer(status, (b"WWW-Authenticate", field))) is None


@pytest_twisted.ensureDeferred
async def test_a_token_that_is_not_accepted_serves_no_other_call(org):
    source, asked = org.source(), org.reading()
    first = await source.lend(asked, reuse=60.0)
    second = await source.lend(asked, reuse=60.0)
    field = (b"WWW-Authenticate", b'DPoP error="invalid_token"')
    assert source.heard(second, answer(401, field))
    third = await source.lend(asked, reuse=60.0)
    assert first.secrets[0] == second.secrets[0] != third.secrets[0]
    source.returned(first)
    source.returned(second)
    await settled(org)
    assert org.revoked == ["hunter2.token-0~"]


# --- how often it serves


@pytest_twisted.ensureDeferred
async def test_each_has_a_token_of_its_own_and_it_is_revoked_after_the_call(org):
    source, asked = org.source(), org.reading()
    for number in range(1, 3):
        lent = await source.lend(asked, reuse=0.0)
        assert "reused" not in lent.facts
        assert len(org.live) == 1
        source.returned(lent)
        await settled(org, number)
    assert org.live == set()
    assert len(org.minted) == 2


@pytest_twisted.ensureDeferred
async def test_a_read_may_share_a_token_for_so_long_and_each_call_proves_itself(org):
    source, asked = org.source(), org.reading()
    for seconds in (0, 30, 29):
        org.clock.advance(seconds)
        lent = await source.lend(asked, reuse=60.0)
        assert (await org.call(asked, lent)).status == 200
        assert lent.facts.get("reused", False) is (seconds > 0)
        source.returned(lent)
    assert len(org.minted) == 1
    org.clock.advance(1)
    await settled(org)
    assert org.live == set()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest_twisted.ensureDeferred
async def test_nothing_is_shared_for_a_change_whatever_is_asked(org, method):
    source, asked = org.source(), org.operation(method=method)
    one, other = [await source.lend(asked, reuse=300.0) for _ in range(2)]
    assert one.secrets[0] != other.secrets[0]


@pytest_twisted.ensureDeferred
async def test_only_the_same_scopes_share_a_token(org):
    source = org.source()
    one = await source.lend(org.reading(), reuse=60.0)
    other = await source.lend(org.reading("okta.groups.read"), reuse=60.0)
    assert one.secrets[0] != other.secrets[0]
    assert [asked.form["scope"] for asked in org.at(TOKEN)] == [
        "okta.users.read",
        "okta.groups.read",
    ]


@pytest_twisted.ensureDeferred
async def test_those_who_ask_at_once_share_one_minting(org):
    source, asked = org.source(), org.reading()
    asking = [Deferred.fromCoroutine(source.lend(asked, reuse=60.0)) for _ in range(5)]
    lent = [await each for each in asking]
    assert len(org.minted) == 1
    assert [each.facts.get("reused", False) for each in lent] == [False, *[True] * 4]


@pytest_twisted.ensureDeferred
async def test_what_is_minted_for_nobody_is_revoked(org):
    arrived, going_on = Deferred(), Deferred()

    def slow(request):
        request.write(b'{"token_type":"DPoP","expires_in":9,"access_token":"hunter2.late"}')
        going_on.addCallback(lambda _: request.finish())
        arrived.callback(None)
        return NOT_DONE_YET

    org.answers[TOKEN] = [slow]
    lending = Deferred.fromCoroutine(org.source().lend(org.reading(), reuse=0.0))
    await arrived
    lending.cancel()
    with pytest.raises(CancelledError):
        await lending
    going_on.callback(None)
    await settled(org)
    assert org.revoked == ["hunter2.late"]


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": "okta.users.read okta.roles.manage"},
        {"token_type": "Bearer"},
        {"expires_in": ...},
        {"expires_in": 10**400},
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_minted_and_is_not_as_asked_for_is_revoked(org, changes):
    org.changes = changes
    source = org.source()
    with pytest.raises(CredentialUnavailable):
        await source.lend(org.reading(), reuse=60.0)
    await source.stop()
    assert org.revoked == org.minted != []


@pytest.mark.parametrize(
    ("status", "token"),
    [(200, "hunter2.A~"), (201, "hunter2.A~"), (203, "hunter2.A~"), (200, "hunter2\u00fc x")],
)
@pytest_twisted.ensureDeferred
async def test_a_token_in_an_answer_that_cannot_be_used_is_revoked_too(org, status, token):
    body = json.dumps({"access_token": token, "token_type": "DPoP", "expires_in": 9})
    org.answers[TOKEN] = [plain(status, body[:-1].encode() + b',"expires_in":9}')]
    source = org.source()
    with pytest.raises(CredentialUnavailable):
        await source.lend(org.reading(), reuse=0.0)
    await source.stop()
    assert org.revoked == [token]


@pytest_twisted.ensureDeferred
async def test_an_endpoint_that_is_left_alone_is_told_at_once_and_other_scopes_are_no_way_around(
    org,
):
    source = org.source()
    org.answers[TOKEN] = [plain(503)] * 2 * FAILURES
    for scope, says in [("a", "503")] * FAILURES + [("a", "left alone"), ("b", "left alone")]:
        with pytest.raises(CredentialUnavailable, match=says):
            await source.lend(org.reading(scope), reuse=0.0)
    assert len(org.asked) == 2 * FAILURES


@pytest_twisted.ensureDeferred
async def test_who_hangs_up_before_the_api_has_answered_leaves_no_token_behind(org):
    arrived = Deferred()

    def silent(request):
        arrived.callback(None)
        return NOT_DONE_YET

    org.answers[ASKED_FIRST] = [silent]
    lending = Deferred.fromCoroutine(org.source().lend(org.operation(), reuse=0.0))
    await arrived
    lending.cancel()
    with pytest.raises(CancelledError):
        await lending
    await settled(org)
    assert org.live == set()


# --- back


@pytest_twisted.ensureDeferred
async def test_what_became_of_it_is_on_record(org):
    source = org.source()
    lent = await source.lend(org.reading(), reuse=0.0)
    source.returned(lent)
    await settled(org)
    assert org.noted == [("credential.revoked", {**lent.facts, "tries": 1})]


@pytest_twisted.ensureDeferred
async def test_every_request_about_a_token_has_its_name_which_is_on_record(org):
    org.nonce = "n-1"
    org.answers[REVOKE] = [plain(503)]
    source, names = org.source(), []
    for count in (1, 2):
        lent = await source.lend(org.operation(), reuse=0.0)
        source.returned(lent)
        await settled(org, count)
        names.append(lent.facts["user_agent_token"])
        assert {each.user_agent for each in org.asked} == {names[-1]}
        assert {each.path for each in org.asked} >= {TOKEN, REVOKE}
        assert org.at(ASKED_FIRST) or count == 2
        org.asked.clear()
    assert [told["user_agent_token"] for told in org.told("credential.revoked")] == names
    assert all(name.startswith("jitgate/m-") for name in names)
    assert len(set(names)) == 2


@pytest_twisted.ensureDeferred
async def test_what_was_not_sent_is_not_on_record_as_a_request(org):
    org.answers[TOKEN] = [plain(503)] * 2 * FAILURES
    source = org.source()
    for _ in range(FAILURES + 1):
        with pytest.raises(CredentialUnavailable):
            await source.lend(org.reading(), reuse=0.0)
    assert len(org.told("credential.not-minted")) == FAILURES


@pytest.mark.parametrize("answer", [error(400, "access_denied"), hang_up])
@pytest_twisted.ensureDeferred
async def test_a_request_for_a_token_that_does_not_come_is_on_record(org, answer):
    org.answers[TOKEN] = [answer, answer]
    with pytest.raises(CredentialUnavailable) as caught:
        await org.source().lend(org.reading(), reuse=0.0)
    (told,) = org.told("credential.not-minted")
    assert {each.user_agent for each in org.at(TOKEN)} == {told["user_agent_token"]}
    assert told == {
        "kind": "okta",
        "app": "reader",
        "scopes": ["okta.users.read"],
        "user_agent_token": told["user_agent_token"],
        "why": str(caught.value),
    }


@pytest_twisted.ensureDeferred
async def test_a_revocation_that_fails_is_tried_again(org):
    source = org.source()
    org.answers[REVOKE] = [plain(503), plain(503)]
    source.returned(await source.lend(org.reading(), reuse=0.0))
    while not org.noted:
        calls = [each.getTime() - org.clock.seconds() for each in org.clock.getDelayedCalls()]
        if calls and min(calls) <= FIRST_WAIT:  # else one is under way, whose end would be later
            org.clock.advance(FIRST_WAIT)
        await turn()
    assert org.told("credential.revoked")[0]["tries"] == 2
    assert org.live == set()


async def turn():
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted
    from twisted.internet.task import deferLater  # noqa: PLC0415

    await deferLater(reactor, 0.001)


@pytest_twisted.ensureDeferred
async def test_a_revocation_that_is_refused_is_not_tried_again_and_on_record(org):
    source = org.source()
    org.answers[REVOKE] = [error(400, "unsupported_token_type")]
    lent = await source.lend(org.reading(), reuse=0.0)
    source.returned(lent)
    await settled(org)
    (told,) = org.told("credential.not-revoked")
    assert told == {
        **lent.facts,
        "tries": 1,
        "why": "The org answered 400 (unsupported_token_type).",
    }


@pytest_twisted.ensureDeferred
async def test_what_is_replaced_shares_nothing_any_more_and_revokes_what_comes_back(org):
    source, asked = org.source(), org.reading()
    lent = await source.lend(asked, reuse=60.0)
    idle = await source.lend(org.reading("okta.groups.read"), reuse=60.0)
    source.returned(idle)
    source.retire()
    await settled(org)
    assert org.revoked == ["hunter2.token-1~"]
    other = await source.lend(asked, reuse=60.0)
    assert other.secrets[0] != lent.secrets[0]
    source.returned(lent)
    source.returned(other)
    await settled(org, 3)
    assert org.live == set()


@pytest.mark.parametrize("way", ["is under way", "waits to be tried again", "waits for others"])
@pytest_twisted.ensureDeferred
async def test_what_is_replaced_is_there_until_its_tokens_are_revoked(org, way):
    known, asked, answered = WeakSet([org.source()]), Deferred(), Deferred()

    def silent(request):
        answered.addCallback(lambda _: request.finish())
        if not asked.called:
            asked.callback(None)
        return NOT_DONE_YET

    org.answers[REVOKE] = [plain(503)] * 2 if "again" in way else [silent] * AT_ONCE
    calls = AT_ONCE + 1 if "others" in way else 1
    await served_by(known, org, calls)
    if "again" in way:
        while "_due" not in [each.func.__name__ for each in org.clock.getDelayedCalls()]:
            await turn()
    else:
        await asked
    gc.collect()
    (source,) = known
    answered.callback(None)
    await source.stop()
    assert len(org.told("credential.revoked")) == calls


async def served_by(known, org, calls):
    """Let a source serve so many calls; then another takes its place."""
    (source,) = known
    for lent in [await source.lend(org.reading(), reuse=0.0) for _ in range(calls)]:
        source.returned(lent)
    source.retire()


@pytest_twisted.ensureDeferred
async def test_at_the_end_what_is_shared_is_revoked(org):
    source = org.source()
    source.returned(await source.lend(org.reading(), reuse=60.0))
    await source.stop()
    assert org.live == set()
    assert org.clock.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_the_end_does_not_wait_for_ever_and_says_what_is_left(org):
    source, asked = org.source(), Deferred()

    def silent(request):
        asked.callback(None)
        return NOT_DONE_YET

    org.answers[REVOKE] = [silent]
    source.returned(await source.lend(org.reading(), reuse=60.0))
    stopping = Deferred.fromCoroutine(source.stop())
    await asked
    org.clock.advance(AT_END)
    await stopping
    await settled(org)
    (told,) = org.told("credential.not-revoked")
    assert told["expires_at"] == NOW + 3600
    assert org.clock.getDelayedCalls() == []


# --- apps by risk


def apps(org):
    server, read = org.server(), frozenset({Risk.READ})
    write = read | {Risk.WRITE}
    return [
        org.app(server, name="all"),
        org.app(server, name="writer", risks=write),
        org.app(server, name="reader", risks=read),
        org.app(server, name="users", risks=read, scopes=frozenset({"okta.users.read"})),
        org.app(server, name="more", risks=read, scopes=frozenset({"okta.users.read", "b"})),
        org.app(server, name="same", risks=read, scopes=frozenset({"okta.users.read"})),
    ]


@pytest.mark.parametrize(
    ("risk", "scope", "name"),
    [
        (Risk.READ, "okta.users.read", "users"),
        (Risk.READ, "b", "more"),
        (Risk.READ, "okta.groups.read", "reader"),
        (Risk.WRITE, "okta.users.read", "writer"),
        (Risk.PRIVILEGED, "okta.users.read", "all"),
        (Risk.DESTRUCTIVE, "okta.users.read", "all"),
        (None, "okta.users.read", "all"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_app_that_may_do_least_of_those_that_may_do_it_is_taken(org, risk, scope, name):
    asked = org.reading(scope, risk=risk)
    lent = await org.source(*apps(org)).lend(asked, reuse=0.0)
    assert lent.facts["app"] == name


SCOPE = ("okta.users.read",)
READER, WRITER = {Risk.READ}, {Risk.READ, Risk.WRITE}
KEEPER, OFFICER = {Risk.READ, Risk.DESTRUCTIVE}, {Risk.READ, Risk.PRIVILEGED}
THREE = WRITER | OFFICER


@pytest.mark.parametrize(
    ("least", "other"),
    [
        (READER, WRITER),
        (WRITER, OFFICER),
        (WRITER, KEEPER),
        (OFFICER, KEEPER),
        (THREE, KEEPER),
        (OFFICER, THREE),
        (KEEPER, KEEPER | WRITER),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_app_may_do_less_by_its_worst_risk_and_then_by_their_number(org, least, other):
    server = org.server()
    app = org.app(server, name="least", risks=frozenset(least))
    beside = org.app(server, name="other", risks=frozenset(other), scopes=frozenset(SCOPE))
    for given in ([app, beside], [beside, app]):
        lent = await org.source(*given).lend(org.reading(*SCOPE), reuse=0.0)
        assert lent.facts["app"] == "least"


@pytest.mark.parametrize("risk", [Risk.WRITE, None])
@pytest_twisted.ensureDeferred
async def test_what_no_app_covers_is_refused(org, risk):
    source = org.source(org.app(risks=frozenset({Risk.READ})))
    with pytest.raises(CredentialRefused, match="No service app of okta covers deactivateUser"):
        await source.lend(org.operation(risk=risk), reuse=0.0)
    assert org.asked == []


@pytest_twisted.ensureDeferred
async def test_no_app_asks_for_a_scope_that_it_does_not_list(org):
    source = org.source(org.app(scopes=frozenset({"okta.users.read"})))
    with pytest.raises(CredentialRefused, match=r"its scopes are okta\.users\.manage"):
        await source.lend(org.operation(), reuse=0.0)
    assert org.asked == []


def test_the_source_shows_no_secret(org):
    source = org.source()
    assert verifyObject(ILastingSource, source)
    assert "PRIVATE" not in repr(source)


class TestOkta(LendingContract):
    """What is asked of every source."""

    dpop = True

    @pytest.fixture(autouse=True)
    def _served(self, org):
        self.org = org

    def make(self):
        made = self.org.source(dpop=self.dpop)
        made.name, made.version = "okta", "1"
        return made

    def pair(self):
        return self.make(), self.make()

    def operations(self):
        return [self.org.reading(), self.org.operation()]

    def refused(self):
        return [replace(self.org.operation(), scopes=())]


class TestOktaBearer(TestOkta):
    dpop = False
