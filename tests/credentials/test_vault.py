"""A secret that a Vault keeps, read from a real OpenBao; and what else a server could answer."""

from __future__ import annotations

import gc
import json

import hvac
import pytest
import pytest_twisted
from pytest_twisted import ensureDeferred
from support.loopback import serve
from support.vault import vault_in
from treq.client import HTTPClient
from twisted.internet import ssl
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.web.client import Agent
from twisted.web.server import NOT_DONE_YET
from zope.interface.verify import verifyObject

from jitgate.credentials.carriers import InBasic, InBody, InHeader, InQuery
from jitgate.credentials.circuit import FAILURES, LONGEST_PAUSE, Circuit
from jitgate.credentials.vault import RETRY, Place, VaultCredentials
from jitgate.credentials.vault_server import TIMEOUT, TRIES, VaultDown, VaultRefused, VaultServer
from jitgate.credentials.vault_token import YOUNG, AppRole, GivenToken, VaultToken
from jitgate.errors import CredentialUnavailable
from jitgate.interfaces import ILastingSource
from jitgate.testing.lending import LendingContract
from jitgate.trust import NamedPolicy
from jitgate.values import Operation, ResponseHead

READ = Operation("github", "GET", {}, "GET", "api.example:443", "/")
WRITE = Operation("github", "POST", {}, "POST", "api.example:443", "/")
PLACE = Place("secret", "apis/github", "token")
FRESH, OLDEST = 60.0, 300.0


@pytest.fixture(scope="module")
def bao(tmp_path_factory):
    with vault_in(tmp_path_factory.mktemp("bao")) as made:
        yield made


@pytest.fixture
def vault(bao):
    """It is unsealed, and holds the first version of a secret."""
    bao.root.secrets.kv.v2.delete_metadata_and_all_versions("apis/github", mount_point="secret")
    bao.put(token="in-vault-0001", other="x", number=7)
    yield bao
    if bao.root.sys.is_sealed():
        bao.unseal()


class Gateway:
    """What the gateway makes to reach a Vault; ``waits`` are the pauses that it made."""

    def __init__(self, address, http):
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.waits = []
        self.closed = 0
        self.circuit = Circuit("Vault", lambda: 0.5)
        self.address, self.http = address, http

    def server(self, namespace=None):
        async def pause(seconds):
            self.waits.append(seconds)

        return VaultServer(
            self.address,
            namespace=namespace,
            http=self.http,
            clock=self.clock,
            circuit=self.circuit,
            pause=pause,
            jitter=lambda: 0.5,
        )

    def source(self, login, *, place=PLACE, carrier=None, namespace=None, fresh=FRESH):
        async def close():
            self.closed += 1

        server = self.server(namespace)
        return VaultCredentials(
            server,
            VaultToken(server, login(server), self.clock),
            place,
            carrier or InHeader("Authorization", "Bearer "),
            fresh=fresh,
            oldest=OLDEST,
            clock=self.clock,
            keyed=lambda secret: f"keyed {len(secret)}",
            close=close,
        )


def reaching(vault):
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    roots = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(vault.ca.read_bytes())])
    return Gateway(
        f"https://127.0.0.1:{vault.port}", HTTPClient(Agent(reactor, NamedPolicy(roots)))
    )


def given(token):
    return lambda server: GivenToken(server, token.encode())


def role(vault, ttl="1h"):
    role_id, secret_id = vault.role("gateway", ttl)
    return lambda server: AppRole(
        server, mount="approle", role_id=role_id, secret_id=secret_id.encode()
    )


async def sent(source, operation=READ):
    ((_, value),) = (await source.lend(operation, reuse=0.0)).headers
    return value


async def fault(source, kind=CredentialUnavailable):
    with pytest.raises(kind) as caught:
        await source.lend(READ, reuse=0.0)
    assert "0001" not in f"{caught.value}"
    return f"{caught.value}"


# --- what is lent


