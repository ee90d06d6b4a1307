"""What plugins provide is held to its port: an answer of the right kind, in time, or a fault."""

from __future__ import annotations

import pytest
from support.access import access_request
from support.ports import agent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jitgate.core.binding import ISSUER
from jitgate.core.catalog import PathCatalog
from jitgate.core.literals import Literals
from jitgate.errors import (
    ApproversUnreachable,
    CatalogFault,
    CredentialUnavailable,
    IdentityUnavailable,
    StoreDown,
)
from jitgate.identity.unverified import UnverifiedToken
from jitgate.interfaces import (
    IApproverChannel,
    ICatalog,
    ICredentialSource,
    ILendingSource,
    IProtocolListener,
)
from jitgate.provided import (
    PATIENCE,
    ProvidedCatalog,
    ProvidedChannel,
    ProvidedCredentials,
    ProvidedLending,
    ProvidedListener,
    ProvidedVerifier,
)
from jitgate.values import Binding, Credential, Operation, Parameter, Refusal, ResponseHead

OPERATION = Operation("things", "getThing", {}, "GET", "a.example:443", "/")
READ = UnverifiedToken("a.b.c", {}, {}, b"")


class Answering:
    """Whatever is asked of it, it does what it was told."""

    def __init__(self, does):
        self.does = does

    async def issue(self, operation):
        return await self._done()

    async def tell(self, request):
        return await self._done()

    async def verify(self, token, *, again=False):
        return await self._done()

    async def start(self):
        return await self._done()

    async def stop(self):
        return await self._done()

    async def _done(self):
        if isinstance(self.does, BaseException):
            raise self.does
        if isinstance(self.does, Deferred):
            return await self.does
        return self.does


def asked(kind, does, clock=None):
    """What comes of asking one of a kind whose plugin does that."""
    clock, plugin = clock or Clock(), Answering(does)
    made = {
        "source": lambda: ProvidedCredentials("mine", plugin, frozenset({b"prefer"}), clock).issue(OPERATION),
        "channel": lambda: ProvidedChannel("mine", plugin, clock).tell(access_request()),
        "verifier": lambda: ProvidedVerifier("https://idp.example", "mine", plugin, clock).verify_read(READ),
    }  # fmt: skip
    return Deferred.fromCoroutine(made[kind]())


def came(deferred):
    """What it has come to by now."""
    outcome = []
    deferred.addBoth(outcome.append)
    assert outcome, "it waits"
    return getattr(outcome[0], "value", outcome[0])


FAULTS = [
    ("source", CredentialUnavailable),
    ("channel", ApproversUnreachable),
    ("verifier", IdentityUnavailable),
]


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
def test_who_raises_is_a_fault_that_names_it_and_not_what_it_said(kind, fault):
    raised = came(asked(kind, KeyError("a secret")))
    assert type(raised) is fault
    assert "mine raised KeyError" in f"{raised}"
    assert "secret" not in f"{raised}"


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
def test_who_does_not_answer_is_waited_for_no_longer_than_an_agent_waits(kind, fault):
    clock, never = Clock(), Deferred()
    waiting = asked(kind, never, clock)
    outcome = []
    waiting.addBoth(outcome.append)
    clock.advance(PATIENCE - 0.1)
    assert not outcome
    clock.advance(0.2)
    assert type(outcome[0].value) is fault
    assert "mine did not answer within 10 s" in f"{outcome[0].value}"


@pytest.mark.parametrize("kind", [kind for kind, _ in FAULTS])
def test_a_fault_of_ours_passes_as_it_is(kind):
    assert type(came(asked(kind, StoreDown("down")))) is StoreDown


@pytest.mark.parametrize("kind", ["source", "verifier"])
@pytest.mark.parametrize("answer", [None, 7, True, "yes"])
def test_what_is_no_answer_is_a_fault(kind, answer):
    assert "which is no answer" in f"{came(asked(kind, answer))}"


# --- identity


def test_a_verifier_proves_whom_its_issuer_made():
    assert came(asked("verifier", agent())) == agent()


@pytest.mark.parametrize(
    "subject",
    [
        agent(issuer="https://other.example"),
        agent(issuer=ISSUER),
        agent(binding=Binding("t-1")),
    ],
)
def test_a_verifier_proves_nobody_else(subject):
    assert isinstance(came(asked("verifier", subject)), Refusal)


# --- credentials


def test_what_a_source_issues_is_issued_with_what_must_be_hidden():
    issued = came(asked("source", Credential(((b"X-Key", b"k"),), (b"k",))))
    assert (issued.headers, tuple(issued.secrets)) == (((b"X-Key", b"k"),), (b"k",))


