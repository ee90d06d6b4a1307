"""The watch over rules and maskers of plugins: who keeps the gateway waiting twice is switched off.

Twice within an hour. They are called in the one thread that serves everybody, so each call may take
5 ms. What counts is what a call took by its own doing; on a busy machine it takes longer through no
fault of its own. A rule that is switched off denies, and a masker that is switched off lets no
answer pass. One that never comes back cannot be switched off: plugins are trusted code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from twisted.logger import Logger
from zope.interface import alsoProvides, implementer

from jitgate.core.globs import globs_matcher
from jitgate.core.hiding import STARS
from jitgate.core.paths import Path
from jitgate.core.pausing import unpaused
from jitgate.core.policy import NEEDS_BODY, REASON_CHARS, facts_of
from jitgate.errors import MaskerOff, MaskingFault, PluginInvalid
from jitgate.flow.stating import statement_of
from jitgate.flow.stopwatch import ALLOWED, Stopwatch
from jitgate.interfaces import (
    IConcernedRule,
    IExplainedRule,
    IInformedRule,
    IMasker,
    IRule,
    IStatedMasker,
    IStatedRule,
)
from jitgate.values import Effect, How, Inquiry, Risk, Span, Verdict

TWICE = 2
"""Calls that may take longer: the first may be one that compiles or imports something."""

AGE = 3600.0
"""Seconds for which a slow call counts against the next: accidents further apart are accidents."""

LONGEST = 32 * 1024
"""Bytes of a body that a plugin's rule is handed, and characters of a text that its masker is: they
are an agent's own, and whatever they hold, a parser or a pattern reads so many in about 1 ms."""


class _Slow(NamedTuple):
    """A call that took too long: when it began by the stopwatch, and what it took. Seconds."""

    begun: float
    seconds: float


class _Watch:
    """Counts the calls of one rule or masker that took too long."""

    _log = Logger()

    def __init__(self, what: str, then: str, stopwatch: Stopwatch) -> None:
        self._what = what
        self._then = then
        self._stopwatch = stopwatch
        self._slow: list[_Slow] = []
        self._doubtful: tuple[_Slow, ...] = ()
        """The call before, where it is not sure that it was slow: it was if this one is too."""
        self.off: str | None = None
        """Why it is switched off, in sentences, once it is."""
        self.begun = stopwatch.begun

    def ended(self, begun: float) -> None:
        """A call has ended."""
        took, before = self._stopwatch.took(begun), self._doubtful
        if took is None or (not took.sure and not before):
            self._doubtful = () if took is None else (_Slow(begun, took.seconds),)
            return
        slow = [*self._slow, *before, _Slow(begun, took.seconds)]
        self._slow = [each for each in slow if begun - each.begun < AGE]
        self._doubtful = ()
        if len(self._slow) < TWICE:
            self._log.warn(
                "{what} took {ms:.0f} ms for a call, {most:g} are allowed. Once more "
                "within an hour, and {then}",
                what=self._what,
                ms=took.seconds * 1000,
                most=ALLOWED * 1000,
                then=self._then,
            )
            return
        times = " and ".join(f"{each.seconds * 1000:.0f} ms" for each in self._slow[-TWICE:])
        self.off = (
            f"{self._what} was switched off: it took {times} for a call, {ALLOWED * 1000:g} are "
            "allowed. Whoever runs the gateway has to make it faster, or to leave it out, and to "
            "reload."
        )
        self._log.critical("{why} Until then {then}", why=self.off, then=self._then)


_STOPWATCH = Stopwatch()
"""Of the thread that serves: all are watched by one, so that they share its readings."""


