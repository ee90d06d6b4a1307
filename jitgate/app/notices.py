"""What is no error in a configuration, and yet not what somebody may expect."""

from __future__ import annotations

from jitgate.app.far import manner_of
from jitgate.config import Configuration, schema
from jitgate.core.access import person
from jitgate.core.waiting import Patience, slow_down
from jitgate.values import Terms


def notices(configuration: Configuration) -> list[str]:
    """What is no error and yet not what somebody may expect; said at the start."""
    settings = configuration.settings
    patience, said = patience_of(settings.approvals), []
    sdks = {target.name for target in settings.targets if manner_of(target) == "okta"}
    for rule in configuration.rules:
        if rule.effect != "review" or sdks.isdisjoint(rule.match.targets or sdks):
            continue
        life = Terms(()).life if rule.grant is None else rule.grant.life
        covered = slow_down(patience, life).expire
        if covered < patience.expire:
            said.append(
                f"{rule.where}: rule {rule.name}: an Okta SDK asks for {covered:.0f} s at most, so "
                f"its requests expire then, not after {patience.expire:.0f} s. A longer grant.life "
                "lets it wait longer."
            )
    reachable = {person(name) for name in settings.control.approvers.values()}
    for group, people in settings.approvals.groups.items():
        if not reachable & {person(each) for each in people}:
            said.append(
                f"Nobody of the group {group} can answer: no uid in control.approvers is theirs."
            )
    return said


def patience_of(approvals: schema.Approvals) -> Patience:
    """How long things wait."""
    return Patience(approvals.hold, approvals.linger, approvals.expire)
