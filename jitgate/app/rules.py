"""Makes of the policy and masking files, and of plugins, what decides and what hides."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, cast

from jitgate import plugins
from jitgate.app.callees import Callees
from jitgate.app.problems import Problems
from jitgate.config import Configuration, schema
from jitgate.config.duty_schema import Approvers
from jitgate.config.masking_schema import Profile
from jitgate.core.globs import globs_matcher
from jitgate.core.policy import NO_RULE, Policy, facts_of, version_of
from jitgate.core.profiles import MaskingProfile
from jitgate.flow.facts import stated_wrongly
from jitgate.flow.gateway import DUTIES
from jitgate.flow.watching import watched_masker, watched_rule
from jitgate.interfaces import IFacts, IMasker, IRule
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.known import LiteralsMasker
from jitgate.maskers.names import NameMasker
from jitgate.maskers.paths import PathMasker
from jitgate.proxy.internal import InternalRule
from jitgate.rules.cel import CelCondition, ConditionInvalid
from jitgate.rules.conditional import ConditionalRule
from jitgate.rules.match import Criteria, MatchRule
from jitgate.rules.observing import ObservingRule
from jitgate.stores.state import secret_line
from jitgate.values import Budget, Effect, Escalation, How, Obligation, Quorum, Verdict

Known = Mapping[str, frozenset[str] | None]
"""The actions of each target; None where its catalog is not there to say."""


class Decided(TypedDict):
    """What says which call may go, and what of its answer is hidden."""

    policy: Policy
    profiles: Mapping[str, MaskingProfile]
    sources: Sequence[IFacts]


def decided(
    configuration: Configuration,
    loaded: Sequence[plugins.Plugin],
    callees: Callees,
    problems: Problems,
) -> Decided:
    """Policy and masking profiles; what is wrong with them goes to ``problems``."""
    sources = _sources(loaded, problems)
    return Decided(
        policy=_policy(configuration, loaded, callees, sources, problems),
        profiles=_profiles(configuration, loaded, _known(callees), problems),
        sources=sources,
    )


def _known(callees: Callees) -> Known:
    return {name: None if each is None else each.catalog.actions for name, each in callees.items()}


def _sources(loaded: Sequence[plugins.Plugin], problems: Problems) -> Sequence[IFacts]:
    """What plugins know from outside."""
    sources = cast("list[IFacts]", plugins.of_port(IFacts, loaded))
    for each in sources:
        if (wrong := stated_wrongly(each)) is not None:
            problems.add(f"{_file(each, loaded)}: facts {each.name!r}: {wrong}")
    return sources


def _file(provided: object, loaded: Sequence[plugins.Plugin]) -> str:
    """The plugin's file that something comes from."""
    return next((f"{each.file}" for each in loaded if provided in each.provides), "a plugin")


def _policy(
    configuration: Configuration,
    loaded: Sequence[plugins.Plugin],
    callees: Callees,
    sources: Sequence[IFacts],
    problems: Problems,
) -> Policy:
    known = _known(callees)
    approvals = configuration.settings.approvals
    rules = [_attempted(each, known, approvals, problems) for each in configuration.rules]
    places = {each.name: each.where for each in configuration.rules}
    provided = []
    for each in cast("list[IRule]", plugins.of_port(IRule, loaded)):
        places[each.name] = file = _file(each, loaded)
        provided.append(problems.attempt(file, watched_rule, each))
    every = [*(rule for rule in (*rules, *provided) if rule is not None), InternalRule()]
    problems.unique("rule", [rule.name for rule in every])
    if NO_RULE in places:
        problems.add(
            f"{places[NO_RULE]}: no rule can be called {NO_RULE!r}, which is what stands on record "
            "where no rule decided: rename it"
        )
    _known_facts(every, places, [each.name for each in sources], problems)
    parts = [f"plugin={each.digest}" for each in loaded]
    parts += [f"{each!r}" for plugin in loaded for each in plugin.provided]
    parts += [f"facts={each.name}={each.version}" for each in sources]
    parts += [repr(each) for each in configuration.profiles]
    parts += [
        f"catalog={name}={each.version}" for name, each in callees.items() if each and each.version
    ]
    return Policy(tuple(every), version_of(every, parts), DUTIES)


def _known_facts(
    rules: Sequence[IRule], places: Mapping[str, str], known: Sequence[str], problems: Problems
) -> None:
    """Refuse facts that no plugin provides: a rule that needs them could never permit."""
    for rule in rules:
        for name in sorted(facts_of(rule) - set(known)):
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            problems.add(
                f"{places.get(rule.name, rule.name)}: rule {rule.name} looks at facts {name!r}, "
                f"which no plugin provides{hint}"
            )


def _profiles(
    configuration: Configuration,
    loaded: Sequence[plugins.Plugin],
    actions: Known,
    problems: Problems,
) -> Mapping[str, MaskingProfile]:
    attempts = [
        problems.attempt(_file(each, loaded), watched_masker, each)
        for each in cast("list[IMasker]", plugins.of_port(IMasker, loaded))
    ]
    provided = [each for each in attempts if each is not None]
    known = {masker.name: masker for masker in provided}
    profiles = {}
    for each in configuration.profiles:
        missing = [name for name in each.maskers if name not in known]
        if missing:
            problems.add(f"{each.where}: profile {each.profile}: no plugin provides {missing[0]!r}")
        if unknown := _unknown(each.passes, actions, actions):
            problems.add(f"{each.where}: profile {each.profile}: passes: {unknown}")
        stated = problems.attempt(each.where, _stated, each)
        maskers = (*(stated or ()), *(known[name] for name in each.maskers if name in known))
        catalog = each.secrets == "catalog"
        profiles[each.profile] = MaskingProfile(
            each.profile,
            maskers,
            catalog=catalog,
            responses=each.of != "requests",
            requests=each.of != "responses",
            passes=each.passes,
        )
    return profiles


