"""Checkpoints go to a channel in Slack, whole, with the key; what is not posted is not kept."""

import pytest
from pytest_twisted import ensureDeferred
from zope.interface.verify import verifyObject

from jitgate.errors import CheckpointNotKept, SlackBusy, SlackDown, SlackRefused
from jitgate.interfaces import IKeeper
from jitgate.keepers.slack import NOTE_CHARS, SlackKeeper

NOTE = "jitgate/x\n4\nAAAA\nwrite-once: not kept: <no> & :sealer:\n\n— jitgate/x BBBB\n"


class Channel:
    def __init__(self):
        self.asked, self.fault, self.stopped = [], None, False

    async def call(self, method, **arguments):
        self.asked.append((method, arguments))
        if self.fault is not None:
            raise self.fault
        return {"ok": True}

    async def close(self):
        self.stopped = True


@pytest.fixture
def channel():
    return Channel()


@pytest.fixture
def keeper(channel):
    made = SlackKeeper(
        "people",
        "C1",
        every=60.0,
        call=channel.call,
        public_key=lambda: "jitgate/x+id+key",
        close=channel.close,
    )
    verifyObject(IKeeper, made)
    return made


@ensureDeferred
async def test_the_note_and_the_key_stand_there_whole(keeper, channel):
    await keeper.keep(NOTE.encode())
    ((method, said),) = channel.asked
    assert (method, said["channel"]) == ("chat.postMessage", "C1")
    (block,) = said["blocks"]
    boxes = [each for each in block["elements"] if each["type"] == "rich_text_preformatted"]
    assert [each["elements"] for each in boxes] == [
        [{"type": "text", "text": NOTE}],
        [{"type": "text", "text": "jitgate/x+id+key"}],
    ]
    await keeper.stop()
    assert channel.stopped


@pytest.mark.parametrize(
    "fault",
    [SlackDown("away"), SlackBusy("chat.postMessage", 30), SlackRefused("x", "not_in_channel")],
)
@ensureDeferred
async def test_what_slack_does_not_say_it_has_is_not_kept(keeper, channel, fault):
    channel.fault = fault
    with pytest.raises(CheckpointNotKept, match="The keeper people: Slack|The keeper people: away"):
        await keeper.keep(NOTE.encode())


@ensureDeferred
async def test_one_that_does_not_fit_is_not_cut(keeper, channel):
    with pytest.raises(CheckpointNotKept, match="takes no checkpoint"):
        await keeper.keep(NOTE.encode() + b"x" * NOTE_CHARS)
    assert channel.asked == []
