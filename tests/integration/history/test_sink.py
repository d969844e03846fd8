"""The history's sink on a real Postgres: what is written, once, by one owner, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from events.envelope import OutcomeKind
from events.positions import Partition
from projections.errors import FencedError, StaleCheckpointError
from projections.tip import tip_of
from tests.integration.history.place import USAGE, Place, records
from tests.integration.log import NOW_US, usage

HOUR_US = 3_600_000_000
SUMS = "SELECT sum(calls)::bigint AS calls, sum(cost_nano_usd)::bigint AS cost FROM "


async def test_a_written_batch_is_rows_rollups_and_checkpoint(place: Place) -> None:
    """Each field has its column, each grain its sums, and the next offset is kept with them."""
    event = usage(
        user="ann",
        region="eu",
        input_tokens=7,
        latency_ms=1500,
        cost_nano_usd=40,
        attributes={"team": "é"},
    )
    async with place.sink() as sink:
        assert await sink.open(USAGE) == 0
        assert await sink.write(USAGE, 0, records([event, usage(outcome=OutcomeKind.TIMEOUT)])) == 2
        assert await sink.positions() == {USAGE: 2}
    (row,) = await place.ask("SELECT * FROM usage WHERE log_offset = 0")
    assert row["event_id"] == UUID(event.event_id)
    assert row["occurred_at"] == datetime.fromtimestamp(NOW_US // 1_000_000, UTC)
    assert (row["tenant"], row["user"], row["region"], row["org"]) == ("acme", "ann", "eu", None)
    assert (row["input_tokens"], row["cost_nano_usd"], row["status_code"]) == (7, 40, None)
    assert (row["attributes"], row["log_partition"]) == ('{"team": "é"}', 0)
    for grain in ("minute", "hour", "day"):
        (ann, nobody) = await place.ask(f'SELECT * FROM usage_by_{grain} ORDER BY "user" DESC')
        assert (ann["calls"], ann["successes"], ann["cost_nano_usd"], ann["unpriced_calls"]) == (1, 1, 40, 0)
        assert (nobody["user"], nobody["failures"], nobody["timeout"], nobody["unpriced_calls"]) == (
            "",
            1,
            1,
            1,
        )


async def test_the_next_owner_learns_which_record_was_the_last(place: Place) -> None:
    """A duplicate is one too: what counts is what lay on the log."""
    event = usage()
    whole = records([event, usage(), event])
    async with place.sink() as sink, place.sink() as another:
        await sink.open(USAGE)
        assert sink.tip(USAGE) is None
        await sink.write(USAGE, 0, whole[:2])
        await sink.write(USAGE, 2, whole[2:])
        await another.open(USAGE)
        assert another.tip(USAGE) == tip_of(whole[2])


async def test_a_duplicate_is_dropped_for_good(place: Place) -> None:
    """In its batch, in the next one, and by an owner that has never seen the first; it is in no rollup."""
    first, second, third = usage(cost_nano_usd=1), usage(cost_nano_usd=1), usage(cost_nano_usd=1)
    async with place.sink() as sink:
        await sink.open(USAGE)
        await sink.write(USAGE, 0, records([first, first]))
        await sink.write(USAGE, 2, records([second, first], 2))
    async with place.sink() as another:
        assert await another.open(USAGE) == 4
        assert await another.write(USAGE, 4, records([first, third, second, third], 4)) == 8
    assert await place.value("SELECT count(*) FROM usage") == 3
    for grain in ("minute", "hour", "day"):
        (sums,) = await place.ask(f"{SUMS} usage_by_{grain}")
        assert sums == {"calls": 3, "cost": 3}


async def test_the_same_id_in_another_spelling_or_at_another_time_is_a_duplicate(place: Place) -> None:
    """An id is one event, however it is written."""
    event = usage()
    shouted = usage(event_id=event.event_id.upper())
    later = usage(event_id=event.event_id, occurred_at=NOW_US + HOUR_US)
    async with place.sink() as sink:
        await sink.open(USAGE)
        await sink.write(USAGE, 0, records([event, shouted]))
    async with place.sink() as another:
        await another.open(USAGE)
        await another.write(USAGE, 2, records([later], 2))
    assert await place.value("SELECT count(*) FROM usage") == 1
    assert await place.value("SELECT sum(calls)::int FROM usage_by_minute") == 1


async def test_an_owner_that_was_replaced_is_fenced_and_writes_nothing(place: Place) -> None:
    """The epoch rises when a partition is opened; an older one changes nothing any more."""
    async with place.sink() as zombie, place.sink() as owner:
        await zombie.open(USAGE)
        await zombie.write(USAGE, 0, records([usage()]))
        assert await owner.open(USAGE) == 1
        with pytest.raises(FencedError):
            await zombie.write(USAGE, 1, records([usage(), usage()], 1))
        assert await owner.write(USAGE, 1, records([usage()], 1)) == 2
        with pytest.raises(FencedError):
            await zombie.write(USAGE, 1, records([usage()], 1))
    assert await place.value("SELECT count(*) FROM usage") == 2
    assert await place.value("SELECT sum(calls)::int FROM usage_by_day") == 2


async def test_a_batch_that_does_not_begin_at_the_checkpoint_is_stale(place: Place) -> None:
    """Neither a repeated batch nor one after a gap is written."""
    async with place.sink() as sink:
        with pytest.raises(StaleCheckpointError):
            await sink.write(USAGE, 0, records([usage()]))
        await sink.open(USAGE)
        batch = records([usage()])
        await sink.write(USAGE, 0, batch)
        for start in (0, 2):
            with pytest.raises(StaleCheckpointError):
                await sink.write(USAGE, start, batch)
        assert await sink.positions() == {USAGE: 1}
        await sink.release(USAGE)
        with pytest.raises(StaleCheckpointError):
            await sink.write(USAGE, 1, records([usage()], 1))
    assert await place.value("SELECT count(*) FROM usage") == 1


async def test_a_late_event_lands_in_its_own_bucket_and_month(place: Place) -> None:
    """Wherever it lies on the log, an event counts where it occurred; its month is made for it."""
    years_late = usage(occurred_at=NOW_US - 3 * 366 * 24 * HOUR_US)
    before_all, after_all = usage(occurred_at=5), usage(occurred_at=4_200_000_000_000_000)
    async with place.sink() as sink:
        await sink.open(USAGE)
        await sink.write(USAGE, 0, records([usage(), usage(occurred_at=NOW_US - HOUR_US)]))
        await sink.write(USAGE, 2, records([years_late, before_all, after_all, usage()], 2))
    hours = await place.ask(
        "SELECT tableoid::regclass::text AS partition, calls FROM usage_by_hour ORDER BY bucket"
    )
    assert [tuple(row.values()) for row in hours] == [
        ("usage_by_hour_early", 1),
        ("usage_by_hour_y2020m11", 1),
        ("usage_by_hour_y2023m11", 1),
        ("usage_by_hour_y2023m11", 2),
        ("usage_by_hour_late", 1),
    ]
    assert await place.value("SELECT count(*) FROM usage_y2020m11") == 1


async def test_of_two_records_of_one_event_the_first_counts(place: Place) -> None:
    """Also when the second is what the quick way takes, and the first is left over by it: workers go by the log's order."""
    first = usage(user="Zoë", cost_nano_usd=5)
    again = replace(first, user="ann", cost_nano_usd=7)
    async with place.sink() as sink:
        await sink.open(USAGE)
        await sink.write(USAGE, 0, records([usage(user="bob", cost_nano_usd=1), first, again]))
    assert await place.value("SELECT sum(cost_nano_usd)::int FROM usage_by_day") == 6
    assert await place.value("SELECT sum(cost_nano_usd)::int FROM usage") == 6


async def test_a_record_in_the_wrong_partition_does_not_stand_for_the_right_one(place: Place) -> None:
    """Workers refuse it, so it may not make a duplicate of the one that they count."""
    event = usage()
    async with place.sink() as sink:
        for partition in (Partition("usage", 1), USAGE):
            await sink.open(partition)
            await sink.write(partition, 0, records([event], partition=partition.number))
    assert await place.ask("SELECT log_partition, calls FROM usage_by_day") == [
        {"log_partition": 0, "calls": 1}
    ]
    assert await place.value("SELECT reason FROM refused") == "wrong_partition"


async def test_an_offset_that_the_log_no_longer_holds_is_passed_over(place: Place) -> None:
    """A log that begins later than the checkpoint is taken from where it begins."""
    async with place.sink() as sink:
        await sink.open(USAGE)
        assert await sink.write(USAGE, 0, records([usage()], 700)) == 701
        assert await sink.write(USAGE, 701, records([usage()], 701)) == 702
