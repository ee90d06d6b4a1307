"""A rule in Python: nobody gets an administrator's role through the gateway.

Named in the configuration's ``plugins``. ``options`` may hold ``actions``, a list of more actions
to deny.
"""

from __future__ import annotations

import hashlib

import orjson
from zope.interface import implementer

from jitgate.core.policy import NEEDS_BODY, NeedsBody
from jitgate.interfaces import IConcernedRule
from jitgate.plugins import PluginOptions
from jitgate.values import Effect, Inquiry, Risk, Verdict

ROLE_GRANTS = frozenset(
    {
        "assignRoleToUser",
        "assignRoleToGroup",
        "assignRoleToClient",
        "createRole",
        "replaceRole",
        "createRolePermission",
        "replaceRolePermission",
        # who has a role of one's own making, and what it reaches
        "createResourceSet",
        "replaceResourceSet",
        "createResourceSetBinding",
        "addMembersToBinding",
        "addResourceSetResource",
        "addResourceSetResources",
        "replaceResourceSetResource",
        "createGovernanceBundle",
        "replaceGovernanceBundle",
        # what a standard role reaches
        "assignGroupTargetToUserRole",
        "assignGroupTargetToGroupAdminRole",
        "assignGroupTargetRoleForClient",
        "assignAppTargetToAdminRoleForUser",
        "assignAppTargetToAdminRoleForGroup",
        "assignAppTargetRoleToClient",
        "assignAppInstanceTargetToAppAdminRoleForUser",
        "assignAppInstanceTargetToAppAdminRoleForGroup",
        "assignAppTargetInstanceRoleForClient",
        "assignAllAppsAsTargetToRoleForUser",
        # what new clients and administrators get by themselves
        "assignClientPrivilegesSetting",
        "updateAutoAssignAdminAppSetting",
        "updateThirdPartyAdminSetting",
    }
)

NEW_USER = "createUser"
"""Denied only where its body names groups."""


class Options(PluginOptions):
    """More actions to deny."""

    actions: list[str] = []


@implementer(IConcernedRule)
class NoAdminGrants:
    """Denies the operations that give administrative rights, or a new user groups that may."""

    name = "no-admin-grants"

    def __init__(self, more: frozenset[str]) -> None:
        self._denied = ROLE_GRANTS | more
        self.version = hashlib.sha256(repr(sorted(self._denied)).encode()).hexdigest()

    def concerns(self, target: str, action: str, method: str, risk: Risk | None) -> bool:
        """Of all other calls it is not even asked."""
        return action in self._denied or action == NEW_USER

    def judge(self, inquiry: Inquiry) -> Verdict | NeedsBody | None:
        """Deny what grants; say nothing of all else."""
        action, body = inquiry.operation.action, inquiry.body
        if action in self._denied:
            return Verdict(Effect.DENY, "Administrators are made by people, never by agents")
        if action != NEW_USER:
            return None
        if body is None:
            return NEEDS_BODY
        if _names_groups(body):
            return Verdict(Effect.DENY, "People are put into groups by people, not when created")
        return None

    judge_concerned = judge


def _names_groups(body: bytes) -> bool:
    """Whether the body puts somebody into groups, or is nothing that can be read.

    Of a member that stands twice any one counts. The gateway hands on 32 KiB of body at most.
    """
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError:
        return True
    return not isinstance(members, dict) or any(name.lower() == "groupids" for name in members)


def plugin(options: Options) -> NoAdminGrants:
    """What the configuration's ``plugins`` entry loads."""
    return NoAdminGrants(frozenset(options.actions))