@pytest.mark.parametrize("name", [b"Prefer", b"prefer"])
def test_no_credential_writes_what_is_part_of_the_call(name):
    issued = came(asked("source", Credential(((name, b"k"),), (b"k",))))
    assert isinstance(issued, CredentialUnavailable)


def test_a_credential_without_a_secret_is_none():
    issued = came(asked("source", Credential(((b"X-Key", b"k"),), ())))
    assert isinstance(issued, CredentialUnavailable)


# --- catalogs


class Catalog(PathCatalog):
    def __init__(self, **changes):
        super().__init__("another-target")
        self.changes = changes

    def operation(self, authority, method, path, query):
        if "answer" in self.changes:
            return self.changes["answer"]
        fields = {"authority": authority, "method": method, "path": path, "query": query}
        return super().operation(**fields | self.changes)


def test_a_catalog_speaks_of_its_target_by_the_name_that_is_configured():
    catalog = ProvidedCatalog("things", "mine", Catalog())
    assert verifyObject(ICatalog, catalog)
    assert catalog.operation("a:443", "GET", "/x", "q=1").target == "things"
    assert catalog.named("a:443", "GET", {"path": "/x"}).target == "things"


@pytest.mark.parametrize(
    "change", [{"authority": "b:443"}, {"method": "POST"}, {"path": "/y"}, {"query": "q=2"}]
)
def test_a_catalog_makes_no_other_call_of_a_call(change):
    catalog = ProvidedCatalog("things", "mine", Catalog(**change))
    with pytest.raises(CatalogFault, match="mine answered another call"):
        catalog.operation("a:443", "GET", "/x", "q=1")


@pytest.mark.parametrize("answer", [7, "getThing", {}])
def test_what_is_no_operation_is_a_fault(answer):
    catalog = ProvidedCatalog("things", "mine", Catalog(answer=answer))
    with pytest.raises(CatalogFault, match="neither an operation nor None"):
        catalog.operation("a:443", "GET", "/x", "")


def test_an_unknown_call_stays_unknown():
    assert ProvidedCatalog("t", "mine", Catalog(answer=None)).operation("a", "GET", "/", "") is None


# --- lending

KEY = Credential(((b"X-Key", b"k"),), (b"k",))
SECOND = Credential(((b"X-Key", b"two"),), (b"two",))


@implementer(ILendingSource)
class Lender:
    """Does what it was told; ``out`` is what it lent and has not got back."""

    def __init__(self, lends=KEY, says=None, again=SECOND):
        self.lends, self.says, self.second = lends, says, again
        self.out = []
        self.asked = []
        self.heard_of = []

    async def lend(self, operation, *, reuse, granted=False):
        self.asked.append((operation, reuse, granted))
        lent = await Answering(self.lends)._done()
        self.out.append(lent)
        return lent

    def again(self, credential):
        assert any(each is credential for each in self.out)
        return self._said(self.second)

    def heard(self, credential, answer):
        self.heard_of.append((credential, answer))
        return self._said(self.says)

    def returned(self, credential):
        self.out.remove(credential)
        self._said(self.says)

    @staticmethod
    def _said(what):
        if isinstance(what, BaseException):
            raise what
        return what


def lending(lender, clock=None):
    return ProvidedLending("mine", lender, frozenset({b"prefer"}), clock or Clock())


def lent(lender, clock=None, reuse=0.0, granted=False):
    source = lending(lender, clock)
    asking = source.lend(OPERATION, reuse=reuse, granted=granted)
    return source, came(Deferred.fromCoroutine(asking))


def test_what_a_source_lends_it_hears_of_and_gets_back_itself():
    lender = Lender(says="The target wants another nonce.")
    source, credential = lent(lender, reuse=60.0, granted=True)
    assert lender.asked == [(OPERATION, 60.0, True)]
    assert (credential, type(credential.secrets)) == (KEY, Literals)
    answer = ResponseHead(401, ())
    assert source.heard(credential, answer) == "The target wants another nonce."
    assert source.again(credential) == lender.second
    assert type(source.again(credential).secrets) is Literals
    ((heard_of, of_answer),) = lender.heard_of
    assert heard_of is KEY
    assert of_answer is answer
    lender.says = None
    source.returned(credential)
    source.returned(credential)
    assert lender.out == [], "it got it once"
    assert source._lent == {}


