"""Slack's user groups as groups of approvers: who is in one is told whole, or not at all."""

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from support.access import now
from twisted.internet import reactor
from twisted.internet.task import Clock

from jitgate.approvers.slack.calls import Calls
from jitgate.approvers.slack.groups import SlackGroups
from jitgate.approvers.slack.user_groups import UserGroups
from jitgate.approvers.slack.who import MEMBER, Who
from jitgate.errors import PeopleUnknown
from jitgate.testing.groups import GroupsContract


def source(slack, calls, clock=reactor, people=None):
    """User groups, of which Slack is asked."""
    made = SlackGroups()
    made.asked = UserGroups(calls, Who(calls, slack.facts.team_id, people or {}, clock))
    return made


@async_yield_fixture
async def calls(slack):
    made = Calls(slack.bot_token, reactor=reactor, base_url=slack.url)
    await made.start()
    yield made
    await made.stop()


class TestSlackGroups(GroupsContract):
    @pytest.fixture(autouse=True)
    def _workspace(self, slack, calls):
        self.slack, self.calls = slack, calls
        self.id = slack.group("it-leads", slack["alice"], slack["bob"])

    def make(self):
        made = source(self.slack, self.calls)
        made.version = "1"  # as all that a plugin provides has one
        return made

    def cannot_tell(self):
        made = SlackGroups()
        made.version = "1"
        return made

    def group(self):
        return self.id

    def no_group(self):
        return "S0NOBODY00"

    def misnamed(self):
        return "@it-leads"


@ensureDeferred
async def test_its_members_are_those_who_could_answer(slack, calls):
    names = ("alice", "bob", "guest", "robot", "gone", "stranger", "nomail", "unproven")
    group = slack.group("it-leads", *(slack[name] for name in names))
    slack.change(slack["alice"], email="Alice@ACME.example")
    made = source(slack, calls, people={slack["bob"].id: "bob@elsewhere.example"})
    assert await made.members(group) == ["alice@acme.example", "bob@elsewhere.example"]


@ensureDeferred
async def test_who_left_the_group_is_out_of_it_at_once(slack, calls):
    group = slack.group("it-leads", slack["alice"], slack["bob"])
    made = source(slack, calls)
    assert len(await made.members(group)) == 2
    slack.group("it-leads", slack["alice"])
    assert await made.members(group) == ["alice@acme.example"]
    slack.group("it-leads", slack["alice"], enabled=False)
    with pytest.raises(PeopleUnknown):
        await made.members(group)


@ensureDeferred
async def test_who_they_are_is_asked_now_and_again(slack, calls):
    clock = Clock()
    group = slack.group("it-leads", slack["alice"])
    made = source(slack, calls, clock)
    for _ in range(2):
        await made.members(group)
    assert len(slack.calls("users.info")) == 1
    clock.advance(MEMBER)
    await made.members(group)
    assert len(slack.calls("users.info")) == 2


@pytest.mark.parametrize("method", ["usergroups.users.list", "users.info", "users.lookupByEmail"])
@ensureDeferred
async def test_where_slack_does_not_tell_of_one_it_tells_of_none(slack, calls, method):
    group = slack.group("it-leads", slack["alice"], slack["bob"], slack["carol"])
    slack.fail(method)
    with pytest.raises(PeopleUnknown):
        await source(slack, calls).members(group)


def test_before_slack_is_called_nobody_is_in_any():
    with pytest.raises(PeopleUnknown):
        now(SlackGroups().members("S0ANYBODY"))
