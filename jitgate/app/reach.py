"""Which kinds of calls rules reach: what each may match, whoever asks, and what it may let pass.

It goes by what rules list. What a condition says of a call is not known here: a rule that permits
or asks people may do so wherever it matches, and one that denies under a condition may not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from jitgate.config import Configuration, schema
from jitgate.core.lookalikes import BroadTemplate
from jitgate.core.naming import Named
from jitgate.core.operation import PathTemplate
from jitgate.core.policy import Policy
from jitgate.interfaces import IConcernedRule, IRule
from jitgate.values import METHODS, SAFE_METHODS, Effect, Operation, Risk

_ALWAYS = frozenset({"name", "reason", "match", "effect"})
"""What a rule says that denies whatever it matches: one that says more may not."""

OF_OPERATIONS = frozenset({"targets", "actions", "methods", "risk", "paths"})
"""The tests that look at what is asked; all others look at who asks."""


class Kind(NamedTuple):
    """A kind of call that there is; ``path`` is a template, or None for any."""

    target: str
    action: str
    method: str
    risk: Risk | None
    path: str | None
    scopes: tuple[str, ...] = ()

    @property
    def operation(self) -> Operation:
        """One of its calls, as far as the choice of a credential looks at it."""
        return Operation(
            target=self.target,
            action=self.action,
            resource={},
            method=self.method,
            authority="",
            path=self.path or "/",
            scopes=self.scopes,
            risk=self.risk,
        )

    @property
    def changes(self) -> bool:
        """Whether carrying it out may change something at the target."""
        return self.method not in SAFE_METHODS


def kinds_of(configuration: Configuration, targets: Mapping[str, Named]) -> list[Kind]:
    """Every kind of call to the targets that are configured; ``targets`` by ``host:port``."""
    hosts = [target.hosts[0] for target in configuration.settings.targets]
    return [kind for host in hosts for kind in _kinds(targets[host], host)]


def matches_of(
    configuration: Configuration, policy: Policy, kinds: Sequence[Kind]
) -> Mapping[str, frozenset[Kind]]:
    """The kinds that each rule of a policy file may match, whoever makes the call."""
    made = {rule.name: rule for rule in policy.rules}
    return {rule.name: _matched(rule, made[rule.name], kinds) for rule in configuration.rules}


def is_met_by_nobody(rule: schema.Rule, issuers: set[str]) -> bool:
    """Whether one of its tests cannot be passed: an empty list, or issuers that are not there."""
    if any(wanted == () for _, wanted in rule.match):
        return True
    return rule.match.issuers is not None and issuers.isdisjoint(rule.match.issuers)


def overrides(other: schema.Rule, rule: schema.Rule) -> bool:
    """Whether ``other`` denies, of the kinds that both match, all that ``rule`` lets pass."""
    return (
        other.effect == Effect.DENY.value
        and other.model_fields_set <= _ALWAYS
        and all(_as_wide(rule.match, other.match, test) for test, _ in other.match)
    )


def let_pass(
    configuration: Configuration, policy: Policy, kinds: Sequence[Kind]
) -> Mapping[Kind, tuple[str, ...]]:
    """The kinds of calls that may go, by themselves or once people say yes; by which rules.

    Rules of plugins do not say beforehand what they answer, and are not among them.
    """
    matched = matches_of(configuration, policy, kinds)
    issuers = {each.issuer for each in configuration.settings.identity.issuers}
    passing: dict[Kind, list[str]] = {}
    for rule in configuration.rules:
        if rule.effect == Effect.DENY.value or rule.mode == "observe":
            continue
        if is_met_by_nobody(rule, issuers):
            continue
        denied = [matched[other.name] for other in configuration.rules if overrides(other, rule)]
        for kind in matched[rule.name].difference(*denied):
            passing.setdefault(kind, []).append(rule.name)
    return {kind: tuple(names) for kind, names in passing.items()}


def _kinds(target: Named, authority: str) -> Iterator[Kind]:
    samples = [*target.catalog.samples(authority)]
    if not samples:
        yield from (Kind(target.name, method, method, None, None) for method in sorted(METHODS))
    for sample in samples:
        yield _kind(sample, sample.method)
        if sample.method == "GET":  # a HEAD is the GET of the same path
            yield _kind(sample, "HEAD")


def _kind(sample: Operation, method: str) -> Kind:
    return Kind(sample.target, sample.action, method, sample.risk, sample.path, sample.scopes)


def _matched(rule: schema.Rule, made: IRule, kinds: Sequence[Kind]) -> frozenset[Kind]:
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


def _as_wide(one: schema.Match, other: schema.Match, test: str) -> bool:
    """Whether ``other`` lets pass by this test whoever and whatever ``one`` does."""
    if test in OF_OPERATIONS - {"paths"}:
        return True  # the kinds that they match are compared
    wanted, inside = getattr(other, test), getattr(one, test)
    return wanted is None or (inside is not None and set(inside) <= set(wanted))
