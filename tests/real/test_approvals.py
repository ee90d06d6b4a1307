"""Calls that wait for people, made by clients that nobody here wrote, each as it comes.

Times are scaled by the configuration; with JITGATE_REAL_TIMES=1 (``.ci/run --long``) they are the
defaults, and so are the clients' own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from real.conftest import Estate, estate_in
from real.world import clean, play
from support.approver import REVIEWED, people
from support.counterparts import ALICE, BOB, GITHUB, GITHUB_HOST, GITHUB_TOKEN, Services
from support.gateway import GatewayProcess, settings, target
from support.tokens import Tokens

REAL = os.environ.get("JITGATE_REAL_TIMES") == "1"

HOLD, EXPIRE = (55.0, 600.0) if REAL else (2.0, 14.0)
"""Seconds; what the SDK is told to wait between two attempts follows: (EXPIRE - 3 x HOLD) / 2."""

pytestmark = pytest.mark.timeout(1500 if REAL else 120)

DEACTIVATE = """
result = await client.deactivate_user("USER")
error = result[-1]
return {"error": str(error or ""), "kind": type(error).__name__}
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    times = people(hold=f"{HOLD * 1000:.0f}ms", expire=f"{EXPIRE * 1000:.0f}ms")
    with estate_in(tmp_path_factory.mktemp("asked"), "RS256", times) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_left_over(asked):
    asked.org.reset()
    asked.org.clear()
    yield
    for request in asked.approver.waiting():
        asked.approver.deny(request["id"], "The test is over")


def deactivating(estate: Estate, user: str) -> Future[dict[str, object]]:
    """The official SDK, in a process of its own, at work."""
    from real.test_okta_sdk import sdk  # noqa: PLC0415 (its fixtures are another module's)

    return in_background(lambda: sdk(estate, DEACTIVATE.replace("USER", user)))


def deactivating_from_node(estate: Estate, npm: Path) -> Future[dict[str, object]]:
    """The same by Okta's SDK for Node."""
    more = {"NODE_EXTRA_CA_CERTS": str(estate.gateway.ca)}
    environment = clean() | estate.environment() | more
    return in_background(
        lambda: play(npm, "with_okta.mjs", environment, "deactivate", patience=900)
    )


def in_background(work) -> Future[Any]:
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(work)
    finally:
        pool.shutdown(wait=False)


def arrivals(estate: Estate, *, looked_up: bool = False) -> list[tuple[str, str]]:
    """The agent's calls that reached the org; or the gateway's own, for the names of things."""
    return [
        (each.method, each.path)
        for each in estate.org.journal()
        if each.path.startswith("/api/") and not each.wanted_nonce
        if any(field.startswith("jitgate/n-") for field in each.fields) is looked_up
    ]


def opened(gateway: GatewayProcess) -> int:
    return len(gateway.entries("access.opened"))


def test_the_sdks_call_waits_is_approved_and_succeeds(asked):
    call = deactivating(asked, ALICE)
    request = asked.approver.next()
    assert (request["action"], request["method"]) == ("deactivateUser", "POST")
    assert request["url"].endswith(f"/api/v1/users/{ALICE}/lifecycle/deactivate")
    assert request["names"] == {"id": {"name": "alice@acme.example", "why": None}}
    shown = asked.approver.run("requests", request["id"]).stdout
    assert f"  resource     id {ALICE} (alice@acme.example)\n" in shown
    assert arrivals(asked) == []
    assert arrivals(asked, looked_up=True) == [("GET", f"/api/v1/users/{ALICE}")]
    assert asked.gateway.entries("name.looked-up")[0]["credential"]["scopes"] == ["okta.users.read"]
    asked.approver.approve(request["id"])
    assert call.result()["error"] == ""
    assert arrivals(asked) == [("POST", f"/api/v1/users/{ALICE}/lifecycle/deactivate")]


def test_the_sdk_raises_its_own_error_with_the_approvers_reason(asked):
    call = deactivating(asked, ALICE)
    asked.approver.deny(asked.approver.next()["id"], "She comes back on Monday")
    result = call.result()
    assert result["kind"] == "OktaAPIError"
    assert "She comes back on Monday" in result["error"]
    assert arrivals(asked) == []


def test_the_sdk_that_was_not_answered_comes_back_by_itself_for_a_late_approval(asked):
    before = opened(asked.gateway)
    call = deactivating(asked, BOB)
    request = asked.approver.next()
    while asked.approver.shown(request["id"])["presence"] != "recalled":
        assert not call.done(), call.result()
    asked.approver.approve(request["id"])
    assert arrivals(asked) == []
    assert call.result()["error"] == ""
    assert len(arrivals(asked)) == 1
    assert opened(asked.gateway) - before == 1


def test_the_sdk_for_node_comes_back_by_itself_for_a_late_approval(asked, npm):
    before = opened(asked.gateway)
    call = deactivating_from_node(asked, npm)
    request = asked.approver.next()
    while asked.approver.shown(request["id"])["presence"] != "recalled":
        assert not call.done(), call.result()
    asked.approver.approve(request["id"])
    assert "raised" not in call.result()["deactivate"]
    assert len(arrivals(asked)) == 1
    assert opened(asked.gateway) - before == 1


