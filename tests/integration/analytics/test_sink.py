"""The sink on a real Chroma: every event is in the documents once, whatever is stopped when."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.usage_records import usage_events
from embedded.chroma import ChromaServer
from events.positions import Partition
from events.usage_recorded import UsageRecorded
from projections.analytics.begin_anew import begin_anew_if_ahead
from projections.analytics.checkpoints import Checkpoint, Checkpoints
from projections.analytics.chroma import Chroma
from projections.analytics.documents import COLLECTIONS, COST, PERFORMANCE, USAGE
from projections.analytics.places import full_name
from projections.analytics.settings import AnalyticsSettings
from projections.errors import FencedError, SinkUnavailableError, StaleCheckpointError
from projections.tip import tip_of
from tests.integration.analytics.conftest import settings_at
from tests.integration.analytics.records import (
    HOUR_US,
    PLACE,
    documents,
    naive_totals,
    records,
    sink_at,
    totals_of,
)
from tests.integration.log import NOW_US, usage


class KilledError(Exception):
    """Stands for SIGKILL: nothing after it happens."""


def traffic(count: int = 600) -> list[UsageRecorded]:
    """Calls over some hours, the later ones among them late."""
    return [
        UsageRecorded(**{**_values(event), "occurred_at": NOW_US - (index * 7 % 5) * HOUR_US})
        for index, event in enumerate(usage_events(count, NOW_US))
    ]


def _values(event: UsageRecorded) -> dict[str, Any]:
    return {name: getattr(event, name) for name in UsageRecorded.__dataclass_fields__}


async def catch_up(settings: AnalyticsSettings, events: list[UsageRecorded], batch: int = 150) -> None:
    """What the driver does: open, write from where the sink says, drain."""
    sink = sink_at(settings)
    try:
        start = await sink.open(PLACE)
        whole = records(events)
        while start < len(whole):
            chunk = whole[start : start + batch]
            await sink.write(PLACE, start, chunk)
            start = chunk[-1].offset + 1
        await sink.drain()
        assert (await sink.positions())[PLACE] == len(whole)
    finally:
        await sink.close()


async def test_windows_equal_a_naive_count(settings: AnalyticsSettings) -> None:
    """Three documents for each window, whose figures are those of its events."""
    events = traffic()
    await catch_up(settings, events)
    expected = naive_totals(events)
    assert totals_of(await documents(settings)) == expected
    for collection in (COST, PERFORMANCE):
        assert len(await documents(settings, collection)) == len(expected)


async def test_late_events_go_to_their_own_window(settings: AnalyticsSettings) -> None:
    """A window that was written long ago is read back and adjusted."""
    events = traffic(300)
    await catch_up(settings, events)
    late = [usage(tenant="tenant-00", user="user-00", occurred_at=NOW_US - 3 * HOUR_US, input_tokens=11)]
    await catch_up(settings, events + late)
    assert totals_of(await documents(settings)) == naive_totals(events + late)


@pytest.mark.parametrize("killed_at", range(1, 17))
async def test_a_kill_before_any_step_neither_loses_nor_doubles(
    settings: AnalyticsSettings, killed_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends before its n-th request to Chroma; the next one takes over from what is stored."""
    events = traffic(300)
    await catch_up(settings, events[:100])
    ask = Chroma._ask
    asked = 0

    async def ask_until_killed(self: Chroma, method: str, path: str, body: Any = None) -> Any:
        nonlocal asked
        asked += 1
        if asked >= killed_at:
            raise KilledError
        return await ask(self, method, path, body)

    with monkeypatch.context() as patched:
        patched.setattr(Chroma, "_ask", ask_until_killed)
        patched.setattr("projections.analytics.sink.WINDOWS_AT_ONCE", 40)
        with suppress(KilledError):
            await catch_up(settings, events[:200])
    await catch_up(settings, events)
    assert totals_of(await documents(settings)) == naive_totals(events)


