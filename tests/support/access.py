"""Access requests, grants and uses as tests need them, and the coroutines of a store run through."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from jitgate.values import (
    AccessRequest,
    Ask,
    Grant,
    GrantState,
    Operation,
    Quorum,
    Shown,
    Stored,
    Subject,
    Terms,
    Use,
)

NOW = 1_795_485_960.0
URL = "https://api.example/users/1/lifecycle/deactivate"

Result = TypeVar("Result")


def subject(**changes: Any) -> Subject:
    """An agent that acts for nobody."""
    facts: dict[str, Any] = {
        "issuer": "https://idp.example",
        "id": "bot-7",
        "groups": frozenset({"it-agents", "all"}),
        "expires_at": NOW + 3600,
        "session": "run-1",
    }
    return Subject(**(facts | changes))


def operation(**changes: Any) -> Operation:
    """A call that changes something."""
    facts: dict[str, Any] = {
        "target": "things",
        "action": "deactivateUser",
        "resource": {"userId": "1"},
        "method": "POST",
        "authority": "api.example:443",
        "path": "/users/1/lifecycle/deactivate",
    }
    return Operation(**(facts | changes))


def ask(fingerprint: str = "f1", **changes: Any) -> Ask:
    """A call that one of it-leads must approve, once."""
    facts: dict[str, Any] = {
        "subject": subject(),
        "operation": operation(),
        "terms": Terms((Quorum(("it-leads",)),)),
        "rule": "people-changes-need-a-human",
        "reason": "Changes to people are looked at by IT",
        "policy": "p1",
        "session": "run-1",
        "exchange": "ex-1",
        "shown": Shown(URL, (("Content-Type", "application/json"),), '{"why": "left"}', 15),
    }
    return Ask(fingerprint=fingerprint, **(facts | changes))


def access_request(key: str = "ar-1", asked: Ask | None = None, **changes: Any) -> AccessRequest:
    """One that is pending, for ten minutes; every ``key`` has a fingerprint of its own."""
    asked = asked or ask(f"fingerprint of {key}")
    facts: dict[str, Any] = {"opened_at": NOW, "expires_at": NOW + 600}
    return AccessRequest(key, asked, **(facts | changes))


def grant(key: str = "g-1", uses: int = 1, asked: Ask | None = None, **changes: Any) -> Grant:
    """One for so many uses, none of them taken, that Alice gave."""
    facts: dict[str, Any] = {
        "access_request": "ar-1",
        "approved_by": ("alice@acme.com",),
        "made_at": NOW,
        "expires_at": NOW + 300,
        "tally": {GrantState.ACTIVE: uses},
    }
    return Grant(key, ask=asked or ask(), **(facts | changes))


def use(key: str = "ex-1", of: str = "g-1", **changes: Any) -> Use:
    """A use that is under way."""
    facts: dict[str, Any] = {"fingerprint": "f1", "taken_at": NOW}
    return Use(key, of, **(facts | changes))


async def kept_as(store: Any, value: Stored) -> Stored | None:
    """What the store has in the place of ``value``."""
    if isinstance(value, AccessRequest):
        found = await store.request(value.id)
    elif isinstance(value, Grant):
        found = await store.grant(value.id)
    else:
        found = await store.use(value.id)
    return cast(Stored | None, found)


async def everything(store: Any) -> list[Stored]:
    """All that a store lists."""
    return [*await store.requests(), *await store.grants(), *await store.uses()]


async def at_once(work: Callable[..., Result], *args: Any) -> Result:
    """In the place of another thread, for what needs none."""
    return work(*args)


def now(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    coroutine.close()
    raise AssertionError("it waits")
