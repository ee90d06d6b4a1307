"""One scrape tells of all that a gateway of several processes does, and of nobody's choosing."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import orjson
import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.approver import APPROVER, REVIEWED, people
from support.counterparts import TestCA
from support.gateway import GatewayProcess, health, settings, target, wait_for
from support.receiver import secret
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering
from system.test_workers import LATER, Site

from jitgate.core.tally import FAMILIES

DASHBOARD = Path(__file__).parents[2] / "etc" / "grafana" / "jitgate.json"
CANARY = "canary7f3a"
"""Stands in everything that an agent chooses: session, path, query, field, body, host, token."""

_KEEPER = {"name": "far", "type": "syslog", "server": "tcp://127.0.0.1:9"}

BY_PROMETHEUS = {"instance", "job"}
"""Labels that a scrape gets from who scrapes."""


@pytest.fixture(autouse=True)
def plain_answers():
    """The site begins with them."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """The site looks for one at its end."""


class Measured(Site):
    """A gateway with two workers, whose answers are masked, and whose webhook nobody serves."""

    def configured(self):
        (self.folder / "masking.yaml").write_bytes(
            orjson.dumps([{"profile": "all", "names": ["password"], "how": "replace"}])
        )
        (self.folder / "out").write_text(secret("out") + "\n")
        (self.folder / "out").chmod(0o600)
        self.more = {
            "masking": ["masking.yaml"],
            "webhooks": [{"name": "ops", "url": "http://127.0.0.1:9/", "secret": "file:./out"}],
            "recording": {"directory": "./state/recordings", "keepers": [_KEEPER]},
        }
        made = super().configured()
        made["approvals"]["channels"] = ["cli", "ops"]
        reads = {"name": "reads", "reason": "A test.", "match": {"methods": ["GET"]}}
        rules = [REVIEWED, reads | {"effect": "permit", "mask": "all"}]
        (self.folder / "policy.yaml").write_bytes(orjson.dumps(rules))
        return made

    def scraped(self) -> str:
        return _got(f"http://127.0.0.1:{self.gateway.ports['admin']}/metrics").decode()


def _got(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 (our own)
        return answer.read()


def _samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """By the names that expressions use."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def _sum(samples, name: str, **labels: str) -> float:
    rows = samples.get(name, [])
    return sum(value for has, value in rows if labels.items() <= has.items())


@pytest.fixture(scope="module")
def scrape(tmp_path_factory):
    """What is told after one of each kind of call."""
    site = Measured(tmp_path_factory.mktemp("measured"))
    site.handler = answering(b'{"password":"hunter2"}')
    with site.origin, GatewayProcess(site.folder, site.configured()) as site.gateway:
        wait_for(site.well)
        field = f"X-Canary: {CANARY}\r\n"
        for number in range(4):  # some at each worker
            with Tunnel(site.gateway.proxy, site.gateway.ca, site.tokens.token()) as tunnel:
                reply = tunnel.ask("GET", f"/{CANARY}/{number}?{CANARY}={CANARY}", b"", field)
                assert reply.status == 200
                assert b"hunter2" not in reply.body
        body = orjson.dumps({CANARY: CANARY})
        with site.tunnel() as tunnel:
            assert tunnel.ask("POST", f"/{CANARY}", body, LATER).status == 202
            pending = site.next()["id"]
            assert tunnel.ask("OPTIONS", f"/{CANARY}").status == 403
        site.people.one("approve", pending, reason=CANARY)
        with site.tunnel() as tunnel:
            assert tunnel.ask("POST", f"/{CANARY}", body, LATER).status == 200
        with site.tunnel(token=CANARY) as tunnel:
            assert tunnel.ask("GET", f"/{CANARY}").status == 401

        def told() -> str | None:
            text = site.scraped()
            ended = _sum(_samples(text), "jitgate_exchanges_total")
            return text if ended >= 8 else None

        yield wait_for(told)


