"""A Subject comes out of a token only if the issuer signed it, for us, for now."""

import base64
import hmac
import json
from dataclasses import replace

import jwt
import pytest
import pytest_twisted
from cryptography.hazmat.primitives import serialization
from hypothesis import assume, given
from hypothesis import strategies as st
from support.hostile import VECTORS, Forge
from support.jwts import SigningKey, base64url, jwk_set
from support.loopback import serve
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from jitgate.errors import IdentityUnavailable
from jitgate.identity.claims import LEEWAY, MAX_ACTORS, MAX_LIFE, Trust, VerifiedClaims
from jitgate.identity.discovery import DiscoveredKeys
from jitgate.identity.issuers import MAX_REMEMBERED, REMEMBERED_FOR, Issuers
from jitgate.identity.keys import KeySet
from jitgate.identity.oidc import OidcVerifier, verify_signature
from jitgate.identity.unverified import UnverifiedToken, read_token
from jitgate.identity.vendors import VENDORS
from jitgate.interfaces import IIdentityVerifier
from jitgate.values import Denial, Refusal, Subject

ISSUER = "https://acme.okta.com/oauth2/agents"
NOW = 1_800_000_000
EC = SigningKey.es256("ec")
RSA = SigningKey.rs256("rsa")
FORGER = SigningKey.es256("ec")
FORGE = Forge(ISSUER, SigningKey.es256("k1"), NOW)
CLAIMS = {"iss": ISSUER, "aud": "jitgate", "sub": "bot-7", "exp": NOW + 600}


class CountedKeys:
    """A key set in memory that counts how often it is asked; without keys it is out of reach."""

    def __init__(self, *members):
        self.keys = KeySet.read(jwk_set(*members)) if members else None
        self.asked = 0

    async def key(self, key_id, algorithm):
        self.asked += 1
        if self.keys is None:
            raise IdentityUnavailable("No keys.")
        return self.keys.find(key_id, algorithm)


class Gate:
    """A verifier over the two keys, with everything around it at hand."""

    def __init__(self, **options):
        self.clock = Clock()
        self.clock.advance(NOW)
        self.keys = options.pop("keys", None) or CountedKeys(EC.jwk(), RSA.jwk())
        algorithms = frozenset(options.pop("algorithms", {"RS256", "ES256"}))
        vendor = VENDORS[options.pop("profile", "generic")]
        trust = Trust(**{"issuer": ISSUER, "audience": "jitgate", "vendor": vendor} | options)
        self.verifier = OidcVerifier(trust, algorithms=algorithms, keys=self.keys, clock=self.clock)
        self.issuers = Issuers({trust.issuer: self.verifier}, self.clock)

    def verify(self, token):
        """What the verifier answers; nothing in these tests waits."""
        return self._answer(self.verifier, token)

    def remembering(self, token):
        """What is answered where tokens are remembered."""
        return self._answer(self.issuers, token)

    def _answer(self, verifier, token):
        try:
            verifier.verify(token).send(None)
        except StopIteration as answer:
            return answer.value
        raise AssertionError("it waited")

    def of(self, *, without=(), **claims):
        """What it answers to a token whose claims differ from sound ones like this."""
        whole = {name: value for name, value in CLAIMS.items() if name not in without} | claims
        return self.verify(EC.sign(whole))


def reason(outcome):
    assert isinstance(outcome, Refusal)
    assert outcome.denial is Denial.TOKEN_REFUSED
    return outcome.detail


@pytest.mark.parametrize("key", [EC, RSA])
def test_a_sound_token_proves_its_subject(key):
    outcome = Gate().verify(key.sign(CLAIMS))
    assert outcome == Subject(
        issuer=ISSUER, id="bot-7", groups=frozenset(), expires_at=float(NOW + 600)
    )


def test_both_verifiers_provide_the_port():
    assert verifyObject(IIdentityVerifier, Gate().verifier)
    assert verifyObject(IIdentityVerifier, Issuers({}, Clock()))


# --- the signature


