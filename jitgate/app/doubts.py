"""What is no error in rules, and can hardly be meant: rules that never match, or never count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jitgate.app.reach import (
    OF_OPERATIONS,
    Kind,
    is_met_by_nobody,
    kinds_of,
    matches_of,
    overrides,
)
from jitgate.config import Configuration, credential_schema, schema
from jitgate.core.naming import Named
from jitgate.core.policy import Policy
from jitgate.values import Effect

_MINTED = (credential_schema.OktaCredential, schema.PluginCredential, schema.NoCredential)
"""What `reuse` may be meant for: tokens, what only a plugin knows, what is not configured yet."""


def doubts(configuration: Configuration, policy: Policy, targets: Mapping[str, Named]) -> list[str]:
    """Each as ``FILE:LINE: what; what to do``, in the order of the rules."""
    issuers = {each.issuer for each in configuration.settings.identity.issuers}
    matched = matches_of(configuration, policy, kinds_of(configuration, targets))
    minted = {
        each.name for each in configuration.settings.targets if isinstance(each.credential, _MINTED)
    }
    said = []
    for rule in configuration.rules:
        reason = _never(rule, matched[rule.name], issuers)
        if reason is None:
            reason = _dead(rule, configuration.rules, matched)
        if reason is None:
            reason = _reused_in_vain(rule, matched[rule.name], minted)
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


def _never(rule: schema.Rule, kinds: frozenset[Kind], issuers: set[str]) -> str | None:
    """Why it never matches, if it does not."""
    for test, wanted in rule.match:
        if wanted == ():
            return f"match.{test} is empty and matches nothing; leave it out where all are meant"
    if is_met_by_nobody(rule, issuers):
        return "none of match.issuers is configured; write an issuer as identity.issuers has it"
    if not kinds:
        tests = [name for name, wanted in rule.match if wanted and name in OF_OPERATIONS]
        return (
            f"no operation that is known meets its {', '.join(tests) or 'tests'} together, so it "
            "never matches; see what the catalog says of them"
        )
    return None


def _dead(
    rule: schema.Rule, rules: Sequence[schema.Rule], matched: Mapping[str, frozenset[Kind]]
) -> str | None:
    """By which rule whatever it matches is denied anyway, if there is one."""
    if rule.effect == Effect.DENY.value:
        return None
    for other in rules:
        if matched[rule.name] <= matched[other.name] and overrides(other, rule):
            return (
                f"{other.name} ({other.where}) denies all that it matches, so it never counts; "
                "narrow that one, or take this one away"
            )
    return None


def _reused_in_vain(rule: schema.Rule, kinds: frozenset[Kind], minted: set[str]) -> str | None:
    """Why its `reuse` does nothing, if it says one."""
    if not rule.reuse:
        return None
    if all(kind.changes for kind in kinds):
        return (
            "reuse does nothing: all that it matches may change something, and goes out with a "
            "credential of its own; leave it out"
        )
    if minted.isdisjoint(kind.target for kind in kinds if not kind.changes):
        return (
            "reuse does nothing: the credential of its targets is one and the same for every call; "
            "leave it out"
        )
    return None
