"""Every fault jitgate raises, under one root, in three branches by whose doing it is.

A *fault* is an exception; a *denial* is a value (`jitgate.values.Refusal`). Exactly one place,
`jitgate.flow.gateway`, turns the first two branches into denials; the third ends the process.
No message here may carry a secret: messages reach logs, records and agents.
"""

from __future__ import annotations


class JitgateError(Exception):
    """The root of all faults that jitgate raises on purpose."""


# --- the peer's doing: the agent's, or the target's


class PeerFault(JitgateError):
    """The other side broke a rule or went away."""


class MalformedRequest(PeerFault):
    """The agent's bytes are not one unambiguous HTTP request (RFC 9112)."""


class HeadTooLarge(PeerFault):
    """The agent's request head exceeds a limit (RFC 6585, section 5)."""


class Misdirected(PeerFault):
    """A request names no host of the gateway's own, or two (RFC 9110, section 15.5.20)."""


class BodyTooLarge(PeerFault):
    """The agent's request body exceeds a limit (RFC 9110, section 15.5.14)."""


class AgentGone(PeerFault):
    """The agent hung up, or did not take what it was sent in time."""


class UpstreamUnreachable(PeerFault):
    """The target could not be connected to, or ended the exchange early."""


class UpstreamGone(UpstreamUnreachable):
    """A connection had ended before it was used, or ended before a byte of the answer came."""


class UpstreamUntrusted(PeerFault):
    """The target's certificate is not valid for its name."""


class AddressRefused(PeerFault):
    """The target's name resolves to an address that must not be dialled."""


class UpstreamMalformed(PeerFault):
    """The target's bytes are not one unambiguous HTTP response."""


class GatewayUnreachable(PeerFault):
    """The gateway cannot be connected to, or not trusted, or does not answer as one.

    The message is a sentence that says what to do.
    """


# --- our doing: something of the gateway's is down or broken; deny until it is whole again


class OurFault(JitgateError):
    """A part of the gateway cannot do its duty."""


class RecorderDown(OurFault):
    """Nothing can be made durable, so nothing may pass (invariant 4)."""


class CutShort(OurFault):
    """The gateway gives an exchange no more time."""


class StoreDown(OurFault):
    """What is pending and what was granted cannot be read or written."""


class ArchiveDown(OurFault):
    """A file of the recording could not be put into the archive, for now."""


class CheckpointNotKept(OurFault):
    """Nobody knows whether a checkpoint of the recording is kept elsewhere."""


class ApproversUnreachable(OurFault):
    """Nobody could be asked: every channel to the approvers failed."""


class SlackFault(OurFault):
    """A call of Slack's Web API has not been carried out."""


class SlackDown(SlackFault):
    """Slack does not answer, or not as Slack does: it may have carried the call out."""


class SlackBusy(SlackFault):
    """Slack takes no more calls of the method for now, and has not carried this one out.

    Args:
        method: Which was called.
        retry_after: Seconds after which it takes more.
    """

    def __init__(self, method: str, retry_after: float) -> None:
        super().__init__(f"Slack takes no {method} for {retry_after:g} seconds.")
        self.method = method
        self.retry_after = float(retry_after)


class SlackRefused(SlackFault):
    """Slack understood the call, and did not carry it out.

    Args:
        method: Which was called.
        word: Why, in Slack's word (``channel_not_found``), which stands in its documentation.
    """

    def __init__(self, method: str, word: str) -> None:
        super().__init__(f"Slack refused {method}: {word}.")
        self.method = method
        self.word = word


class PeopleUnknown(OurFault):
    """Who is active, or in a group, cannot be told where that is known; the message is for people.

    A plugin's goes to the log alone.
    """


class CredentialUnavailable(OurFault):
    """No credential could be issued for this operation."""


class CredentialBusy(CredentialUnavailable):
    """Whoever issues it takes no more requests for now.

    Args:
        message: Why, in a sentence.
        until: When it can be asked for again, in seconds since 1970.
    """

    def __init__(self, message: str, until: float) -> None:
        super().__init__(message)
        self.until = float(until)


class CredentialRefused(CredentialUnavailable):
    """There is none for this operation, now or later, and it must not go without."""


class IdentityUnavailable(OurFault):
    """The issuer's keys cannot be had, so no token can be verified."""


class TokenUnavailable(OurFault):
    """No token could be had; the message is a sentence that says what to do."""


class RuleFault(OurFault):
    """A rule raised or answered nonsense; the message names the rule, as ``rule`` does."""

    def __init__(self, message: str, rule: str | None = None) -> None:
        super().__init__(message)
        self.rule = rule


class CatalogFault(OurFault):
    """A catalog answered nonsense; the message names it."""


class FactsUnknown(OurFault):
    """A source of facts has told nothing that counts; the message is for the log alone."""


class MaskingFault(OurFault):
    """The response cannot be looked at, so it cannot be released."""


class NotJson(MaskingFault):
    """What was to be JSON is none."""


class ResponseDenied(MaskingFault):
    """A masking rule lets no response go that holds such a value; the message names the rule."""


class MaskerOff(MaskingFault):
    """A masker took too long and is not asked any more; the message names it."""


# --- must stop: nothing may be served at all


class MustStop(JitgateError):
    """The process must not start, or must not go on."""


class ConfigurationInvalid(MustStop):
    """The configuration holds errors; `problems` lists every one, each a full sentence."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StateUnusable(MustStop):
    """The state folder, a key in it, or a record in it cannot be used safely."""


class ArchiveUnlocked(MustStop):
    """An archive does not lock what it is given."""


class PluginInvalid(MustStop):
    """A plugin did not load, or does not provide what its port promises."""


class OptionsInvalid(ConfigurationInvalid, PluginInvalid):
    """A plugin's options hold errors; each of `problems` says where, if they stand in a file."""


def traced(fault: BaseException) -> str:
    """Where a fault came from and what caused it, for the log: kinds and places, no messages.

    The messages of exceptions that others raise can hold what they were given, secrets included.
    """
    kinds = []
    link: BaseException | None = fault
    seen: set[int] = set()
    while link is not None and id(link) not in seen:  # one that is raised again may cause itself
        seen.add(id(link))
        trace = link.__traceback__
        places = []
        while trace is not None:
            code = trace.tb_frame.f_code
            places.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        message = f" ({link})" if isinstance(link, JitgateError) else ""
        kinds.append(f"{type(link).__name__}{message} at " + " > ".join(places[-4:]))
        link = link.__cause__ or link.__context__
    return ", because of ".join(kinds)


def place_of(fault: BaseException) -> str:
    """The kind of what was raised first, and the line that raised it: for the author of that line.

    Of no use to agents, for it names files. Messages are left out, as in `traced`.
    """
    seen: set[int] = set()
    while fault.__cause__ is not None and id(fault) not in seen:  # as in `traced`
        seen.add(id(fault))
        fault = fault.__cause__
    trace = fault.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    at = "" if trace is None else f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(fault).__name__}{at}"


def with_place(fault: JitgateError) -> str:
    """What a fault says and, where it was another's code that raised, where that was."""
    return f"{fault}" if fault.__cause__ is None else f"{fault} ({place_of(fault)})"
