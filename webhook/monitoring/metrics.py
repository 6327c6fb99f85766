"""What Prometheus is told: BinderHub's metrics by their names, where they apply, and ours.

Builds and the queue are read from the records when they are asked for, so that all processes say the same, and go
on where they were after a restart: show one of them, or their maximum, never the sum. What a process answers
itself (lookups, requests, deliveries, streams) it counts itself, from its start: show the sum. No label names a
repository: `/metrics` is open to everybody, and some repositories are not.
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
from db.status import Status
from webhook.monitoring.build_counter import EndedBuildCounter, EndedBuildCounts
from webhook.settings import Role
from webhook.streaming.log_streams import LogStreams

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

BUCKETS = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
"""Seconds; BinderHub's, and shorter ones for builds that have little to do."""

_RESULTS = {Status.SUCCEEDED: "success", Status.FAILED: "failure", Status.CANCELLED: "cancelled"}

log = structlog.get_logger()


class Metrics:
    """The metrics of one application."""

    def __init__(
        self, database: Database, streams: LogStreams, clock: Callable[[], datetime], role: Role
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Records(database, clock))
        Info("repo2hub_web", "What this process serves", registry=self._registry).info({"role": role})
        lookups = Counter(
            "repo2hub_lookups", "Lookups of images by result", ["result"], registry=self._registry
        )
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
        streams_open = Gauge("repo2hub_open_streams", "Logs that are followed now", registry=self._registry)
        streams_open.set_function(lambda: streams.open_count)
        places = Gauge("repo2hub_stream_places", "Logs that may be followed at once", registry=self._registry)
        places.set(streams.limit)
        self._refused = Counter(
            "repo2hub_refused_viewers", "Viewers for whom there was no place", registry=self._registry
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
        """Count a viewer for whom there was no place."""
        self._refused.inc()

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return prometheus_client.generate_latest(self._registry)


class _Records(Collector):
    """Reads the records at each scrape."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._ended = EndedBuildCounter(database)

    def describe(self) -> list[Metric]:
        """Return nothing: a registry that asks for names must not need the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("repo2hub_database_up", "Whether the database answers")
        try:
            with self._database.read() as session:
                queue = metrics.queue_load(session)
            ended = self._ended.count()
        except SQLAlchemyError as exc:
            log.warning("metrics.database_away", error=type(exc).__name__)
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield _gauge("binderhub_inprogress_builds", "Builds that run", queue.running)
        yield _gauge("repo2hub_queue_depth", "Builds that wait", queue.queued)
        waited = 0.0 if queue.oldest is None else (self._clock() - queue.oldest).total_seconds()
        yield _gauge(
            "repo2hub_queue_oldest_seconds", "How long the oldest of them has waited", max(waited, 0.0)
        )
        yield _build_counts(ended)
        yield _build_times(ended)


def _build_counts(ended: EndedBuildCounts) -> Metric:
    counts: Counts[tuple[str, str]] = Counts()
    for (status, provider, _), builds in ended.items():
        counts[_RESULTS[status], provider] += builds
    family = CounterMetricFamily(
        "binderhub_build_count", "Builds that have ended", labels=["status", "provider"]
    )
    for labels, number in sorted(counts.items()):
        family.add_metric(labels, number)
    return family


def _build_times(ended: EndedBuildCounts) -> Metric:
    places: dict[str, list[int]] = {}
    sums: Counts[str] = Counts()
    for (status, _, seconds), builds in ended.items():
        if seconds is not None:
            result = _RESULTS[status]
            found = places.setdefault(result, [0] * (len(BUCKETS) + 1))
            found[bisect_left(BUCKETS, seconds)] += builds
            sums[result] += builds * seconds
    family = HistogramMetricFamily(
        "binderhub_build_time_seconds", "From a build's start to its end", labels=["status"]
    )
    names = [*map(str, BUCKETS), "+Inf"]
    for result, found in sorted(places.items()):
        # Each bucket holds what the ones before it hold, too.
        family.add_metric([result], list(zip(names, accumulate(found), strict=True)), sums[result])
    return family


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)
