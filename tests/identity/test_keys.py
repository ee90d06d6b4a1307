"""Only plain signature keys count, and an issuer is asked for them no more than it must be."""

import json

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from support.jwts import SigningKey, jwk_set
from support.loopback import serve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.web.server import NOT_DONE_YET

from jitgate.errors import ConfigurationInvalid, IdentityUnavailable
from jitgate.fetching import TIMEOUT
from jitgate.identity.discovery import MAX_DOCUMENT, DiscoveredKeys
from jitgate.identity.freshness import FRESH_FOR, MAX_AGE, REFETCH_AFTER, RETRY_AFTER
from jitgate.identity.keys import KeyFile, KeySet

RSA = SigningKey.rs256("rsa")
WEAK_RSA = SigningKey.rs256("weak", bits=1024)
EC = SigningKey.es256("ec")
OTHER_EC = SigningKey.es256("other")
P521 = ec.generate_private_key(ec.SECP521R1())
PSS = SigningKey.ps256("pss")
P384 = SigningKey.es384("p384")
ED25519 = SigningKey.eddsa("ed")
SYMMETRIC = {"kty": "oct", "kid": "oct", "k": "c2VjcmV0"}


def numbers(key):
    return None if key is None else key.public_numbers()


# --- the set


@pytest.mark.parametrize("key", [RSA, EC, PSS, P384, ED25519])
def test_a_key_is_found_by_its_id_and_algorithm(key):
    keys = KeySet.read(jwk_set(*(each.jwk() for each in (RSA, EC, PSS, P384, ED25519))))
    found = keys.find(key.key_id, key.algorithm)
    assert found == key.private.public_key()


@pytest.mark.parametrize("key", [P384, ED25519])
def test_a_key_of_one_algorithm_need_not_name_it(key):
    keys = KeySet.read(jwk_set(key.jwk(alg=None, use=None)))
    assert keys.find(key.key_id, key.algorithm) == key.private.public_key()


def test_an_rsa_key_counts_for_one_algorithm_alone():
    assert KeySet.read(jwk_set(PSS.jwk())).find("pss", "RS256") is None
    assert KeySet.read(jwk_set(PSS.jwk(alg=None))).find("pss", "PS256") is None


@pytest.mark.parametrize(
    ("key_id", "algorithm"), [("nobody", "RS256"), ("rsa", "ES256"), ("ec", "RS256"), ("", "RS256")]
)
def test_a_key_that_does_not_fit_is_not_found(key_id, algorithm):
    assert KeySet.read(jwk_set(RSA.jwk(), EC.jwk())).find(key_id, algorithm) is None


def test_without_an_id_the_only_key_for_the_algorithm_is_taken():
    keys = KeySet.read(jwk_set(RSA.jwk(), EC.jwk()))
    assert numbers(keys.find(None, "ES256")) == numbers(EC.private.public_key())


def test_nothing_is_guessed_among_several_keys():
    assert KeySet.read(jwk_set(EC.jwk(), OTHER_EC.jwk())).find(None, "ES256") is None
    twins = KeySet.read(jwk_set(EC.jwk(), OTHER_EC.jwk(kid="ec")))
    assert twins.find("ec", "ES256") is None


@pytest.mark.parametrize(
    "member", [RSA.jwk(use=None, alg=None), EC.jwk(use=None, alg=None), EC.jwk(key_ops=["verify"])]
)
def test_a_key_need_not_say_what_it_is_for(member):
    algorithm = "RS256" if member["kty"] == "RSA" else "ES256"
    assert KeySet.read(jwk_set(member)).find(member["kid"], algorithm) is not None


