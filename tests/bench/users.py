"""Users as an org of Okta answers with them: the ids, times and links that such bodies are full of.

The same at each run: what is measured must not depend on chance.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from itertools import islice

_FIRST = ("Isaac", "Ada", "Grace", "Linus", "Barbara", "Donald", "Radia", "Jürgen", "Zoë", "Wei")
_LAST = ("Brock", "Lovelace", "Hopper", "Liskov", "Knuth", "Perlman", "Müller", "Okafor", "Zhang")
_TITLES = ("Director", "Engineer", "Account Executive", "Support Lead", "Analyst", "Recruiter")
_LINKS = ("resetPassword", "deactivate")
_LETTERS = string.ascii_letters + string.digits

HUSH = "hush-1f3a"
"""What is to be hidden, in the bodies that hold something."""


def users(*, hits: bool = False) -> Iterator[str]:
    """Users, about 1 KiB each, without end; with one secret in each, or none in any."""
    chance = random.Random(7)
    while True:
        yield json.dumps(_user(chance, hits), separators=(",", ":"), ensure_ascii=False)


def one(*, hits: bool = False) -> bytes:
    """A body that is one user."""
    return next(users(hits=hits)).encode()


def array(size: int, *, hits: bool = False) -> bytes:
    """A body that is a list of users, of at least so many bytes."""
    return b"[" + b",".join(_enough(size, hits=hits)) + b"]"


def lines(size: int, *, hits: bool = False) -> bytes:
    """A body with a user on each line, of at least so many bytes."""
    return b"".join(line + b"\n" for line in _enough(size, hits=hits))


def _enough(size: int, *, hits: bool) -> list[bytes]:
    made = [user.encode() for user in islice(users(hits=hits), 1000)]
    found, length = list[bytes](), 0
    while length < size:
        found.append(made[len(found) % len(made)])
        length += len(found[-1]) + 1
    return found


def _user(chance: random.Random, hits: bool) -> dict[str, object]:
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    user = f"00u{_word(chance, 17)}"
    login = f"{first}.{last}@example.com".lower().encode("ascii", "ignore").decode()
    base = f"https://acme.okta.com/api/v1/users/{user}"
    credentials: dict[str, object] = {
        "provider": {"type": "OKTA", "name": "OKTA"},
        "recovery_question": {"question": "Who's a major player in the cowboy scene?"},
    }
    if hits:
        credentials["password"] = {"value": HUSH}
    return {
        "id": user,
        "status": chance.choice(("ACTIVE", "STAGED", "SUSPENDED")),
        "created": _moment(chance),
        "activated": _moment(chance),
        "statusChanged": None,
        "lastLogin": _moment(chance),
        "lastUpdated": _moment(chance),
        "passwordChanged": _moment(chance),
        "type": {"id": f"oty{_word(chance, 17)}"},
        "profile": {
            "firstName": first,
            "lastName": last,
            "mobilePhone": f"+1 555 {chance.randrange(100, 1000)} {chance.randrange(1000, 10000)}",
            "secondEmail": None,
            "login": login,
            "email": login,
            "employeeNumber": f"{chance.randrange(10**5)}",
            "managerId": f"00u{_word(chance, 17)}",
            "title": chance.choice(_TITLES),
            "locale": "en_US",
        },
        "credentials": credentials,
        "_links": {name: {"href": f"{base}/lifecycle/{name}", "method": "POST"} for name in _LINKS}
        | {"self": {"href": base}},
    }


def _word(chance: random.Random, length: int) -> str:
    return "".join(chance.choices(_LETTERS, k=length))


def _moment(chance: random.Random) -> str:
    day, hour, minute = chance.randrange(1, 29), chance.randrange(24), chance.randrange(60)
    return f"2026-0{chance.randrange(1, 10)}-{day:02}T{hour:02}:{minute:02}:11.000Z"
