"""A token: asked for by proof of two keys, taken only if it is exactly what was asked for."""

import base64
import time
from email.utils import formatdate

import jwt
import pytest
import pytest_twisted
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from support.okta import KEY, NOW, REVOKE, TOKEN, error, hang_up, pem, plain
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.web.server import NOT_DONE_YET

from jitgate.credentials.circuit import FAILURES
from jitgate.credentials.okta_app import (
    AGAIN_AFTER,
    ASSERTION_LIFE,
    MAX_ANSWER,
    NONCES,
    OktaServer,
)
from jitgate.credentials.signing import read_key
from jitgate.credentials.token_answers import LONGEST_LIFE
from jitgate.errors import CredentialRefused, CredentialUnavailable, traced
from jitgate.fetching import TIMEOUT

RSA_KEY = rsa.generate_private_key(65537, 2048)
ONE = ("okta.users.manage",)
TWO = ("okta.apps.read", "okta.groups.read")


async def refusal(org, scopes=ONE, *, app=None, calls=1):
    """What is said when no token can be had; never anything that was answered."""
    before = len(org.asked)
    with pytest.raises(CredentialUnavailable) as caught:
        await (app or org.app()).mint(scopes)
    said = str(caught.value)
    assert "hunter2" not in said + traced(caught.value)
    assert len(org.asked) - before == calls
    return said


# --- what is asked


@pytest_twisted.ensureDeferred
async def test_the_gateway_proves_itself_by_a_signed_assertion(org):
    await org.app().mint(ONE)
    (asked,) = org.asked
    assert (asked.method, asked.path) == ("POST", TOKEN)
    form = {name: value for name, value in asked.form.items() if name != "client_assertion"}
    assert form == {
        "grant_type": "client_credentials",
        "scope": "okta.users.manage",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    claims = asked.asserted()
    assert claims.pop("jti").startswith("id-")
    assert claims == {
        "iss": "0oa1",
        "sub": "0oa1",
        "aud": org.url + TOKEN,
        "iat": NOW,
        "exp": NOW + ASSERTION_LIFE,
    }


@pytest_twisted.ensureDeferred
async def test_an_rsa_key_signs_as_well(org):
    org.answers[TOKEN] = [plain(400)]
    await refusal(org, app=org.app(key=RSA_KEY))
    assertion = org.asked[0].form["client_assertion"]
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "kid": "k1"}
    unchecked = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(
        assertion, RSA_KEY.public_key(), ["RS256"], audience=org.url + TOKEN, options=unchecked
    )


@pytest_twisted.ensureDeferred
async def test_exactly_the_scopes_of_the_operation_are_asked_for(org):
    await org.app().mint(TWO)
    assert org.asked[0].form["scope"] == "okta.apps.read okta.groups.read"


@pytest_twisted.ensureDeferred
async def test_nothing_is_proved_where_dpop_is_off(org):
    token = await org.app(dpop=False).mint(ONE)
    assert org.asked[0].proof is None
    assert not token.dpop


# --- the proof


@pytest_twisted.ensureDeferred
async def test_the_key_of_the_token_is_proved_with_nothing_but_its_public_half(org):
    token = await org.app().mint(ONE)
    header = jwt.get_unverified_header(org.asked[0].proof)
    assert (header["typ"], header["alg"]) == ("dpop+jwt", "ES256")
    assert set(header["jwk"]) == {"kty", "crv", "x", "y"}
    claims = org.asked[0].proved()
    assert set(claims) == {"jti", "htm", "htu", "iat"}
    assert (claims["htm"], claims["htu"], claims["iat"]) == ("POST", org.url + TOKEN, NOW)
    assert token.dpop


@pytest_twisted.ensureDeferred
async def test_each_app_has_a_key_of_its_own(org):
    for _ in range(2):
        await org.app().mint(ONE)
    one, other = (jwt.get_unverified_header(asked.proof)["jwk"] for asked in org.asked)
    assert one != other


