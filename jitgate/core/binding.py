"""What a token of the gateway's own was made for, and whether a call is that."""

from __future__ import annotations

from typing import Final

from jitgate.values import Binding, Denial, Operation, Refusal

ISSUER: Final = "https://jitgate.internal"
"""Who makes such tokens: the gateway's own pages."""

LONGEST: Final = 900.0
"""Seconds that such a token may live."""

LARGEST: Final = 16 * 1024
"""Bytes that such a token may have: what the gateway reads of any token."""

OPERATION: Final = "jitgate_operation"
"""The type of our authorization details (RFC 9396, section 2)."""


def within(binding: Binding | None, operation: Operation) -> bool:
    """Whether a token that is bound so is good for the operation; without a binding any is.

    A HEAD asks for what its GET does (RFC 9110, section 9.3.2), and has its action. What goes
    through a WebSocket is no one operation, so that no such token opens any.
    """
    if binding is None or binding.target is None:
        return True
    if operation.opens is not None:
        return False
    return (binding.target, binding.action, dict(binding.resource)) == (
        operation.target,
        operation.action,
        dict(operation.resource),
    )


def out_of_scope(binding: Binding | None, operation: Operation) -> Refusal:
    """What an agent is told whose token is not good for the operation."""
    made = binding and f"{binding.action} on {binding.target}"
    return Refusal(
        Denial.TOKEN_OUT_OF_SCOPE,
        f"The token was made for one operation ({made}), and this call is another: "
        f"{operation.action} on {operation.target}, or on another resource.",
        advice="Bring the identity provider's token, or one that is made for this operation.",
    )


def details(binding: Binding) -> list[dict[str, object]]:
    """What a token is for, as authorization details; nothing where it is for all."""
    if binding.target is None:
        return []
    return [
        {
            "type": OPERATION,
            "target": binding.target,
            "action": binding.action,
            "resource": dict(binding.resource),
        }
    ]
