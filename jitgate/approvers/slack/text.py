"""Text that nobody can forge: what others wrote is shown, and never obeyed.

Everything that an agent, a target or a looked-up name can choose passes through `foreign`, `boxed`
or `unformatted`. The first two make rich text elements of type ``text``. Those are what Slack makes
of a message once it has been parsed, so nothing in them is parsed again: mentions, links, emoji and
dates are elements of other types (docs.slack.dev/reference/block-kit/blocks/rich-text-block). No
object of type ``mrkdwn`` is made anywhere, in which Slack would look for all of that; what is
``plain_text`` (headers, buttons, labels) holds our own words alone.

What others wrote stands in a box (the ``code`` style, or preformatted), or behind a bar (a quote),
and our own words never do. So wherever a line wraps, a part of it cannot pass for one of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from jitgate.core.scripts import mixes, revealed, scripts
from jitgate.core.visible import body_lines, visible

Element = dict[str, Any]
"""One element of a rich text section, as Slack reads it."""

_ENTITY: Final = re.compile("&(?=(?:amp|lt|gt);)")
"""What one reader shows as it stands and another as the character that it means in HTML."""

_SPACES: Final = re.compile("(?<= ) ")
"""Spaces that push what follows out of sight."""

_MARKUP: Final = re.compile(
    r"[&<>*_~`#]|(?<!\w)@|:(?=/|[\w+'-]+:)"
    r"|(?i:(?:(?<=http)|(?<=https)|(?<=ftp)|(?<=mailto)|(?<=tel)|(?<=slack)):|(?<=www)[.])"
)
"""What Slack formats, or looks for emoji, channels, mentions and links by."""

_CONTROLS: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def one_line(value: str) -> str:
    """A value as one line that means itself: nothing in it is unseen, or seen as another."""
    return revealed(_SPACES.sub(r"\\x20", _ENTITY.sub(r"\\x26", visible(value))))


def mixed_words(text: str) -> bool:
    """Whether any word of a text mixes scripts, and is shown with escapes therefore."""
    return revealed(text) != text


def body_text(body: str) -> list[str]:
    """A body's lines: JSON is laid out, and each line means itself. Spaces stay, to indent."""
    lines = body_lines(body.encode("utf-8", "backslashreplace"))
    return [revealed(_ENTITY.sub(r"\\x26", line)) for line in lines]


# --- elements


def said(words: str, *, bold: bool = False) -> Element:
    """Our own words."""
    return {"type": "text", "text": words} | ({"style": {"bold": True}} if bold else {})


def date(moment: float) -> Element:
    """A moment as the reader's clock has it, with how far off it is now (``{ago}``)."""
    told = datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    form = "{ago} ({date_short_pretty} at {time})"
    return {"type": "date", "timestamp": int(moment), "format": form, "fallback": told}


def foreign(value: str, most: int) -> list[Element]:
    """A value that others chose, in a box; how much is hidden of it, and which scripts it mixes.

    Of a long value only what may be shown is looked at, since nothing gets shorter by being shown.
    """
    if not value:
        return [said("(empty)")]
    line = one_line(value[:most])
    elements: list[Element] = [{"type": "text", "text": line[:most], "style": {"code": True}}]
    more = len(line) - len(line[:most]) + len(value) - len(value[:most])
    if more:
        elements.append(said(f" … {more:,} more characters are hidden", bold=True))
    if flag := mixed(value[:most]):
        elements.append(said(f" ⚠ {flag}", bold=True))
    return elements


def is_long(value: str, most: int) -> bool:
    """Whether `foreign` hides a part of it."""
    return len(value) > most or len(one_line(value)) > most


def mixed(value: str) -> str:
    """Which scripts a value mixes, in words; "" where it mixes none."""
    return f"mixes {' and '.join(scripts(value))} letters" if mixes(value) else ""


class Room:
    """What is left of a message for some of what others wrote, in characters of its JSON."""

    def __init__(self, chars: int) -> None:
        self._left = chars

    def takes(self, elements: list[Element]) -> bool:
        """Whether there is room for these; if so, it is taken."""
        cost = len(json.dumps(elements, ensure_ascii=False))
        if cost > self._left:
            return False
        self._left -= cost
        return True


def several(values: Iterable[list[Element]], between: str = ", ") -> list[Element]:
    """Values one after the other."""
    elements: list[Element] = []
    for each in values:
        elements += [said(between), *each] if elements else each
    return elements


def boxed(lines: Iterable[str]) -> Element:
    """Lines that `one_line` or `body_text` made, in a box of their own."""
    text = [{"type": "text", "text": "\n".join(lines) or " "}]  # Slack takes none that is empty
    return {"type": "rich_text_preformatted", "elements": text}


# --- where Slack formats


def unformatted(value: str, most: int) -> str:
    """A value for the fallback text of a message, which Slack formats: nothing is left to format.

    Its control characters are escaped as Slack says (docs.slack.dev/messaging/
    formatting-message-text#escaping). For all else there is no escape: ours is shown.
    """
    line = one_line(value[:most])
    line = f"{line[:most]}…" if is_long(value, most) else line
    return _MARKUP.sub(_escaped, line)


def _escaped(found: re.Match[str]) -> str:
    return _CONTROLS.get(found[0], f"\\x{ord(found[0]):02x}")