async def test_a_write_whose_answer_was_lost_is_not_doubled(
    settings: AnalyticsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chroma wrote and the sink does not know: what is gathered is written again, whole."""
    events = traffic(300)
    whole = records(events)
    sink = sink_at(settings)
    assert await sink.open(PLACE) == 0
    await sink.write(PLACE, 0, whole[:200])
    upsert = Chroma.upsert

    async def lose_answer(self: Chroma, collection: str, stored: Any) -> None:
        await upsert(self, collection, stored)
        raise SinkUnavailableError("the answer was lost")

    with monkeypatch.context() as patched:
        patched.setattr(Chroma, "upsert", lose_answer)
        with pytest.raises(SinkUnavailableError):
            await sink.drain()
    await sink.write(PLACE, 200, whole[200:])
    assert await sink.drain() == {PLACE: len(whole)}
    await sink.close()
    assert totals_of(await documents(settings)) == naive_totals(events)


async def test_a_checkpoint_whose_answer_was_lost_is_taken_for_done(
    settings: AnalyticsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was gathered since goes on from it, and nobody has to open the partition again."""
    events = traffic(200)
    whole = records(events)
    sink = sink_at(settings)
    await sink.open(PLACE)
    await sink.write(PLACE, 0, whole[:100])
    write = Checkpoints.write

    async def lose_answer(self: Checkpoints, place: Partition, checkpoint: Checkpoint) -> None:
        await write(self, place, checkpoint)
        if checkpoint.next_offset:
            raise SinkUnavailableError("the answer was lost")

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "write", lose_answer)
        with pytest.raises(SinkUnavailableError):
            await sink.drain()
    await sink.write(PLACE, 100, whole[100:])
    assert await sink.drain() == {PLACE: len(whole)}
    await sink.close()
    assert totals_of(await documents(settings)) == naive_totals(events)