def test_a_forged_signature_is_refused():
    assert "signature" in reason(Gate().verify(FORGER.sign(CLAIMS)))


def test_no_signature_is_refused():
    whole = EC.sign(CLAIMS)
    assert "signature" in reason(Gate().verify(whole[: whole.rindex(".") + 1]))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_part_is_refused(part):
    segments = EC.sign(CLAIMS).split(".")
    other = EC.sign(CLAIMS | {"sub": "admin"}, typ="at+jwt").split(".")
    segments[part] = other[part]
    assert "signature" in reason(Gate().verify(".".join(segments)))


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "ES384", "RS512", "PS256", ""])
def test_an_algorithm_that_is_not_pinned_is_refused_before_any_key(algorithm):
    gate = Gate()
    header, claims, signature = EC.sign(CLAIMS).split(".")
    named = json.dumps({"alg": algorithm, "kid": "ec"}).encode()
    header = base64.urlsafe_b64encode(named).rstrip(b"=").decode()
    assert "algorithm" in reason(gate.verify(f"{header}.{claims}.{signature}"))
    assert gate.keys.asked == 0


def test_an_issuers_own_list_of_algorithms_counts():
    assert "algorithm" in reason(Gate(algorithms=["RS256"]).verify(EC.sign(CLAIMS)))


def test_a_public_key_is_never_a_shared_secret():
    pem = RSA.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _, claims, _ = RSA.sign(CLAIMS).split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"rsa"}').rstrip(b"=").decode()
    mac = hmac.digest(pem, f"{header}.{claims}".encode(), "sha256")
    signature = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    assert "algorithm" in reason(Gate().verify(f"{header}.{claims}.{signature}"))


def test_a_key_counts_for_its_own_algorithm_only():
    crossed = jwt.encode(CLAIMS, RSA.private, "RS256", headers={"kid": "ec"})
    assert "no one key" in reason(Gate().verify(crossed))


def test_a_token_of_an_unknown_key_is_refused():
    assert "no one key" in reason(Gate().verify(SigningKey.es256("nobody").sign(CLAIMS)))


def test_keys_out_of_reach_are_a_fault_and_no_refusal():
    with pytest.raises(IdentityUnavailable):
        Gate(keys=CountedKeys()).verify(EC.sign(CLAIMS))


@pytest.mark.parametrize("algorithms", [[], ["none"], ["HS256"], ["RS256", "HS512"], ["ES512"]])
def test_an_issuer_cannot_be_given_another_algorithm(algorithms):
    with pytest.raises(ValueError, match="ES384 or EdDSA"):
        Gate(algorithms=algorithms)


def test_what_is_verified_is_of_another_type_than_what_came():
    token = read_token(EC.sign(CLAIMS))
    assert isinstance(token, UnverifiedToken)
    assert verify_signature(token, EC.private.public_key()) == VerifiedClaims(CLAIMS)
    assert verify_signature(token, FORGER.private.public_key()) is None


def test_claims_that_were_read_from_other_bytes_than_were_signed_are_not_taken():
    token = read_token(EC.sign(CLAIMS))
    other = replace(token, claims=CLAIMS | {"sub": "admin"}, payload=b'{"sub":"admin"}')
    assert verify_signature(other, EC.private.public_key()) is None


# --- the claims


@pytest.mark.parametrize(
    "issuer", [ISSUER + "/", ISSUER.upper(), "", None, 7, [ISSUER], "https://evil.example"]
)
def test_another_issuer_is_refused(issuer):
    assert "another issuer" in reason(Gate().of(iss=issuer))


@pytest.mark.parametrize("audience", ["jitgate", ["jitgate"], ["jitgate", "jitgate"]])
def test_a_token_for_us_is_taken(audience):
    assert isinstance(Gate().of(aud=audience), Subject)


@pytest.mark.parametrize(
    "audience", ["jitgate2", "Jitgate", "", None, 7, [], ["other"], {"jitgate": 1}, [["jitgate"]]]
)
def test_a_token_for_others_is_refused(audience):
    assert "audience" in reason(Gate().of(aud=audience))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp"])
