"""A rule in Python: nobody gets an administrator's role through the gateway.

Named in the configuration's ``plugins``. ``options`` may hold ``actions``, a list of more actions
to deny.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from zope.interface import implementer

from jitgate.interfaces import IRule
from jitgate.values import Effect, Operation, Subject, Verdict

ROLE_GRANTS = frozenset(
    {
        "assignRoleToUser",
        "assignRoleToGroup",
        "assignRoleToClient",
        "createRole",
        "replaceRole",
        "createResourceSetBinding",
        "addMembersToBinding",
    }
)


@implementer(IRule)
class NoAdminGrants:
    """Denies every operation that gives administrative rights to anybody."""

    name = "no-admin-grants"

    def __init__(self, more: frozenset[str]) -> None:
        self._denied = ROLE_GRANTS | more
        self.version = hashlib.sha256(repr(sorted(self._denied)).encode()).hexdigest()

    def judge(
        self, operation: Operation, subject: Subject, now: float, body: bytes | None
    ) -> Verdict | None:
        """Deny what grants; say nothing of all else."""
        if operation.action not in self._denied:
            return None
        return Verdict(Effect.DENY, "Administrators are made by people, never by agents")


def plugin(options: Mapping[str, object]) -> NoAdminGrants:
    """What the configuration's ``plugins`` entry loads."""
    unknown = set(options) - {"actions"}
    if unknown:
        raise ValueError(f"unknown option {min(unknown)!r}; there is only 'actions'")
    actions = options.get("actions", [])
    if not isinstance(actions, list) or not all(isinstance(each, str) for each in actions):
        raise ValueError("'actions' is a list of action names")
    return NoAdminGrants(frozenset(actions))
