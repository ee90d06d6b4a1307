"""Makes the webhooks that are in `approvals.channels`, with their ways and their keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from treq.client import HTTPClient
from twisted.web.client import Agent

from jitgate.app.far import resolver_of, trust_in
from jitgate.app.own_calls import OwnCalls
from jitgate.app.problems import Problems
from jitgate.approvers.webhook.answering import Callback
from jitgate.approvers.webhook.hooks import Hook
from jitgate.approvers.webhook.sending import Sending
from jitgate.config import schema
from jitgate.config.webhook_schema import Signing, Way, Webhook
from jitgate.core.answers import person
from jitgate.core.standard_webhooks import KEY_BYTES, key_of
from jitgate.stores.state import secret_line
from jitgate.upstreams.endpoint import CheckedEndpoint, LoopbackEndpoints
from jitgate.values import SecretAt


def hooks_of(settings: schema.Settings, reactor: Any, problems: Problems) -> Sequence[Hook]:
    """Those that people are asked by; what is wrong with any of them goes to ``problems``."""
    made = [
        (each, problems.attempt(each.where, _hook, each, settings, reactor))
        for each in settings.webhooks
    ]
    seen: dict[bytes, str] = {}
    for webhook, hook in made:
        for key in () if hook is None else _keys_of(hook):
            if key in seen:
                problems.add(
                    f"{webhook.where}: webhook {webhook.name}: one of its secrets is {seen[key]}'s "
                    "already: a message that comes back would be taken for an answer"
                )
            seen[key] = f"webhook {webhook.name}"
    asked = settings.approvals.channels
    return [hook for webhook, hook in made if hook is not None and webhook.name in asked]


def _hook(webhook: Webhook, settings: schema.Settings, reactor: Any) -> Hook:
    """Raises `ConfigurationInvalid`, `StateUnusable`, `ValueError`."""
    keys = keys_of(webhook)
    answered = webhook.callback
    callback = None
    if answered is not None:
        callback = Callback(
            webhook.name, keys_of(answered), {person(each): each for each in answered.people}
        )
    http, close = http_to(webhook, settings, reactor)
    return Hook(Sending(webhook.name, webhook.url, keys, http, reactor), callback, close)


def http_to(
    webhook: Way, settings: schema.Settings, reactor: Any
) -> tuple[HTTPClient, Callable[[], Awaitable[None]]]:
    """The way to a webhook, and what ends the connections that are kept to it.

    Raises `ConfigurationInvalid`, `ValueError`.
    """
    if webhook.is_plain:
        way = LoopbackEndpoints(reactor, *webhook.address, settings.limits.bounds.dial)
        return HTTPClient(Agent.usingEndpointFactory(reactor, way)), _nothing
    resolve, trust = resolver_of(settings, reactor), trust_in(webhook.trust)

    def checked(host: str, port: int) -> CheckedEndpoint:
        return CheckedEndpoint(
            host,
            port,
            reactor=reactor,
            resolve=resolve,
            trust=trust,
            dial=webhook.dial,
            limits=settings.limits.bounds,
        )

    host, port = webhook.address
    checked(host, port)  # raises where there is no such host
    calls = OwnCalls(reactor, checked)
    return calls.to(f"[{host}]:{port}" if ":" in host else f"{host}:{port}"), calls.stop


async def _nothing() -> None:
    """No connection is kept that would have to be ended."""


def keys_of(signing: Signing) -> tuple[bytes, ...]:
    """What messages are signed with. Raises `StateUnusable`, `ValueError`."""
    return tuple(map(_key, signing.every))


def _key(secret: SecretAt) -> bytes:
    try:
        return key_of(secret_line(secret).decode("ascii", "replace"))
    except ValueError as error:
        raise ValueError(f"{secret}: {error}") from None


def _keys_of(hook: Hook) -> Sequence[bytes]:
    """As HMAC takes them: zeros at the end make no other key (RFC 2104, section 2)."""
    every = (*hook.sending.keys, *(() if hook.callback is None else hook.callback.keys))
    return [each.ljust(KEY_BYTES[-1], b"\0") for each in every]
