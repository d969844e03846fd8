"""Rollups against the rows that they sum up, added by Postgres itself, in the snapshot in which the rows were compared."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from math import floor
from typing import Any

from events.envelope import FAILURES, OutcomeKind
from processors.verify.history_rows import Snapshot
from projections.live.canonical import encode
from projections.live.digest import Comparison

GRAINS = ("minute", "hour", "day")
_KEY = ("bucket", "tenant", "provider", "model", "region", "user")
_OTHERS = tuple(str(kind) for kind in OutcomeKind if kind is not OutcomeKind.SUCCESS)
_FAILURES = ", ".join(f"'{kind}'" for kind in sorted(map(str, FAILURES)))
_SUMS = {
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
_LEAST, _MOST = -(2**63), 2**63 - 1
LAST_BUCKET = 1023

# A stored sketch as `bucket:calls,...`: entries of 32 bits, big-endian, the bucket in the upper 10, calls in the lower 22.
_SPELLED = """(SELECT string_agg(concat(bucket, ':', calls), ',' ORDER BY bucket) FROM (
    SELECT (get_byte(latency_sketch, at) << 2) + (get_byte(latency_sketch, at + 1) >> 6) AS bucket,
        sum(((get_byte(latency_sketch, at + 1) & 63) << 16) + (get_byte(latency_sketch, at + 2) << 8)
            + get_byte(latency_sketch, at + 3)) AS calls
    FROM generate_series(0, octet_length(latency_sketch) - 4, 4) AS at GROUP BY 1) AS entry)"""


def first_latencies() -> list[int]:
    """The least whole milliseconds of each bucket of a sketch, from bucket 1 on: bucket i begins above 1.04^(i-2)."""
    return [floor(Fraction(26, 25) ** (bucket - 2)) + 1 for bucket in range(1, LAST_BUCKET + 1)]


def _sql(grain: str) -> str:
    """Rows of both sides that are not alike: `side` 1 is the rollup, 2 the sum of the rows."""
    key = ", ".join(f'"{name}"' for name in _KEY)
    sums = ", ".join(f'"{name}"' for name in _SUMS)
    parts = ", ".join(f'{sql} AS "{name}"' for name, sql in _SUMS.items())
    summed = ", ".join(
        f'least(greatest(sum("{name}"), {_LEAST}), {_MOST})::numeric AS "{name}"' for name in _SUMS
    )
    widened = ", ".join(f'"{name}"::numeric' for name in _SUMS)
    return f"""
        WITH held AS (
            SELECT {key}, {widened}, {_SPELLED} AS sketch FROM usage_by_{grain}
            WHERE log_partition = $1 AND bucket > $2
        ), part AS (
            SELECT date_trunc('{grain}', occurred_at, 'UTC') AS bucket, tenant, provider, model,
                coalesce(region, '') AS region, coalesce("user", '') AS "user",
                width_bucket(latency_ms, $3::bigint[]) AS at, {parts}
            FROM usage WHERE log_partition = $1 AND date_trunc('{grain}', occurred_at, 'UTC') > $2
            GROUP BY 1, 2, 3, 4, 5, 6, 7
        ), told AS (
            SELECT {key}, {summed}, string_agg(concat(at, ':', calls), ',' ORDER BY at) AS sketch
            FROM part GROUP BY {key}
        )
        SELECT 1 AS side, {key}, {sums}, sketch FROM (TABLE held EXCEPT TABLE told) AS one
        UNION ALL
        SELECT 2 AS side, {key}, {sums}, sketch FROM (TABLE told EXCEPT TABLE held) AS other
    """  # noqa: S608 - names of the code


async def compare_rollups(held: Snapshot, number: int, after: datetime, comparison: Comparison) -> int:
    """Compare the rollups of a log partition that begin after an instant with its rows; how many there are.

    Only rows that differ are added to the comparison.
    """
    compared, buckets = 0, first_latencies()
    for grain in GRAINS:
        table = f"usage_by_{grain}"
        sides: tuple[dict[str, bytes], dict[str, bytes]] = ({}, {})
        for row in await held.connection.fetch(_sql(grain), number, after, buckets):
            name = "|".join(str(row[part]) for part in _KEY[1:])
            document: dict[str, Any] = {part: int(row[part]) for part in _SUMS}
            document["latency_sketch"] = row["sketch"]
            sides[row["side"] - 1][f"{table}:{row['bucket']:%Y-%m-%dT%H:%MZ}|{name}"] = encode(document)
        comparison.add(f"usage-{number}", *sides)
        counted = f"SELECT count(*) FROM {table} WHERE log_partition = $1 AND bucket > $2"  # noqa: S608 - a name of the code
        compared += await held.connection.fetchval(counted, number, after)
    return compared
