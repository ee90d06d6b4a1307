"""Webhooks as the configuration has them: the ways they go, whom they speak for, and their secrets."""

from __future__ import annotations

import orjson
import pytest
from pytest_twisted import ensureDeferred
from standardwebhooks import Webhook
from support.counterparts import TestCA
from support.gateway import settings, target
from support.loopback import serve
from support.receiver import secret
from support.tokens import Tokens
from twisted.internet import reactor
from twisted.web.client import URI

from jitgate.app.in_force import made
from jitgate.approvers.webhook.messages import Message
from jitgate.approvers.webhook.sending import Delivered, Failed
from jitgate.config import read_all
from jitgate.errors import ConfigurationInvalid, UpstreamUnreachable
from jitgate.upstreams.endpoint import CheckedEndpoint, LoopbackEndpoints

URL = "https://hooks.example/jitgate"


class Site:
    """A configuration with webhooks, whose secrets lie beside it."""

    def __init__(self, folder):
        self.folder = folder
        self.jwks = Tokens(folder).jwks
        self.ca = TestCA.create(folder, name="origin").pem

    def secret(self, name, text=None):
        file = self.folder / f"{name}.secret"
        file.write_text((secret(name) if text is None else text) + "\n")
        file.chmod(0o600)
        return f"file:./{file.name}"

    def hook(self, name="ops", **how):
        callback = {"secret": self.secret(f"{name}-in"), "people": ["Alice@acme.com"]}
        plain = {"name": name, "url": URL, "callback": callback}
        if "secrets" not in how:
            plain["secret"] = self.secret(f"{name}-out")
        return {key: value for key, value in (plain | how).items() if value is not None}

    def made(self, *hooks, channels=("cli", "ops"), before=None, **more):
        written = settings(self.folder, self.jwks, [target(1, self.ca)], **more)
        written["webhooks"] = list(hooks)
        written["approvals"] = {"channels": list(channels), **more.get("approvals", {})}
        file = self.folder / "jitgate.yaml"
        file.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2))
        configuration, problems = read_all(file)
        if configuration is None:
            raise ConfigurationInvalid(problems)
        return made(configuration, reactor, problems, before=before)

    def problem(self, *hooks, **how):
        with pytest.raises(ConfigurationInvalid) as raised:
            self.made(*hooks, **how)
        (problem,) = raised.value.problems
        assert "whsec" not in problem.replace("whsec_ and the base64", "")
        return problem


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_a_webhook_is_made_with_its_keys_and_the_people_it_speaks_for(site):
    (hook,) = site.made(site.hook()).hooks
    assert (hook.sending.name, hook.sending.url) == ("ops", URL)
    assert hook.callback.people == {"alice@acme.com": "Alice@acme.com"}
    assert set(hook.sending.keys).isdisjoint(hook.callback.keys)


def test_of_several_secrets_all_are_taken_in_their_order(site):
    several = [site.secret("new"), site.secret("old")]
    (hook,) = site.made(site.hook(secrets=several)).hooks
    assert [key.split(b".")[0] for key in hook.sending.keys] == [b"new", b"old"]


def test_what_is_not_among_the_channels_is_not_told_and_that_is_said(site):
    in_force = site.made(site.hook(), channels=("cli",))
    assert in_force.hooks == []
    assert any("nothing is sent to it" in each for each in in_force.notices)


def test_a_callback_needs_the_admin_port_and_that_is_said(site):
    in_force = site.made(site.hook(), services=["recorder", "control", "proxy"])
    assert any("without the service admin" in each for each in in_force.notices)


def test_those_who_can_answer_through_a_webhook_can_answer(site):
    group = {"groups": {"leads": ["alice@acme.com"], "others": ["eve@acme.com"]}}
    said = " ".join(site.made(site.hook(), approvals=group).notices)
    assert "others can answer" in said
    assert "leads" not in said


# --- secrets


@pytest.mark.parametrize("zeros", [0, 8])
def test_no_secret_stands_twice(site, zeros):
    """Else a message that comes back would be an answer. Zeros at its end make it no other key."""
    import base64  # noqa: PLC0415 - here alone

    key = base64.b64decode(secret("same").removeprefix("whsec_"))
    padded = "whsec_" + base64.b64encode(key + bytes(zeros)).decode()
    one, two = site.secret("one", secret("same")), site.secret("two", padded)
    people = ["alice@acme.com"]
    hook = site.hook(secret=one, callback={"secret": two, "people": people})
    assert "taken for an answer" in site.problem(hook)
    other = site.hook("other", callback={"secret": two, "people": people})
    assert "taken for an answer" in site.problem(site.hook(secret=one), other)


@pytest.mark.parametrize("text", ["", "whsec_AAAA", "plain", "whpk_" + "A" * 44])
def test_what_is_no_secret_is_refused_without_being_shown(site, text):
    problem = site.problem(site.hook(secret=site.secret("x", text)))
    assert "x.secret: this is no secret" in problem
    assert not text or text not in problem.replace("whsec_ and", "")


