"""One call tried against policy: what would be decided, and each rule's part in that.

It is decided by the gateway's own functions, in its order: with the body only where a rule must see
it, or where people are asked. Nothing is sent, and nobody is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from jitgate.core.access import terms_of
from jitgate.core.fields import is_json
from jitgate.core.parameters import completed
from jitgate.core.policy import NEEDS_BODY, NO_RULE, NeedsBody, Policy
from jitgate.core.profiles import MaskingProfile, maskers_for
from jitgate.errors import RuleFault, place_of, with_place
from jitgate.interfaces import IExplainedRule, IMasker, IRule
from jitgate.values import (
    Decision,
    Denial,
    Effect,
    Headers,
    Inquiry,
    NotCanonical,
    Observed,
    Operation,
    Refusal,
    Undecided,
    Verdict,
)


class Share(Enum):
    """What part a rule has in a decision, from the most to the least."""

    FAULTY = "at fault"
    """It raised, or answered what is no answer: so nothing is permitted."""
    DECIDES = "decides"
    AGREES = "agrees"
    """It obliges as the deciding rule does."""
    MATCHES = "matches"
    """It applies, and nothing is decided yet."""
    OVERRIDDEN = "overridden"
    UNDECIDED = "cannot permit"
    """It lacks what it needs to know."""
    NEEDS_BODY = "needs the body"
    OBSERVED = "only observed"
    NONE = "does not apply"


@dataclass(frozen=True, slots=True)
class Part:
    """One rule's part in the answer to one call."""

    rule: str
    share: Share
    verdict: Verdict | None = None
    why: str = ""
    """Why it does not apply, or what else there is to say of its answer."""
    observed: Effect | None = None
    """What a rule that is only tried out would have answered, if it could tell."""

    @property
    def touched(self) -> bool:
        """Whether the call was one that the rule speaks of."""
        return self.share not in {Share.NONE, Share.FAULTY, Share.NEEDS_BODY}


@dataclass(frozen=True, slots=True)
class Trial:
    """What would become of one call.

    ``refusal`` says why policy was not asked, why it could not answer, or why nobody can be asked:
    that denies. Without it and without a ``decision`` it depends on a body that is not given.
    """

    operation: Operation | None = None
    refusal: Refusal | None = None
    decision: Decision | None = None
    parts: tuple[Part, ...] = ()
    maskers: tuple[IMasker, ...] = ()
    facts: frozenset[str] = frozenset()
    """The names of the facts that rules look at for such a call."""

    @property
    def effect(self) -> Effect | None:
        """What comes of it; None where that depends on the body."""
        if self.refusal is not None:
            return Effect.DENY
        return None if self.decision is None else self.decision.effect

    @property
    def denial(self) -> Denial | None:
        """The kind of denial, where it is one."""
        if self.refusal is not None:
            return self.refusal.denial
        return Denial.POLICY if self.effect is Effect.DENY else None


def tried(
    policy: Policy,
    profiles: Mapping[str, MaskingProfile],
    inquiry: Inquiry,
    headers: Headers,
    *,
    longest: int,
) -> Trial:
    """What would become of a call of which policy is asked this.

    The inquiry's body is None where it is not known. ``longest``: bytes of a body that is held.
    """
    asked = inquiry._replace(body=None, is_json=False)
    trial = Trial(inquiry.operation)
    try:
        trial = replace(trial, facts=policy.facts(inquiry.operation))
        decision = policy.decide(asked)
        undecided = isinstance(decision, NeedsBody) or decision.effect is Effect.REVIEW
        if undecided and inquiry.body is not None:
            if len(inquiry.body) > longest:
                detail = f"A body that must be seen may have {longest} bytes."
                return replace(trial, refusal=Refusal(Denial.BODY_TOO_LARGE, detail))
            asked = inquiry._replace(is_json=is_json(headers))
            operation = completed(inquiry.operation, inquiry.body, asked.is_json)
            if isinstance(operation, NotCanonical):
                return replace(trial, refusal=Refusal(Denial.MALFORMED, operation.reason))
            asked, trial = asked._replace(operation=operation), replace(trial, operation=operation)
            decision = policy.decide(asked)
        found = None if isinstance(decision, NeedsBody) else decision
        maskers = () if found is None else maskers_for(asked.operation, found, profiles)
    except RuleFault as fault:
        failed = Refusal(Denial.FAULT, with_place(fault))
        return replace(trial, refusal=failed, parts=parts(policy, asked, None))
    return replace(
        trial,
        decision=found,
        refusal=_for_nobody(found),
        maskers=maskers,
        parts=parts(policy, asked, found),
    )


def _for_nobody(decision: Decision | None) -> Refusal | None:
    """Why a call that needs people is refused where no rule names any."""
    if decision is None or decision.effect is not Effect.REVIEW or terms_of(decision) is not None:
        return None
    detail = f"{decision.reason} (No rule names anybody who could approve it.)"
    return Refusal(Denial.NEEDS_APPROVAL, detail, decision.rule)


def parts(policy: Policy, inquiry: Inquiry, decision: Decision | None) -> tuple[Part, ...]:
    """Each rule's part in a decision, in the order of the rules; it asks each of them anew."""
    return tuple(_part(rule, inquiry, decision) for rule in policy.rules)


def _part(rule: IRule, inquiry: Inquiry, decision: Decision | None) -> Part:
    try:
        answer = rule.judge(inquiry)
        hash(answer)
    except BaseException as error:  # noqa: BLE001 (as policy does: whatever it raises, it denies)
        return Part(rule.name, Share.FAULTY, why=f"It raised {place_of(error)}.")
    if answer is None:
        return Part(rule.name, Share.NONE, why=_why_not(rule, inquiry))
    if isinstance(answer, Verdict) and isinstance(answer.effect, Effect):
        return Part(rule.name, _share(rule.name, answer, decision), answer)
    return _of_other(rule.name, answer, inquiry)


def _of_other(name: str, answer: object, inquiry: Inquiry) -> Part:
    """The part of a rule that answered something, and no verdict."""
    if answer is NEEDS_BODY and inquiry.body is None:
        return Part(name, Share.NEEDS_BODY)
    if isinstance(answer, Undecided):
        return Part(name, Share.UNDECIDED, why=answer.reason)
    if isinstance(answer, Observed):
        return Part(name, Share.OBSERVED, why=answer.reason, observed=answer.effect)
    return Part(name, Share.FAULTY, why="It answered neither a verdict nor None.")


def _share(name: str, verdict: Verdict, decision: Decision | None) -> Share:
    if decision is None:
        return Share.MATCHES
    if decision.rule == name:
        return Share.DECIDES
    agrees = decision.rule != NO_RULE and decision.effect is verdict.effect
    return Share.AGREES if agrees else Share.OVERRIDDEN


def _why_not(rule: IRule, inquiry: Inquiry) -> str:
    """What it says of it, if it says anything: that decides nothing, so it may fail."""
    if not IExplainedRule.providedBy(rule):
        return ""
    try:
        return f"{rule.why_not(inquiry) or ''}"
    except Exception as error:  # noqa: BLE001 (a plugin's own)
        return f"(it could not say why: {place_of(error)})"