@pytest.mark.parametrize(
    "member",
    [
        SYMMETRIC,
        {**SYMMETRIC, "alg": "RS256"},
        RSA.jwk(use="enc"),
        RSA.jwk(use=["sig"]),
        RSA.jwk(alg="RS512"),
        RSA.jwk(alg="none"),
        RSA.jwk(alg=7),
        RSA.jwk(kty="EC"),
        RSA.jwk(kid=7),
        RSA.jwk(n=None),
        RSA.jwk(n=""),
        RSA.jwk(e="AQAC"),
        RSA.jwk(e="AQ"),
        RSA.jwk(n=RSA.jwk()["n"] + "=="),
        RSA.jwk(n=7),
        RSA.jwk(key_ops=["sign"]),
        RSA.jwk(key_ops="verify"),
        WEAK_RSA.jwk(),
        json.loads(RSAAlgorithm.to_jwk(RSA.private)) | {"kid": "rsa", "key_ops": ["verify"]},
        EC.jwk(alg="ES384"),
        EC.jwk(crv="P-384"),
        EC.jwk(crv=None),
        EC.jwk(x=OTHER_EC.jwk()["x"]),
        EC.jwk(x="AA"),
        EC.jwk(y=None),
        ECAlgorithm.to_jwk(P521.public_key(), as_dict=True),
        P384.jwk(alg="ES256"),
        P384.jwk(crv="P-256"),
        ED25519.jwk(alg="Ed448"),
        ED25519.jwk(crv="X25519"),
        ED25519.jwk(x="AA"),
        ED25519.jwk(x=None),
        {},
        {"kty": ["RSA"]},
        [],
        None,
        "rsa",
    ],
)
def test_a_key_that_is_not_plainly_for_signatures_is_passed_over(member):
    with pytest.raises(ValueError, match="no key"):
        KeySet.read(jwk_set(member))
    kept = KeySet.read(jwk_set(member, OTHER_EC.jwk()))
    assert [key.key_id for key in kept.keys] == ["other"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":null}',
        b'{"keys":[],' + jwk_set(RSA.jwk())[1:],
    ],
)
def test_what_is_no_set_of_keys_is_refused(data):
    with pytest.raises(ValueError, match="no key"):
        KeySet.read(data)


# --- a file


