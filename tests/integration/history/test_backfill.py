"""Parts of the history filled from the log, on real servers: equal to it afterwards, beside a sink and traffic."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from processors.backfill.history import BackfillOutcome
from processors.rebuild.errors import (
    BadRecordError,
    LogEndsEarlyError,
    LogStartGoneError,
    NothingToFillError,
    RowsGoneError,
)
from projections.archive.sink import ArchiveSink
from projections.history.excerpt import DAY_US, Excerpt
from projections.retention.log_begin import cut
from projections.settings import LiveSettings
from tests.integration.archive.archiving import archive_log, settings_of
from tests.integration.history.backfilling import HOUR_US, backfill_of, filled, of_late
from tests.integration.history.place import Place
from tests.integration.history.rebuilding import (
    caught_up,
    ends_of,
    sinking,
    something_of_every_kind,
    write,
    wrong,
)
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import adjusted, now_us, traffic, usage

pytestmark = pytest.mark.any_broker

ROLLUPS = ("usage_by_minute", "usage_by_hour", "usage_by_day")


@pytest.fixture
async def rig(log_address: str) -> AsyncIterator[Rig]:
    """A log with something of every kind."""
    async with Rig(settings_of_worker(log_address), LiveSettings()) as opened:
        await something_of_every_kind(opened)
        yield opened


@pytest.fixture
async def written(rig: Rig, place: Place) -> Place:
    """Its history."""
    await write(rig, place)
    return place


def changed(outcome: BackfillOutcome) -> tuple[int, int]:
    """Rows and rows of rollups."""
    return outcome.rows.changed, outcome.rollups.changed


async def damage(place: Place) -> int:
    """Rows that are gone, a column that is null in rows, sums that are gone, forged or of nothing; how many rows."""
    gone = await place.ask("DELETE FROM usage WHERE log_offset % 3 = 0 RETURNING log_offset")
    gone += await place.ask("DELETE FROM health RETURNING log_offset")
    nulled = await place.ask("UPDATE usage SET cost_nano_usd = NULL, team = NULL RETURNING log_offset")
    nulled += await place.ask("UPDATE budgets SET reason = 'forged' RETURNING log_offset")
    await place.ask("DELETE FROM usage_by_hour WHERE tenant = 'acme'")
    forged = "SET calls = calls + 5, latency_sketch = int4send((7 << 22) + 1)"
    await place.ask(f"UPDATE usage_by_day {forged}")
    await place.ask("UPDATE usage_by_minute SET tenant = 'nobody' WHERE \"user\" = 'kept'")
    return len(gone) + len(nulled)


async def test_what_is_missing_or_damaged_is_filled_beside_a_sink_and_traffic(
    rig: Rig, written: Place
) -> None:
    """All is counted once, the sink forgets the sums that it remembers, and a second backfill changes nothing."""
    damaged = await damage(written)
    async with sinking(rig, written):
        await rig.append(usage("acme", user="kept"))
        await caught_up(rig, written)  # the sink remembers damaged sums by now
        async with traffic(rig):
            assert len(await wrong(rig, written)) > damaged
            outcome = await filled(rig, written, "history")
            assert outcome.rows.changed >= damaged > 60
            assert outcome.rollups.changed > 5
        await rig.append(usage("acme", user="kept"))
        await caught_up(rig, written)
        assert await wrong(rig, written) == []
        again = await filled(rig, written, "history")
    assert changed(again) == (0, 0)
    assert again.rows.events > damaged
    assert await wrong(rig, written) == []


async def test_only_what_was_asked_for_is_touched(rig: Rig, written: Place) -> None:
    """One tenant, one provider, one table, the rollups alone, or no time at all; the others' stay as they are."""
    epochs = "SELECT sum(epoch) FROM checkpoints"
    before = await written.value(epochs)
    await written.ask("UPDATE usage SET cost_nano_usd = 1")
    await written.ask("UPDATE usage_by_day SET calls = calls + 1 WHERE log_partition >= 0")
    gone = await written.ask("DELETE FROM health RETURNING log_offset")
    nothing = Excerpt(now_us() - 3 * DAY_US, now_us() - 2 * DAY_US)
    assert changed(await filled(rig, written, "history.usage", nothing)) == (0, 0)
    assert await written.value(epochs) == before

    async def left(condition: str) -> tuple[int, int]:
        rows = f"SELECT count(*) FROM usage WHERE cost_nano_usd = 1 AND {condition}"
        sums = f"SELECT count(*) FROM usage_by_day WHERE cost_nano_usd <> calls - 1 AND {condition}"
        return await written.value(rows), await written.value(sums)

    others = await left("tenant <> 'acme'")
    await filled(rig, written, "history.usage", of_late(tenant="acme"))
    assert await left("tenant <> 'acme'") == others
    assert (await left("tenant = 'acme'"))[0] == 0
    assert "acme" not in "".join(one for one in await wrong(rig, written) if " usage" in one)
    await filled(rig, written, "history.usage", of_late(provider="openai"))
    assert (await left("provider = 'openai'"))[0] == 0
    assert (await left("provider = 'anthropic'"))[0] > 0
    assert await written.value("SELECT count(*) FROM health") == 0
    assert (await filled(rig, written, "history.health")).rows.missing == len(gone)
    assert (await filled(rig, written, "history.usage")).rows.wrong > 0
    assert await wrong(rig, written) == []
    for table in ROLLUPS:
        await written.ask(f"DELETE FROM {table}")
    rollups = await filled(rig, written, "rollups")
    assert (rollups.rows.events, rollups.rollups.changed) == (0, rollups.found.rollup_rows)
    assert await wrong(rig, written) == []


