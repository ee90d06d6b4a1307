"""The gateway's own pages: its manifest, its CA, its refusals explained, and an agent's requests.

They are made here and served by `jitgate.proxy.internal`, after all that every call goes through.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import orjson
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from jitgate.core.catalog import CatalogRow, OperationTrie
from jitgate.core.fields import values_of
from jitgate.core.plan import Decide, Offer, Plan, planning
from jitgate.core.waiting import RETURN_AFTER, Patience
from jitgate.flow.access import Access
from jitgate.flow.admission import Target
from jitgate.flow.grants import Grants
from jitgate.flow.tokens import TokenExchange
from jitgate.proxy import manifest, token_pages
from jitgate.proxy.manifest import Manifest
from jitgate.proxy.problems import problem_page
from jitgate.proxy.tasks import status
from jitgate.values import AccessRequest, AccessState, Headers, RequestHead, ResponseHead, Subject

Page = tuple[ResponseHead, bytes]

_SECRETS = {"exchangeToken": frozenset({"access_token"})}
"""What answers hold that the record must not."""

CALLS = OperationTrie(
    CatalogRow(method, path, action, secrets=_SECRETS.get(action, frozenset()))
    for method, path, action in (
        ("GET", "/", "getManifest"),
        ("GET", "/manifest", "getManifest"),
        ("GET", "/manifest.json", "getManifestJson"),
        ("GET", "/ca.pem", "getCaCertificate"),
        ("GET", "/access-requests/{id}", "getAccessRequest"),
        ("DELETE", "/access-requests/{id}", "cancelAccessRequest"),
        ("POST", "/access-requests/{id}/cancel", "cancelAccessRequest"),
        ("DELETE", "/access-requests/{id}/cancel", "cancelAccessRequest"),
        ("GET", "/problems/{name}", "getProblem"),
        ("POST", "/token", "exchangeToken"),
        ("POST", "/revoke", "revokeToken"),
        ("GET", "/jwks.json", "getTokenKeys"),
        ("GET", "/.well-known/oauth-authorization-server", "getTokenMetadata"),
    )
)

_MARKDOWN = b"text/markdown; charset=utf-8"
_JSON = b"application/json"
_PEM = b"application/x-pem-file"
_QUALITY = re.compile(r"[01](?:\.[0-9]{0,3})?")
_ERROR = "urn:openid:authzen:access-request:error:"


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a page, and with what beside the path."""

    subject: Subject
    session: str
    headers: Headers = field(repr=False)
    body: bytes = field(default=b"", repr=False)


_Make = Callable[..., Awaitable[Page]]
"""Makes a page for whoever asks, from the parameters of the path."""


