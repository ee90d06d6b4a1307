"""A credential's place in a query or a body: the agent's own there is dropped, the gateway's added.

What an agent's SDK insists on sending there is a placeholder. It is dropped before anything is
decided, so that nobody is shown it and no fingerprint is taken over it. The gateway's own is added
at the very end, behind all that was decided on, and `without` takes exactly that away again: what
is about to leave is compared with what was approved (invariant 2).

Servers differ in what they take for a name. One that some could take for the credential's, and
that is not simply it, has two readings, and its call is refused.

Many read query and body as one: of a name that stands in both they take the one or the other. So
the name of a query's credential may not stand in a body, nor a body's in a query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import islice
from typing import Final
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from jitgate.core.fields import is_form, is_json, values_of
from jitgate.core.members import is_plain, members_of
from jitgate.core.parameters import DECODINGS
from jitgate.values import SAFE_METHODS, Credential, Headers, NotCanonical, Parameter, RequestHead

_BLANK: Final = "".join(
    chr(each)
    for first, last in (
        (0x00, 0x20),
        (0x7F, 0xA0),
        (0xAD, 0xAD),
        (0x61C, 0x61C),
        (0x1680, 0x1680),
        (0x180E, 0x180E),
        (0x2000, 0x200F),
        (0x2028, 0x202F),
        (0x205F, 0x206F),
        (0x3000, 0x3000),
        (0xFEFF, 0xFEFF),
    )
    for each in range(first, last + 1)
)
"""Blanks, controls, and what nobody sees, by Unicode: servers strip one or the other of them."""

_SAME_TO_SOME: Final = str.maketrans(dict.fromkeys(" .[", "_"))
"""PHP reads all of these in a name as an underscore."""

MOST_NAMES: Final = 1_000
"""Pairs of a query or a form, or members of an object: all wait while each is read in every way."""

LONGEST_NAME: Final = 256
"""Characters of one name in a query or a form: what is longer is rather no form at all."""

_HIDING: Final = (b"multipart", b"urlencoded", b"json")
"""What a Content-Type says of a body with names, where it is not simply a form or JSON in UTF-8."""

_KIND: Final = re.compile(rb"[!#$&^_.+0-9a-z-]+/[!#$&^_.+0-9a-z-]+")
"""A media type (RFC 6838, section 4.2), in lower case."""

_NO_ESCAPE: Final = re.compile(rb"%u[0-9a-f]{4}", re.IGNORECASE)
"""What IIS takes for an escape, and no standard does."""

_UTF8: Final = frozenset({b"", b"charset=utf-8"})


# --- before anything is decided


def bare_head(
    head: RequestHead, name: str | None, of_body: str | None = None
) -> RequestHead | NotCanonical:
    """The head without the placeholders in its query: its parameters of that name, if any.

    Refused is a query with the name of a body's credential (``of_body``), and by its Content-Type
    a body in which nobody could look for the name of a query's.
    """
    path, _, query = head.target.partition("?")
    if of_body is not None:
        bare = _bare_pairs(query, of_body, "query")
        refused = _elsewhere(bare, query, of_body, "query", "body")
        if refused is not None:
            return refused
    if name is None:
        return head
    if head.target == "*":
        return NotCanonical("The target's credential goes into a query, and * has none.")
    if head.length != 0 and _has_hidden_names(head.headers):
        return NotCanonical(
            f"The target's credential goes into the query, as {name!r}, and in a body of this "
            "Content-Type, or of none, nobody looks for that name: send a form, JSON or a file."
        )
    bare = _bare_pairs(query, name, "query")
    if isinstance(bare, NotCanonical):
        return bare
    return head._replace(target=f"{path}?{bare}" if bare else path)


def has_names(headers: Headers) -> bool:
    """Whether a body has names that a server could read as those of a query: a form, or JSON."""
    return _is_form(headers) or is_json(headers)


def clear_body(headers: Headers, body: bytes, name: str) -> NotCanonical | None:
    """Why a body does not go with a credential that is in the query under that name, if so.

    It has the name itself, or what some server could take for it, or no one reading.
    """
    if _is_form(headers):
        text = body.decode("latin-1")
        return _elsewhere(_bare_pairs(text, name, "body"), text, name, "body", "query")
    if body and is_json(headers) and not is_plain(body):
        return _elsewhere(_bare_object(body, name), body, name, "body", "query")
    return None


def bare_body(head: RequestHead, body: bytes, name: str) -> bytes | NotCanonical:
    """The body without the placeholders in it: fields, or a member, of that name.

    Refused is a call that the credential cannot be put into: by a method that changes nothing, or
    with a body that is neither a form nor one JSON object (RFC 8259) in UTF-8 that has each of its
    members once.
    """
    headers = head.headers
    if head.method in SAFE_METHODS:
        return NotCanonical(
            f"The target's credential goes into the body, and a {head.method} has none."
        )
    if _is_form(headers) and body:
        bare = _bare_pairs(body.decode("latin-1"), name, "body")
        return bare if isinstance(bare, NotCanonical) else bare.encode("latin-1")
    if _is_json(headers) and body:
        return _bare_object(body, name)
    return NotCanonical(
        f"The target's credential goes into the body, as {name!r}: a call needs one that is a form "
        "or a JSON object, and a Content-Type that says so."
    )


def _ambiguous(name: str, where: str) -> NotCanonical:
    return NotCanonical(
        f"The {where} has a name that could be taken for {name!r}, which the credential has there."
    )


def _elsewhere(
    bare: str | bytes | NotCanonical, whole: str | bytes, name: str, where: str, place: str
) -> NotCanonical | None:
    """Why what is no place of the credential is refused, if it had its name: it is not the same."""
    if bare == whole:
        return None
    if isinstance(bare, NotCanonical):
        return bare
    return NotCanonical(
        f"The {where} has {name!r}, which is the name of the target's credential in the {place}, "
        "and some servers read both as one."
    )


def _too_many(where: str) -> NotCanonical:
    return NotCanonical(
        f"The {where} has more than {MOST_NAMES:,} names, or one of more than {LONGEST_NAME:,} "
        "characters: too many to look for the credential's."
    )


def _bare_pairs(text: str, name: str, where: str) -> str | NotCanonical:
    """Pairs (WHATWG URL, section 5.1) without those of that name, if none else could be it."""
    if text.count("&") + text.count(";") >= MOST_NAMES:
        return _too_many(where)
    kept = []
    for piece in text.split("&"):
        names = [part.partition("=")[0] for part in piece.split(";")]
        if max(map(len, names)) > LONGEST_NAME:
            return _too_many(where)
        try:
            could_be = any(_could_be(_decodings(each), name) for each in names)
        except ValueError:
            return NotCanonical(
                f"The {where} has a name that servers read differently: it is not UTF-8, or has "
                "an escape with %u."
            )
        if not could_be:
            kept.append(piece)
        elif len(names) > 1 or unquote_plus(names[0]) != name:
            return _ambiguous(name, where)
    return "&".join(kept)


def _decodings(written: str) -> Iterable[str]:
    """A name as it is read, decoded as often as some servers do.

    Raises `ValueError` for one in which some read other letters than the rest.
    """
    raw = written.encode("latin-1")
    for _ in range(DECODINGS + 1):
        if _NO_ESCAPE.search(raw):
            raise ValueError("an escape with %u")
        yield raw.decode("utf-8")
        decoded = unquote_to_bytes(raw.replace(b"+", b" "))
        if decoded == raw:
            return
        raw = decoded


def _could_be(read: Iterable[str], name: str) -> bool:
    """Whether the most lenient server could take a name for this one."""
    wanted = name.translate(_SAME_TO_SOME).casefold()
    for each in read:
        plain = each.strip(_BLANK)
        for form in (plain, plain.partition("[")[0], plain.partition("\0")[0]):
            if form.strip(_BLANK).translate(_SAME_TO_SOME).casefold() == wanted:
                return True
    return False


# --- JSON


def _bare_object(body: bytes, name: str) -> bytes | NotCanonical:
    """The object without the member of that name; every other byte stays as it is."""
    try:
        text = body.decode("utf-8")
        members = list(islice(members_of(text), MOST_NAMES + 1))
    except (ValueError, IndexError, RecursionError):
        return NotCanonical("The body is not one JSON object in UTF-8.")
    if len(members) > MOST_NAMES:
        return _too_many("body")
    names = [each.name for each in members]
    if len(set(names)) < len(names):
        return NotCanonical("A member stands twice in the body.")
    if any(each != name and _could_be([each], name) for each in names):
        return _ambiguous(name, "body")
    if name not in names:
        return body
    at = names.index(name)
    begin, end = members[at].begin, members[at].end
    if at + 1 < len(members):
        end = members[at + 1].begin
    elif at:
        begin = members[at - 1].end
    return (text[:begin] + text[end:]).encode("utf-8")


def _is_form(headers: Headers) -> bool:
    return is_form(headers) and _parameters(headers) in _UTF8


def _is_json(headers: Headers) -> bool:
    """JSON itself: what else is written in JSON (a patch, say) has members of other meanings."""
    return is_json(headers) and _kind(headers) == b"application/json"


def _has_hidden_names(headers: Headers) -> bool:
    """Whether some server could read names in a body in which nobody here looks for them.

    Without a Content-Type it is taken for a form by some.
    """
    if has_names(headers):
        return False
    types = values_of(headers, b"content-type")
    if len(types) != 1 or not _KIND.fullmatch(_kind(headers)):
        return True
    return any(each in types[0].lower() for each in _HIDING)


def _kind(headers: Headers) -> bytes:
    return values_of(headers, b"content-type")[0].lower().partition(b";")[0].strip()


def _parameters(headers: Headers) -> bytes:
    written = values_of(headers, b"content-type")[0].lower().partition(b";")[2]
    return written.replace(b" ", b"").replace(b'"', b"")


# --- at the very end


def placed_query(query: str, parameter: Parameter) -> str:
    """The query with the parameter as its last."""
    pair = _pair(parameter)
    return f"{query}&{pair}" if query else pair


def placed_body(headers: Headers, body: bytes, parameter: Parameter) -> bytes:
    """A body that is `bare_body`, with the parameter as its last."""
    if _is_form(headers):
        return placed_query(body.decode("latin-1"), parameter).encode("latin-1")
    before, brace, after = body.rpartition(b"}")
    comma = b"" if before.strip() == b"{" else b","
    return before + comma + _member(parameter) + brace + after


def without(head: RequestHead, body: bytes, credential: Credential) -> tuple[RequestHead, bytes]:
    """Head and body as they leave, less what the gateway itself has put into query and body.

    Where that does not stand exactly where it is put, they are returned as they are.
    """
    if credential.query is not None:
        path, _, query = head.target.partition("?")
        for rest in _less(query, _pair(credential.query), "&"):
            if placed_query(rest, credential.query) == query:
                head = head._replace(target=f"{path}?{rest}" if rest else path)
    if credential.body is not None:
        for less in _bodies_less(head.headers, body, credential.body):
            if placed_body(head.headers, less, credential.body) == body:
                return head, less
    return head, body


def _less(text: str, added: str, mark: str) -> Iterable[str]:
    """A text without what was added at its end, with and without the mark between them."""
    return text.removesuffix(mark + added), text.removesuffix(added)


def _bodies_less(headers: Headers, body: bytes, parameter: Parameter) -> Iterable[bytes]:
    if _is_form(headers):
        for each in _less(body.decode("latin-1"), _pair(parameter), "&"):
            yield each.encode("latin-1")
        return
    before, brace, after = body.rpartition(b"}")
    for each in _less(before.decode("latin-1"), _member(parameter).decode("ascii"), ","):
        yield each.encode("latin-1") + brace + after


def _pair(parameter: Parameter) -> str:
    return f"{parameter.name}={quote(parameter.value, safe='')}"


def _member(parameter: Parameter) -> bytes:
    name, value = json.dumps(parameter.name), json.dumps(parameter.value.decode("utf-8"))
    return f"{name}:{value}".encode("ascii")
