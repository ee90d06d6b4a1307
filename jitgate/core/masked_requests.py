"""Hides values in a request on its way to the target, or says why it may not leave at all."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from jitgate.core.codings import codings_of
from jitgate.core.fields import names_of
from jitgate.core.forms import Pairs
from jitgate.core.injection import forwarded, unvouched
from jitgate.core.known_names import in_names
from jitgate.core.masked_fields import MaskedFields
from jitgate.core.masking import Chain, Maskers
from jitgate.core.media import masker_of, media_of
from jitgate.core.pausing import paused
from jitgate.errors import MaskingFault
from jitgate.values import Headers, Operation, RequestHead

LONGEST_QUERY: Final = 4 * 1024
"""Bytes of a query that is looked into, as for the record."""


def masked_request(
    head: RequestHead,
    operation: Operation,
    body: bytes,
    maskers: Maskers,
    *,
    declared: frozenset[bytes],
    passes: bool,
) -> tuple[RequestHead, bytes]:
    """The request without what the maskers hide: the same two where that is nothing.

    Looked at is what leaves: the query as the operation has it, the fields that are forwarded, the
    body. ``declared`` are the target's own fields, in lower case; ``passes`` says that a body that
    cannot be looked at holds no secret.

    Raises `MaskingFault` for what cannot be looked at; what maskers deny; a path in which something
    would be hidden, for it says on what the call acts; and where a body would be taken for another.
    """
    if not maskers.asked.maskers:
        return head, body
    _check_path(operation.path, maskers)
    query = _query(operation.query.encode("ascii"), maskers).decode("ascii")
    headers = _fields(head.headers, maskers, declared)
    if media_of(headers) != media_of(head.headers):
        raise MaskingFault("Its Content-Type holds what is hidden.")
    shown = _body(headers, body, maskers, passes=passes) if body else body
    if shown != body:
        headers = unvouched(headers)
    target = head.target
    if query != operation.query:
        target = f"{operation.path}?{query}" if query else operation.path
    if (target, headers, shown) == (head.target, head.headers, body):
        return head, body
    return head._replace(target=target, headers=headers, length=len(shown)), shown


def of_request(fault: MaskingFault) -> str:
    """Why a request does not leave: what looks at bodies tells it of a response."""
    told = f"{fault}".replace("The response", "The request")
    return told.replace("no response", "no request").replace("the response", "the request")


def _check_path(path: str, maskers: Maskers) -> None:
    for text in dict.fromkeys((path, unquote(path, errors="surrogateescape"))):
        shown = MaskedFields(maskers).shown_in(text)
        data = text.encode("utf-8", "surrogateescape")
        if shown != text or _named(data, maskers) != data:
            raise MaskingFault("Its path holds what is hidden, and says what the call acts on.")


def _named(data: bytes, maskers: Maskers) -> bytes:
    """A text without what is known and stands in no value."""
    hidden = Chain(in_names(maskers))
    return hidden.feed(data) + hidden.finish()


def _query(query: bytes, maskers: Maskers) -> bytes:
    if not query:
        return query
    if len(query) > LONGEST_QUERY:
        raise MaskingFault(f"A query of more than {LONGEST_QUERY} bytes is not looked at.")
    pairs, fields = Pairs(maskers, "query"), MaskedFields(maskers)
    again = MaskedFields(Maskers(maskers.asked.maskers, maskers.hand.beside()))
    kept = list[bytes]()
    for pair in paused(query.split(b"&")):
        shown = pairs.shown(pair)
        if shown is not None:
            looked = fields if shown == pair else again  # what is hidden is counted once
            kept.append(looked.shown_in(f"?{shown.decode('ascii')}")[1:].encode("ascii"))
    return _named(b"&".join(kept), maskers)


def _fields(fields: Headers, maskers: Maskers, declared: frozenset[bytes]) -> Headers:
    """All of them, those that are forwarded as they are shown."""
    leaving = forwarded(declared)
    named = list(zip(names_of(fields), fields, strict=True))
    looked = MaskedFields(maskers)
    shown = list[tuple[bytes, bytes]]()
    for name, field in named:
        if name not in leaving:
            shown.append(field)
            continue
        for key, value in looked.shown((field,)):
            shown.append((key, _named(value, maskers)))
    return tuple(shown)


def _body(headers: Headers, body: bytes, maskers: Maskers, *, passes: bool) -> bytes:
    if codings_of(headers):
        if passes:
            return body
        raise MaskingFault("Its body is coded, and bodies of requests are not decoded.")
    masker = masker_of(headers, maskers, Chain(()), passes=passes, gathered=True)
    return masker.feed(body) + masker.finish()
