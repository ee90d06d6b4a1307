"""Whole tokens beside PyJWT and joserfc: what is accepted here, both of them accept as well.

The tokens are signed by the issuer, whatever they hold, and then perhaps cut or joined. The other
two are told the issuer, the audience and the algorithms, and accept a good deal more.
"""

from __future__ import annotations

import json
import time

import joserfc.jwt
import jwt
from hypothesis import event, given, settings
from hypothesis import strategies as st
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry
from support.jwts import SigningKey, base64url, jwk_set
from twisted.internet.task import Clock

from jitgate.identity.claims import LEEWAY, Trust
from jitgate.identity.issuers import Issuers
from jitgate.identity.keys import KeySet
from jitgate.identity.oidc import OidcVerifier
from jitgate.identity.vendors import VENDORS
from jitgate.values import Subject

ISSUER = "https://idp.example"
KEY = SigningKey.es256("k1")
STRANGER = SigningKey.es256("k1")
NOW = int(time.time())
HEADER = {"alg": "ES256", "kid": "k1", "typ": "JWT"}
CLAIMS = {"iss": ISSUER, "aud": "jitgate", "sub": "bot-7", "iat": NOW, "exp": NOW + 3600}

NAMES = (
    *HEADER,
    *CLAIMS,
    *(
        "crit",
        "jwk",
        "jku",
        "b64",
        "cty",
        "x5t",
        "x5c",
        "enc",
        "zip",
        "nbf",
        "jti",
        "sid",
        "act",
        "cnf",
    ),
    *("groups", "azp", "client_id", "email", "email_verified", "events", "htm", "_claim_names"),
)
WORDS = (*HEADER.values(), "none", "HS256", "at+jwt", "jwt", "", ISSUER, "jitgate", "bot-7", "k2")
TIMES = st.integers(NOW - 10_000, NOW + 100_000) | st.sampled_from(
    [0, -1, 2**63, 1e400, float(NOW)]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.sampled_from(WORDS) | TIMES | st.text(max_size=5) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["sub", "iss", "act", "email"]), inner, max_size=3)
    ),
    max_leaves=6,
)
MEMBERS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=3)


def spelled(members):
    """A JSON object of these members, in their order, some of them perhaps twice."""
    listed = (f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members)
    return "{" + ",".join(listed) + "}"


@st.composite
def objects(draw, sound):
    """The bytes of an object that is sound but for a few members, or is none at all."""
    added = draw(MEMBERS)
    if draw(st.booleans()):
        gone = {name for name, _ in added} | draw(
            st.sets(st.sampled_from(sorted(sound)), max_size=1)
        )
        kept = [(name, value) for name, value in sound.items() if name not in gone]
    else:
        kept = list(sound.items())
    text = spelled(draw(st.permutations([*kept, *added])))
    data = text.encode(draw(st.sampled_from(["utf-8"] * 5 + ["utf-8-sig", "utf-16", "utf-32"])))
    if draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 2)) :]
    return data


@st.composite
def tokens(draw):
    """Signed by the issuer, or by somebody else; then perhaps cut, joined, or spelled otherwise."""
    signer = draw(st.sampled_from([KEY, KEY, KEY, KEY, STRANGER]))
    header, claims = spelled(HEADER.items()).encode(), spelled(CLAIMS.items()).encode()
    changed = draw(st.sampled_from(["header", "claims", "claims", "both"]))
    if changed != "claims":
        header = draw(objects(HEADER))
    if changed != "header":
        claims = draw(objects(CLAIMS))
    token = signer.signed(header, claims)
    how = draw(st.sampled_from(["whole"] * 5 + ["cut", "pad", "join", "swap"]))
    match how:
        case "cut":
            return token[: draw(st.integers(0, len(token)))]
        case "pad":
            at = draw(st.integers(0, len(token)))
            return token[:at] + draw(st.sampled_from("=.\n +/A-_\0é")) + token[at:]
        case "join":
            return token + "." + KEY.signed(b"{}", b"{}")
        case "swap":
            header, _, signature = token.split(".")
            return f"{header}.{base64url(draw(objects(CLAIMS)))}.{signature}"
    return token


class Keys:
    """The issuer's one key."""

    keys = KeySet.read(jwk_set(KEY.jwk()))

    async def key(self, key_id, algorithm):
        return self.keys.find(key_id, algorithm)


def ours(token):
    """What is made of it here."""
    clock = Clock()
    clock.advance(time.time())
    trust = Trust(ISSUER, "jitgate", VENDORS["generic"])
    algorithms = frozenset({"ES256", "RS256"})
    verifier = OidcVerifier(trust, algorithms=algorithms, keys=Keys(), clock=clock)
    try:
        Issuers({ISSUER: verifier}, clock).verify(token).send(None)
    except StopIteration as answer:
        return answer.value
    raise AssertionError("it waited")


def pyjwts(token):
    """The claims that PyJWT accepts; raises what it raises."""
    return jwt.decode(
        token,
        KEY.private.public_key(),
        algorithms=["ES256", "RS256"],
        audience="jitgate",
        issuer=ISSUER,
        leeway=LEEWAY,
        options={"require": ["exp", "iss", "aud", "sub"]},
    )


def joserfcs(token):
    """The same of joserfc."""
    key = ECKey.import_key(KEY.jwk())
    headers = JWSRegistry(algorithms=["ES256", "RS256"], strict_check_header=False)
    decoded = joserfc.jwt.decode(token, key, registry=headers)
    registry = joserfc.jwt.JWTClaimsRegistry(
        leeway=LEEWAY,
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": "jitgate"},
        sub={"essential": True},
        exp={"essential": True},
    )
    registry.validate(decoded.claims)
    return decoded.claims


def accepts(library, token):
    try:
        library(token)
    except (jwt.PyJWTError, JoseError, ValueError, TypeError):
        return False
    return True


@settings(max_examples=4 * settings.default.max_examples)  # most tokens fail in one place alone
@given(tokens())
def test_what_is_accepted_here_both_libraries_accept(token):
    outcome = ours(token)
    if isinstance(outcome, Subject):
        event("accepted by all")
        theirs = pyjwts(token)
        assert joserfcs(token) == theirs
        assert outcome.id == theirs["sub"]
        assert (outcome.issuer, outcome.expires_at) == (theirs["iss"], theirs["exp"])
    else:
        event(f"refused here: PyJWT {'accepts' if accepts(pyjwts, token) else 'refuses'}")


def test_a_sound_token_is_accepted_by_all_three():
    token = KEY.sign(CLAIMS)
    assert isinstance(ours(token), Subject)
    assert pyjwts(token) == joserfcs(token) == CLAIMS


def test_the_libraries_by_themselves_accept_more():
    twice = KEY.signed(
        spelled(HEADER.items()).encode(), spelled([*CLAIMS.items(), ("sub", "x")]).encode()
    )
    assert accepts(pyjwts, twice)
    assert accepts(joserfcs, twice)
    assert not isinstance(ours(twice), Subject)
