"""People in Python: whether an approver is still active, asked of a directory over HTTP.

Named in the configuration's ``plugins`` and, as ``active_people``, in ``approvals.people``. It is
asked at each answer, about everybody whose answers the request goes by. Where the directory does
not answer with 200 and a JSON object that says it, in time, nobody can tell, and the answer is
refused; that includes people whom it does not know.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote

import orjson
from pydantic import Field, StrictBool, StrictStr, field_validator
from zope.interface import implementer

from jitgate.errors import PeopleUnknown
from jitgate.fetching import Fetcher
from jitgate.interfaces import IPeople
from jitgate.outside import HOST, OutsideOptions

LONGEST = 256 * 1024
"""Bytes of an answer: a person with all of their attributes."""

_WHERE = re.compile(rf"({HOST.pattern})/[!-z|~]*\{{person\}}[!-z|~]*\Z")
"""Whom it is about does not stand in the host."""


class Options(OutsideOptions):
    """Where the directory is, and what it says of somebody who is active."""

    url: str
    """With the place {person}."""
    member: str = "active"
    """The member of the answer that tells."""
    active: tuple[StrictBool | StrictStr, ...] = Field(default=(True,), min_length=1, strict=False)
    """Its values for somebody who is active; any other text or boolean is somebody who is not."""

    @field_validator("url")
    @classmethod
    def _is_a_place_to_ask(cls, value: str) -> str:
        if not _WHERE.match(value) or value.count("{") != 1:
            raise ValueError(
                "an https:// address with {person} in it was expected, or http:// of this machine"
            )
        return value


@implementer(IPeople)
class ActivePeople:
    """Who is active, as the directory says."""

    name = "active_people"

    def __init__(self, options: Options, fetcher: Fetcher) -> None:
        self.version = hashlib.sha256(options.model_dump_json().encode()).hexdigest()
        self.deadline = options.deadline
        self._options = options
        self._fetcher = fetcher

    async def is_active(self, person: str) -> bool:
        if person in {"", ".", ".."}:
            raise PeopleUnknown("What is left of the path would be another one.")
        url = self._options.url.replace("{person}", quote(person, safe=""))
        fetched = await self._fetcher.get(url)
        if fetched.status != 200:
            raise PeopleUnknown(f"The directory answered {fetched.status}.")
        try:
            answer = orjson.loads(fetched.body)
        except orjson.JSONDecodeError as error:
            raise PeopleUnknown("The directory answered no JSON.") from error
        said = answer.get(self._options.member) if isinstance(answer, dict) else None
        if not isinstance(said, bool | str):
            raise PeopleUnknown("The directory does not say who is active where it is looked for.")
        return said in self._options.active


def plugin(options: Options) -> ActivePeople:
    """What the configuration's ``plugins`` entry loads."""
    return ActivePeople(options, options.fetcher("The directory", PeopleUnknown, LONGEST))