@ensureDeferred
async def test_what_is_lent_is_what_hvac_reads(vault):
    token = vault.token("1h")
    client = hvac.Client(vault.root.url, token=token, verify=str(vault.ca))
    read = client.secrets.kv.v2.read_secret_version(
        "apis/github", mount_point="secret", raise_on_deleted_version=True
    )["data"]
    source = reaching(vault).source(given(token))
    credential = await source.lend(READ, reuse=0.0)
    assert credential.headers == ((b"Authorization", f"Bearer {read['data']['token']}".encode()),)
    assert credential.facts == {
        "kind": "vault",
        "header": "Authorization",
        "place": "secret/apis/github",
        "field": "token",
        "fingerprint": "keyed 13",
        "version": read["metadata"]["version"],
        "lease_duration": 0,
    }
    assert set(credential.secrets) == {b"Bearer in-vault-0001", b"in-vault-0001"}


@pytest.mark.parametrize(
    "carrier", [InBasic("bot"), InQuery("key"), InBody("key"), InHeader("X-Api-Key")]
)
@ensureDeferred
async def test_it_is_carried_as_a_fixed_secret_is(vault, carrier):
    source = reaching(vault).source(role(vault), carrier=carrier)
    credential = await source.lend(WRITE, reuse=0.0)
    plain = carrier.credential(b"in-vault-0001", credential.facts)
    assert credential == plain
    assert credential.facts.items() >= carrier.where.items()


@ensureDeferred
async def test_the_source_and_all_that_it_is_made_of_show_no_secret(vault):
    token = vault.token("1h")
    gateway = reaching(vault)
    source = gateway.source(given(token))
    credential = await source.lend(READ, reuse=0.0)
    shown = [source, credential, source._kept, source._token, source._token._held, gateway.server()]
    for secret in ("in-vault-0001", token):
        assert secret not in "".join(map(repr, shown))
    assert verifyObject(ILastingSource, source)


@ensureDeferred
async def test_the_end_of_a_line_is_no_part_of_it(vault):
    vault.put(token="in-vault-0001\n")
    assert await sent(reaching(vault).source(role(vault))) == b"Bearer in-vault-0001"


@ensureDeferred
async def test_a_namespace_is_asked_in_itself(vault):
    """OpenBao has them as Vault's Enterprise edition has."""
    vault.root.adapter.post("/v1/sys/namespaces/team")
    session = vault.root.session
    team = hvac.Client(vault.root.url, token=vault.root.token, namespace="team", session=session)
    team.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    team.secrets.kv.v2.create_or_update_secret(
        "apis/github", {"token": "of-the-team"}, mount_point="secret"
    )
    source = reaching(vault).source(given(vault.root.token), namespace="team")
    assert await sent(source) == b"Bearer of-the-team"


# --- how long it is kept


@ensureDeferred
async def test_it_is_read_again_once_it_is_no_longer_fresh(vault):
    gateway = reaching(vault)
    source = gateway.source(role(vault))
    assert await sent(source) == b"Bearer in-vault-0001"
    vault.put(token="in-vault-0002")
    gateway.clock.advance(FRESH - 1)
    assert await sent(source) == b"Bearer in-vault-0001"
    gateway.clock.advance(1)
    credential = await source.lend(READ, reuse=0.0)
    assert credential.headers[0][1] == b"Bearer in-vault-0002"
    assert credential.facts["version"] == 2


@ensureDeferred
async def test_while_it_is_sealed_what_was_read_is_used_until_it_is_too_old(vault):
    gateway = reaching(vault)
    source = gateway.source(role(vault))
    await sent(source)
    vault.seal()
    gateway.clock.advance(FRESH)
    assert await sent(source) == b"Bearer in-vault-0001"
    assert gateway.waits == [0.2, 0.4], "it was tried again, with pauses"
    assert await sent(source) == b"Bearer in-vault-0001"
    assert len(gateway.waits) == 2, "not for each call"
    gateway.clock.advance(OLDEST - FRESH - 0.1)
    assert await sent(source) == b"Bearer in-vault-0001"
    gateway.clock.advance(0.1)
    assert "Vault has failed since" in await fault(source, VaultDown)
    vault.unseal()
    gateway.clock.advance(LONGEST_PAUSE)
    assert await sent(source) == b"Bearer in-vault-0001"


