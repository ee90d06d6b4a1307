"""What the docs have written for others' programs is what these take."""

from __future__ import annotations

import contextlib
import io
import re

import kubernetes_validate
import pytest
from ruamel.yaml import YAML
from support.pages import ROOT, block, blocks

from jitgate.cli import command_line
from jitgate.config.schema import Listen

OLDEST, NEWEST = "1.31", "1.37"


def plain(text):
    return YAML(typ="safe", pure=True).load(text)


def parsed(words):
    """Whether the command line takes these words."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            return command_line().parse_args(words)
        except SystemExit:
            pytest.fail(said.getvalue())


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_the_pod(version):
    page = "docs/identity/kubernetes.md"
    pod = plain(block(page, "apiVersion"))
    kubernetes_validate.validate(pod, version, strict=True)
    (container,) = pod["spec"]["containers"]
    jitgate, *words = container["command"]
    options = parsed(words)
    (mount,), (volume,) = container["volumeMounts"], pod["spec"]["volumes"]
    (source,) = volume["projected"]["sources"]
    token = source["serviceAccountToken"]
    assert (jitgate, mount["name"]) == ("jitgate", volume["name"])
    assert f"{options.token_file}" == f"{mount['mountPath']}/{token['path']}"
    issuer = plain(next(each.text for each in blocks(page) if each.kind == "yaml"))
    assert token["audience"] == issuer["identity"]["issuers"][0]["audience"]


def test_a_workflow_has_what_it_runs():
    """docs/identity/github-actions.md: it may ask for a token, and runs what there is."""
    page = "docs/identity/github-actions.md"
    ((job,),) = [plain(block(page, "on: workflow_dispatch"))["jobs"].values()]
    issuer = plain(next(each.text for each in blocks(page) if each.kind == "yaml"))
    assert job["permissions"]["id-token"] == "write"
    required = issuer["identity"]["issuers"][0]["required"]
    assert job["environment"] == required["environment"]
    (running,) = [each["run"] for each in job["steps"] if "jitgate exec" in each.get("run", "")]
    assert parsed(running.split()[1:]).token_command == "ci/token"
    assert re.search(r"`ci/token`", (ROOT / page).read_text())


def test_prometheus_is_told_where_metrics_are():
    """docs/operating.md: at the admin port, unless the configuration says otherwise."""
    ((job,),) = plain(block("docs/operating.md", "scrape_configs")).values()
    ((where,),) = [each["targets"] for each in job["static_configs"]]
    host, port = Listen().admin
    assert where == f"{host}:{port}"
