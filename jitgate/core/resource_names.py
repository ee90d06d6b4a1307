"""What a resource is called where it lives: which read tells it, and where in the answer it stands.

Nobody lists those reads. A catalog knows what a GET of the path means that ends with a parameter,
and that is a read of the very thing which the parameter names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from jitgate.core.operation import PathTemplate
from jitgate.interfaces import ICatalog
from jitgate.values import Operation, ResourceName, Risk

MOST = 4
"""Resources of one call that are looked up: no path of Okta's names more that have a name."""

NAME_CHARS = 200
"""Characters of a name that are shown: names have 20 to 60, and a screen has room for more."""

CUT: Final = "…"
"""Ends a name that was longer."""

MEMBERS: Final = (
    ("profile", "login"),
    ("profile", "email"),
    ("profile", "name"),
    ("profile", "displayName"),
    ("credentials", "userName"),
    ("label",),
    ("name",),
    ("displayName",),
)
"""Where a name stands in an object, the best first: of Okta's users, groups, apps and the rest, and
of what most APIs answer."""

MAY_NOT: Final = ResourceName(why="its name may not be read by this agent")
FAILED: Final = ResourceName(why="its name could not be looked up")
NOT_FOUND: Final = ResourceName(why="not found there")
HIDDEN: Final = ResourceName(why="its name is hidden from this agent")
NAMELESS: Final = ResourceName(why="it has no name there")


_READS = (None, Risk.READ)
"""A GET that does more, or tells more, is for nobody to make unasked."""


class _Alone(NamedTuple):
    """A read of one thing of a collection by one parameter, which ends its path."""

    action: str
    name: str
    root: tuple[str | None, ...]
    """The segments before the collection."""

    def stands_before(self, segments: tuple[str | None, ...]) -> bool:
        """Whether the collection is within what a path leads through: the same API, or version."""
        return segments[: len(self.root)] == self.root


class NameReads:
    """The reads that tell what the resources of calls to one authority are called."""

    def __init__(self, catalog: ICatalog, authority: str) -> None:
        self._catalog = catalog
        self._authority = authority
        self._templates: dict[str, list[PathTemplate]] = {}
        """By action."""
        self._alone: dict[str, list[_Alone]] = {}
        """By collection."""
        for sample in catalog.samples(authority):
            self._add(sample)

    def _add(self, sample: Operation) -> None:
        try:
            template = PathTemplate(sample.path)
        except ValueError:  # a plugin's own way to show what it knows
            return
        self._templates.setdefault(sample.action, []).append(template)
        *before, last = template.segments
        if sample.method == "GET" and last is None and None not in before:
            found = self._alone.setdefault(f"{before[-1]}", [])
            found.append(_Alone(sample.action, template.names[0], tuple(before[:-1])))

    def of(self, operation: Operation) -> Iterator[tuple[str, Operation]]:
        """The parameters of its path that can be told by name, each with the read that does."""
        for template in self._templates.get(operation.action, ()):
            if template.matches(operation.path) and template.names == tuple(operation.resource):
                yield from self._reads(template, operation)
                return

    def _reads(
        self, template: PathTemplate, operation: Operation
    ) -> Iterator[tuple[str, Operation]]:
        values = list(operation.resource.values())
        segments = operation.path.split("/")
        places = [at for at, segment in enumerate(template.segments) if segment is None]
        for count, (name, at) in enumerate(zip(template.names, places, strict=True), start=1):
            path = "/".join(segments[: at + 1])
            read = self._catalog.operation(self._authority, "GET", path, "")
            if read is None:
                read = self._by_itself(template.segments[:at], name, values[count - 1])
            elif isinstance(read, Operation) and list(read.resource.values()) != values[:count]:
                continue  # it is of something that the parameters do not lead to
            if isinstance(read, Operation) and read.method == "GET" and read.risk in _READS:
                yield name, read

    def _by_itself(self, before: tuple[str | None, ...], name: str, value: str) -> Operation | None:
        """The read of a thing that is reached by itself too, not only through another.

        It is in a collection of the same name, on the way or beside it (a group's users are users).
        The parameter must be called after the collection, as ``userId`` is after ``users``: what is
        called ``id`` may be a number within something else, a ``roleAssignmentId`` is no role.
        """
        collection = before[-1]
        if collection is None or not _is_called_after(name, collection):
            return None
        beside = [each for each in self._alone.get(collection, ()) if each.stands_before(before)]
        if len(beside) != 1:
            return None
        return self._catalog.named(self._authority, beside[0].action, {beside[0].name: value})


def _is_called_after(name: str, collection: str) -> bool:
    one, plain = collection.lower().removesuffix("s"), re.sub("[-_.]", "", name.lower())
    one = one[:-2] + "y" if one.endswith("ie") else one
    return bool(one) and plain in (one, f"{one}id")


def name_in(answer: object, shown: object) -> ResourceName:
    """What the thing that was answered is called.

    ``shown`` is the answer with masked what the agent must not see. A name counts if that leaves it
    as it is. It is a text of others: it is escaped wherever it is shown.
    """
    hidden = False
    for path in MEMBERS:
        name = _at(answer, path)
        if not isinstance(name, str) or not name.strip():
            continue
        if _at(shown, path) == name:
            return ResourceName(name if len(name) <= NAME_CHARS else name[:NAME_CHARS] + CUT)
        hidden = True
    return HIDDEN if hidden else NAMELESS


def _at(content: object, path: tuple[str, ...]) -> object:
    for each in path:
        content = content.get(each) if isinstance(content, Mapping) else None
    return content
