"""What is no error in a configuration, and yet not what somebody may expect."""

from __future__ import annotations

from jitgate.app import slack_settings
from jitgate.app.far import manner_of
from jitgate.config import Configuration, credential_schema, schema
from jitgate.core.answers import person
from jitgate.core.waiting import Patience, slow_down
from jitgate.values import Risk, Terms


def notices(configuration: Configuration) -> list[str]:
    """What is no error and yet not what somebody may expect; said at the start."""
    settings = configuration.settings
    patience, said = patience_of(settings.approvals), list[str]()
    sdks = {target.name for target in settings.targets if manner_of(target) == "okta"}
    for rule in configuration.rules:
        if not _asks_people(rule) or sdks.isdisjoint(rule.match.targets or sdks):
            continue
        life = Terms(()).life if rule.grant is None else rule.grant.life
        covered = slow_down(patience.held(rule.hold), life).expire
        if covered < patience.expire:
            said.append(
                f"{rule.where}: rule {rule.name}: an Okta SDK asks for {covered:.0f} s at most, so "
                f"its requests expire then, not after {patience.expire:.0f} s. A longer grant.life "
                "lets it wait longer."
            )
    said += slack_settings.notices(settings)
    said += _unreachable(configuration)
    said += _uncovered(configuration)
    return said


def patience_of(approvals: schema.Approvals) -> Patience:
    """How long things wait."""
    return Patience(approvals.hold, approvals.linger, approvals.expire)


def _asks_people(rule: schema.Rule) -> bool:
    return rule.effect == "review" and not rule.auto


def _uncovered(configuration: Configuration) -> list[str]:
    """Risks that no service app of a target is for."""
    said = []
    for target in configuration.settings.targets:
        if not isinstance(target.credential, credential_schema.OktaCredential):
            continue
        covered = {risk for app in target.credential.every for risk in app.risks}
        if missing := [risk.value for risk in Risk if risk not in covered]:
            said.append(
                f"{target.where}: target {target.name}: no app is for operations whose risk is "
                f"{' or '.join(missing)}: they are denied."
            )
    return said


def _unreachable(configuration: Configuration) -> list[str]:
    """Rules that nobody, or too few, can answer for; said of each group and rule."""
    settings, said = configuration.settings, list[str]()
    named = settings.approvals.groups
    reachable = {person(name) for name in settings.control.approvers.values()}
    answering = _by_webhook(configuration, said)
    if slack_settings.used(settings) is not None:  # there everybody is who is in a group
        listed = (each for each in named.values() if not isinstance(each, schema.GroupElsewhere))
        answering = answering | {person(each) for people in listed for each in people}
    reachable |= answering
    asks = any(map(_asks_people, configuration.rules))
    if asks and "control" not in settings.services and not answering:
        said.append("Without the service control nobody can answer what rules send to people.")
    groups = {  # who is in the others is not known before they are asked of
        group: {person(each) for each in people} & reachable
        for group, people in named.items()
        if not isinstance(people, schema.GroupElsewhere)
    }
    said += [
        f"Nobody of the group {group} can answer: no uid in control.approvers is theirs, and no "
        "webhook's callback speaks for them."
        for group, people in groups.items()
        if not people
    ]
    inactive = {person(each) for each in settings.approvals.inactive}
    for rule in configuration.rules:
        for each in rule.approvers or ():
            if not groups.keys() >= set(each.every_group):
                continue
            asked = set().union(*(groups.get(group, set()) for group in each.every_group))
            able = asked - inactive
            if asked and len(able) < each.quorum:
                said.append(
                    f"{rule.where}: rule {rule.name}: {each.quorum} people must approve, and "
                    f"{len(able)} can: its calls will expire."
                )
    return said


def _by_webhook(configuration: Configuration, said: list[str]) -> set[str]:
    """Those who can answer through a webhook; what stands in the way of others is said."""
    settings, people = configuration.settings, set[str]()
    for each in settings.webhooks:
        if each.name not in settings.approvals.channels:
            said.append(
                f"{each.where}: webhook {each.name}: nothing is sent to it, because it is not "
                "among approvals.channels."
            )
        elif each.callback is not None and "admin" not in settings.services:
            said.append(
                f"{each.where}: webhook {each.name}: it cannot be called back without the service "
                "admin."
            )
        elif each.callback is not None:
            people |= {person(name) for name in each.callback.people}
    return people
