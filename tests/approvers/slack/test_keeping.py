"""Checkpoints in Slack, as the configuration says: posted by the SDK, and good to verify by."""

import orjson
import pytest
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.gateway import settings, target
from support.tokens import Tokens
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from vectors.evidence import make as vector

from jitgate.app.in_force import Lasting, made
from jitgate.config import read_all
from jitgate.core.note import VerifierKey
from jitgate.errors import CheckpointNotKept, ConfigurationInvalid
from jitgate.stores.verifying import verify

KEY = vector.VERIFIERS[2].text


class Site:
    def __init__(self, folder, slack):
        (folder / "bot").write_text(f"{slack.bot_token}\n")
        (folder / "bot").chmod(0o600)
        self.file = folder / "jitgate.yaml"
        self.settings = settings(
            folder, Tokens(folder).jwks, [target(1, TestCA.create(folder, name="origin").pem)]
        )
        self.slack = {
            "app": "A0JITGATE0",
            "team": "T000000001",
            "channel": "C000000001",
            "bot_token": "file:./bot",
            "api": slack.secure_url,
            "trust": str(slack.ca),
        }
        self.keeper = {"type": "slack", "name": "people"}

    def keepers(self):
        recordings = str(self.file.parent / "recordings")
        recording = {"directory": recordings, "keepers": [self.keeper]}
        told = self.settings | {"slack": self.slack, "recording": recording}
        self.file.write_bytes(orjson.dumps({key: each for key, each in told.items() if each}))
        configuration, problems = read_all(self.file)
        if configuration is None:
            raise ConfigurationInvalid(problems)
        return made(configuration, reactor, problems, Lasting(signs=lambda: KEY)).keepers


@pytest.fixture
def site(tmp_path, slack):
    return Site(tmp_path, slack)


@ensureDeferred
async def test_what_stands_in_the_channel_verifies_a_copy(site, slack):
    site.keeper["channel"] = room = await deferToThread(slack.channel)
    (keeper,) = site.keepers()
    assert keeper.every == 3600.0
    note = (vector.Path(vector.__file__).parent / "newest.note").read_bytes()
    await keeper.keep(note)
    (message,) = await deferToThread(slack.messages, room)
    (block,) = message["blocks"]
    posted, key = [
        each["elements"][0]["text"]
        for each in block["elements"]
        if each["type"] == "rich_text_preformatted"
    ]
    recordings = vector.Path(vector.__file__).parent / "recordings"
    *_, report = verify(recordings, VerifierKey.parse(key), posted.encode())
    assert (report.tampered, report.uncertain, report.all_witnessed) == (0, 0, True)
    await deferToThread(slack.fail, "chat.postMessage")
    with pytest.raises(CheckpointNotKept, match="people"):
        await keeper.keep(note)
    await keeper.stop()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"every": "10s"}, "every"),
        ({"channel": "general"}, "channel"),
        ({"name": None}, "name"),
    ],
)
def test_what_cannot_be_used_is_said_at_the_start(site, change, why):
    site.keeper |= {"channel": "C000000001", **change}
    site.keeper = {name: value for name, value in site.keeper.items() if value is not None}
    with pytest.raises(ConfigurationInvalid, match=why):
        site.keepers()


@pytest.mark.parametrize("lacks", ["slack", "bot_token"])
def test_without_an_app_to_post_with_it_is_a_problem(site, lacks):
    site.keeper["channel"] = "C000000001"
    if lacks == "slack":
        site.slack = None
    else:
        del site.slack["bot_token"]
    with pytest.raises(ConfigurationInvalid, match=r"people.*slack\.bot_token"):
        site.keepers()
