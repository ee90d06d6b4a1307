"""Makes the pages of docs/reference that are generated: configuration, command line, ports.

``python .ci/make_reference.py``. A test says when one of them is not what would be made now.

What a key of the configuration is for is said once, in the tables of the pages named here; the
reference takes the first sentence of it, and everything else from the models that read it.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from jitgate import interfaces
from jitgate.cli import command_line
from jitgate.config.json_schema import _duration, _ForEditors, _size
from jitgate.config.kinds import Section
from jitgate.config.masking_schema import Profile
from jitgate.config.schema import Rule, Settings
from jitgate.core import duties
from jitgate.values import Risk

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = DOCS / "reference"
EDITED = "Made by `.ci/make_reference.py`; do not edit."

# --- configuration

with (ROOT / ".ci" / "reference.toml").open("rb") as opened:
    TOLD = tomllib.load(opened)

WORDS_OF = {
    each.__name__: ", ".join(f"`{word.value}`" for word in each) for each in (Risk, duties.Per)
}
"""Words that have a name of their own in the models."""

WORDS = {
    "path": "path",
    "duration": "duration",
    "size": "size",
    "address": "address",
    "host": "host",
    "field": "field name",
    "secret": "secret",
}


def configuration() -> str:
    """Every key of every file: kind, default, bounds, what it is for."""
    head = (
        f"{EDITED} Kinds of values, and all that a key means, are told in "
        "[configuration.md](../configuration.md), where *More* leads. What is not *required* may "
        "be left out. `jitgate policy schema --out DIR` writes it as JSON Schemas, for editors."
    )
    parts = ["# Every key of the configuration", head]
    for shape, file in (
        (Settings, "jitgate.yaml"),
        (Rule, "A rule of a policy file"),
        (Profile, "A profile of a masking file"),
    ):
        whole = TypeAdapter(shape).json_schema(schema_generator=_ForEditors)
        for path, name, section in _found(whole, shape.__name__):
            title = f"`{path}`" if path else file
            parts += [f"## {title}{_kind_of(section)}", *_section(name, section)]
    return "\n\n".join(parts) + "\n"


def _found(whole: Mapping[str, Any], name: str) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Each section once, with the keys that lead to it first, in the order of the files."""
    sections = whole.get("$defs", {})
    found, seen = [("", name, whole)], {name}
    for path, _, section in found:
        for key, value in section["properties"].items():
            for below in _references(value):
                if below not in seen and "properties" in sections[below]:
                    seen.add(below)
                    found.append((f"{path}.{key}".lstrip("."), below, sections[below]))
    return sorted(found, key=lambda each: _order(whole, each[0]))


def _order(whole: Mapping[str, Any], path: str) -> int:
    """Sections stand behind the key of the whole file that they belong to."""
    return [*whole["properties"]].index(path.partition(".")[0]) if path else -1


def _kind_of(section: Mapping[str, Any]) -> str:
    kind = section["properties"].get("type", {}).get("const")
    return f" with `type: {kind}`" if kind else ""


def _section(name: str, section: Mapping[str, Any]) -> Iterator[str]:
    heading = TOLD["places"].get(name, "")
    said = " ".join(str(section.get("description", "")).split()).replace("``", "`")
    more = f" [More](../configuration.md#{_anchor(heading)})." if heading else ""
    if said or more:
        yield f"{said}{more}".strip()
    rows = ["| key | kind | default | for |", "|---|---|---|---|"]
    needed = section.get("required", ())
    table = _table(heading, set(section["properties"]))
    for key, value in section["properties"].items():
        default = "*required*" if key in needed else _default(value)
        kind = f"{_kind(value)}{_bounds(name, key)}"
        meaning = _meaning(TOLD["meanings"].get(f"{name}.{key}") or table.get(key, ""), value)
        if not (meaning or key == "type"):
            raise ValueError(f"nobody says what {key} of {name} is for")
        rows.append(f"| `{key}` | {kind} | {default} | {meaning} |")
    yield "\n".join(rows)


def _table(heading: str, keys: set[str]) -> Mapping[str, str]:
    """Of the tables below a heading the one that tells of these keys."""
    tables = _TABLES.get(heading, [])
    return max(tables, key=lambda each: (len(keys & set(each)), -len(each)), default={})


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        for key, each in value.items():
            if key != "discriminator":
                yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _kind(value: Mapping[str, Any]) -> str:  # noqa: PLR0911 (a row of cases)
    if any({"issuer", "id"} == set(each.get("properties", ())) for each in value.get("anyOf", ())):
        return "person"
    for several in ("oneOf", "anyOf"):
        if several in value:
            return " or ".join(dict.fromkeys(_kind(each) for each in value[several]))
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return WORDS_OF.get(name, "section")
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    kinds = value.get("type")
    if kinds == "array":
        return f"list of {_kind(value.get('items', {}))}"
    if kinds == "object":
        inner = value.get("additionalProperties") or next(
            iter(value.get("patternProperties", {}).values()), None
        )
        return f"mapping to {_kind(inner)}" if isinstance(inner, dict) else "mapping"
    plain = {"integer": "number", "number": "number", "boolean": "true or false"}
    return WORDS.get(str(value.get("x-kind")), plain.get(str(kinds), "text"))


def _bounds(section: str, key: str) -> str:
    field = _field(section, key)
    found = {type(each).__name__: each for each in field.metadata} if field else {}
    least = getattr(found.get("Ge"), "ge", None)
    most = getattr(found.get("Le"), "le", None)
    said = [
        f"{word} {_spelled(field, bound)}"
        for word, bound in (("at least", least), ("at most", most))
        if bound is not None
    ]
    return "".join(f", {each}" for each in said)


