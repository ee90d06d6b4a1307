"""Test files: calls, and what policy is expected to say of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, WithJsonSchema, model_validator

from jitgate.config.kinds import RiskWord, Section
from jitgate.config.reading import read
from jitgate.config.schema import Configuration, Method
from jitgate.values import Denial

FOLDER = "tests"
"""The folder beside policy files that holds their test files."""


def _moment(value: object) -> float:
    """A point in time as seconds since 1970."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(
            'a time with its zone was expected, in quotes, such as "2026-01-05T09:30:00+01:00"'
        )
    return moment.timestamp()


Moment = Annotated[
    float,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def _json(value: object) -> object:
    """What JSON can hold; dates are none of it, and are text in quotes."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError("text, or what JSON can hold, was expected; dates stand in quotes") from (
            None
        )
    return value


Json = Annotated[Any, BeforeValidator(_json), WithJsonSchema({})]
Body = Annotated[
    Any,
    BeforeValidator(_json),
    WithJsonSchema({"type": ["string", "object", "array", "number", "boolean"]}),
]

Texts = Annotated[tuple[str, ...], Field(strict=False)]


class Caller(Section):
    """Who calls, as the agent's token would prove it."""

    sub: str = Field(min_length=1)
    """The agent's id."""
    groups: Texts = ()
    issuer: str | None = None
    """An issuer's name or URL; left out: the first that is configured."""
    agent: str | None = None
    """The program, where it acts for whom `sub` names."""
    humans: Texts | None = None
    """Whom it acts for; left out: its owner, as the issuer's `owners` says."""


class Call(Section):
    """A call as the agent would make it."""

    method: Method
    url: str = Field(min_length=1)
    """As the agent would write it: https://HOST/PATH."""
    caller: Caller = Field(alias="as")
    headers: dict[str, str] = Field(default_factory=dict)
    body: Body | None = None
    """Text as it is, or what is sent as JSON. Left out, the body of a POST, PUT, PATCH or DELETE is
    not known; one that is empty is ""."""
    facts: dict[str, dict[str, Json]] = Field(default_factory=dict)
    """What is known from outside, by the names of those who gather it."""
    at: Moment | None = None
    """When it is made; left out: noon on a Monday, UTC."""


class Expected(Section):
    """What is to come of it: of what is written here all must be so, and nothing else matters."""

    effect: Literal["permit", "review", "deny"] | None = None
    """`deny`: a rule denies it, or none permits it. What policy is not asked has a `denial`."""
    denial: Denial | None = Field(default=None, strict=False)
    """The kind of refusal, such as operation-unknown or malformed-request."""
    rule: str | None = None
    """The rule that decides; `default` where none does."""
    reason: str | None = Field(default=None, min_length=1)
    """What the reason contains."""
    obligations: dict[str, Json] = Field(default_factory=dict)
    """By name. A list: these and no others of that name; else one of them."""
    observed: dict[str, Literal["permit", "review", "deny"]] = Field(default_factory=dict)
    """What rules that are only tried out would have done, by their names."""
    action: str | None = None
    """What the catalog calls the operation."""
    resource: dict[str, str] | None = None
    risk: RiskWord | None = None

    @model_validator(mode="after")
    def _expects_an_answer(self) -> Expected:
        """What never reaches policy must not pass for a denial of its rules."""
        if self.effect is None and self.denial is None:
            raise ValueError("effect was expected (permit, review or deny), or the kind of denial")
        if self.denial is not None and self.effect in {"permit", "review"}:
            raise ValueError(f"denial does not go with effect: {self.effect}")
        return self


class Case(Section):
    """One call, and what is expected of it."""

    name: str | None = Field(default=None, min_length=1)
    request: Call
    expect: Expected


_CASES: TypeAdapter[tuple[Case, ...]] = TypeAdapter(
    Annotated[tuple[Case, ...], Field(strict=False)]
)


def read_cases(file: Path, problems: list[str]) -> Sequence[Case]:
    """The cases of one file; what is wrong with it goes to ``problems``."""
    return read(file, _CASES, problems) or ()


def case_files(policy_files: Sequence[Path]) -> list[Path]:
    """The test files of policy files: those in the folder ``tests`` beside them."""
    folders = dict.fromkeys(file.parent / FOLDER for file in policy_files)
    return [file for folder in folders for file in sorted(folder.glob("*.yaml"))]


def policy_files(configuration: Configuration) -> list[Path]:
    """The policy files of a configuration that hold a rule."""
    named = dict.fromkeys(rule.where.rpartition(":")[0] for rule in configuration.rules)
    return [Path(file) for file in named]
