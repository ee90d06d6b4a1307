"""One reload: in its turn, on record before it takes effect, and all of it or nothing."""

import os
import signal

import orjson
import pytest
from pytest_twisted import ensureDeferred
from support.access import at_once
from support.counterparts import TestCA
from support.gateway import settings, target
from support.saml import IdpKey
from support.tokens import Tokens
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from jitgate.app.in_force import made
from jitgate.app.reloading import OnHangup, Reloading
from jitgate.config import load, read_all
from jitgate.errors import StateUnusable
from jitgate.flow.recorder import Recorder
from jitgate.stores.memory import MemoryRecords
from jitgate.values import Reloaded

BY = {"uid": 7}

RULE = """
from zope.interface import implementer
from jitgate.interfaces import IRule

@implementer(IRule)
class Rule:
    name, version = "mine", "1"

    def judge(self, inquiry):
        return None

def plugin(options):
    return Rule()
"""


class Others:
    """Other processes, which say what a test wants them to."""

    def __init__(self):
        self.problems, self.done = [], []

    async def prepare(self, digest):
        self.done.append(digest)
        return self.problems

    async def replace(self):
        self.done.append("replace")

    def abandon(self):
        self.done.append("abandon")


class Site:
    """What is reloaded, in memory but for its files. ``adopted`` are what has been in force."""

    def __init__(self, folder, reactor):
        self.folder = folder
        self.file = folder / "jitgate.yaml"
        ca = TestCA.create(folder, name="origin")
        self.settings = settings(folder, Tokens(folder).jwks, [target(1, ca.pem)])
        self.write()
        self.clock = Clock()
        self.records = MemoryRecords()
        self.recorder = Recorder(self.records, clock=self.clock, in_thread=at_once)
        self.reactor = reactor
        self.adopted = []
        self.log = []
        self.fault = None
        self.others = Others()
        self.reloading = Reloading(
            made(load(self.file), reactor),
            self.make,
            adopters=[self.adopted.append, self.adopt],
            settle=self.settle,
            recorder=self.recorder,
            reactor=reactor,
            others=self.others,
        )

    def write(self):
        self.file.write_bytes(orjson.dumps(self.settings))

    def policy(self, *names):
        rule = {"reason": "r", "match": {}, "effect": "deny"}
        rules = [{"name": name, **rule} for name in names]
        (self.folder / "policy.yaml").write_bytes(orjson.dumps(rules))

    def make(self, configuration, problems, before):
        if self.fault is not None:
            raise self.fault
        return made(configuration, self.reactor, problems, before=before)

    def adopt(self, new):
        self.log += [entry.type for entry in self.records.entries]
        self.log.append("adopted")

    async def settle(self):
        self.log.append("settled")

    def reload(self):
        return Deferred.fromCoroutine(self.reloading.reload(BY))

    def entries(self):
        return [dict(each.fields) for each in self.records.entries if each.type == "reload"]


@pytest.fixture
def site(tmp_path):
    from twisted.internet import reactor  # noqa: PLC0415 - installed by pytest-twisted

    return Site(tmp_path, reactor)


@ensureDeferred
async def test_it_is_on_record_then_in_force_then_what_is_held_is_seen_to(site):
    await site.recorder.start()
    await site.reloading.start()
    site.policy("one", "two")
    done = await site.reload()
    assert done.replaced
    assert done.before != done.policy == site.adopted[0].version
    assert site.log == ["reload", "adopted", "settled"]
    assert site.others.done == [site.adopted[0].digest, "replace"]
    (entry,) = site.entries()
    assert entry["by"] == BY
    assert (entry["before"], entry["policy"]) == (done.before, done.policy)
    await site.recorder.stop()


@ensureDeferred
async def test_who_asks_before_the_start_or_after_the_stop_is_refused(site):
    await site.recorder.start()
    early = await site.reload()
    assert "starts" in early.problems[0]
    await site.reloading.start()
    running = site.reload()
    stopping = Deferred.fromCoroutine(site.reloading.stop())
    assert not stopping.called
    assert (await running).replaced
    await stopping
    late = await site.reload()
    assert "stops" in late.problems[0]
    assert len(site.adopted) == 1
    assert [each["result"] for each in site.entries()] == ["refused", "replaced", "refused"]
    await site.recorder.stop()


@ensureDeferred
async def test_what_cannot_be_put_on_record_takes_no_effect(site):
    await site.reloading.start()
    done = await site.reload()  # the recorder has not been started
    assert "cannot be put on record" in done.problems[0]
    assert site.adopted == []
    assert site.others.done[1:] == ["abandon"]


@ensureDeferred
async def test_what_another_process_cannot_go_by_replaces_nothing(site):
    await site.recorder.start()
    await site.reloading.start()
    site.policy("one")
    site.others.problems = ["a worker says no"]
    done = await site.reload()
    assert done.problems == ("a worker says no",)
    assert site.adopted == []
    assert site.others.done[1:] == ["abandon"]
    assert [each["result"] for each in site.entries()] == ["refused"]
    await site.recorder.stop()


def test_what_was_made_of_other_files_has_another_digest(site):
    def digest():
        return made(load(site.file), site.reactor).digest

    before = digest()
    assert digest() == before
    site.policy("one")
    policy = digest()
    site.settings["limits"] = {"idle": "60s"}
    site.write()
    limits = digest()
    plugin = site.folder / "plugin.py"
    plugin.write_text(RULE)
    site.settings["plugins"] = [{"file": f"{plugin}"}]
    site.write()
    plugged = digest()
    plugin.write_text(f"{RULE}# More.\n")
    assert len({before, policy, limits, plugged, digest()}) == 5


