"""The gateway's own pages: its manifest, its CA, its refusals explained, and an agent's requests.

They are made here and served by `jitgate.proxy.internal`, after all that every call goes through.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from jitgate.core.catalog import CatalogRow, OperationTrie
from jitgate.core.fields import values_of
from jitgate.core.plan import Decide, Offer, Plan, planning
from jitgate.core.waiting import Patience
from jitgate.flow.admission import Target
from jitgate.flow.tokens import TokenExchange
from jitgate.proxy import manifest, token_pages
from jitgate.proxy.authzen import EVALUATION, REQUESTS
from jitgate.proxy.manifest import Manifest, Trust
from jitgate.proxy.page import PLAIN, Asked, Page, json_page, page, problem
from jitgate.proxy.problems import problem_page
from jitgate.proxy.request_pages import RequestPages
from jitgate.values import Headers, RequestHead, Subject

_SECRETS = {"exchangeToken": frozenset({"access_token"})}
"""What answers hold that the record must not."""

CALLS = OperationTrie(
    CatalogRow(method, path, action, secrets=_SECRETS.get(action, frozenset()))
    for method, path, action in (
        ("GET", "/", "getManifest"),
        ("GET", "/manifest", "getManifest"),
        ("GET", "/manifest.json", "getManifestJson"),
        ("GET", "/ca.pem", "getCaCertificate"),
        ("POST", EVALUATION, "evaluateAccess"),
        ("GET", REQUESTS, "listAccessRequests"),
        ("POST", REQUESTS, "requestAccess"),
        ("GET", f"{REQUESTS}/{{id}}", "getAccessRequest"),
        ("DELETE", f"{REQUESTS}/{{id}}", "cancelAccessRequest"),
        ("POST", f"{REQUESTS}/{{id}}/cancel", "cancelAccessRequest"),
        ("DELETE", f"{REQUESTS}/{{id}}/cancel", "cancelAccessRequest"),
        ("GET", "/problems/{name}", "getProblem"),
        ("POST", "/token", "exchangeToken"),
        ("POST", "/revoke", "revokeToken"),
        ("GET", "/jwks.json", "getTokenKeys"),
        ("GET", "/.well-known/oauth-authorization-server", "getTokenMetadata"),
        ("GET", "/.well-known/authzen-configuration", "getEvaluationMetadata"),
    )
)

_MARKDOWN = b"text/markdown; charset=utf-8"
_PEM = b"application/x-pem-file"
_QUALITY = re.compile(r"[01](?:\.[0-9]{0,3})?")


_Make = Callable[..., Awaitable[Page]]
"""Makes a page for whoever asks, from the parameters of the path."""


class Pages:
    """Makes the pages. ``targets`` are the configured ones, this one not among them."""

    def __init__(
        self,
        requests: RequestPages,
        *,
        targets: Mapping[str, Target],
        decide: Decide,
        trust: Callable[[], Trust],
        patience: Patience,
        tokens: TokenExchange,
        clock: IReactorTime,
    ) -> None:
        self._tokens = tokens
        self._decide = decide
        self._trust = trust
        self._clock = clock
        self.adopt(targets, patience)
        self._by_action: Mapping[str, _Make] = {
            "getManifest": self._manifest,
            "getManifestJson": self._manifest_json,
            "getCaCertificate": self._ca_certificate,
            "evaluateAccess": requests.evaluated,
            "listAccessRequests": requests.listed,
            "requestAccess": requests.submitted,
            "getAccessRequest": requests.standing,
            "cancelAccessRequest": requests.cancelled,
            "getEvaluationMetadata": requests.metadata,
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
        anybodys = Manifest(self._clock.seconds(), self._patience, self._trust())
        if path == "/ca.pem":
            return page(200, _PEM, self._trust().pem)
        if path in {"/", "/manifest"}:
            return page(200, _MARKDOWN, manifest.text(anybodys).encode())
        if path == "/manifest.json":
            return json_page(200, manifest.content(anybodys))
        return None

    async def answer(self, asked: Asked, head: RequestHead) -> Page:
        """The page for a request that has been permitted to whoever asks."""
        method = "GET" if head.method == "HEAD" else head.method
        found = CALLS.lookup(method, head.target.partition("?")[0])
        if found is None:
            return problem(404, PLAIN, "Not Found", "There is no such page.")
        make = self._by_action[found.row.action]
        return await make(asked, *found.resource.values())

    # --- what does not change

    async def _ca_certificate(self, asked: Asked) -> Page:
        return page(200, _PEM, self._trust().pem)

    async def _problem_page(self, asked: Asked, name: str) -> Page:
        text = problem_page(name)
        if text is None:
            return problem(404, PLAIN, "Not Found", "There is no such kind of refusal.")
        return page(200, _MARKDOWN, text.encode())

    # --- what the subject may call

    async def _manifest(self, asked: Asked) -> Page:
        if _prefers_json(asked.headers):
            return await self._manifest_json(asked)
        return page(200, _MARKDOWN, manifest.text(await self._of(asked.subject)).encode())

    async def _manifest_json(self, asked: Asked) -> Page:
        return json_page(200, manifest.content(await self._of(asked.subject)))

    async def _of(self, subject: Subject) -> Manifest:
        plan = await self._planned(subject)
        return Manifest(self._clock.seconds(), self._patience, self._trust(), subject, plan)

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

    # --- tokens of the gateway's own

    async def _exchanged(self, asked: Asked) -> Page:
        form = token_pages.form_of(asked.headers, asked.body)
        return _oauth(await token_pages.token(self._tokens, asked.subject, asked.session, form))

    async def _revoked(self, asked: Asked) -> Page:
        form = token_pages.form_of(asked.headers, asked.body)
        return _oauth(await token_pages.revoked(self._tokens, asked.subject, form))

    async def _token_keys(self, asked: Asked) -> Page:
        return json_page(200, self._tokens.jwks())

    async def _token_metadata(self, asked: Asked) -> Page:
        return json_page(200, token_pages.metadata())


def _prefers_json(headers: Headers) -> bool:
    """Whether Accept (RFC 9110, section 12.5.1) names JSON, and Markdown less or not at all."""
    accepted: dict[str, float] = {}
    for value in values_of(headers, b"accept"):
        for part in value.decode("latin-1").lower().split(","):
            kind, *parameters = (each.strip() for each in part.split(";"))
            quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
            accepted[kind] = float(quality) if _QUALITY.fullmatch(quality) else 0.0
    return accepted.get("application/json", 0.0) > accepted.get("text/markdown", 0.0)


def _oauth(answer: token_pages.Answer) -> Page:
    code, content, more = answer
    return json_page(code, content, (b"Pragma", b"no-cache"), *more)


def too_large(limit: int) -> Page:
    """The answer to a request whose body nobody will read."""
    detail = f"No request here carries more than {limit} bytes."
    return problem(413, PLAIN, "Content Too Large", detail)
