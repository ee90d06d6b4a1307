"""What Slack refuses in a message's blocks and in a view, and what it fills in.

The limits are those of docs.slack.dev, reference/block-kit and reference/views; the words of an
error are those that Slack's own validator is seen to answer. A kind of block that stands in no
table here is refused: add it from the documentation before it is used.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

Json = dict[str, Any]
Check = Callable[[Any, str], Iterator[str]]
"""Yields what is wrong with a value; it is told the JSON pointer of that."""

MESSAGE_BLOCKS, VIEW_BLOCKS = 50, 100
VIEW_BYTES = 250_000
"""All of a view, as JSON."""


def message_faults(blocks: object) -> list[str]:
    """What is wrong with a message's blocks; nothing if Slack takes them."""
    return list(_array(_block(MESSAGE_KINDS), 0, MESSAGE_BLOCKS)(blocks, "/blocks")) or list(
        _doubles(blocks, "/blocks")
    )


def view_faults(view: object) -> list[str]:
    """What is wrong with a modal."""
    found = list(MODAL(view, "/view"))
    if found or not isinstance(view, dict):
        return found
    if not view.get("submit") and any(each["type"] == "input" for each in view["blocks"]):
        return ["missing required field: submit [json-pointer:/view]"]
    return list(_doubles(view["blocks"], "/view/blocks"))


def view_too_large(view: object) -> bool:
    """Whether a view is larger than Slack takes."""
    return len(json.dumps(view, ensure_ascii=False).encode()) > VIEW_BYTES


def completed(blocks: Sequence[Json]) -> list[Json]:
    """These blocks as Slack keeps them: each has an id, each text says how it is to be read."""
    kept: list[Json] = json.loads(json.dumps(blocks))
    for block in kept:
        block.setdefault("block_id", secrets.token_urlsafe(4)[:5])
        for element in interactive(block):
            element.setdefault("action_id", secrets.token_urlsafe(4)[:5])
        for text in _texts(block):
            name = "emoji" if text["type"] == "plain_text" else "verbatim"
            text.setdefault(name, name == "emoji")
    return kept


def interactive(block: Json) -> list[Json]:
    """The elements of a block that a person can click at or fill in."""
    found = [block.get("accessory"), block.get("element"), *block.get("elements", ())]
    acting = (ELEMENTS.keys() | INPUTS.keys()) - {"image"}
    return [each for each in found if each and each.get("type") in acting]


def _texts(value: object) -> Iterator[Json]:
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        if value.get("type") in {"plain_text", "mrkdwn"}:
            yield value
        for each in value.values():
            yield from _texts(each)


def _doubles(blocks: Any, at: str) -> Iterator[str]:
    """Two blocks of one id; two elements of one id in a block."""
    seen = set()
    for number, block in enumerate(blocks or ()):
        name = block.get("block_id")
        if name is not None and name in seen:
            yield f"`block_id` {name} already exists [json-pointer:{at}/{number}/block_id]"
        seen.add(name)
        ids = [each["action_id"] for each in interactive(block) if "action_id" in each]
        for each in {each for each in ids if ids.count(each) > 1}:
            yield f"`action_id` {each} already exists [json-pointer:{at}/{number}/elements]"


# --- what values there are


def _string(value: Any, at: str, *, least: int = 0, most: int = 3000) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"must provide a string [json-pointer:{at}]"
    elif len(value) < least:
        yield f"must be more than {least - 1} characters [json-pointer:{at}]"
    elif len(value) > most:
        yield f"must be less than {most + 1} characters [json-pointer:{at}]"


def _one_of(value: Any, at: str, *, allowed: Sequence[object]) -> Iterator[str]:
    if value not in allowed or type(value) not in {type(each) for each in allowed}:
        yield f"must be one of {list(allowed)} [json-pointer:{at}]"


def _whole(value: Any, at: str, *, least: int, most: int) -> Iterator[str]:
    if type(value) is not int or not least <= value <= most:
        yield f"must be an integer from {least} to {most} [json-pointer:{at}]"