@ensureDeferred
async def test_what_vault_no_longer_lets_the_gateway_read_is_not_used_any_more(vault):
    gateway = reaching(vault)
    source = gateway.source(role(vault))
    await sent(source)
    vault.root.sys.create_or_update_policy("gateway", 'path "x" { capabilities = ["read"] }')
    try:
        gateway.clock.advance(FRESH)
        assert "does not let the gateway read secret/apis/github" in await fault(source)
        vault.seal()
        gateway.clock.advance(RETRY)
        assert await fault(source, VaultDown) == "Vault is sealed (503)."
        vault.unseal()
    finally:
        from support.vault import READS  # noqa: PLC0415

        vault.root.sys.create_or_update_policy("gateway", READS)
    assert await sent(source) == b"Bearer in-vault-0001"


@pytest.mark.parametrize("status", [401, 403])
@ensureDeferred
async def test_a_read_that_the_target_does_not_take_has_it_read_again_for_the_next_call(
    vault, status
):
    gateway = reaching(vault)
    source = gateway.source(role(vault))
    read, write = [await source.lend(each, reuse=0.0) for each in (READ, WRITE)]
    vault.put(token="in-vault-0002")
    answer = ResponseHead(status, ())
    gateway.clock.advance(RETRY)
    assert source.heard(write, answer) is None
    assert await sent(source) == b"Bearer in-vault-0001", "nothing is read for a write"
    assert source.heard(read, ResponseHead(404, ())) is None
    assert await sent(source) == b"Bearer in-vault-0001"
    assert source.heard(read, answer) is None
    source.returned(read)
    assert await sent(source) == b"Bearer in-vault-0002"
    vault.put(token="in-vault-0003")
    again = await source.lend(READ, reuse=0.0)
    source.heard(again, answer)
    assert await sent(source) == b"Bearer in-vault-0002", "an agent causes no more reads than that"
    gateway.clock.advance(RETRY)
    assert await sent(source) == b"Bearer in-vault-0003"


# --- what is not there


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (Place("secret", "apis/other", "token"), "has nothing at secret/apis/other"),
        (Place("secret", "not/mine", "token"), "does not let the gateway read secret/not/mine"),
        (
            Place("secret", "apis/github", "tokens"),
            "field tokens of secret/apis/github in Vault is not there",
        ),
        (
            Place("secret", "apis/github", "number"),
            "field number of secret/apis/github in Vault is no text",
        ),
    ],
)
@ensureDeferred
async def test_what_is_not_there_is_said(vault, place, says):
    gateway = reaching(vault)
    assert says in await fault(gateway.source(role(vault), place=place), VaultRefused)
    assert gateway.waits == [], "a no is not asked for again"


@ensureDeferred
async def test_a_version_that_was_deleted_or_destroyed_is_not_used(vault):
    gateway = reaching(vault)
    source = gateway.source(role(vault))
    await sent(source)
    kept = vault.root.secrets.kv.v2
    for withdraw in (
        lambda: kept.delete_latest_version_of_secret("apis/github", mount_point="secret"),
        lambda: kept.destroy_secret_versions("apis/github", [1], mount_point="secret"),
    ):
        withdraw()
        gateway.clock.advance(FRESH)
        assert "its newest version is deleted" in await fault(source, VaultRefused)


@ensureDeferred
async def test_an_engine_of_the_first_version_is_said_to_be_another(vault):
    vault.root.secrets.kv.v1.create_or_update_secret("data/a", {"token": "x"}, mount_point="old")
    source = reaching(vault).source(given(vault.root.token), place=Place("old", "a", "token"))
    assert "not that of a KV engine, version 2" in await fault(source, VaultRefused)


@ensureDeferred
async def test_what_cannot_be_sent_is_not_shown(vault):
    vault.put(token="in-vault-0001\nX-Other: y")
    said = await fault(reaching(vault).source(role(vault)), VaultRefused)
    assert "cannot be sent: the value for Authorization is not one line" in said


# --- the gateway's own token


@ensureDeferred
async def test_a_roles_token_that_was_revoked_is_had_anew_within_the_call(vault):
    gateway = reaching(vault)
    source = gateway.source(role(vault))
    await sent(source)
    first = source._token._held.token
    vault.root.auth.token.revoke(first)
    gateway.clock.advance(FRESH)
    assert await sent(source) == b"Bearer in-vault-0001"
    assert source._token._held.token != first


