"""GitHub's own description comes to a catalog whose every row is found as itself."""

from collections import Counter
from pathlib import Path

import pytest
from support.counterparts import npm_packages

from jitgate.catalogs.description import read_description
from jitgate.catalogs.openapi import imported
from jitgate.catalogs.table import read_rows, written
from jitgate.core.catalog import OperationTrie
from jitgate.core.globs import globs_matcher
from jitgate.core.operation import CanonicalTarget, PathTemplate, canonical_target
from jitgate.values import Risk

SOURCE = Path(__file__).parents[1] / "real" / "openapi"
FILE = "node_modules/@octokit/openapi/generated/api.github.com.json"


@pytest.fixture(scope="module")
def github():
    return imported(read_description(npm_packages(SOURCE) / FILE))


@pytest.fixture(scope="module")
def rows(github):
    return {row.action: row for row in github.rows}


def test_every_operation_is_taken_but_two_and_why_is_said(github):
    assert len(github.rows) == 1221
    assert {each.where: each.what for each in github.skipped} == {
        "POST /repos/{owner}/{repo}/releases/{release_id}/assets": (
            "another host serves it, which is none of the target's"
        ),
        "GET /repos/{owner}/{repo}/compare/{base}...{head}": (
            "a parameter is only a part of its segment"
        ),
    }


def test_each_is_found_as_itself(github):
    trie = OperationTrie(github.rows)
    for row in github.rows:
        values = {name: f"{name}-7" for name in PathTemplate(row.template).names}
        path = PathTemplate(row.template).filled(values)
        assert canonical_target(path) == CanonicalTarget(path, "")
        found = trie.lookup(row.method, path)
        assert (found.row, dict(found.resource)) == (row, values)
        assert trie.lookup(row.method, f"{path}/no/such/operation") is None


def test_names_are_githubs_own_and_each_is_anothers(github, rows):
    assert len(rows) == len(github.rows)
    assert rows["repos/delete"].template == "/repos/{owner}/{repo}"
    assert sum(1 for name in rows if "/" in name) == len(rows)
    matches = globs_matcher(["repos/delete*"])
    assert sum(1 for name in rows if matches(name)) == 20


@pytest.mark.parametrize(
    ("action", "risk"),
    [
        ("repos/get", Risk.READ),
        ("issues/create", Risk.WRITE),
        ("repos/delete", Risk.DESTRUCTIVE),
        ("repos/create-deploy-key", Risk.PRIVILEGED),
        ("actions/create-or-update-repo-secret", Risk.PRIVILEGED),
        ("repos/create-webhook", Risk.PRIVILEGED),
        ("repos/add-collaborator", Risk.PRIVILEGED),
        ("repos/transfer", Risk.PRIVILEGED),
        ("apps/create-installation-access-token", Risk.PRIVILEGED),
        ("orgs/set-membership-for-user", Risk.PRIVILEGED),
        ("git/delete-ref", Risk.DESTRUCTIVE),
    ],
)
def test_risks_are_proposed_as_people_would_expect(rows, action, risk):
    assert rows[action].risk is risk


def test_nothing_that_changes_something_is_proposed_as_reading(github):
    assert {row.method for row in github.rows if row.risk is Risk.READ} == {"GET"}
    risks = Counter(row.risk for row in github.rows)
    assert min(risks[risk] for risk in Risk) > 100


@pytest.mark.parametrize(
    ("action", "secrets"),
    [
        ("apps/create-from-manifest", {"client_secret", "webhook_secret", "pem"}),
        ("actions/create-registration-token-for-repo", {"token"}),
        ("actions/generate-runner-jitconfig-for-org", {"encoded_jit_config"}),
        ("repos/get-webhook", {"secret"}),
        ("users/get-by-username", set()),
    ],
)
def test_secrets_are_found_where_they_are(rows, action, secrets):
    assert secrets <= rows[action].secrets
    assert bool(secrets) == bool(rows[action].secrets)


def test_its_catalog_is_read_as_it_was_written(github):
    assert read_rows(written(github.rows).splitlines(keepends=True)) == github.rows
