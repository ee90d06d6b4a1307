"""The bodies of an exchange for the record and for people, without what is not shown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from jitgate.core.hiding import Hand
from jitgate.core.masking import Maskers
from jitgate.core.media import has_names, masked
from jitgate.core.profiles import SENSITIVE, MarkedFields
from jitgate.errors import MaskingFault
from jitgate.flow.account import Account
from jitgate.flow.slices import Share, Turn
from jitgate.interfaces import IMasker
from jitgate.values import Body, Headers


async def shown_request(account: Account, turn: Turn) -> Body | None:
    """The request's body for people: only where it can be masked, its digest always."""
    if not account.sent.bytes:
        return None
    body = account.sent.body
    if not body.complete:
        return None
    headers = account.head.headers
    try:
        if not has_names(headers):  # that nobody finds anything does not say that it is none
            return None
    except MaskingFault:
        return None
    return await masked_body(headers, body.data, [SENSITIVE, *account.maskers], turn)


async def shown_response(account: Account, turn: Turn) -> Body | None:
    """The response's body: as released, but for what the catalog marks as secret.

    An agent may be let see such a value; in the record it would outlive it, and be seen by
    others.
    """
    body, operation = account.released.body, account.operation
    if operation is None or not operation.secrets or account.answer is None:
        return body
    if any(isinstance(masker, MarkedFields) for masker in account.maskers):
        return body
    if not body.complete:
        return None
    marked = [MarkedFields(operation.secrets)]
    return await masked_body(account.answer.headers, body.data, marked, turn)


async def masked_body(
    headers: Headers, data: bytes, maskers: Sequence[IMasker], turn: Turn
) -> Body | None:
    """A body without what the maskers hide; None where it cannot be looked at."""
    work = partial(masked, headers, data, Maskers(maskers, Hand(openly=True)))
    try:
        shown = await Share(turn).done(work)
    except MaskingFault:
        return None
    return Body(shown, len(shown), complete=True)