@ensureDeferred
async def test_a_roles_token_is_renewed_before_it_ends_and_had_anew_where_it_is_too_late(vault):
    gateway = reaching(vault)
    source = gateway.source(role(vault, "30m"))
    await sent(source)
    first = source._token._held.token
    gateway.clock.advance(1200)
    await sent(source)
    assert source._token._held.token == first
    looked = vault.root.auth.token.lookup(first)["data"]
    assert looked["last_renewal"]
    gateway.clock.advance(1800)
    await sent(source)
    assert source._token._held.token != first


@ensureDeferred
async def test_no_agent_makes_a_vault_issue_tokens_without_end(vault):
    """The role's policy lacks the path, so every token of it is refused."""
    gateway = reaching(vault)
    source = gateway.source(role(vault), place=Place("secret", "not/mine", "token"))
    tokens = vault.root.auth.token
    before = set(tokens.list_accessors()["data"]["keys"])
    for seconds in (0.0, 1.0, RETRY, YOUNG, YOUNG, 60.0, 0.0):
        gateway.clock.advance(seconds)
        assert "does not let the gateway read secret/not/mine" in await fault(source, VaultRefused)
        made = set(tokens.list_accessors()["data"]["keys"]) - before
        assert len(made) == 1
    await source.stop()
    assert set(tokens.list_accessors()["data"]["keys"]) == before


@ensureDeferred
async def test_a_no_is_not_asked_for_again_for_a_while(far):
    far.answers["github"] = (403, b"")
    source = far.role()
    said = [await fault(source, VaultRefused) for _ in range(3)]
    paths = [each.path.rpartition(b"/")[2] for each in far.asked]
    assert paths == [b"login", b"github"]
    assert set(said) == {said[0]}
    far.gateway.clock.advance(RETRY)
    await fault(source, VaultRefused)
    assert len(far.asked) == 3, "a token that Vault has just given is not had anew"
    far.answers.clear()
    assert await fault(source, VaultRefused) == said[0]
    far.gateway.clock.advance(RETRY)
    assert await sent(source) == b"Bearer in-vault-0001"


@ensureDeferred
async def test_a_role_that_vault_refuses_does_not_log_in_for_each_call(far):
    far.answers["login"] = (400, b"")
    source = far.role()
    for _ in range(3):
        assert "refuses the gateway's role" in await fault(source, VaultRefused)
    assert len(far.asked) == 1


@ensureDeferred
async def test_an_old_token_that_cannot_be_handed_back_does_no_harm(far):
    source = far.role()
    await sent(source)
    far.answers |= {"github": (403, b""), "revoke-self": (500, b"")}
    far.gateway.clock.advance(FRESH)
    assert "does not let the gateway read" in await fault(source, VaultRefused)
    paths = [each.path.rpartition(b"/")[2] for each in far.asked]
    assert paths[2:] == [b"github", b"login", *[b"revoke-self"] * TRIES, b"github"]


@ensureDeferred
async def test_a_role_that_is_refused_is_said_to_be(vault):
    role_id, _ = vault.role("gateway", "1h")
    source = reaching(vault).source(
        lambda server: AppRole(server, mount="approle", role_id=role_id, secret_id=b"not-it-0001")
    )
    assert "refuses the gateway's role at auth/approle/login (400)" in await fault(source)


@ensureDeferred
async def test_a_given_token_is_renewed_while_nobody_calls(vault):
    token = vault.token("30m")
    gateway = reaching(vault)
    source = gateway.source(given(token))
    source.begin()
    for seconds in (0.0, 1200.0, 1200.0):
        gateway.clock.advance(seconds)
        await settled(source)
    data = vault.root.auth.token.lookup(token)["data"]
    assert data["last_renewal"]
    assert source._token._held.until == gateway.clock.seconds() + 1800


@ensureDeferred
async def test_nobody_renews_the_token_of_a_source_that_is_no_more(vault):
    gateway = reaching(vault)
    source = gateway.source(given(vault.token("30m")))
    source.begin()
    gateway.clock.advance(0.0)
    await settled(source)
    (call,) = gateway.clock.getDelayedCalls()
    del source
    gc.collect()
    gateway.clock.advance(call.getTime() - gateway.clock.seconds())
    assert gateway.clock.getDelayedCalls() == []


