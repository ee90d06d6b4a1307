"""What a click comes to: an answer, a form to fill in, a page to read, a grant taken back.

Whose answer counts, core decides. Here it is found out who clicked, that the message is ours, and
that what they saw is what there is to answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from math import inf
from typing import Any, Final

from jitgate.approvers.slack.about import APPROVE, DENY, DETAILS, LESS, PAGES, REVOKE
from jitgate.approvers.slack.calls import Calls
from jitgate.approvers.slack.cards import Cards, Seen, bound
from jitgate.approvers.slack.details import details_view
from jitgate.approvers.slack.filled import REASON, Errors, Filled, less_filled, reason_filled
from jitgate.approvers.slack.modals import approve_view, deny_view, less_view, revoke_view
from jitgate.approvers.slack.payloads import Bound, Click, Submission
from jitgate.approvers.slack.replies import DONE, GIVEN, Outcome, Replies
from jitgate.approvers.slack.who import Who
from jitgate.core.access import NotCounted
from jitgate.errors import SlackFault, SlackRefused
from jitgate.flow.access import Access
from jitgate.values import AccessState

CHANNEL: Final = "slack"
"""What records call this way to answer."""

OPEN_FIRST: Final = (
    "This card does not show all of the request. Open Details first: what you have not had before "
    "you, you cannot approve."
)
_UNOPENED: Final = "Slack does not open the form at present. Try again in a moment."
_TOO_LATE: Final = "That took too long, so Slack does not open the form. Press it again."
_TRIGGERS: Final = {"expired_trigger_id", "exchanged_trigger_id", "trigger_exchanged"}
_NO_GRANT: Final = NotCounted("There is nothing to revoke: this request gave no grant.")

_WORDS: Final[Mapping[str, str]] = {
    APPROVE: "approve",
    LESS: "approve",
    DENY: "deny",
    DETAILS: "details",
    REVOKE: "revoke",
    **dict.fromkeys(PAGES, "details"),
}
"""What the record calls what somebody wanted."""


class Clicks:
    """Does what buttons and forms of cards are for."""

    def __init__(
        self, access: Access, cards: Cards, who: Who, calls: Calls, replies: Replies
    ) -> None:
        self._access = access
        self._cards = cards
        self._who = who
        self._calls = calls
        self._replies = replies
        self._pressed: Mapping[str, Callable[[Click, str, Seen], Awaitable[Outcome]]] = {
            APPROVE: self._approve,
            LESS: self._ask,
            DENY: self._ask,
            DETAILS: self._details,
            REVOKE: self._ask,
            **dict.fromkeys(PAGES, self._turn),
        }
        self._submitted: Mapping[str, Callable[[Submission, str, Seen], Awaitable[Outcome]]] = {
            APPROVE: self._answer,
            LESS: self._answer,
            DENY: self._answer,
            REVOKE: self._revoke,
        }

    async def pressed(self, click: Click) -> Outcome:
        """What comes of a button."""
        if (does := self._pressed.get(click.action)) is None:
            return await self._replies.refused(click.user, click.action, "There is no such button.")
        found = await self._found(click, _WORDS[click.action], is_read=click.action != APPROVE)
        return found if isinstance(found, Outcome) else await does(click, *found)

    async def submitted(self, form: Submission) -> Outcome:
        """What comes of a form: what is wrong stands at its reason, and it stays open."""
        if (does := self._submitted.get(form.view)) is None:
            return await self._replies.refused(form.user, form.view, "There is no such form.")
        found = await self._found(form, _WORDS[form.view], is_read=False)
        outcome = found if isinstance(found, Outcome) else await does(form, *found)
        return Outcome(errors={REASON: outcome.says}) if outcome.says else outcome

    # --- who has seen what

    async def _found(
        self, done: Click | Submission, what: str, *, is_read: bool
    ) -> tuple[str, Seen] | Outcome:
        """Who it is, and what they saw. ``is_read``: nothing is decided by it."""
        about, user = done.about.request, done.user
        name = await (self._who.lately(user) if is_read else self._who.now(user))
        if isinstance(name, NotCounted):
            return await self._replies.refused(user, what, name.reason, about=about)
        seen = await self._cards.seen(done.place, done.about)  # at last: who they are takes a while
        if isinstance(seen, NotCounted):
            return await self._replies.refused(user, what, seen.reason, name=name, about=about)
        return name, seen

    async def _not_counted(
        self, done: Click | Submission, what: str, name: str, why: str
    ) -> Outcome:
        about = done.about.request
        return await self._replies.refused(done.user, what, why, name=name, about=about)

    # --- buttons

    async def _approve(self, click: Click, name: str, seen: Seen) -> Outcome:
        """All that is offered, at once: unless policy wants to know why."""
        if seen.request.ask.terms.needs_reason:
            return await self._ask(click, name, seen)
        return await self._given(click, name, seen, Filled(""), approves=True)

    async def _ask(self, click: Click, name: str, seen: Seen) -> Outcome:
        """Open the form that the button is for, to whom it is of any use."""
        what, request, names = click.action, seen.request, seen.names
        why = self._objection(name, seen, what)
        if why is not None:
            return await self._not_counted(click, _WORDS[what], name, why)
        if what in {APPROVE, LESS} and not self._cards.may_approve(click.user, seen):
            return Outcome(OPEN_FIRST)
        if what == REVOKE:
            grant = await self._access.grant(request.grant or "")
            if grant is None:
                return Outcome(_NO_GRANT.reason)
            return await self._opened(click, revoke_view(request, grant, names))
        views = {APPROVE: approve_view, LESS: less_view, DENY: deny_view}
        return await self._opened(click, views[what](request, names))

    async def _details(self, click: Click, name: str, seen: Seen) -> Outcome:
        outcome = await self._opened(click, details_view(seen.request, seen.names))
        if outcome is DONE:
            self._cards.opened(click.user, seen)
        return outcome

    async def _turn(self, click: Click, name: str, seen: Seen) -> Outcome:
        view = details_view(seen.request, seen.names, click.about.page)
        return await self._shown(click, view, "views.update", view_id=click.view)

    async def _opened(self, click: Click, view: Mapping[str, Any]) -> Outcome:
        return await self._shown(click, view, "views.open", trigger_id=click.trigger)

    async def _shown(
        self, click: Click, view: Mapping[str, Any], method: str, **where: object
    ) -> Outcome:
        made = bound(view, Bound(click.about, click.place).text)
        try:
            await self._calls.call(method, **where, view=made)
        except SlackRefused as refused:
            return Outcome(_TOO_LATE if refused.word in _TRIGGERS else _UNOPENED)
        except SlackFault:
            return Outcome(_UNOPENED)
        return DONE

    # --- forms

    async def _answer(self, form: Submission, name: str, seen: Seen) -> Outcome:
        terms = seen.request.ask.terms
        filled: Filled | Errors
        if form.view == LESS:
            filled = less_filled(form.values, terms)
        else:
            needed = form.view == APPROVE and terms.needs_reason
            filled = reason_filled(form.values, required=needed)
        if not isinstance(filled, Filled):
            return Outcome(errors=filled)
        return await self._given(form, name, seen, filled, approves=form.view != DENY)

    async def _given(
        self, done: Click | Submission, name: str, seen: Seen, filled: Filled, *, approves: bool
    ) -> Outcome:
        """Their answer: in the store and durable in the record once this returns."""
        if approves and not self._cards.may_approve(done.user, seen):
            return Outcome(OPEN_FIRST)
        after = await self._access.answer(
            seen.request.id,
            name,
            approves=approves,
            reason=filled.reason,
            channel=CHANNEL,
            less=filled.less,
        )
        if not isinstance(after, NotCounted):
            return GIVEN
        what = "approve" if approves else "deny"
        return await self._not_counted(done, what, name, after.reason)

    async def _revoke(self, form: Submission, name: str, seen: Seen) -> Outcome:
        filled = reason_filled(form.values, required=False)
        if not isinstance(filled, Filled):
            return Outcome(errors=filled)
        why = self._objection(name, seen, REVOKE)
        if why is None:
            grant = seen.request.grant
            after = await self._access.revoke(grant or "", name, filled.reason)
            why = after.reason if isinstance(after, NotCounted) else None
        return GIVEN if why is None else await self._not_counted(form, "revoke", name, why)

    def _objection(self, name: str, seen: Seen, what: str) -> str | None:
        """Why it would not count of them; who could have answered a request may revoke."""
        request = seen.request
        if what == REVOKE:
            request = replace(request, state=AccessState.PENDING, expires_at=inf)
        return self._access.standing(request, name).objection
