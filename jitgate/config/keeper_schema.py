"""What may stand under ``recording.keepers``: where checkpoints are kept out of reach."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from jitgate.config.kinds import Duration, FilePath, Name, Section
from jitgate.config.slack_schema import Channel
from jitgate.config.webhook_schema import Way

_SERVER = re.compile(r"(tcp|tls)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?\Z")
_PORTS = {"tcp": 601, "tls": 6514}
"""RFC 3195, section 9.2, which syslog over TCP has taken over; RFC 5425, section 4.1."""


def _server(value: str) -> str:
    matched = _SERVER.match(value)
    if matched is None or int(matched[3] or 1) > 65535:
        raise ValueError("tls://HOST or tcp://HOST was expected, perhaps with :PORT")
    return value


Server = Annotated[
    str, AfterValidator(_server), WithJsonSchema({"type": "string", "pattern": "^(tcp|tls)://"})
]


class WebhookKeeper(Way):
    """A program of the site's, to which checkpoints are sent as Standard Webhooks."""

    type: Literal["webhook"]


class SyslogKeeper(Section):
    """A syslog server."""

    type: Literal["syslog"]
    name: Name
    server: Server
    trust: FilePath | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it goes without TLS."""
        return self.server.startswith("tcp:")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; an IPv6 address without its brackets."""
        matched = _SERVER.match(self.server)
        assert matched is not None  # noqa: S101 (it was looked at)
        return matched[2].strip("[]"), int(matched[3] or _PORTS[matched[1]])

    @model_validator(mode="after")
    def _trust_is_for_tls(self) -> SyslogKeeper:
        if self.is_plain and self.trust is not None:
            raise ValueError("trust goes with tls://")
        return self


class SlackKeeper(Section):
    """A channel in Slack, in which the app of the section ``slack`` is."""

    type: Literal["slack"]
    name: Name
    channel: Channel
    every: Duration = Field(default=3600.0, ge=60.0)


Keeper = Annotated[WebhookKeeper | SyslogKeeper | SlackKeeper, Field(discriminator="type")]
