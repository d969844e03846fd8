"""Rollups and sketches of the history against naive sums."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from events.codec import to_record
from events.envelope import FAILURES, OutcomeKind
from projections.history.rollups import SUM_COLUMNS, Grain, Row, UsageTally, coarser
from projections.history.sketch import (
    MAX_COUNT,
    RELATIVE_ERROR,
    Counts,
    bucket_of,
    decode,
    encode,
    merge_into,
    percentiles,
)
from projections.history.tables import derive_tables
from tests.integration.log import NOW_US, usage

LATENCIES = st.lists(st.integers(1, 7 * 86_400_000), min_size=1, max_size=60)
COUNTS = st.dictionaries(st.integers(0, 1023), st.integers(1, 3 * MAX_COUNT), max_size=40)
SHARES = st.floats(0, 1)
TABLE = derive_tables()["usage"]


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Calls of few callers within two days."""
    made = []
    for _ in range(draw(st.integers(1, 40))):
        event = replace(
            usage(draw(st.sampled_from(["acme", "umbrella"]))),
            occurred_at=NOW_US + draw(st.integers(-86_400_000_000, 86_400_000_000)),
            user=draw(st.sampled_from([None, "", "ann"])),
            region=draw(st.sampled_from([None, "eu"])),
            outcome=draw(st.sampled_from(OutcomeKind)),
            input_tokens=draw(st.integers(0, 10**6)),
            cost_nano_usd=draw(st.none() | st.integers(-(10**12), 10**12)),
            latency_ms=draw(st.integers(0, 10**6)),
        )
        record = to_record(event)
        made.append((*(record[column.name] for column in TABLE.fields), 0, 0, 0))
    return made


def naive(all_rows: list[Row], grain: Grain) -> dict[tuple[Any, ...], tuple[dict[str, int], Counter[int]]]:
    """One row after the other into sums by name."""
    found: dict[tuple[Any, ...], tuple[dict[str, int], Counter[int]]] = {}
    for row in all_rows:
        call = dict(zip(TABLE.column_names, row, strict=True))
        start_us = call["occurred_at"] // grain.length_us * grain.length_us
        names = [call[name] or "" for name in ("tenant", "provider", "model", "region", "user")]
        sums, latencies = found.setdefault((start_us, *names), (dict.fromkeys(SUM_COLUMNS, 0), Counter()))
        outcome = OutcomeKind(call["outcome"])
        sums["calls"] += 1
        sums["successes" if outcome is OutcomeKind.SUCCESS else outcome.lower()] += 1
        sums["failures"] += outcome in FAILURES
        for name in ("input_tokens", "output_tokens", "cached_input_tokens"):
            sums[name] += call[name]
        sums["cost_nano_usd"] += call["cost_nano_usd"] or 0
        sums["unpriced_calls"] += call["cost_nano_usd"] is None
        sums["latency_ms_sum"] += call["latency_ms"]
        latencies[bucket_of(call["latency_ms"])] += 1
    return found


@given(rows())
def test_rollups_of_every_grain_are_the_naive_sums(all_rows: list[Row]) -> None:
    """Whatever the calls, each minute, hour and day is the sum of its rows, by caller."""
    by_minute = UsageTally(TABLE.column_names).by_minute(all_rows)
    for grain in Grain:
        found = by_minute if grain is Grain.MINUTE else coarser(by_minute, grain)
        told = {
            key: (dict(zip(SUM_COLUMNS, one.sums, strict=True)), Counter(one.latencies))
            for key, one in found.items()
        }
        assert told == naive(all_rows, grain)


@given(st.lists(rows(), min_size=2, max_size=3))
def test_rollups_of_batches_add_up_to_those_of_all(batches: list[list[Row]]) -> None:
    """How the log was cut into batches does not show."""
    tally = UsageTally(TABLE.column_names)
    added = tally.by_minute([])
    for batch in batches:
        for key, rollup in tally.by_minute(batch).items():
            if key in added:
                added[key].add(rollup)
            else:
                added[key] = rollup
    assert added == tally.by_minute([row for batch in batches for row in batch])


@given(LATENCIES, SHARES)
def test_a_percentile_is_off_by_at_most_two_percent(latencies: list[int], share: float) -> None:
    """Against the call of the same rank among all of them, sorted."""
    exact = sorted(latencies)[max(1, math.ceil(share * len(latencies))) - 1]
    (found,) = percentiles(Counter(map(bucket_of, latencies)), [share])
    assert found is not None
    assert abs(found - exact) <= exact * (RELATIVE_ERROR + 1e-9)
    assert RELATIVE_ERROR < 0.02


@given(COUNTS, COUNTS, COUNTS)
def test_merging_sketches_is_associative_and_commutative(a: Counts, b: Counts, c: Counts) -> None:
    """In whatever order, and written one after the other as Postgres joins them, the counts are the sums."""

    def merged(*sketches: Counts) -> Counts:
        held: Counts = {}
        for sketch in sketches:
            merge_into(held, sketch)
        return held

    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c)) == merged(a, b, c)
    assert decode(encode(a) + encode(b) + encode(c)) == merged(a, b, c)


@given(COUNTS)
def test_a_sketch_is_read_as_it_was_written(counts: Counts) -> None:
    """In entries of four bytes, as few as there can be."""
    stored = encode(counts)
    assert decode(stored) == counts
    assert len(stored) == 4 * sum(-(-count // MAX_COUNT) for count in counts.values())


def test_a_sketch_of_nothing_has_no_percentile() -> None:
    """No calls, no latency."""
    assert percentiles({}, [0.5]) == [None]
    assert percentiles({bucket_of(0): 3}, [0.5]) == [0.0]