@ensureDeferred
async def test_what_is_wrong_replaces_nothing_and_all_of_it_is_said(site):
    await site.recorder.start()
    await site.reloading.start()
    site.settings["lisen"] = {}
    site.settings["policy"].append("./nothing.yaml")
    site.write()
    done = await site.reload()
    assert sorted(problem.startswith(f"{site.file}") for problem in done.problems) == [True, True]
    del site.settings["lisen"], site.settings["policy"][1]
    site.settings["targets"][0]["trust"] = "./nothing.pem"
    site.settings["plugins"] = [{"file": "./nothing.py"}]
    site.write()
    done = await site.reload()
    assert len(done.problems) == 2
    assert site.adopted == []
    assert [each["problems"] for each in site.entries()] == [2, 2]
    await site.recorder.stop()


@ensureDeferred
async def test_what_only_stands_on_another_line_is_no_other(site):
    """The sections that need a restart are compared by what they say."""
    await site.recorder.start()
    await site.reloading.start()
    site.settings["limits"] = {"exchanges": 50}
    site.write()
    (problem,) = (await site.reload()).problems
    assert "limits is another: restart to change it" in problem
    del site.settings["limits"]
    site.write()
    site.file.write_text(f"# A line before all others\n\n{site.file.read_text()}")
    assert (await site.reload()).problems == ()
    await site.recorder.stop()


@pytest.mark.parametrize("how", ["state", "fault"])
@ensureDeferred
async def test_a_fault_leaves_in_force_what_is(site, how, nothing_unnoticed):
    await site.recorder.start()
    await site.reloading.start()
    if how == "state":
        site.fault = StateUnusable("The folder is gone.")
    else:
        site.fault = RuntimeError("secret-internals")
    done = await site.reload()
    assert done.before == done.policy
    assert len(done.problems) == 1
    assert "secret-internals" not in done.problems[0]
    assert site.adopted == []
    assert site.entries()[0]["result"] == "refused"
    if how == "fault":  # the log has it
        (logged,) = nothing_unnoticed
        assert "secret-internals" not in logged["how"]
        nothing_unnoticed.clear()
    site.fault = None
    assert (await site.reload()).replaced
    await site.recorder.stop()


@ensureDeferred
async def test_one_comes_after_the_other_and_each_sees_the_one_before(site):
    await site.recorder.start()
    await site.reloading.start()
    site.policy("one")
    first, second = site.reload(), site.reload()
    first, second = await first, await second
    assert first.before != first.policy == second.before == second.policy
    assert site.log == ["reload", "adopted", "settled", "reload", "reload", "adopted", "settled"]
    await site.recorder.stop()


@ensureDeferred
async def test_keys_that_are_published_are_kept_and_those_of_another_issuer_are_not(site):
    """So that an issuer that is down keeps nobody from reloading."""
    await site.recorder.start()
    await site.reloading.start()
    (issuer,) = site.settings["identity"]["issuers"]
    jwks = issuer.pop("jwks")
    site.write()
    for _ in range(2):
        assert (await site.reload()).replaced
    issuer["trust"] = str(next(site.folder.glob("**/ca.pem")))
    site.write()
    assert (await site.reload()).replaced
    issuer["jwks"] = jwks
    site.write()
    assert (await site.reload()).replaced
    first, second, third, fourth = site.adopted
    assert list(first.keys.values()) == list(second.keys.values())
    assert list(third.keys.values()) != list(second.keys.values())
    assert not fourth.keys
    await site.recorder.stop()


@ensureDeferred
async def test_metadata_is_kept_unless_another_certificate_is_pinned(site):
    await site.recorder.start()
    await site.reloading.start()
    pinned = [site.folder / f"{name}.pem" for name in ("first", "second")]
    for file in pinned:
        file.write_text(IdpKey.elliptic().certificate)
    provider = {
        "name": "people",
        "type": "saml",
        "issuer": "urn:idp",
        "metadata": "https://127.0.0.1:1/metadata",
        "certificates": [str(pinned[0])],
        "audience": "urn:jitgate",
        "recipient": "https://jitgate.internal/token",
    }
    site.settings["identity"]["issuers"].append(provider)
    for _ in range(2):
        site.write()
        assert (await site.reload()).replaced
    provider["certificates"] = [str(pinned[1])]
    site.write()
    assert (await site.reload()).replaced
    first, second, third = site.adopted
    assert len(first.keys) == 1
    assert list(first.keys.values()) == list(second.keys.values())
    assert list(third.keys.values()) != list(second.keys.values())
    await site.recorder.stop()


def test_what_was_read_is_what_is_used(tmp_path, site):
    """A file that changes after it was read is another one's matter."""
    configuration, problems = read_all(site.file)
    site.policy("changed")
    site.file.write_text("no: yaml: at: all")
    assert [rule.name for rule in made(configuration, site.reactor, problems).configuration.rules]
    names = [rule.name for rule in made(configuration, site.reactor).decided["policy"].rules]
    assert "changed" not in names


@ensureDeferred
async def test_the_signal_is_taken_for_as_long_as_the_service_runs(site):
    asked, begun = [], Deferred()

    async def reload(by):
        asked.append(by)
        return Reloaded("", "", "")

    before = signal.getsignal(signal.SIGHUP)
    part = OnHangup(reload, begun, site.reactor)
    await part.start()
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        await deferLater(site.reactor, 0.05)
        assert asked == []  # the others start
        begun.callback(None)
        assert asked == [{"signal": "SIGHUP"}]
        os.kill(os.getpid(), signal.SIGHUP)
        await deferLater(site.reactor, 0.05)
        assert asked == [{"signal": "SIGHUP"}] * 2
    finally:
        await part.stop()
    assert signal.getsignal(signal.SIGHUP) is before
