"""Metrics of the workers, all of them, in one place."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

FOLDED = Counter("interlock_folded_total", "Records folded into the live projections", ["topic"])
DUPLICATES = Counter(
    "interlock_duplicates_total", "Records dropped because their event was folded before", ["topic"]
)
REFUSED = Counter("interlock_refused_total", "Records that were dead-lettered", ["topic", "reason"])
DERIVED = Counter("interlock_derived_total", "Derived events appended", ["topic"])
RETRIES = Counter("interlock_retries_total", "Waits for a dependency that was away", ["what"])
REOPENED = Counter("interlock_slots_reopened_total", "Slots loaded anew, by cause", ["cause"])
OVERRULED = Counter(
    "interlock_decisions_overruled_total",
    "Breakers folded anew because another owner of the slot had decided first",
)
SLOTS = Gauge("interlock_slots_owned", "Slots that this worker owns")
SINK_RECORDS = Counter("interlock_sink_records_total", "Records written to a store", ["sink", "topic"])
SINK_REOPENED = Counter(
    "interlock_sink_reopened_total", "Partitions that a sink had to open again, by cause", ["sink", "cause"]
)
SINK_PARTITIONS = Gauge("interlock_sink_partitions_owned", "Partitions that this process writes", ["sink"])
ARCHIVE_MERGED = Counter(
    "interlock_archive_merged_segments_total",
    "Small segments of the archive that larger ones took the place of",
)
VERIFIED = Counter(
    "interlock_verify_slots_total",
    "Slots compared with a naive fold of the log, by what was found",
    ["result"],
)
DRIFT = Gauge(
    "interlock_verify_drift_keys",
    "Keys of a slot that are not what the log says, when last compared",
    ["slot"],
)
VERIFY_RECORDS = Counter("interlock_verify_records_total", "Records folded naively to verify slots")
VERIFY_CPU_S = Counter("interlock_verify_cpu_seconds_total", "CPU that the naive folds have used")
BATCH_S = Histogram(
    "interlock_batch_seconds",
    "From taking a batch to its checkpoint and derived events being durable",
    ["topic"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