def _anything(value: Any, at: str) -> Iterator[str]:
    if not isinstance(value, dict | list):
        yield f"must provide an object [json-pointer:{at}]"


def _array(check: Check, least: int, most: int) -> Check:
    def checked(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"must provide an array [json-pointer:{at}]"
        elif len(value) < least:
            yield f"no fewer than {least} items allowed [json-pointer:{at}]"
        elif len(value) > most:
            yield f"no more than {most} items allowed [json-pointer:{at}]"
        else:
            for number, each in enumerate(value):
                yield from check(each, f"{at}/{number}")

    return checked


def _object(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Check:
    def checked(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"must provide an object [json-pointer:{at}]"
            return
        for name in required.keys() - value.keys():
            yield f"missing required field: {name} [json-pointer:{at}]"
        for name, each in value.items():
            if check := required.get(name) or optional.get(name):
                yield from check(each, f"{at}/{name}")
            elif name != "type":
                yield f"invalid additional property: {name} [json-pointer:{at}]"

    return checked


def _kinds(kinds: Mapping[str, Check], what: str) -> Check:
    def checked(value: Any, at: str) -> Iterator[str]:
        kind = str(value.get("type")) if isinstance(value, dict) else ""
        if kind not in kinds:
            yield f"unsupported {what}: {kind} [json-pointer:{at}/type]"
        else:
            yield from kinds[kind](value, at)

    return checked


def _text(most: int, *, plain: bool = False, least: int = 1) -> Check:
    string = {"text": partial(_string, least=least, most=most)}
    kinds = {"plain_text": _object(string, {"emoji": FLAG})}
    if not plain:
        kinds["mrkdwn"] = _object(string, {"verbatim": FLAG})
    return _kinds(kinds, "type")


FLAG: Check = partial(_one_of, allowed=(True, False))
ID: Check = partial(_string, least=1, most=255)
URL: Check = partial(_string, least=1, most=3000)
STYLE: Check = partial(_one_of, allowed=("primary", "danger"))
COUNT: Check = partial(_whole, least=0, most=3000)
PLACEHOLDER: dict[str, Check] = {"placeholder": _text(150, plain=True)}
CONFIRM = _object(
    {
        "title": _text(100, plain=True),
        "text": _text(300),
        "confirm": _text(30, plain=True),
        "deny": _text(30, plain=True),
    },
    {"style": STYLE},
)
ACTS: dict[str, Check] = {"action_id": ID, "confirm": CONFIRM, "focus_on_load": FLAG}
OPTION = _object(
    {"text": _text(75), "value": partial(_string, least=1, most=150)},
    {"description": _text(75), "url": URL},
)
GROUP = _object({"label": _text(75, plain=True), "options": _array(OPTION, 1, 100)}, {})
CHOICE: dict[str, Check] = {
    "options": _array(OPTION, 1, 100),
    "option_groups": _array(GROUP, 1, 100),
}
IMAGE: dict[str, Check] = {"image_url": URL, "alt_text": partial(_string, least=1, most=2000)}
LENGTHS: dict[str, Check] = {"min_length": COUNT, "max_length": partial(_whole, least=1, most=3000)}

ELEMENTS: dict[str, Check] = {
    "button": _object(
        {"text": _text(75, plain=True)},
        {
            "action_id": ID,
            "confirm": CONFIRM,
            "value": partial(_string, most=2000),
            "url": URL,
            "style": STYLE,
            "accessibility_label": partial(_string, most=75),
        },
    ),
    "image": _object(IMAGE, {}),
    "overflow": _object({"options": _array(OPTION, 1, 5)}, {"action_id": ID, "confirm": CONFIRM}),
    "static_select": _object({}, ACTS | PLACEHOLDER | CHOICE | {"initial_option": OPTION}),
    "multi_static_select": _object(
        {},
        ACTS
        | PLACEHOLDER
        | CHOICE
        | {"initial_options": _array(OPTION, 1, 100), "max_selected_items": COUNT},
    ),
    "radio_buttons": _object({"options": _array(OPTION, 1, 10)}, ACTS | {"initial_option": OPTION}),
    "checkboxes": _object(
        {"options": _array(OPTION, 1, 10)}, ACTS | {"initial_options": _array(OPTION, 1, 10)}
    ),
    "datepicker": _object({}, ACTS | PLACEHOLDER | {"initial_date": partial(_string, most=10)}),
}
INPUTS: dict[str, Check] = {
    **{
        kind: check
        for kind, check in ELEMENTS.items()
        if kind not in {"button", "image", "overflow"}
    },
    "plain_text_input": _object(
        {},
        {"action_id": ID, "focus_on_load": FLAG, "multiline": FLAG}
        | PLACEHOLDER
        | LENGTHS
        | {"initial_value": partial(_string, most=3000), "dispatch_action_config": _anything},
    ),
    "number_input": _object(
        {"is_decimal_allowed": FLAG},
        {"action_id": ID, "focus_on_load": FLAG}
        | PLACEHOLDER
        | {each: partial(_string, most=30) for each in ("initial_value", "min_value", "max_value")},
    ),
}
IN_CONTEXT: Check = _kinds(
    {
        "image": ELEMENTS["image"],
        "plain_text": _text(3000, plain=True),
        "mrkdwn": _text(3000),
    },
    "element",
)
NAMED: dict[str, Check] = {"block_id": ID}
KINDS: dict[str, Check] = {
    "section": _object(
        {},
        NAMED
        | {
            "text": _text(3000),
            "fields": _array(_text(2000), 1, 10),
            "accessory": _kinds(ELEMENTS, "element"),
            "expand": FLAG,
        },
    ),
    "header": _object({"text": _text(150, plain=True)}, NAMED),
    "divider": _object({}, NAMED),
    "context": _object({"elements": _array(IN_CONTEXT, 1, 10)}, NAMED),
    "actions": _object({"elements": _array(_kinds(ELEMENTS, "element"), 1, 25)}, NAMED),
    "image": _object(IMAGE, NAMED | {"title": _text(2000, plain=True)}),
    "input": _object(
        {"label": _text(2000, plain=True), "element": _kinds(INPUTS, "element")},
        NAMED | {"hint": _text(2000, plain=True), "optional": FLAG, "dispatch_action": FLAG},
    ),
    "rich_text": _object({"elements": _array(_anything, 1, 1000)}, NAMED),
}
MESSAGE_KINDS = {**KINDS, "markdown": _object({"text": partial(_string, most=12_000)}, NAMED)}


def _block(kinds: Mapping[str, Check]) -> Check:
    by_kind = _kinds(kinds, "type")

    def checked(value: Any, at: str) -> Iterator[str]:
        yield from by_kind(value, at)
        if isinstance(value, dict) and value.get("type") == "section":
            if not value.keys() & {"text", "fields"}:
                yield f"missing required field: text or fields [json-pointer:{at}]"
            yield from _without_options([value.get("accessory")], at)
        elif isinstance(value, dict):
            yield from _without_options([value.get("element"), *_listed(value)], at)

    return checked


def _listed(block: Json) -> list[Any]:
    elements = block.get("elements")
    return elements if isinstance(elements, list) else []


def _without_options(elements: Sequence[Any], at: str) -> Iterator[str]:
    """A select has options or groups of them, not both and not none."""
    for each in elements:
        select = isinstance(each, dict) and str(each.get("type")).endswith("static_select")
        if select and len(each.keys() & CHOICE.keys()) != 1:
            yield f"must have options or option_groups [json-pointer:{at}]"


MODAL: Check = _kinds(
    {
        "modal": _object(
            {
                "title": _text(24, plain=True),
                "blocks": _array(_block(KINDS), 1, VIEW_BLOCKS),
            },
            {
                "submit": _text(24, plain=True),
                "close": _text(24, plain=True),
                "private_metadata": partial(_string, most=3000),
                "callback_id": partial(_string, most=255),
                "external_id": partial(_string, most=255),
                "clear_on_close": FLAG,
                "notify_on_close": FLAG,
                "submit_disabled": FLAG,
            },
        )
    },
    "view type",
)
