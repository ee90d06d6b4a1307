"""Whether Slack would take blocks and views: by its limits, and by what its own SDK checks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from jitgate.approvers.slack import limits

Part = Mapping[str, Any]


def check_message(blocks: Sequence[Part], text: str) -> None:
    """A message that Slack takes."""
    assert 1 <= len(blocks) <= limits.MESSAGE_BLOCKS
    assert len(json.dumps(blocks, ensure_ascii=False)) <= limits.MESSAGE_CHARS
    assert 1 <= len(text) <= limits.FALLBACK_CHARS
    _check_all(blocks)
    for each in blocks:
        model = Block.parse(dict(each))
        assert model is not None
        model.validate_json()


def check_view(view: Part) -> None:
    """A view that Slack takes."""
    assert 1 <= len(view["blocks"]) <= limits.VIEW_BLOCKS
    assert len(json.dumps(view).encode()) <= limits.VIEW_BYTES
    assert len(view["private_metadata"]) <= limits.METADATA_CHARS
    assert len(view["callback_id"]) <= limits.ID_CHARS
    for name in ("title", "close", "submit"):
        assert name not in view or 1 <= len(view[name]["text"]) <= limits.TITLE_CHARS
    inputs = [each for each in view["blocks"] if each["type"] == "input"]
    assert ("submit" in view) == bool(inputs)
    ids = [each["block_id"] for each in inputs]
    assert len(set(ids)) == len(ids)
    _check_all(view["blocks"])
    View(**view).validate_json()


def every_part(part: object) -> Iterator[Part]:
    """Every object within a block."""
    if isinstance(part, Mapping):
        yield part
        for each in part.values():
            yield from every_part(each)
    elif isinstance(part, list | tuple):
        for each in part:
            yield from every_part(each)


def _check_all(blocks: Sequence[Part]) -> None:
    for part in every_part(blocks):
        check = _CHECKS.get(part.get("type", ""))
        if check is not None:
            check(part)
        assert len(part.get("action_id", "")) <= limits.ID_CHARS
        assert len(part.get("block_id", "")) <= limits.ID_CHARS


def _check_text(part: Part) -> None:
    assert 1 <= len(part["text"]) <= limits.TEXT_CHARS


def _check_button(part: Part) -> None:
    assert len(part["text"]["text"]) <= limits.BUTTON_CHARS
    assert len(part["value"]) <= limits.VALUE_CHARS
    if "confirm" in part:
        asks = part["confirm"]
        assert len(asks["title"]["text"]) <= limits.CONFIRM_TITLE_CHARS
        assert len(asks["text"]["text"]) <= limits.CONFIRM_TEXT_CHARS
        assert len(asks["confirm"]["text"]) <= limits.CONFIRM_BUTTON_CHARS
        assert len(asks["deny"]["text"]) <= limits.CONFIRM_BUTTON_CHARS


def _check_actions(part: Part) -> None:
    assert 1 <= len(part["elements"]) <= limits.ACTIONS_ELEMENTS
    ids = [each["action_id"] for each in part["elements"]]
    assert len(set(ids)) == len(ids)


def _check_input(part: Part) -> None:
    assert len(part["label"]["text"]) <= limits.LABEL_CHARS
    assert len(part["hint"]["text"]) <= limits.LABEL_CHARS


def _check_header(part: Part) -> None:
    assert len(part["text"]["text"]) <= limits.HEADER_CHARS


def _check_context(part: Part) -> None:
    assert 1 <= len(part["elements"]) <= limits.CONTEXT_ELEMENTS


def _check_typed(part: Part) -> None:
    assert part["max_length"] <= limits.INPUT_CHARS


def _check_choice(part: Part) -> None:
    for each in part["options"]:
        assert len(each["text"]["text"]) <= limits.OPTION_CHARS
        assert len(each["value"]) <= limits.OPTION_VALUE_CHARS


def _check_parts(part: Part) -> None:
    assert part["elements"]


_CHECKS = {
    "plain_text": _check_text,
    "text": _check_text,
    "button": _check_button,
    "actions": _check_actions,
    "input": _check_input,
    "header": _check_header,
    "context": _check_context,
    "plain_text_input": _check_typed,
    "radio_buttons": _check_choice,
    "rich_text": _check_parts,
    "rich_text_section": _check_parts,
    "rich_text_quote": _check_parts,
    "rich_text_preformatted": _check_parts,
}
