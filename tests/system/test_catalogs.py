"""A gateway with a catalog that an operator made: calls are named, decided and masked by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from support.counterparts import TestCA, npm_packages
from support.gateway import GatewayProcess, settings, target, wait_for
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

SOURCE = Path(__file__).parents[1] / "real" / "openapi"
FILE = "node_modules/@octokit/openapi/generated/api.github.com.json"
READS = {"name": "reads", "reason": "Reading.", "match": {"risk": ["read"]}, "effect": "permit"}
KEYS = {
    "name": "tokens",
    "reason": "Runners come and go.",
    "match": {"actions": ["actions/create-registration-token-*"]},
    "effect": "permit",
}


# What the folder's conftest makes for its other modules is not needed here.
@pytest.fixture(autouse=True)
def plain_answers():
    """The gateway here has an origin of its own."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """And is looked after by itself."""


def jitgate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jitgate", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The gateway before what would be GitHub, the origin, and an agent's token."""
    folder = tmp_path_factory.mktemp("catalogs")
    description = npm_packages(SOURCE) / FILE
    brought = jitgate(
        "catalog",
        "import",
        description,
        "--target",
        "github",
        "--out",
        folder / "github.csv",
        "--write",
    )
    assert brought.returncode == 0, brought.stderr
    ca, tokens = TestCA.create(folder, name="origin"), Tokens(folder)
    (folder / "policy.yaml").write_bytes(orjson.dumps([READS, KEYS]))
    answer = answering(b'{"token":"not-for-the-agent","expires_at":"never"}')
    with Origin(ca.leaf("api.example"), answer) as origin:
        far = target(origin.port, ca.pem, name="github", catalog="./github.csv")
        with GatewayProcess(folder, settings(folder, tokens.jwks, [far])) as gateway:
            yield gateway, origin, tokens
    assert not [line for line in gateway.output if "Traceback" in line or "#critical]" in line]


def ask(served, method, path):
    """The answer to a call, and its decision."""
    gateway, _, tokens = served
    told = len(gateway.entries("decision"))
    with Tunnel(gateway.proxy, gateway.ca, tokens.token()) as tunnel:
        reply = tunnel.ask(method, path)
    (decision,) = wait_for(lambda: gateway.entries("decision")[told:])
    return reply, decision


def test_a_call_is_named_by_the_catalog_and_its_risk_stands_in_the_record(served):
    reply, decision = ask(served, "GET", "/repos/octocat/hello")
    assert reply.status == 200
    assert decision["rule"] == "reads"
    assert decision["operation"] == {
        "target": "github",
        "action": "repos/get",
        "resource": {"owner": "octocat", "repo": "hello"},
        "method": "GET",
        "url": "https://api.example/repos/octocat/hello",
        "risk": "read",
        "parameters": {},
    }


def test_what_the_catalog_marks_is_masked(served):
    reply, decision = ask(served, "POST", "/repos/octocat/hello/actions/runners/registration-token")
    assert reply.status == 200
    assert b"not-for-the-agent" not in reply.body
    assert b'"expires_at":"never"' in reply.body
    assert decision["operation"]["risk"] == "privileged"


@pytest.mark.parametrize(
    ("method", "path", "action", "risk"),
    [
        ("DELETE", "/repos/octocat/hello", "repos/delete", "destructive"),
        ("PUT", "/repos/octocat/hello/collaborators/eve", "repos/add-collaborator", "privileged"),
        ("POST", "/repos/octocat/hello/issues", "issues/create", "write"),
    ],
)
def test_what_no_rule_permits_is_denied_under_its_name(served, method, path, action, risk):
    reply, decision = ask(served, method, path)
    assert reply.status == 403
    assert (decision["operation"]["action"], decision["operation"]["risk"]) == (action, risk)


@pytest.mark.parametrize("path", ["/repos/octocat/hello/contents/a/b", "/graphql", "/repos//x"])
def test_what_the_catalog_does_not_know_never_leaves(served, path):
    _, origin, _ = served
    before = len(origin.received)
    reply, decision = ask(served, "POST", path)
    assert reply.status in {400, 403}
    assert decision["operation"] is None
    assert len(origin.received) == before