def test_two_that_are_alike_are_each_given_back():
    lender = Lender()
    source = lending(lender)
    first, second = [came(Deferred.fromCoroutine(source.lend(OPERATION, reuse=0.0))) for _ in "ab"]
    source.returned(first)
    assert len(lender.out) == 1
    source.returned(second)
    assert lender.out == []


@pytest.mark.parametrize(
    ("lends", "says"),
    [
        (KeyError("a secret"), "mine raised KeyError"),
        (7, "which is no answer"),
        (None, "which is no answer"),
        (Credential(((b"Prefer", b"k"),), (b"k",)), "writes prefer"),
        (Credential(((b"X-Key", b"k"),), ()), "which part of it is secret"),
        (Credential((("X-Key", "k"),), (b"k",)), "not bytes"),
        (Credential((), (b"k",), query=Parameter("a", b"k")), "into a query or a body"),
        (Credential((), (b"k",), body=Parameter("a", b"k")), "into a query or a body"),
    ],
)
def test_a_source_that_lends_is_held_to_the_same_terms(lends, says):
    _, fault = lent(Lender(lends))
    assert isinstance(fault, CredentialUnavailable)
    assert says in f"{fault}"
    assert "a secret" not in f"{fault}"
    if isinstance(lends, Credential):
        assert says in f"{came(asked('source', lends))}"


def test_one_that_does_not_lend_in_time_is_waited_for_no_longer():
    clock, source = Clock(), Lender(Deferred())
    waiting = Deferred.fromCoroutine(lending(source, clock).lend(OPERATION, reuse=0.0))
    outcome = []
    waiting.addBoth(outcome.append)
    clock.advance(PATIENCE + 0.1)
    assert "mine did not answer within 10 s" in f"{outcome[0].value}"


def test_what_is_lent_and_refused_is_given_back():
    lender = Lender(Credential(((b"Prefer", b"k"),), (b"k",)))
    source, _ = lent(lender)
    assert (lender.out, source._lent) == ([], {})


def test_what_a_source_raises_when_it_is_told_something_breaks_no_call():
    lender = Lender(says=KeyError("a secret"))
    source, credential = lent(lender)
    with capturedLogs() as logged:
        assert source.heard(credential, ResponseHead(200, ())) is None
        source.returned(credential)
    said = [formatEvent(each) for each in logged]
    assert said == [
        "Credential source mine raised KeyError when it heard of an answer.",
        "Credential source mine raised KeyError when it got a credential back.",
    ]


@pytest.mark.parametrize("says", [7, b"no", True, {}])
def test_what_a_source_says_of_an_answer_is_a_sentence_or_nothing(says):
    source, credential = lent(Lender(says=says))
    with capturedLogs() as logged:
        assert source.heard(credential, ResponseHead(200, ())) is None
    assert type(says).__name__ in formatEvent(logged[0])


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (KeyError("a secret"), "mine raised KeyError"),
        (7, "answered int, which is no answer"),
        (KEY.headers, "answered tuple, which is no answer"),
        (Credential(((b"Prefer", b"k"),), (b"k",)), "writes prefer"),
        (Credential((("X-Key", "k"),), (b"k",)), "not bytes"),
        (Credential(((b"X-Key", b"k"),), ()), "which part of it is secret"),
    ],
)
def test_what_is_sent_once_more_is_held_to_the_same_terms(second, says):
    source, credential = lent(Lender(again=second))
    with pytest.raises(CredentialUnavailable, match=says) as caught:
        source.again(credential)
    assert "a secret" not in f"{caught.value}"


def test_what_was_not_lent_is_not_the_sources():
    lender = Lender(says="Hello.")
    source = lending(lender)
    assert source.heard(KEY, ResponseHead(200, ())) is None
    source.returned(KEY)
    assert lender.heard_of == []


# --- listeners


def test_they_provide_their_ports():
    clock = Clock()
    assert verifyObject(IProtocolListener, ProvidedListener("mine", Answering(None), 1.0, clock))
    assert verifyObject(IApproverChannel, ProvidedChannel("mine", Answering(None), clock))
    source = ProvidedCredentials("mine", Answering(None), frozenset(), clock)
    assert verifyObject(ICredentialSource, source)
    assert verifyObject(ILendingSource, lending(Lender()))


@pytest.mark.parametrize("does", [Deferred(), KeyError("x")])
def test_a_listener_that_does_not_stop_keeps_nothing_else_from_stopping(does):
    clock = Clock()
    stopping = Deferred.fromCoroutine(ProvidedListener("mine", Answering(does), 5.0, clock).stop())
    clock.advance(5.1)
    assert came(stopping) is None
