"""The history against the log, on real servers: what a sink has written is equal, and what is changed is named."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from events.partitioner import partition_of
from events.positions import Partition
from events.provider_changed import BreakerPolicy
from processors.verify.errors import OtherLogError
from processors.verify.history import HistoryFound, HistoryProof
from projections.settings import LiveSettings
from tests.integration.history.place import Place
from tests.integration.history.rebuilding import write
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import Traffic, adjusted, budget, changed, checked, now_us, usage

pytestmark = pytest.mark.any_broker


@pytest.fixture
async def written(log_address: str, place: Place) -> AsyncIterator[Rig]:
    """A log with something of many kinds, twice told and damaged, and the history of it."""
    async with Rig(settings_of_worker(log_address), LiveSettings()) as opened:
        told = [
            usage("acme", cost_nano_usd=5),
            usage("acme", region="eu", user="nobody-else", latency_ms=0, cost_nano_usd=None),
            usage("acme", user="unpriced", cost_nano_usd=None),
        ]
        await opened.append(*told, *Traffic(opened).some(60), told[0])
        await opened.append(adjusted(told[0], 50), adjusted(told[0], 5), adjusted(told[2], 7))
        await opened.append(
            budget("acme", 100), changed("openai", BreakerPolicy()), checked("google", "gemini")
        )
        await opened.append_raw("usage", 0, key=b"acme", value=b"no event at all")
        await opened.append_raw("overrides", 1, key=b"openai", value=None)
        await write(opened, place)
        yield opened


async def verified(rig: Rig, place: Place) -> HistoryFound:
    """Verify all partitions."""
    proof = HistoryProof(rig.log, place.settings, rig.codec, lambda *_: None)
    return await proof.verify(range(rig.log.partitions))


def told(found: HistoryFound) -> list[str]:
    """The differences, in words."""
    return [str(one) for one in found.comparison.differences]


async def test_what_the_sink_has_written_is_what_the_log_says(written: Rig, place: Place) -> None:
    """Rows of every topic, refused records and rollups; a duplicate has no row."""
    found = await verified(written, place)
    assert told(found) == []
    assert found.comparison.is_equal
    assert found.duplicates >= 1
    assert found.counted_again == 0
    assert found.rollup_rows > 0
    kinds = {kind.split()[0] for kind in found.comparison.live}
    assert {"usage", "adjustments", "budgets", "providers", "health", "routing", "refused"} <= kinds
    await written.append(*Traffic(written).some(20))
    assert (await verified(written, place)).comparison.is_equal


async def test_what_the_live_state_counts_again_is_told(written: Rig, place: Place) -> None:
    """An event that comes once more after minutes has one row, and the live state has forgotten its id by then."""
    event = usage("late")
    number, value = partition_of(b"late", written.log.partitions), written.codec.encode(event)
    await written.append(event)
    offsets = [
        await written.append_raw(
            "usage",
            number,
            key=b"late",
            value=value,
            timestamp_ms=event.occurred_at // 1000 + minutes * 60_000,
        )
        for minutes in (1, 12, 13, 30)
    ]
    before = (await verified(written, place)).duplicates
    await write(written, place)
    found = await verified(written, place)
    assert found.comparison.is_equal
    assert found.duplicates == before + 4
    assert found.counted_again == 2
    assert found.first_again == (Partition("usage", number), offsets[1])


async def test_each_tampered_row_is_named_with_what_differs(written: Rig, place: Place) -> None:
    """A changed and a removed row with the rollups that no longer fit them, a forged row, a removed refused record."""
    [row] = await place.ask("SELECT log_partition, log_offset FROM usage WHERE \"user\" = 'nobody-else'")
    other = await place.ask(
        "SELECT event_id, log_partition, log_offset FROM health ORDER BY log_offset LIMIT 1"
    )
    await place.ask("UPDATE usage SET cost_nano_usd = 77, latency_ms = 9 WHERE \"user\" = 'nobody-else'")
    await place.ask("DELETE FROM health WHERE event_id = $1", other[0]["event_id"])
    await place.ask("DELETE FROM refused WHERE topic = 'usage'")
    await place.ask("UPDATE usage_by_day SET calls = calls + 1 WHERE \"user\" = 'nobody-else'")
    await place.ask(
        "INSERT INTO budgets SELECT (b).* FROM (SELECT jsonb_populate_record(NULL::budgets, to_jsonb(one) || "
        '\'{"event_id": "00000000-0000-4000-8000-000000000000", "log_offset": 999}\') AS b FROM budgets AS one LIMIT 1)'
    )
    await place.ask(
        "UPDATE usage_by_hour SET latency_sketch = int4send((7 << 22) + 1) WHERE \"user\" = 'nobody-else'"
    )
    found = await verified(written, place)
    named = {f"{one.slot} {one.key.partition('|')[0]}": one.how for one in found.comparison.differences}
    month = next(kind for kind in found.comparison.live if kind.startswith("usage 20")).split()[1]
    place_of_row = f"usage-{row['log_partition']} usage {month}:{row['log_offset']}"
    assert named[place_of_row] == (
        "cost_nano_usd is 77 in the history, null by the log; latency_ms is 9 in the history, 0 by the log"
    )
    lost = f"health-{other[0]['log_partition']} health {month}:{other[0]['log_offset']}"
    assert named[lost].startswith("missing, the log says: {")
    assert [
        how
        for name, how in named.items()
        if "budgets" in name and how.startswith("of no event on the log: {")
    ]
    assert [how for name, how in named.items() if name.startswith("usage-0 refused usage:")]
    rollups = [name for name in named if "usage_by_" in name]
    assert len(rollups) == 3
    assert any("calls is 2 in the history, 1 by the log" in named[name] for name in rollups)
    assert any("latency_sketch is 7:1 in the history, 58:1 by the log" in named[name] for name in rollups)
    assert len(named) == 7
    assert not found.comparison.is_equal


async def test_a_history_that_is_ahead_of_the_log_is_of_another_log(written: Rig, place: Place) -> None:
    """It is said so instead of a difference in every row."""
    await place.ask("UPDATE checkpoints SET next_offset = 1000 WHERE topic = 'health' AND partition = 1")
    with pytest.raises(
        OtherLogError, match=r"holds health-1 up to 1000, and the log ends at .* \(docs/runbooks.md"
    ):
        await verified(written, place)


async def test_events_older_than_all_rows_of_their_table_count_as_deleted(written: Rig, place: Place) -> None:
    """Retention takes the oldest rows and leaves the rollups; a younger row that is gone is missing."""
    days_us = [now_us() - number * 86_400_000_000 for number in (4, 3, 2)]
    await written.append(
        *(usage("acme", occurred_at=day_us, user=f"old-{at}") for at, day_us in enumerate(days_us))
    )
    await write(written, place)
    await place.ask("DELETE FROM usage WHERE \"user\" = 'old-0'")
    found = await verified(written, place)
    assert told(found) == []
    assert found.deleted == 1
    await place.ask("DELETE FROM usage WHERE \"user\" = 'old-2'")
    found = await verified(written, place)
    assert found.deleted == 1
    assert len([how for how in told(found) if " usage 20" in how and "missing, the log says" in how]) == 1
    assert len([how for how in told(found) if "usage_by_" in how and "of no event on the log" in how]) == 3