def test_a_secret_that_others_can_read_is_refused(site):
    where = site.secret("x")
    (site.folder / "x.secret").chmod(0o644)
    assert "x.secret" in site.problem(site.hook(secret=where))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"secret": None}, "one of the two"),
        ({"secrets": ["file:./a"], "secret": "file:./a"}, "one of the two"),
        ({"secrets": []}, "at least 1"),
        ({"secret": "whsec_" + "A" * 32}, "secrets do not stand in the"),
        ({"callback": {"secret": "file:./a", "people": []}}, "at least 1"),
        ({"callback": {"people": ["a@b.c"]}}, "one of the two"),
        ({"extra": 1}, "extra"),
        ({"name": "Ops"}, "name"),
        ({"name": "cli"}, "control socket"),
    ],
)
def test_what_is_written_wrongly_is_said(site, how, words):
    with pytest.raises(ConfigurationInvalid) as raised:
        site.made(site.hook(**how), channels=("cli",))
    assert words in str(raised.value)


def test_each_webhook_has_a_name_of_its_own(site):
    assert "stands more than once" in site.problem(site.hook(), site.hook())


# --- the way there


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/x",
        "http://10.0.0.1/x",
        "http://localhost:9000/x",
        "http://127.0.0.1.example/x",
        "http://0x7f.1/x",
        "ftp://hooks.example/x",
        "https://user:pw@hooks.example/x",
        "https://hooks.example/x#part",
        "https://hooks.example:99999/",
        "https://hooks.example/a b",
        "https://",
        "HTTPS://hooks.example/",
        "https://hooks.example\\@other.example/",
        "https://hooks.example/\n",
    ],
)
def test_only_https_goes_to_other_machines(site, url):
    problem = site.problem(site.hook(url=url))
    if url.startswith("http://") and "0x" not in url:
        assert "goes to a loopback address alone" in problem


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[fd00::1]"])
def test_an_address_inside_must_be_named_in_dial_as_well(site, host):
    assert "name it in dial too" in site.problem(site.hook(url=f"https://{host}/x"))
    dial = f"{host}:443"
    assert site.made(site.hook(url=f"https://{host}/x", dial=dial)).hooks


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/x", "http://[::1]:9000/x?y=z"])
def test_plain_http_goes_to_this_machine(site, url):
    assert site.made(site.hook(url=url)).hooks
    assert "go with https" in site.problem(site.hook(url=url, dial="127.0.0.1:1"))


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "8.8.8.8", "localhost", "::2"])
def test_without_tls_nothing_leaves_this_machine_whatever_was_configured(address):
    with pytest.raises(ValueError, match="stays on this machine"):
        LoopbackEndpoints(reactor, address, 80, 1.0)


def test_a_way_without_tls_leads_to_one_address():
    way = LoopbackEndpoints(reactor, "127.0.0.1", 80, 1.0)
    assert way.endpointForURI(URI.fromBytes(b"http://127.0.0.1:80/x"))
    for other in (b"http://127.0.0.2/", b"https://127.0.0.1/", b"http://127.0.0.1:81/"):
        with pytest.raises(UpstreamUnreachable):
            way.endpointForURI(URI.fromBytes(other))


def test_the_way_to_another_machine_is_the_checked_one(site):
    (hook,) = site.made(site.hook(trust=str(site.ca))).hooks
    endpoints = hook.sending.http._agent._endpointFactory
    assert isinstance(endpoints._endpoint, CheckedEndpoint)


def test_a_reload_takes_others(site):
    before = site.made(site.hook())
    (hook,) = site.made(site.hook(url=URL + "2"), before=before).hooks
    assert hook.sending.url == URL + "2"


MESSAGE = Message("msg_1", "access_request.opened", 1, {"id": "a-1"})


@ensureDeferred
async def test_over_tls_a_message_comes_to_whoever_is_trusted_and_to_nobody_else(site):
    seen = []

    def answer(request):
        fields = {
            name.decode().lower(): values[0].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        seen.append(Webhook(secret("ops-out")).verify(request.content.read(), fields))
        request.setResponseCode(202)
        return b""

    far = serve(answer)
    pem = site.folder / "far.pem"
    pem.write_bytes(far.pem)
    dial = far.origin.removeprefix("https://")
    for trust, outcome in ((f"{pem}", Delivered), (f"{site.ca}", Failed), (None, Failed)):
        (hook,) = site.made(site.hook(url=f"{far.origin}/x?y=z", dial=dial, trust=trust)).hooks
        assert isinstance(await hook.sending.send(MESSAGE, 1.5), outcome)
        await hook.close()
    (message,) = seen
    assert message == {
        "type": "access_request.opened",
        "timestamp": "1970-01-01T00:00:01.500000Z",
        "data": {"id": "a-1"},
    }
    await far.stop()


@ensureDeferred
async def test_a_name_that_leads_inside_is_not_called(site):
    (hook,) = site.made(site.hook(url="https://localhost/x")).hooks
    outcome = await hook.sending.send(MESSAGE, 1.5)
    assert isinstance(outcome, Failed)
    assert "localhost" in outcome.why
    await hook.close()
