"""What it costs to look for what is masked. ``python -m tests.bench.masking_search``.

Processor time of the best of several runs, beside what `json.loads` takes for the same bytes: that
ratio is the result, for machines differ.
"""

from __future__ import annotations

import json
import time
import timeit
from collections.abc import Callable, Mapping

from jitgate.core.json_search import HAS_HYPERSCAN, Search, name_pattern
from jitgate.maskers.kinds import KINDS, SECRETS

NAMES = (
    *("*secret", "password", "tempPassword", "privateKey", "private_key", "apiKey", "api_key"),
    *("accessToken", "refreshToken", "sessionToken", "stateToken", "recoveryToken"),
    *("clientSecret", "sharedSecret", "answer"),
)
SHIPPED = ("private-key", "jwt", "okta-token")

USER: Mapping[str, object] = {
    "id": "00ub0oNGTSWTBKOLGLNR",
    "status": "ACTIVE",
    "created": "2013-06-24T16:39:18.000Z",
    "activated": "2013-06-24T16:39:19.000Z",
    "statusChanged": "2013-06-24T16:39:19.000Z",
    "lastLogin": "2013-06-24T17:39:19.000Z",
    "lastUpdated": "2013-07-02T21:36:25.344Z",
    "passwordChanged": "2013-07-02T21:36:25.344Z",
    "type": {"id": "otyfnjfba4ye7pgjB0g4"},
    "profile": {
        "firstName": "Isaac",
        "lastName": "Brock",
        "mobilePhone": "+1 555 415 1337",
        "organization": "Okta",
        "department": "Engineering",
        "employeeNumber": "187",
        "locale": "en_US",
        "countryCode": "US",
        "managerId": "00u1f9cMYQZFMPVXIDIZ",
        "title": "Director",
    },
    "credentials": {
        "recovery_question": {"question": "Who's a major player in the cowboy scene?"},
        "provider": {"type": "OKTA", "name": "OKTA"},
    },
    "_links": {
        name: {"href": f"https://acme.okta.com/api/v1/users/00ub0oNGTSWTBKOLGLNR/{name}"}
        for name in ("self", "lifecycle/reset_password", "lifecycle/suspend")
    },
}


def bodies(**more: object) -> dict[str, bytes]:
    """One user, and arrays of them; ``more`` stands in the profile of each."""
    user = USER | {"profile": {**USER["profile"], **more}}  # type: ignore[dict-item]
    one = json.dumps(user, separators=(",", ":")).encode()

    def several(size: int) -> bytes:
        return b"[" + b",".join([one] * (size // len(one))) + b"]"

    return {"1 KiB": one, "100 KiB": several(100 * 1024), "10 MiB": several(10 * 1024**2)}


def cost(call: Callable[[], object], length: int) -> float:
    """Seconds of processor time of one call, at best."""
    number = max(1, 200_000 // length)
    return min(timeit.repeat(call, number=number, repeat=7, timer=time.process_time)) / number


def row(label: str, search: Search, given: Mapping[str, bytes]) -> None:
    cells = []
    for size, body in given.items():
        read = cost(lambda body=body: json.loads(body), len(body))  # type: ignore[misc]
        took = cost(lambda body=body: search.find(body), len(body))  # type: ignore[misc]
        found = search.find(body)
        told = "?" if found is None else len(found)
        rate = len(body) / took / 1e6
        cells.append(f"{size} {took * 1e6:8.1f} µs {rate:6.0f} MB/s ×{read / took:5.1f} ({told})")
    print(f"{label:34} {' | '.join(cells)}", flush=True)


def made(*detectors: str, portable: bool) -> Search:
    names = [(0, pattern) for name in NAMES if (pattern := name_pattern(name)) is not None]
    signs = [(1, sign) for kind in detectors for sign in KINDS[kind].signs]
    return Search([*names, *signs], portable=portable)


def main() -> None:
    clean = bodies()
    people = bodies(login="isaac.brock@example.com", email="isaac.brock@example.com")
    for portable in [False, True] if HAS_HYPERSCAN else [True]:
        way = "RE2" if portable else "Hyperscan"
        print(f"{way}: time, rate, times as fast as json.loads, (finds)")
        row("15 names", made(portable=portable), clean)
        row("and the shipped detectors", made(*SHIPPED, portable=portable), clean)
        row("and all for secrets", made(*SECRETS, portable=portable), clean)
        row("and payment-card", made(*SECRETS, "payment-card", portable=portable), clean)
        row("and e-mail", made(*KINDS, portable=portable), clean)
        row("the same, each with 2 addresses", made(*KINDS, portable=portable), people)


if __name__ == "__main__":
    main()