@pytest.mark.parametrize("end", ["retire", "stop"])
@ensureDeferred
async def test_nobody_renews_the_token_of_a_source_that_was_replaced_or_stopped(vault, end):
    gateway = reaching(vault)
    token = vault.token("30m")
    source = gateway.source(given(token))
    source.begin()
    gateway.clock.advance(0.0)
    await settled(source)
    if end == "retire":
        source.retire()
    else:
        await source.stop()
    assert gateway.clock.getDelayedCalls() == []
    assert vault.root.auth.token.lookup(token), "it is the operator's to take back"


@ensureDeferred
async def test_one_that_is_replaced_while_it_is_renewed_is_not_seen_to_again(vault):
    gateway = reaching(vault)
    source = gateway.source(given(vault.token("30m")))
    source.begin()
    gateway.clock.advance(0.0)
    source.retire()
    await settled(source)
    assert gateway.clock.getDelayedCalls() == []


@ensureDeferred
async def test_a_roles_token_is_handed_back_at_the_end(vault):
    gateway = reaching(vault)
    source = gateway.source(role(vault))
    await sent(source)
    token = source._token._held.token
    await source.stop()
    with pytest.raises(hvac.exceptions.Forbidden):
        vault.root.auth.token.lookup(token)
    assert await fault(source) == "The gateway stops."
    assert gateway.closed == 1


@ensureDeferred
async def test_a_token_that_cannot_be_handed_back_keeps_nobody(vault):
    gateway = reaching(vault)
    source = gateway.source(role(vault))
    await sent(source)
    vault.seal()
    await source.stop()
    assert gateway.closed == 1
    gateway = reaching(vault)
    await gateway.source(given("never-asked-for")).stop()
    assert gateway.closed == 1


@ensureDeferred
async def test_a_token_without_an_end_is_not_renewed(vault):
    gateway = reaching(vault)
    source = gateway.source(given(vault.root.token))
    source.begin()
    gateway.clock.advance(0.0)
    await settled(source)
    assert gateway.clock.getDelayedCalls() == []


@ensureDeferred
async def test_a_given_token_that_was_revoked_is_said_to_have_ended(vault):
    token = vault.token("30m")
    gateway = reaching(vault)
    source = gateway.source(given(token))
    await sent(source)
    vault.root.auth.token.revoke(token)
    gateway.clock.advance(FRESH)
    assert "its token has ended, or lacks it" in await fault(source, VaultRefused)
    gateway.clock.advance(RETRY)
    said = await fault(source, VaultRefused)
    assert "refuses the gateway's token: it has ended" in said
    assert token not in said


@ensureDeferred
async def test_a_given_token_that_cannot_be_renewed_is_used_until_its_end(vault):
    token = vault.token("30m", renewable=False)
    gateway = reaching(vault)
    source = gateway.source(given(token))
    source.begin()
    gateway.clock.advance(0.0)
    await settled(source)
    assert gateway.clock.getDelayedCalls() == []
    gateway.clock.advance(1700)
    assert await sent(source) == b"Bearer in-vault-0001"


@pytest.mark.parametrize("token", [b"", b"a b", b"a\nb", b"\xff"])
def test_a_token_that_no_header_can_hold_is_refused_without_being_shown(token):
    with pytest.raises(ValueError, match="visible ASCII"):
        GivenToken(None, token)
    with pytest.raises(ValueError, match="visible ASCII"):
        AppRole(None, mount="approle", role_id="x", secret_id=token)


async def settled(source):
    """What it does by itself has come to its end."""
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    await source._token.current()
    await deferLater(reactor, 0.0)


# --- whatever else a server answers


