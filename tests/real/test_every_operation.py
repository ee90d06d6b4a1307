"""Every operation of Okta's published description, driven through the gateway one by one.

The description (`okta.json`, made by `.ci/make_okta_description.py`) is read here by itself, and
npm's Prism serves it: what the gateway's catalog says is held against both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from real.described import APP_OF, OPERATIONS, RISK_OF, DescribedEstate, described_in
from support.counterparts import Org, Received
from support.description import Described
from support.gateway import wait_for
from support.wire import Reply

from jitgate.catalogs.okta import oauth_rows, okta_rows

# Prism takes some 30 ms for each call, and all of them are made before the first test looks.
pytestmark = pytest.mark.timeout(600)

BY_ACTION = {each.action: each for each in OPERATIONS}
ROWS = {each.action: each for each in okta_rows()}

OPEN_READS = {
    "getWellKnownAppAuthenticatorConfiguration",
    "getAppleAppSiteAssociationWellKnownURI",
    "getAssetLinksWellKnownURI",
    "getWellknownOrgMetadata",
    "getWellknownSsfMetadata",
    "getWebAuthnWellKnownURI",
}
NOT_SENT = {
    "revokeCurrentApiToken",  # needs an API token
    "listSupportedSecurityQuestions",  # needs an API token
    "publishSecurityEventTokens",  # open, but it writes: who calls is proved by the body
}

TAKEN_FOR_WRONG = {"updateApplicationUser", "executeInlineHook"}
"""Their body has to be one of several open objects and no other, and whatever is one is another."""

MASKED = "*" * 16


@dataclass(frozen=True)
class Driven:
    """What came of all calls: by action what the agent got, what the org got, what is on record."""

    replies: Mapping[str, Reply]
    received: Sequence[Received]
    decisions: Mapping[str, dict[str, Any]]
    outcomes: Mapping[str, dict[str, Any]]

    @property
    def calls(self) -> Mapping[str, Received]:
        """What reached the org's API, by the operation for which Prism takes it."""
        own = {Org.token_path, Org.revoke_path}
        calls = [each for each in self.received if each.path not in own]
        assert {each.reason for each in calls} == {None}
        by_action = {each.operation: each for each in calls if each.operation is not None}
        assert len(by_action) == len(calls)
        return by_action

    @property
    def minted(self) -> Sequence[Received]:
        """The token requests that were granted: all, but for those that a nonce was asked of."""
        asked = [each for each in self.received if each.path == Org.token_path]
        minted = [each for each in asked if not each.wanted_nonce]
        assert {(each.method, each.status, each.reason) for each in minted} == {("POST", 200, None)}
        return minted

    @property
    def revoked(self) -> Sequence[Received]:
        """The revocations."""
        asked = [each for each in self.received if each.path == Org.revoke_path]
        assert {(each.status, each.reason) for each in asked} == {(200, None)}
        return asked


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    with described_in(tmp_path_factory.mktemp("described")) as made:
        yield made


@pytest.fixture(autouse=True)
def from_the_seed():
    """Nothing here is of the estate that other tests seed anew."""


@pytest.fixture(scope="module")
def driven(described):
    before = len(described.gateway.entries("outcome"))
    described.org.clear()
    calls = [(each.method, _target(each), each.headers, each.body) for each in OPERATIONS]
    replies = dict(zip(BY_ACTION, described.driver.send(calls), strict=True))
    outcomes = wait_for(lambda: _all(described.gateway.entries("outcome")[before:], len(calls)))
    used = {each["credential"].get("jti") for each in outcomes if "credential" in each} - {None}
    wait_for(lambda: used <= _revoked(described))
    decisions = {each["exchange"]: each for each in described.gateway.entries("decision")}
    by_action = {}
    for each in outcomes:
        operation = decisions[each["exchange"]]["operation"]
        by_action[operation["action"]] = (decisions[each["exchange"]], each)
    return Driven(
        replies,
        described.org.journal(),
        {action: decision for action, (decision, _) in by_action.items()},
        {action: outcome for action, (_, outcome) in by_action.items()},
    )


