"""Makes the keepers of checkpoints that `recording.keepers` names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

from jitgate.app.far import trust_in
from jitgate.app.problems import Problems
from jitgate.app.webhooks import http_to, keys_of
from jitgate.config import schema
from jitgate.config.keeper_schema import Keeper, SlackKeeper, SyslogKeeper
from jitgate.interfaces import IKeeper
from jitgate.keepers.syslog import SyslogKeeper as Syslog
from jitgate.keepers.webhook import WebhookKeeper as Webhook
from jitgate.trust import Named


def keepers_of(
    settings: schema.Settings, reactor: Any, problems: Problems, public_key: Callable[[], str]
) -> Sequence[IKeeper]:
    """All of them; what is wrong with any goes to ``problems``.

    ``public_key`` gives the text form of the key that signs, once anything is served.
    """
    recording = settings.recording
    keepers = () if recording is None else recording.keepers
    means = settings, reactor, public_key
    found = [problems.attempt(each.where, _keeper, each, *means) for each in keepers]
    return [each for each in found if each is not None]


def _keeper(
    keeper: Keeper, settings: schema.Settings, reactor: Any, public_key: Callable[[], str]
) -> IKeeper:
    """Raises `ConfigurationInvalid`, `StateUnusable`, `ValueError`."""
    if isinstance(keeper, SyslogKeeper):
        return _syslog(keeper, settings, reactor)
    if isinstance(keeper, SlackKeeper):
        # Imported only where it is configured: Slack's libraries take a while.
        from jitgate.app.slack_keeping import slack_keeper  # noqa: PLC0415

        return slack_keeper(keeper, settings, reactor, public_key)
    http, close = http_to(keeper, settings, reactor)
    keys = keys_of(keeper)
    return Webhook(keeper.name, keeper.url, keys, http=http, clock=reactor, close=close)


def _syslog(keeper: SyslogKeeper, settings: schema.Settings, reactor: Any) -> IKeeper:
    """The operator names the server, so that any address of it will do."""
    host, port = keeper.address
    endpoint: Any = HostnameEndpoint(reactor, host, port, timeout=settings.limits.bounds.dial)
    if not keeper.is_plain:
        endpoint = wrapClientTLS(Named(host, trust_in(keeper.trust)), endpoint)
    return Syslog(keeper.name, endpoint, reactor)
