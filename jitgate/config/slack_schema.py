"""What may stand under ``slack``: the app that people see in Slack, where, and who they are."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from jitgate.config.kinds import FilePath, Person, Secret, Section, is_loopback
from jitgate.core.answers import person
from jitgate.upstreams.address import literal

API = "https://slack.com/api/"

App = Annotated[str, Field(pattern="^A[A-Z0-9]{2,20}$")]
Team = Annotated[str, Field(pattern="^T[A-Z0-9]{2,20}$")]
Channel = Annotated[str, Field(pattern="^[CG][A-Z0-9]{2,20}$")]
"""Its id: a name can be given to another channel."""
UserGroup = Annotated[str, Field(pattern="^S[A-Z0-9]{2,20}$")]
User = Annotated[str, Field(pattern="^[UW][A-Z0-9]{2,20}$")]


def _api(value: str) -> str:
    """Where the token goes: in the clear to this machine alone."""
    parts = urlsplit(value)
    host = parts.hostname or ""
    here = host == "localhost" or (literal(host) is not None and is_loopback(host))
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        raise ValueError("an https:// address was expected; http:// for a loopback address alone")
    if not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("an address such as https://slack.com/api/ was expected")
    return value if value.endswith("/") else f"{value}/"


class SlackGroup(Section):
    """Where requests that a group is asked for are shown."""

    channel: Channel
    mention: UserGroup | None = None


class Slack(Section):
    """A Slack app, in one workspace."""

    app: App
    team: Team
    channel: Channel
    bot_token: Secret | None = None
    signing_secret: Secret | None = None
    app_token: Secret | None = None
    groups: dict[str, SlackGroup] = Field(default_factory=dict)
    people: dict[User, Person] = Field(default_factory=dict)
    api: Annotated[str, AfterValidator(_api)] = API
    trust: FilePath | None = None

    @model_validator(mode="after")
    def _one_way_in(self) -> Slack:
        if self.signing_secret is not None and self.app_token is not None:
            raise ValueError(
                "signing_secret and app_token exclude each other: Slack sends what people do over "
                "HTTP, or through a connection that the gateway opens (Socket Mode)"
            )
        return self

    @model_validator(mode="after")
    def _one_user_each(self) -> Slack:
        names = [person(each) for each in self.people.values()]
        twice = sorted({each for each in names if names.count(each) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is two people of Slack's: each person has one user")
        return self

    @property
    def lacks(self) -> str | None:
        """What it cannot be used without, if that is not written."""
        if self.bot_token is None:
            return "bot_token"
        if self.signing_secret is None and self.app_token is None:
            return "signing_secret or app_token"
        return None