@pytest_twisted.ensureDeferred
async def test_a_nonce_is_answered_with_an_assertion_and_a_proof_of_their_own(org):
    org.nonce = "n-1"
    assert await org.app().mint(ONE)
    first, second = org.asked
    assert "nonce" not in first.proved()
    assert second.proved()["nonce"] == "n-1"
    assert first.asserted()["jti"] != second.asserted()["jti"]
    assert first.proved()["jti"] != second.proved()["jti"]


@pytest_twisted.ensureDeferred
async def test_a_nonce_is_remembered_for_all_apps_of_the_org(org):
    server, org.nonce = org.server(), "n-1"
    await org.app(server).mint(ONE)
    await org.app(server, name="writer").mint(ONE)
    assert [asked.proved().get("nonce") for asked in org.asked] == [None, "n-1", "n-1"]


@pytest_twisted.ensureDeferred
async def test_any_answer_may_bring_the_next_nonce(org):
    app = org.app()
    org.headers = {"DPoP-Nonce": "n-2"}
    await app.mint(ONE)
    org.headers = {}
    await app.mint(ONE)
    assert [asked.proved().get("nonce") for asked in org.asked] == [None, "n-2"]


@pytest_twisted.ensureDeferred
async def test_a_server_that_wants_nonce_after_nonce_is_not_answered_for_ever(org):
    numbers = iter(range(10))
    org.answers[TOKEN] = [
        error(400, "use_dpop_nonce", DPoP_Nonce=f"n-{next(numbers)}") for _ in range(10)
    ]
    assert "another after each" in await refusal(org, calls=NONCES + 1)


@pytest.mark.parametrize("fields", [{}, {"DPoP_Nonce": "a b"}, {"DPoP_Nonce": "n" * 2000}])
@pytest_twisted.ensureDeferred
async def test_a_nonce_that_is_none_is_not_used(org, fields):
    org.answers[TOKEN] = [error(400, "use_dpop_nonce", **fields) for _ in range(5)]
    assert "use_dpop_nonce" in await refusal(org)


# --- what is taken


@pytest_twisted.ensureDeferred
async def test_a_token_shows_what_may_be_said_of_it(org):
    token = await org.app().mint(ONE)
    assert token.secret == b"hunter2.token-0~"
    assert (token.app, token.scopes, token.id) == ("reader", ONE, None)
    assert token.expires_at == pytest.approx(NOW + 0.7 + 3600)
    assert "hunter2" not in repr(token)


@pytest_twisted.ensureDeferred
async def test_a_token_may_live_as_long_as_any_does(org):
    org.life = int(LONGEST_LIFE)
    token = await org.app().mint(ONE)
    assert token.expires_at == NOW + 0.7 + LONGEST_LIFE


@pytest_twisted.ensureDeferred
async def test_the_id_of_a_token_that_is_a_jwt_may_be_said(org):
    org.changes = {"access_token": jwt.encode({"jti": "AT.7"}, KEY, "ES256")}
    assert (await org.app().mint(ONE)).id == "AT.7"


@pytest.mark.parametrize("claims", [b"[]", b"{", b"\xff", b'{"jti":7}', b"{}"])
@pytest_twisted.ensureDeferred
async def test_a_token_without_an_id_is_as_good(org, claims):
    middle = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()
    org.changes = {"access_token": f"a.{middle}.b"}
    assert (await org.app().mint(ONE)).id is None


@pytest.mark.parametrize(
    "changes", [{"token_type": "dpop"}, {"token_type": "DPOP"}, {"scope": ...}, {"more": {"a": 1}}]
)
@pytest_twisted.ensureDeferred
async def test_what_the_standard_leaves_open_is_taken(org, changes):
    org.changes = changes
    assert (await org.app().mint(ONE)).secret == b"hunter2.token-0~"


@pytest_twisted.ensureDeferred
async def test_scopes_may_come_in_another_order(org):
    org.changes = {"scope": "okta.groups.read okta.apps.read"}
    assert (await org.app().mint(TWO)).scopes == TWO


# --- hostile and broken endpoints


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "okta.users.read",
        "okta.users.manage okta.apps.manage",
        "OKTA.USERS.MANAGE",
        "okta.users.manage ",
        None,
        ["okta.users.manage"],
    ],
)
@pytest_twisted.ensureDeferred
async def test_other_scopes_than_asked_for_are_refused(org, scope):
    org.changes = {"scope": scope}
    assert "scopes" in await refusal(org)


