"""What maskers that are configured have in common."""

from __future__ import annotations


class Versioned:
    """One that says the same as another is the same, and what was made for that is there for it.

    A reload makes all maskers anew; most of them say what they said before.
    """

    name: str
    version: str
    """A digest of all that it does depends on, but for its name."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self.name, self.version) == (other.name, other.version)

    def __hash__(self) -> int:
        return hash((self.name, self.version))
