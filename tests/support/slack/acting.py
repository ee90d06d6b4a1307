"""What people do in Slack, and what it sends the app then."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping

from support.slack import payloads
from support.slack.afterwards import ResponseUrls
from support.slack.blocks import Json
from support.slack.delivery import Answer, Courier
from support.slack.hosting import Looped, blocking
from support.slack.looking import Looking
from support.slack.payloads import HONEST, Forgery
from support.slack.people import Person
from support.slack.seed import BOT_TOKEN, FACTS
from support.slack.web import Front


class Acting(Looped):
    """People who click, fill in, react and type. Every method blocks until the app has answered."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        front: Front,
        courier: Courier,
        looking: Looking,
        response_urls: ResponseUrls,
    ) -> None:
        super().__init__(loop)
        self.front, self.courier = front, courier
        self.looking, self.response_urls = looking, response_urls

    @blocking
    async def click(
        self,
        message: Json,
        action_id: str,
        person: Person,
        *,
        chosen: str | None = None,
        as_shown: bool = False,
        late: bool = False,
        forgery: Forgery = HONEST,
    ) -> Answer:
        """Click at a button of a message, or choose an option of a select.

        The button must be there now; with ``as_shown`` it is that of the message as it is given,
        which may be an old one. ``late``: the trigger id is out of time on arrival.
        """
        channel = message["channel"]
        if not as_shown:
            message = await self.looking.current(message)
        block, element = payloads.element(message["blocks"], action_id)
        ours = {"channel", "replies"}
        url = self.response_urls.new(person.id, channel, message["ts"], message.get("thread_ts"))
        payload = payloads.on_message(
            {name: each for name, each in message.items() if name not in ours},
            await self.looking.named(channel),
            self._about(person),
            payloads.action(block, element, chosen),
            trigger_id=await self._trigger(person, late=late),
            response_url=url,
        )
        return await self.courier.bring("interactive", payload, forgery)

    @blocking
    async def click_in(
        self,
        view: Json,
        action_id: str,
        person: Person,
        *,
        chosen: str | None = None,
        late: bool = False,
        forgery: Forgery = HONEST,
    ) -> Answer:
        """Click at a button of a modal, which must be on top."""
        view = self._on_top(view, person)
        acted = payloads.action(*payloads.element(view["blocks"], action_id), chosen)
        trigger = await self._trigger(person, view["id"], late=late)
        payload = payloads.on_view(view, self._about(person), acted, trigger_id=trigger)
        return await self.courier.bring("interactive", payload, forgery)

    @blocking
    async def submit(
        self,
        view: Json,
        person: Person,
        values: Mapping[str, object] | None = None,
        forgery: Forgery = HONEST,
    ) -> Answer:
        """Fill in a modal, by block id or action id, submit it, and do as the app answers.

        A person cannot submit what breaks the view's own limits: that raises. So does an answer
        that Slack would not know what to do with.
        """
        view = self._on_top(view, person)
        assert view.get("submit"), "there is nothing to submit"
        filled = {**view, "state": payloads.state_of(view, values or {})}
        trigger = await self._trigger(person, view["id"])
        payload = payloads.submitted(filled, self._about(person), trigger)
        answer = await self.courier.bring("interactive", payload, forgery)
        if answer.ok:
            await self._respond(answer.json, view, person)
        return answer

    async def _respond(self, told: Json, view: Json, person: Person) -> None:
        match told.get("response_action"):
            case None:
                assert not told, f"no response_action: {told}"
                self.front.shut(view, person.id)
            case "clear":
                self.front.shut(None, person.id)
            case "errors":
                inputs = {b["block_id"] for b in view["blocks"] if b["type"] == "input"}
                assert told["errors"], "errors without an error"
                assert told["errors"].keys() <= inputs, f"no such input: {told['errors']}"
            case "update":
                await self._shown("views.update", {"view_id": view["id"], "view": told["view"]})
            case "push":
                trigger = await self._trigger(person, view["id"])
                await self._shown("views.push", {"trigger_id": trigger, "view": told["view"]})
            case other:
                raise AssertionError(f"no such response_action: {other}")

    async def _shown(self, method: str, arguments: Json) -> None:
        answer = await self.front.answer(method, arguments, BOT_TOKEN)
        assert answer["ok"], answer
        self.front.changed()

    @blocking
    async def close(
        self, view: Json, person: Person, *, all_of_them: bool = False
    ) -> Answer | None:
        """Close a modal, or the whole stack; the app is told if the view wants that."""
        view = self._on_top(view, person)
        whole = all_of_them or view.get("clear_on_close")
        self.front.shut(None if whole else view, person.id)
        if not view.get("notify_on_close"):
            return None
        payload = payloads.closed(view, self._about(person), cleared=all_of_them)
        return await self.courier.bring("interactive", payload)

    @blocking
    async def react(
        self,
        message: Json,
        name: str,
        person: Person,
        *,
        remove: bool = False,
        forgery: Forgery = HONEST,
    ) -> Answer:
        """Add a reaction to a message, or take it off; the app gets the event."""
        method = "reactions.remove" if remove else "reactions.add"
        at = {"channel": message["channel"], "timestamp": message["ts"], "name": name}
        await self.front.emulate.done(method, at, person.token)
        self.front.changed()
        told = payloads.reaction(message, message["channel"], person, name, added=not remove)
        return await self.courier.bring_event(payloads.event(FACTS, told), forgery)

    @blocking
    async def event(self, told: Json, forgery: Forgery = HONEST) -> Answer:
        """Bring the app an event of any kind, though nothing in the workspace has changed."""
        return await self.courier.bring_event(payloads.event(FACTS, told), forgery)

    @blocking
    async def command(self, said: str, person: Person, channel: str) -> Answer:
        """Type a slash command, such as ``/jitgate help``."""
        payload = payloads.command(
            FACTS,
            person,
            await self.looking.named(channel),
            said,
            trigger_id=await self._trigger(person),
            response_url=self.response_urls.new(person.id, channel),
        )
        return await self.courier.bring("slash_commands", payload)

    @blocking
    async def verify_url(self) -> Answer:
        """What Slack does when the events' request URL is entered: it sends a challenge."""
        told = {"token": FACTS.verification_token, "challenge": secrets.token_urlsafe(30)}
        return await self.courier.bring("events_api", {**told, "type": "url_verification"})

    @blocking
    async def replay(self, answer: Answer) -> Answer:
        """Send what was sent before: the same bytes and signature, or the same envelope."""
        return await self.courier.replay(answer)

    def _about(self, person: Person) -> Json:
        return FACTS.about(person, self.front.people.team_of(person.id))

    def _on_top(self, view: Json, person: Person) -> Json:
        """A view as it is now; it must be the one on top."""
        stack = self.front.views.get(person.id)
        assert stack, f"{person.name} has no view open"
        assert stack[-1]["id"] == view["id"], "another view is on top of it"
        return stack[-1]

    @blocking
    async def trigger(self, person: Person, *, late: bool = False) -> str:
        """A trigger id as a click gives one, for less than 3 seconds; ``late``: out of time."""
        return await self._trigger(person, late=late)

    async def _trigger(self, person: Person, view: str | None = None, *, late: bool = False) -> str:
        trigger = await self.front.emulate.trigger(person.id, BOT_TOKEN, view)
        if late:
            self.front.expired.add(trigger)
        return trigger