def test_it_is_the_sum_of_all_processes(scrape):
    samples = _samples(scrape)
    completed = {"target": "things", "outcome": "completed"}
    assert _sum(samples, "jitgate_exchanges_total", effect="permit", **completed) == 4
    assert _sum(samples, "jitgate_exchanges_total", effect="review", **completed) == 1
    assert _sum(samples, "jitgate_refusals_total", denial="token-refused") == 1
    assert _sum(samples, "jitgate_refusals_total", denial="approval-pending") == 1
    assert _sum(samples, "jitgate_refusals_total", denial="denied-by-policy") == 1
    assert _sum(samples, "jitgate_decisions_total", rule="reads", effect="permit") == 4
    assert _sum(samples, "jitgate_answers_total", target="things", status="2xx") == 5
    assert _sum(samples, "jitgate_masked_total", target="things", what="value") == 4
    assert _sum(samples, "jitgate_credentials_total", target="things", how="issued") == 5
    assert _sum(samples, "jitgate_knocks_total", result="admitted") == 6
    assert _sum(samples, "jitgate_knocks_total", result="token-refused") == 1
    assert _sum(samples, "jitgate_exchange_seconds_count", effect="permit") == 4
    assert _sum(samples, "jitgate_stage_seconds_count", stage="answer") == 5
    assert _sum(samples, "jitgate_people_seconds_count") == 2
    assert _sum(samples, "jitgate_entries_total", type="outcome") == 8
    assert _sum(samples, "jitgate_record_sync_seconds_count") > 0
    assert _sum(samples, "jitgate_workers_serving") == 2
    assert _sum(samples, "jitgate_ready") == 1
    assert {has["process"] for has, _ in samples["jitgate_cpu_seconds_total"]} == {
        *("control", "worker 1", "worker 2"),
    }


def test_nothing_that_an_agent_chose_is_in_it(scrape):
    assert CANARY not in scrape
    assert APPROVER not in scrape
    assert "bot-7" not in scrape


def _expressions() -> list[str]:
    shown = orjson.loads(DASHBOARD.read_bytes())
    return [each["expr"] for panel in shown["panels"] for each in panel.get("targets", [])]


def _selectors(node) -> list[promql_parser.VectorSelector]:
    """Every selector of an expression, wherever it stands in it."""
    if isinstance(node, promql_parser.VectorSelector):
        return [node]
    parts = [getattr(node, each, None) for each in ("expr", "param", "lhs", "rhs", "vs")]
    parts += getattr(node, "args", None) or []
    vector = getattr(node, "vector_selector", None)
    return [each for part in [*parts, vector] if part is not None for each in _selectors(part)]


def _grouped(node) -> set[str]:
    """The labels that anything is grouped by."""
    parts = [getattr(node, each, None) for each in ("expr", "param", "lhs", "rhs")]
    parts += getattr(node, "args", None) or []
    by = getattr(node, "modifier", None)
    own = set(getattr(by, "labels", None) or [])
    return own.union(*(_grouped(part) for part in parts if part is not None))


def test_each_expression_of_the_dashboard_finds_what_it_names(scrape):
    samples, expressions = _samples(scrape), _expressions()
    assert len(expressions) > 30
    for expression in expressions:
        tree = promql_parser.parse(re.sub(r"\$__rate_interval", "5m", expression))
        selectors = _selectors(tree)
        assert selectors, expression
        for selector in selectors:
            has = set().union(*(labels for labels, _ in _rows(samples, selector.name)))
            named = {each.name for each in selector.matchers.matchers} - BY_PROMETHEUS
            assert named | _grouped(tree) <= has, expression


def _rows(samples, name: str):
    """Those of a series; a family that nothing was counted of yet has its labels all the same."""
    if name in samples:
        return samples[name]
    known = {f"{each.name}_total": each.labels for each in FAMILIES if not each.bounds}
    return [(dict.fromkeys(known[name], ""), 0.0)]


def test_the_dashboard_shows_every_family_that_is_counted(scrape):
    shown = " ".join(_expressions())
    missing = [each.name for each in FAMILIES if f"{each.name}_" not in shown]
    assert missing == ["jitgate_released_bytes"]


def test_a_gateway_of_one_process_tells_the_same_and_is_ready_until_it_stops(tmp_path):
    ca = TestCA.create(tmp_path, name="origin")
    tokens = Tokens(tmp_path)
    with Origin(ca.leaf("api.example"), answering(b"{}")) as origin:
        far = settings(tmp_path, tokens.jwks, [target(origin.port, ca.pem)]) | people()
        with GatewayProcess(tmp_path, far) as gateway:
            with Tunnel(gateway.proxy, gateway.ca, tokens.token()) as tunnel:
                assert tunnel.ask("GET", "/things").status == 200
            admin = f"http://127.0.0.1:{gateway.ports['admin']}"
            samples = _samples(_got(f"{admin}/metrics").decode())
            assert orjson.loads(_got(f"{admin}/readyz"))["ready"]
            assert health(gateway)[0] == 200
    assert _sum(samples, "jitgate_exchanges_total", outcome="completed") == 1
    assert _sum(samples, "jitgate_part_up", part="recorder") == 1
    assert {has["process"] for has, _ in samples["jitgate_tunnels_open"]} == {"gateway"}
