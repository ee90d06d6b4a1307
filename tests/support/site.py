"""A gateway that answers for itself, over ports of which each does as little as it may."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from support.ports import JSON, Asked, Stand, Told, agent, review
from twisted.internet.defer import Deferred
from zope.interface import implementer

from jitgate.core.policy import Policy, version_of
from jitgate.core.waiting import Patience
from jitgate.credentials.kept import Kept
from jitgate.credentials.none import NoCredential
from jitgate.flow.admission import Knock, Target, Tunnel
from jitgate.flow.ahead import Ahead
from jitgate.flow.budgets import Budgets
from jitgate.flow.evaluating import Evaluations
from jitgate.flow.gateway import DUTIES
from jitgate.flow.tokens import TokenExchange
from jitgate.identity.own_tokens import OwnTokens
from jitgate.interfaces import IRule
from jitgate.proxy.internal import AUTHORITY, InternalRule, internal_target
from jitgate.proxy.manifest import Trust
from jitgate.proxy.pages import Pages
from jitgate.proxy.request_pages import RequestPages
from jitgate.values import Inquiry, Refusal, Subject, Verdict

CA = b"-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n"


@implementer(IRule)
class ForThings:
    """The stand's rule, which speaks of its own target alone, as rules in files do."""

    def __init__(self, stand: Stand) -> None:
        self.name, self.version, self._stand = "the-rule", "1", stand

    def judge(self, inquiry: Inquiry) -> Verdict | None:
        return self._stand.verdict if inquiry.operation.target in {"things", "okta"} else None


class Site:
    """A gateway that answers for itself too, before a target whose calls need people."""

    def __init__(
        self, verdict: Verdict | None = None, targets: Mapping[str, Target] | None = None
    ) -> None:
        self.stand = Stand(verdict=verdict or review())
        rules = (ForThings(self.stand), InternalRule())
        policy = Policy(rules, version_of(rules), DUTIES)
        self.stand.decider._policy = policy
        known = dict(self.stand.gateway._targets)
        self.stand.gateway._targets = known
        self.own = OwnTokens(lambda: "jitgate/test", self.stand.clock)

        stand, served = self.stand, known if targets is None else targets
        self.ahead = Ahead(
            targets=served,
            decide=stand.decider.ahead,
            scope_print=stand.decider.asks.scope_print,
            access=stand.access,
            budgets=Budgets(stand.budgets, stand.clock),
            clock=stand.clock,
            new_id=stand.new_id,
        )
        self.tokens = TokenExchange(
            ahead=self.ahead,
            identity=stand.gateway._identity,
            source=self.own,
            revocations=stand.revocations,
            clock=stand.clock,
            new_id=stand.new_id,
        )
        evaluations = Evaluations(
            self.ahead,
            stand.access,
            stand.grants,
            site_key=b"k" * 32,
            clock=stand.clock,
            new_id=stand.new_id,
        )
        self.pages = Pages(
            RequestPages(stand.access, stand.grants, evaluations, stand.clock),
            targets=served,
            decide=stand.decider.foreseen,
            trust=lambda: Trust(CA),
            patience=Patience(),
            tokens=self.tokens,
            clock=stand.clock,
        )
        known[AUTHORITY] = internal_target(self.pages, Kept(NoCredential()))

    def begun(
        self, method: str, path: str, who: Subject | Refusal | None = None, **how: Any
    ) -> tuple[Told, Deferred[None]]:
        """An exchange with the gateway itself, from CONNECT on; it may take time."""
        told = Told()
        asked = Asked(method, path, hosts=(AUTHORITY,), **how)
        return told, Deferred.fromCoroutine(self._carried(asked, told, who or agent()))

    async def _carried(self, asked: Asked, told: Told, who: Subject | Refusal) -> None:
        self.stand.subject = who
        tunnel = await self.stand.gateway.admit(Knock(AUTHORITY, "t"))
        assert isinstance(tunnel, Tunnel)
        await self.stand.gateway.serve(tunnel, asked, told)

    async def ask(
        self, method: str, path: str, who: Subject | Refusal | None = None, **how: Any
    ) -> Told:
        """The answer of the gateway itself."""
        told, serving = self.begun(method, path, who, **how)
        await serving
        assert told.ended
        return told

    def held(
        self, subject: Subject | None = None, body: bytes = b'{"why":"left"}'
    ) -> tuple[Told, Deferred[None]]:
        """A call that waits for people, as the request a-1."""
        return self.stand.asked(Asked("POST", "/things/7?token=abc", body, JSON), subject)


def fields(told: Told) -> dict[bytes, bytes]:
    """Of an answer, by their names in lower case."""
    assert told.head is not None
    return {name.lower(): value for name, value in told.head.headers}


def kind(told: Told) -> bytes:
    """Of what kind an answer is."""
    return fields(told)[b"content-type"].partition(b";")[0]


def problem(told: Told) -> str:
    """The last word of a problem's type."""
    kind: str = json.loads(told.data)["type"]
    return kind.rpartition(":")[2].rpartition("/")[2]


async def given_up(told: Told, serving: Deferred[None]) -> None:
    """The agent hangs up."""
    told.hang_up()
    await serving
