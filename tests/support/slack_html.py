"""Block Kit as HTML, as a person sees it: to look at a card, and to see what a text could forge.

Whatever Slack's reference (docs.slack.dev) says is formatted is formatted here, and more: where it
does not say that a text is left alone, it is taken to be searched for links, mentions and emoji.
So a text that comes out of this as it went in is one that nobody can forge with.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

Part = Mapping[str, Any]
Render = Callable[[Part], str]

STYLE = """
body { font: 15px/1.46 Lato, "DejaVu Sans", sans-serif; color: #1d1c1d; background: #fff; margin: 1em }
.message { width: 46em; border-left: 4px solid #4a154b; padding-left: 1em; margin-bottom: 2.5em }
.phone .message { width: 23em }
h1 { font-size: 18px; font-weight: 900; margin: 8px 0 }
code, pre { font-family: "DejaVu Sans Mono", monospace; font-size: 12px; background: #f4f4f4;
  border: 1px solid #ddd; border-radius: 3px; white-space: pre-wrap; overflow-wrap: anywhere }
code { padding: 1px 3px; color: #c01343 } pre { padding: 8px; margin: 4px 0 }
blockquote { border-left: 4px solid #ddd; margin: 4px 0; padding-left: 12px }
.rich, .section { margin: 6px 0; white-space: pre-wrap } .context { color: #616061; font-size: 12px }
button { font: bold 14px sans-serif; padding: 6px 12px; margin: 4px 8px 4px 0; border-radius: 4px;
  border: 1px solid #bbb; background: #fff }
.primary { background: #007a5a; color: #fff } .danger { color: #e01e5a; border-color: #e01e5a }
a { color: #1264a3 } .mention { background: #fdf2ca; color: #1264a3 } .emoji { color: #c0f }
.fallback { color: #888; font-size: 12px } label { font-weight: bold; display: block }
.confirm { color: #888; font-size: 12px }
"""


def page(*messages: str, narrow: bool = False) -> str:
    """A whole document of messages or views, as wide as a desktop or as a phone."""
    kind = "phone" if narrow else "desktop"
    body = "".join(messages)
    return f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style><body class="{kind}">{body}'


def message(blocks: Iterable[Part], text: str = "") -> str:
    """A message; ``text`` is what a notification of it tells."""
    told = f'<div class="fallback">{mrkdwn(text)}</div>' if text else ""
    return f'<div class="message">{told}{"".join(map(block, blocks))}</div>'


def view(modal: Part) -> str:
    """A modal."""
    submit = (
        f'<button class="primary">{text_object(modal["submit"])}</button>'
        if "submit" in modal
        else ""
    )
    inside = "".join(map(block, modal["blocks"]))
    close = f"<button>{text_object(modal['close'])}</button>"
    return (
        f'<div class="message"><h1>{text_object(modal["title"])}</h1>{inside}{close}{submit}</div>'
    )


def block(part: Part) -> str:
    """One block. A type that is not known here is a fault of the test."""
    return _BLOCKS[part["type"]](part)


def _rich(part: Part) -> str:
    return (
        f'<div class="rich">{"".join(_RICH[each["type"]](each) for each in part["elements"])}</div>'
    )


def _input(part: Part) -> str:
    hint = f'<div class="context">{text_object(part["hint"])}</div>' if "hint" in part else ""
    label = f"<label>{text_object(part['label'])}</label>"
    return f'<div class="section">{label}{_INPUTS[part["element"]["type"]](part["element"])}{hint}</div>'


def _radio(part: Part) -> str:
    chosen = part.get("initial_option")
    return "".join(
        f"<div>{'◉' if each == chosen else '○'} {text_object(each['text'])}</div>"
        for each in part["options"]
    )


def _typed(part: Part) -> str:
    return f"<pre>{html.escape(part.get('initial_value', '')) or ' '}</pre>"


def _button(part: Part) -> str:
    confirm = part.get("confirm")
    asked = (
        ""
        if confirm is None
        else (
            f'<span class="confirm">asks: {text_object(confirm["title"])} {text_object(confirm["text"])}'
            f" [{text_object(confirm['deny'])}] [{text_object(confirm['confirm'])}]</span>"
        )
    )
    return f'<button class="{part.get("style", "")}">{text_object(part["text"])}</button>{asked}'


def _buttons(part: Part) -> str:
    return f'<div class="section">{"".join(map(_button, part["elements"]))}</div>'


def _context(part: Part) -> str:
    return f'<div class="context">{" ".join(map(text_object, part["elements"]))}</div>'


_BLOCKS: dict[str, Render] = {
    "header": lambda part: f"<h1>{text_object(part['text'])}</h1>",
    "section": lambda part: f'<div class="section">{text_object(part["text"])}</div>',
    "context": _context,
    "divider": lambda part: "<hr>",
    "actions": _buttons,
    "input": _input,
    "rich_text": _rich,
}
_INPUTS: dict[str, Render] = {
    "plain_text_input": _typed,
    "number_input": _typed,
    "radio_buttons": _radio,
}


# --- rich text: what a message is once it has been parsed


def _elements(part: Part) -> str:
    return "".join(_ELEMENTS[each["type"]](each) for each in part["elements"])


_RICH: dict[str, Render] = {
    "rich_text_section": lambda part: f"<div>{_elements(part)}</div>",
    "rich_text_quote": lambda part: f"<blockquote>{_elements(part)}</blockquote>",
    "rich_text_preformatted": lambda part: f"<pre>{_elements(part)}</pre>",
}


def _text(part: Part) -> str:
    said = html.escape(part["text"])
    for style, tag in (("code", "code"), ("bold", "b"), ("italic", "i"), ("strike", "s")):
        if part.get("style", {}).get(style):
            said = f"<{tag}>{said}</{tag}>"
    return said


def _date(part: Part) -> str:
    when = datetime.fromtimestamp(part["timestamp"], UTC)
    said = part["format"]
    for token, form in (("{date_short_pretty}", "%b %d, %Y"), ("{time}", "%H:%M")):
        said = said.replace(token, when.strftime(form))
    return f"<time>{html.escape(said.replace('{ago}', 'in 9 minutes'))}</time>"


_ELEMENTS: dict[str, Render] = {
    "text": _text,
    "date": _date,
    "link": lambda part: (
        f'<a href="{html.escape(part["url"])}">{html.escape(part.get("text", part["url"]))}</a>'
    ),
    "user": lambda part: f'<span class="mention">@{part["user_id"]}</span>',
    "broadcast": lambda part: f'<span class="mention">@{part["range"]}</span>',
    "emoji": lambda part: f'<span class="emoji">:{part["name"]}:</span>',
}


# --- text objects


def text_object(part: Part) -> str:
    """A text object. Where emoji are not switched off, their names become some."""
    if part["type"] == "mrkdwn":
        return mrkdwn(part["text"])
    said = html.escape(html.unescape(part["text"]))
    return (
        said
        if part.get("emoji") is False
        else _EMOJI.sub(r'<span class="emoji">\g<0></span>', said)
    )


_EMOJI = re.compile(r":[\w+'-]+:")
_MRKDWN = re.compile(
    r"<(?P<control>[^<>]*)>"
    r"|```(?P<block>.+?)```|`(?P<code>[^`\n]+)`"
    r"|\*(?P<b>[^*\n]+)\*|_(?P<i>[^_\n]+)_|~(?P<s>[^~\n]+)~"
    r"|(?P<link>\b(?:https?|ftp|mailto|tel):\S+|(?i:\bwww\.)\S+)"
    r"|(?P<mention>(?<!\w)[@#](?:channel|here|everyone|\w+))"
    r"|(?P<emoji>:[\w+'-]+:)|^(?P<quote>&gt;.*)$",
    re.DOTALL | re.MULTILINE,
)
_TAGS = {"block": "pre", "code": "code", "b": "b", "i": "i", "s": "s", "quote": "blockquote"}


def mrkdwn(text: str) -> str:
    """Slack's markup as HTML."""
    parts, end = [], 0
    for found in _MRKDWN.finditer(text):
        parts += [html.escape(html.unescape(text[end : found.start()])), _formatted(found)]
        end = found.end()
    return "".join([*parts, html.escape(html.unescape(text[end:]))])


def _formatted(found: re.Match[str]) -> str:
    kind = f"{found.lastgroup}"
    inside = html.escape(html.unescape(found[kind]))
    if kind == "control":
        address, _, label = found[kind].partition("|")
        if address.startswith(("!", "@", "#")):
            return f'<span class="mention">{html.escape(label or address)}</span>'
        return f'<a href="{html.escape(address)}">{html.escape(label or address)}</a>'
    if kind == "link":
        return f'<a href="{inside}">{inside}</a>'
    if kind in _TAGS:
        return f"<{_TAGS[kind]}>{inside}</{_TAGS[kind]}>"
    return f'<span class="{kind}">{inside}</span>'
