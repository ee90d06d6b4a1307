"""Slack's Bolt: verifies what comes in, tells what it is, and answers Slack once we have.

Bolt works in threads; what is decided is decided on the reactor, for which a thread waits. Slack is
told that something was taken once it is done, and not before.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from slack_bolt import Ack, App, BoltContext, BoltRequest, BoltResponse
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread
from twisted.logger import Logger

from jitgate.approvers.slack.desk import Desk
from jitgate.approvers.slack.gate import UNKEPT
from jitgate.errors import traced

EVENTS: Final = ("reaction_added", "reaction_removed")
"""The events that the app asks Slack for: the manifest names them too."""

OURS: Final = re.compile(r"jitgate\.")
"""How the names of all buttons and forms begin that are ours."""

SILENT: Final = logging.Logger("slack", level=logging.CRITICAL + 1)  # noqa: LOG001 (see below)
"""Bolt tells its logger what it receives, secrets included. This one tells nobody."""
SILENT.disabled = True

NO_RETRY: Final = "x-slack-no-retry"
"""Keeps Slack from sending an event again that is not let in."""

Body = dict[str, Any]
Result = TypeVar("Result")


class Bolt:
    """Bolt's App, as the gateway needs it: it calls nobody, and knows no token.

    Args:
        desk: What is sent is done there.
        reactor: Where the desk is.
        team: The workspace.
        signing_secret: What the requests are signed with that come over HTTP; None where none do.
    """

    _log = Logger()

    def __init__(self, desk: Desk, *, reactor: Any, team: str, signing_secret: str | None) -> None:
        self._desk = desk
        self._reactor = reactor
        self.now = desk.now
        self._app = App(
            name="jitgate",
            logger=SILENT,
            signing_secret=signing_secret or "-",
            client=WebClient(logger=SILENT),
            # Which workspace it is was looked at by then. Bolt has no token to call Slack with.
            authorize=lambda: AuthorizeResult(enterprise_id=None, team_id=team),
            before_authorize=self._let_in,
            process_before_response=True,
            ssl_check_enabled=False,
            attaching_function_token_enabled=False,
            attaching_conversation_kwargs_enabled=False,
        )
        self._app.block_action({"action_id": OURS})(self._pressed)
        self._app.view(OURS)(self._submitted)
        for event in EVENTS:
            self._app.event(event)(self._reacted)
        self._app.error(self._failed)

    def signed(self, body: str, fields: Mapping[str, str], since: float) -> BoltResponse:
        """Take what came over HTTP. In a thread; ``fields`` has what it is verified by."""
        proof = f"{fields['x-slack-request-timestamp']} {fields['x-slack-signature']}"
        context = {"jitgate_proof": proof, "jitgate_since": since}
        return self._dispatched(body=body, headers=dict(fields), context=context)

    def enveloped(self, body: Body, envelope: str) -> BoltResponse:
        """Take what came through the connection that Slack was asked for. In a thread."""
        since = blockingCallFromThread(self._reactor, self.now)
        context = {"jitgate_proof": f"envelope {envelope}", "jitgate_since": since}
        return self._dispatched(mode="socket_mode", body=body, context=context)

    def _dispatched(self, **request: Any) -> BoltResponse:
        """What Bolt answers. It reads what was sent before it looks at who has signed it."""
        try:
            read = BoltRequest(**request)
        except Exception:  # noqa: BLE001 (whatever Bolt makes of it, nothing can be made of it)
            return BoltResponse(status=400, body="It cannot be read.")
        return self._app.dispatch(read)

    # --- what Bolt calls

    def _let_in(
        self,
        body: Body,
        context: BoltContext,
        next: Callable[[], None],  # noqa: A002 (Bolt's name)
    ) -> BoltResponse | None:
        proof, since = context["jitgate_proof"], context["jitgate_since"]
        why = self._wait(self._desk.objection(body, proof, since))
        if why is not None:
            if why == UNKEPT:
                return BoltResponse(status=503, body=why)
            return BoltResponse(status=403, body=why, headers={NO_RETRY: "1"})
        next()
        return None

    def _pressed(self, body: Body, ack: Ack, context: BoltContext) -> BoltResponse:
        self._wait(self._desk.pressed(body, context["jitgate_since"]))
        return ack()

    def _submitted(self, body: Body, ack: Ack, context: BoltContext) -> BoltResponse:
        outcome = self._wait(self._desk.submitted(body, context["jitgate_since"]))
        if outcome.errors:
            return ack(response_action="errors", errors=dict(outcome.errors))
        return ack()

    def _reacted(self, body: Body, ack: Ack, context: BoltContext) -> BoltResponse:
        self._wait(self._desk.reacted(body, context["jitgate_since"]))
        return ack()

    def _failed(self, error: Exception) -> BoltResponse:
        self._log.critical("Slack: {how}", how=traced(error))
        return BoltResponse(status=500, body="The gateway has a fault, and its log says which.")

    def _wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What comes of it on the reactor; that is bounded there (`Replies.in_time`)."""
        begin: Any = Deferred.fromCoroutine
        result: Result = blockingCallFromThread(self._reactor, begin, work)
        return result
