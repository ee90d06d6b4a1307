"""Every example of the docs is run by some test, or stands here with the reason why it is not.

An example is a block of a page. It is named by how it begins; what claims it is a test whose file
names the page. Which pages count, and what a block is, says ``support.pages``.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import pytest
from support.pages import ROOT, listed
from test_docs import collected
from test_documented import OTHERS, read
from test_documented import SNIPPETS as SNIPPETS_OF_YAML

SNIPPETS = "tests/pages/test_snippets.py"
OPERATOR = "tests/pages/test_operator.py"
MACHINE = "tests/pages/test_machine.py::test_a_tool_knows_what_it_is_given"
AUDITOR = "tests/test_auditors_page.py::test_every_command_of_the_page_answers"
POLICY = "tests/pages/test_policy.py::test_the_walk_is_as_it_is_told"
PROGRAM = "tests/pages/test_identity.py::test_what_a_program_prints_is_taken"
ANSWERED = f"{OPERATOR}::test_requests_are_answered_by_the_commands_of_the_pages"
OPERATED = f"{OPERATOR}::test_it_is_operated_as_the_pages_say"
YAML = "tests/test_documented.py::test_a_snippet_is_taken"
DRAWN = "a drawing: nothing of it can be typed"
VENDOR = "a vendor's tool, against a vendor's account"

RUN = {
    "README.md": {
        "   agent  ": DRAWN,
        "pip install . &&": MACHINE,
        "$ jitgate demo --once": f"{SNIPPETS}::test_the_story_is_told_as_it_goes",
        "pip install '.[test]'": MACHINE,
        "jitgate exec": f"{OPERATOR}::test_a_first_agent_and_the_evidence_of_it",
        "export HTTPS_PROXY": f"{OPERATOR}::test_by_hand_it_takes_two_variables",
        "import asyncio": "tests/real/test_okta_sdk.py::test_the_readmes_program_is_what_it_takes",
        "Denied by policy": f"{OPERATOR}::test_a_denial_is_what_the_readme_shows",
        "jitgate requests --follow": ANSWERED,
        "Access request ": "tests/test_tutorial.py::test_the_tutorial_is_as_it_is_told",
        "jitgate sessions": AUDITOR,
    },
    "docs/auditing.md": {
        "jitgate copy": f"{OPERATOR}::test_who_may_not_read_the_files_gets_a_copy",
        ("jitgate", 2): AUDITOR,
    },
    "docs/authzen.md": {
        ("POST", 2): f"{OPERATOR}::test_what_the_page_on_asking_ahead_sends_is_taken",
    },
    "docs/ca.md": {"$ jitgate ca": OPERATED},
    "docs/catalogs.md": {("", 5): f"{SNIPPETS}::test_an_api_is_brought_in_as_it_is_told"},
    "docs/clients.md": {"jitgate exec": f"{OPERATOR}::test_by_hand_it_takes_two_variables"},
    "docs/configuration.md": {
        "policy/okta.yaml:12": f"{SNIPPETS}::test_a_name_that_is_none_is_said_as_it_is_shown",
        ("jitgate proof", 2): AUDITOR,
    },
    "docs/credentials.md": {
        "sequenceDiagram": DRAWN,
        "[Service]": "tests/system/test_units.py::test_systemd_understands_what_pages_add",
        ("", 4): f"{SNIPPETS}::test_keys_are_made_published_and_asked_about_as_it_is_told",
    },
    "docs/deployment.md": {
        "useradd": MACHINE,
        "podman": MACHINE,
        "kubectl": MACHINE,
    },
    "docs/export.md": {"jitgate export": AUDITOR},
    "docs/how-to/approve.md": {("", 6): ANSWERED},
    "docs/how-to/audit.md": {("", 4): AUDITOR},
    "docs/how-to/first-gateway.md": {
        ("", 7): f"{OPERATOR}::test_a_first_agent_and_the_evidence_of_it",
    },
    "docs/how-to/release.md": {"pip install": MACHINE},
    "docs/identity/entra.md": {
        "#!/bin/sh": PROGRAM,
        "az ": VENDOR,
        "./entra-token": PROGRAM,
    },
    "docs/identity/github-actions.md": {
        "gh ": VENDOR,
        "on: workflow_dispatch": "tests/pages/test_vendors.py::test_a_workflow_has_what_it_runs",
        "#!/bin/sh": PROGRAM,
        "ci/token": PROGRAM,
    },
    "docs/identity/kubernetes.md": {
        ("kubectl", 4): MACHINE,
        "apiVersion": "tests/pages/test_vendors.py::test_kubernetes_takes_the_pod",
    },
    "docs/identity/okta.md": {"#!/usr": PROGRAM, "./okta-token": PROGRAM},
    "docs/identity/others.md": {("curl", 2): PROGRAM, ("spire-", 2): VENDOR, "./token": PROGRAM},
    "docs/keys.md": {
        "jitgate proof": OPERATED,
        "jitgate keys": OPERATED,
        "keys ": OPERATED,
    },
    "docs/masking.md": {
        "flowchart": DRAWN,
        "$ curl": f"{SNIPPETS}::test_what_a_response_becomes_is_said_as_it_is_shown",
        ("- ", 11): "tests/test_masking_page.py::test_every_example_comes_out_as_the_page_says",
    },
    "docs/operating.md": {
        '{"ready"': "tests/system/test_disks.py::"
        "test_traffic_stops_while_the_disk_is_full_and_goes_on_with_room",
        '{"time"': "tests/system/test_disks.py::"
        "test_traffic_stops_while_the_disk_is_full_and_goes_on_with_room",
        "scrape_configs": "tests/pages/test_vendors.py::test_prometheus_is_told_where_metrics_are",
        ("sudo", 2): OPERATED,
    },
    "docs/performance.md": {
        "python -m timeit": f"{SNIPPETS}::test_the_trie_can_be_measured_as_it_is_told",
        ("p", 2): f"{SNIPPETS}::test_what_is_measured_takes_the_options_that_are_told",
    },
    "docs/plugins.md": {
        "plugins:": YAML,
        "- name: changes-with-a-ticket": YAML,
        ("", 9): "tests/test_plugins_documented.py::test_the_ten_minutes_are_as_they_are_told",
    },
    "docs/policy.md": {
        "# yaml-": "tests/pages/test_policy.py::"
        "test_the_schema_that_editors_are_pointed_to_is_written_there",
        "- name: read-the-directory": YAML,
        ("", 9): POLICY,
    },
    "docs/recording-format.md": {
        "recordings/": "tests/test_auditors_page.py::test_the_files_are_called_as_they_are_shown",
        '{"file"': "tests/test_auditors_page.py::"
        "test_what_a_crash_left_behind_is_explained_as_it_is_shown",
        ("", 2): "tests/test_auditors_page.py::test_a_proof_has_the_form_that_is_shown",
    },
    "docs/several-gateways.md": {
        "pip install": MACHINE,
        "CREATE": f"{SNIPPETS}::test_the_role_and_the_schema_are_made_as_it_is_told",
    },
    "docs/state-machines.md": {("stateDiagram", 3): DRAWN},
    "docs/tokens.md": {
        "curl": f"{OPERATOR}::test_a_token_for_one_operation_is_asked_for_as_it_is_shown",
    },
    "docs/tutorial.md": {("", 7): "tests/test_tutorial.py::test_the_tutorial_is_as_it_is_told"},
    "docs/webhooks.md": {
        "(umask": f"{SNIPPETS}::test_a_secret_of_a_webhook_is_made_as_it_is_told",
        "import json": "tests/system/test_webhooks.py::"
        "test_the_receiver_of_the_page_answers_and_the_calls_go_or_do_not",
    },
    "docs/write-once.md": {
        ("install", 2): MACHINE,
        "aws": VENDOR,
        "[Service]": "tests/system/test_units.py::test_systemd_understands_what_pages_add",
    },
}
"""By page, how an example begins, and who runs it; with a number, how that many do. The first that
fits counts."""

EXAMPLES = [pytest.param(each, id=f"{each.page}: {each.first[:50]}") for each in listed()]
TAKEN = [each.values[0] for each in SNIPPETS_OF_YAML]


def entry_of(example):
    """The line of the table that an example belongs to: how it begins and how many do."""
    for told in RUN.get(example.page, {}):
        begins, _ = told if isinstance(told, tuple) else (told, 1)
        if example.text.startswith(begins):
            return told
    return None


def claim_of(example):
    """Who runs it: a test, or a reason why none does; None where nobody has said.

    Configuration, rules and profiles that are written out are read by one test, on all pages.
    """
    told = entry_of(example)
    if told is not None:
        return RUN[example.page][told]
    value = read(example.text) if example.kind in {"", "yaml"} else None
    ours = value in TAKEN and not (isinstance(value, dict) and tuple(value) in OTHERS)
    return YAML if ours else None


@cache
def source(file):
    return (ROOT / file).read_text()


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_run(example):
    who = claim_of(example)
    assert who, f"nobody runs this, of {example.page}:\n{example.text}"
    if who in {DRAWN, VENDOR}:
        return
    file, _, name = who.partition("::")
    assert name in collected(file), who
    page = example.page.removeprefix("docs/")
    assert who == YAML or page.rpartition("/")[2].removesuffix(".md") in source(file), who


def test_each_line_of_the_table_is_of_so_many_examples_as_it_says():
    """So a new one is of none, however it begins."""
    assert len(EXAMPLES) > 150
    said = {
        (page, told): told[1] if isinstance(told, tuple) else 1
        for page, entries in RUN.items()
        for told in entries
    }
    counted = Counter(
        (each.page, entry_of(each)) for each in listed() if entry_of(each) is not None
    )
    assert counted == said


def test_what_is_not_run_is_told():
    """docs/README.md names the tools of others."""
    told = (ROOT / "docs" / "README.md").read_text().partition("## How the examples")[2]
    left = {each.text.split()[0] for each in listed() if claim_of(each) == VENDOR}
    assert {tool for tool in left if f"`{tool}`" not in told} == set()
    assert re.search(r"tests/test_examples\.py", told)
