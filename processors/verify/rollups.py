"""Rollups against the rows that they sum up, added by Postgres itself, in the snapshot in which the rows were compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import floor
from typing import Any

from events.envelope import FAILURES, OutcomeKind
from events.positions import Partition
from processors.verify.history_rows import Snapshot, time_us
from projections.history.excerpt import Excerpt
from projections.history.rollups import Bucket, Grain
from projections.live.canonical import encode
from projections.live.digest import Comparison

GRAINS = ("minute", "hour", "day")
_KEY = ("bucket", "tenant", "provider", "model", "region", "user")
_OTHERS = tuple(str(kind) for kind in OutcomeKind if kind is not OutcomeKind.SUCCESS)
_FAILURES = ", ".join(f"'{kind}'" for kind in sorted(map(str, FAILURES)))
_CALLS = {
    "calls": "count(*)",
    "successes": "count(*) FILTER (WHERE outcome = 'SUCCESS')",
    "failures": f"count(*) FILTER (WHERE outcome IN ({_FAILURES}))",
    **{kind.lower(): f"count(*) FILTER (WHERE outcome = '{kind}')" for kind in _OTHERS},
    "input_tokens": "sum(input_tokens)",
    "output_tokens": "sum(output_tokens)",
    "cached_input_tokens": "sum(cached_input_tokens)",
    "cost_nano_usd": "coalesce(sum(cost_nano_usd), 0)",
    "unpriced_calls": "count(*) - count(cost_nano_usd)",
    "latency_ms_sum": "sum(latency_ms)",
}
_CORRECTED = {
    "cost_nano_usd": "sum(cost_after_nano_usd::numeric - coalesce(cost_before_nano_usd, 0))",
    "unpriced_calls": "-count(*) FILTER (WHERE cost_before_nano_usd IS NULL)",
}
_SUMS = tuple(_CALLS)
_MOST = 2**63 - 1
LAST_BUCKET = 1023

# A stored sketch as `bucket:calls,...`: entries of 32 bits, big-endian, the bucket in the upper 10, calls in the lower 22.
_SPELLED = """(SELECT string_agg(concat(bucket, ':', calls), ',' ORDER BY bucket) FROM (
    SELECT (get_byte(latency_sketch, at) << 2) + (get_byte(latency_sketch, at + 1) >> 6) AS bucket,
        sum(((get_byte(latency_sketch, at + 1) & 63) << 16) + (get_byte(latency_sketch, at + 2) << 8)
            + get_byte(latency_sketch, at + 3)) AS calls
    FROM generate_series(0, octet_length(latency_sketch) - 4, 4) AS at GROUP BY 1) AS entry)"""


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one topic, and what rollups make of them. `something`: of sums that are not all nothing."""

    time: str
    latency: str
    sums: Mapping[str, str]
    sketch: str
    something: str


_ROWS = {
    "usage": _Rows(
        "occurred_at", "latency_ms", _CALLS, "string_agg(concat(at, ':', calls), ',' ORDER BY at)", "TRUE"
    ),
    "adjustments": _Rows(
        "timestamptz 'epoch' + usage_occurred_at * interval '1 microsecond'",
        "0::bigint",
        {name: _CORRECTED.get(name, "0") for name in _SUMS},
        "NULL::text",
        "(cost_nano_usd <> 0 OR unpriced_calls <> 0)",
    ),
}


def first_latencies() -> list[int]:
    """The least whole milliseconds of each bucket of a sketch, from bucket 1 on: bucket i begins above 1.04^(i-2)."""
    return [floor(Fraction(26, 25) ** (bucket - 2)) + 1 for bucket in range(1, LAST_BUCKET + 1)]


def _sql(topic: str, grain: str, of_buckets: str, of_rows: str) -> str:
    """Rows of both sides that are not alike: `side` 1 is the rollup, 2 the sum of the rows; where these conditions hold."""
    rows = _ROWS[topic]
    key = ", ".join(f'"{name}"' for name in _KEY)
    sums = ", ".join(f'"{name}"' for name in _SUMS)
    parts = ", ".join(f'{sql} AS "{name}"' for name, sql in rows.sums.items())
    summed = ", ".join(
        f'least(greatest(sum("{name}"), -{_MOST}), {_MOST})::numeric AS "{name}"' for name in _SUMS
    )
    widened = ", ".join(f'"{name}"::numeric' for name in _SUMS)
    bucket = f"date_trunc('{grain}', {rows.time}, 'UTC')"
    return f"""
        WITH held AS (
            SELECT {key}, {widened}, {_SPELLED} AS sketch FROM usage_by_{grain}
            WHERE log_partition = $4 AND bucket > $2 AND {of_buckets}
        ), part AS (
            SELECT {bucket} AS bucket, tenant, provider, model,
                coalesce(region, '') AS region, coalesce("user", '') AS "user",
                width_bucket({rows.latency}, $3::bigint[]) AS at, {parts}
            FROM {topic} WHERE log_partition = $1 AND {bucket} > $2 AND {of_rows}
            GROUP BY 1, 2, 3, 4, 5, 6, 7
        ), told AS (
            SELECT {key}, {summed}, {rows.sketch} AS sketch FROM part GROUP BY {key}
        ), differing AS (
            SELECT 1 AS side, {key}, {sums}, sketch FROM (TABLE held EXCEPT TABLE told) AS one
            UNION ALL
            SELECT 2 AS side, {key}, {sums}, sketch FROM (TABLE told EXCEPT TABLE held) AS other
        )
        SELECT * FROM differing WHERE {rows.something}
    """  # noqa: S608 - names of the code


async def compare_rollups(
    held: Snapshot, place: Partition, after: datetime, comparison: Comparison, excerpt: Excerpt | None = None
) -> tuple[int, set[Bucket]]:
    """Compare the rollups of a log partition of usage or adjustments that begin after an instant with its rows; how many
    there are, and which differ.

    Of an excerpt of whole days, if one is given. Only rows that differ are added to the comparison.
    """
    compared, latencies, differ = 0, first_latencies(), set[Bucket]()
    of_buckets, of_rows, counted_of = "TRUE", "TRUE", "TRUE"
    asked: tuple[object, ...] = ()
    if excerpt is not None:
        (of_buckets, asked), (of_rows, _) = (
            excerpt.where("bucket", 5),
            excerpt.where(_ROWS[place.topic].time, 5),
        )
        counted_of, _ = excerpt.where("bucket", 3)
    writer = place.number if place.topic == "usage" else -1 - place.number
    for grain in GRAINS:
        table = f"usage_by_{grain}"
        sides: tuple[dict[str, bytes], dict[str, bytes]] = ({}, {})
        sql = _sql(place.topic, grain, of_buckets, of_rows)
        for row in await held.connection.fetch(sql, place.number, after, latencies, writer, *asked):
            name = "|".join(str(row[part]) for part in _KEY[1:])
            document: dict[str, Any] = {part: int(row[part]) for part in _SUMS}
            document["latency_sketch"] = row["sketch"]
            sides[row["side"] - 1][f"{table}:{row['bucket']:%Y-%m-%dT%H:%MZ}|{name}"] = encode(document)
            differ.add((Grain[grain.upper()], time_us(row["bucket"])))
        comparison.add(str(place), *sides)
        counted = f"SELECT count(*) FROM {table} WHERE log_partition = $1 AND bucket > $2 AND {counted_of}"  # noqa: S608
        compared += await held.connection.fetchval(counted, writer, after, *asked)
    return compared, differ
