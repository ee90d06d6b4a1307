"""What each kind of refusal means to its reader: the pages to which a refusal's ``type`` leads."""

from __future__ import annotations

from collections.abc import Mapping

from jitgate.proxy.refusals import STATUS, TITLES
from jitgate.proxy.tasks import HERE
from jitgate.values import Denial

_LOOK = "If it changes something, look whether it was carried out before you repeat it."
_OPERATOR = "Only whoever runs the gateway can change that: tell them, with the `request_id`."

ADVICE: Mapping[Denial, str] = {
    Denial.TOKEN_MISSING: (
        "Put a token of your identity provider into the proxy's address, "
        "`http://RUN:TOKEN@HOST:PORT`, or send `Proxy-Authorization: Bearer TOKEN` with CONNECT."
    ),
    Denial.TOKEN_REFUSED: (
        "Get another token from your identity provider, and open a new connection with it: on this "
        "one every call is refused."
    ),
    Denial.TOKEN_OUT_OF_SCOPE: (
        "The token was made for one operation, and this call is another. Bring your identity "
        "provider's token, or ask https://jitgate.internal/token for one for this operation."
    ),
    Denial.IDENTITY_UNAVAILABLE: (
        "The keys of the token's issuer cannot be had. Open a new connection in a minute."
    ),
    Denial.TARGET_UNKNOWN: f"The manifest lists the hosts that there are. {_OPERATOR}",
    Denial.HOST_MISMATCH: (
        "CONNECT, the TLS server name and Host must name the same host. Open a tunnel for each."
    ),
    Denial.MALFORMED: "The `detail` says what is wrong with the request. Send a correct one.",
    Denial.HEAD_TOO_LARGE: "Send fewer or shorter header fields, or a shorter URL.",
    Denial.BODY_TOO_LARGE: (
        "It is larger than what the gateway carries, or than what it holds where a rule or person "
        "must see the body; the `detail` says which. Divide the call, if the API lets you."
    ),
    Denial.OPERATION_UNKNOWN: (
        "Check method and path. What is not known to be a call of this API is not let through."
    ),
    Denial.POLICY: (
        "A rule denies this call, or none permits it. The same in another form is denied as well. "
        "The manifest tells what you may call; if you need more, tell whoever you work for."
    ),
    Denial.BUDGET_SPENT: (
        "Only so many such calls pass in a span of time, or are put before people, and so many "
        "have been. Nothing has been sent. The `detail` says when there is room again: do not send "
        "the call before then, in this form or another. If more are needed, tell whoever you work "
        "for."
    ),
    Denial.NEEDS_APPROVAL: (
        "Policy sends this call to people, but names nobody who could approve it. " + _OPERATOR
    ),
    Denial.APPROVAL_PENDING: (
        "Nothing has been sent to the API. Send the same call again, byte for byte, when the "
        "refusal says so. It waits again, or goes out if it has been approved meanwhile."
    ),
    Denial.APPROVAL_DENIED: (
        "A person has looked at this call and said no. Do not ask for the same in another form. "
        "Tell whoever you work for, with the reason in `detail`."
    ),
    Denial.APPROVAL_EXPIRED: (
        "Nobody said no, and nobody said yes. Send the call again if it is still needed: people "
        "are asked once more."
    ),
    Denial.APPROVAL_WITHDRAWN: (
        "You cancelled it, or hung up and did not come back. Send the call again if it is still "
        "needed: people are asked once more."
    ),
    Denial.APPROVAL_USED: (
        "An approval is good for a number of calls, mostly one, and this one was used, by an "
        f"identical call of yours perhaps, or is out of time. {_LOOK}"
    ),
    Denial.GRANT_REVOKED: (
        "Somebody took the approval back while the call was out. The target may have carried it "
        "out: look, and do not repeat it."
    ),
    Denial.APPROVERS_UNREACHABLE: (
        "No way to the people who could approve works. Nothing has been sent. Try again later."
    ),
    Denial.OVERLOADED: (
        "Too many calls or connections are open, or too many calls wait for people, yours or those "
        "of all agents; the `detail` says which. Nothing has been sent. Send the call again in a "
        "few seconds, cancel what you no longer need, and ask for less at a time."
    ),
    Denial.TARGET_BUSY: (
        "The API said in earlier answers how many more such calls it takes, and that is used up "
        "but for a reserve, which is for calls that people approved. Nothing has been sent, and "
        "an approval stands. Send the call again when the refusal says; SDKs do so by themselves."
    ),
    Denial.UPSTREAM_UNREACHABLE: (
        f"It could not be connected to, or ended the exchange early. {_LOOK}"
    ),
    Denial.UPSTREAM_UNTRUSTED: f"Nothing has been sent. {_OPERATOR}",
    Denial.UPSTREAM_MALFORMED: f"The call was sent; its answer cannot be read. {_LOOK}",
    Denial.RESPONSE_WITHHELD: (
        "The call was carried out: the `detail` says what the API answered. Its response may hold "
        "secrets and cannot be masked, so you do not get it. Do not repeat the call."
    ),
    Denial.CREDENTIAL_UNAVAILABLE: "Nothing has been sent to the API. Try again in a minute.",
    Denial.CREDENTIAL_CHALLENGED: (
        "The API did not carry the call out: it wanted to see the gateway's credential in another "
        "form, which the gateway knows now. Send the call again; if people had approved it, they "
        "are asked anew."
    ),
    Denial.AGENT_GONE: f"The connection ended or stood still during the call. {_LOOK}",
    Denial.CUT_SHORT: (
        "It took longer than an exchange may, or the gateway is being restarted; the `detail` says "
        f"which. {_LOOK}"
    ),
    Denial.RECORDER_DOWN: f"Try again in a minute. {_LOOK}",
    Denial.STORE_DOWN: f"Send the same call again in a minute. {_LOOK}",
    Denial.FAULT: f"{_OPERATOR} {_LOOK}",
}


def problem_page(name: str) -> str | None:
    """The page of one kind of refusal, in Markdown; None if there is no such kind."""
    try:
        denial = Denial(name)
    except ValueError:
        return None
    return (
        f"# {TITLES[denial]}\n\n"
        f"`{denial.value}`, status {STATUS[denial]}. {ADVICE[denial]}\n\n"
        "What the refusal itself says of the one call (`detail`, `retry`) goes before this page.\n"
        f"How the gateway works: {HERE}/manifest\n"
    )
