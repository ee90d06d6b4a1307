"""What a decision costs: with 100 rules, and with conditions. ``python -m tests.bench.conditions``.

Processor time of the best of many short runs: other programs on the machine count as little as
they can.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Sequence

from jitgate.core.policy import Policy
from jitgate.interfaces import IRule
from jitgate.rules.cel import CelCondition
from jitgate.rules.conditional import ConditionalRule
from jitgate.rules.match import Criteria, MatchRule
from jitgate.rules.observing import ObservingRule
from jitgate.values import Effect, Inquiry, Operation, Risk, Subject, Verdict

RUNS, CALLS = 300, 200
ASKED = Inquiry(
    Operation(
        "okta",
        "getUser",
        {"userId": "00u1abcdefghijklmn"},
        "GET",
        "acme.okta.com:443",
        "/api/v1/users/00u1abcdefghijklmn",
        risk=Risk.READ,
        json=True,
    ),
    Subject("https://idp.example", "bot-7", frozenset({"it-agents", "hr"}), 2e9),
    1.79e9,
    b'{"profile":{"login":"ann@acme.com","lastName":"Lee"},"groupIds":["00g1"]}',
    is_json=True,
    facts={"ticket": {"open": True}},
)
CONDITIONS = (
    'operation.resource["userId"] != subject.id',
    '"it-agents" in subject.groups',
    'operation.risk in ["read", "write"]',
    'environment.time.getHours("Europe/Berlin") >= 8',
    "environment.time < subject.expires_at",
    "facts.ticket.open",
    'body.profile.login.endsWith("@acme.com")',
    '"hr" in subject.groups && operation.resource.userId.startsWith("00u") && subject.id != ""',
    'operation.path.matches("^/api/v1/users/[^/]+$")',
)


def rule(number: int, actions: tuple[str, ...], **more: tuple[str, ...]) -> MatchRule:
    criteria = Criteria(targets=("okta",), actions=actions, groups=("it-agents",), **more)
    return MatchRule(f"r{number:03}", criteria, Verdict(Effect.PERMIT, f"Reason {number}"))


def cost(call: Callable[[], object]) -> float:
    """Microseconds of processor time of one call, at best."""
    call()
    runs = timeit.repeat(call, number=CALLS, repeat=RUNS, timer=time.process_time)
    return min(runs) / CALLS * 1e6


def decision(rules: Sequence[IRule]) -> float:
    policy = Policy(tuple(rules), "v", frozenset({"mask"}))
    return cost(lambda: policy.decide(ASKED))


def main() -> None:
    every = range(100)
    few = [rule(each, ("getUser",) if each < 5 else (f"a{each}*",)) for each in every]
    print(f"{decision(few):7.2f} µs  100 rules of which 5 can match")
    print(f"{decision([rule(n, ('get*',)) for n in every]):7.2f} µs  100 rules that all match")
    paths = [rule(each, ("get*",), paths=("/api/v1/users/{id}",)) for each in every]
    print(f"{decision(paths):7.2f} µs  100 rules that all match, with paths")
    first = rule(0, ("getUser",))
    alone = decision([first])
    print(f"{alone:7.2f} µs  one rule")
    tried = ObservingRule(rule(1, ("getUser",)))
    print(f"{decision([first, tried]) - alone:7.2f} µs  more with one that is tried out")
    for text in CONDITIONS:
        conditional = ConditionalRule(rule(1, ("getUser",)), CelCondition(text))
        print(f"{decision([first, conditional]) - alone:7.2f} µs  more with  {text}")


if __name__ == "__main__":
    main()