async def test_what_was_written_before_a_kill_shows_in_the_last_record_that_is_known(
    settings: AnalyticsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents are ahead of their checkpoint then: a log that has lost these records has to be told from the one before."""
    whole = records(traffic(50))
    first, second = sink_at(settings), sink_at(settings)
    await first.open(PLACE)
    assert first.tip(PLACE) is None
    await first.write(PLACE, 0, whole[:20])
    await first.drain()
    await first.write(PLACE, 20, whole[20:])
    write = Checkpoints.write

    async def killed(self: Checkpoints, place: Partition, checkpoint: Checkpoint) -> None:
        if checkpoint.next_offset > 20:
            raise KilledError
        await write(self, place, checkpoint)

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "write", killed)
        with suppress(KilledError):
            await first.drain()
    assert await second.open(PLACE) <= 20
    assert (await second.positions())[PLACE] == 20
    assert second.tip(PLACE) == tip_of(whole[-1])
    await first.close()
    await second.close()


async def test_a_tick_tells_of_a_partition_that_was_lost(settings: AnalyticsSettings) -> None:
    """Also one to which nothing comes any more is opened again, for the driver hears of it."""
    first, second = sink_at(settings), sink_at(settings)
    await first.open(PLACE)
    await first.write(PLACE, 0, records([usage()]))
    await second.open(PLACE)
    with pytest.raises(FencedError):
        await first.drain()
    await first.close()
    await second.close()


async def test_a_repeated_event_counts_once_also_across_a_restart(settings: AnalyticsSettings) -> None:
    """The ids of the last minutes are read back from the log when a partition is opened."""
    events = traffic(100)
    await catch_up(settings, events)
    again = events + events[:50]
    await catch_up(settings, again)
    await catch_up(settings, again + events[20:30])
    assert totals_of(await documents(settings)) == naive_totals(events)


async def test_what_is_no_event_is_passed_over(settings: AnalyticsSettings) -> None:
    """Bytes that are none, a wrong key, a time that cannot be meant: dead letters elsewhere, nothing here."""
    good = records([usage(user="u"), usage(user="u"), usage(user="u"), usage(user="u")])
    mixed = [
        replace(good[0], value=b"nonsense"),
        replace(good[1], key=b"another"),
        replace(good[2], timestamp=1),
        good[3],
    ]
    sink = sink_at(settings)
    await sink.open(PLACE)
    await sink.write(PLACE, 0, mixed)
    assert await sink.drain() == {PLACE: 4}
    await sink.close()
    [one] = await documents(settings)
    assert one.metadata["calls"] == 1


async def test_nothing_is_durable_before_it_is_written(settings: AnalyticsSettings) -> None:
    """A batch is gathered; a tick after the given time writes it and says so."""
    slow = settings.model_copy(update={"flush_after_s": 3600.0})
    sink = sink_at(slow)
    await sink.open(PLACE)
    assert await sink.write(PLACE, 0, records([usage()])) == 0
    assert await sink.tick() == {}
    assert (await sink.positions())[PLACE] == 0
    assert await sink.drain() == {PLACE: 1}
    await sink.close()


async def test_another_owner_fences_the_one_before(settings: AnalyticsSettings) -> None:
    """The first one's gathered windows are never written over the second one's."""
    events = traffic(200)
    first, second = sink_at(settings.model_copy(update={"flush_windows": 1})), sink_at(settings)
    await first.open(PLACE)
    assert await second.open(PLACE) == 0
    with pytest.raises(FencedError):
        await first.write(PLACE, 0, records(events[:100]))
    await second.write(PLACE, 0, records(events))
    await second.drain()
    await first.close()
    await second.close()
    assert totals_of(await documents(settings)) == naive_totals(events)


async def test_an_emptied_store_is_built_again(settings: AnalyticsSettings, chroma_url: str) -> None:
    """Collections may be deleted at any time: the sink notices before it writes, and begins at the log's start."""
    events = traffic(200)
    sink = sink_at(settings)
    await sink.open(PLACE)
    await sink.write(PLACE, 0, records(events[:100]))
    await sink.drain()
    chroma = Chroma(chroma_url, 10.0)
    for name in (*COLLECTIONS, "checkpoints"):
        await chroma._ask("DELETE", f"/collections/{full_name(settings, name)}")
    await chroma.close()
    with pytest.raises(SinkUnavailableError):
        await sink.write(PLACE, 100, records(events[100:150], 100))
    assert await sink.open(PLACE) == 0
    with pytest.raises(StaleCheckpointError):
        await sink.write(PLACE, 150, records(events[150:], 150))
    await sink.close()
    await catch_up(settings, events)
    assert totals_of(await documents(settings)) == naive_totals(events)


async def test_documents_past_their_retention_go(settings: AnalyticsSettings) -> None:
    """Each collection has a time of its own; an event older than the longest makes no document."""
    events = [usage(occurred_at=NOW_US - days * 24 * HOUR_US, user=f"u{days}") for days in (1, 100, 200, 364)]
    await catch_up(settings, events)
    later = sink_at(settings, NOW_US + 10 * 24 * HOUR_US)
    await later.open(PLACE)
    await later.tick()
    await later.close()
    kept = {name: len(await documents(settings, name)) for name in (USAGE, COST, PERFORMANCE)}
    assert kept == {USAGE: 3, COST: 2, PERFORMANCE: 1}


async def test_a_chroma_that_was_away_is_caught_up_with(tmp_path: Path) -> None:
    """Stopped under load and killed: the same windows come out."""
    events = traffic(400)
    server = ChromaServer(tmp_path)
    await server.start()
    try:
        settings = settings_at(server.address, request_timeout_s=5.0)
        sink = sink_at(settings)
        whole = records(events)
        await sink.open(PLACE)
        await sink.write(PLACE, 0, whole[:200])
        await sink.drain()
        await sink.write(PLACE, 200, whole[200:300])
        await server.kill()
        for attempt in (sink.drain(), sink.open(PLACE), sink.positions()):
            with pytest.raises(SinkUnavailableError):
                await attempt
        await server.start()
        await sink.close()
        await catch_up(settings, events)
        assert totals_of(await documents(settings)) == naive_totals(events)
    finally:
        await server.stop()


async def test_partitions_are_written_beside_each_other(settings: AnalyticsSettings) -> None:
    """Two topics at once, each with a checkpoint of its own."""
    sink = sink_at(settings)
    other = Partition("routing", 0)
    await asyncio.gather(sink.open(PLACE), sink.open(other))
    await sink.write(PLACE, 0, records([usage()]))
    await sink.drain()
    assert await sink.positions() == {PLACE: 1, other: 0}
    await sink.close()


@pytest.mark.parametrize("end, expected", [(50, False), (49, True), (0, False)])
async def test_documents_of_lost_records_are_dropped_with_all_others(
    settings: AnalyticsSettings, end: int, expected: bool
) -> None:
    """And built again from a log that has some; one that holds nothing is no reason to drop everything."""
    lost, instead = traffic(50), traffic(80)[49:]
    assert not await begin_anew_if_ahead(settings, {PLACE: end})
    await catch_up(settings, lost)
    assert await begin_anew_if_ahead(settings, {PLACE: end}) is expected
    if expected:
        assert not await begin_anew_if_ahead(settings, {PLACE: end})
        await catch_up(settings, lost[:end] + instead)
        assert totals_of(await documents(settings)) == naive_totals(lost[:end] + instead)
    else:
        assert totals_of(await documents(settings)) == naive_totals(lost)
