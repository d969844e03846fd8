"""The history as the API sums it: series, costs, the largest, and how they change."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from api.rfc3339 import format_time_us
from events.envelope import FAILURES
from events.money import format_usd
from events.usage_recorded import UsageRecorded
from projections.history.sketch import RELATIVE_ERROR
from tests.integration.api.told import HOUR_US, MINUTE_US, START_US, WHOLE, Told


@pytest.mark.parametrize(
    "window, length_us", [("minute", MINUTE_US), ("hour", HOUR_US), ("day", 24 * HOUR_US)]
)
@pytest.mark.parametrize("by", [[], ["provider"], ["tenant", "region"], ["team"], ["outcome", "user"]])
async def test_a_series_is_the_sum_over_its_calls(
    told: Told, window: str, length_us: int, by: list[str]
) -> None:
    """In every window and group, from rollups as well as call by call; percentiles within the sketch's error."""
    answer = await told.world.read("/v1/history/usage/series", window=window, by=by, **WHOLE)
    groups: dict[tuple[Any, ...], list[UsageRecorded]] = {}
    for call in told.calls:
        start_us = call.occurred_at // length_us * length_us
        key = (format_time_us(start_us), *(getattr(call, name) for name in by))
        groups.setdefault(key, []).append(call)
    found = {
        (point["at"], *one["group"].values()): point for one in answer["series"] for point in one["points"]
    }
    assert found.keys() == groups.keys()
    for key, calls in groups.items():
        compare(found[key], calls)


def compare(point: dict[str, Any], calls: list[UsageRecorded]) -> None:
    """A point against the calls that it sums."""
    assert point["calls"] == len(calls)
    assert point["outcomes"] == Counter(call.outcome for call in calls)
    assert point["failures"] == sum(call.outcome in FAILURES for call in calls)
    assert point["input_tokens"] == sum(call.input_tokens for call in calls)
    assert point["output_tokens"] == sum(call.output_tokens for call in calls)
    assert point["cost_usd"] == format_usd(sum(call.cost_nano_usd or 0 for call in calls))
    assert point["unpriced_calls"] == sum(call.cost_nano_usd is None for call in calls)
    ordered = sorted(call.latency_ms for call in calls)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        exact = ordered[max(1, math.ceil(share * len(ordered))) - 1]
        assert point["latency_ms"][name] == pytest.approx(exact, rel=RELATIVE_ERROR * 1.01, abs=0.06)


@pytest.mark.parametrize("by", [["provider", "model"], ["user"], ["team", "tenant"], ["key"]])
async def test_cost_is_exact_for_any_range_and_dimension(told: Told, by: list[str]) -> None:
    """Also where the range begins and ends within a minute."""
    start_us, end_us = START_US + 17 * MINUTE_US + 123_457, START_US + 2 * HOUR_US + 1_000_001
    answer = await told.world.read(
        "/v1/history/usage/cost", by=by, **{"from": format_time_us(start_us), "to": format_time_us(end_us)}
    )
    costs: Counter[tuple[Any, ...]] = Counter()
    for call in told.calls:
        if start_us <= call.occurred_at < end_us:
            key = tuple(call.api_key if name == "key" else getattr(call, name) for name in by)
            costs[key] += call.cost_nano_usd or 0
    assert {tuple(one["group"].values()): one["cost_usd"] for one in answer["groups"]} == {
        key: format_usd(cost) for key, cost in costs.items()
    }
    assert answer["total"]["cost_usd"] == format_usd(sum(costs.values()))
    assert sum(one["share"] for one in answer["groups"]) == pytest.approx(1)


async def test_top_ranks_the_largest_and_counts_the_rest(told: Told) -> None:
    """By the measure that is asked for."""
    answer = await told.world.read("/v1/history/usage/top", measure="calls", by="model", limit=2, **WHOLE)
    counts = Counter(call.model for call in told.calls).most_common()
    assert [(one["group"]["model"], one["calls"]) for one in answer["groups"]] == counts[:2]
    assert (answer["unlisted"], answer["total"]["calls"]) == (len(counts) - 2, len(told.calls))


async def test_trends_compare_with_the_time_before(told: Told) -> None:
    """Of the last two of three hours, the hour before them is half a range; hours of the day are told apart."""
    span = {"from": format_time_us(START_US + HOUR_US), "to": format_time_us(START_US + 3 * HOUR_US)}
    answer = await told.world.read("/v1/history/usage/trends", tenant="acme", **span)
    calls = [call for call in told.calls if call.tenant == "acme"]
    now = [call for call in calls if call.occurred_at >= START_US + HOUR_US]
    compare(answer["total"], now)
    compare(answer["before"], [call for call in calls if call.occurred_at < START_US + HOUR_US])
    assert answer["change"]["calls"] == pytest.approx(len(now) / (len(calls) - len(now)) - 1, abs=1e-4)
    assert [point["at"] for point in answer["hours"]] == [
        format_time_us(START_US + HOUR_US),
        format_time_us(START_US + 2 * HOUR_US),
    ]
    assert [one["hour"] for one in answer["hours_of_day"] if one["calls"]] == [13, 14]
