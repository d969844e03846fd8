"""Adjustments in the history: rows of their own, and other costs in every sum of the calls that they are about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from events.positions import Partition
from events.usage_recorded import UsageRecorded
from projections.history.queries.budgets_as_of import budgets_as_of, status_as_of
from projections.history.queries.ranking import Measure, split
from projections.history.queries.reader import HistoryReader
from projections.history.queries.span import Span
from projections.history.queries.usage import Dimension
from projections.history.rollups import Grain
from projections.history.take_back import take_back
from tests.integration.history.place import USAGE, Place, records
from tests.integration.traffic import adjusted, budget, usage

DAY_US = 86_400_000_000
AT_US = 20_000 * DAY_US + 12 * 3_600_000_000
"""Noon of a day in October; adjusted two days later."""

ADJUSTMENTS = Partition("adjustments", 0)


@pytest.fixture
async def calls(place: Place) -> list[UsageRecorded]:
    """Written: three calls of a minute, one of them without a price, and what two of them were adjusted to."""
    made = [
        usage("acme", occurred_at=AT_US + at, team=team, cost_nano_usd=cost)
        for at, team, cost in ((0, "a", 100), (1, "b", 10), (2, "b", None))
    ]
    corrected = [
        replace(adjusted(call, cost), occurred_at=AT_US + 2 * DAY_US)
        for call, cost in ((made[0], 30), (made[2], 5))
    ]
    limit = replace(budget("acme", 1_000), occurred_at=AT_US - 1)
    async with place.sink() as sink:
        for where, events in (
            (USAGE, made),
            (ADJUSTMENTS, [*corrected, corrected[0]]),
            (Partition("budgets", 0), [limit]),
        ):
            await sink.write(where, await sink.open(where), records(events))
    return made


@pytest.mark.parametrize(
    "dimension, costs",
    [
        (Dimension.USER, {("ann",): 45}),
        (Dimension.TEAM, {("a",): 30, ("b",): 15}),
        (Dimension.OUTCOME, {("SUCCESS",): 45}),
    ],
)
async def test_every_sum_has_them_where_the_calls_were(
    place: Place,
    calls: list[UsageRecorded],
    dimension: Dimension,
    costs: dict[tuple[str, ...], int],
) -> None:
    """From rollups and from rows, over a day and over an edge of a minute; there is no call more."""
    assert len(calls) == await place.value("SELECT count(*) FROM usage")
    async with HistoryReader(place.settings) as reader:
        for span in (Span(AT_US - AT_US % DAY_US, AT_US + DAY_US), Span(AT_US, AT_US + 3)):
            found = await split(reader, span, [dimension], {}, measure=Measure.COST, limit=9)
            sums = found.total.sums
            assert (sums["cost_nano_usd"], sums["calls"], sums["unpriced_calls"]) == (45, 3, 0)
            assert {group: totals.sums["cost_nano_usd"] for group, totals in found.groups} == costs


async def test_a_budget_as_of_counts_what_was_adjusted_by_then(
    place: Place, calls: list[UsageRecorded]
) -> None:
    """Not before the adjustment was on the log, though the call was."""
    assert calls
    async with HistoryReader(place.settings) as reader:
        limit = (await budgets_as_of(reader, AT_US + DAY_US))["acme"].budgets["steady"]
        for days, spent, unpriced in ((1, 110, 1), (3, 45, 0)):
            status = await status_as_of(reader, "acme", limit, AT_US + days * DAY_US)
            told = status.spent
            assert (told.cost_nano_usd, told.calls, told.unpriced_calls) == (spent, 3, unpriced)


async def test_taking_back_takes_them_out_of_the_sums(place: Place, calls: list[UsageRecorded]) -> None:
    """Of a log that has lost them."""
    assert calls
    await take_back(place.settings, {USAGE: 3, ADJUSTMENTS: 0, Partition("budgets", 0): 1})
    assert await place.value("SELECT count(*) FROM adjustments") == 0
    for grain in Grain:
        assert await place.value(f"SELECT sum(cost_nano_usd)::bigint FROM {grain.table}") == 110
        assert await place.value(f"SELECT count(*) FROM {grain.table} WHERE log_partition < 0") == 0
