"""Where private keys begin and end in texts: PEM (RFC 7468), OpenPGP and SSH2 (RFC 4716).

One definition for the detector that finds them and for those that read line by line, who must keep
all lines of a key together for it. The expressions are read by RE2 and by Python alike.
"""

from __future__ import annotations

import re
from typing import Final

_KEY: Final = "[A-Z0-9 ]{0,40}(?:PRIVATE|SECRET) KEY"

BEGINS: Final = f"----[ -]BEGIN {_KEY}"
ENDS: Final = f"----[ -]END {_KEY}(?: BLOCK)?[ -]----"

MARK: Final = "----"
"""What stands in each line with a bound."""

_BEGINS, _ENDS = re.compile(BEGINS), re.compile(ENDS)


class Keys:
    """Follows the keys in lines that are read one after the other."""

    def __init__(self) -> None:
        self.is_open = False
        """Whether the last line that was read is of a key that goes on."""

    def read(self, line: str) -> None:
        """Read the next line. Outside of a key no end counts, and within one no beginning."""
        if MARK not in line:
            return
        at = 0
        while found := (_ENDS if self.is_open else _BEGINS).search(line, at):
            self.is_open = not self.is_open
            at = found.end()