def test_a_claim_that_must_be_there_is_missed(name):
    reason(Gate().of(without=[name]))


@pytest.mark.parametrize("subject", ["", None, 7, ["bot-7"], {}])
def test_a_sub_that_is_no_name_is_refused(subject):
    assert "sub" in reason(Gate().of(sub=subject))


@pytest.mark.parametrize("expiry", [True, NOW + 600.5, str(NOW + 600), None, [], 1.8e9 + 600])
def test_an_exp_that_is_not_a_whole_number_is_refused(expiry):
    assert "exp is not a whole number" in reason(Gate().of(exp=expiry))


@pytest.mark.parametrize("expiry", [NOW, NOW - 1, 0, -1])
def test_an_expired_token_is_refused_without_leeway(expiry):
    assert "expired" in reason(Gate().of(exp=expiry))


def test_a_token_is_taken_until_it_expires():
    assert isinstance(Gate().of(exp=NOW + 1), Subject)
    assert isinstance(Gate().of(exp=NOW + MAX_LIFE + LEEWAY), Subject)


def test_a_token_that_lives_too_long_is_refused():
    assert "24 hours" in reason(Gate().of(exp=NOW + MAX_LIFE + LEEWAY + 1))
    assert "24 hours" in reason(Gate().of(exp=10**300))


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_from_the_future_is_refused_beyond_the_leeway(name):
    assert isinstance(Gate().of(**{name: NOW + LEEWAY}), Subject)
    assert name in reason(Gate().of(**{name: NOW + LEEWAY + 1}))
    for nonsense in (True, None, "0", 1.5):
        assert name in reason(Gate().of(**{name: nonsense}))


@pytest.mark.parametrize(
    ("claim", "groups"),
    [([], set()), ("it-agents", {"it-agents"}), (["a", "b", "a"], {"a", "b"})],
)
def test_groups_are_a_string_or_a_list_of_strings(claim, groups):
    assert Gate().of(groups=claim).groups == groups


@pytest.mark.parametrize("claim", [None, 7, True, {"a": 1}, ["a", 7], ["a", None], [["a"]]])
def test_groups_in_any_other_form_are_refused(claim):
    assert "groups" in reason(Gate().of(groups=claim))


def test_groups_come_from_the_claim_that_was_named():
    assert Gate(groups=("roles",)).of(groups=["a"], roles=["b"]).groups == {"b"}


@pytest.mark.parametrize("name", ["scope", "scp"])
@pytest.mark.parametrize("at", ["", "/"])
@pytest.mark.parametrize(
    ("scopes", "groups"),
    [
        ("read write", {"read", "write"}),
        (" read  read ", {"read"}),
        ("", set()),
        (["read", "write all"], {"read", "write all"}),
    ],
)
def test_a_scope_is_a_list_with_spaces_between(name, at, scopes, groups):
    assert Gate(groups=(at + name,)).of(**{name: scopes}).groups == groups


def test_no_other_text_is_a_list():
    gate = Gate(groups=("roles", "/realm/scope"))
    assert gate.of(roles="read all", realm={"scope": "a b"}).groups == {"read all", "a b"}


# --- claims that are required


@pytest.mark.parametrize(
    ("pointer", "claims"),
    [
        ("roles", {"roles": "agent"}),
        ("roles", {"roles": ["other", "agent"]}),
        ("/realm/roles", {"realm": {"roles": ["other", "agent"]}}),
        ("roles", {"roles": ["other", 7]}),
        ("scope", {"scope": "openid agent"}),
        ("/scp", {"scp": "agent openid"}),
        ("scp", {"scp": ["openid", "agent"]}),
        ("scope", {"scope": "two words"}),
    ],
)
def test_a_claim_meets_what_is_required_if_one_of_its_elements_does(pointer, claims):
    gate = Gate(required={pointer: ("agent", 7, "two words")})
    assert isinstance(gate.of(**claims), Subject)


