"""Reading one YAML file strictly, and saying on which line an error stands."""

from __future__ import annotations

import contextlib
import difflib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from jitgate.config.kinds import NAME, Section
from jitgate.config.places import Scalar
from jitgate.core.durations import duration, written
from jitgate.errors import OptionsInvalid

Loc = tuple[str | int, ...]
Model = TypeVar("Model")
Shape = TypeVar("Shape", bound=Section)


@dataclass(frozen=True, slots=True)
class Written:
    """Keys of a section that another than the configuration knows, such as a plugin's options."""

    values: Mapping[str, object]
    key: str
    """What they stand under."""
    file: Path | None = None
    """Where they stand; None: in no file."""
    tree: Any = None
    """The section that they stand in."""
    text: str = ""
    """The whole file."""

    def read(self, shape: type[Shape]) -> Shape:
        """What is written, as ``shape`` describes it. Raises `OptionsInvalid` with every error."""
        base = Path.cwd() if self.file is None else self.file.parent.resolve()
        try:
            made = shape.model_validate(dict(self.values), context={"base": base})
        except ValidationError as error:
            tree = {self.key: self.values} if self.tree is None else self.tree
            described = _described(tree, error, _keys_of(shape), (self.key,))
            raise OptionsInvalid([f"{self._at(line)}{text}" for line, text in described]) from error
        if self.file is not None and self.key in self.tree:
            _locate(made, self.tree[self.key], self.file, self.text)
        return made

    def _at(self, line: int) -> str:
        return "" if self.file is None else f"{self.file}:{line}: "


def read(file: Path, shape: TypeAdapter[Model], problems: list[str]) -> Model | None:
    """The file as ``shape`` describes it; None where ``problems`` was given its errors.

    Of a list what is sound is read all the same, so that all else that is wrong is told too.
    """
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
        problems.append(f"{file}{line}: {_misshapen(error)}")
    except YAMLError as error:
        problems.append(f"{file}: {f'{error}'.partition(chr(10))[0]}")
    except Exception as error:  # noqa: BLE001 (the reader lets out whatever its parts raise)
        problems.append(f"{file}: holds a value that cannot be read ({type(error).__name__})")
    else:
        try:
            made = shape.validate_python(_plain(tree), context={"base": file.parent.resolve()})
        except ValidationError as error:
            described = _described(tree, error, _every_key())
            problems.extend(f"{file}:{line}: {told}" for line, told in described)
            return _sound(file, shape, tree, text)
        else:
            _locate(made, tree, file, text)
            return made
    return None


def _sound(file: Path, shape: TypeAdapter[Model], tree: Any, text: str) -> Model | None:
    """Those items of a list that are as ``shape`` describes them; None of what is no list."""
    if not isinstance(tree, CommentedSeq):
        return None
    sound, base = CommentedSeq(), file.parent.resolve()
    for node in tree:
        with contextlib.suppress(ValidationError):
            shape.validate_python([_plain(node)], context={"base": base})
            sound.append(node)
    try:
        made = shape.validate_python(_plain(sound), context={"base": base})
    except ValidationError:  # it is no list that was expected
        return None
    _locate(made, sound, file, text)
    return made


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


def _locate(made: object, tree: Any, file: Path, text: str) -> None:
    """Tell every section where it stands, so that what is found later can be told with a line."""
    if isinstance(made, Section):
        made.located(f"{file}:{tree.lc.line + 1}", _scalars(made, tree, file, text))
        for key in made.others:
            made.kept(Written(getattr(made, key), key, file, tree, text))
        for name in set(type(made).model_fields) & set(tree):
            _locate(getattr(made, name), tree[name], file, text)
    elif isinstance(made, dict) and isinstance(tree, CommentedMap):
        for name in set(made) & set(tree):
            _locate(made[name], tree[name], file, text)
    elif isinstance(made, tuple) and isinstance(tree, CommentedSeq):
        for part, node in zip(made, tree, strict=True):
            _locate(part, node, file, text)


def _scalars(made: Section, tree: Any, file: Path, text: str) -> dict[str, Scalar]:
    """Where the texts of a section stand whose inside matters; not those that stand elsewhere."""
    known = tree.lc.data or {} if isinstance(tree, CommentedMap) else {}
    marks = {key: known.get(key) for key in made.pictured}
    return {
        key: Scalar(f"{file}", text, line=mark[2], column=mark[3])
        for key, mark in marks.items()
        if mark is not None
    }


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


def _described(
    tree: object, error: ValidationError, known: Iterable[str], at: Loc = ()
) -> Iterator[tuple[int, str]]:
    """Line and text of each error in what stands ``at`` a place, where these keys are known."""
    errors = error.errors(include_url=False, include_input=False)
    start = tree.lc.line + 1 if at and isinstance(tree, CommentedMap) else 1
    for each in errors:
        if each["type"] == "too_short" and any(
            _inside(other["loc"], each["loc"]) for other in errors
        ):
            continue  # it is short only because its items have errors of their own
        loc = _written(tree, (*at, *each["loc"]))
        where = ".".join(f"{part}" for part in loc)
        said = _bound(each, _reached(tree, loc)) or _said(each, loc, known)
        yield _line(tree, loc, start), f"{where + ': ' if where else ''}{said}"