@pytest_twisted.ensureDeferred
async def test_a_file_is_read_once(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_bytes(jwk_set(EC.jwk()))
    keys = KeyFile(path)
    path.unlink()
    assert numbers(await keys.key("ec", "ES256")) == numbers(EC.private.public_key())
    assert await keys.key("rsa", "RS256") is None


@pytest_twisted.ensureDeferred
async def test_whoever_has_no_keys_believes_nobody(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_bytes(b'{"keys": []}')
    assert await KeyFile(path).key(None, "ES256") is None


@pytest.mark.parametrize("content", [None, b"", b'{"keys":[{}]}'])
def test_a_file_that_holds_no_keys_stops_the_start(tmp_path, content):
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationInvalid, match=r"jwks\.json"):
        KeyFile(path)


# --- discovery


class Watched:
    """A client that notes every URL before it asks for it."""

    def __init__(self, client):
        self.client = client
        self.urls = []

    def request(self, method, url, **options):
        self.urls.append(url)
        return self.client.request(method, url, **options)


class Issuer:
    """An issuer whose documents each test sets, and the keys that are discovered from it."""

    def __init__(self):
        self.clock = Clock()
        self.asked = []
        self.held = None
        self.arrived = None
        self.site = serve(self._render)
        self.client = Watched(self.site.client)
        self.url = self.site.origin
        self.about = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self.keys = jwk_set(EC.jwk())
        self.status = 200
        self.discovered = self.discover(self.url)

    def discover(self, url):
        return DiscoveredKeys(url, self.client, self.clock)

    def hold(self):
        """Let the next request wait until `go_on`; a Deferred that fires once it is here."""
        self.held, self.arrived = [], Deferred()
        return self.arrived

    def go_on(self):
        held, self.held = self.held, None
        for request in held:
            request.write(self._document(request))
            request.finish()

    def _render(self, request):
        self.asked.append(request.path.decode())
        if self.held is not None:
            self.held.append(request)
            self.arrived.callback(None)
            return NOT_DONE_YET
        return self._document(request)

    def _document(self, request):
        if request.path.startswith(b"/moved/"):
            request.setResponseCode(200)
        else:
            request.setResponseCode(self.status)
            request.setHeader(b"Location", b"/moved" + request.path)
        if request.path.endswith(b"/.well-known/openid-configuration"):
            about = self.about
            return about if isinstance(about, bytes) else json.dumps(about).encode()
        return self.keys if request.path == b"/keys" else b""


@pytest_twisted.async_yield_fixture
async def issuer():
    it = Issuer()
    yield it
    await it.site.stop()


BOTH = ["/.well-known/openid-configuration", "/keys"]


@pytest_twisted.ensureDeferred
async def test_keys_are_discovered_once_and_kept(issuer):
    for _ in range(3):
        found = await issuer.discovered.key("ec", "ES256")
        assert numbers(found) == numbers(EC.private.public_key())
    assert issuer.asked == BOTH


@pytest.mark.parametrize("path", ["/oauth2/agents", "/oauth2/agents/"])
@pytest_twisted.ensureDeferred
async def test_an_issuer_may_have_a_path(issuer, path):
    issuer.about["issuer"] = issuer.url + path
    await issuer.discover(issuer.url + path).key("ec", "ES256")
    assert issuer.asked[0] == "/oauth2/agents/.well-known/openid-configuration"


@pytest_twisted.ensureDeferred
async def test_an_unknown_id_asks_again_at_most_once_a_minute(issuer):
    await issuer.discovered.key("ec", "ES256")
    for _ in range(3):
        assert await issuer.discovered.key("other", "ES256") is None
    assert issuer.asked == BOTH
    issuer.keys = jwk_set(EC.jwk(), OTHER_EC.jwk())
    issuer.clock.advance(REFETCH_AFTER - 1)
    assert await issuer.discovered.key("other", "ES256") is None
    issuer.clock.advance(1)
    assert await issuer.discovered.key("other", "ES256") is not None
    assert issuer.asked == BOTH * 2


@pytest_twisted.ensureDeferred
async def test_a_withdrawn_key_ends_to_count(issuer):
    await issuer.discovered.key("ec", "ES256")
    issuer.keys = jwk_set(OTHER_EC.jwk())
    issuer.clock.advance(FRESH_FOR - 1)
    assert await issuer.discovered.key("ec", "ES256") is not None
    issuer.clock.advance(1)
    assert await issuer.discovered.key("ec", "ES256") is None


@pytest_twisted.ensureDeferred
async def test_callers_share_one_fetch(issuer):
    arrived = issuer.hold()
    callers = [Deferred.fromCoroutine(issuer.discovered.key("ec", "ES256")) for _ in range(5)]
    await arrived
    assert not any(caller.called for caller in callers)
    issuer.go_on()
    assert all([await caller is not None for caller in callers])
    assert issuer.asked == BOTH


@pytest_twisted.ensureDeferred
async def test_a_caller_who_gives_up_ends_nobody_elses_wait(issuer):
    arrived = issuer.hold()
    first, second = (Deferred.fromCoroutine(issuer.discovered.key("ec", "ES256")) for _ in range(2))
    await arrived
    first.cancel()
    with pytest.raises(CancelledError):
        await first
    issuer.go_on()
    assert await second is not None


@pytest_twisted.ensureDeferred
async def test_a_known_key_waits_for_no_fetch(issuer):
    await issuer.discovered.key("ec", "ES256")
    issuer.clock.advance(REFETCH_AFTER)
    arrived = issuer.hold()
    unknown = Deferred.fromCoroutine(issuer.discovered.key("other", "ES256"))
    await arrived
    assert await issuer.discovered.key("ec", "ES256") is not None
    issuer.go_on()
    assert await unknown is None


def _break_status(issuer):
    issuer.status = 500


def _break_issuer(issuer):
    issuer.about["issuer"] += "/"


def _break_scheme(issuer):
    issuer.about["jwks_uri"] = issuer.about["jwks_uri"].replace("https:", "http:")


def _break_keys_url(issuer):
    issuer.about["jwks_uri"] = ["https://x.example/keys"]


def _break_keys_host(issuer):
    issuer.about["jwks_uri"] = "https:///keys"


def _break_document(issuer):
    issuer.about = b"<html>"


def _break_duplicate(issuer):
    issuer.about = b'{"issuer":"x",' + json.dumps(issuer.about).encode()[1:]


def _break_keys(issuer):
    issuer.keys = b"<html>"


def _break_size(issuer):
    issuer.keys = issuer.keys + b" " * MAX_DOCUMENT


BREAKS = [
    _break_status,
    _break_issuer,
    _break_scheme,
    _break_keys_url,
    _break_keys_host,
    _break_document,
    _break_duplicate,
    _break_keys,
    _break_size,
]


@pytest.mark.parametrize("spoil", BREAKS)
@pytest_twisted.ensureDeferred
async def test_without_keys_nobody_is_let_in_and_the_issuer_is_asked_again_soon(issuer, spoil):
    sound = dict(issuer.about), issuer.keys
    spoil(issuer)
    for _ in range(2):
        with pytest.raises(IdentityUnavailable):
            await issuer.discovered.key("ec", "ES256")
    assert len(issuer.asked) in {1, 2}
    issuer.about, issuer.keys = sound
    issuer.status = 200
    issuer.clock.advance(RETRY_AFTER)
    assert await issuer.discovered.key("ec", "ES256") is not None


@pytest.mark.parametrize("spoil", BREAKS)
@pytest_twisted.ensureDeferred
async def test_a_fetch_that_fails_leaves_the_keys_in_force(issuer, spoil):
    await issuer.discovered.key("ec", "ES256")
    spoil(issuer)
    issuer.clock.advance(FRESH_FOR)
    assert await issuer.discovered.key("ec", "ES256") is not None
    assert await issuer.discovered.key("other", "ES256") is None


@pytest.mark.parametrize("spoil", [_break_scheme, _break_keys_url, _break_keys_host])
@pytest_twisted.ensureDeferred
async def test_keys_at_no_https_url_are_never_asked_for(issuer, spoil):
    spoil(issuer)
    with pytest.raises(IdentityUnavailable):
        await issuer.discovered.key("ec", "ES256")
    assert issuer.client.urls == [f"{issuer.url}/.well-known/openid-configuration"]


@pytest_twisted.ensureDeferred
async def test_no_redirect_leads_to_keys(issuer):
    issuer.status = 302
    with pytest.raises(IdentityUnavailable):
        await issuer.discovered.key("ec", "ES256")
    assert issuer.asked == BOTH[:1]


@pytest_twisted.ensureDeferred
async def test_a_silent_issuer_is_not_waited_for_for_ever(issuer):
    arrived = issuer.hold()
    caller = Deferred.fromCoroutine(issuer.discovered.key("ec", "ES256"))
    await arrived
    issuer.clock.advance(TIMEOUT)
    with pytest.raises(IdentityUnavailable):
        await caller


@pytest.mark.parametrize(
    "url", ["http://issuer.example", "issuer.example", "", "https://", "https://a@b.example"]
)
def test_an_issuer_that_is_no_https_url_is_refused(url):
    with pytest.raises(ValueError, match="https"):
        DiscoveredKeys(url, None, Clock())


@pytest_twisted.ensureDeferred
async def test_keys_that_cannot_be_fetched_anew_count_up_to_their_age(issuer):
    await issuer.discovered.key("ec", "ES256")
    _break_status(issuer)
    issuer.clock.advance(MAX_AGE - 1)
    assert await issuer.discovered.key("ec", "ES256") is not None
    issuer.clock.advance(1)
    with pytest.raises(IdentityUnavailable):
        await issuer.discovered.key("ec", "ES256")
    issuer.status = 200
    issuer.clock.advance(RETRY_AFTER)
    assert await issuer.discovered.key("ec", "ES256") is not None


@pytest_twisted.ensureDeferred
async def test_in_an_outage_nobody_waits_who_has_a_key(issuer):
    await issuer.discovered.key("ec", "ES256")
    _break_status(issuer)
    issuer.clock.advance(FRESH_FOR)
    await issuer.discovered.key("ec", "ES256")
    issuer.clock.advance(REFETCH_AFTER)
    arrived = issuer.hold()
    known = Deferred.fromCoroutine(issuer.discovered.key("ec", "ES256"))
    assert known.called
    await arrived
    unknown = Deferred.fromCoroutine(issuer.discovered.key("other", "ES256"))
    assert not unknown.called
    issuer.go_on()
    assert await unknown is None


@pytest_twisted.ensureDeferred
async def test_the_document_may_be_elsewhere_but_names_the_issuer(issuer):
    issuer.about["issuer"] = "https://idp.example/tenant/"
    elsewhere = DiscoveredKeys(
        "https://idp.example/tenant/", issuer.client, issuer.clock, place=f"{issuer.url}/t"
    )
    assert await elsewhere.key("ec", "ES256") is not None
    assert issuer.asked[0] == "/t/.well-known/openid-configuration"