@pytest.mark.parametrize(
    ("pointer", "claims"),
    [
        ("roles", {}),
        ("roles", {"roles": []}),
        ("roles", {"roles": [["agent"], "agents", {"agent": True}, None]}),
        ("roles", {"roles": {"agent": True}}),
        ("roles", {"roles": "agent other"}),
        ("roles", {"roles": [True, 1.0, "1"]}),
        ("scope", {"scope": "agents openid\tagent"}),
        ("scope", {"scope": ["agent openid"]}),
        ("/realm/scope", {"realm": {"scope": "openid agent"}}),
    ],
)
def test_a_claim_of_which_no_element_is_required_is_refused(pointer, claims):
    assert "required" in reason(Gate(required={pointer: ("agent", 1)}).of(**claims))


# --- those who must not approve


def test_an_owner_comes_from_the_list():
    assert Gate(owners={"bot-7": "bob@acme.com"}).of().humans == ("bob@acme.com",)
    assert Gate(owners={"bot-8": "bob@acme.com"}).of().humans == ()


def test_an_owner_comes_from_the_claim():
    assert Gate(owner_claim="owner").of(owner="eve@acme.com").humans == ("eve@acme.com",)
    assert Gate(owner_claim="owner").of().humans == ()
    assert Gate().of(owner="eve@acme.com").humans == ()


def test_an_owner_comes_from_a_claim_that_lies_deeper():
    gate = Gate(owner_claim="/acme.com~1agent/owner")
    assert gate.of(**{"acme.com/agent": {"owner": "eve@acme.com"}}).humans == ("eve@acme.com",)
    assert gate.of(**{"acme.com/agent": {}}).humans == ()
    assert gate.of().humans == ()
    for owner in (None, "", 7, ["eve@acme.com"]):
        assert "owner" in reason(gate.of(**{"acme.com/agent": {"owner": owner}}))


def test_whom_the_list_and_the_claim_name_are_both_owners():
    gate = Gate(owner_claim="owner", owners={"bot-7": "bob@acme.com"})
    assert gate.of(owner="eve@acme.com").humans == ("bob@acme.com", "eve@acme.com")


@pytest.mark.parametrize(
    ("claims", "humans"),
    [
        ({"email": "a@acme.com", "email_verified": True}, ("a@acme.com",)),
        ({"email": "a@acme.com", "email_verified": "true"}, ("a@acme.com",)),
        ({"email": "a@acme.com", "email_verified": False}, ("a@acme.com",)),
        ({"email": "a@acme.com"}, ("a@acme.com",)),
        ({"preferred_username": "ada", "upn": "ada@acme.com"}, ("ada", "ada@acme.com")),
        ({"email": ["a@acme.com"], "upn": ""}, ()),
        (
            {
                "act": {
                    "sub": "u1",
                    "iss": "https://i",
                    "email": "b@acme.com",
                    "email_verified": True,
                }
            },
            ("u1", "https://i u1", "b@acme.com"),
        ),
        (
            {
                "email": "a@acme.com",
                "act": {
                    "sub": "u1",
                    "preferred_username": "ada",
                    "act": {"sub": "u2", "upn": "c@acme.com", "email_verified": False},
                },
            },
            ("u1", "u2", "a@acme.com", "ada", "c@acme.com"),
        ),
    ],
)
def test_an_address_is_a_human_who_must_not_approve(claims, humans):
    assert Gate().of(**claims).humans == humans


@pytest.mark.parametrize("owner", ["", None, 7, ["eve@acme.com"]])
def test_an_owner_that_is_no_name_is_refused(owner):
    assert "owner" in reason(Gate(owner_claim="owner").of(owner=owner))


def test_every_actor_of_the_chain_counts():
    act = {"sub": "agent-1", "act": {"sub": "alice@acme.com", "act": {"sub": "agent-1"}}}
    gate = Gate(owners={"bot-7": "bob@acme.com"})
    assert gate.of(act=act).humans == ("agent-1", "alice@acme.com", "bob@acme.com")


@pytest.mark.parametrize(
    "act",
    [
        None,
        [],
        "alice",
        {},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a", "act": None},
        {"sub": "a", "act": {"sub": []}},
    ],
)
def test_an_actor_without_a_name_is_refused(act):
    assert "act" in reason(Gate().of(act=act))


