"""What is counted and measured, in the form that Prometheus scrapes.

prometheus_client is imported when it is asked for first, in a thread: it takes a tenth of a second,
which neither a start nor an agent should wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from jitgate.core.tally import FAMILIES, Family, Row, Series

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Counts = Mapping[Series, Row]


class Reading(NamedTuple):
    """What something is at this moment, beside what is counted."""

    family: Family
    labels: Sequence[str]
    value: float
    counter: bool = False
    """Whether it only grows, though nobody here counts it."""


class Metrics(Resource):
    """Answers a scrape: ``counts`` and ``readings`` are of all processes of the gateway."""

    isLeaf = True  # noqa: N815 (twisted.web's name)
    _log = Logger()

    def __init__(
        self,
        counts: Callable[[], Counts],
        readings: Callable[[], Iterable[Reading]],
        reactor: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._counts = counts
        self._readings = readings
        self._reactor = reactor

    def render_GET(self, request: Request) -> int:
        counts = {series: row.copy() for series, row in self._counts().items()}
        readings = list(self._readings())
        pool = self._reactor.getThreadPool()
        done: Deferred[tuple[bytes, bytes]]
        done = deferToThreadPool(self._reactor, pool, rendered, counts, readings)
        gone: Deferred[None] = request.notifyFinish()
        gone.addErrback(lambda _: done.cancel())
        done.addCallback(self._answer, request)
        done.addErrback(lambda failure: self._failed(failure, request, gone))
        return NOT_DONE_YET

    def _answer(self, result: tuple[bytes, bytes], request: Request) -> None:
        kind, body = result
        request.setHeader(b"Content-Type", kind)
        request.setHeader(b"Cache-Control", b"no-store")
        request.write(body)
        request.finish()

    def _failed(self, failure: Any, request: Request, gone: Deferred[None]) -> None:
        if gone.called:
            return  # whoever asked has hung up
        self._log.failure("Metrics could not be told", failure)
        request.setResponseCode(500)
        request.finish()


def rendered(counts: Counts, readings: Iterable[Reading]) -> tuple[bytes, bytes]:
    """The media type, and the text in it."""
    from prometheus_client.exposition import (  # noqa: PLC0415 (see above)
        CONTENT_TYPE_LATEST,
        generate_latest,
    )

    metrics = [*_counted(counts), *_read(readings)]
    told: Any = _Told(metrics)
    return CONTENT_TYPE_LATEST.encode("ascii"), generate_latest(told)


class _Told:
    """What the client library takes for a registry."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Sequence[Metric]:
        return self._metrics


def _counted(counts: Counts) -> Iterable[Metric]:
    from prometheus_client.core import (  # noqa: PLC0415 (see above)
        CounterMetricFamily,
        HistogramMetricFamily,
    )

    by_name: dict[str, list[tuple[Series, Row]]] = {each.name: [] for each in FAMILIES}
    for series, row in counts.items():
        by_name[series[0]].append((series[1:], row))
    for family in FAMILIES:
        rows = by_name[family.name]
        if not family.bounds:
            counter = CounterMetricFamily(family.name, family.text, labels=family.labels)
            for labels, row in rows:
                counter.add_metric(labels, row[0])
            yield counter
            continue
        histogram = HistogramMetricFamily(family.name, family.text, labels=family.labels)
        for labels, (total, *buckets) in rows:
            histogram.add_metric(labels, _up_to(family.bounds, buckets), total)
        yield histogram


def _up_to(bounds: Sequence[float], buckets: Sequence[float]) -> list[tuple[str, float]]:
    """How many took up to each bound."""
    names, so_far, found = [f"{bound}" for bound in bounds] + ["+Inf"], 0.0, []
    for name, count in zip(names, buckets, strict=True):
        so_far += count
        found.append((name, so_far))
    return found


def _read(readings: Iterable[Reading]) -> Iterable[Metric]:
    from prometheus_client.core import (  # noqa: PLC0415 (see above)
        CounterMetricFamily,
        GaugeMetricFamily,
    )

    metrics: dict[str, Any] = {}
    for family, labels, value, counter in readings:
        if family.name not in metrics:
            kind = CounterMetricFamily if counter else GaugeMetricFamily
            metrics[family.name] = kind(family.name, family.text, labels=family.labels)
        metrics[family.name].add_metric(labels, value)
    return metrics.values()
