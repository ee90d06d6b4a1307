"""The Web API as clients see it: what emulate has is forwarded to it, the rest is here.

docs.slack.dev: apis/web-api, reference/methods, apis/web-api/rate-limits. A test reads `calls` and
orders `faults`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from support.slack.blocks import Json, completed, message_faults, view_faults, view_too_large
from support.slack.emulate import Emulate
from support.slack.noted import Call, Ephemeral, Fault, Refused
from support.slack.payloads import Facts
from support.slack.people import People, listed_groups, listed_members
from support.slack.socket import Sockets

UPDATED_TEXT = 4000
"""Characters that chat.update takes."""

SCOPES = (
    *("chat:write", "channels:read", "channels:history", "groups:read", "groups:history"),
    *("im:write", "im:history", "im:read", "mpim:read", "mpim:history", "mpim:write"),
    *("users:read", "users:read.email", "usergroups:read", "reactions:read", "reactions:write"),
    *("team:read", "channels:join", "commands"),
)
"""What the app's bot token is good for."""


@dataclass
class Front:
    """What answers a client."""

    emulate: Emulate
    facts: Facts
    people: People
    sockets: Sockets
    bot_token: str = field(repr=False)
    app_token: str = field(repr=False)
    changed: Callable[[], None] = lambda: None
    scopes: Sequence[str] = SCOPES
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    ephemerals: list[Ephemeral] = field(default_factory=list)
    views: dict[str, list[Json]] = field(default_factory=dict)
    """The modals that each person has open, the one on top last."""
    expired: set[str] = field(default_factory=set)
    """Trigger ids that are out of time."""
    outside: set[str] = field(default_factory=set)
    """Channels that the app was not invited to."""
    bad_token: str | None = None
    """What a call with the app's tokens is told, if they are good no more."""

    def routes(self) -> list[web.RouteDef]:
        """What to serve."""
        return [
            web.route("*", "/api/{method}", self.serve),
        ]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One call of a method."""
        method = request.match_info["method"]
        arguments = await arguments_of(request)
        fault = self._fault(method)
        if fault is not None:
            await asyncio.sleep(fault.seconds)
        if fault is not None and fault.status is not None:
            return self._failed(method, arguments, fault)
        try:
            answer = await self.answer(method, arguments, _token(request, arguments))
        except Refused as refused:
            answer = refused.answer
        self.noted(Call(method, arguments, answer))
        if fault is not None and fault.lost and request.transport is not None:
            request.transport.abort()
        headers = {"x-oauth-scopes": ",".join(self.scopes), "x-slack-req-id": secrets.token_hex(8)}
        return web.json_response(answer, headers=headers)

    def _fault(self, method: str) -> Fault | None:
        for fault in self.faults:
            if fault.method in {method, "*"} and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _failed(self, method: str, arguments: Json, fault: Fault) -> web.Response:
        assert fault.status is not None
        limited = fault.status == 429
        answer: Json = {"ok": False, "error": "ratelimited"} if limited else {}
        self.noted(Call(method, arguments, answer, fault.status))
        if not limited:
            return web.Response(status=fault.status, text="upstream connect error")
        headers = {"Retry-After": str(fault.retry_after)}
        return web.json_response(answer, status=429, headers=headers)

    def noted(self, call: Call) -> None:
        """Something has arrived, and was answered."""
        self.calls.append(call)
        self.changed()

    async def answer(self, method: str, arguments: Json, token: str | None) -> Json:
        """The answer to a call whose token is looked at first."""
        self._admit(method, token)
        if own := self._own().get(method):
            return await own(arguments)
        checks = {"chat": self.checked_message, "views": self._checked_view}
        group = method.partition(".")[0]
        if check := checks.get(group):
            arguments = check(method, arguments)
        if method == "conversations.open":
            self._may_be_written_to(str(arguments.get("users", "")).split(","))
        answer = await self.emulate.call(method, arguments, self.bot_token)
        if not answer["ok"]:
            return answer
        if isinstance(answer.get("message"), dict):
            answer["message"] = self.shown(answer["message"])
        if method == "chat.postEphemeral":
            self.saw(arguments)
        if isinstance(answer.get("view"), dict):
            answer["view"] = self.opened(method, answer["view"], arguments)
        return answer

    def _admit(self, method: str, token: str | None) -> None:
        if token is None:
            raise Refused("not_authed")
        if token not in {self.bot_token, self.app_token}:
            raise Refused("invalid_auth")
        if self.bad_token is not None:
            raise Refused(self.bad_token)
        if (token == self.app_token) != (method == "apps.connections.open"):
            raise Refused("not_allowed_token_type")
        for prefix, scope in (("usergroups.", "usergroups:read"), ("users.", "users:read")):
            if method.startswith(prefix) and scope not in self.scopes:
                raise Refused("missing_scope", needed=scope, provided=",".join(self.scopes))

    # --- what emulate lacks, or has otherwise

    def _own(self) -> Mapping[str, Callable[[Json], Awaitable[Json]]]:
        return {
            "apps.connections.open": self._connection,
            "auth.test": self._who_am_i,
            "auth.teams.list": self._teams,
            "usergroups.list": self._groups,
            "usergroups.users.list": self._members,
            "users.info": self._user,
            "users.list": self._users,
            "users.lookupByEmail": self._by_email,
        }

    async def _connection(self, arguments: Json) -> Json:
        return {"ok": True, "url": self.sockets.url()}

    async def _who_am_i(self, arguments: Json) -> Json:
        told = await self.emulate.call("auth.test", {}, self.bot_token)
        told.pop("app_id", None)
        return {**told, "bot_id": self.facts.bot_id, "is_enterprise_install": False}

    async def _teams(self, arguments: Json) -> Json:
        team = {"id": self.facts.team_id, "name": self.facts.domain}
        return {"ok": True, "teams": [team], "response_metadata": {"next_cursor": ""}}

    async def _groups(self, arguments: Json) -> Json:
        return listed_groups(self.people, arguments)

    async def _members(self, arguments: Json) -> Json:
        return listed_members(self.people, arguments)

    async def _user(self, arguments: Json) -> Json:
        told = await self.emulate.call("users.info", arguments, self.bot_token)
        if told["ok"]:
            told["user"] = self.people.told(told["user"], self.scopes)
        return told

    async def _users(self, arguments: Json) -> Json:
        told = await self.emulate.call("users.list", arguments, self.bot_token)
        if told["ok"]:
            told["members"] = [self.people.told(each, self.scopes) for each in told["members"]]
        return told

    async def _by_email(self, arguments: Json) -> Json:
        if "users:read.email" not in self.scopes:
            provided = ",".join(self.scopes)
            raise Refused("missing_scope", needed="users:read.email", provided=provided)
        wanted = str(arguments.get("email", "")).casefold()
        for user in (await self._users({"limit": 1000}))["members"]:
            address = user["profile"].get("email", "")
            if address and address.casefold() == wanted and not user["deleted"]:
                return {"ok": True, "user": user}
        raise Refused("users_not_found")

    def _may_be_written_to(self, users: Sequence[str]) -> None:
        for user in users:
            change = self.people.changes.get(user, {})
            if change.get("deleted"):
                raise Refused("user_disabled")
            if change.get("is_bot"):
                raise Refused("cannot_dm_bot")

    # --- messages and views

    def checked_message(self, method: str, arguments: Json) -> Json:
        """The arguments of a method that writes, as emulate may have them."""
        if arguments.get("channel") in self.outside:
            raise Refused("not_in_channel")
        if method == "chat.update" and len(str(arguments.get("text", ""))) > UPDATED_TEXT:
            raise Refused("msg_too_long")
        if not arguments.get("blocks"):
            return arguments
        blocks = _json(arguments["blocks"], "invalid_blocks_format")
        if found := message_faults(blocks):
            shown = [f"[ERROR] {each}" for each in found]
            raise Refused("invalid_blocks", errors=found, response_metadata={"messages": shown})
        return {**arguments, "blocks": completed(blocks)}

    def _checked_view(self, method: str, arguments: Json) -> Json:
        view = _json(arguments.get("view"), "invalid_arguments")
        if found := view_faults(view):
            shown = [f"[ERROR] {each}" for each in found]
            raise Refused("invalid_arguments", response_metadata={"messages": shown})
        if view_too_large(view):
            raise Refused("view_too_large")
        if arguments.get("trigger_id") in self.expired:
            raise Refused("expired_trigger_id")
        if method == "views.update" and not self._is_open(arguments):
            raise Refused("not_found")
        return {**arguments, "view": {**view, "blocks": completed(view["blocks"])}}

    def _is_open(self, arguments: Json) -> bool:
        named = {arguments.get("view_id"), arguments.get("external_id")} - {None, ""}
        opened = [view for stack in self.views.values() for view in stack]
        return any({view["id"], view["external_id"]} & named for view in opened)

    def shown(self, message: Json) -> Json:
        """A message of emulate's, with what Slack tells of the app that wrote it."""
        if message.get("user") != self.facts.bot_user_id:
            return message
        facts = self.facts
        return {
            "bot_id": facts.bot_id,
            "app_id": facts.app_id,
            "team": facts.team_id,
            "bot_profile": {
                "id": facts.bot_id,
                "app_id": facts.app_id,
                "name": "jitgate",
                "deleted": False,
                "team_id": facts.team_id,
            },
            **message,
        }

    def saw(self, told: Json) -> None:
        """Somebody was shown something that nobody else sees."""
        self.ephemerals.append(
            Ephemeral(
                str(told["user"]),
                str(told["channel"]),
                str(told.get("text", "")),
                told.get("blocks") or [],
                told.get("thread_ts"),
            )
        )

    def opened(self, method: str, view: Json, arguments: Json) -> Json:
        """Note that a view is open, or what has become of it."""
        view = {**view, "app_installed_team_id": self.facts.team_id}
        for stack in self.views.values():
            for number, each in enumerate(stack):
                if each["id"] == view["id"]:
                    stack[number] = view
                    return view
        user = self.emulate.asked[str(arguments["trigger_id"])]
        if method == "views.open":
            self.views[user] = []
        self.views.setdefault(user, []).append(view)
        return view

    def shut(self, view: Json | None, user: str) -> None:
        """A person closes a view, or all of them."""
        stack = self.views.get(user, [])
        self.views[user] = [each for each in stack if view is not None and each["id"] != view["id"]]
        self.changed()

    async def as_the_app(self, method: str, arguments: Json) -> None:
        """Call a method of emulate's that the app means by something else that it says."""
        answer = await self.emulate.call(method, arguments, self.bot_token)
        if not answer["ok"]:
            raise Refused(answer["error"])


async def arguments_of(request: web.Request) -> Json:
    """The arguments of a call, from its query and its body."""
    found: Json = dict(request.query)
    if request.content_type == "application/json":
        text = await request.text()
        told = json.loads(text) if text else {}
        return found | told
    found.update(await request.post())
    return found


def _token(request: web.Request, arguments: Json) -> str | None:
    named = request.headers.get("Authorization", "")
    given = arguments.pop("token", None)
    return named.removeprefix("Bearer ").strip() or given or None


def _json(value: Any, error: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise Refused(error) from None