@implementer(IRule)
class WatchedRule:
    """A plugin's rule; once it is switched off it denies whatever it is asked.

    It is asked without a body that is too long for it, and denies where it must see that. It is not
    asked before a call has all of its parameters, and does not stand aside for want of facts: what
    it would have denied, another rule could permit. A rule that states its verdict says itself when
    it needs the body, and where that permits, standing aside is all that it can do.
    """

    def __init__(self, rule: IRule, stopwatch: Stopwatch) -> None:
        self.name: str = rule.name
        self.version: str = rule.version
        self._judge = self._judge_concerned = rule.judge
        self._concerns: Callable[[str, str, str, Risk | None], bool] = lambda *_: True
        if IConcernedRule.providedBy(rule):
            self.concerns = self._concerns = rule.concerns
            self._judge_concerned = rule.judge_concerned
            alsoProvides(self, IConcernedRule)
        self._is_stated = self._only_permits = False
        if IStatedRule.providedBy(rule):
            self.verdict: Verdict = rule.verdict
            self._is_stated = True
            self._only_permits = getattr(self.verdict, "effect", None) is Effect.PERMIT
            alsoProvides(self, IStatedRule)
        if IExplainedRule.providedBy(rule):
            self.why_not: Callable[[Inquiry], str | None] = rule.why_not
            alsoProvides(self, IExplainedRule)
        self._facts = facts_of(rule)
        if IInformedRule.providedBy(rule):
            self.facts = self._facts
            alsoProvides(self, IInformedRule)
        self._watch = _Watch(f"Rule {self.name}", "what it is asked is denied.", stopwatch)
        self._denies: Verdict | None = None
        self._too_long = Verdict(
            Effect.DENY,
            f"Rule {self.name} must see the body, and is handed none of more than {LONGEST} bytes.",
        )

    @property
    def off(self) -> str | None:
        """Why it is switched off, once it is."""
        return self._watch.off

    def judge(self, inquiry: Inquiry) -> object:
        asked = inquiry.operation
        if self._concerns(asked.target, asked.action, asked.method, asked.risk):
            return self._watched(self._judge, inquiry)
        return None

    def judge_concerned(self, inquiry: Inquiry) -> object:
        return self._watched(self._judge_concerned, inquiry)

    def _watched(self, judge: Callable[[Inquiry], object], inquiry: Inquiry) -> object:
        if self._denies is not None:
            return self._denies
        if inquiry.body is None and inquiry.operation.in_body and not self._is_stated:
            return NEEDS_BODY
        answer = self._answer(judge, inquiry)
        if not self._facts or self._facts <= inquiry.facts.keys():
            return answer
        return self._uninformed(answer, inquiry)

    def _uninformed(self, answer: object, inquiry: Inquiry) -> object:
        """What its answer counts for that it gave without facts: they might have made it deny."""
        permits = isinstance(answer, Verdict) and answer.effect is Effect.PERMIT
        if self._only_permits or not (answer is None or permits):
            return answer
        missing = ", ".join(sorted(self._facts - inquiry.facts.keys()))
        why = f"Rule {self.name} looks at facts that are not known: {missing}."
        return Verdict(Effect.DENY, why[:REASON_CHARS])

    def _answer(self, judge: Callable[[Inquiry], object], inquiry: Inquiry) -> object:
        if inquiry.body is None or len(inquiry.body) <= LONGEST:
            return self._timed(judge, inquiry)
        answer = self._timed(judge, inquiry._replace(body=None, is_json=False))
        return self._too_long if answer is NEEDS_BODY else answer

    def _timed(self, judge: Callable[[Inquiry], object], inquiry: Inquiry) -> object:
        begun = self._watch.begun()
        try:
            return judge(inquiry)
        finally:
            self._watch.ended(begun)
            if self._watch.off is not None:
                self._denies = Verdict(Effect.DENY, self._watch.off)


