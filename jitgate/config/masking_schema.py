"""What may stand in a masking file."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from jitgate.config.kinds import Name, Secret, Section
from jitgate.core.paths import parsed
from jitgate.maskers.kinds import KINDS, known


def _path(text: str) -> str:
    return parsed(text).text


def _detector(name: str) -> str:
    return known(name).name


MaskedPath = Annotated[
    str, AfterValidator(_path), WithJsonSchema({"type": "string", "pattern": r"^\$"})
]
Detector = Annotated[
    str, AfterValidator(_detector), WithJsonSchema({"type": "string", "enum": [*KINDS]})
]


class Profile(Section):
    """What is masked in the responses, or requests, that a rule names this profile for."""

    profile: Name
    of: Literal["responses", "requests", "both"] = "responses"
    """In what it hides: in what the target answers, or in what is sent to it."""
    secrets: Literal["catalog"] | None = None
    names: tuple[str, ...] = Field(default=(), strict=False)
    paths: tuple[MaskedPath, ...] = Field(default=(), strict=False)
    """Values for where they stand, such as `$.profile.ssn`, `$.users[*].pin`, `$..answer`."""
    detectors: tuple[Detector, ...] = Field(default=(), strict=False)
    """Secrets for what they look like, in whatever field they stand."""
    literals: tuple[Secret, ...] = Field(default=(), strict=False)
    """Secrets that are known, wherever they stand."""
    how: Literal["replace", "last4", "hash", "drop", "deny"] = "replace"
    """How what `names`, `paths`, `detectors` and `literals` hide is shown."""
    maskers: tuple[str, ...] = Field(default=(), strict=False)
    passes: tuple[str, ...] = Field(default=(), strict=False)
    """Actions whose messages hold no secret, whatever they are made of."""

    @model_validator(mode="after")
    def _passes_some(self) -> Self:
        for glob in self.passes:
            if not glob.strip("*"):
                raise ValueError(f"passes: {glob!r} is for every operation; name some")
        return self
