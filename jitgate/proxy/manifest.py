"""The manifest: what an agent, a program or a language model, is told of the gateway and itself.

Text and JSON say the same. Both are made from values alone; nothing is looked up here.
"""

from __future__ import annotations

from dataclasses import dataclass

from jitgate.core.plan import Expectation, Kind, Plan, Prospect, TargetPlan
from jitgate.core.policy import NO_RULE
from jitgate.core.waiting import RETURN_AFTER, Patience
from jitgate.proxy.tasks import HERE, moment
from jitgate.values import Quorum, Subject, Terms

IN_FULL = 40
"""Kinds of calls, of which the same is to be expected, that the text lists with method and path.

Of more it lists the names, and of denied ones it gives the number. The reader pays for each line.
"""

_HEADINGS = {
    Prospect.PERMITTED: "Permitted at once",
    Prospect.APPROVED: "Approved by policy",
    Prospect.REVIEWED: "Needs approval",
    Prospect.BY_BODY: "Depends on the body",
    Prospect.BY_FACTS: "Depends on facts from outside",
    Prospect.UNTOLD: "Cannot be told beforehand",
    Prospect.DENIED: "Denied",
}


@dataclass(frozen=True, slots=True)
class Trust:
    """What an agent must trust."""

    pem: bytes
    """The certificates of the CA that signs, and of the next one, if there is one."""
    sha256: tuple[str, ...] = ()
    """Their fingerprints."""
    switch_at: float | None = None
    """When the next one begins to sign, in seconds since the epoch; None: there is none."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What there is to tell; without a subject it is what anybody may know."""

    now: float
    patience: Patience
    trust: Trust
    subject: Subject | None = None
    plan: Plan = ()


# --- for programs


def content(manifest: Manifest) -> dict[str, object]:
    """The manifest as JSON."""
    patience, switch_at = manifest.patience, manifest.trust.switch_at
    return {
        "gateway": HERE,
        "as_of": moment(manifest.now),
        "subject": None if manifest.subject is None else _subject(manifest.subject),
        "targets": [_target(each) for each in manifest.plan],
        "waiting": {
            "hold_seconds": patience.hold,
            "linger_seconds": patience.linger,
            "expire_seconds": patience.expire,
            "retry_after_seconds": RETURN_AFTER,
        },
        "trust": {
            "ca_certificates": f"{HERE}/ca.pem",
            "sha256": list(manifest.trust.sha256),
            "next_signs_from": None if switch_at is None else moment(switch_at),
        },
        "links": {
            "in_words": f"{HERE}/manifest",
            "ca_certificate": f"{HERE}/ca.pem",
            "access_request": f"{HERE}/access-requests/{{id}}",
            "cancel_access_request": f"{HERE}/access-requests/{{id}}/cancel",
            "problem": f"{HERE}/problems/{{name}}",
            "access_requests": f"{HERE}/access-requests",
            "access_evaluation": f"{HERE}/access/v1/evaluation",
            "authzen_configuration": f"{HERE}/.well-known/authzen-configuration",
        },
    }


def _subject(subject: Subject) -> dict[str, object]:
    return {
        "issuer": subject.issuer,
        "id": subject.id,
        "groups": sorted(subject.groups),
        "acts_for": list(subject.humans),
        "token_expires_at": moment(subject.expires_at),
    }


def _target(plan: TargetPlan) -> dict[str, object]:
    return {
        "target": plan.target,
        "hosts": [_host(each) for each in plan.authorities],
        "known_operations": plan.known or None,
        "operations": [_expected(expectation, kinds) for expectation, kinds in plan.kinds],
    }


def _expected(expectation: Expectation, kinds: tuple[Kind, ...]) -> dict[str, object]:
    told: dict[str, object] = {
        "prospect": expectation.prospect.value,
        "rule": expectation.rule,
        "reason": expectation.reason,
        "count": len(kinds),
    }
    terms = expectation.terms
    if terms is not None:
        told["approvers"] = [{"groups": each.groups, "count": each.count} for each in terms.quorums]
        told["grant"] = {"uses": terms.uses, "seconds": terms.life}
    if _is_listed(expectation, kinds):
        told["list"] = [
            {"action": each.action, "method": each.method, "path": each.path} for each in kinds
        ]
    return told


