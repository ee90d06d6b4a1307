"""Calls that are tried against policy: from a case of a test file, or from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from jitgate.app.offline import Attempt
from jitgate.config import Configuration
from jitgate.config.cases import Call
from jitgate.config.identity_schema import PluginIssuer
from jitgate.config.reading import near
from jitgate.errors import ConfigurationInvalid
from jitgate.values import SAFE_METHODS, Subject

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()
"""When a case's call is made that says no time: a Monday. So it comes out the same on every day."""

TOKEN_LIFE = 3600.0
"""Seconds that the made-up token is good for."""


def subject_of(
    configuration: Configuration,
    sub: str,
    at: float,
    *,
    groups: Sequence[str] = (),
    issuer: str | None = None,
    agent: str | None = None,
    humans: Sequence[str] | None = None,
) -> Subject:
    """Who calls. ``issuer`` is its name or its URL; without ``humans`` its owner is the only one.

    Raises `ConfigurationInvalid` where there is no such issuer.
    """
    issuers = configuration.settings.identity.issuers
    named = {each.name: each for each in issuers} | {each.issuer: each for each in issuers}
    found = issuers[0] if issuer is None else named.get(issuer)
    if found is None:
        meant = near(f"{issuer}", named) or "."
        raise ConfigurationInvalid([f"no issuer {issuer!r} is configured{meant}"])
    if humans is None:
        owners = {} if isinstance(found, PluginIssuer) else found.owners
        humans = [owners[sub]] if sub in owners else []
    return Subject(
        issuer=found.issuer,
        id=sub,
        groups=frozenset(groups),
        expires_at=at + TOKEN_LIFE,
        humans=tuple(humans),
        agent=agent,
    )


def attempt_of(call: Call, configuration: Configuration) -> Attempt:
    """A case's call. Raises `ConfigurationInvalid`, with the place where it stands."""
    at = NOON if call.at is None else call.at
    who = call.caller
    try:
        subject = subject_of(
            configuration,
            who.sub,
            at,
            groups=who.groups,
            issuer=who.issuer,
            agent=who.agent,
            humans=who.humans,
        )
    except ConfigurationInvalid as error:
        raise ConfigurationInvalid([f"{call.where}: {each}" for each in error.problems]) from None
    headers, body = [*call.headers.items()], call.body
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
        if "content-type" not in {name.lower() for name in call.headers}:
            headers.append(("Content-Type", "application/json"))
    return Attempt(
        method=call.method,
        url=call.url,
        subject=subject,
        at=at,
        headers=tuple(headers),
        body=body_of(call.method, None if body is None else body.encode()),
        facts=call.facts,
    )


def body_of(method: str, given: bytes | None) -> bytes | None:
    """A call's body; that of a safe method is none if nothing is said of it."""
    return b"" if given is None and method in SAFE_METHODS else given
