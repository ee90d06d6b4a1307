"""What is no error in rules, and can hardly be meant: rules that never match, or never count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from jitgate.config import Configuration, schema
from jitgate.core.lookalikes import BroadTemplate
from jitgate.core.naming import Named
from jitgate.core.operation import PathTemplate
from jitgate.core.policy import Policy
from jitgate.interfaces import IConcernedRule, IRule
from jitgate.values import METHODS, Effect, Operation, Risk

_ALWAYS = frozenset({"name", "reason", "match", "effect"})
"""What a rule says that denies whatever it matches: one that says more may not."""

_OF_OPERATIONS = frozenset({"targets", "actions", "methods", "risk", "paths"})
"""The tests that look at what is asked; all others look at who asks."""


class _Kind(NamedTuple):
    """A kind of call that there is; ``path`` is a template, or None for any."""

    target: str
    action: str
    method: str
    risk: Risk | None
    path: str | None


def doubts(configuration: Configuration, policy: Policy, targets: Mapping[str, Named]) -> list[str]:
    """Each as ``FILE:LINE: what; what to do``, in the order of the rules."""
    made = {rule.name: rule for rule in policy.rules}
    hosts = [target.hosts[0] for target in configuration.settings.targets]
    kinds = [kind for host in hosts for kind in _kinds(targets[host], host)]
    issuers = {each.issuer for each in configuration.settings.identity.issuers}
    matched = {rule.name: _matched(rule, made[rule.name], kinds) for rule in configuration.rules}
    said = []
    for rule in configuration.rules:
        reason = _never(rule, matched[rule.name], issuers)
        if reason is None:
            reason = _dead(rule, configuration.rules, matched)
        if reason is not None:
            said.append(f"{rule.where}: rule {rule.name}: {reason}")
    used = {rule.mask for rule in configuration.rules}
    said += [
        f"{each.where}: profile {each.profile}: no rule of a policy file masks by it; "
        "name it in a rule's mask, or take it away"
        for each in configuration.profiles
        if each.profile not in used
    ]
    return said


def _kinds(target: Named, authority: str) -> Iterator[_Kind]:
    samples = [*target.catalog.samples(authority)]
    if not samples:
        yield from (_Kind(target.name, method, method, None, None) for method in sorted(METHODS))
    for sample in samples:
        yield _kind(sample, sample.method)
        if sample.method == "GET":  # a HEAD is the GET of the same path
            yield _kind(sample, "HEAD")


def _kind(sample: Operation, method: str) -> _Kind:
    return _Kind(sample.target, sample.action, method, sample.risk, sample.path)


def _matched(rule: schema.Rule, made: IRule, kinds: Sequence[_Kind]) -> frozenset[_Kind]:
    """The kinds of calls that it may match, whoever makes them."""
    template = PathTemplate if rule.effect == Effect.PERMIT.value else BroadTemplate
    paths = None if rule.match.paths is None else [template(each) for each in rule.match.paths]
    return frozenset(
        kind
        for kind in kinds
        if not IConcernedRule.providedBy(made)
        or (made.concerns(*kind[:4]) and (paths is None or _leads_there(kind.path, paths)))
    )


def _leads_there(path: str | None, templates: Sequence[PathTemplate | BroadTemplate]) -> bool:
    """Whether some path is of the one template and of one of the others."""
    return path is None or any(
        len(segments) == len(each.segments)
        and all(
            one is None or other is None or one == other
            for one, other in zip(segments, each.segments, strict=True)
        )
        for each in templates
        for segments in [type(each)(path).segments]
    )


def _never(rule: schema.Rule, kinds: frozenset[_Kind], issuers: set[str]) -> str | None:
    """Why it never matches, if it does not."""
    for test, wanted in rule.match:
        if wanted == ():
            return f"match.{test} is empty and matches nothing; leave it out where all are meant"
    if rule.match.issuers is not None and issuers.isdisjoint(rule.match.issuers):
        return "none of match.issuers is configured; write an issuer as identity.issuers has it"
    if not kinds:
        tests = [name for name, wanted in rule.match if wanted and name in _OF_OPERATIONS]
        return (
            f"no operation that is known meets its {', '.join(tests) or 'tests'} together, so it "
            "never matches; see what the catalog says of them"
        )
    return None


def _dead(
    rule: schema.Rule, rules: Sequence[schema.Rule], matched: Mapping[str, frozenset[_Kind]]
) -> str | None:
    """By which rule whatever it matches is denied anyway, if there is one."""
    if rule.effect == Effect.DENY.value:
        return None
    for other in rules:
        if (
            other.effect == Effect.DENY.value
            and other.model_fields_set <= _ALWAYS
            and matched[rule.name] <= matched[other.name]
            and all(_as_wide(rule.match, other.match, test) for test, _ in other.match)
        ):
            return (
                f"{other.name} ({other.where}) denies all that it matches, so it never counts; "
                "narrow that one, or take this one away"
            )
    return None


def _as_wide(one: schema.Match, other: schema.Match, test: str) -> bool:
    """Whether ``other`` lets pass by this test whoever and whatever ``one`` does."""
    if test in _OF_OPERATIONS - {"paths"}:
        return True  # the kinds that they match have been compared
    wanted, inside = getattr(other, test), getattr(one, test)
    return wanted is None or (inside is not None and set(inside) <= set(wanted))
