"""Which denial a fault is, and what an agent is told of it: by what was sent before, and approved.

That a fault denies is the gateway's doing, and nobody else's: only it asks here.
"""

from __future__ import annotations

from collections.abc import Mapping

from jitgate.core.rates import LONGEST, SPREAD
from jitgate.errors import (
    AddressRefused,
    AgentGone,
    ApproversUnreachable,
    BodyTooLarge,
    CredentialBusy,
    CredentialRefused,
    CredentialUnavailable,
    CutShort,
    HeadTooLarge,
    IdentityUnavailable,
    JitgateError,
    MalformedRequest,
    MaskingFault,
    Misdirected,
    PeerFault,
    RecorderDown,
    RuleFault,
    StoreDown,
    UpstreamMalformed,
    UpstreamUnreachable,
    UpstreamUntrusted,
)
from jitgate.flow.account import Account
from jitgate.flow.rates import busy
from jitgate.values import Denial, Refusal

_LATER = "Send the call again in a while."
_ANSWERED = "The target has answered the call. Do not repeat it: no response would come again."
_APPROVED = "Nothing was sent, and the approval stands: send the same call again soon."
_LOOK_FIRST = "The target may have carried it out: look before you repeat it."

_FAULTS: Mapping[type[JitgateError], Denial] = {
    MalformedRequest: Denial.MALFORMED,
    HeadTooLarge: Denial.HEAD_TOO_LARGE,
    Misdirected: Denial.HOST_MISMATCH,
    BodyTooLarge: Denial.BODY_TOO_LARGE,
    AgentGone: Denial.AGENT_GONE,
    CutShort: Denial.CUT_SHORT,
    UpstreamUnreachable: Denial.UPSTREAM_UNREACHABLE,
    AddressRefused: Denial.UPSTREAM_UNREACHABLE,
    UpstreamUntrusted: Denial.UPSTREAM_UNTRUSTED,
    UpstreamMalformed: Denial.UPSTREAM_MALFORMED,
    MaskingFault: Denial.RESPONSE_WITHHELD,
    CredentialUnavailable: Denial.CREDENTIAL_UNAVAILABLE,
    CredentialBusy: Denial.TARGET_BUSY,
    CredentialRefused: Denial.POLICY,
    IdentityUnavailable: Denial.IDENTITY_UNAVAILABLE,
    RecorderDown: Denial.RECORDER_DOWN,
    StoreDown: Denial.STORE_DOWN,
    ApproversUnreachable: Denial.APPROVERS_UNREACHABLE,
}
"""Which fault becomes which denial; any other is `Denial.FAULT`, with a fixed sentence."""


_PASSING = frozenset(
    {
        Denial.IDENTITY_UNAVAILABLE,
        Denial.UPSTREAM_UNREACHABLE,
        Denial.CREDENTIAL_UNAVAILABLE,
        Denial.RECORDER_DOWN,
        Denial.STORE_DOWN,
        Denial.APPROVERS_UNREACHABLE,
        Denial.CUT_SHORT,
    }
)
"""What may be otherwise in a while, though nothing of the call was wrong."""

_NOT_TOLD = frozenset({Denial.UPSTREAM_MALFORMED, Denial.UPSTREAM_UNREACHABLE})
"""The target's answer was no whole one: what it has done is not known."""


def is_foreseen(fault: Exception) -> bool:
    """Whether it has a denial of its own, or is a peer's and no fault of the gateway's."""
    return _denial(fault) is not None or isinstance(fault, PeerFault)


def _denial(fault: Exception) -> Denial | None:
    return next((_FAULTS[kind] for kind in type(fault).mro() if kind in _FAULTS), None)


def denial_of(fault: Exception, account: Account | None, now: float) -> Refusal:
    """The denial that a fault becomes; of one nobody foresaw the agent learns nothing."""
    denial = _denial(fault)
    if isinstance(fault, CredentialBusy):
        return _slowed(fault, account, now)
    if denial is Denial.RESPONSE_WITHHELD and account is not None and account.begun:
        return _withheld(fault, account)
    known = isinstance(fault, JitgateError)
    detail = f"{fault}" if known else "The gateway failed; its log says how."
    rule = fault.rule if isinstance(fault, RuleFault) else None
    manner = _manner(account) if denial in _NOT_TOLD else None
    return Refusal(denial or Denial.FAULT, detail, rule, _advice(denial, account), manner=manner)


def _slowed(fault: CredentialBusy, account: Account | None, now: float) -> Refusal:
    """The slow-down that a call gets for which no credential can be had just now."""
    wait = fault.until - now
    wait = min(wait, LONGEST + SPREAD) if wait > 0 else 0.0  # whatever a plugin says
    approved = account is not None and account.grant is not None
    return busy(f"{fault}", wait, now, approved=approved)


def _withheld(fault: Exception, account: Account) -> Refusal:
    """What tells that the target has answered, with what, and why the agent does not see it."""
    status = account.upstream_status
    told = f"{fault}" if status is None else f"{fault} The target answered with status {status}."
    return Refusal(Denial.RESPONSE_WITHHELD, told, advice=_ANSWERED, manner=_manner(account))


def _manner(account: Account | None) -> str | None:
    """How what came of a call is told that may have changed something: clients send no 403 again.

    Whether it was carried out is not always known; where it was, it would be made twice.
    """
    if account is None or not account.begun:
        return None
    changes = account.operation is None or account.operation.changes
    return "carried-out" if changes else None


def _advice(denial: Denial | None, account: Account | None) -> str:
    """What to do after a fault: it depends on whether anything was sent, and was approved."""
    if account is not None and account.begun:
        changes = account.operation is not None and account.operation.changes
        return _LOOK_FIRST if changes else _LATER
    if account is not None and account.grant is not None and denial is not Denial.POLICY:
        return _APPROVED
    return _LATER if denial in _PASSING else Refusal(Denial.FAULT, "").advice