_KINDS = {
    "missing": "this is missing",
    **dict.fromkeys(("model_type", "dict_type"), "keys with values were expected"),
    **dict.fromkeys(
        ("tuple_type", "list_type", "set_type", "frozen_set_type"), "a list was expected"
    ),
    "string_type": "text was expected; a number that is meant as one stands in quotes",
    "int_type": "a whole number was expected, without quotes",
    "float_type": "a number was expected, without quotes",
    "bool_type": "true or false was expected",
}
"""What was expected, by the kind of pydantic's error."""
_SHAPES = (
    ("<block end>", "this line is indented differently from those that it belongs to"),
    (
        "mapping values are not allowed",
        "no key can stand here: look at its indentation, and at the '- ' of its list",
    ),
    (
        "could not find expected ':'",
        "a ':' is missing behind a key, in this line or the one above it",
    ),
    ("found character '\\t'", "a tab cannot indent: use spaces"),
    (
        "expected ',' or '",
        "what is in brackets is not closed, lacks a comma, or holds a text that must be in quotes",
    ),
    ("undefined alias", "a text that begins with '*' stands in quotes"),
)
"""Mistakes that are made often, by a part of what the reader of YAML calls them."""


def _misshapen(error: MarkedYAMLError) -> str:
    """What is wrong with a file that is no YAML, in the words of who writes it."""
    said = (error.problem or "").partition("\n")[0]
    meant = next((words for part, words in _SHAPES if part in said), "")
    if not said:
        return "this is not YAML"
    return f"{meant} ({said})" if meant else said


def _inside(inner: Loc, outer: Loc) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _bound(each: Mapping[str, Any], value: object) -> str:
    """What a number was expected to be at least or at most; empty if that is not what is wrong.

    A duration is told as it is written: what pydantic compares is its seconds.
    """
    words = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}
    if each["type"] not in words:
        return ""
    side, key = words[each["type"]]
    limit = each["ctx"][key]
    is_duration = isinstance(value, str) and duration(value) is not None
    return f"{side} {written(limit) if is_duration else limit} was expected"


def _said(each: Mapping[str, Any], loc: Loc, known: Iterable[str]) -> str:
    if each["type"] == "extra_forbidden":
        name = str(loc[-1])
        return f"unknown key{'; it stands in other places' if name in known else near(name, known)}"
    if each["type"] in _KINDS:
        return _KINDS[each["type"]]
    if each["type"] == "union_tag_invalid":
        given, kinds = each["ctx"]["tag"], each["ctx"]["expected_tags"]
        return f"no type {given!r} is known; there are {kinds}"
    if each.get("ctx", {}).get("pattern") == NAME:
        return "small letters, digits and '-' were expected, 64 at most"
    message = str(each["msg"]).removeprefix("Value error, ")
    return message if message[1:2].isupper() else message[:1].lower() + message[1:]


def _every_key() -> set[str]:
    """Every key that any section knows: enough to guess what was meant."""
    sections = Section.__subclasses__()
    return set(_keys(sections))


def _keys_of(shape: type[Section]) -> set[str]:
    """Every key of a section, and of the sections in it."""
    found, ahead = {shape}, [shape]
    while ahead:
        for field in ahead.pop().model_fields.values():
            new = set(_kinds_in(field.annotation)) - found
            found |= new
            ahead += new
    return set(_keys(found))


def _keys(sections: Iterable[type[Section]]) -> Iterator[str]:
    """The keys of some sections, as they are written."""
    for section in sections:
        for name, field in section.model_fields.items():
            yield field.alias or name


def _kinds_in(annotation: Any) -> Iterator[type[Section]]:
    """The sections that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from _kinds_in(part)


def _written(tree: object, loc: Loc) -> Loc:
    """The parts of a location that stand in the file; others are pydantic's own.

    Those are the name of a union's branch, and the place in a list whose one item stands alone.
    """
    node: Any = tree
    kept: list[str | int] = []
    for part in loc:
        if isinstance(part, str) and part.startswith("("):
            continue
        inside = not isinstance(node, Mapping) or part in node
        if inside or not (isinstance(part, int) or node.get("type") == part):
            kept.append(part)
            node = _inner(node, part)
    return tuple(kept)


def _inner(node: Any, part: str | int) -> Any:
    """What stands at a part of a location; nothing where it does not lead there."""
    try:
        return node[part]
    except (KeyError, IndexError, TypeError):
        return None


def _reached(tree: object, loc: Loc) -> object:
    """What stands at a location; None where it does not lead there."""
    node = tree
    for part in loc:
        node = _inner(node, part)
    return node


def _line(tree: object, loc: Loc, start: int) -> int:
    """The line of the innermost part of the location that stands in the file, else ``start``."""
    line = start
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

    def closeness(each: str) -> tuple[float, int]:
        return difflib.SequenceMatcher(None, each, name).ratio(), -abs(len(each) - len(name))

    close = difflib.get_close_matches(name, sorted(known), 3)
    return f"; did you mean {max(close, key=closeness)!r}?" if close else ""
