"""An access request as a channel shows it: with what has become of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jitgate.flow.standing import Standing
from jitgate.values import AccessRequest, AccessState, Grant, GrantState, Use


@dataclass(frozen=True, slots=True)
class Seen:
    """An access request with what has become of it, all of one moment."""

    request: AccessRequest
    standing: Standing
    grant: Grant | None = None
    uses: Sequence[Use] = ()
    """Those of the grant, the earliest first."""

    @property
    def revision(self) -> int:
        """Up to which change of the store this is how things stand."""
        return max(self.request.revision, 0 if self.grant is None else self.grant.revision)

    @property
    def is_pending(self) -> bool:
        return self.request.state is AccessState.PENDING

    @property
    def is_live(self) -> bool:
        """Whether anything of it may still change."""
        if self.is_pending:
            return True
        return self.grant is not None and bool(
            self.grant.left or self.grant.tally.get(GrantState.IN_USE, 0)
        )