def _field(section: str, key: str) -> Any:
    fields = _SECTIONS[section].model_fields if section in _SECTIONS else {}
    return next((each for name, each in fields.items() if key in (name, each.alias)), None)


def _spelled(field: Any, bound: float) -> str:
    if "Duration" in repr(field.annotation) or isinstance(bound, float):
        return f"`{_duration(bound)}`"
    return f"`{_size(bound)}`" if bound >= 1024 and bound % 1024 == 0 else f"{bound:,}"


def _default(value: Mapping[str, Any]) -> str:
    default = value.get("default")
    if default is None or default in ([], ""):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return ", ".join(f"`{each}`" for each in default)
    return f"`{default}`"


def _meaning(told: str, value: Mapping[str, Any]) -> str:
    """The first sentence, with links that lead from here."""
    said = told or str(value.get("description", ""))
    if not said and "$ref" in value:
        return "Below"
    first = re.split(r"(?<=[^.][^.])[.:;] (?=[A-Z\[`])", said, maxsplit=1)[0].rstrip(".")
    first = first.removesuffix(", see below")
    first = re.sub(r"\]\(#([\w-]+)\)", r"](../configuration.md#\1)", first)
    return re.sub(r"\]\((?!\.\./)([\w-]+\.md)", r"](../\1", first).replace("|", "\\|")


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _tables() -> dict[str, list[dict[str, str]]]:
    """What the tables say of keys, by heading."""
    found: dict[str, list[dict[str, str]]] = {}
    heading, table = "", {}
    for line in (DOCS / "configuration.md").read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif not line.startswith("| `"):
            table = {}
        else:
            cells = [each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]]
            if not table:
                found.setdefault(heading, []).append(table)
            for key in re.findall(r"`([\w.]+)`", cells[0]):
                table.setdefault(key, cells[-1].replace("\\|", "|"))
    return found


def _all(model: type[Section]) -> Iterator[type[Section]]:
    yield model
    for each in model.__subclasses__():
        yield from _all(each)


_TABLES = _tables()
_SECTIONS = {each.__name__: each for each in _all(Section)}

# --- command line


def commands() -> str:
    """Every command with its options, as its parser has them."""
    os.environ["COLUMNS"] = "96"
    parser = command_line()
    head = (
        f"{EDITED} What the commands do together is told in the how-tos. The exit status of each "
        'is 0 for yes, 1 for no, 2 for "could not tell".'
    )
    parts = ["# Every command", head]
    parts += [_command(name, each) for name, each in _leaves(parser, "jitgate")]
    return "\n\n".join(parts) + "\n"


def _leaves(
    parser: argparse.ArgumentParser, name: str, help_: str = ""
) -> Iterator[tuple[str, tuple[argparse.ArgumentParser, str]]]:
    below = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    for each in below:
        helps = {choice.dest: choice.help or "" for choice in each._choices_actions}
        for word, inner in each.choices.items():
            yield from _leaves(inner, f"{name} {word}", helps.get(word, ""))
    if not any(each.required for each in below):
        yield name, (parser, help_)


def _command(name: str, told: tuple[argparse.ArgumentParser, str]) -> str:
    parser, help_ = told
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    said = parser.description or help_
    rows = [
        f"| {_flags(each)} | {_helped(parser, each)} |"
        for each in parser._actions
        if not isinstance(each, argparse._HelpAction | argparse._SubParsersAction)
    ]
    table = "\n".join(["| | |", "|---|---|", *rows]) if rows else ""
    parts = [f"## {name}", " ".join(said.split()), f"```text\n{usage}\n```", table]
    return "\n\n".join(each for each in parts if each)


def _flags(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(f"`{each}{value}`" for each in action.option_strings)


def _helped(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    said = parser._get_formatter()._expand_help(action) if action.help else ""
    return " ".join(said.split()).replace("|", "\\|").replace("<", "&lt;")


# --- ports


def ports() -> str:
    """Every port, in the order in which a request meets them."""
    tree = ast.parse(Path(interfaces.__file__).read_text())
    head = (
        f"{EDITED} In the order in which a request meets them, as `jitgate/interfaces.py` states "
        "them for `zope.interface`. Which of them a plugin may provide, and how, is told in "
        "[plugins.md](../plugins.md)."
    )
    parts = ["# Every port", head]
    for each in tree.body:
        if isinstance(each, ast.ClassDef):
            parts += _port(each)
    return "\n\n".join(parts) + "\n"


def _port(port: ast.ClassDef) -> Iterator[str]:
    bases = [ast.unparse(each) for each in port.bases if ast.unparse(each) != "Interface"]
    yield f"## {port.name}" + (f", which is an {' and an '.join(bases)}" if bases else "")
    yield _prose(ast.get_docstring(port))
    for each in port.body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            way = "async " if isinstance(each, ast.AsyncFunctionDef) else ""
            gives = f" -> {ast.unparse(each.returns)}" if each.returns else ""
            yield f"`{way}{each.name}({ast.unparse(each.args)}){gives}`"
            yield _prose(ast.get_docstring(each))
        elif isinstance(each, ast.Assign) and isinstance(each.value, ast.Call):
            yield f"`{ast.unparse(each.targets[0])}`: {ast.literal_eval(each.value.args[0])}"


def _prose(text: str | None) -> str:
    return (text or "").replace("``", "`")


MADE = {"configuration.md": configuration, "commands.md": commands, "ports.md": ports}

if __name__ == "__main__":
    for name, make in MADE.items():
        (PAGES / name).write_text(make())
