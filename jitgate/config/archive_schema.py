"""What may stand under ``recording.archive``: where sealed files are locked for good."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from jitgate.config.kinds import Duration, FilePath, Name, Secret, Section, Size
from jitgate.config.webhook_schema import HookUrl

_PREFIX = re.compile(r"(?:[A-Za-z0-9!_.*'()-]+/)*\Z")

LONGEST = 100 * 365 * 86400.0


def _prefix(value: str) -> str:
    if not _PREFIX.match(value) or len(value) > 200:
        raise ValueError("a prefix ends with a slash: jitgate/site-1/")
    return value


class S3(Section):
    """A bucket that was made with Object Lock."""

    type: Literal["s3"]
    name: Name = "archive"
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    prefix: Annotated[str, AfterValidator(_prefix)] = ""
    retention: Duration = Field(ge=86400.0, le=LONGEST)
    hold: bool = False
    backlog: Size | None = Field(default=None, ge=64 * 1024 * 1024)
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,40}$")
    endpoint: HookUrl | None = None
    trust: FilePath | None = None
    access_key: Secret | None = None
    secret_key: Secret | None = None

    @model_validator(mode="after")
    def _both_keys_or_none(self) -> S3:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key: both, or none of them")
        return self
