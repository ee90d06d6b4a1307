"""Slack's limits, and those that cards keep to.

Each is from Slack's reference (docs.slack.dev), at the path that stands with it. Characters are
counted as Python counts them.
"""

from __future__ import annotations

from typing import Final

# --- Slack's own

MESSAGE_BLOCKS: Final = 50
"""Blocks of a message: reference/block-kit/blocks."""

VIEW_BLOCKS: Final = 100
"""Blocks of a modal: reference/views/modal-views."""

TEXT_CHARS: Final = 3000
"""A text object, at least one character: reference/block-kit/composition-objects/text-object.

For texts in a rich text block none is told; they keep to it as well."""

HEADER_CHARS: Final = 150
"""reference/block-kit/blocks/header-block."""

CONTEXT_ELEMENTS: Final = 10
"""reference/block-kit/blocks/context-block."""

ACTIONS_ELEMENTS: Final = 25
"""reference/block-kit/blocks/actions-block."""

BUTTON_CHARS: Final = 75
"""reference/block-kit/block-elements/button-element; about 30 of them are seen."""

VALUE_CHARS: Final = 2000
"""A button's value: there as well."""

ID_CHARS: Final = 255
"""An ``action_id``, a ``block_id``, a ``callback_id``."""

CONFIRM_TITLE_CHARS: Final = 100
"""reference/block-kit/composition-objects/confirmation-dialog-object."""

CONFIRM_TEXT_CHARS: Final = 300
CONFIRM_BUTTON_CHARS: Final = 30

OPTION_CHARS: Final = 75
"""An option's text and its description: reference/block-kit/composition-objects/option-object."""

OPTION_VALUE_CHARS: Final = 150

LABEL_CHARS: Final = 2000
"""The label and the hint of an input: reference/block-kit/blocks/input-block."""

INPUT_CHARS: Final = 3000
"""The most that a text input takes: reference/block-kit/block-elements/plain-text-input-element."""

TITLE_CHARS: Final = 24
"""The title of a modal, and the words on its buttons: reference/views/modal-views."""

METADATA_CHARS: Final = 3000
"""``private_metadata``: there as well."""

VIEW_BYTES: Final = 250_000
"""What a view takes as JSON; beyond it is ``view_too_large``: reference/methods/views.open."""

FALLBACK_CHARS: Final = 4000
"""The ``text`` of a message, as advised; Slack cuts it at 40,000: reference/methods/
chat.postMessage."""

MESSAGE_CHARS: Final = 12_000
"""All blocks of a message as JSON. Slack tells no limit and answers ``msg_blocks_too_long``; at
about 13,200 characters (github.com/slackapi/bolt-js/issues/2509)."""

# --- ours: how much of what others wrote a card shows. What is longer is in Details, whole.

ACTION_CHARS: Final = 100
"""The words of an action: Okta's longest has 69. With the rest of a heading below HEADER_CHARS."""

CARD_VALUE_CHARS: Final = 120
"""A name, an id, the value of a field: two lines of a phone."""

CARD_VALUES: Final = 4
"""Resource parameters, parameters, header fields, humans: of each so many."""

CARD_URL_CHARS: Final = 400
"""Twice what APIs have, and six lines of a phone."""

CARD_CALL_CHARS: Final = 2800
"""All values of a call together, as JSON: twice what calls have. MESSAGE_CHARS has room for these,
the body, three lists of people and our own words."""

CARD_PEOPLE_CHARS: Final = 1000
"""Names and reasons, as JSON, in each of those: who is asked, who has answered, how it ended."""

CARD_BODY_CHARS: Final = 900
CARD_BODY_LINES: Final = 16
"""A body that is seen together with the buttons, without scrolling."""

CARD_REASON_CHARS: Final = 500
"""The reason of a rule, which is shown whole, or of an answer."""

CARD_NAME_CHARS: Final = 60
"""A group or a person, in a list of them."""

CARD_NAMES: Final = 5
"""How many of those."""

CARD_ANSWERS: Final = 3
"""The last ones; how many were before them is told."""

CARD_STEPS: Final = 3
"""Quorums that are not met, escalations: of each so many."""

PAGE_TEXTS: Final = 6
"""Texts on a page of Details: so each page fits VIEW_BYTES even if all of it is escapes of JSON,
which are twelve bytes a character."""

LINE_COLUMNS: Final = 60
"""A line of Details: what a modal shows in one on a desktop, in its fixed-width letters."""