class Far:
    """A server whose answers each test sets: (status, body), or a Deferred that never fires."""

    def __init__(self):
        self.asked = []
        self.answers = {}
        self.site = serve(self._render)
        self.gateway = Gateway(self.site.origin, self.site.client)

    def _render(self, request):
        self.asked.append(request)
        name = request.path.decode().rpartition("/")[2]
        answer = self.answers.get(name, GOOD[name])
        if answer is None:
            self.gateway.clock.advance(TIMEOUT)
            return NOT_DONE_YET
        status, body = answer
        request.setResponseCode(status)
        if 300 <= status < 400:
            request.setHeader(b"Location", b"https://other.example/v1/x")
        return body if isinstance(body, bytes) else json.dumps(body).encode()

    def source(self):
        return self.gateway.source(given("the-gateways-own"), namespace="team/a")

    def role(self):
        return self.gateway.source(
            lambda server: AppRole(server, mount="approle", role_id="a", secret_id=b"b")
        )


GOOD = {
    "lookup-self": (200, {"data": {"ttl": 3600, "renewable": True}}),
    "renew-self": (
        200,
        {"auth": {"client_token": "the-gateways-own", "lease_duration": 3600, "renewable": True}},
    ),
    "login": (
        200,
        {"auth": {"client_token": "the-gateways-own", "lease_duration": 3600, "renewable": True}},
    ),
    "revoke-self": (204, b""),
    "github": (
        200,
        {
            "lease_duration": 0,
            "data": {"data": {"token": "in-vault-0001"}, "metadata": {"version": 1}},
        },
    ),
}


@pytest_twisted.async_yield_fixture
async def far():
    made = Far()
    yield made
    await made.site.stop()


@ensureDeferred
async def test_nothing_is_asked_before_it_begins_or_lends(far):
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    source = far.source()
    assert far.gateway.clock.getDelayedCalls() == []
    source.begin()
    (call,) = far.gateway.clock.getDelayedCalls()
    assert far.asked == []
    await source.stop()
    far.gateway.clock.advance(0.0)
    await deferLater(reactor, 0.0)
    assert not call.active()
    assert far.asked == []


@ensureDeferred
async def test_one_that_does_not_answer_at_the_end_is_not_waited_for(far):
    source = far.role()
    await sent(source)
    far.answers["revoke-self"] = None
    await source.stop()
    assert far.asked[-1].path == b"/v1/auth/token/revoke-self"
    assert far.gateway.closed == 1


@ensureDeferred
async def test_it_is_asked_by_its_documented_api(far):
    assert await sent(far.source()) == b"Bearer in-vault-0001"
    lookup, read = far.asked
    assert (lookup.method, lookup.path) == (b"GET", b"/v1/auth/token/lookup-self")
    assert (read.method, read.path) == (b"GET", b"/v1/secret/data/apis/github")
    for each in far.asked:
        fields = {
            name: each.requestHeaders.getRawHeaders(name)
            for name in ("x-vault-token", "x-vault-namespace", "x-vault-request")
        }
        assert fields == {
            "x-vault-token": ["the-gateways-own"],
            "x-vault-namespace": ["team/a"],
            "x-vault-request": ["true"],
        }


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((503, {"errors": ["Vault is sealed"]}), "Vault is sealed (503)."),
        ((503, b""), "Vault is down for maintenance, or sealed (503)."),
        ((500, b"<in-vault-0001>"), "Vault failed (500)."),
        ((599, b""), "Vault failed (599)."),
        ((429, {"errors": ["in-vault-0001"]}), "Vault is asked too often (429)."),
        ((473, b""), "Vault is a standby (473)."),
        ((200, b'{"data": {"in-vault-0001'), "Vault's answer is not a JSON object."),
        ((200, b"[]"), "Vault's answer is not a JSON object."),
        ((200, b"x" * 1_100_000), "Vault cannot be asked: its answer is too long."),
    ],
)
@ensureDeferred
async def test_what_may_pass_is_tried_again_and_then_told(far, answer, says):
    far.answers["github"] = answer
    assert await fault(far.source(), VaultDown) == says
    assert len(far.asked) == 1 + TRIES
    assert far.gateway.waits == [0.2, 0.4]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((307, b""), "a standby that sends the gateway on to another server"),
        ((400, {"errors": ["in-vault-0001"]}), "Vault answered 400."),
        ((204, b""), "Vault answered 204."),
        ((200, {}), "not that of a KV engine"),
        ((200, {"data": {"data": ["in-vault-0001"], "metadata": {}}}), "not that of a KV engine"),
        ((200, {"data": {"data": {"token": None}, "metadata": {}}}), "is no text"),
    ],
)
@ensureDeferred
async def test_a_no_is_told_at_once(far, answer, says):
    far.answers["github"] = answer
    assert says in await fault(far.source(), VaultRefused)
    assert len(far.asked) == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": None},
        {"data": {}},
        {"data": {"ttl": "3600"}},
        {"data": {"ttl": True}},
        {"data": {"ttl": -1}},
    ],
)
@ensureDeferred
async def test_a_token_of_which_it_is_not_said_how_long_it_lives_is_not_used(far, body):
    far.answers["lookup-self"] = (200, body)
    assert "Vault's answer" in await fault(far.source(), VaultDown)
    assert {each.path for each in far.asked} == {b"/v1/auth/token/lookup-self"}


