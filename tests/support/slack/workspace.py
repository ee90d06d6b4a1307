"""What a test holds of Slack: who is there, what they see, and what goes wrong."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from aiohttp import web
from support.counterparts import Services, TestCA
from support.slack.acting import Acting
from support.slack.afterwards import ResponseUrls
from support.slack.blocks import Json
from support.slack.delivery import Courier
from support.slack.emulate import HOST, Emulate
from support.slack.hosting import LONGEST, LOOPBACK, Site, blocking, looping
from support.slack.looking import Looking
from support.slack.noted import Call, Ephemeral, Fault
from support.slack.people import NAMES, SPECIAL, People, Person
from support.slack.seed import (
    ADMIN_TOKEN,
    APP_TOKEN,
    BOT_TOKEN,
    FACTS,
    SIGNING_SECRET,
    seeded,
    token_of,
)
from support.slack.socket import Reason, Sockets
from support.slack.web import SCOPES, Front

T = TypeVar("T")


class Slack(Acting):
    """A running Slack. Every method blocks: inside a running reactor, call it in a thread.

    Several tests may share one, each with a `channel` of its own; `reset` between them. What
    people do, `click` and `submit` and so on, is in `Acting`.
    """

    bot_token, app_token, signing_secret = BOT_TOKEN, APP_TOKEN, SIGNING_SECRET
    facts = FACTS
    people: People
    sockets: Sockets
    ca: Path
    """Whom to trust for `secure_url` and ``wss``."""

    # --- starting and stopping

    @classmethod
    @contextmanager
    def start(cls, folder: Path, scopes: Sequence[str] = SCOPES) -> Iterator[Slack]:
        """Run one with everybody of `people.NAMES` and `SPECIAL` in it."""
        with Services.start(folder, {HOST: seeded(scopes)}) as services, looping() as loop:
            making = cls._made(loop, services, TestCA.create(folder, name="slack"), scopes)
            slack = asyncio.run_coroutine_threadsafe(making, loop).result(LONGEST)
            try:
                yield slack
            finally:
                slack.do(slack._stop())

    @classmethod
    async def _made(
        cls,
        loop: asyncio.AbstractEventLoop,
        services: Services,
        ca: TestCA,
        scopes: Sequence[str],
    ) -> Slack:
        emulate = Emulate(services.port, services.ca)
        users = await emulate.done("users.list", {"limit": 1000}, ADMIN_TOKEN)
        ids = {each["name"]: each["id"] for each in users["members"]}
        named = {name: Person(ids[name], name, token_of(name)) for name in (*NAMES, *SPECIAL)}
        people, sockets = People(named, FACTS.team_id), Sockets(FACTS.app_id)
        front = Front(emulate, FACTS, people, sockets, BOT_TOKEN, APP_TOKEN)
        front.scopes = scopes
        courier, looking = Courier(SIGNING_SECRET, sockets), Looking(front, ADMIN_TOKEN)
        slack = cls(loop, front, courier, looking, ResponseUrls(front))
        slack.people, slack.sockets, slack.ca = people, sockets, ca.pem
        await slack._listen(ca)
        return slack

    async def _listen(self, ca: TestCA) -> None:
        self._changes, self._changed = 0, threading.Condition()
        self.front.changed = self.sockets.changed = self._note
        leaf = ca.leaf(LOOPBACK, "localhost")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(leaf.cert, leaf.key)
        answers = web.post("/actions/{path:.+}", self.response_urls.serve)
        self._site = await Site.open([*self.front.routes(), answers], context)
        self._links = await Site.open([web.get("/link/", self.sockets.serve)], context)
        self.sockets.ports = self._links.ports
        self.response_urls.base = f"http://{LOOPBACK}:{self._site.ports[0]}"

    async def _stop(self) -> None:
        for peer in list(self.sockets.open):
            await peer.close()
        await self._site.close()
        await self._links.close()
        await self.courier.close()
        await self.front.emulate.close()

    def _note(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    @property
    def url(self) -> str:
        """The Web API's base URL without TLS, for WebClient(base_url=...)."""
        return f"http://{LOOPBACK}:{self._site.ports[0]}/api/"

    @property
    def secure_url(self) -> str:
        """The same with TLS; trust `ca`."""
        return f"https://{LOOPBACK}:{self._site.ports[1]}/api/"

    # --- who and where

    def __getitem__(self, name: str) -> Person:
        """Somebody by name: alice, bob … guest, stranger, robot, gone, nomail, unproven."""
        return self.people.by_name[name]

    def change(self, person: Person, **what: object) -> None:
        """Change what `users.info` tells of somebody: deleted, is_restricted, email, team_id …"""
        self.people.changes.setdefault(person.id, {}).update(what)

    def group(self, handle: str, *members: Person, enabled: bool = True) -> str:
        """A user group with these members from now on; its id."""
        return self.people.group(handle, members, enabled=enabled)

    @blocking
    async def channel(
        self, name: str | None = None, *, private: bool = False, invited: bool = True
    ) -> str:
        """A new channel with everybody in it, and the app if it is ``invited``; its id."""
        name = name or f"approvals-{secrets.token_hex(4)}"
        told = {"name": name, "is_private": private}
        made = await self.front.emulate.done("conversations.create", told, ADMIN_TOKEN)
        channel = str(made["channel"]["id"])
        users = [each.id for each in self.people.by_name.values()]
        users += [FACTS.bot_user_id] if invited else []
        told = {"channel": channel, "users": ",".join(users)}
        await self.front.emulate.done("conversations.invite", told, ADMIN_TOKEN)
        if not invited:
            self.front.outside.add(channel)
        return channel

    def deliver_to(self, url: str | None, trust: Path | None = None) -> None:
        """Bring interactions and events to this request URL; None: over Socket Mode."""
        self.courier.to(url, trust)

    def reset(self) -> None:
        """Forget calls, faults, changes, groups and open views; channels and messages stay.

        It raises if anything came, since the last time, that Slack itself could make nothing of.
        """
        failed = self.failures()
        assert not failed, failed
        front = self.front
        for kept in (front.calls, front.faults, front.ephemerals, front.views, front.expired):
            kept.clear()
        front.bad_token, self.response_urls.later, self.sockets.secure = None, 0.0, False
        self.sockets.acknowledged.clear()
        self.sockets.strange.clear()
        self.people.reset()

    # --- what there is to see

    def failures(self) -> list[str]:
        """What came, since this was last asked, that Slack itself could make nothing of."""
        kept = (self._site.failed, self._links.failed)
        return [each.pop(0) for each in kept for _ in range(len(each))]

    @blocking
    async def messages(self, channel: str) -> list[Json]:
        """A channel's messages as they are now, oldest first, each with its `replies`."""
        return await self.looking.messages(channel)

    def calls(self, *methods: str) -> list[Call]:
        """The calls that arrived, of these methods or of any, and what they were answered."""
        return [each for each in self.front.calls if not methods or each.method in methods]

    def ephemerals(self, person: Person | None = None) -> list[Ephemeral]:
        """What was shown to one person alone, to this one or to any."""
        found = list(self.front.ephemerals)
        return [each for each in found if person is None or each.user == person.id]

    def views(self, person: Person) -> list[Json]:
        """The modals that somebody has open, the one on top last."""
        return list(self.front.views.get(person.id, ()))

    def wait(self, ask: Callable[[], T | None], seconds: float = 10.0) -> T:
        """What ``ask`` finds, asked again after every call and acknowledgement that arrives."""
        end = time.monotonic() + seconds
        while True:
            seen = self._changes
            if found := ask():
                return found
            with self._changed:
                left = end - time.monotonic()
                if not self._changed.wait_for(partial(self._newer, seen), max(left, 0)):
                    raise AssertionError(f"it did not come about in {seconds} s")

    def _newer(self, seen: int) -> bool:
        return self._changes != seen

    def message(self, channel: str, seconds: float = 10.0) -> Json:
        """The newest message of a channel, once there is one."""
        return self.wait(lambda: self.messages(channel), seconds)[-1]

    # --- what goes wrong

    def fail(self, method: str = "*", *, times: int = 1, status: int = 503) -> None:
        """Answer the next calls of a method with a status and nothing useful."""
        self.front.faults.append(Fault(method, times, status))

    def limit(self, method: str = "*", *, times: int = 1, retry_after: int = 1) -> None:
        """Answer the next calls of a method 429, with this Retry-After in seconds."""
        self.front.faults.append(Fault(method, times, 429, retry_after))

    def slow(self, method: str = "*", *, seconds: float, times: int = 1) -> None:
        """Do the next calls of a method this much later."""
        self.front.faults.append(Fault(method, times, seconds=seconds))

    def lose(self, method: str = "*", *, times: int = 1) -> None:
        """Do the next calls of a method, and cut the connection before the answer."""
        self.front.faults.append(Fault(method, times, lost=True))

    def refuse_token(
        self, error: Literal["invalid_auth", "token_revoked", "account_inactive"] | None
    ) -> None:
        """Take the app's tokens no more; None: take them again."""
        self.front.bad_token = error

    @contextmanager
    def down(self) -> Iterator[None]:
        """Refuse connections to the Web API, and cut those that there are."""
        self.do(self._site.close_ports())
        try:
            yield
        finally:
            self.do(self._site.open_ports())

    def later(self, seconds: float) -> None:
        """Let this much time pass for response URLs."""
        self.response_urls.later += seconds

    def disconnect(self, reason: Reason) -> None:
        """Tell every WebSocket to go."""
        self.do(self.sockets.disconnect(reason))

    def drop(self) -> None:
        """Cut every WebSocket without a word."""
        self.loop.call_soon_threadsafe(self.sockets.drop)
