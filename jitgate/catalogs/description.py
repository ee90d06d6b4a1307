"""Reads a description of an API (OpenAPI 3.0 or 3.1), which somebody else wrote, within bounds.

Nothing but the file is opened: what it refers to elsewhere is never fetched. Keys that stand twice
are refused, since tools differ in which of them they take.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode

from jitgate.errors import ConfigurationInvalid

JSON_BYTES = 64 * 1024 * 1024
"""Of a description in JSON; GitHub's has 13 MB."""

YAML_BYTES = 16 * 1024 * 1024
"""Of one in YAML, of which a minute reads some 12 MB; Okta's has 3.5 MB."""

REFERENCES = 64
"""How many references may lead from one to the next before what is meant."""

_SMALL = 10**9
"""Numbers from here on stand for no version, status or default."""

Node = dict[Any, Any]
"""An object of the description."""


class Said(NamedTuple):
    """Something to tell people about a place in the description."""

    what: str
    where: str


class Description:
    """A description that was read, and the references in it."""

    def __init__(self, content: Node) -> None:
        self.content = content
        self.unfollowed: dict[str, str] = {}
        """References that lead nowhere that is looked at, and why."""

    def resolved(self, value: object) -> Node:
        """The object that is meant, where a reference may stand for it; empty if there is none."""
        reference = ""
        for _ in range(REFERENCES):
            found = node(value)
            if not isinstance(found.get("$ref"), str):
                return found
            reference = found["$ref"]
            value = self.referred(reference)
        self.unfollowed[reference] = "goes around in a circle"
        return {}

    def referred(self, reference: str) -> object:
        """What stands at a reference within the file (RFC 6901); None, if anything, is noted."""
        if not reference.startswith("#"):
            self.unfollowed[reference] = "leads out of the file: nothing is fetched"
            return None
        place: object = self.content
        if reference != "#":
            if not reference.startswith("#/"):
                self.unfollowed[reference] = "names no place in the file"
                return None
            for step in unquote(reference[2:]).split("/"):
                place = _at(place, step.replace("~1", "/").replace("~0", "~"))
        if not isinstance(place, dict):
            self.unfollowed[reference] = "leads to nothing"
            return None
        return place


def node(value: object) -> Node:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def members(value: object) -> Iterator[tuple[str, Any]]:
    """The members of an object that have a name, as text: YAML knows numbers for names."""
    for name, each in node(value).items():
        if isinstance(name, str) or text_of(name):
            yield text_of(name), each


def text_of(value: object) -> str:
    """A text, or a small number as text; of anything else nothing.

    A list of aliases of lists of aliases is small, and what it would be as a text is not.
    """
    if isinstance(value, str):
        return value
    small = isinstance(value, int | float) and abs(value) < _SMALL
    return f"{value}" if small else ""


def read_description(file: Path) -> Description:
    """What the file describes. Raises `ConfigurationInvalid` where it is no such description."""
    try:
        with file.open("rb") as opened:
            data = opened.read(JSON_BYTES + 1)
    except OSError as error:
        raise ConfigurationInvalid([f"{file}: cannot be read: {error.strerror}"]) from error
    try:
        return described(data)
    except ConfigurationInvalid as error:
        raise ConfigurationInvalid([f"{file}: {each}" for each in error.problems]) from error


def described(data: bytes) -> Description:
    """What a file with these bytes describes. Raises `ConfigurationInvalid`."""
    if len(data) > JSON_BYTES:
        _refuse(f"a description has {JSON_BYTES >> 20} MiB at most")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse("this is not UTF-8")
    content = _json(text) if text.lstrip()[:1] == "{" else _yaml(text, len(data))
    if not isinstance(content, dict):
        _refuse("this is no description of an API: keys with values were expected")
    version = text_of(content.get("openapi"))
    if not re.match(r"3\.[01](\.|\Z)", version):
        older = text_of(content.get("swagger"))
        said = f"swagger: {older}" if older else f"openapi: {version}"
        _refuse(f"a description by OpenAPI 3.0 or 3.1 was expected, and this says {said[:60]!r}")
    return Description(content)


def _refuse(problem: str) -> NoReturn:
    raise ConfigurationInvalid([problem])


def _at(place: object, step: str) -> object:
    if isinstance(place, list):
        return place[int(step)] if _is_number(step) and int(step) < len(place) else None
    found = node(place)
    return found.get(int(step)) if step not in found and _is_number(step) else found.get(step)


def _is_number(step: str) -> bool:
    return step.isascii() and step.isdecimal() and len(step) < len(f"{_SMALL}")


# --- the two notations


def _json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_each_once)
    except RecursionError:
        _refuse("this is nested too deeply")
    except json.JSONDecodeError as error:
        _refuse(f"line {error.lineno}: this is no JSON: {error.msg}")
    except ValueError as error:
        _refuse(f"{error}")


def _each_once(pairs: list[tuple[str, Any]]) -> Node:
    made: Node = {}
    for name, value in pairs:
        if name in made:
            raise ValueError(f"the key {name[:60]!r} stands twice in one object")
        made[name] = value
    return made


class _Bounded(SafeConstructor):
    """Makes plain values alone. An alias is the value that it names, so it costs nothing."""

    def flatten_mapping(self, node: MappingNode) -> None:
        """Refuse merge keys: one of a few lines can stand for more than any memory holds."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise ConstructorError(None, None, "merge keys are not read", key.start_mark)


def _yaml(text: str, size: int) -> object:
    if size > YAML_BYTES:
        _refuse(f"a description in YAML has {YAML_BYTES >> 20} MiB at most: take the one in JSON")
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Bounded
    try:
        return yaml.load(io.StringIO(text))
    except RecursionError:
        _refuse("this is nested too deeply")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f"line {mark.line + 1}: "
        _refuse(f"{line}{(error.problem or '').partition(chr(10))[0] or 'this is no YAML'}")
    except Exception as error:  # noqa: BLE001 (the reader lets out whatever its parts raise)
        _refuse(f"this holds what cannot be read ({type(error).__name__})")
