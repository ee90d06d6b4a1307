"""The words in names, and which fields they make out to be secret."""

import pytest

from jitgate.catalogs.wording import names_a_secret
from jitgate.core.wording import words


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("clientSecret", ["client", "secret"]),
        ("client_secret", ["client", "secret"]),
        ("X-API-Key", ["x", "api", "key"]),
        ("getAPIKeyV2", ["get", "api", "key", "v", "2"]),
        ("", []),
        ("---", []),
        ("é", []),
    ],
)
def test_names_are_made_of_words(name, said):
    assert words(name) == said


@pytest.mark.parametrize(
    "field",
    [
        "apiKey",
        "client_secret",
        "clientSecret",
        "privateKey",
        "secretKey",
        "sharedSecret",
        "secret_hash",
        "password",
        "resetPasswordUrl",
        "activationToken",
        "activationUrl",
        "tempPassword",
        "correctAnswer",
        "token",
        "access_token",
        "refreshToken",
        "encoded_jit_config",
        "webhook_secret",
        "pem",
        "passcode",
        "recovery_codes",
        "apikey",
        "accesstoken",
        "signing_key",
        "credentials",
    ],
)
def test_fields_that_hold_secrets_are_told_by_their_names(field):
    assert names_a_secret(field)


@pytest.mark.parametrize(
    "field",
    [
        "id",
        "name",
        "key",
        "keyId",
        "token_type",
        "nextPageToken",
        "continuation_token",
        "publicKey",
        "public_secret",
        "passwordChanged",
        "tokens_url",
        "password_policy",
        "pinned",
        "spinning",
    ],
)
def test_fields_that_hold_none_are_left(field):
    assert not names_a_secret(field)
