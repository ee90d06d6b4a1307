"""A token for one operation: asked for by proof of a key, taken only if it is exactly that."""

import base64
import json
from dataclasses import replace
from itertools import count

import jwt
import pytest
import pytest_twisted
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from support.loopback import serve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.server import NOT_DONE_YET
from zope.interface.verify import verifyObject

from jitgate.credentials.okta import ASSERTION_LIFE, MAX_ANSWER, OktaCredentials
from jitgate.errors import CredentialRefused, CredentialUnavailable
from jitgate.fetching import TIMEOUT
from jitgate.interfaces import ICredentialSource
from jitgate.testing.credentials import CredentialContract
from jitgate.values import Credential, Operation

NOW = 1_800_000_000
SECRET = "hunter2.access~token+/="
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def pem(key, encryption=None):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )


def operation(*scopes):
    return Operation(
        target="okta",
        action="deactivateUser",
        resource={"id": "00u1"},
        method="POST",
        authority="acme.okta.com",
        path="/api/v1/users/00u1/lifecycle/deactivate",
        scopes=scopes,
    )


ONE = operation("okta.users.manage")
TWO = operation("okta.apps.read", "okta.groups.read")


def source(org, http=None, clock=None, key=EC_KEY, **options):
    whole = {
        "org": org,
        "client_id": "0oa1",
        "key_id": "k1",
        "private_key": pem(key),
        "http": http,
        "clock": clock or Clock(),
        "new_id": map("id-{}".format, count()).__next__,
        "keyed": lambda data: f"keyed({len(data)})",
    }
    return OktaCredentials(**(whole | options))


class Org:
    """A token endpoint that grants what is asked; a test may make its answers hostile."""

    def __init__(self):
        self.clock = Clock()
        self.clock.advance(NOW + 0.7)
        self.asked = []
        self.arrived = Deferred()
        self.status = 200
        self.headers = {}
        self.changes = {}
        self.answer = None
        self.site = serve(self._render)
        self.url = self.site.origin

    def source(self, **options):
        return source(self.url, self.site.client, self.clock, **options)

    def _render(self, request):
        self.asked.append((request.method, request.path, request.args))
        if len(self.asked) == 1:
            self.arrived.callback(None)
        request.setResponseCode(self.status)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        return self._granted(request) if self.answer is None else self.answer

    def _granted(self, request):
        members = {
            "token_type": "Bearer",
            "expires_in": 3600,
            "access_token": SECRET,
            "scope": request.args[b"scope"][0].decode(),
        } | self.changes
        kept = {name: value for name, value in members.items() if value is not ...}
        return json.dumps(kept).encode()

    async def refusal(self, asked=ONE):
        """What is said when no credential can be had; never anything that was answered."""
        with pytest.raises(CredentialUnavailable) as caught:
            await self.source().issue(asked)
        said = str(caught.value)
        assert "hunter2" not in said
        assert len(self.asked) == 1
        return said


@pytest_twisted.async_yield_fixture
async def org():
    it = Org()
    yield it
    await it.site.stop()


# --- what is asked