def _revoked(described: DescribedEstate) -> set[str]:
    """The ids of the tokens that are on record as revoked."""
    return {each["jti"] for each in described.gateway.entries("credential.revoked")}


def _all(entries: list[Any], count: int) -> list[Any]:
    return entries if len(entries) == count else []


def _target(call: Described) -> str:
    return call.path + (f"?{call.query}" if call.query else "")


# --- the operations


def test_the_catalog_has_the_operations_of_the_description():
    assert len(OPERATIONS) == len(BY_ACTION) == 732
    described = {(each.method, each.template, each.action) for each in OPERATIONS}
    assert described <= {(each.method, each.template, each.action) for each in ROWS.values()}
    assert all(ROWS[each.action].scopes == each.scopes for each in OPERATIONS)
    more = [each.template for each in ROWS.values() if each.action not in BY_ACTION]
    assert [each for each in more if not each.startswith(("/oauth2/", "/.well-known/"))] == []


def test_nine_operations_need_no_scope_and_six_of_them_are_reads_for_anybody():
    needed = Counter(len(each.scopes) for each in OPERATIONS)
    assert needed == {1: 718, 2: 5, 0: 9}
    without = [each for each in OPERATIONS if not each.scopes]
    assert {each.action for each in without} == OPEN_READS | NOT_SENT
    assert {each.action for each in without if each.is_open and each.method == "GET"} == OPEN_READS


def test_each_operation_is_recognised_as_itself(driven):
    assert driven.decisions.keys() == BY_ACTION.keys()
    for action, each in BY_ACTION.items():
        said = driven.decisions[action]
        assert said["request"]["method"] == each.method
        assert said["request"]["target"].partition("?")[0] == each.path
        assert (said["effect"], said["rule"]) == ("permit", "all")
        named = {key: said["operation"][key] for key in ("target", "action", "resource", "method")}
        assert named == {
            "target": "okta",
            "action": action,
            "resource": dict(each.resource),
            "method": each.method,
        }


def test_each_call_is_to_the_org_the_operation_that_it_is_to_the_gateway(driven):
    assert driven.calls.keys() == BY_ACTION.keys() - NOT_SENT
    for action, call in driven.calls.items():
        each = BY_ACTION[action]
        assert (call.method, call.path, call.query) == (each.method, each.path, each.query)


# --- what they are given


def test_each_token_has_exactly_the_scopes_of_its_operation(driven):
    for action, call in driven.calls.items():
        scopes = BY_ACTION[action].scopes
        if scopes:
            facts = driven.outcomes[action]["credential"]
            assert (facts["kind"], facts["scopes"]) == ("okta", list(scopes))
            assert sorted(call.scope.split()) == list(scopes)


def test_no_other_token_was_minted(driven):
    minted = Counter(" ".join(sorted(str(each.scope).split())) for each in driven.minted)
    assert minted == Counter(" ".join(each.scopes) for each in OPERATIONS if each.scopes)


def test_each_token_was_used_once_and_was_revoked(driven):
    minted = Counter(each.token for each in driven.minted)
    used = Counter(each.token for each in driven.calls.values() if each.token is not None)
    assert set(minted.values()) == {1}
    assert used == minted
    assert Counter(each.token for each in driven.revoked) == minted


def test_each_app_got_the_tokens_of_its_own_risk_alone(described, driven):
    names = {app.client_id: name for name, app in described.org.apps.items()}
    for action, call in driven.calls.items():
        if BY_ACTION[action].scopes:
            name = APP_OF[RISK_OF[action]]
            assert (names[str(call.client)], driven.outcomes[action]["credential"]["app"]) == (
                name,
                name,
            )


def test_what_anybody_may_read_goes_out_without_a_credential(driven):
    for action in OPEN_READS:
        assert driven.calls[action].token is None  # and none that the org would have refused:
        assert driven.replies[action].status == 200
        assert driven.outcomes[action]["credential"] == {"kind": "none"}


