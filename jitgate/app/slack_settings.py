"""What the configuration says of Slack, to those who need not load Slack's libraries for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from jitgate.config import schema
from jitgate.config.slack_schema import Slack
from jitgate.stores.state import secret_line
from jitgate.values import SecretAt

if TYPE_CHECKING:
    from jitgate.app.slack import SlackWay

SLACK: Final = "slack"
"""What the configuration calls the channel."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the gateway knows itself by to Slack, and Slack to the gateway."""

    bot: str = field(repr=False)
    signing: str | None = field(repr=False)
    """What comes over HTTP is signed with it; None in Socket Mode."""
    app: str | None = field(repr=False)
    """What a connection is asked for with; None where Slack calls back."""


def used(settings: schema.Settings) -> Slack | None:
    """The section, if people are asked in Slack."""
    slack = settings.slack
    if SLACK not in settings.approvals.channels or slack is None or slack.lacks is not None:
        return None
    return slack


def slack_way(settings: schema.Settings, tokens: Tokens | None, **means: Any) -> SlackWay | None:
    """The way to people in Slack, if they are asked there; ``means`` are what it takes."""
    slack = used(settings)
    if slack is None or tokens is None:
        return None
    # Imported only where it is configured: Slack's libraries take a while.
    from jitgate.app.slack import SlackWay  # noqa: PLC0415

    return SlackWay(slack, tokens, **means)


def tokens_of(slack: Slack) -> Tokens:
    """Read them. Raises `StateUnusable`, or `ValueError` where one is of another kind."""
    return Tokens(
        bot=_read(slack.bot_token, "bot_token", "xoxb-") or "",
        signing=_read(slack.signing_secret, "signing_secret", ""),
        app=_read(slack.app_token, "app_token", "xapp-"),
    )


def _read(secret: SecretAt | None, name: str, begins: str) -> str | None:
    if secret is None:
        return None
    text = secret_line(secret).decode("ascii", "replace")
    if not text.isascii() or not text.isprintable() or " " in text or not text:
        raise ValueError(f"{name}: {secret} holds no token")
    if not text.startswith(begins):
        raise ValueError(f"{name}: {secret} holds another kind of token: {begins}... was expected")
    return text


def fixed(settings: schema.Settings) -> Iterator[tuple[str, object, str]]:
    """What a running gateway is bound to, and where it stands."""
    slack, where = used(settings), getattr(settings.slack, "where", "")
    yield SLACK, slack is not None, where or settings.approvals.where
    for name in ("app", "team", "bot_token", "signing_secret", "app_token", "api", "trust"):
        yield f"{SLACK}.{name}", getattr(slack, name, None), where


def notices(settings: schema.Settings) -> Iterator[str]:
    """What is no error and yet not what somebody may expect."""
    slack, is_named = settings.slack, SLACK in settings.approvals.channels
    if is_named and slack is None:
        yield (
            f"{settings.approvals.where}: approvals.channels names slack, and there is no section "
            "slack: nobody is asked there. The command line serves."
        )
    if slack is None:
        return
    if not is_named:
        yield f"{slack.where}: approvals.channels does not name slack: nobody is asked there."
    elif slack.lacks is not None:
        yield (
            f"{slack.where}: slack has no {slack.lacks}: nobody is asked there. The command line "
            "serves."
        )
    elif slack.signing_secret is not None and "admin" not in settings.services:
        yield f"{slack.where}: without the service admin nobody can answer in Slack over HTTP."
