"""Removes the line that guards each invariant, one at a time, and shows that its test goes red.

Each guard is a text that stands once in its file, what takes its place, and the test that must
fail then. docs/invariants.md tells what each invariant promises. Run from a checkout, in an
environment that has the tests' dependencies: ``python .ci/guards.py [WORD]`` (WORD picks guards).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("jitgate", "tests", "etc", "plugins", "pyproject.toml")
TOGETHER = 2
"""Guards tried at once: as many as the smallest machine has processors."""


@dataclass(frozen=True)
class Guard:
    """One line that an invariant hangs on."""

    invariant: str
    file: str
    text: str
    instead: str
    test: str


GATEWAY = "jitgate/flow/gateway.py"
RELEASE = "jitgate/flow/release.py"
FLOW = "tests/flow/test_gateway.py::"
WIRE = "tests/system/test_wire.py::"

GUARDS = (
    Guard(
        "1 a fault denies",
        GATEWAY,
        "            refusal = self._denied(fault, account)\n",
        "            refusal = None\n",
        FLOW + "test_every_port_failing_at_every_stage_denies_and_is_recorded",
    ),
    Guard(
        "1 silence denies",
        "jitgate/core/policy.py",
        'Decision(Effect.DENY, NO_RULE, "No rule permits',
        'Decision(Effect.PERMIT, NO_RULE, "No rule permits',
        FLOW + "test_what_policy_does_not_permit_never_leaves",
    ),
    Guard(
        "1 only a permit passes",
        GATEWAY,
        "if decision.effect is Effect.PERMIT:",
        "if decision.effect is not Effect.DENY:",
        FLOW + "test_what_policy_does_not_permit_never_leaves",
    ),
    Guard(
        "1 an unknown operation denies",
        GATEWAY,
        "        if operation is None:\n            return Refusal(",
        "        if operation is None:\n            operation = Operation("
        '"things", "", {}, head.method, tunnel.authority, spelled.path)\n'
        "        elif False:\n            return Refusal(",
        FLOW + "test_an_unknown_operation_is_denied",
    ),
    Guard(
        "1 an unknown obligation denies",
        "jitgate/core/policy.py",
        "        if unknown:\n",
        "        if False:\n",
        FLOW + "test_an_unknown_obligation_denies",
    ),
    Guard(
        "4 a changing call waits for its decision",
        GATEWAY,
        "        if operation.changes:\n            await recorded\n",
        "",
        FLOW + "test_a_changing_call_waits_for_its_decision_to_be_durable",
    ),
    Guard(
        "4 a changing call waits for its decision, as the kernel sees it",
        GATEWAY,
        "        if operation.changes:\n            await recorded\n",
        "",
        "tests/system/test_order.py::"
        "test_a_changing_call_leaves_after_its_decision_was_synced_and_ends_after_its_outcome",
    ),
    Guard(
        "4 nothing of a safe call's answer passes before its decision is durable",
        GATEWAY,
        "            account.upstream_status = answer.status\n            await recorded\n",
        "            account.upstream_status = answer.status\n",
        FLOW + "test_a_safe_call_may_leave_before_but_nothing_comes_back",
    ),
    Guard(
        "4 the last byte waits for the outcome",
        RELEASE,
        "        await self.settled()\n",
        "        from twisted.internet.defer import Deferred\n"
        "        Deferred.fromCoroutine(self.settled())\n",
        FLOW + "test_the_last_byte_of_a_counted_body_waits_for_the_outcome",
    ),
    Guard(
        "4 a recorder that is down denies",
        GATEWAY,
        "        if self._recorder.down is not None:\n",
        "        if False:\n",
        FLOW + "test_a_recorder_that_was_never_started_denies",
    ),
    Guard(
        "4 a fault after the first byte truncates",
        GATEWAY,
        "            response.truncate()\n",
        "            await response.finish()\n",
        FLOW + "test_a_fault_after_the_first_byte_truncates_and_says_why",
    ),
    Guard(
        "4 a cut response is never completed",
        "jitgate/proxy/connection.py",
        "            self.transport.abortConnection()\n",
        "            self.transport.unregisterProducer()\n"
        "            self.transport.loseConnection()\n",
        WIRE + "test_a_response_cut_short_is_never_completed",
    ),
    Guard(
        "5 the agent's own credentials stay behind",
        "jitgate/core/injection.py",
        "if name.lower() in forward\n",
        "if True\n",
        FLOW + "test_what_the_agent_brought_as_credentials_stays_behind",
    ),
    Guard(
        "5 an echoed credential is masked",
        RELEASE,
        "LiteralMasker(self.secrets)",
        "LiteralMasker(())",
        FLOW + "test_an_echo_of_the_credential_is_masked_wherever_it_stands",
    ),
    Guard(
        "5 fields marked secret are masked",
        "jitgate/core/profiles.py",
        "        return field in self.fields\n",
        "        return False\n",
        FLOW + "test_fields_marked_secret_are_masked_and_the_length_is_right",
    ),
    Guard(
        "5 what cannot be looked at is withheld",
        RELEASE,
        "        if not is_json(answer.headers):\n",
        "        if False:\n",
        FLOW + "test_what_cannot_be_looked_at_is_withheld",
    ),
    Guard(
        "5 a token has the scopes of its operation and no more",
        "jitgate/credentials/okta.py",
        '"scope": " ".join(operation.scopes),',
        '"scope": "okta.users.read okta.users.manage okta.groups.read",',
        "tests/real/test_okta_sdk.py::test_it_lists_users_and_groups",
    ),
    Guard(
        "6 one host",
        GATEWAY,
        "        if any(host != tunnel.authority for host in request.hosts):\n",
        "        if False:\n",
        WIRE + "test_another_name_inside_the_tunnel_is_421",
    ),
    Guard(
        "6 the handshake's name counts",
        "jitgate/proxy/connection.py",
        "        if sni:\n",
        "        if False:\n",
        WIRE + "test_another_name_inside_the_tunnel_is_421",
    ),
    Guard(
        "6 no tunnel to a host that no target names",
        GATEWAY,
        "        if target is None:\n            return Refusal(Denial.TARGET_UNKNOWN",
        "        if target is None:\n            target = next(iter(self._targets.values()))\n"
        "        elif False:\n            return Refusal(Denial.TARGET_UNKNOWN",
        WIRE + "test_a_host_that_no_target_names_gets_403",
    ),
    Guard(
        "8 a head is bounded",
        "jitgate/core/http1_reading.py",
        "        if self._held > HEAD_BYTES:\n",
        "        if False:\n",
        "tests/core/test_http1_reading.py::test_a_head_is_bounded_in_bytes_even_if_it_never_ends",
    ),
    Guard(
        "8 a held body is bounded",
        "jitgate/flow/account.py",
        "        if len(data) > limit:\n            return None\n",
        "",
        FLOW + "test_a_body_too_large_to_be_read_by_a_rule_is_refused",
    ),
    Guard(
        "8 a body passes through a bounded window",
        "jitgate/upstreams/https.py",
        "        if self._waiting > AHEAD:\n            self.transport.pauseProducing()\n",
        "",
        "tests/system/test_memory.py",
    ),
)


def main(words: Sequence[str]) -> int:
    """Try every guard; returns 1 if one could be removed without a test going red."""
    chosen = [guard for guard in GUARDS if all(word in guard.invariant for word in words)]
    with ThreadPoolExecutor(TOGETHER) as pool:
        results = list(pool.map(_tried, chosen))
    bad = [said for good, said in results if not good]
    print(f"{len(results) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


def _tried(guard: Guard) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory(prefix="guard-") as folder:
        copy = Path(folder)
        for name in COPIED:
            _copy(ROOT / name, copy / name)
        file = copy / guard.file
        text = file.read_text()
        if text.count(guard.text) != 1:
            return _said(guard, good=False, why=f"does not stand once in {guard.file}")
        file.write_text(text.replace(guard.text, guard.instead))
        code, tail = _tested(copy, guard.test)
    # 1 is pytest's "tests failed"; anything else says that they did not even run.
    return _said(guard, good=code == 1, why=f"pytest said {code}: {tail}")


def _tested(copy: Path, test: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    done = subprocess.run(
        command, cwd=copy, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout[-300:]


def _said(guard: Guard, *, good: bool, why: str) -> tuple[bool, str]:
    said = f"red as it must be: {guard.invariant}" if good else f"NOT RED: {guard.invariant}: {why}"
    print(said, flush=True)
    return good, said


def _copy(source: Path, to: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__", "var"))
    else:
        shutil.copy2(source, to)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
