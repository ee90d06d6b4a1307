"""The OAuth endpoints of the gateway's own pages: what goes over HTTP, and nothing of why.

A token for a token (RFC 8693) bound by authorization details (RFC 9396), taken back (RFC 7009);
metadata (RFC 8414) and keys say so to programs. The client is whoever the tunnel has proved.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from jitgate.core.binding import ISSUER, OPERATION, details
from jitgate.core.fields import is_form
from jitgate.flow.tokens import LIFE, Declined, TokenExchange, Wanted
from jitgate.proxy.tasks import status_url
from jitgate.values import Binding, Headers, Made, Subject

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_KINDS: Final = "urn:ietf:params:oauth:token-type:"
SUBJECT_TOKENS: Final = frozenset(
    f"{_KINDS}{kind}" for kind in ("jwt", "access_token", "id_token", "saml2")
)
_ASSERTION: Final = f"{_KINDS}saml2"
MADE_TOKENS: Final = frozenset(f"{_KINDS}{kind}" for kind in ("jwt", "access_token"))

_FIELDS = 20
_REFUSED: Final[Mapping[str, str]] = {
    "scope": "invalid_scope",
    "audience": "invalid_target",
    "resource": "invalid_target",
    "actor_token": "invalid_request",
}
"""What would ask for something else than authorization_details do. What is not known is ignored
(RFC 6749, section 3.2): clients send ``client_id``, say."""

Answer = tuple[int, dict[str, object], Headers]
"""A status, what is said in JSON, and header fields beside the usual ones."""


def form_of(headers: Headers, body: bytes) -> dict[str, str] | None:
    """The form in a body, no field of which stands twice (RFC 6749, section 3.2); else None."""
    if not is_form(headers):
        return None
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_FIELDS,
        )
    except ValueError:
        return None
    form = dict(pairs)
    return form if len(form) == len(pairs) else None


def wanted_by(form: Mapping[str, str]) -> Wanted | Declined:
    """What a form asks for."""
    if form.get("grant_type") != GRANT_TYPE:
        return Declined("unsupported_grant_type", f"The grant_type is {GRANT_TYPE}.")
    refused = next((name for name in _REFUSED if name in form), None)
    if refused is not None:
        return Declined(_REFUSED[refused], f"{refused} is not offered: use authorization_details.")
    wrong = _wrong_in(form)
    if wrong is not None:
        return Declined("invalid_request", wrong)
    bound = _bound(form.get("authorization_details", "[]"))
    if isinstance(bound, Declined):
        return bound
    life, once = float(form.get("life", LIFE)), form.get("once") == "true"
    return Wanted(form["subject_token"], once=once, life=life, **bound)


def _wrong_in(form: Mapping[str, str]) -> str | None:
    life = form.get("life", f"{LIFE:g}")
    token, kind = form.get("subject_token", ""), form.get("subject_token_type")
    made = form.get("requested_token_type", next(iter(MADE_TOKENS)))
    checks = (
        (token != "", "The subject_token is missing."),
        (kind in SUBJECT_TOKENS, f"The subject_token_type is one of {_listed(SUBJECT_TOKENS)}."),
        # A JWT has two dots, an assertion has none.
        ((kind == _ASSERTION) != ("." in token), "The subject_token is not of its type."),
        (made in MADE_TOKENS, f"The requested_token_type is one of {_listed(MADE_TOKENS)}."),
        (life.isascii() and life.isdigit() and len(life) < 6, "life is a number of seconds."),
        (form.get("once", "false") in {"true", "false"}, "once is true or false."),
    )
    return next((complaint for holds, complaint in checks if not holds), None)


def _listed(words: frozenset[str]) -> str:
    return ", ".join(sorted(words))


def _bound(text: str) -> dict[str, Any] | Declined:
    """The one operation that authorization details name, or none."""
    wrong = Declined(
        "invalid_authorization_details",
        f'One object is understood, of type "{OPERATION}": its target and action are texts, its '
        "resource is an object of texts.",
    )
    try:
        listed = json.loads(text, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        return wrong
    if listed == []:
        return {}
    if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], dict):
        return wrong
    asked = {"resource": {}, **listed[0]}
    if asked.pop("type", None) != OPERATION or set(asked) != {"target", "action", "resource"}:
        return wrong
    resource = asked["resource"]
    texts = [asked["target"], asked["action"]]
    if not isinstance(resource, dict) or not all(
        isinstance(each, str) for each in (*texts, *resource.values())
    ):
        return wrong
    return asked


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


async def token(
    exchange: TokenExchange, subject: Subject, session: str, form: Mapping[str, str] | None
) -> Answer:
    """The answer of the token endpoint."""
    wanted = wanted_by(form) if form is not None else _NO_FORM
    if isinstance(wanted, Declined):
        return declined(wanted)
    made = await exchange.exchange(subject, wanted, session)
    return declined(made) if isinstance(made, Declined) else _granted(*made, exchange.now)


async def revoked(
    exchange: TokenExchange, subject: Subject, form: Mapping[str, str] | None
) -> Answer:
    """The answer of the revocation endpoint (RFC 7009, section 2.2)."""
    if form is None or "token" not in form:
        return declined(_NO_FORM)
    why = await exchange.revoke(subject, form["token"])
    return (200, {}, ()) if why is None else declined(why)


def _granted(made: Made, binding: Binding, now: float) -> Answer:
    """RFC 8693, section 2.2.1; RFC 9396, section 7."""
    said: dict[str, object] = {
        "access_token": made.token,
        "issued_token_type": f"{_KINDS}access_token",
        "token_type": "Bearer",
        "expires_in": int(made.expires_at - now),
    }
    if binding.target is not None:
        said["authorization_details"] = details(binding)
    return 200, said, ()


def declined(why: Declined) -> Answer:
    """RFC 6749, section 5.2; while people are asked RFC 8628, section 3.5."""
    said: dict[str, object] = {"error": why.error, "error_description": why.description}
    more: Headers = ()
    pending = why.pending
    if pending is not None:
        again = math.ceil(pending.again or 0)
        if pending.id:
            said["access_request"] = {"id": pending.id, "url": status_url(pending.id)}
        if again:
            said["interval"] = again
            more = ((b"Retry-After", b"%d" % again),)
    return 400, said, more


_NO_FORM = Declined(
    "invalid_request", "The body is a form in ASCII in which no field stands twice."
)


def metadata() -> dict[str, object]:
    """What the gateway is as an authorization server (RFC 8414, section 2)."""
    return {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/token",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "jwks_uri": f"{ISSUER}/jwks.json",
        "response_types_supported": [],
        "grant_types_supported": [GRANT_TYPE],
        # The client is known by the token that opened the tunnel.
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "authorization_details_types_supported": [OPERATION],
    }