async def test_rows_that_retention_has_taken_come_back_and_are_counted_once(rig: Rig, place: Place) -> None:
    """The rollups have them still. Rollups alone are not made of rows that may be gone, and say what to do."""
    days_us = [now_us() - number * DAY_US for number in (40, 4, 3, 2)]
    await rig.append(*(usage("acme", occurred_at=at_us, user=f"old-{at_us}") for at_us in days_us))
    await write(rig, place)
    assert await wrong(rig, place) == []
    month = f"usage_y{time.strftime('%Ym%m', time.gmtime(days_us[0] / 1_000_000))}"
    await place.ask(f"ALTER TABLE usage DETACH PARTITION {month}")
    await place.ask(f"DROP TABLE {month}")
    await place.ask("DELETE FROM usage WHERE \"user\" LIKE 'old-%'")
    since = Excerpt(days_us[0], now_us())
    with pytest.raises(RowsGoneError, match=r"--from 20.*T00:00:00Z, or .* backfill history.usage"):
        await filled(rig, place, "rollups", since)
    outcome = await filled(rig, place, "history.usage", since)
    assert outcome.rows.missing >= len(days_us)
    assert outcome.rollups.changed == 0
    assert await wrong(rig, place) == []


async def test_what_corrects_calls_is_filled_with_the_time_of_the_calls(rig: Rig, place: Place) -> None:
    """Made since, a row that is gone comes back with the day that it corrects, and the sums of that day are whole again."""
    old = usage("acme", occurred_at=now_us() - 40 * DAY_US, user="old", cost_nano_usd=100)
    await rig.append(old, adjusted(old, 30), *(adjusted(usage("globex"), 1) for _ in range(9)))
    await write(rig, place)
    of_then = Excerpt(old.occurred_at, old.occurred_at + 1)
    others = "SELECT count(*) FROM adjustments WHERE tenant = 'globex'"
    await place.ask("DELETE FROM adjustments")
    for table in ROLLUPS:
        await place.ask(f"UPDATE {table} SET cost_nano_usd = 1 WHERE log_partition < 0")
    with pytest.raises(
        RowsGoneError, match=r"first record of adjustments-\d.* `interlock backfill history.adj"
    ):
        await filled(rig, place, "rollups", of_then)
    outcome = await filled(rig, place, "history.adjustments", of_then)
    assert (changed(outcome), await place.value(others)) == ((1, 3), 0)
    spent = "SELECT sum(cost_nano_usd)::bigint FROM usage_by_day WHERE \"user\" = 'old'"
    assert await place.value(spent) == 30
    assert changed(await filled(rig, place, "history.adjustments"))[0] == 10
    assert await wrong(rig, place) == []
    await place.ask("UPDATE usage_by_hour SET cost_nano_usd = 1 WHERE log_partition < 0")
    since = Excerpt(now_us() - HOUR_US, now_us() + HOUR_US)
    assert changed(await filled(rig, place, "rollups", since))[1] > 0


