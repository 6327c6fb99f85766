"""Export Prometheus metrics: BinderHub's by their names, where they apply, and our own.

Metrics of builds and the queue are read from the database at each scrape, so all processes export the same values,
and restarts do not reset them: show one process or the maximum, never the sum. Lookups, requests, deliveries and
streams are counted by each process since its start: show the sum. No label names a repository, because `/metrics`
is public and some repositories are private.
"""

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import accumulate

import prometheus_client
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Info
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from db.database import Database
from db.queries import metrics
from db.records.ended_totals import EndedBuildCounts
from db.status import Status
from webhook.monitoring.build_counter import EndedBuildCounter
from webhook.settings import Role
from webhook.streaming.log_streams import LogStreams

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

BUCKETS = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
"""Upper bounds in seconds: BinderHub's, and shorter ones for fast builds."""

_RESULTS = {Status.SUCCEEDED: "success", Status.FAILED: "failure", Status.CANCELLED: "cancelled"}

log = structlog.get_logger()


class Metrics:
    """The metrics of one web process."""

    def __init__(
        self, database: Database, streams: LogStreams, clock: Callable[[], datetime], role: Role
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_DatabaseCollector(database, clock))
        Info("repo2hub_web", "Role of this process", registry=self._registry).info({"role": role})
        lookups = Counter("repo2hub_lookups", "Image lookups by result", ["result"], registry=self._registry)
        self._hits, self._misses = lookups.labels("hit"), lookups.labels("miss")
        self._build_requests = Counter(
            "repo2hub_build_requests",
            "Requests to BinderHub's build API by outcome",
            ["outcome"],
            registry=self._registry,
        )
        self._deliveries = Counter(
            "repo2hub_deliveries", "Webhook deliveries by outcome", ["outcome"], registry=self._registry
        )
        open_streams = Gauge("repo2hub_open_streams", "Open log streams", registry=self._registry)
        open_streams.set_function(lambda: streams.open_count)
        limit = Gauge("repo2hub_stream_places", "Limit of open log streams", registry=self._registry)
        limit.set(streams.limit)
        self._refused_viewers = Counter(
            "repo2hub_refused_viewers",
            "Viewers refused because the limit of open log streams was reached",
            registry=self._registry,
        )

    def lookup(self, *, hit: bool) -> None:
        """Count a lookup."""
        (self._hits if hit else self._misses).inc()

    def count_build_request(self, outcome: str) -> None:
        """Count a request to BinderHub's build API: cached, queued, joined, replayed (a failure) or refused."""
        self._build_requests.labels(outcome).inc()

    def delivery(self, outcome: str) -> None:
        """Count a webhook delivery."""
        self._deliveries.labels(outcome).inc()

    def count_refused_viewer(self) -> None:
        """Count a viewer that was refused because the limit of open log streams was reached."""
        self._refused_viewers.inc()

    def text(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return prometheus_client.generate_latest(self._registry)


class _DatabaseCollector(Collector):
    """Reads metrics from the database at each scrape."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._ended = EndedBuildCounter(database)

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering the collector does not read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("repo2hub_database_up", "Whether the database answers")
        try:
            with self._database.read() as session:
                queue = metrics.queue_load(session)
            ended = self._ended.count()
        except SQLAlchemyError as exc:
            log.warning("metrics.read_failed", error=type(exc).__name__)
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield _gauge("binderhub_inprogress_builds", "Running builds", queue.running)
        yield _gauge("repo2hub_queue_depth", "Queued builds", queue.queued)
        age = 0.0 if queue.oldest is None else (self._clock() - queue.oldest).total_seconds()
        yield _gauge("repo2hub_queue_oldest_seconds", "Age of the oldest queued build", max(age, 0.0))
        yield _build_counts(ended)
        yield _build_times(ended)


def _build_counts(ended: EndedBuildCounts) -> Metric:
    counts: Counts[tuple[str, str]] = Counts()
    for (status, provider, _), builds in ended.items():
        counts[_RESULTS[status], provider] += builds
    family = CounterMetricFamily("binderhub_build_count", "Ended builds", labels=["status", "provider"])
    for labels, count in sorted(counts.items()):
        family.add_metric(labels, count)
    return family


def _build_times(ended: EndedBuildCounts) -> Metric:
    bucket_counts: dict[str, list[int]] = {}
    sums: Counts[str] = Counts()
    for (status, _, seconds), builds in ended.items():
        if seconds is not None:
            result = _RESULTS[status]
            counts = bucket_counts.setdefault(result, [0] * (len(BUCKETS) + 1))
            counts[bisect_left(BUCKETS, seconds)] += builds
            sums[result] += builds * seconds
    family = HistogramMetricFamily(
        "binderhub_build_time_seconds", "Time from the start of a build to its end", labels=["status"]
    )
    names = [*map(str, BUCKETS), "+Inf"]
    for result, counts in sorted(bucket_counts.items()):
        # Buckets are cumulative: each one includes the smaller ones.
        family.add_metric([result], list(zip(names, accumulate(counts), strict=True)), sums[result])
    return family


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)
