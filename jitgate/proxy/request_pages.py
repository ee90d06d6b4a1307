"""The pages about access requests: an agent asks ahead of a call, looks how it stands, withdraws.

Whoever asks is asked about alone, and nothing here decides: policy does, and people.
"""

from __future__ import annotations

import hashlib
import math

from twisted.internet.interfaces import IReactorTime

from jitgate.core.fields import values_of
from jitgate.core.waiting import RETURN_AFTER
from jitgate.flow.access import KEPT_FOR, Access
from jitgate.flow.evaluating import Evaluations, NotTaken
from jitgate.flow.grants import Grants
from jitgate.proxy import authzen
from jitgate.proxy.authzen import ERROR, Submission, Unreadable
from jitgate.proxy.idempotency import Keys
from jitgate.proxy.page import PLAIN, Asked, Page, json_page, problem
from jitgate.proxy.refusals import PROBLEM, STATUS, TITLES
from jitgate.proxy.tasks import status, status_url
from jitgate.values import AccessRequest, AccessState, Headers, Refusal

_STATUS = {
    "not_requestable": 400,
    "invalid_denial_binding": 400,
    "expired_denial": 410,
    "duplicate_request": 409,
}
_TITLES = {
    "not_requestable": "Nobody can be asked for this",
    "invalid_denial_binding": "The request is not bound to a denial",
    "expired_denial": "The denial is too old",
    "duplicate_request": "The Idempotency-Key was used for another request",
}
_AGAIN = ((b"Retry-After", b"%d" % math.ceil(RETURN_AFTER)),)
_NAME = 255
"""Bytes of an X-Request-ID that is given back: a UUID has 36."""


class RequestPages:
    """Makes the pages for whoever asks, of what is their own."""

    def __init__(
        self, access: Access, grants: Grants, evaluations: Evaluations, clock: IReactorTime
    ) -> None:
        self._access = access
        self._grants = grants
        self._evaluations = evaluations
        self._keys = Keys(clock)

    # --- ahead of a call

    async def metadata(self, asked: Asked) -> Page:
        """Where all this is (section "Discovery")."""
        return json_page(200, authzen.metadata())

    async def evaluated(self, asked: Asked) -> Page:
        """What would become of a call."""
        named = _named(asked.headers)
        said = authzen.inquiry_of(asked.headers, asked.body)
        if isinstance(said, Unreadable):
            return _unreadable(said, *named)
        subject = asked.subject
        if said.subject != subject.id or not all(authzen.proves(subject, x) for x in said.actors):
            return json_page(200, authzen.of_another(), *named)
        found = await self._evaluations.evaluate(subject, said.asked, asked.session, said.approval)
        return json_page(200, authzen.evaluated(found), *named)

    async def submitted(self, asked: Asked) -> Page:
        """The task that came of an access request (section "Access Request Response")."""
        said = authzen.submission_of(asked.headers, asked.body)
        if isinstance(said, Unreadable):
            return _unreadable(said)
        if not all(authzen.proves(asked.subject, each) for each in said.actors):
            detail = "The actor is not whom your token proves."
            return problem(403, PLAIN, "Forbidden", detail)
        key = authzen.key_of(asked.headers)
        if isinstance(key, Unreadable):
            return _unreadable(key)
        if key is None:
            return await self._begun(await self._request(asked, said))
        return await self._begun(await self._once(asked, said, key))

    async def _request(self, asked: Asked, said: Submission) -> AccessRequest | Refusal | NotTaken:
        return await self._evaluations.request(
            asked.subject, said.asked, asked.session, said.evaluation
        )

    async def _once(
        self, asked: Asked, said: Submission, key: str
    ) -> AccessRequest | Refusal | NotTaken:
        """The request that this key has brought before, or brings now."""
        owner = asked.subject.key
        digest = hashlib.sha256(said.written.encode()).hexdigest()
        slot = self._keys.taken(owner, key, digest, KEPT_FOR)
        if slot is None:
            return NotTaken("duplicate_request", "Another submission of yours had this key.")
        before = await self._access.own(asked.subject, slot.request) if slot.request else None
        if before is not None:
            return before
        found: AccessRequest | Refusal | NotTaken | None = None
        try:
            found = await self._request(asked, said)
        finally:
            if isinstance(found, AccessRequest):
                slot.request, slot.until = found.id, found.expires_at + KEPT_FOR
            else:
                self._keys.forget(owner, key)
        return found

    async def _begun(self, found: AccessRequest | Refusal | NotTaken) -> Page:
        if isinstance(found, NotTaken):
            code, title = _STATUS[found.error], _TITLES[found.error]
            return problem(code, f"{ERROR}{found.error}", title, found.detail)
        if isinstance(found, Refusal):
            return _refused(found)
        code = 202 if found.state is AccessState.PENDING else 201
        return await self._standing(found, code, (b"Location", status_url(found.id).encode()))

    # --- what was asked for

    async def listed(self, asked: Asked) -> Page:
        """The subject's pending requests. The profile has no such page."""
        pending = await self._access.owned(asked.subject)
        return json_page(200, {"tasks": [status(each, None)["task"] for each in pending]})

    async def standing(self, asked: Asked, key: str) -> Page:
        """How a request stands (section "Task Status Endpoint")."""
        request = await self._access.own(asked.subject, key)
        return _unknown() if request is None else await self._standing(request)

    async def cancelled(self, asked: Asked, key: str) -> Page:
        """How it stands once it was withdrawn (section "Cancellation")."""
        if await self._access.own(asked.subject, key) is None:
            return _unknown()
        after = await self._access.cancel(key, asked.subject)
        if after is None:
            detail = "Only a request that is pending can be cancelled."
            return problem(409, f"{ERROR}invalid_task_state", "It has ended", detail)
        return await self._standing(after)

    async def _standing(
        self, request: AccessRequest, code: int = 200, *more: tuple[bytes, bytes]
    ) -> Page:
        if request.state is AccessState.PENDING:
            return json_page(code, status(request, None), *more, *_AGAIN)
        return json_page(code, status(request, await self._grants.covering(request.ask)), *more)


def _named(headers: Headers) -> Headers:
    """The asker's own name for its request (Authorization API 1.0, "Request Identification")."""
    names = values_of(headers, b"x-request-id")
    return ((b"X-Request-ID", names[0]),) if len(names) == 1 and len(names[0]) <= _NAME else ()


def _unreadable(why: Unreadable, *more: tuple[bytes, bytes]) -> Page:
    if why.error is None:
        return problem(400, PLAIN, "Bad Request", why.detail, *more)
    return problem(400, f"{ERROR}{why.error}", _TITLES[why.error], why.detail, *more)


def _refused(refusal: Refusal) -> Page:
    """Why people are not asked: too many wait already, or they have said no."""
    again = None if refusal.pending is None else refusal.pending.again
    more = () if again is None else ((b"Retry-After", b"%d" % math.ceil(again)),)
    kind, title = PROBLEM + refusal.denial.value, TITLES[refusal.denial]
    return problem(STATUS[refusal.denial], kind, title, refusal.detail, *more)


def _unknown() -> Page:
    detail = "You have no access request of that id, or it has been forgotten."
    return problem(404, f"{ERROR}unknown_task", "There is no such access request", detail)