def test_a_chain_of_actors_has_a_greatest_length():
    chain = {"sub": "actor-0"}
    for number in range(1, MAX_ACTORS):
        chain = {"sub": f"actor-{number}", "act": chain}
    assert len(Gate().of(act=chain).humans) == MAX_ACTORS
    assert "act" in reason(Gate().of(act={"sub": "one-more", "act": chain}))


@pytest.mark.parametrize(
    ("claims", "session"),
    [
        ({}, None),
        ({"jti": "j1"}, "j1"),
        ({"sid": "s1", "jti": "j1"}, "s1"),
        ({"sid": 7, "jti": "j1"}, "j1"),
        ({"sid": ""}, None),
    ],
)
def test_the_token_may_name_its_session(claims, session):
    assert Gate().of(**claims).session == session


@pytest.mark.parametrize(
    ("times", "made"),
    [
        ({"iat": NOW - 5, "nbf": NOW - 9}, NOW - 5),
        ({"iat": NOW - 9, "nbf": NOW - 5}, NOW - 9),
        ({"nbf": NOW - 9}, NOW - 9),
        ({}, 0),
    ],
)
def test_when_it_was_made_is_told_by_iat_else_by_nbf(times, made):
    assert Gate().of(**times).issued_at == made


# --- what is remembered


def test_a_checked_token_is_not_checked_again_for_a_while():
    gate = Gate()
    token = EC.sign(CLAIMS)
    first = gate.remembering(token)
    gate.clock.advance(REMEMBERED_FOR - 1)
    assert gate.remembering(token) == first
    assert gate.keys.asked == 1
    gate.clock.advance(1)
    assert gate.remembering(token) == first
    assert gate.keys.asked == 2


def test_a_remembered_token_expires_all_the_same():
    gate = Gate()
    token = EC.sign(CLAIMS | {"exp": NOW + 60})
    assert isinstance(gate.remembering(token), Subject)
    gate.clock.advance(60)
    assert "expired" in reason(gate.remembering(token))


def test_a_refusal_is_not_remembered():
    gate = Gate()
    token = EC.sign(CLAIMS | {"nbf": NOW + LEEWAY + 1})
    reason(gate.remembering(token))
    gate.clock.advance(1)
    assert isinstance(gate.remembering(token), Subject)


def test_only_so_many_tokens_are_remembered():
    gate = Gate()
    tokens = [EC.sign(CLAIMS | {"jti": str(number)}) for number in range(MAX_REMEMBERED + 1)]
    for token in tokens:
        gate.remembering(token)
    assert gate.keys.asked == len(tokens)
    gate.remembering(tokens[1])
    assert gate.keys.asked == len(tokens)
    gate.remembering(tokens[0])
    assert gate.keys.asked == len(tokens) + 1


def test_another_signature_over_the_same_claims_is_checked_by_itself():
    gate = Gate()
    sound = EC.sign(CLAIMS)
    gate.remembering(sound)
    forged = sound[: sound.rindex(".")] + FORGER.sign(CLAIMS)[-87:]
    assert "signature" in reason(gate.remembering(forged))


# --- several issuers


def ask(issuers, token):
    try:
        issuers.verify(token).send(None)
    except StopIteration as answer:
        return answer.value
    raise AssertionError("it waited")


def test_each_issuer_has_its_own_verifier():
    other_key = SigningKey.es256("ec")
    other_issuer = "https://other.example"
    ours, other = (
        Gate(),
        Gate(issuer=other_issuer, keys=CountedKeys(other_key.jwk())),
    )
    issuers = Issuers({ISSUER: ours.verifier, other_issuer: other.verifier}, ours.clock)
    assert ask(issuers, EC.sign(CLAIMS)).issuer == ISSUER
    assert ask(issuers, other_key.sign(CLAIMS | {"iss": other_issuer})).issuer == other_issuer
    assert "signature" in reason(ask(issuers, other_key.sign(CLAIMS)))
    assert "signature" in reason(ask(issuers, EC.sign(CLAIMS | {"iss": other_issuer})))