def _attempted(
    rule: schema.Rule, known: Known, approvals: schema.Approvals, problems: Problems
) -> IRule | None:
    """The rule; None where all that is wrong with it went to ``problems``."""
    condition = None
    try:
        condition = None if rule.when is None else CelCondition(rule.when)
    except ConditionInvalid as error:
        for problem in error.described(functools.partial(rule.place, "when")):
            problems.add(problem)
    matching = problems.attempt(rule.where, _rule, rule, known, approvals)
    if matching is None or (rule.when is not None and condition is None):
        return None
    made = matching if condition is None else ConditionalRule(matching, condition)
    return cast(IRule, made if rule.mode == "enforce" else ObservingRule(cast(IRule, made)))


def _rule(rule: schema.Rule, known: Known, approvals: schema.Approvals) -> MatchRule:
    hold = approvals.hold
    if rule.hold is not None and rule.hold > hold:
        raise ValueError(
            f"rule {rule.name}: hold is longer than approvals.hold ({hold:g} s), which is the "
            "longest that any call is held: shorten the one, or lengthen the other"
        )
    late = [each.after for asked in rule.approvers or () for each in asked.escalate]
    if late and max(late) >= approvals.expire:
        raise ValueError(
            f"rule {rule.name}: it would ask more people after {max(late):g} s, when its requests "
            f"have expired (approvals.expire, {approvals.expire:g} s): ask them sooner"
        )
    _known_actions(rule, known)
    return _made_rule(rule, tuple(known))


def _known_actions(rule: schema.Rule, known: Known) -> None:
    """Refuse an action that no target of the rule knows: a rule for it would never match."""
    targets = known if rule.match.targets is None else rule.match.targets
    if unknown := _unknown(rule.match.actions or (), targets, known):
        raise ValueError(f"rule {rule.name}: {unknown}")


def _unknown(patterns: Iterable[str], targets: Iterable[str], known: Known) -> str:
    """That no target knows an action that fits one of these; nothing where there is one for each.

    Nothing either where a catalog is missing: what it would know cannot be told, and why has been.
    """
    if any(name in known and known[name] is None for name in targets):
        return ""
    actions = frozenset[str]().union(*(known.get(name) or () for name in targets))
    for pattern in patterns:
        if not any(map(globs_matcher((pattern,)), actions)):
            close = difflib.get_close_matches(pattern, sorted(actions), 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            return f"no action {pattern!r} is known{hint}"
    return ""


def _made_rule(rule: schema.Rule, targets: tuple[str, ...]) -> MatchRule:
    """A rule that names no target is for all that are configured, not for `jitgate.internal`."""
    written = {name: getattr(rule.match, name) for name in schema.Match.model_fields}
    if written["targets"] is None:
        written["targets"] = targets
    criteria = Criteria(**written)
    return MatchRule(rule.name, criteria, Verdict(Effect(rule.effect), rule.reason, _duties(rule)))


def _duties(rule: schema.Rule) -> tuple[Obligation, ...]:
    duties = []
    if rule.mask is not None:
        duties.append(Obligation("mask", rule.mask))
    duties += [Obligation("approvers", _asked(each)) for each in rule.approvers or ()]
    if rule.grant is not None:
        duties.append(Obligation("grant", (rule.grant.uses, rule.grant.life)))
    if rule.auto:
        duties.append(Obligation("auto", True))
    if rule.hold is not None:
        duties.append(Obligation("hold", rule.hold))
    if rule.record is not None:
        duties.append(Obligation("record", rule.record))
    if rule.reuse is not None:
        duties.append(Obligation("reuse", rule.reuse))
    duties += [
        Obligation("budget", Budget(rule.name, each.uses, each.within, each.per))
        for each in rule.budget or ()
    ]
    return tuple(duties)


def _asked(approvers: Approvers) -> Quorum | tuple[tuple[str, ...], int]:
    """Whom a rule asks; in the plain form of a plugin's rules where that says it all."""
    if approvers.model_fields_set <= {"groups", "quorum"}:
        return approvers.groups, approvers.quorum
    return Quorum(
        approvers.groups,
        approvers.quorum,
        tuple(Escalation(each.after, each.groups) for each in approvers.escalate),
        reason=approvers.reason == "required",
        denials=approvers.denials,
        signs=approvers.signs,
        privately=approvers.privately,
    )


def _stated(profile: Profile) -> tuple[IMasker, ...]:
    """Those that say beforehand what they hide. All of one profile are one rule on record.

    Raises `StateUnusable` for a known secret that cannot be read, and `ValueError`.
    """
    each: tuple[tuple[Any, Sequence[Any]], ...] = (
        (NameMasker, profile.names),
        (PathMasker, profile.paths),
        (DetectorMasker, profile.detectors),
        (LiteralsMasker, tuple(map(secret_line, profile.literals))),
    )
    how = How(profile.how)
    return tuple(made(profile.profile, written, how) for made, written in each if written)
