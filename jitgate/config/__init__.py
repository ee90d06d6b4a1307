"""The configuration: one file and the policy and masking files it names, read strictly.

Every error is reported at once, each with its file and line and what was expected. Duplicate and
unknown keys are errors; YAML is 1.2, so ``no`` is a word. What comes out is checked, frozen, and
holds absolute paths; nothing has been opened but the files named here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from jitgate.config.masking_schema import Profile
from jitgate.config.reading import entry, named, near, read
from jitgate.config.schema import Configuration, Rule, Settings
from jitgate.errors import ConfigurationInvalid

__all__ = ["Configuration", "control_socket", "load", "read_all"]

_SETTINGS: TypeAdapter[Settings] = TypeAdapter(Settings)
_RULES: TypeAdapter[tuple[Rule, ...]] = TypeAdapter(
    Annotated[tuple[Rule, ...], Field(strict=False)]
)
_PROFILES: TypeAdapter[tuple[Profile, ...]] = TypeAdapter(
    Annotated[tuple[Profile, ...], Field(strict=False)]
)


def load(file: Path) -> Configuration:
    """Read ``file`` and what it names. Raises `ConfigurationInvalid` with every problem found."""
    configuration, problems = read_all(file)
    if problems or configuration is None:
        raise ConfigurationInvalid(problems)
    return configuration


def read_all(file: Path) -> tuple[Configuration | None, list[str]]:
    """What could be read of ``file`` and of what it names, and every problem found.

    Where there are problems, a configuration serves only to look for more: it must not be used.
    """
    problems: list[str] = []
    settings = read(file, _SETTINGS, problems)
    policy, masking = (
        (named(file, "policy"), named(file, "masking"))
        if settings is None
        else (settings.policy, settings.masking)
    )
    rules: list[Rule] = []
    profiles: list[Profile] = []
    for found in _files(file, policy, problems):
        written = read(found, _RULES, problems)
        rules += written or ()
    for found in _files(file, masking, problems):
        described = read(found, _PROFILES, problems)
        profiles += described or ()
    if settings is None:
        return None, problems
    problems += _cross_checked(settings, rules, profiles, complete=not problems)
    read_so_far = Configuration.model_construct(
        file=file.absolute(), settings=settings, rules=tuple(rules), profiles=tuple(profiles)
    )
    return read_so_far, problems


def control_socket(file: Path) -> Path | None:
    """The control socket of the gateway that serves this file, whatever else is wrong in it.

    None where the file does not get so far as to say.
    """
    configuration, _ = read_all(file)
    if configuration is not None:
        return configuration.control_socket
    base = file.parent.resolve()
    if (socket := entry(file, "control", "socket")) is not None:
        return base / socket
    state = entry(file, "state")
    return None if state is None else (base / state).resolve() / "control.sock"


def _cross_checked(
    settings: Settings, rules: Sequence[Rule], profiles: Sequence[Profile], *, complete: bool
) -> Iterator[str]:
    """What can only be seen of all files together; of profiles only if ``complete``."""
    yield from _repeated("rule", [(rule.where, rule.name) for rule in rules])
    yield from _repeated("profile", [(each.where, each.profile) for each in profiles])
    targets = {target.name for target in settings.targets}
    masks = {"none", "catalog", *(each.profile for each in profiles)}
    groups = settings.approvals.groups
    for rule in rules:
        asked = [name for each in rule.approvers or () for name in each.every_group]
        for name in dict.fromkeys(asked):
            if name not in groups:
                yield (
                    f"{rule.where}: rule {rule.name}: no group {name!r} in approvals.groups"
                    f"{near(name, groups)}"
                )
        for name in rule.match.targets or ():
            if name not in targets:
                yield f"{rule.where}: rule {rule.name}: no target {name!r}{near(name, targets)}"
        if complete and rule.mask is not None and rule.mask not in masks:
            yield (
                f"{rule.where}: rule {rule.name}: no masking profile {rule.mask!r}"
                f"{near(rule.mask, masks)}"
            )
    yield from _roomless(settings)
    for each in profiles:
        if each.profile in {"none", "catalog"}:
            yield f"{each.where}: the profile {each.profile!r} is built in; give yours another name"


def _roomless(settings: Settings) -> Iterator[str]:
    """Rooms of groups that are none."""
    groups = settings.approvals.groups
    for name, room in () if settings.slack is None else settings.slack.groups.items():
        if name not in groups:
            meant = near(name, groups)
            yield f"{room.where}: slack.groups: no group {name!r} in approvals.groups{meant}"


def _repeated(kind: str, named: Sequence[tuple[str, str]]) -> Iterator[str]:
    first: dict[str, str] = {}
    for where, name in named:
        if name in first:
            yield f"{where}: the {kind} {name!r} stands at {first[name]} already"
        first.setdefault(name, where)


def _files(file: Path, patterns: Sequence[str], problems: list[str]) -> list[Path]:
    """The files that the patterns name; one that names none is a problem."""
    found: list[Path] = []
    for pattern in patterns:
        matched = _matched(file.parent.resolve(), pattern)
        if not matched:
            problems.append(f"{file}: no file matches {pattern!r}")
        found += [each for each in matched if each not in found]
    return found


def _matched(base: Path, pattern: str) -> list[Path]:
    """The files that one pattern names, in order; none for what is no pattern."""
    if Path(pattern).is_absolute():
        base, pattern = Path("/"), pattern.lstrip("/")
    try:
        return sorted(base.glob(pattern))
    except (ValueError, IndexError, OSError):
        return []