def test_an_answer_after_half_of_its_time_is_in_time(asked):
    call = deactivating(asked, BOB)
    request = asked.approver.next()
    time.sleep(EXPIRE / 2)
    asked.approver.approve(request["id"])
    assert call.result()["error"] == ""
    assert len(arrivals(asked)) == 1


def test_an_sdk_that_nobody_answers_is_told_so_in_its_own_form_in_the_end(asked):
    begun = time.monotonic()
    call = deactivating(asked, BOB)
    request = asked.approver.next()
    result = call.result()
    took = time.monotonic() - begun
    assert result["kind"] == "OktaAPIError"
    assert request["id"] in result["error"]
    assert took > EXPIRE - 2
    assert arrivals(asked) == []


# --- clients that hang up to send again


@dataclass
class Hub:
    """GitHub as emulate has it, behind a gateway that lets people look at every change."""

    github: Services
    gateway: GatewayProcess
    tokens: Tokens
    folder: Path

    @property
    def approver(self):
        return Estate.approver.fget(self)

    def environment(self) -> dict[str, str]:
        host, port = self.gateway.proxy
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ca = str(self.gateway.ca)
        return {
            **kept,
            "HTTPS_PROXY": f"http://run:{self.tokens.token()}@{host}:{port}",
            "SSL_CERT_FILE": ca,
            "REQUESTS_CA_BUNDLE": ca,
            "CURL_CA_BUNDLE": ca,
        }

    def run(self, *command: str) -> Future[subprocess.CompletedProcess[str]]:
        return in_background(
            lambda: subprocess.run(
                command,
                env=self.environment(),
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
        )

    def python(self, script: str) -> Future[subprocess.CompletedProcess[str]]:
        return self.run(sys.executable, "-c", script)


@contextmanager
def hub_in(folder: Path) -> Iterator[Hub]:
    tokens = Tokens(folder)
    policy = folder / "policy.yaml"
    permit = {"name": "look", "reason": "Anybody may look", "match": {"methods": ["GET"]}}
    policy.write_bytes(orjson.dumps([permit | {"effect": "permit"}, REVIEWED]))
    secret = folder / "github.token"
    secret.touch(mode=0o600)
    secret.write_text(f"token {GITHUB_TOKEN}")
    with Services.start(folder, {GITHUB_HOST: GITHUB}) as github:
        static = {"type": "static", "header": "Authorization", "value": f"file:{secret}"}
        far = target(github.port, github.ca, hosts=[GITHUB_HOST], credential=static)
        made = settings(folder, tokens.jwks, [far]) | people(expire="120s")
        with GatewayProcess(folder, made) as gateway:
            yield Hub(github, gateway, tokens, folder)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with hub_in(tmp_path_factory.mktemp("hub")) as made:
        yield made


def issues_made(hub: Hub) -> int:
    return [(each["method"], each["path"]) for each in hub.github.journal()].count(
        ("POST", "/repos/octocat/hello/issues")
    )


HTTPX = """
import httpx
times = 0
while True:
    times += 1
    try:
        answer = httpx.post("https://api.github.example/repos/octocat/hello/issues",
                            json={"title": "httpx"} TIMEOUT)
        break
    except httpx.ReadTimeout:
        continue
print(answer.status_code, times)
"""

PYGITHUB = """
from github import Auth, Github
hub = Github(base_url="https://api.github.example", auth=Auth.Token("none") TIMEOUT)
print(hub.get_repo("octocat/hello", lazy=True).create_issue(title="pygithub").title)
"""


@pytest.mark.parametrize(
    ("script", "said", "short"),
    [(HTTPX, "201", ", timeout=1.5"), (PYGITHUB, "pygithub", ", timeout=2")],
    ids=["httpx", "PyGithub"],
)
def test_a_client_that_hangs_up_to_send_again_makes_one_request_and_is_answered(
    hub, script, said, short
):
    requests, issues = opened(hub.gateway), issues_made(hub)
    call = hub.python(script.replace(" TIMEOUT", "" if REAL else short))
    request = hub.approver.next()
    gone = "agent-gone"
    deadline = time.monotonic() + 60
    while not any(each.get("denial") == gone for each in hub.gateway.entries("outcome")):
        assert time.monotonic() < deadline, "the client never hung up"
        time.sleep(0.2)
    time.sleep(2)
    assert issues_made(hub) == issues
    hub.approver.approve(request["id"])
    done = call.result()
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert opened(hub.gateway) - requests == 1
    assert issues_made(hub) - issues == 1


@pytest.mark.needs_debian("curl")
def test_curl_waits_and_gets_its_answer(hub):
    requests = opened(hub.gateway)
    call = hub.run(
        "curl",
        "--silent",
        "--show-error",
        "--max-time",
        "60",
        "--json",
        '{"title":"curl"}',
        "https://api.github.example/repos/octocat/hello/issues",
    )
    request = hub.approver.next()
    assert request["body"] == '{"title":"curl"}'
    hub.approver.approve(request["id"])
    done = call.result()
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout)["title"] == "curl"
    assert opened(hub.gateway) - requests == 1

    assert hub.approver.waiting() == []
