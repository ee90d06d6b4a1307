"""Facts in Python: what a ticket system says of a call, asked over HTTP.

Named in the configuration's ``plugins``. Rules look at what the system answers, a JSON object, as
``facts.change_ticket``. It is asked by what the call is and whose it is, never by a number that the
agent brings: then an agent could show somebody else's ticket. Where the system does not answer with
200 and a JSON object, in time, nothing is known, and what needs to be known cannot be permitted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

import orjson
from pydantic import Field, field_validator
from zope.interface import implementer

from jitgate.config.kinds import Duration
from jitgate.errors import OurFault
from jitgate.fetching import Fetcher
from jitgate.interfaces import IFacts
from jitgate.outside import HOST, OutsideOptions
from jitgate.values import Operation, Subject

LONGEST = 64 * 1024
"""Bytes of an answer: a ticket is no document."""

_PLACE = re.compile(r"\{([^{}]*)\}")
_PLACES = re.compile(r"(subject|issuer|target|action|resource\.[^{}]+)\Z")
_WHERE = re.compile(rf"({HOST.pattern})/([!-z|~]|\{{[^{{}}]*\}})*\Z")
"""No place stands in the host."""


class TicketUnknown(OurFault):
    """The ticket system did not say, or not in a way that counts."""


class Options(OutsideOptions):
    """Where the ticket system is, and how it is asked."""

    url: str
    """With the places {subject}, {issuer}, {target}, {action} and {resource.NAME}."""
    max_age: Annotated[Duration, Field(le=3600.0)] = 30.0
    """How long a ticket that has been withdrawn still counts."""

    @field_validator("url")
    @classmethod
    def _is_a_place_to_ask(cls, value: str) -> str:
        if not _WHERE.match(value):
            raise ValueError("an https:// address was expected, or http:// of this machine")
        for place in _PLACE.findall(value):
            if not _PLACES.match(place):
                raise ValueError(
                    f"there is no {{{place}}}: there are {{subject}}, {{issuer}}, {{target}}, "
                    "{action} and {resource.NAME}"
                )
        return value


@implementer(IFacts)
class ChangeTicket:
    """What the ticket system says of a call."""

    name = "change_ticket"

    def __init__(self, options: Options, fetcher: Fetcher) -> None:
        self.version = hashlib.sha256(options.model_dump_json().encode()).hexdigest()
        self.deadline, self.max_age = options.deadline, options.max_age
        self._url = options.url
        self._fetcher = fetcher

    def key(self, operation: Operation, subject: Subject) -> str | None:
        """What is asked for: calls that ask for the same share an answer."""
        places = {
            "subject": subject.id,
            "issuer": subject.issuer,
            "target": operation.target,
            "action": operation.action,
            **{f"resource.{name}": value for name, value in operation.resource.items()},
        }
        wanted = [places.get(place) for place in _PLACE.findall(self._url)]
        if any(value is None or value in {"", ".", ".."} for value in wanted):
            return None  # what is left of the path would be another one
        return _PLACE.sub(lambda place: quote(places[place[1]], safe=""), self._url)

    async def gather(self, operation: Operation, subject: Subject) -> Mapping[str, object]:
        """The object that the system answers with. Raises `TicketUnknown`."""
        url = self.key(operation, subject)
        if url is None:
            raise TicketUnknown("The call does not say all that the ticket system is asked by.")
        fetched = await self._fetcher.get(url)
        if fetched.status != 200:
            raise TicketUnknown(f"The ticket system answered {fetched.status}.")
        try:
            answer = orjson.loads(fetched.body)
        except orjson.JSONDecodeError as error:
            raise TicketUnknown("The ticket system answered no JSON.") from error
        if not isinstance(answer, dict):
            raise TicketUnknown("The ticket system answered no JSON object.")
        return answer


def plugin(options: Options) -> ChangeTicket:
    """What the configuration's ``plugins`` entry loads."""
    return ChangeTicket(options, options.fetcher("The ticket system", TicketUnknown, LONGEST))
