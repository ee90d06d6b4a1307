"""Where callbacks come in, on the admin site: POST /webhooks/NAME, and a JSON object in answer.

200 is said of what counts alone, once it is committed and on record; of what is not known 503.
Whoever is refused is on record, in bounds.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict
from typing import Any, Final

import orjson
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from jitgate.approvers.webhook.answering import Answers, Callback, Counted, Refused
from jitgate.errors import JitgateError, traced
from jitgate.flow.refusals import Refusals
from jitgate.values import AccessRequest

SEGMENT: Final = "webhooks"
"""Under which the callbacks are."""

REFUSED: Final = "webhook.refused"
"""The type of the entries that say who was refused."""

BODY_BYTES: Final = 16 * 1024
"""The longest body: two ids, a person and a reason whose every character is escaped."""

SHOWN: Final = 200
"""Characters of what was asked for that are put on record."""

FAULT: Final = "The gateway has a fault, and its log says which. Whether it counts is not known."

_UNPROVED: Final = frozenset({401, 404, 405, 413})
"""What anybody can be told: it is refused before it is known whose it is."""

Callbacks = Mapping[str, Callback]
"""Those that there are now, by the names of their webhooks."""


class CallbackSite(Resource):
    """All callbacks, as ``callbacks`` has them at the time."""

    isLeaf = True  # noqa: N815 (twisted.web's name)

    def __init__(self, answers: Answers, refusals: Refusals) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._answers = answers
        self._refusals = refusals
        self.callbacks: Callbacks = {}

    def render(self, request: Request) -> int:
        _Exchange(self, request).begin()
        return NOT_DONE_YET

    async def outcome(self, request: Request, name: str) -> Counted | Refused:
        """What comes of a request. Raises what `Access` raises where it cannot tell."""
        callback = self.callbacks.get(name)
        if callback is None or request.prepath != [SEGMENT.encode("ascii")]:
            return Refused(404, "There is no such callback.")
        if request.method != b"POST":
            return Refused(405, "A callback is a POST.")
        assert request.content is not None  # noqa: S101 (there is, once all of it has come)
        body = request.content.read(BODY_BYTES + 1)
        if len(body) > BODY_BYTES:
            return Refused(413, f"A callback has at most {BODY_BYTES} bytes.")
        fields = {
            key.decode("latin-1").lower(): tuple(values)
            for key, values in request.requestHeaders.getAllRawHeaders()
        }
        return await self._answers.take(callback, fields, body)

    async def note(self, request: Request, name: str, refused: Refused) -> None:
        """Put on record who was refused what; by the webhook, and by the person if that is known.

        What is not proved shares one bound for each webhook: nobody can use up another's.
        """
        known = name if name in self.callbacks else None
        said = {} if refused.asked is None else _said(asdict(refused.asked))
        fields = {
            "webhook": name[:SHOWN],
            "peer": f"{request.getClientAddress()}"[:SHOWN],
            "status": refused.status,
            **said,
            "why": refused.why,
        }
        who: Hashable = (known, said.get("person"), refused.status in _UNPROVED)
        await self._refusals.note(who, fields)


class _Exchange:
    """One request and its answer, which is dropped where nobody waits for it any more."""

    _log = Logger()

    def __init__(self, site: CallbackSite, request: Request) -> None:
        self._site = site
        self._request = request
        self._name = b"/".join(request.postpath or ()).decode("latin-1")
        self._gone = False

    def begin(self) -> None:
        self._request.notifyFinish().addErrback(self._left)
        Deferred.fromCoroutine(self._serve())

    def _left(self, _: Any) -> None:
        self._gone = True

    async def _serve(self) -> None:
        """Answer. No other place here turns faults into answers."""
        try:
            outcome = await self._site.outcome(self._request, self._name)
            if isinstance(outcome, Refused):
                await self._site.note(self._request, self._name, outcome)
                status, content = outcome.status, _no(outcome.why, counted=False)
            else:
                status, content = 200, _yes(outcome)
        except JitgateError as fault:
            status, content = 503, _no(f"{fault}", counted=None)
        except Exception as fault:  # noqa: BLE001 (whatever it is, it is not known whether it counts)
            self._log.critical("A callback has a fault: {how}", how=traced(fault))
            status, content = 503, _no(FAULT, counted=None)
        self._send(status, content)

    def _send(self, status: int, content: Mapping[str, object]) -> None:
        if self._gone:
            return
        self._request.setResponseCode(status)
        self._request.setHeader(b"Content-Type", b"application/json")
        self._request.setHeader(b"Cache-Control", b"no-store")
        if status == 405:
            self._request.setHeader(b"Allow", b"POST")
        self._request.write(orjson.dumps(content))
        self._request.finish()


def _no(why: str, *, counted: bool | None) -> dict[str, object]:
    return {"counted": counted, "why": why}


def _yes(outcome: Counted) -> dict[str, object]:
    about = outcome.about
    told = {"id": about.id, "state": about.state.value, "why": about.why}
    if isinstance(about, AccessRequest):
        return {"counted": True, "access_request": {**told, "grant": about.grant}}
    return {"counted": True, "grant": {**told, "left": about.left}}


def _said(asked: Mapping[str, Any]) -> dict[str, object]:
    """Of what a message asks: what it is about, and for whom it speaks."""
    about = {key: asked[key][:SHOWN] for key in ("access_request", "grant") if key in asked}
    return {**about, "person": asked["approver"][:SHOWN]}
