"""People in Python: whether an approver is still active, asked of a directory over HTTP.

Named in the configuration's ``plugins`` and, as ``active_people``, in ``approvals.people``. It is
asked at each answer, about everybody whose answers the request goes by. Where the directory does
not answer with 200 and a JSON object that says it, in time, nobody can tell, and the answer is
refused; that includes people whom it does not know.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from pydantic import Field, StrictBool, StrictStr, field_validator
from treq.client import HTTPClient
from twisted.internet import ssl
from twisted.web.client import Agent
from zope.interface import implementer

from jitgate.config.kinds import Duration, FilePath, SecretFile
from jitgate.errors import PeopleUnknown
from jitgate.fetching import Fetcher
from jitgate.interfaces import IPeople
from jitgate.plugins import PluginOptions
from jitgate.stores.state import read_secret
from jitgate.trust import NamedPolicy

LONGEST = 256 * 1024
"""Bytes of an answer: a person with all of their attributes."""

_WHERE = re.compile(
    r"(https://[a-zA-Z0-9.\[\]:-]+|http://(127\.0\.0\.1|\[::1\]|localhost)(:[0-9]+)?)"
    r"/[!-z|~]*\{person\}[!-z|~]*\Z"
)
"""Plain HTTP is for this machine alone; and whom it is about does not stand in the host."""


class Options(PluginOptions):
    """Where the directory is, and what it says of somebody who is active."""

    url: str
    """With the place {person}."""
    member: str = "active"
    """The member of the answer that tells."""
    active: tuple[StrictBool | StrictStr, ...] = Field(default=(True,), min_length=1, strict=False)
    """Its values for somebody who is active; any other text or boolean is somebody who is not."""
    authorization: SecretFile | None = None
    """What the Authorization field says."""
    trust: FilePath | None = None
    """These certificates instead of the system's bundle."""
    deadline: Annotated[Duration, Field(ge=0.1, le=10.0)] = 3.0

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
    from twisted.internet import reactor  # noqa: PLC0415 (whoever serves has installed it by now)

    clock: Any = reactor
    roots = ssl.platformTrust() if options.trust is None else _trusted(options.trust.read_bytes())
    secret = None
    if options.authorization is not None:
        secret = read_secret(options.authorization).decode("ascii").strip("\r\n")
    fetcher = Fetcher(
        HTTPClient(Agent(clock, NamedPolicy(roots))),
        clock,
        "The directory",
        PeopleUnknown,
        LONGEST,
        timeout=options.deadline,
        authorization=secret,
    )
    return ActivePeople(options, fetcher)


def _trusted(pem: bytes) -> Any:
    return ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pem)])
