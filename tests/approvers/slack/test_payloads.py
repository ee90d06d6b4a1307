"""What Slack sends is read strictly: whatever else comes is nothing, and raises nothing."""

from hypothesis import given
from hypothesis import strategies as st

from jitgate.approvers.slack import payloads
from jitgate.approvers.slack.about import APPROVE, About
from jitgate.approvers.slack.payloads import Bound, Click, Place, Sender, Sign, Submission

ABOUT = About("ar-1", "0123456789abcdef")
PLACE = Place("C000000001", "1700000000.000100")
BOUND = Bound(ABOUT, PLACE)
USER = {"id": "U000000001", "team_id": "T000000001"}
ON_MESSAGE = {
    "api_app_id": "A000000001",
    "team": {"id": "T000000001"},
    "user": USER,
    "trigger_id": "1.2.3",
    "container": {"type": "message", "channel_id": PLACE.channel, "message_ts": PLACE.ts},
    "actions": [{"action_id": APPROVE, "value": ABOUT.text}],
}
IN_VIEW = {
    **ON_MESSAGE,
    "container": {"type": "view", "view_id": "V1"},
    "view": {"id": "V1", "private_metadata": BOUND.text, "callback_id": APPROVE},
}
FORM = {**IN_VIEW, "view": {**IN_VIEW["view"], "state": {"values": {}}}}
REACTION = {
    "api_app_id": "A000000001",
    "team_id": "T000000001",
    "authorizations": [{"user_id": "U0THEBOT00", "is_bot": True}],
    "event": {
        "type": "reaction_added",
        "user": USER["id"],
        "reaction": "x",
        "item": {"type": "message", "channel": PLACE.channel, "ts": PLACE.ts},
        "event_ts": "1700000001.5",
    },
}
EVERY = [ON_MESSAGE, IN_VIEW, FORM, REACTION]
READERS = [payloads.sender, payloads.click, payloads.submission, payloads.sign]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_what_slack_sends_is_read_as_what_it_is():
    user = USER["id"]
    assert payloads.sender(ON_MESSAGE) == Sender("A000000001", "T000000001", user, "T000000001")
    assert payloads.click(ON_MESSAGE) == Click(user, APPROVE, ABOUT, PLACE, "1.2.3")
    assert payloads.click(IN_VIEW) == Click(user, APPROVE, ABOUT, PLACE, "1.2.3", "V1")
    assert payloads.submission(FORM) == Submission(user, APPROVE, ABOUT, PLACE, {})
    assert payloads.sign(REACTION) == Sign(user, False, True, PLACE, 1700000001.5)
    assert payloads.sender(REACTION) == Sender("A000000001", "T000000001", user)


def test_a_button_in_a_view_is_about_what_the_view_is_about():
    other = {"action_id": APPROVE, "value": About("ar-2", ABOUT.version).text}
    assert payloads.click({**IN_VIEW, "actions": [other]}) is None


def replaced(data, payload, value):
    """The payload with something else in one place of it."""
    if not isinstance(payload, dict | list) or not payload or data.draw(st.booleans()):
        return value
    keys = list(payload) if isinstance(payload, dict) else list(range(len(payload)))
    key = data.draw(st.sampled_from(keys))
    copy = payload.copy()
    copy[key] = replaced(data, payload[key], value)
    return copy


@given(data=st.data(), payload=st.sampled_from(EVERY), value=JSON)
def test_whatever_stands_in_a_place_of_it_raises_nothing(data, payload, value):
    changed = replaced(data, payload, value)
    if isinstance(changed, dict):
        for read in READERS:
            read(changed)


@given(text=st.text(max_size=40) | JSON.map(repr) | st.just("[" * 100_000))
def test_no_metadata_of_others_is_taken_for_ours(text):
    assert Bound.read(text) is None


@given(value=JSON)
def test_metadata_is_text(value):
    if not isinstance(value, str):
        assert Bound.read(value) is None


def test_metadata_comes_back_as_it_went():
    assert Bound.read(BOUND.text) == BOUND
