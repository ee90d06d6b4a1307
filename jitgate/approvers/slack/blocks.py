"""Blocks and their elements as Slack reads them: our own words, and what `text` has made safe."""

from __future__ import annotations

from typing import Any

from jitgate.approvers.slack.text import Element, said

Block = dict[str, Any]


def plain(words: str) -> dict[str, Any]:
    """A text object. Emoji are shown as they are, and none is made of a name between colons."""
    return {"type": "plain_text", "text": words, "emoji": False}


# --- what is shown


def header(words: str) -> Block:
    """A heading."""
    return {"type": "header", "text": plain(words)}


def small(*words: str) -> Block:
    """Our own words in small print."""
    return {"type": "context", "elements": [plain(each) for each in words]}


def rich(*parts: Element) -> Block:
    """Sections, quotes and preformatted text."""
    return {"type": "rich_text", "elements": list(parts)}


def lines(*every: list[Element]) -> Element:
    """A section of which each line is of these elements."""
    elements: list[Element] = []
    for line in every:
        elements += [said("\n"), *line] if elements else line
    return {"type": "rich_text_section", "elements": elements}


def quote(elements: list[Element]) -> Element:
    """What somebody said, behind a bar."""
    return {"type": "rich_text_quote", "elements": elements}


# --- what is clicked


def button(
    words: str,
    action: str,
    value: str,
    *,
    style: str | None = None,
    confirm: dict[str, Any] | None = None,
) -> Element:
    """A button; ``style`` is ``primary`` or ``danger``."""
    made: Element = {"type": "button", "text": plain(words), "action_id": action, "value": value}
    made |= {"style": style} if style else {}
    return made | ({"confirm": confirm} if confirm else {})


def confirmation(title: str, words: str, yes: str) -> dict[str, Any]:
    """What is asked once more when a button is clicked."""
    asked = {"title": plain(title), "text": plain(words), "confirm": plain(yes)}
    return asked | {"deny": plain("Back"), "style": "danger"}


def actions(*elements: Element) -> Block:
    """Buttons side by side."""
    return {"type": "actions", "elements": list(elements)}


# --- what is filled in


def asks(name: str, label: str, element: Element, hint: str, *, optional: bool = False) -> Block:
    """An input under a label; block and element are both called ``name``."""
    element = element | {"action_id": name}
    asked: Block = {"type": "input", "block_id": name, "label": plain(label), "element": element}
    return asked | {"hint": plain(hint), "optional": optional}


def modal(
    callback: str, title: str, blocks: list[Block], metadata: str, submit: str | None = None
) -> dict[str, Any]:
    """A view; without ``submit`` there is nothing in it to fill in."""
    view: dict[str, Any] = {"type": "modal", "callback_id": callback, "title": plain(title)}
    view |= {"blocks": blocks, "private_metadata": metadata, "close": plain("Close")}
    return view | ({"submit": plain(submit)} if submit else {})
