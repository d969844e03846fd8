"""Metrics of the API, all of them, in one place. Each application has a registry of its own."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from events.positions import Partition

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class ApiMetrics:
    """What the API counts; see `GET /metrics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "interlock_api_requests_total",
            "Requests answered",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "interlock_api_request_seconds",
            "From the first byte of a request to the last of its answer",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "interlock_api_requests_in_flight", "Requests that are being answered", registry=self.registry
        )
        self.appended = Counter(
            "interlock_api_events_appended_total",
            "Events that the log acknowledged",
            ["type"],
            registry=self.registry,
        )
        self.refused = Counter(
            "interlock_api_events_refused_total",
            "Items of event requests that were invalid",
            registry=self.registry,
        )
        self.append_seconds = Histogram(
            "interlock_api_append_seconds",
            "From encoding the events of a request to the log's acknowledgement",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.lag = Gauge(
            "interlock_lag_records",
            "Records of the log that the live projections have not folded yet",
            ["topic", "partition"],
            registry=self.registry,
        )
        self.sink_lag = Gauge(
            "interlock_sink_lag_records",
            "Records of the log that are not durable in a store yet",
            ["sink", "topic", "partition"],
            registry=self.registry,
        )
        self.lookups = Counter(
            "interlock_api_cache_lookups_total",
            "States that eventual reads looked for in the cache of this process: hit or miss",
            ["kind", "outcome"],
            registry=self.registry,
        )

    def set_lag(self, lag: Mapping[Partition, int]) -> None:
        """Show the lag of each partition."""
        for partition, records in lag.items():
            self.lag.labels(partition.topic, str(partition.number)).set(records)

    def set_sink_lag(self, sink: str, lag: Mapping[Partition, int]) -> None:
        """Show how far a store is behind."""
        for partition, records in lag.items():
            self.sink_lag.labels(sink, partition.topic, str(partition.number)).set(records)
