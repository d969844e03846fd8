"""The history set right from the log beside a sink that goes on: rows, refused records, sums; nothing else is touched."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from events.reader import LogReader, Range
from processors.verify.history import HistoryFound, HistoryProof
from processors.verify.mended import Mended
from processors.verify.repair_history import HistoryRepair
from projections.settings import LiveSettings
from tests.integration.history.place import Place
from tests.integration.history.rebuilding import caught_up, sinking, something_of_every_kind, write
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import Traffic, now_us, usage

pytestmark = pytest.mark.any_broker

DAY_US = 86_400_000_000
FORGED = (
    "INSERT INTO budgets SELECT (b).* FROM (SELECT jsonb_populate_record(NULL::budgets, to_jsonb(one) || "
    '\'{"event_id": "00000000-0000-4000-8000-000000000000", "log_offset": 999}\') AS b FROM budgets AS one LIMIT 1)'
)


@pytest.fixture
async def rig(log_address: str) -> AsyncIterator[Rig]:
    """A log with something of every kind."""
    async with Rig(settings_of_worker(log_address), LiveSettings()) as opened:
        await something_of_every_kind(opened)
        yield opened


async def verified(rig: Rig, place: Place, reader: LogReader | None = None) -> HistoryFound:
    """Compare all partitions."""
    proof = HistoryProof(rig.log, place.settings, rig.codec, lambda *_: None, reader)
    return await proof.verify(range(rig.log.partitions))


async def wrong(rig: Rig, place: Place) -> list[str]:
    """The differences, in words."""
    return [str(one) for one in (await verified(rig, place)).comparison.differences]


async def repaired(rig: Rig, place: Place) -> list[Mended]:
    """Set right what is found."""
    repair = HistoryRepair(rig.log, place.settings, rig.codec)
    return await repair.repair((await verified(rig, place)).wrong)


async def test_all_that_differs_is_mended_while_the_sink_goes_on(rig: Rig, place: Place) -> None:
    """Rows changed, removed, forged and moved, a refused record lost, sums and sketches changed; the sink counts on."""
    async with sinking(rig, place):
        await caught_up(rig, place)
        await place.ask("UPDATE usage SET cost_nano_usd = 77, latency_ms = 9 WHERE \"user\" = 'tampered'")
        await place.ask("UPDATE usage SET log_offset = 5000 WHERE \"user\" = 'kept'")
        await place.ask(
            "DELETE FROM usage WHERE event_id IN (SELECT event_id FROM usage ORDER BY event_id DESC LIMIT 5)"
        )
        await place.ask("DELETE FROM health")
        await place.ask("DELETE FROM refused WHERE topic = 'usage'")
        await place.ask("UPDATE refused SET value = 'another' WHERE topic = 'overrides'")
        await place.ask(FORGED)
        await place.ask("UPDATE usage_by_day SET calls = calls + 1")
        await place.ask("UPDATE usage_by_hour SET latency_sketch = int4send((7 << 22) + 1)")
        await place.ask("DELETE FROM usage_by_minute WHERE \"user\" = 'kept'")
        done = {
            (one.place.split("-")[0], one.key.partition(":")[0]): one.done
            for one in await repaired(rig, place)
        }
        assert {"written", "written anew", "taken out", "refused", "summed up anew"} == set(done.values())
        assert done["budgets", "999"] == "taken out"
        assert done["usage", "usage_by_day"] == "summed up anew"
        assert await wrong(rig, place) == []
        await rig.append(*Traffic(rig).some(60))
        await caught_up(rig, place)
        assert await wrong(rig, place) == []
    assert await repaired(rig, place) == []


async def test_a_row_that_went_to_another_partition_is_found_in_two_rounds(rig: Rig, place: Place) -> None:
    """There it is of no event; here it was taken for that of a repeated one."""
    await write(rig, place)
    await place.ask("UPDATE usage SET log_partition = 1 - log_partition WHERE \"user\" = 'kept'")
    await repaired(rig, place)
    assert await repaired(rig, place) != []
    assert await wrong(rig, place) == []


async def test_the_first_record_of_an_event_gets_its_row_back(rig: Rig, place: Place) -> None:
    """Its row was removed, so the sink has taken the same event at its second place."""
    event = usage("acme", user="twice")
    await rig.append(event)
    await write(rig, place)
    [first] = await place.ask("DELETE FROM usage WHERE \"user\" = 'twice' RETURNING log_offset")
    await rig.append(event)
    await write(rig, place)
    assert await place.value("SELECT log_offset FROM usage WHERE \"user\" = 'twice'") > first["log_offset"]
    await repaired(rig, place)
    assert await place.ask("SELECT log_offset FROM usage WHERE \"user\" = 'twice'") == [first]
    assert await wrong(rig, place) == []


async def test_sums_whose_rows_retention_took_are_left_alone(rig: Rig, place: Place) -> None:
    """They are all that is left of those calls: neither found to differ nor made anew of what rows there are."""
    await rig.append(
        *(usage("acme", occurred_at=now_us() - days * DAY_US, user=f"old-{days}") for days in (4, 3, 2))
    )
    await write(rig, place)
    await place.ask("DELETE FROM usage WHERE \"user\" = 'old-4'")
    await place.ask("UPDATE usage SET latency_ms = 9 WHERE \"user\" = 'old-3'")
    await place.ask("DELETE FROM usage WHERE \"user\" = 'old-2'")
    sums = "SELECT * FROM usage_by_day WHERE \"user\" LIKE 'old-%' ORDER BY bucket"
    before = await place.ask(sums)
    await repaired(rig, place)
    assert await place.ask(sums) == before
    assert await wrong(rig, place) == []
    assert await place.value("SELECT count(*) FROM usage WHERE \"user\" LIKE 'old-%'") == 2


class Begun(LogReader):
    """Of a log that has lost the first record of each partition."""

    async def ranges(self, topic: str) -> dict[int, Range]:
        """Without what is lost."""
        held = await super().ranges(topic)
        return {number: Range(min(one.start + 1, one.end), one.end) for number, one in held.items()}


async def test_of_a_log_whose_start_is_gone_rows_are_mended_and_sums_only_where_it_proves_them(
    rig: Rig, place: Place
) -> None:
    """What happened before a lost record may have had rows that are gone by now: its sums stay, and stay named."""
    after_us = now_us() + (rig.log.max_event_ahead_s + 3_600) * 1_000_000
    await write(rig, place)
    await place.ask("UPDATE usage SET cost_nano_usd = 77 WHERE \"user\" = 'tampered'")
    await place.ask("UPDATE usage_by_hour SET calls = calls + 1")
    found = await verified(rig, place, Begun(rig.log))
    whole = {one: wrong.whole_from_us for one, wrong in found.wrong.items() if wrong.buckets}
    assert whole
    assert min(whole.values()) > now_us()
    # Of adjustments there was one record: nothing is left that proves any sum of theirs.
    assert max(us for one, us in whole.items() if one.topic == "usage") < after_us
    before = await place.ask('SELECT * FROM usage_by_hour ORDER BY bucket, tenant, model, region, "user"')
    done = await HistoryRepair(rig.log, place.settings, rig.codec).repair(found.wrong)
    assert {one.done for one in done} <= {"written anew"}
    assert (
        await place.ask('SELECT * FROM usage_by_hour ORDER BY bucket, tenant, model, region, "user"')
        == before
    )
    assert await place.value("SELECT cost_nano_usd FROM usage WHERE \"user\" = 'tampered'") == 7
    left = await wrong(rig, place)
    assert left
    assert not [one for one in left if "usage_by_hour" not in one]
