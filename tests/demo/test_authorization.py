import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jitgate.demo.authorization import ASSERTION_LIFE, TOKEN_PATH
from jitgate.demo.site import Call

READ = "okta.users.read"


def post(sandbox, form):
    return sandbox.org.answer(Call("POST", TOKEN_PATH, "", (), form))


def test_a_good_assertion_is_answered_with_a_token_for_exactly_the_scopes_asked(resting, client):
    answer = post(resting, client.form(f"{READ} okta.groups.read"))
    claims = jwt.decode(answer.content["access_token"], options={"verify_signature": False})
    assert answer.status == 200
    assert answer.content["expires_in"] == claims["exp"] - claims["iat"] == 3600
    assert claims["scp"] == ["okta.groups.read", READ]
    assert claims["jti"]


STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)

BAD_ASSERTIONS = {
    "signed by another key": {"key": STRANGER},
    "signed with a shared secret": {"key": "s" * 64, "algorithm": "HS256"},
    "not signed": {"key": "", "algorithm": "none"},
    "for another endpoint": {"aud": "https://acme.okta.example:443/oauth2/v1/token"},
    "for this endpoint and another": {
        "aud": ["https://acme.okta.example/oauth2/v1/token", "https://other.example"]
    },
    "from another issuer": {"iss": "0oaother"},
    "about another client": {"sub": "0oaother"},
    "under another key id": {"kid": "other"},
    "expired": {"exp": int(time.time()) - 10},
    "valid for too long": {"exp": int(time.time()) + ASSERTION_LIFE + 86_400},
    "without an expiry": {"without": ("exp",)},
    "without an id": {"without": ("jti",)},
    "without an audience": {"without": ("aud",)},
}


@pytest.mark.parametrize("twist", BAD_ASSERTIONS.values(), ids=BAD_ASSERTIONS.keys())
def test_a_bad_assertion_is_refused(resting, client, twist):
    answer = post(resting, client.form(READ, client.assertion(**twist)))
    assert (answer.status, answer.content["error"]) == (401, "invalid_client")
    assert "access_token" not in answer.content


def test_an_assertion_is_good_once(resting, client):
    assertion = client.assertion()
    first, second = (post(resting, client.form(READ, assertion)) for _ in range(2))
    assert (first.status, second.status) == (200, 401)


BAD_FORMS = {
    "no assertion": ({"client_assertion": " "}, 401, "invalid_client"),
    "another assertion type": ({"client_assertion_type": "urn:other"}, 401, "invalid_client"),
    "another client": ({"client_id": "0oaother"}, 401, "invalid_client"),
    "another grant type": ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    "no scope": ({"scope": " "}, 400, "invalid_scope"),
    "a scope that was not granted": (
        {"scope": f"{READ} okta.policies.manage"},
        400,
        "invalid_scope",
    ),
}


@pytest.mark.parametrize(("twist", "status", "error"), BAD_FORMS.values(), ids=BAD_FORMS.keys())
def test_a_form_that_asks_wrongly_is_refused(resting, client, twist, status, error):
    answer = post(resting, client.form(**{"scope": READ, **twist}))
    assert (answer.status, answer.content["error"]) == (status, error)


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\xff=1", b"scope=again&scope=again"])
def test_a_malformed_form_is_refused(resting, damage):
    answer = post(resting, damage)
    assert (answer.status, answer.content["error"]) == (400, "invalid_request")


def test_a_repeated_field_is_refused_though_the_rest_is_good(resting, client):
    answer = post(resting, client.form(READ) + b"&scope=okta.users.manage")
    assert (answer.status, answer.content["error"]) == (400, "invalid_request")


def test_a_token_is_had_only_by_post(resting, client):
    answer = resting.org.answer(Call("PUT", TOKEN_PATH, "", (), client.form(READ)))
    assert answer.status == 400


def test_an_expiry_written_as_text_is_measured_all_the_same(resting, client):
    far = str(int(time.time()) + ASSERTION_LIFE + 600)
    assert post(resting, client.form(READ, client.assertion(exp=far))).status == 401


WITHIN_ONE_SANDBOX = settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@WITHIN_ONE_SANDBOX
@given(body=st.binary() | st.text().map(lambda text: f"client_assertion={text}".encode()))
def test_no_form_without_an_assertion_is_answered_with_a_token_or_goes_unrecorded(resting, body):
    before = len(resting.org.journal)
    assert post(resting, body).status in {400, 401}
    assert len(resting.org.journal) == before + 1


@WITHIN_ONE_SANDBOX
@given(assertion=st.text() | st.from_regex(r"[\w-]+\.[\w-]+\.[\w-]*", fullmatch=True))
def test_no_made_up_assertion_is_accepted(resting, client, assertion):
    form = client.form(READ, assertion or "x")
    assert post(resting, form).content["error"] == "invalid_client"


@WITHIN_ONE_SANDBOX
@given(method=st.sampled_from(["GET", "POST"]), path=st.text(), value=st.binary(), body=st.binary())
def test_no_made_up_token_opens_anything(resting, method, path, value, body):
    headers = ((b"authorization", b"Bearer " + value),)
    assert resting.org.answer(Call(method, f"/api/v1/{path}", "", headers, body)).status == 401
