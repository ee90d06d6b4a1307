"""What a configuration decides, without a gateway: to be checked and tried where no key is.

It is made by the functions that make the gateway's own. Of the configuration's files only those are
opened that say what is decided and hidden: policy, masking, catalogs, plugins. Nothing else need be
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jitgate import plugins
from jitgate.app.callees import Callee, callees_of
from jitgate.app.problems import Problems
from jitgate.app.provided import Provided, loaded_of
from jitgate.app.rules import decided
from jitgate.config import Configuration, read_all
from jitgate.core.http1_events import Request
from jitgate.core.http1_reading import RequestReader, absolute_form
from jitgate.core.naming import Named, looked_through, named_operation
from jitgate.core.policy import Policy
from jitgate.core.profiles import MaskingProfile
from jitgate.core.trial import Trial, tried
from jitgate.core.websocket import ASKING
from jitgate.errors import ConfigurationInvalid, HeadTooLarge, PeerFault
from jitgate.interfaces import IRule
from jitgate.proxy.internal import AUTHORITY, NAME, InternalCatalog, InternalRule
from jitgate.proxy.knocks import knock_of
from jitgate.values import (
    NO_FACTS,
    SAFE_METHODS,
    Denial,
    Effect,
    Facts,
    Inquiry,
    NotCanonical,
    Refusal,
    RequestHead,
    Subject,
)

BUILT_IN = "built in"
"""Where a rule stands that stands in no file."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call as an agent would make it."""

    method: str
    url: str
    subject: Subject
    at: float
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    """None: it is not known."""
    facts: Facts = field(default_factory=lambda: NO_FACTS)


@dataclass(frozen=True, slots=True)
class Offline:
    """Policy, and all that it takes to try calls against it."""

    configuration: Configuration
    plugins: Sequence[plugins.Plugin]
    policy: Policy
    profiles: Mapping[str, MaskingProfile]
    targets: Mapping[str, Named]
    """By ``host:port``."""
    where: Mapping[str, str]
    """Where each rule stands: ``FILE:LINE``, a plugin's file, or `BUILT_IN`."""

    def tried(self, attempt: Attempt) -> Trial:
        """What would become of a call, each step as the gateway takes it."""
        read = _read(attempt)
        if isinstance(read, Refusal):
            return Trial(refusal=read)
        authority, head = read
        target = self.targets.get(authority)
        if target is None:
            detail = f"No target is configured for {authority}."
            return Trial(refusal=Refusal(Denial.TARGET_UNKNOWN, detail))
        operation = named_operation(target, authority, head)
        if isinstance(operation, Refusal):
            return Trial(refusal=operation)
        bare = _bare(target, head, attempt.body)
        body = attempt.body if isinstance(bare, NotCanonical) else bare
        inquiry = Inquiry(operation, attempt.subject, attempt.at, body=body, facts=attempt.facts)
        longest = self.configuration.settings.approvals.review_body
        trial = tried(self.policy, self.profiles, inquiry, head.headers, longest=longest)
        if isinstance(bare, NotCanonical) and trial.effect is not Effect.DENY:
            return Trial(refusal=Refusal(Denial.MALFORMED, bare.reason))
        return trial


def offline(file: Path) -> Offline:
    """What the configuration decides. Raises `ConfigurationInvalid` with every problem found."""
    configuration, found = read_all(file)
    problems = Problems(found)
    if configuration is None:
        raise ConfigurationInvalid(found)
    settings = configuration.settings
    loaded = loaded_of(settings, problems)
    targets: dict[str, Named] = {AUTHORITY: Callee(NAME, InternalCatalog())}
    callees = callees_of(settings, Provided(loaded, problems), problems)
    for target in settings.targets:
        callee = callees[target.name]
        if callee is not None:
            targets |= dict.fromkeys(target.hosts, callee)
    rules = decided(configuration, loaded, callees, problems)
    problems.raise_any()
    where = dict(_places(configuration, loaded))
    return Offline(configuration, loaded, rules["policy"], rules["profiles"], targets, where)


_OPENING = "wss://"
"""How the URL begins of a call that opens a WebSocket."""


def _bare(target: Named, head: RequestHead, body: bytes | None) -> bytes | NotCanonical | None:
    """The body without what stands where the credential will; None where it is not known."""
    if body is None and (target.body_name is None or head.method not in SAFE_METHODS):
        return body
    return looked_through(target, head, body or b"")


def _places(
    configuration: Configuration, loaded: Sequence[plugins.Plugin]
) -> Iterator[tuple[str, str]]:
    yield InternalRule.name, BUILT_IN
    for plugin in loaded:
        for each in plugin.provides:
            if IRule.providedBy(each):
                yield each.name, f"{plugin.file}"
    for rule in configuration.rules:
        yield rule.name, rule.where


def _read(attempt: Attempt) -> tuple[str, RequestHead] | Refusal:
    """What the gateway reads of it: the tunnel's ``host:port``, and the head inside.

    By the gateway's own readers, from what a client would write that changes nothing of the URL.
    """
    opens = attempt.url.startswith(_OPENING)
    absolute = absolute_form(attempt.url.replace(_OPENING, "https://", 1) if opens else attempt.url)
    if absolute is None:
        return Refusal(Denial.MALFORMED, "It is no https URL that a client could send as it is.")
    host, path = absolute
    authority = host if ":" in host.rpartition("]")[2] else f"{host}:443"
    try:
        (event,) = RequestReader().feed(_head("CONNECT", authority, [("Host", authority)]))
        knock, _ = knock_of(event)
        if knock.fault is not None:
            raise knock.fault
        nothing = "*" if attempt.method == "OPTIONS" else "/"
        fields = [("Host", host), *(ASKING if opens else ()), *_fields(attempt)]
        events = RequestReader(websockets=True).feed(_head(attempt.method, path or nothing, fields))
    except UnicodeEncodeError:
        return Refusal(Denial.MALFORMED, "It holds a character that is no byte.")
    except PeerFault as fault:
        return Refusal(Denial.MALFORMED, f"{fault}")
    request = events[0] if events else None
    if isinstance(request, Request):
        return knock.authority, request.head
    if isinstance(request, PeerFault):
        denial = Denial.HEAD_TOO_LARGE if isinstance(request, HeadTooLarge) else Denial.MALFORMED
        return Refusal(denial, f"{request}")
    return Refusal(Denial.MALFORMED, "It is no request that goes through a tunnel.")


def _fields(attempt: Attempt) -> Iterator[tuple[str, str]]:
    yield from attempt.headers
    if attempt.body:
        yield "Content-Length", f"{len(attempt.body)}"


def _head(method: str, target: str, fields: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