@pytest.mark.parametrize(("key", "algorithm"), [(RSA_KEY, "RS256"), (EC_KEY, "ES256")])
@pytest_twisted.ensureDeferred
async def test_the_gateway_proves_itself_by_a_signed_assertion(org, key, algorithm):
    await org.source(key=key).issue(ONE)
    ((method, path, form),) = org.asked
    assert (method, path) == (b"POST", b"/oauth2/v1/token")
    assertion = form.pop(b"client_assertion")[0].decode()
    assert form == {
        b"grant_type": [b"client_credentials"],
        b"scope": [b"okta.users.manage"],
        b"client_assertion_type": [b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
    }
    header = jwt.get_unverified_header(assertion)
    assert (header["kid"], header["alg"]) == ("k1", algorithm)
    url = f"{org.url}/oauth2/v1/token"
    unchecked = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(assertion, key.public_key(), [algorithm], audience=url, options=unchecked)
    assert claims == {
        "iss": "0oa1",
        "sub": "0oa1",
        "aud": url,
        "iat": NOW,
        "exp": NOW + ASSERTION_LIFE,
        "jti": "id-0",
    }


@pytest_twisted.ensureDeferred
async def test_each_assertion_has_an_id_of_its_own(org):
    issuer = org.source()
    await issuer.issue(ONE)
    await issuer.issue(ONE)
    ids = [
        jwt.decode(form[b"client_assertion"][0], options={"verify_signature": False})["jti"]
        for _, _, form in org.asked
    ]
    assert ids == ["id-0", "id-1"]


@pytest_twisted.ensureDeferred
async def test_exactly_the_scopes_of_the_operation_are_asked_for(org):
    await org.source().issue(TWO)
    assert org.asked[0][2][b"scope"] == [b"okta.apps.read okta.groups.read"]


@pytest.mark.parametrize(
    "path", ["/.well-known/okta-organization", "/.well-known/a/b", "/oauth2/v1/keys"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest_twisted.ensureDeferred
async def test_what_anybody_may_read_is_read_without_a_credential(org, method, path):
    asked = replace(operation(), method=method, path=path)
    assert await org.source().issue(asked) == Credential((), (), {"kind": "none"})
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
    asked = replace(operation(), method=method, path=path)
    with pytest.raises(CredentialRefused, match="deactivateUser needs no scope.*not a public read"):
        await org.source().issue(asked)
    assert org.asked == []


# --- what is issued


@pytest_twisted.ensureDeferred
async def test_a_credential_is_the_header_the_secret_and_what_may_be_said_of_it(org):
    credential = await org.source().issue(ONE)
    assert credential.headers == ((b"Authorization", b"Bearer " + SECRET.encode()),)
    assert credential.secrets == (SECRET.encode(),)
    assert credential.facts == {
        "kind": "okta",
        "scopes": ["okta.users.manage"],
        "expires_in": 3600,
        "fingerprint": f"keyed({len(SECRET)})",
    }
    assert "hunter2" not in repr(credential)


@pytest_twisted.ensureDeferred
async def test_the_id_of_a_token_that_is_a_jwt_may_be_said(org):
    org.changes = {"access_token": jwt.encode({"jti": "AT.7"}, EC_KEY, "ES256")}
    assert (await org.source().issue(ONE)).facts["jti"] == "AT.7"


@pytest.mark.parametrize("claims", [b"[]", b"{", b"\xff", b'{"jti":7}', b"{}"])
@pytest_twisted.ensureDeferred
async def test_a_token_without_an_id_is_as_good(org, claims):
    middle = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()
    org.changes = {"access_token": f"a.{middle}.b"}
    assert "jti" not in (await org.source().issue(ONE)).facts


@pytest.mark.parametrize(
    "changes",
    [
        {"token_type": "bearer"},
        {"token_type": "BEARER"},
        {"scope": ...},
        {"expires_in": ...},
        {"expires_in": "3600"},
        {"more": {"a": 1}},
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_the_standard_leaves_open_is_taken(org, changes):
    org.changes = changes
    assert (await org.source().issue(ONE)).secrets == (SECRET.encode(),)


@pytest_twisted.ensureDeferred
async def test_scopes_may_come_in_another_order(org):
    org.changes = {"scope": "okta.groups.read okta.apps.read"}
    assert (await org.source().issue(TWO)).facts["scopes"] == list(TWO.scopes)


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
    assert "scopes" in await org.refusal()


@pytest_twisted.ensureDeferred
async def test_fewer_scopes_than_asked_for_are_refused(org):
    org.changes = {"scope": "okta.apps.read"}
    assert "scopes" in await org.refusal(TWO)


@pytest.mark.parametrize("kind", [..., None, "", "DPoP", "mac", 7, ["Bearer"]])
@pytest_twisted.ensureDeferred
async def test_a_token_of_another_type_is_refused(org, kind):
    org.changes = {"token_type": kind}
    assert "bearer" in await org.refusal()


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
    assert "header" in await org.refusal()


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
        b"[" * 10_000,
        b"NaN",
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_answer_that_is_no_json_object_is_refused(org, answer):
    org.answer = answer
    assert "JSON object" in await org.refusal()


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (400, b'{"error":"invalid_scope","error_description":"hunter2"}', "400 (invalid_scope)."),
        (401, b'{"error":"invalid_client"}', "401 (invalid_client)."),
        (400, b'{"error":"hunter2 <b>"}', "answered 400."),
        (400, b'{"error":"' + b"a" * 41 + b'"}', "answered 400."),
        (400, b'{"error":"invalid_scope\\n"}', "answered 400."),
        (400, b'{"error":["invalid_scope"]}', "answered 400."),
        (400, b'["invalid_scope"]', "answered 400."),
        (500, b"<html>hunter2</html>", "answered 500."),
        (429, b"", "answered 429."),
        (201, None, "answered 201."),
        (204, b"", "answered 204."),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_refusal_is_told_by_its_status_and_plain_code(org, status, answer, said):
    org.status, org.answer = status, answer
    assert (await org.refusal()).endswith(said)


@pytest_twisted.ensureDeferred
async def test_the_assertion_follows_no_redirect(org):
    org.status = 307
    org.headers = {b"Location": f"{org.url}/elsewhere".encode()}
    assert "307" in await org.refusal()


@pytest_twisted.ensureDeferred
async def test_an_answer_without_end_is_not_read_to_its_end(org):
    org.changes = {"padding": "x" * MAX_ANSWER}
    assert "too long" in await org.refusal()


@pytest_twisted.ensureDeferred
async def test_a_silent_endpoint_is_not_waited_for_for_ever(org):
    org.answer = NOT_DONE_YET
    said = Deferred.fromCoroutine(org.refusal())
    await org.arrived
    org.clock.advance(TIMEOUT)
    assert "within 10 s" in await said


@pytest_twisted.ensureDeferred
async def test_an_endpoint_that_is_not_there_is_asked_once(org):
    await org.site.stop()
    with pytest.raises(CredentialUnavailable, match="ConnectionRefusedError"):
        await org.source().issue(ONE)


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
        source(url)
    assert "hunter2" not in str(caught.value)


def test_an_orgs_url_may_end_in_a_slash():
    assert verifyObject(ICredentialSource, source("https://acme.okta.com/"))


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"hunter2",
        pem(EC_KEY)[:100],
        pem(EC_KEY, serialization.BestAvailableEncryption(b"hunter2")),
        pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - weak on purpose
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ed25519.Ed25519PrivateKey.generate()),
        EC_KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    ],
)
def test_a_key_that_cannot_sign_is_refused_without_being_shown(key):
    with pytest.raises(ValueError, match="private key") as caught:
        source("https://acme.okta.com", private_key=key)
    assert caught.value.__cause__ is None
    assert not key or key.decode() not in str(caught.value)


def test_the_source_shows_no_secret():
    assert "PRIVATE" not in repr(source("https://acme.okta.com"))


class TestOkta(CredentialContract):
    """What is asked of a site's own sources."""

    @pytest.fixture(autouse=True)
    def _served(self, org):
        self.org = org

    def make(self):
        made = self.org.source()
        made.name, made.version = "okta", "1"
        return made

    def operations(self):
        return [ONE, TWO]

    def refused(self):
        return [operation()]
