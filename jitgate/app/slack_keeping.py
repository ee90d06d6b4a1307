"""Puts together what keeps checkpoints in Slack: by the app of the section ``slack``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jitgate.app.slack_settings import tokens_of
from jitgate.approvers.slack.calls import Calls
from jitgate.config import schema
from jitgate.config.keeper_schema import SlackKeeper as Section
from jitgate.keepers.slack import SlackKeeper


def slack_keeper(
    keeper: Section, settings: schema.Settings, reactor: Any, public_key: Callable[[], str]
) -> SlackKeeper:
    """Raises `StateUnusable`, or `ValueError` where there is no app to call with."""
    slack = settings.slack
    if slack is None or slack.bot_token is None:
        raise ValueError(f"the keeper {keeper.name} posts with slack.bot_token, and there is none")
    calls = Calls(
        tokens_of(slack).bot, reactor=reactor, base_url=slack.api, trust=slack.trust, threads=1
    )
    return SlackKeeper(
        keeper.name,
        keeper.channel,
        every=keeper.every,
        call=_Late(calls).call,
        public_key=public_key,
        close=calls.stop,
    )


class _Late:
    """Begins to call once there is something to say: what is only checked starts no thread."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._begun = False

    async def call(self, method: str, **arguments: object) -> Mapping[str, Any]:
        """As `Calls.call`."""
        if not self._begun:
            self._begun = True
            await self._calls.start()
        return await self._calls.call(method, **arguments)
