"""A request for the record and for people: whose it is, what it asks for, its URL and fields.

What is not shown stands in none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus

from jitgate.core.hiding import Hand
from jitgate.core.masked_fields import MaskedFields
from jitgate.core.masking import Maskers
from jitgate.core.parameters import BOOLEANS
from jitgate.core.pausing import paused
from jitgate.core.profiles import SENSITIVE_IN_QUERIES
from jitgate.errors import MaskingFault
from jitgate.interfaces import IMasker
from jitgate.values import Credential, Headers, Operation, RequestHead, Subject

LONGEST: Final = 4 * 1024
"""Characters of a query that is looked into, which takes 20 ms at most."""

REMEMBERED: Final = 64
"""Heads of requests of which it is remembered what is shown of them: SDKs send the same again. So
many queries as well, each of which is shown several times."""

_HIDDEN: Final = "***"


def shown_target(target: str, maskers: Sequence[IMasker] = ()) -> str:
    """A request target, or a URL, without what in its query sounds secret or is to be hidden.

    Its path stays: it says on what the call acts, which people must see.
    """
    path, mark, query = target.partition("?")
    return f"{path}?{_shown_query(query, tuple(maskers))}" if mark else target


def shown_fields(fields: Headers, maskers: Sequence[IMasker]) -> Headers:
    """A request's header fields without what in them sounds secret or is to be hidden."""
    try:
        return MaskedFields(_openly(maskers)).shown(fields)
    except MaskingFault:
        return tuple([(name, _HIDDEN.encode()) for name, _ in fields])


def sent_fields(
    head: RequestHead, credential: Credential, token: str, maskers: tuple[IMasker, ...]
) -> Sequence[Sequence[str]]:
    """The fields of a request as it leaves: none of a credential's.

    ``token`` is what ends its User-Agent, and is another one each time.
    """
    issued = {name for name, _ in credential.headers}
    others, names = list[tuple[bytes, bytes]](), list[str]()
    for name, value in head.headers:
        if name in issued:
            names.append(name.decode("latin-1"))
        elif name == b"User-Agent":
            others.append((name, value.removesuffix(token.encode()).rstrip()))
        else:
            others.append((name, value))
    shown = _remembered(tuple(others), maskers)
    agents = [
        [name, f"{value} {token}".lstrip()] if name == "User-Agent" else [name, value]
        for name, value in shown
    ]
    return [*agents, *([name, _HIDDEN] for name in names)]


@lru_cache(maxsize=REMEMBERED)
def _remembered(fields: Headers, maskers: tuple[IMasker, ...]) -> Sequence[tuple[str, str]]:
    hidden = shown_fields(fields, maskers)
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in hidden)


def asked(head: RequestHead, maskers: Sequence[IMasker] = ()) -> dict[str, str]:
    """The first line of a request."""
    return {"method": head.method, "target": shown_target(head.target, maskers)}


def described(subject: Subject | None) -> dict[str, object] | None:
    """A Subject as it stands in entries."""
    if subject is None:
        return None
    return {
        "issuer": subject.issuer,
        "id": subject.id,
        "groups": sorted(subject.groups),
        "humans": list(subject.humans),
        **({} if subject.agent is None else {"agent": subject.agent}),
        **({} if subject.binding is None else {"token": subject.binding.id}),
    }


def described_operation(
    operation: Operation | None, maskers: Sequence[IMasker] = ()
) -> dict[str, object] | None:
    """An Operation as it stands in entries; its URL without what the maskers hide."""
    if operation is None:
        return None
    return {
        "target": operation.target,
        "action": operation.action,
        "resource": dict(operation.resource),
        "method": operation.method,
        "url": shown_target(operation.url, maskers),
        "risk": None if operation.risk is None else operation.risk.value,
        "parameters": shown_parameters(operation),
    }


def shown_parameters(operation: Operation) -> dict[str, str]:
    """The operation's parameters without the values of those that sound secret.

    ``oauthTokens=true`` says what is asked, and holds nothing.
    """
    return {
        name: "***" if SENSITIVE_IN_QUERIES.hides(name) and value not in BOOLEANS else value
        for name, value in operation.parameters.items()
    }


def _openly(maskers: Sequence[IMasker]) -> Maskers:
    return Maskers((SENSITIVE_IN_QUERIES, *maskers), Hand(openly=True))


@lru_cache(maxsize=REMEMBERED)
def _shown_query(query: str, maskers: tuple[IMasker, ...]) -> str:
    if len(query) > LONGEST and maskers:
        return _HIDDEN
    pairs = [*map(_shown_pair, paused(query.split("&")))]
    if len(query) > LONGEST:
        return "&".join(pairs)
    fields = MaskedFields(_openly(maskers))
    try:
        looked = [_shown_pair(fields.shown_in(f"?{pair}")[1:]) for pair in paused(pairs)]
    except MaskingFault:
        return _HIDDEN
    return "&".join(looked)


def _shown_pair(pair: str) -> str:
    """A pair goes up to "&"; what stands behind ";" may be one as well, as some read it."""
    if _is_sensitive(pair):
        return f"{pair.partition('=')[0]}={_HIDDEN}"
    shown = list[str]()
    for part in paused(pair.split(";")):
        if _is_sensitive(part):
            return ";".join([*shown, f"{part.partition('=')[0]}={_HIDDEN}"])
        shown.append(part)
    return pair


def _is_sensitive(pair: str) -> bool:
    name, mark, _ = pair.partition("=")
    return bool(mark) and SENSITIVE_IN_QUERIES.hides(unquote_plus(name))
