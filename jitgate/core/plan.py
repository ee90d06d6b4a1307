"""What an agent has to expect of policy: foretold from made-up calls, binding nobody.

A made-up call has no particular parameters and no body. A rule may look at those of a real one, so
what is told here is to plan by, and the decision on the real call is what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from enum import Enum

from jitgate.core.access import terms_of
from jitgate.core.policy import NO_RULE, Needs, NeedsBody
from jitgate.errors import RuleFault
from jitgate.values import Decision, Effect, Operation, Subject, Terms

STEP = 64
"""Kinds of calls between two pauses: they take 2 to 4 ms, and Okta's 776 all at once up to 40."""


class Prospect(Enum):
    """What is to be expected, from the best to the worst."""

    PERMITTED = "permitted"
    APPROVED = "approved-by-policy"
    REVIEWED = "needs-approval"
    BY_BODY = "depends-on-body"
    BY_FACTS = "depends-on-facts"
    UNTOLD = "cannot-be-told"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Offer:
    """A target at one ``host:port``, and a made-up call of each kind that is known of it."""

    target: str
    authority: str
    samples: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of call; the path is a template."""

    action: str
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is to be expected, by which rule, and why."""

    prospect: Prospect
    rule: str | None
    reason: str
    terms: Terms | None = None
    """Who must approve, where somebody must, and what for."""


Kinds = tuple[tuple[Expectation, tuple[Kind, ...]], ...]
"""Kinds of calls, gathered by what is to be expected of them."""


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """What is to be expected of one target; of no kind where calls cannot be told apart before."""

    target: str
    authorities: tuple[str, ...]
    kinds: Kinds

    @property
    def known(self) -> int:
        """How many kinds of calls there are."""
        return sum(len(kinds) for _, kinds in self.kinds)


Plan = tuple[TargetPlan, ...]

Decide = Callable[[Operation, Subject], Decision | Needs]
"""Policy as it is now, without a body or facts. Raises `RuleFault`."""

_BY_BODY = Expectation(Prospect.BY_BODY, None, "A rule must see the body of the call.")
_BY_FACTS = Expectation(
    Prospect.BY_FACTS, None, "A rule looks at facts from outside, as they are when the call comes."
)
_UNTOLD = Expectation(Prospect.UNTOLD, None, "A rule could not judge a made-up call.")
_NOBODY = "Policy sends it to people, and names nobody who could approve it."


def planned(offers: Iterable[Offer], subject: Subject, decide: Decide) -> Plan:
    """What the subject has to expect of each kind of call, by target, in the order of the offers.

    Hosts of one target stand together where the same is to be expected of them.
    """
    steps = planning(offers, subject, decide)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            plan: Plan = end.value
            return plan


def planning(
    offers: Iterable[Offer], subject: Subject, decide: Decide
) -> Generator[None, None, Plan]:
    """The same in steps, for whoever has other things to do between them."""
    plans: dict[tuple[str, Kinds], list[str]] = {}
    for offer in offers:
        kinds: dict[Expectation, list[Kind]] = {}
        for number, sample in enumerate(offer.samples, 1):
            kind = Kind(sample.action, sample.method, sample.path)
            kinds.setdefault(_expected(sample, subject, decide), []).append(kind)
            if number % STEP == 0:
                yield
        plans.setdefault((offer.target, _ranked(kinds)), []).append(offer.authority)
    return tuple(
        TargetPlan(target, tuple(authorities), kinds)
        for (target, kinds), authorities in plans.items()
    )


def _ranked(kinds: dict[Expectation, list[Kind]]) -> Kinds:
    """From the best to the worst; what no rule speaks of comes last."""
    order = list(Prospect)
    ranked = sorted(kinds, key=lambda each: (order.index(each.prospect), each.rule == NO_RULE))
    return tuple((expectation, tuple(kinds[expectation])) for expectation in ranked)


def _expected(sample: Operation, subject: Subject, decide: Decide) -> Expectation:
    try:
        decision = decide(sample, subject)
    except RuleFault:
        return _UNTOLD
    if isinstance(decision, Needs):
        return _BY_BODY if isinstance(decision, NeedsBody) else _BY_FACTS
    if decision.effect is Effect.PERMIT:
        return Expectation(Prospect.PERMITTED, decision.rule, decision.reason)
    if decision.effect is Effect.DENY:
        return Expectation(Prospect.DENIED, decision.rule, decision.reason)
    terms = terms_of(decision)
    if terms is None:
        return Expectation(Prospect.DENIED, decision.rule, _NOBODY)
    prospect = Prospect.APPROVED if terms.auto else Prospect.REVIEWED
    return Expectation(prospect, decision.rule, decision.reason, terms)
