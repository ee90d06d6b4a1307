import base64

import jwt
import pytest
import pytest_twisted
import treq
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS

from jitgate.demo.issuer import TOKEN_LIFE


def basic(name, secret):
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}


def proven(token, jwks, issuer):
    """The claims of a token, by the keys that the issuer publishes."""
    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=["ES256"], audience="jitgate", issuer=issuer)


@pytest_twisted.ensureDeferred
async def test_an_agent_that_knows_its_secret_gets_a_token_that_the_published_keys_prove(
    sandbox, ask
):
    issuer = sandbox.issuer
    where = (sandbox.ca, "127.0.0.1", int(issuer.url.rpartition(":")[2]))
    _, _, metadata = await ask(where, "GET", "/.well-known/openid-configuration")
    assert metadata["issuer"] == issuer.url
    _, _, jwks = await ask(where, "GET", metadata["jwks_uri"].removeprefix(issuer.url))
    status, headers, answer = await ask(
        where,
        "POST",
        metadata["token_endpoint"].removeprefix(issuer.url),
        headers=basic(issuer.client_id, issuer.client_secret),
        body=b"grant_type=client_credentials",
    )
    claims = proven(answer["access_token"], jwks, issuer.url)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert (claims["sub"], claims["groups"]) == (issuer.client_id, ["it-agents"])
    assert claims["exp"] - claims["iat"] == answer["expires_in"] == TOKEN_LIFE
    assert jwt.get_unverified_header(answer["access_token"])["typ"] == "at+jwt"
    assert "d" not in jwks["keys"][0]


@pytest_twisted.ensureDeferred
async def test_a_wrong_secret_or_another_grant_gets_nothing(sandbox, ask):
    issuer = sandbox.issuer
    where = (sandbox.ca, "127.0.0.1", int(issuer.url.rpartition(":")[2]))
    good = basic(issuer.client_id, issuer.client_secret)
    grant = b"grant_type=client_credentials"
    for headers in ({}, basic(issuer.client_id, "x"), basic("x", issuer.client_secret)):
        status, _, answer = await ask(where, "POST", "/token", headers=headers, body=grant)
        assert (status, answer) == (401, {"error": "invalid_client"})
    for body in (b"", b"grant_type=password", b"\xff", grant + b"&" + grant):
        status, _, answer = await ask(where, "POST", "/token", headers=good, body=body)
        assert (status, answer) == (400, {"error": "unsupported_grant_type"})


def test_a_minted_token_says_what_it_was_asked_to_say_and_expires(resting):
    issuer = resting.issuer
    jwks = issuer._signer.jwks()
    first, second = (issuer.mint("bot-7", ("a", "b"), 60) for _ in range(2))
    claims = proven(first, jwks, issuer.url)
    assert (claims["sub"], claims["groups"]) == ("bot-7", ["a", "b"])
    assert claims["jti"] != proven(second, jwks, issuer.url)["jti"]
    with pytest.raises(jwt.ExpiredSignatureError):
        proven(issuer.mint("bot-7", life=-1), jwks, issuer.url)


@pytest_twisted.ensureDeferred
async def test_twisteds_own_client_accepts_the_issuer_by_its_address(sandbox):
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    roots = trustRootFromCertificates([Certificate.loadPEM(sandbox.ca.read_bytes())])
    agent = Agent(reactor, BrowserLikePolicyForHTTPS(roots))
    response = await agent.request(b"GET", f"{sandbox.issuer.url}/keys".encode())
    assert b'"keys"' in await treq.content(response)