async def test_the_row_of_an_event_is_that_of_its_first_record(rig: Rig, place: Place) -> None:
    """One of a duplicate that was written instead is set right; texts that Postgres cannot hold stay as they were put."""
    await rig.append(usage("acme", error="a\0b", attributes={"a\0b": "c\0d"}))
    await write(rig, place)
    records = [one for some in (await rig.records("usage")).values() for one in some]
    _, later = [one.offset for one in records if one.value is not None and b"kept" in one.value]
    await place.ask("UPDATE usage SET log_offset = $1 WHERE \"user\" = 'kept'", later)
    assert await wrong(rig, place)
    outcome = await filled(rig, place, "history.usage")
    assert (outcome.rows.missing, outcome.rows.wrong, outcome.rollups.changed) == (0, 1, 0)
    assert await wrong(rig, place) == []


async def test_bad_records_stop_it_unless_they_were_refused_before(rig: Rig, written: Place) -> None:
    """Each that is passed over is named, and lies in `refused` again; who is a row now lies there no longer."""
    assert changed(await filled(rig, written, "history")) == (0, 0)
    row = "SELECT 'usage' AS topic, log_partition, log_offset, 'unknown_schema' AS reason, '' AS detail, NULL::bytea AS key, "
    await written.ask(
        f"INSERT INTO refused {row} '\\x00'::bytea AS value, appended_at FROM usage WHERE \"user\" = 'kept'"
    )
    await written.ask("DELETE FROM usage WHERE \"user\" = 'kept'")
    assert (await filled(rig, written, "history.usage")).rows.refused == 1
    await written.ask("DELETE FROM refused")
    with pytest.raises(BadRecordError, match=r"usage-0:\d+ bad_magic.*nor the history.*--skip-bad"):
        await filled(rig, written, "history")
    outcome = await filled(rig, written, "history", skips_bad=True)
    assert sorted(one.reason for one in outcome.skipped) == ["bad_magic", "no_value"]
    assert outcome.rows.changed == len(outcome.skipped)
    assert await wrong(rig, written) == []


async def test_what_it_does_not_set_right_is_named(rig: Rig, written: Place, beside: Place) -> None:
    """A row of no event; and a history that is ahead of the log, or not there at all, is not filled."""
    await written.ask("UPDATE usage SET event_id = gen_random_uuid() WHERE \"user\" = 'kept'")
    outcome = await backfill_of(rig, written, "history.usage").run()
    assert outcome.rows.missing == 1
    assert not outcome.found.comparison.is_equal
    await written.ask("UPDATE checkpoints SET next_offset = 1000 WHERE topic = 'health' AND partition = 1")
    with pytest.raises(LogEndsEarlyError, match="the history holds health-1 up to 1000"):
        await filled(rig, written, "history.health")
    with pytest.raises(NothingToFillError, match=r"no history in the schema .*`interlock sink`"):
        await filled(rig, beside, "history")


@pytest.mark.kafka
async def test_what_the_log_no_longer_holds_is_filled_from_the_archive(
    rig: Rig, written: Place, tmp_path: Path
) -> None:
    """Refused without it, when events of that time may lie before the log's beginning."""
    await archive_log(ArchiveSink(settings_of(tmp_path), rig.log), rig.log)
    for at, end in (await ends_of(rig)).items():
        if end > 1:
            await cut(rig.log, at, end * 2 // 3)
    await written.ask("DELETE FROM usage")
    with pytest.raises(LogStartGoneError, match=r"begins at \d+, within the time .* --archive DIR"):
        await filled(rig, written, "history.usage")
    outcome = await filled(rig, written, "history.usage", archive=tmp_path)
    assert outcome.rows.missing > 80
    assert sum(part.from_archive for part in outcome.plan.parts) > 50
    assert changed(await filled(rig, written, "history.usage", archive=tmp_path)) == (0, 0)


@pytest.mark.kafka
async def test_what_the_log_has_lost_of_earlier_times_is_in_nobodys_way(rig: Rig, written: Place) -> None:
    """The history knows that the last lost record is older; when it does not, nobody does."""
    for at, end in (await ends_of(rig)).items():
        if at.topic == "health" and end:
            await cut(rig.log, at, end)
    from_us = now_us() + 1_000_000
    later = backfill_of(rig, written, "history.health", Excerpt(from_us, from_us + HOUR_US))
    later = replace(later, log=rig.log.model_copy(update={"max_event_ahead_s": 0}))
    assert (await later.plan()).refusals == ()
    assert changed(await later.run()) == (0, 0)
    await written.ask("DELETE FROM health")
    with pytest.raises(LogStartGoneError, match=r"health-\d begins at \d+, within the time"):
        await later.run()