@ensureDeferred
async def test_one_that_fails_again_and_again_is_left_alone_for_a_while(far):
    far.answers["github"] = (503, b"")
    source = far.source()
    for _ in range(2):
        assert "Vault is down for maintenance" in await fault(source, VaultDown)
    assert len(far.asked) == 1 + FAILURES
    assert "Vault has failed since" in await fault(source, VaultDown)
    assert len(far.asked) == 1 + FAILURES
    far.answers.clear()
    far.gateway.clock.advance(LONGEST_PAUSE)
    assert await sent(source) == b"Bearer in-vault-0001"


@ensureDeferred
async def test_a_no_is_an_answer_of_one_that_works(far):
    far.answers["github"] = (404, b"")
    source = far.source()
    for _ in range(FAILURES + 1):
        assert "has nothing at" in await fault(source, VaultRefused)
        far.gateway.clock.advance(RETRY)
    assert len(far.asked) == 1 + FAILURES + 1


@ensureDeferred
async def test_one_that_does_not_answer_is_not_waited_for(far):
    """An agent waits: what took so long is not tried again for as long."""
    far.answers["github"] = None
    assert await fault(far.source(), VaultDown) == f"Vault did not answer within {TIMEOUT:g} s."
    assert len(far.asked) == 1 + 2


@ensureDeferred
async def test_one_that_is_not_there_is_said_to_be_unreachable(far):
    await far.site.stop()
    assert "Vault cannot be asked: ConnectionRefusedError" in await fault(far.source(), VaultDown)


@pytest.mark.parametrize("answer", [(503, b""), (403, b"")])
@ensureDeferred
async def test_a_renewal_that_fails_is_tried_again_and_the_token_used_meanwhile(far, answer):
    source = far.source()
    await sent(source)
    far.answers["renew-self"] = answer
    far.gateway.clock.advance(2400)
    assert await sent(source) == b"Bearer in-vault-0001"
    assert source._token._held.renew_at == far.gateway.clock.seconds() + 10
    far.answers.clear()
    far.gateway.clock.advance(FRESH)
    await sent(source)
    assert source._token._held.until == far.gateway.clock.seconds() + 3600


@ensureDeferred
async def test_calls_that_come_at_once_share_one_reading(far):
    source = far.source()
    calls = [Deferred.fromCoroutine(sent(source)) for _ in range(10)]
    assert [await each for each in calls] == [b"Bearer in-vault-0001"] * 10
    assert len(far.asked) == 2
    far.gateway.clock.advance(FRESH)
    calls = [Deferred.fromCoroutine(sent(source)) for _ in range(10)]
    assert all(each.called for each in calls[1:]), "what is kept is there meanwhile"
    await calls[0]
    assert len(far.asked) == 3


@ensureDeferred
async def test_a_call_that_is_given_up_ends_nobody_elses(far):
    source = far.source()
    first, second = [Deferred.fromCoroutine(sent(source)) for _ in range(2)]
    first.addErrback(lambda failure: failure.trap(CancelledError, VaultDown))
    first.cancel()
    assert await second == b"Bearer in-vault-0001"


class TestVault(LendingContract):
    """What every source that lends promises; it has one secret for all calls."""

    fixed = True

    def make(self):
        made = Far().source()
        made.name, made.version = "vault", "1"
        return made