@implementer(IMasker)
class WatchedMasker:
    """A plugin's masker; once it is switched off it raises `MaskerOff`, so that nothing passes.

    A text that is too long for it is hidden whole, and so is the value of a field whose name is.
    """

    def __init__(self, masker: IMasker, stopwatch: Stopwatch) -> None:
        self.name: str = masker.name
        self.version: str = masker.version
        self.looks_at_values: bool = masker.looks_at_values
        self._hides = masker.hides
        self._mask = masker.mask
        self._watch = _Watch(f"Masker {self.name}", "no answer passes it.", stopwatch)

    @property
    def off(self) -> str | None:
        """Why it is switched off, once it is."""
        return self._watch.off

    def check(self) -> None:
        """Raises `MaskerOff` if it is switched off."""
        if self._watch.off is not None:
            raise MaskerOff(self._watch.off)

    def hides(self, field: str) -> bool:
        self.check()
        if len(field) > LONGEST:
            return True
        begun = self._watch.begun()
        try:
            return unpaused(self._hides, field)
        finally:
            self._watch.ended(begun)

    def mask(self, field: str, value: str) -> str | None:
        self.check()
        if len(value) > LONGEST:
            return STARS
        begun = self._watch.begun()
        try:
            return unpaused(partial(self._mask, field), value)
        finally:
            self._watch.ended(begun)


@implementer(IStatedMasker)
class WatchedStatedMasker(WatchedMasker):
    """The same of one that states beforehand what it hides, and is not shown all else."""

    def __init__(self, masker: IStatedMasker, stopwatch: Stopwatch) -> None:
        super().__init__(masker, stopwatch)
        stated = statement_of(masker)
        self.how: How = stated.how
        self.names: Sequence[str] = stated.names
        self.paths: Sequence[Path] = stated.paths
        self.signs: Sequence[bytes] = stated.signs
        self._spans = masker.spans
        self._fits = globs_matcher(stated.names, re.IGNORECASE)

    def hides(self, field: str) -> bool:
        """Raises `MaskingFault` too if it would hide what it does not state: not all are asked."""
        if len(field) > LONGEST and self._fits(field) is None:
            self.check()
            return False
        hidden = super().hides(field)
        if hidden is True and self._fits(field) is None:
            raise MaskingFault(f"masker {self.name!r} hides a field that it does not state")
        return hidden

    def spans(self, value: str) -> Sequence[Span]:
        self.check()
        if len(value) > LONGEST:
            return (Span(0, len(value), ""),)
        begun = self._watch.begun()
        try:
            spans = tuple(unpaused(self._spans, value))
        finally:
            self._watch.ended(begun)
        ends = [0, *(at for span in spans for at in (span.begin, span.end))]
        if not all(type(at) is int for at in ends) or not all(type(at.what) is str for at in spans):
            raise MaskingFault(f"masker {self.name!r} finds something that is no span")
        if sorted(ends) != ends or ends[-1] > len(value):
            raise MaskingFault(f"masker {self.name!r} finds what is not in a value, or in no order")
        if any(span.begin == span.end for span in spans):
            raise MaskingFault(f"masker {self.name!r} finds something that has no characters")
        return spans


def watched_rule(rule: IRule, stopwatch: Stopwatch = _STOPWATCH) -> IRule:
    """The rule, watched. Raises `PluginInvalid` for one that states itself wrongly."""
    facts = facts_of(rule)
    if not isinstance(facts, frozenset) or not all(isinstance(each, str) for each in facts):
        raise PluginInvalid(f"rule {rule.name}: its facts are no frozenset of names")
    return WatchedRule(rule, stopwatch)


def watched_masker(masker: IMasker, stopwatch: Stopwatch = _STOPWATCH) -> IMasker:
    """The masker, watched. Raises `PluginInvalid` for one that states itself wrongly."""
    if not isinstance(masker.looks_at_values, bool):
        raise PluginInvalid(f"masker {masker.name}: its looks_at_values is neither True nor False")
    if not IStatedMasker.providedBy(masker):
        return WatchedMasker(masker, stopwatch)
    return WatchedStatedMasker(masker, stopwatch)


def check_maskers(maskers: Iterable[IMasker]) -> None:
    """Raises `MaskerOff` before anything is sent whose answer could not pass."""
    for each in maskers:
        if isinstance(each, WatchedMasker):
            each.check()


def switched_off(watched: Iterable[object]) -> list[str]:
    """Why those of them are switched off that are."""
    kinds = WatchedRule | WatchedMasker
    return [each.off for each in watched if isinstance(each, kinds) and each.off is not None]
