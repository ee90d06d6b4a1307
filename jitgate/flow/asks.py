"""A call as people are asked about it: what they see of it, and the print that stands for it.

A print is keyed by the site, so that nobody can guess by it what is not shown.
"""

from __future__ import annotations

import hmac
import json
from functools import partial

from jitgate.core.access import scope, terms_of
from jitgate.core.fields import is_json
from jitgate.core.fingerprint import counting_fields, fingerprint
from jitgate.core.injection import NOTHING_ISSUED
from jitgate.flow.bodies import HeldBody
from jitgate.flow.call import Call
from jitgate.flow.shown_bodies import shown_request
from jitgate.flow.shown_requests import shown_fields, shown_target
from jitgate.flow.slices import Share, Turn
from jitgate.values import Ask, Body, Decision, Denial, Operation, Refusal, RequestHead, Shown


class Asks:
    """Makes what people are asked. ``turn`` lets others have theirs while a body is masked."""

    def __init__(self, site_key: bytes, turn: Turn) -> None:
        self._site_key = site_key
        self._turn = turn

    async def ask(self, call: Call, held: HeldBody, decision: Decision) -> Ask | Refusal:
        """What people are asked; or why nobody is, where nobody could approve it."""
        terms = terms_of(decision)
        if terms is None:
            return Refusal(Denial.NEEDS_APPROVAL, decision.reason, decision.rule)
        head = call.head(held, NOTHING_ISSUED)
        body = await shown_request(call.account, self._turn)
        shown = await Share(self._turn).done(partial(_shown, call, head, body))
        if shown.body is None and shown.length and _is_to_be_seen(call):
            return Refusal(Denial.MALFORMED, _UNSEEN)
        return Ask(
            subject=call.subject,
            operation=call.operation,
            fingerprint=self.fingerprint(call, head, held.data),
            terms=terms,
            rule=decision.rule,
            reason=decision.reason,
            policy=decision.policy,
            session=call.session,
            exchange=call.account.id,
            shown=shown,
        )

    def scope_print(self, operation: Operation) -> str:
        """Stands for what a token is asked for, ahead of any call; keyed as a fingerprint is."""
        plain = json.dumps(scope(operation), sort_keys=True).encode()
        return hmac.digest(self._site_key, b"jitgate scope\0" + plain, "sha256").hex()

    def fingerprint(self, call: Call, head: RequestHead, body: bytes) -> str:
        """Of a head and a body as they leave, less the credential; keyed.

        So nobody can guess a body by it.
        """
        plain = fingerprint(head, body, call.target.declared)
        return hmac.digest(self._site_key, b"jitgate fingerprint\0" + plain, "sha256").hex()


_UNSEEN = (
    "The body is JSON by its operation or by its Content-Type, and cannot be shown to the people "
    "who would approve it: it is no JSON that can be masked."
)


def _is_to_be_seen(call: Call) -> bool:
    """Whether people would rightly expect to see the body: then nobody approves it unseen.

    What is longer than the record keeps is shown to nobody: ``review_body`` says whether it may go.
    """
    is_kept = call.account.sent.body.complete
    return is_kept and (call.operation.json or is_json(call.request.head.headers))


def _shown(call: Call, head: RequestHead, body: Body | None) -> Shown:
    """The call as people see it: what will be sent, with secrets masked."""
    fields = shown_fields(counting_fields(head.headers, call.target.declared), call.account.maskers)
    return Shown(
        url=shown_target(call.operation.url, call.account.maskers),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields),
        body=None if body is None else body.data.decode("utf-8", "replace"),
        length=call.account.sent.bytes,
    )