@pytest_twisted.ensureDeferred
async def test_fewer_scopes_than_asked_for_are_refused(org):
    org.changes = {"scope": "okta.apps.read"}
    assert "scopes" in await refusal(org, TWO)


@pytest.mark.parametrize("kind", [..., None, "", "mac", 7, ["DPoP"]])
@pytest_twisted.ensureDeferred
async def test_a_token_of_another_type_is_refused(org, kind):
    org.changes = {"token_type": kind}
    assert "not a DPoP token" in await refusal(org)
    assert "not a bearer token" in await refusal(org, app=org.app(dpop=False))


@pytest_twisted.ensureDeferred
async def test_where_the_type_is_not_what_is_set_the_setting_is_named(org):
    org.changes = {"token_type": "Bearer"}
    assert "let the org require DPoP of that app, or set dpop: false" in await refusal(org)
    org.changes = {"token_type": "DPoP"}
    assert "set dpop: true" in await refusal(org, app=org.app(dpop=False))


@pytest_twisted.ensureDeferred
async def test_an_endpoint_that_misses_a_proof_says_which_setting_to_change(org):
    org.answers[TOKEN] = [error(400, "invalid_dpop_proof")]
    assert "set dpop: true" in await refusal(org, app=org.app(dpop=False))


@pytest.mark.parametrize(
    "token",
    [
        ...,
        None,
        "",
        7,
        ["hunter2"],
        "hunter2\r\nX-Evil: 1",
        "hunter2\n",
        "hunter2 x",
        "hunter2\x00",
        "hünter2",
        "hunter2=x",
        "=",
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_token_that_a_header_cannot_hold_is_refused(org, token):
    org.changes = {"access_token": token}
    assert "header" in await refusal(org)


@pytest.mark.parametrize("life", [..., None, "3600", 0, -1, 3600.0, True])
@pytest_twisted.ensureDeferred
async def test_a_token_that_has_no_end_is_refused(org, life):
    org.changes = {"expires_in": life}
    assert "how long its token lives" in await refusal(org)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>hunter2</html>",
        b"[]",
        b'"hunter2"',
        b"null",
        b'{"token_type":"Bearer","access_token":"hunter2',
        b'{"token_type":"Bearer","access_token":"\xff"}',
        b'{"access_token":"hunter2","access_token":"b","token_type":"DPoP","expires_in":9}',
        b'{"a":{"b":1,"b":2}}',
        b"[" * 10_000,
        b'{"a":' * 10_000,
        b"NaN",
        b'{"expires_in":NaN}',
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_answer_that_is_not_one_json_object_is_refused(org, answer):
    org.answers[TOKEN] = [plain(200, answer)]
    assert "JSON object" in await refusal(org)


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (400, b'{"error":"invalid_scope","error_description":"hunter2"}', "400 (invalid_scope)."),
        (400, b'{"error":"access_denied"}', "400 (access_denied)."),
        (400, b'{"error":"consent_required"}', "400 (consent_required)."),
        (401, b'{"error":"invalid_client"}', "401 (invalid_client)."),
        (400, b'{"error":"hunter2 <b>"}', "answered 400."),
        (400, b'{"error":"' + b"a" * 41 + b'"}', "answered 400."),
        (400, b'{"error":"invalid_scope\\n"}', "answered 400."),
        (400, b'{"error":["invalid_scope"]}', "answered 400."),
        (400, b'["invalid_scope"]', "answered 400."),
        (429, b"", "answered 429."),
        (201, b"{}", "answered 201."),
        (204, b"", "answered 204."),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_refusal_is_told_by_its_status_and_plain_code_and_never_asked_for_again(
    org, status, answer, said
):
    org.answers[TOKEN] = [plain(status, answer)]
    assert (await refusal(org)).endswith(said)


@pytest_twisted.ensureDeferred
async def test_the_assertion_follows_no_redirect(org):
    org.answers[TOKEN] = [plain(307, Location=f"{org.url}/elsewhere")]
    assert "answered 307" in await refusal(org)


@pytest_twisted.ensureDeferred
async def test_an_endless_answer_is_cut_off(org):
    org.answers[TOKEN] = [plain(200, b"x" * (MAX_ANSWER + 1))]
    assert "too long" in await refusal(org)


@pytest.mark.parametrize(("seconds", "side"), [(-31, "ahead of"), (31, "behind"), (4000, "behind")])
@pytest.mark.parametrize("code", ["invalid_client", "invalid_dpop_proof"])
@pytest_twisted.ensureDeferred
async def test_a_clock_that_differs_is_told_where_something_that_has_a_time_is_refused(
    org, seconds, side, code
):
    org.date = formatdate(NOW + 1 + seconds, usegmt=True)
    org.answers[TOKEN] = [error(401, code)]
    said = await refusal(org)
    assert said.endswith(f"clock is {abs(seconds):.0f} s {side} that of the token endpoint.")


@pytest.mark.parametrize(
    ("code", "date"),
    [
        ("invalid_client", NOW + 29),
        ("invalid_scope", NOW + 4000),
        ("invalid_client", None),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_clock_is_not_blamed_without_need(org, code, date):
    org.date = "yesterday" if date is None else formatdate(date, usegmt=True)
    org.answers[TOKEN] = [error(401, code)]
    assert "clock" not in await refusal(org)


# --- once more


@pytest.mark.parametrize("first", [hang_up, plain(500), plain(503, b"<html>hunter2</html>")])
@pytest_twisted.ensureDeferred
async def test_a_dead_connection_or_a_fault_of_the_server_is_tried_once_more(org, first):
    org.answers[TOKEN] = [first]
    assert await org.app().mint(ONE)
    one, other = org.asked
    assert one.asserted()["jti"] != other.asserted()["jti"]
    assert one.proved()["jti"] != other.proved()["jti"]
    assert org.pauses == [AGAIN_AFTER]


@pytest.mark.parametrize("fault", [hang_up, plain(500)])
@pytest_twisted.ensureDeferred
async def test_what_fails_twice_is_a_fault(org, fault):
    org.answers[TOKEN] = [fault, fault]
    await refusal(org, calls=2)


@pytest_twisted.ensureDeferred
async def test_all_of_it_has_one_deadline(org):
    asked = Deferred()

    def slow(request):
        org.clock.advance(TIMEOUT - 1)
        request.setResponseCode(500)
        return b""

    def silent(request):
        asked.callback(None)
        return NOT_DONE_YET

    org.answers[TOKEN] = [slow, silent]
    said = Deferred.fromCoroutine(refusal(org, calls=2))
    await asked
    org.clock.advance(1)
    assert "within 10 s" in await said


@pytest_twisted.ensureDeferred
async def test_an_endpoint_that_is_not_there_is_asked_once(org):
    await org.site.stop()
    with pytest.raises(CredentialUnavailable, match="ConnectionRefusedError"):
        await org.app().mint(ONE)
    assert org.pauses == []


# --- the circuit


@pytest_twisted.ensureDeferred
async def test_an_endpoint_that_fails_again_and_again_is_left_alone_and_then_tried(org):
    app = org.app()
    org.answers[TOKEN] = [plain(500)] * 2 * FAILURES
    for _ in range(FAILURES):
        await refusal(org, app=app, calls=2)
    assert "has failed since 2027-01-15T08:00:00Z" in await refusal(org, app=app, calls=0)
    org.clock.advance(1)
    assert await app.mint(ONE)
    assert await app.mint(ONE)


@pytest_twisted.ensureDeferred
async def test_a_refusal_is_no_failure_of_the_endpoint(org):
    app = org.app()
    org.answers[TOKEN] = [error(400, "invalid_scope")] * 2 * FAILURES
    for _ in range(2 * FAILURES):
        await refusal(org, app=app)
    assert await app.mint(ONE)


@pytest_twisted.ensureDeferred
async def test_a_429_is_no_failure_of_the_endpoint(org):
    app = org.app()
    org.answers[TOKEN] = [plain(429)] * 2 * FAILURES
    for _ in range(2 * FAILURES):
        await refusal(org, app=app)
    assert await app.mint(ONE)


@pytest_twisted.ensureDeferred
async def test_who_is_cancelled_while_trying_leaves_the_trial_to_the_next(org):
    app, asked = org.app(), Deferred()

    def silent(request):
        asked.callback(None)
        return NOT_DONE_YET

    org.answers[TOKEN] = [*[plain(500)] * 2 * FAILURES, silent]
    for _ in range(FAILURES):
        await refusal(org, app=app, calls=2)
    org.clock.advance(2)
    trying = Deferred.fromCoroutine(app.mint(ONE))
    await asked
    assert "but for one that tries" in await refusal(org, app=app, calls=0)
    trying.cancel()
    with pytest.raises(CancelledError):
        await trying
    org.clock.advance(60)
    assert await app.mint(ONE)


# --- back


@pytest_twisted.ensureDeferred
async def test_a_token_is_revoked_with_an_assertion_of_its_own(org):
    app = org.app()
    await app.revoke(await app.mint(ONE))
    minted, revoked = org.asked
    assert (revoked.method, revoked.path, revoked.proof) == ("POST", REVOKE, None)
    assert revoked.form["token"] == "hunter2.token-0~"
    assert revoked.form["token_type_hint"] == "access_token"
    assert minted.asserted()["jti"] != revoked.asserted()["jti"]
    assert revoked.asserted()["aud"] == org.url + REVOKE
    assert org.live == set()


@pytest_twisted.ensureDeferred
async def test_a_revocation_endpoint_that_wants_a_proof_gets_one_from_then_on(org):
    app = org.app()
    org.answers[REVOKE] = [
        error(400, "invalid_dpop_proof"),
        error(400, "use_dpop_nonce", DPoP_Nonce="n-9"),
    ]
    for _ in range(2):
        await app.revoke(await app.mint(ONE))
    asked = org.at(REVOKE)
    assert [each.proof is not None for each in asked] == [False, True, True, True]
    assert [each.proved().get("nonce") for each in asked[1:]] == [None, "n-9", "n-9"]
    assert org.live == set()


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (plain(400, b'{"error":"unsupported_token_type"}'), CredentialRefused),
        (plain(401, b'{"error":"invalid_client"}'), CredentialUnavailable),
        (plain(429), CredentialUnavailable),
        (plain(503), CredentialUnavailable),
        (plain(403), CredentialUnavailable),
    ],
)
@pytest_twisted.ensureDeferred
async def test_only_what_may_pass_may_be_tried_again(org, answer, fault):
    app = org.app()
    token = await app.mint(ONE)
    org.answers[REVOKE] = [answer, answer]
    with pytest.raises(CredentialUnavailable) as caught:
        await app.revoke(token)
    assert type(caught.value) is fault
    assert "hunter2" not in str(caught.value)


# --- what is configured


@pytest.mark.parametrize(
    "url",
    [
        "",
        "acme.okta.com",
        "http://acme.okta.com",
        "https://",
        "https://bob:hunter2@acme.okta.com",
        "https://acme.okta.com/oauth2/default",
        "https://acme.okta.com?a=b",
        "https://acme.okta.com#a",
    ],
)
def test_an_org_is_an_https_url_of_a_host(url):
    with pytest.raises(ValueError, match="org") as caught:
        OktaServer(url, None, Clock(), time.time)
    assert "hunter2" not in str(caught.value)


def test_an_orgs_url_may_end_in_a_slash():
    server = OktaServer("https://acme.okta.com/", None, Clock(), time.time)
    assert server.token_url == "https://acme.okta.com/oauth2/v1/token"


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"hunter2",
        pem(KEY)[:100],
        pem(KEY, serialization.BestAvailableEncryption(b"hunter2")),
        pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - weak on purpose
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ed25519.Ed25519PrivateKey.generate()),
        KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    ],
)
def test_a_key_that_cannot_sign_is_refused_without_being_shown(key):
    with pytest.raises(ValueError, match="private key") as caught:
        read_key(key)
    assert caught.value.__cause__ is None
    assert not key or key.decode() not in str(caught.value)