def test_all_else_that_needs_no_scope_is_denied(driven):
    for action in NOT_SENT:
        assert driven.replies[action].status == 403
        assert b"is not a public read" in driven.replies[action].body
        assert driven.outcomes[action]["denial"] == "denied-by-policy"
        assert "credential" not in driven.outcomes[action]


# --- what comes back


def test_each_answer_is_the_one_that_the_description_has(driven):
    for action in BY_ACTION.keys() - NOT_SENT - TAKEN_FOR_WRONG:
        reply, answers = driven.replies[action], BY_ACTION[action].answers
        assert reply.status < 400, (action, reply.body, driven.calls[action])
        assert driven.outcomes[action]["outcome"] == "completed"
        assert str(reply.status) in answers
        if reply.body:
            assert reply.header("Content-Type") in answers[str(reply.status)]


def test_what_the_org_says_of_a_wrong_body_comes_back(driven):
    for action in TAKEN_FOR_WRONG:
        assert "exactly one schema in oneOf" in driven.calls[action].violations
        assert driven.replies[action].status == 400
        assert driven.outcomes[action]["outcome"] == "completed"


def test_no_field_comes_back_that_the_catalog_marks_as_secret(driven):
    seen: Counter[object] = Counter()
    for action, reply in driven.replies.items():
        if reply.header("Content-Type") == "application/json":
            members = _members(orjson.loads(reply.body))
            marked = [value for name, value in members if name in ROWS[action].secrets]
            seen.update(value if isinstance(value, str) else repr(value) for value in marked)
    kinds = (0, False, None, {}, [], {"href": MASKED})  # the last is a link of HAL's
    assert seen.keys() <= {MASKED, *map(repr, kinds)}  # hidden, in its kind
    assert seen[MASKED] > 20
    assert seen.total() > 20


def _members(node: object) -> Iterator[tuple[str, object]]:
    """Every member of every object, however deep."""
    if isinstance(node, dict):
        yield from node.items()
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _members(each)


# --- what stands beside them


KNOWN = [
    (each.method, re.compile(re.sub(r"\\{[^/]+\\}", "[^/]+", re.escape(each.template))))
    for each in (*ROWS.values(), *oauth_rows())
]


def _is_known(method: str, path: str) -> bool:
    return any(method == each and template.fullmatch(path) for each, template in KNOWN)


def _neighbours(call: Described) -> Iterator[tuple[str, str]]:
    """Beside a call: another method, a segment more, one less, and each fixed segment changed."""
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    yield next(each for each in methods if not _is_known(each, call.path)), call.path
    yield call.method, f"{call.path}/more"
    yield call.method, f"{call.path}/"
    yield call.method, call.path.rpartition("/")[0]
    parts, template = call.path.split("/"), call.template.split("/")
    for at, part in enumerate(parts):
        if part and part == template[at]:
            changed = (part + "x", part.swapcase(), part[:-1])[at % 3]
            yield call.method, "/".join([*parts[:at], changed, *parts[at + 1 :]])


def test_what_stands_beside_an_operation_is_none_and_goes_nowhere(described):
    found = {
        (method, path)
        for each in OPERATIONS
        for method, path in _neighbours(each)
        if path and "//" not in path and not _is_known(method, path)
    }
    calls = [(method, path, {}, b"") for method, path in sorted(found)]
    before = len(described.gateway.entries("outcome"))
    described.org.clear()
    replies = described.driver.send(calls)
    assert len(calls) > 4 * len(OPERATIONS)
    assert {each.status for each in replies} == {403}
    odd = [
        (call[:2], each.body)
        for call, each in zip(calls, replies, strict=True)
        if b"is no operation known of okta" not in each.body
    ]
    assert odd == []
    assert described.org.calls() == []
    outcomes = wait_for(lambda: _all(described.gateway.entries("outcome")[before:], len(calls)))
    assert {(each["outcome"], each["denial"]) for each in outcomes} == {
        ("denied", "operation-unknown")
    }
