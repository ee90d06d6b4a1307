"""Groups in Python: who is in a group of an Okta org, asked of its API.

Named in the configuration's ``plugins``, and where a group of approvers is kept:
``approvals.groups: {it-leads: {from: okta_groups, group: 00g...}}``. It is asked at each answer,
and needs a token that may read groups and nothing else. Who is not active there is no member; where
the org does not tell all pages in time, nobody can tell who is one, and the answer is refused.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import orjson
from pydantic import Field, field_validator
from zope.interface import implementer

from jitgate.core.answers import is_person, person
from jitgate.errors import PeopleUnknown
from jitgate.fetching import Fetched, Fetcher
from jitgate.interfaces import IGroups
from jitgate.outside import HOST, OutsideOptions

LONGEST = 4 * 1024 * 1024
"""Bytes of a page: 200 people with 20 KiB of attributes each."""

PAGE = 200
"""Members of a page, as Okta advises."""

PAGES = 50
"""Pages of a group: with them come as many members as the gateway takes (`flow.members`)."""

ACTIVE = "ACTIVE"
"""The status of somebody who can sign in: others are locked out, suspended, or not there yet."""

_ID = re.compile(r"00g[A-Za-z0-9]{1,60}\Z")
_LINK = re.compile(r"<([^<>]*)>\s*;\s*rel=\"next\"")
_NEXT = re.compile(r"\brel\s*=[\s\"]*[^\",;]*\bnext\b", re.IGNORECASE)
"""A link to the next page as Okta writes it, and in all ways there are (RFC 8288, section 3)."""


class Options(OutsideOptions):
    """Which org is asked, and by which of their attributes people answer."""

    org: str
    """Such as https://acme.okta.com."""
    attribute: str = Field(default="email", min_length=1)
    """The attribute of a profile that says who somebody is to the gateway."""

    @field_validator("org")
    @classmethod
    def _is_an_org(cls, value: str) -> str:
        if not HOST.fullmatch(value):
            raise ValueError("https://HOST was expected, or http:// of this machine")
        return value


@implementer(IGroups)
class OktaGroups:
    """Who is in a group, as the org says."""

    name = "okta_groups"

    def __init__(self, options: Options, fetcher: Fetcher) -> None:
        self.version = hashlib.sha256(options.model_dump_json().encode()).hexdigest()
        self.deadline = options.deadline
        self._options = options
        self._fetcher = fetcher

    def misnamed(self, group: str) -> str | None:
        if _ID.match(group):
            return None
        return "the id of an Okta group was expected, such as 00g1emaKYZTWRYYRRTSK, not its name"

    async def members(self, group: str) -> frozenset[str]:
        if not _ID.match(group):
            raise PeopleUnknown("No group of Okta's has such an id.")
        path = f"{self._options.org}/api/v1/groups/{group}/users?"
        url = f"{path}limit={PAGE}"
        members: set[str] = set()
        for _ in range(PAGES):
            page = await self._fetcher.get(url)
            members |= self._on(page)
            after = _next(page)
            if after is None:
                return frozenset(members)
            if not after.startswith(path):
                raise PeopleUnknown("Okta's next page is of another group, or elsewhere.")
            url = after
        raise PeopleUnknown(f"The group has more than {PAGES * PAGE} members.")

    def _on(self, page: Fetched) -> set[str]:
        """The members on a page who are active, and say by their profile who they are."""
        if page.status != 200:
            raise PeopleUnknown(f"Okta answered {page.status}.")
        try:
            users = orjson.loads(page.body)
        except orjson.JSONDecodeError as error:
            raise PeopleUnknown("Okta answered no JSON.") from error
        if not isinstance(users, list) or not all(isinstance(user, dict) for user in users):
            raise PeopleUnknown("Okta answered no list of users.")
        active = [user.get("profile") for user in users if user.get("status") == ACTIVE]
        named = {self._named(profile) for profile in active if isinstance(profile, dict)}
        return set(filter(is_person, named))

    def _named(self, profile: dict[str, Any]) -> str:
        name = profile.get(self._options.attribute)
        return person(name) if isinstance(name, str) else ""


def _next(page: Fetched) -> str | None:
    """Where the next page is; None where this was the last one."""
    links = ", ".join(page.every("Link"))
    after = _LINK.findall(links)
    if len(after) != len(_NEXT.findall(links)) or len(after) > 1:
        raise PeopleUnknown("Okta names the next page in a way that is not known.")
    return str(after[0]) if after else None


def plugin(options: Options) -> OktaGroups:
    """What the configuration's ``plugins`` entry loads."""
    return OktaGroups(options, options.fetcher("Okta", PeopleUnknown, LONGEST))
