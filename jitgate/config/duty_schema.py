"""What a rule obliges to, as it is written: who approves, what that gives, how many calls pass."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from jitgate.config.kinds import Duration, Section
from jitgate.core import duties
from jitgate.values import Per


class EscalationTerms(Section):
    """Who may answer as well where those before have not, so long after they were asked."""

    after: Duration = Field(ge=1.0, le=7 * 86400.0)
    groups: tuple[str, ...] = Field(min_length=1, strict=False)


class Approvers(Section):
    """Who may answer for an operation that needs approval."""

    groups: tuple[str, ...] = Field(min_length=1, strict=False)
    quorum: int = Field(default=1, ge=1, le=10)
    escalate: tuple[EscalationTerms, ...] = Field(default=(), max_length=10, strict=False)
    reason: Literal["required", "optional"] = "optional"
    denials: int = Field(default=1, ge=1, le=10)
    signs: bool = False
    privately: bool = False

    @property
    def every_group(self) -> tuple[str, ...]:
        """All who may ever answer."""
        later = (name for each in self.escalate for name in each.groups)
        return tuple(dict.fromkeys([*self.groups, *later]))


class GrantTerms(Section):
    """What an approval gives."""

    uses: int = Field(default=1, ge=1, le=1000)
    life: Duration = Field(default=300.0, ge=1.0, le=86400.0)


class BudgetTerms(Section):
    """How many calls a rule lets pass, or sends to people, in any window of that length."""

    uses: int = Field(ge=1, le=duties.USES)
    within: Duration = Field(ge=1.0, le=duties.LONGEST)
    per: Per = Field(default=Per.SUBJECT, strict=False)


def _one_or_several(written: object) -> object:
    return [written] if isinstance(written, dict) else written


Quorums = Annotated[
    tuple[Approvers, ...],
    BeforeValidator(_one_or_several, Approvers | list[Approvers]),
    Field(min_length=1, max_length=10, strict=False),
]
"""One quorum or a list of them, all of which must be met, by different people."""

Budgets = Annotated[
    tuple[BudgetTerms, ...],
    BeforeValidator(_one_or_several, BudgetTerms | list[BudgetTerms]),
    Field(min_length=1, max_length=10, strict=False),
]
"""One budget or a list of them."""
