"""Test files of masking: responses, and what an agent is expected to see of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, TypeAdapter, WithJsonSchema, model_validator

from jitgate.config.cases import FOLDER, Body, Texts
from jitgate.config.kinds import Section, a_path
from jitgate.config.reading import read
from jitgate.config.schema import Configuration

BodyFile = Annotated[Path, BeforeValidator(a_path), WithJsonSchema({"type": "string"})]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Profiles = Annotated[
    tuple[str, ...],
    BeforeValidator(_listed),
    Field(strict=False, min_length=1),
    WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}, "minItems": 1}),
]


class Answer(Section):
    """A response as the target would send it."""

    profile: Profiles
    """Who masks, as a rule's `mask` would name it; or several."""
    target: str | None = None
    """Who answers; with `action`, for what its catalog marks as secret."""
    action: str | None = None
    """What was asked, as the catalog calls it."""
    status: int = Field(default=200, ge=200, le=599)
    content_type: str | None = "application/json"
    """What the body is said to be; null: nothing is said."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Other fields of the head."""
    body: Body | None = None
    """Text as it is, in UTF-8, or what is sent as JSON."""
    file: BodyFile | None = None
    """The file that holds the body as it is, beside the test file."""

    @model_validator(mode="after")
    def _has_one_body(self) -> Answer:
        if (self.body is None) is (self.file is None):
            raise ValueError("a body was expected: either body or file")
        if (self.target is None) is not (self.action is None):
            raise ValueError("target and action go together")
        return self


class Hidden(Section):
    """One value that is hidden."""

    path: str = Field(min_length=1)
    """Where it stands, as `jitgate mask` tells it: `$['profile']['ssn']`."""
    rule: str | None = None
    """Who hides it, as records name it: `okta`, `okta/jwt`."""


class Wanted(Section):
    """What is to come of it: of what is written here all must be so, and nothing else matters."""

    masked: tuple[Hidden, ...] | None = Field(default=None, strict=False)
    """What is hidden: these values and no others."""
    body: Body | None = None
    """All that the agent sees of the body; what is no text is compared as JSON."""
    absent: Texts = ()
    """What stands nowhere in what the agent is sent, head or body, in no spelling of JSON's."""
    stays: Texts = Field(default=(), alias="kept", strict=False)
    """What stands in the body that the agent is sent."""
    withheld: bool | Annotated[str, Field(min_length=1)] = False
    """Whether nothing of it is sent, or what the reason for that contains. Left out: it is sent, as
    to withhold everything would hide every secret."""

    @model_validator(mode="after")
    def _expects_something(self) -> Wanted:
        if not self.model_fields_set:
            raise ValueError("something was expected of: masked, body, absent, kept or withheld")
        if self.withheld and self.model_fields_set - {"withheld", "absent"}:
            raise ValueError("of what is withheld nothing is kept, masked or a body")
        return self


class MaskingCase(Section):
    """One response, and what is expected of it."""

    name: str | None = Field(default=None, min_length=1)
    response: Answer
    expect: Wanted


_CASES: TypeAdapter[tuple[MaskingCase, ...]] = TypeAdapter(
    Annotated[tuple[MaskingCase, ...], Field(strict=False)]
)


def read_masking_cases(file: Path, problems: list[str]) -> Sequence[MaskingCase]:
    """The cases of one file; what is wrong with it goes to ``problems``."""
    return read(file, _CASES, problems) or ()


def masking_case_files(configuration: Configuration) -> list[Path]:
    """The test files of masking: those in the folder ``tests`` beside the masking files."""
    named = dict.fromkeys(each.where.rpartition(":")[0] for each in configuration.profiles)
    folders = dict.fromkeys(Path(file).parent / FOLDER for file in named)
    return [file for folder in folders for file in sorted(folder.glob("*.yaml"))]
