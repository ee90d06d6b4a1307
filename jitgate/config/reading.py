"""Reading one YAML file strictly, and saying on which line an error stands."""

from __future__ import annotations

import difflib
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from jitgate.config.kinds import Section

Loc = tuple[str | int, ...]
Model = TypeVar("Model")


def read(file: Path, shape: TypeAdapter[Model], problems: list[str]) -> Model | None:
    """The file as ``shape`` describes it; None where ``problems`` was given its errors."""
    try:
        text = file.read_text("utf-8")
        tree = YAML(typ="rt").load(io.StringIO(text))
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        problems.append(f"{file}: is not UTF-8")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f":{mark.line + 1}"
        problem = (error.problem or "").partition("\n")[0] or "this is not YAML"
        problems.append(f"{file}{line}: {problem}")
    except YAMLError as error:
        problems.append(f"{file}: {f'{error}'.partition(chr(10))[0]}")
    except Exception as error:  # noqa: BLE001 (the reader lets out whatever its parts raise)
        problems.append(f"{file}: holds a value that cannot be read ({type(error).__name__})")
    else:
        try:
            made = shape.validate_python(_plain(tree), context={"base": file.parent.resolve()})
        except ValidationError as error:
            problems.extend(_described(file, tree, error))
        else:
            _locate(made, tree, file)
            return made
    return None


def named(file: Path, key: str) -> tuple[str, ...]:
    """The patterns that a file with errors names under a key, as far as they can be made out."""
    try:
        value = YAML(typ="rt").load(io.StringIO(file.read_text("utf-8")))[key]
    except Exception:  # noqa: BLE001 (whatever is wrong has been said by `read`)
        return ()
    listed = value if isinstance(value, CommentedSeq) else ()
    return tuple(str(each) for each in listed if isinstance(each, str))


def entry(file: Path, *keys: str) -> str | None:
    """The text that a file with errors has at a key, as far as it can be made out."""
    try:
        value = YAML(typ="rt").load(io.StringIO(file.read_text("utf-8")))
        for key in keys:
            value = value[key]
    except Exception:  # noqa: BLE001 (whatever is wrong has been said by `read`)
        return None
    return str(value) if isinstance(value, str) and value else None


def _locate(made: object, tree: Any, file: Path) -> None:
    """Tell every section where it stands, so that what is found later can be told with a line."""
    if isinstance(made, Section):
        made.located(f"{file}:{tree.lc.line + 1}")
        for name in set(type(made).model_fields) & set(tree):
            _locate(getattr(made, name), tree[name], file)
    elif isinstance(made, tuple) and isinstance(tree, CommentedSeq):
        for part, node in zip(made, tree, strict=True):
            _locate(part, node, file)


def _plain(tree: object) -> object:
    """The tree in plain types: strict validation takes no subclasses."""
    if isinstance(tree, CommentedMap):
        return {_plain(key): _plain(value) for key, value in tree.items()}
    if isinstance(tree, CommentedSeq):
        return [_plain(value) for value in tree]
    if isinstance(tree, str):
        return str(tree)
    if isinstance(tree, bool) or not isinstance(tree, int | float):
        return tree
    return int(tree) if isinstance(tree, int) else float(tree)


def _described(file: Path, tree: object, error: ValidationError) -> Iterator[str]:
    errors = error.errors(include_url=False, include_input=False)
    for each in errors:
        if each["type"] == "too_short" and any(
            _inside(other["loc"], each["loc"]) for other in errors
        ):
            continue  # it is short only because its items have errors of their own
        loc = tuple(part for part in each["loc"] if not _is_tag(part, tree, each["loc"]))
        where = ".".join(f"{part}" for part in loc)
        yield f"{file}:{_line(tree, loc)}: {where + ': ' if where else ''}{_said(each, loc)}"


def _inside(inner: Loc, outer: Loc) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _said(each: Mapping[str, Any], loc: Loc) -> str:
    if each["type"] == "extra_forbidden":
        return f"unknown key{near(str(loc[-1]), _every_key())}"
    if each["type"] == "missing":
        return "this is missing"
    if each["type"] in {"model_type", "dict_type"}:
        return "keys with values were expected"
    if each["type"] == "tuple_type":
        return "a list was expected"
    message = str(each["msg"]).removeprefix("Value error, ")
    return message if message[1:2].isupper() else message[:1].lower() + message[1:]


def _every_key() -> set[str]:
    """Every key that any section knows: enough to guess what was meant."""
    sections = Section.__subclasses__()
    return {name for section in sections for name in section.model_fields}


def _is_tag(part: str | int, tree: object, loc: Loc) -> bool:
    """Whether a part of a location is pydantic's name of a union's branch, not a key."""
    node = _node(tree, loc[: loc.index(part)])
    return isinstance(node, Mapping) and part not in node and node.get("type") == part


def _node(tree: object, loc: Loc) -> object:
    """What stands at a location, as far as it leads."""
    node: Any = tree
    for step in loc:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return node
    return node


def _line(tree: object, loc: Loc) -> int:
    """The line of the innermost part of the location that stands in the file, from 1."""
    line = 1
    node: Any = tree
    for part in loc:
        try:
            if isinstance(node, CommentedMap):
                line = node.lc.key(part)[0] + 1
            elif isinstance(node, CommentedSeq) and isinstance(part, int):
                line = node.lc.item(part)[0] + 1
            node = node[part]
        except (KeyError, IndexError, TypeError):
            break
    return line


def near(name: str, known: Iterable[str]) -> str:
    """A guess at what was meant, to be appended to a message; empty if nothing is close."""
    close = difflib.get_close_matches(name, sorted(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