def _is_listed(expectation: Expectation, kinds: tuple[Kind, ...]) -> bool:
    """Whether calls are named: denied ones only where a rule denies them, and they are few."""
    if expectation.prospect is not Prospect.DENIED:
        return True
    return expectation.rule != NO_RULE and len(kinds) <= IN_FULL


def _host(authority: str) -> str:
    return authority.removesuffix(":443")


# --- for readers


def text(manifest: Manifest) -> str:
    """The manifest in Markdown."""
    patience = manifest.patience
    spans = {
        "hold": _span(patience.hold),
        "linger": _span(patience.linger),
        "expire": _span(patience.expire),
    }
    you = [_NOBODY] if manifest.subject is None else _you(manifest, manifest.subject)
    if manifest.trust.switch_at is not None:
        you.insert(0, _ANOTHER_CA.format(at=moment(manifest.trust.switch_at)))
    return "\n\n".join([_HEAD, *you, _WAITING.format(**spans, here=HERE), _REFUSALS, _ALSO]) + "\n"


_HEAD = f"""\
# jitgate

You reach APIs through this gateway, an HTTPS proxy. Call them at their own addresses. It holds
their credentials, so leave yours out, or fill in anything where an SDK insists. It decides on each
call by policy, asks people where policy says so, and records everything.

This page as JSON: {HERE}/manifest.json"""

_ANOTHER_CA = f"""\
From {{at}} on another CA signs what this gateway shows you. {HERE}/ca.pem has the certificates
of both: trust all of that file."""

_NOBODY = f"""\
## You

Nobody yet: this copy was asked for without a token, so it cannot say what you may call. To change
that (if `jitgate exec` started you, the first two are done):

1. Set `HTTPS_PROXY=http://RUN:TOKEN@HOST:PORT`. RUN is a name that you give your run, TOKEN is your
   identity provider's token for this gateway, HOST:PORT is where you got this page from.
2. Trust the CA certificate at http://jitgate.internal/ca.pem: to most clients `SSL_CERT_FILE`,
   `REQUESTS_CA_BUNDLE` or `NODE_EXTRA_CA_CERTS` name its file.
3. Read {HERE}/manifest."""

_PLANNED = """\
## What you may call

This is for calls with no particular ids and bodies, as policy stands at {now}. A rule
may look at those of a real call, so the answer to that is what counts. Hosts that are not listed
here cannot be reached."""

_NO_NAMES = """\
There is no list of its calls: policy looks at method and path. Make the call, and read the refusal
if there is one. What is refused never reaches the API."""

_WAITING = """\
## When a call needs approval

Make the call: that asks people, and nothing reaches the API before they approve.

1. The call is held for up to {hold}. Approved by then, it goes out, and you get the API's answer as
   if nothing had been. So let your client wait longer than {hold}. If it hangs up sooner, send
   the same call again within {linger}: it joins the first, and nobody is asked twice.
2. Not answered by then, you are told to come back:
   - 403 with `Retry-After`, and `access_request` with its `url` and when it expires.
   - From an Okta host 429 with `X-Rate-Limit-Reset`, for which Okta's SDKs wait and then send again
     by themselves; the third time it is the 403, with the access request in `errorCauses`.
   - 202 with `Location`, at once, if the call said `Prefer: respond-async`. This is not the API's
     answer: nothing has been done.
3. Send the SAME call again: method, URL, body byte for byte, and headers (`Prefer` too). It is held
   again, or goes out if it has been approved. With any difference it is another call, and people
   are asked anew.
4. To see how it stands without sending it, GET the access request's URL, as often as `Retry-After`
   says. Once it is `approved`, send the call before `approved_until`.
5. After {expire} without an answer it expires, from an Okta host perhaps sooner. Nobody has said
   no then.

What a person has denied, do not ask for in another form; the same is refused for a while without
asking. People are asked only so often. Do not send variants of a call to see which one passes.
Withdraw what you no longer need: POST {here}/access-requests/ID/cancel"""

