"""What breaks a promise of its port is found by the suite of that port."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import defer, reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from zope.interface import implementer

from jitgate.errors import CredentialUnavailable, JitgateError
from jitgate.interfaces import (
    IApproverChannel,
    ICredentialSource,
    IGroups,
    IIdentityVerifier,
    ILendingSource,
    IListenerSource,
    IPeople,
    IProtocolListener,
)
from jitgate.maskers.names import NameMasker
from jitgate.rules.match import Criteria, MatchRule
from jitgate.stores.memory import MemoryRecords
from jitgate.testing.approvers import ChannelContract
from jitgate.testing.contract import QUICK
from jitgate.testing.credentials import CredentialContract
from jitgate.testing.groups import GroupsContract
from jitgate.testing.identity import IdentityContract
from jitgate.testing.lending import LendingContract
from jitgate.testing.listeners import ListenerContract
from jitgate.testing.maskers import MaskerContract
from jitgate.testing.people import PeopleContract
from jitgate.testing.records import RecordStoreContract
from jitgate.testing.rules import RuleContract
from jitgate.values import Credential, Denial, Effect, Obligation, Refusal, Subject, Verdict


def rule(effect):
    return MatchRule("mine", Criteria(), Verdict(effect, "A test"))


class Named:
    """What all of these are called."""

    name, version = "broken", "1"


class Broken(MatchRule):
    """A rule that does what a test tells it to."""

    def __init__(self, judge):
        super().__init__("mine", Criteria(), Verdict(Effect.PERMIT, "A test"))
        self.judge = judge


def raises(inquiry):
    raise KeyError("x")


def changes(inquiry, seen=[]):  # noqa: B006 - that is what is wrong with it
    seen.append(inquiry)
    return Verdict(Effect.DENY, f"{len(seen)}")


def spins(inquiry):
    end = time.thread_time() + 2 * QUICK
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize(
    ("judge", "found_by"),
    [
        (raises, "test_it_answers_every_question_with_an_answer"),
        (lambda inquiry: "deny", "test_it_answers_every_question_with_an_answer"),
        (lambda inquiry: Verdict(Effect.PERMIT, []), "test_it_answers_every_question_with_an_answer"),
        (
            lambda inquiry: Verdict(Effect.PERMIT, "x", (Obligation("dance", 1),)),
            "test_it_answers_every_question_with_an_answer",
        ),
        (changes, "test_the_same_question_has_the_same_answer"),
        (spins, "test_it_answers_quickly"),
    ],
)  # fmt: skip
def test_a_rule_that_breaks_a_promise_is_found(judge, found_by):
    class Suite(RuleContract):
        def make(self):
            return Broken(judge)

    with pytest.raises(BaseException) as raised:
        getattr(Suite(), found_by)()
    assert not isinstance(raised.value, KeyboardInterrupt)


def test_a_version_that_says_nothing_of_the_options_is_found():
    class Suite(RuleContract):
        def make(self):
            return rule(Effect.PERMIT)

        def others(self):
            return [rule(Effect.PERMIT)]

    with pytest.raises(AssertionError):
        Suite().test_its_version_tells_its_options_apart()


class Leaky(NameMasker):
    looks_at_values = True

    def mask(self, field, value):
        return value.encode() if value else None


def test_a_masker_that_breaks_a_promise_is_found():
    class Suite(MaskerContract):
        def make(self):
            return Leaky("mine", ["a"])

    with pytest.raises(BaseException):  # noqa: B017 - whatever it is
        Suite().test_it_answers_of_every_field_and_value()


@implementer(ICredentialSource)
class Issues(Named):
    """Issues what a test tells it to."""

    def __init__(self, issued):
        self.issued = issued

    async def issue(self, operation):
        return self.issued


KEPT = (b"Authorization", b"Bearer a-secret")


@pytest.mark.parametrize(
    ("issued", "found_by"),
    [
        (None, "test_it_issues_a_credential_and_again"),
        (Credential((KEPT,), ()), "test_its_secrets_are_those_that_its_headers_hold"),
        (Credential((KEPT,), (b"another",)), "test_its_secrets_are_those_that_its_headers_hold"),
        (Credential((KEPT,), (b"a-secret", b"another")), "test_its_secrets_are_those_that_its_headers_hold"),
        (Credential((KEPT,), (b"a-secret", b"")), "test_its_secrets_are_those_that_its_headers_hold"),
        (Credential((KEPT,), (b"a-secret",), {"key": "a-secret"}), "test_what_is_told_of_it_holds_no_secret"),
        (Credential(((b"Host", b"a-secret"),), (b"a-secret",)), "test_it_writes_no_field_of_the_call"),
        (Credential((KEPT,), (b"a-secret",)), "test_where_it_has_none_it_says_so"),
    ],
)  # fmt: skip
@ensureDeferred
async def test_a_credential_source_that_breaks_a_promise_is_found(issued, found_by):
    class Suite(CredentialContract):
        def make(self):
            return Issues(issued)

        def refused(self):
            return self.operations()

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await getattr(Suite(), found_by)()


@implementer(ILendingSource)
class Lends(Named):
    """Lends a secret of its own to each, but for what a test lets it do wrong."""

    def __init__(self, **wrong):
        self.wrong = wrong
        self.lent = 0

    async def lend(self, operation, *, reuse, granted=False):
        self.lent += 1
        if self.lent > self.wrong.get("at_most", 100):
            raise CredentialUnavailable("No more.")
        secret = b"a-secret-%d" % self.wrong.get("number", self.lent)
        name, facts = self.wrong.get("name", b"X-Key"), {"key": self.wrong.get("fact", "")}
        return Credential(((name, secret),), (secret,), facts)

    def again(self, credential):
        return replace(credential, **self.wrong.get("again", {}))

    def heard(self, credential, answer):
        if "raises" in self.wrong:
            raise ValueError
        return self.wrong.get("says")

    def returned(self, credential):
        pass


@pytest.mark.parametrize(
    ("wrong", "found_by"),
    [
        ({"name": b"Host"}, "test_what_is_lent_hides_well_and_writes_no_field_of_the_call"),
        ({"fact": "a-secret-1"}, "test_what_is_lent_hides_well_and_writes_no_field_of_the_call"),
        ({"number": 7}, "test_without_reuse_no_two_calls_share_a_secret"),
        ({"at_most": 1}, "test_what_asks_at_once_to_share_is_served"),
        ({"again": {"headers": ()}}, "test_once_more_it_has_the_same_fields"),
        ({"again": {"secrets": ()}}, "test_once_more_it_has_the_same_fields"),
        ({"says": ""}, "test_it_hears_of_every_answer"),
        ({"raises": True}, "test_it_hears_of_every_answer"),
        ({}, "test_where_it_has_none_it_says_so"),
    ],
)
@ensureDeferred
async def test_a_lending_source_that_breaks_a_promise_is_found(wrong, found_by):
    class Suite(LendingContract):
        def make(self):
            return Lends(**wrong)

        def refused(self):
            return self.operations()

    with pytest.raises((AssertionError, ValueError, JitgateError, pytest.fail.Exception)):
        await getattr(Suite(), found_by)()


SOMEBODY = Subject("https://idp.example", "bot-7", frozenset(), 2e9)
NOBODY = Refusal(Denial.TOKEN_REFUSED, "It proves nobody.")


@implementer(IIdentityVerifier)
class Verifies(Named):
    """Says of a token what a test tells it to."""

    def __init__(self, says):
        self.says = says
        self.proved = set()

    async def verify(self, token, *, again=False):
        return self.says(self, token, again)


def only_once(verifier, token, again):
    if token != "good" or token in verifier.proved:
        return NOBODY
    verifier.proved.add(token)
    return SOMEBODY


@pytest.mark.parametrize(
    ("says", "found_by"),
    [
        (lambda _, token, again: None, "test_a_good_token_proves_a_subject"),
        (lambda _, token, again: replace(SOMEBODY, id=""), "test_a_good_token_proves_a_subject"),
        (only_once, "test_it_is_proved_again_for_the_tunnel_that_has_proved_it"),
        (lambda _, token, again: SOMEBODY, "test_a_bad_token_is_refused_and_not_repeated"),
        (lambda _, token, again: SOMEBODY if again else NOBODY, "test_a_bad_token_is_refused_and_not_repeated"),
        (lambda _, token, again: token[0] and NOBODY, "test_a_bad_token_is_refused_and_not_repeated"),
        (lambda _, token, again: SOMEBODY if len(token) > 9999 else NOBODY, "test_a_bad_token_is_refused_and_not_repeated"),
        (lambda _, token, again: replace(NOBODY, detail=f"{token} is bad"), "test_a_bad_token_is_refused_and_not_repeated"),
    ],
)  # fmt: skip
@ensureDeferred
async def test_a_verifier_that_breaks_a_promise_is_found(says, found_by):
    class Suite(IdentityContract):
        def make(self):
            return Verifies(says)

        def good(self):
            return "good"

    with pytest.raises((AssertionError, IndexError)):
        await getattr(Suite(), found_by)()


@implementer(IApproverChannel)
class Tells(Named):
    """Tells as a test says."""

    def __init__(self, how):
        self.how = how
        self.told = []

    async def tell(self, request):
        self.how(self, request)


def once_each(channel, request):
    assert request.id not in channel.told
    channel.told.append(request.id)


def shows_a_body(channel, request):
    len(request.ask.shown.body)


def in_a_thread(channel, request):
    threading.Thread(target=time.sleep, args=(1,), daemon=True).start()


def nowhere(channel, request):
    raise ConnectionRefusedError("no pager there")


@pytest.mark.parametrize(
    ("how", "found_by"),
    [
        (once_each, "test_each_state_is_told_and_may_be_told_again"),
        (shows_a_body, "test_each_state_is_told_and_may_be_told_again"),
        (nowhere, "test_who_cannot_be_reached_is_said_as_the_port_says_it"),
        (lambda channel, request: None, "test_who_cannot_be_reached_is_said_as_the_port_says_it"),
        (lambda channel, request: time.sleep(0.01), "test_it_holds_no_thread"),
        (in_a_thread, "test_it_holds_no_thread"),
    ],
)
@ensureDeferred
async def test_a_channel_that_breaks_a_promise_is_found(how, found_by):
    class Suite(ChannelContract):
        def make(self):
            return Tells(how)

        unreachable = make

    with pytest.raises((AssertionError, TypeError, ConnectionError, pytest.fail.Exception)):
        await getattr(Suite(), found_by)()


class Careless(MemoryRecords, Named):
    """Takes entries whatever happened."""

    def append(self, entries):
        self.entries.extend(entries)
        self._fail_if_told()


class Backwards(MemoryRecords, Named):
    """Has the latest first."""

    def append(self, entries):
        self.entries[:0] = entries


class Hopeful(MemoryRecords, Named):
    """Says that it has recovered."""

    def recover(self):
        self._failed = False


class Forgetful(MemoryRecords, Named):
    """Begins anew where it is opened."""

    def open(self):
        self.entries.clear()
        self._open = True


class Stuck(MemoryRecords, Named):
    """Recovers from nothing."""

    def recover(self):
        self._fail_if_told()


@pytest.mark.parametrize(
    ("kind", "found_by"),
    [
        (Careless, "test_it_keeps_nothing_before_it_is_open"),
        (Careless, "test_it_keeps_nothing_after_it_is_closed"),
        (Careless, "test_of_a_batch_that_fails_nothing_counts"),
        (Careless, "test_after_a_failure_it_takes_nothing_until_it_has_recovered"),
        (Backwards, "test_it_keeps_entries_in_order_over_a_restart"),
        (Forgetful, "test_it_keeps_entries_in_order_over_a_restart"),
        (Forgetful, "test_a_disk_that_is_full_at_the_start_is_told"),
        (Hopeful, "test_it_does_not_recover_while_it_could_not_write"),
        (Stuck, "test_after_a_failure_it_takes_nothing_until_it_has_recovered"),
    ],
)
def test_a_record_store_that_breaks_a_promise_is_found(kind, found_by):
    store = kind()

    class Suite(RecordStoreContract):
        def make(self):
            return store

        def kept(self, store):
            return [each.fields["n"] for each in store.entries]

        def breaks(self, store):
            store.failure = OSError(28, "No space left on device")

        def mends(self, store):
            store.failure = None

    with pytest.raises((AssertionError, OSError, pytest.fail.Exception)):
        getattr(Suite(), found_by)()


@implementer(IProtocolListener)
class Listens:
    """Listens at one port, and leaves open what it is told to leave open."""

    def __init__(self, port, leaves):
        self.endpoint = TCP4ServerEndpoint(reactor, port, interface="127.0.0.1")
        self.leaves = leaves
        self.agents = []

    async def start(self):
        self.port = await self.endpoint.listen(Factory.forProtocol(self.agent))

    def agent(self):
        self.agents.append(Protocol())
        return self.agents[-1]

    async def stop(self):
        if self.leaves != "port":
            await self.port.stopListening()
        if self.leaves != "agents":
            self.hang_up()

    def hang_up(self):
        for each in self.agents:
            each.transport.abortConnection()


@implementer(IListenerSource)
class Source(Named):
    """Makes those, and knows which it has made."""

    def __init__(self, port, leaves):
        self.port, self.leaves = port, leaves
        self.made = []

    def listener(self, gateway):
        self.made.append(Listens(self.port, self.leaves))
        return self.made[-1]


@pytest.mark.parametrize(
    ("leaves", "fixed", "found_by"),
    [
        ("agents", False, "test_it_accepts_once_it_is_started_and_ends_what_is_open"),
        ("port", False, "test_it_accepts_once_it_is_started_and_ends_what_is_open"),
        ("port", True, "test_its_port_is_free_again"),
        ("nothing", True, "test_a_port_that_is_taken_is_said_as_the_port_says_it"),
    ],
)
@ensureDeferred
async def test_a_listener_that_breaks_a_promise_is_found(leaves, fixed, found_by):
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1] if fixed else 0
    source = Source(free, leaves)

    class Suite(ListenerContract):
        def make(self):
            return source

        seconds = 0.5

        def port(self, listener):
            return listener.port.getHost().port

    with pytest.raises((AssertionError, defer.TimeoutError, CannotListenError)):
        await getattr(Suite(), found_by)()
    for each in source.made:
        if hasattr(each, "port"):
            await defer.maybeDeferred(each.port.stopListening)
        each.hang_up()
    await deferLater(reactor, 0.05)


# --- sources of people


@implementer(IPeople)
class Knows:
    name = "mine"

    def __init__(self, answer, deadline=1.0):
        self.answer, self.deadline = answer, deadline

    async def is_active(self, person):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("made", "found_by"),
    [
        (Knows(True), "test_who_is_deactivated_is_told_each_time"),
        (Knows(0), "test_who_is_deactivated_is_told_each_time"),
        (Knows(KeyError("eve")), "test_where_it_cannot_be_told_that_is_said_as_the_port_says_it"),
        (Knows(True), "test_where_it_cannot_be_told_that_is_said_as_the_port_says_it"),
        (Knows(True, deadline=60), "test_its_deadline_is_seconds"),
    ],
)
@ensureDeferred
async def test_a_source_of_people_that_breaks_a_promise_is_found(made, found_by):
    class Suite(PeopleContract):
        def make(self):
            return made

        cannot_tell = make

        def inactive(self):
            return "eve@acme.com"

    with pytest.raises((AssertionError, KeyError, pytest.fail.Exception)):
        await defer.maybeDeferred(getattr(Suite(), found_by))


# --- sources of groups


@implementer(IGroups)
class Lists:
    name = "mine"

    def __init__(self, answer, deadline=1.0, said=None):
        self.answer, self.deadline, self.said = answer, deadline, said

    def misnamed(self, group):
        return self.said

    async def members(self, group):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer() if callable(self.answer) else self.answer


ALICE = "alice@acme.com"
TOLD = "test_everybody_in_a_group_is_told_each_time"


@pytest.mark.parametrize(
    ("made", "found_by"),
    [
        (Lists([]), TOLD),
        (Lists(ALICE), TOLD),
        (Lists({ALICE: 1}), TOLD),
        (Lists(lambda: iter([ALICE])), TOLD),
        (Lists(["Alice@acme.com"]), TOLD),
        (Lists(["U0123"]), TOLD),
        (Lists([f"{number}@acme.com" for number in range(20_000)]), TOLD),
        (Lists([ALICE]), "test_a_group_that_there_is_not_is_not_one_without_members"),
        (Lists([]), "test_a_group_that_there_is_not_is_not_one_without_members"),
        (Lists([ALICE]), "test_where_it_cannot_be_told_that_is_said_as_the_port_says_it"),
        (Lists(KeyError()), "test_where_it_cannot_be_told_that_is_said_as_the_port_says_it"),
        (Lists([ALICE], deadline=60), "test_its_deadline_is_seconds"),
        (Lists([ALICE]), "test_what_no_group_is_called_is_found_without_asking"),
        (Lists([ALICE], said="No."), "test_what_no_group_is_called_is_found_without_asking"),
    ],
)
@ensureDeferred
async def test_a_source_of_groups_that_breaks_a_promise_is_found(made, found_by):
    class Suite(GroupsContract):
        def make(self):
            return made

        cannot_tell = make

        def group(self):
            return "S1"

        def no_group(self):
            return "S2"

        def misnamed(self):
            return "S-3"

    with pytest.raises((AssertionError, KeyError, pytest.fail.Exception)):
        await defer.maybeDeferred(getattr(Suite(), found_by))