@pytest.mark.parametrize("issuer", ["https://evil.example", "", None, 7, [ISSUER], {}])
def test_an_unknown_issuer_is_refused_before_any_key(issuer):
    gate = Gate()
    outcome = ask(gate.issuers, EC.sign(CLAIMS | {"iss": issuer}))
    assert "no issuer that is known" in reason(outcome)
    assert gate.keys.asked == 0


def test_what_is_no_token_is_refused():
    assert "three segments" in reason(ask(Gate().issuers, "hunter2"))


@given(st.text(max_size=100))
def test_any_text_is_answered_with_a_refusal(text):
    gate = Gate()
    reason(gate.verify(text))
    reason(ask(gate.issuers, text))


def test_no_refusal_shows_what_the_token_holds():
    gate = Gate()
    for claims in ({"aud": "hunter2"}, {"iss": "hunter2"}, {"groups": {"hunter2": 1}}):
        token = EC.sign(CLAIMS | claims)
        outcome = gate.verify(token)
        assert "hunter2" not in repr(outcome)
        assert token.split(".")[1] not in repr(outcome)


# --- what attackers make


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_hostile_token_is_refused_for_its_reason(vector):
    gate = Gate(keys=CountedKeys(FORGE.key.jwk(), RSA.jwk()))
    assert vector["reason"] in reason(gate.remembering(FORGE.token(vector)))


def test_but_for_what_is_wrong_with_them_they_would_be_taken():
    sound = {
        "header": VECTORS[0]["header"],
        "claims": VECTORS[0]["claims"].split(',"sub":"admin"')[0] + "}",
    }
    gate = Gate(keys=CountedKeys(FORGE.key.jwk(), RSA.jwk()))
    assert isinstance(gate.remembering(FORGE.token(sound)), Subject)


SOUND = EC.sign(CLAIMS)


@given(
    st.integers(0, len(SOUND) - 1),
    st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n"),
    st.sampled_from(["replace", "insert", "delete"]),
)
def test_no_change_to_a_token_is_taken(at, letter, how):
    rest = SOUND[at:] if how == "insert" else SOUND[at + 1 :]
    changed = SOUND[:at] + ("" if how == "delete" else letter) + rest
    assume(changed != SOUND)
    reason(Gate().remembering(changed))


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_the_second_spelling_of_a_signature_proves_the_same_and_nothing_else():
    head, _, signature = SOUND.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    s = P256_ORDER - int.from_bytes(raw[32:])
    other = f"{head}.{base64url(raw[:32] + s.to_bytes(32))}"
    assert other != SOUND
    assert Gate().remembering(other) == Gate().remembering(SOUND)


@given(st.dictionaries(st.sampled_from(sorted(CLAIMS)), st.none() | st.integers() | st.text()))
def test_no_other_claims_are_taken_under_the_same_signature(changes):
    claims = CLAIMS | changes
    assume(claims != CLAIMS)
    header, _, signature = SOUND.split(".")
    payload = base64url(json.dumps(claims).encode())
    reason(Gate().remembering(f"{header}.{payload}.{signature}"))


# --- the whole, over a real issuer's documents


@pytest_twisted.ensureDeferred
async def test_keys_that_an_issuer_publishes_prove_its_tokens():
    def answer(request):
        if request.path == b"/keys":
            return jwk_set(EC.jwk())
        return json.dumps({"issuer": site.origin, "jwks_uri": f"{site.origin}/keys"}).encode()

    site = serve(answer)
    try:
        keys = DiscoveredKeys(site.origin, site.client, Clock())
        gate = Gate(issuer=site.origin, keys=keys)
        sound = await gate.verifier.verify(EC.sign(CLAIMS | {"iss": site.origin}))
        forged = await gate.verifier.verify(FORGER.sign(CLAIMS | {"iss": site.origin}))
    finally:
        await site.stop()
    assert isinstance(sound, Subject)
    assert "signature" in reason(forged)