_REFUSALS = f"""\
## When a call is refused

A refusal is the gateway's, not the API's. It is JSON with `type`, `title`, `detail`, `rule`,
`request_id`, and `retry`: what to do. `type` is {HERE}/problems/NAME; GET it
for more. From an Okta host it has Okta's form: `errorCode` is `jitgate:NAME`, `errorId` is the
request's id, and the rest is in `errorSummary` and `errorCauses`. What has neither is the API's own
answer.

- It is about this one call. Others go on.
- 403 is final, unless it has `Retry-After` or `retry` says otherwise. Do not repeat it, and do not
  look for a way around it. Tell whoever you work for, with `detail` and `request_id`.
- 401 is about your token: connect anew with another one. 429: wait as long as it says.
- 502: the gateway or the API cannot do it now. If the call changes something, look whether it was
  carried out before you repeat it."""

_ALSO = f"""\
## Also

- Values shown as asterisks are hidden from you. Never write them back.
- Of your headers, those that the API has no need of are dropped, and `Authorization` and `Cookie`
  always.
- A token for one operation, minutes long, to hand on: POST {HERE}/token (RFC 8693, with
  authorization_details of type jitgate_operation: target, action, resource).
- To ask people before you call, in OpenID AuthZEN's form: POST {HERE}/access/v1/evaluation
  and, if the denial has `access_request`, POST {HERE}/access-requests. Once approved,
  the call goes out with a token from {HERE}/token. GET {HERE}/access-requests
  lists what waits of yours.
- The CA certificate: {HERE}/ca.pem, or without TLS http://jitgate.internal/ca.pem"""


def _you(manifest: Manifest, subject: Subject) -> list[str]:
    groups = ", ".join(_word(each) for each in sorted(subject.groups)) or "none"
    humans = ", ".join(_word(each) for each in subject.humans)
    lines = [
        f"- You are {_word(subject.id)} of {subject.issuer}. Groups: {groups}.",
        *([f"- You act for {humans}, who cannot approve your calls."] if humans else []),
        f"- Your token is good until {moment(subject.expires_at)}. Then connect anew with another.",
    ]
    chapters = [part for plan in manifest.plan for part in _chapter(plan)]
    return ["## You", "\n".join(lines), _PLANNED.format(now=moment(manifest.now)), *chapters]


def _chapter(plan: TargetPlan) -> list[str]:
    hosts = ", ".join(_host(each) for each in plan.authorities)
    if not plan.kinds:
        return [f"### {plan.target}: {hosts}", _NO_NAMES]
    said = [_paragraph(expectation, kinds, plan) for expectation, kinds in plan.kinds]
    return [f"### {plan.target}: {hosts} ({plan.known} operations)", *said]


def _paragraph(expectation: Expectation, kinds: tuple[Kind, ...], plan: TargetPlan) -> str:
    """What to expect of some calls, why, and which they are."""
    every = len(kinds) == plan.known
    number = f"all {plan.known}" if every else f"{len(kinds)}"
    said = [f"**{_HEADINGS[expectation.prospect]}** ({number}): {_line(expectation.reason)}"]
    if expectation.terms is not None:
        said.append(_terms(expectation.terms))
    if expectation.rule not in {None, NO_RULE}:
        said.append(f"(Rule {_word(f'{expectation.rule}')})")
    first = " ".join(said)
    if every or not _is_listed(expectation, kinds):
        return first
    if len(kinds) > IN_FULL or expectation.prospect is Prospect.DENIED:
        return f"{first}\n" + ", ".join(each.action for each in kinds)
    return "\n".join([first, *(f"- {each.action}: {each.method} {each.path}" for each in kinds)])


def _terms(terms: Terms) -> str:
    if terms.auto:
        return "Approved at once, by policy itself, and recorded as such."
    who = ", and ".join(_quorum(each) for each in terms.quorums)
    what = f"{terms.uses} calls of one action on one resource" if terms.is_scope else "one call"
    return f"Must approve: {who}. An approval is good for {what} within {_span(terms.life)}."


def _quorum(quorum: Quorum) -> str:
    return f"{quorum.count} of " + " or ".join(_word(each) for each in quorum.groups)


def _word(name: str) -> str:
    """Somebody's word for something: code, and on one line, whatever it is."""
    return f"`{' '.join(name.replace('`', ' ').split())}`"


def _line(said: str) -> str:
    """An operator's sentence: on one line, with its full stop."""
    line = " ".join(said.split())
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _span(seconds: float) -> str:
    """A span of time as people say it, never longer than it is."""
    whole = max(0, int(seconds))
    for unit, name in ((3600, "h"), (60, "min")):
        if whole >= 2 * unit or whole == unit:
            return f"{whole // unit} {name}"
    return f"{whole} s"