class Pages:
    """Makes the pages. ``targets`` are the configured ones, this one not among them."""

    def __init__(
        self,
        access: Access,
        grants: Grants,
        *,
        targets: Mapping[str, Target],
        decide: Decide,
        ca: bytes,
        patience: Patience,
        tokens: TokenExchange,
        clock: IReactorTime,
    ) -> None:
        self._access = access
        self._tokens = tokens
        self._grants = grants
        self._decide = decide
        self._ca = ca
        self._clock = clock
        self.adopt(targets, patience)
        self._by_action: Mapping[str, _Make] = {
            "getManifest": self._manifest,
            "getManifestJson": self._manifest_json,
            "getCaCertificate": self._ca_certificate,
            "getAccessRequest": self._access_request,
            "cancelAccessRequest": self._cancelled,
            "getProblem": self._problem_page,
            "exchangeToken": self._exchanged,
            "revokeToken": self._revoked,
            "getTokenKeys": self._token_keys,
            "getTokenMetadata": self._token_metadata,
        }

    def adopt(self, targets: Mapping[str, Target], patience: Patience) -> None:
        """Tell of these from now on."""
        self._patience = patience
        self._offers = [
            Offer(target.name, authority, tuple(target.catalog.samples(authority)))
            for authority, target in targets.items()
        ]

    def plain(self, path: str) -> Page | None:
        """What anybody may have, without TLS too, and nobody needs a record of: no more than this.

        None for any other path.
        """
        anybodys = Manifest(self._clock.seconds(), self._patience)
        if path == "/ca.pem":
            return _page(200, _PEM, self._ca)
        if path in {"/", "/manifest"}:
            return _page(200, _MARKDOWN, manifest.text(anybodys).encode())
        if path == "/manifest.json":
            return _json(200, manifest.content(anybodys))
        return None

    async def answer(self, asked: Asked, head: RequestHead) -> Page:
        """The page for a request that has been permitted to whoever asks."""
        method = "GET" if head.method == "HEAD" else head.method
        found = CALLS.lookup(method, head.target.partition("?")[0])
        if found is None:
            return _problem(404, "about:blank", "Not Found", "There is no such page.")
        make = self._by_action[found.row.action]
        return await make(asked, *found.resource.values())

    # --- what does not change

    async def _ca_certificate(self, asked: Asked) -> Page:
        return _page(200, _PEM, self._ca)

    async def _problem_page(self, asked: Asked, name: str) -> Page:
        text = problem_page(name)
        if text is None:
            return _problem(404, "about:blank", "Not Found", "There is no such kind of refusal.")
        return _page(200, _MARKDOWN, text.encode())

    # --- what the subject may call

    async def _manifest(self, asked: Asked) -> Page:
        if _prefers_json(asked.headers):
            return await self._manifest_json(asked)
        return _page(200, _MARKDOWN, manifest.text(await self._of(asked.subject)).encode())

    async def _manifest_json(self, asked: Asked) -> Page:
        return _json(200, manifest.content(await self._of(asked.subject)))

    async def _of(self, subject: Subject) -> Manifest:
        plan = await self._planned(subject)
        return Manifest(self._clock.seconds(), self._patience, subject, plan)

    async def _planned(self, subject: Subject) -> Plan:
        """What it has to expect, found out a little at a time, so that nobody else waits for it."""
        steps = planning(self._offers, subject, self._decide)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                plan: Plan = end.value
                return plan
            await deferLater(self._clock, 0)

    # --- what the subject asked people for

    async def _access_request(self, asked: Asked, key: str) -> Page:
        request = await self._own(asked.subject, key)
        return _unknown() if request is None else await self._standing(request)

    async def _cancelled(self, asked: Asked, key: str) -> Page:
        request = await self._own(asked.subject, key)
        if request is None:
            return _unknown()
        after = await self._access.cancel(key, asked.subject)
        if after is None:
            detail = "Only a request that is pending can be cancelled."
            return _problem(409, f"{_ERROR}invalid_task_state", "It has ended", detail)
        return await self._standing(after)

    # --- tokens of the gateway's own

    async def _exchanged(self, asked: Asked) -> Page:
        form = token_pages.form_of(asked.headers, asked.body)
        return _oauth(await token_pages.token(self._tokens, asked.subject, asked.session, form))

    async def _revoked(self, asked: Asked) -> Page:
        form = token_pages.form_of(asked.headers, asked.body)
        return _oauth(await token_pages.revoked(self._tokens, asked.subject, form))

    async def _token_keys(self, asked: Asked) -> Page:
        return _json(200, self._tokens.jwks())

    async def _token_metadata(self, asked: Asked) -> Page:
        return _json(200, token_pages.metadata())

    async def _own(self, subject: Subject, key: str) -> AccessRequest | None:
        """The subject's own request of that id; somebody else's is as good as none."""
        request = await self._access.request(key)
        if request is None or request.ask.subject.key != subject.key:
            return None
        return request

    async def _standing(self, request: AccessRequest) -> Page:
        if request.state is AccessState.PENDING:
            again = ((b"Retry-After", b"%d" % math.ceil(RETURN_AFTER)),)
            return _json(200, status(request, None), *again)
        return _json(200, status(request, await self._grants.covering(request.ask)))


def _prefers_json(headers: Headers) -> bool:
    """Whether Accept (RFC 9110, section 12.5.1) names JSON, and Markdown less or not at all."""
    accepted: dict[str, float] = {}
    for value in values_of(headers, b"accept"):
        for part in value.decode("latin-1").lower().split(","):
            kind, *parameters = (each.strip() for each in part.split(";"))
            quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
            accepted[kind] = float(quality) if _QUALITY.fullmatch(quality) else 0.0
    return accepted.get("application/json", 0.0) > accepted.get("text/markdown", 0.0)


def _page(code: int, kind: bytes, data: bytes, *more: tuple[bytes, bytes]) -> Page:
    fields = ((b"Content-Type", kind), (b"Cache-Control", b"no-store"), *more)
    return ResponseHead(code, fields, len(data)), data


def _json(code: int, content: object, *more: tuple[bytes, bytes]) -> Page:
    return _page(code, _JSON, orjson.dumps(content), *more)


def _oauth(answer: token_pages.Answer) -> Page:
    code, content, more = answer
    return _json(code, content, (b"Pragma", b"no-cache"), *more)


def _problem(code: int, kind: str, title: str, detail: str) -> Page:
    problem = {"type": kind, "title": title, "status": code, "detail": detail}
    return _page(code, b"application/problem+json", orjson.dumps(problem))


def _unknown() -> Page:
    detail = "You have no access request of that id, or it has been forgotten."
    return _problem(404, f"{_ERROR}unknown_task", "There is no such access request", detail)


def too_large(limit: int) -> Page:
    """The answer to a request whose body nobody will read."""
    detail = f"No request here carries more than {limit} bytes."
    return _problem(413, "about:blank", "Content Too Large", detail)
