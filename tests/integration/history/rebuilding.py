"""What the tests of a rebuilt history share: a log with something of every kind, sinks at work, and a rebuild."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from events.catalogue import TOPICS
from events.positions import Partition
from events.provider_changed import BreakerPolicy
from processors.rebuild.history import HistoryOutcome, HistoryRebuild
from processors.rebuild.store_plan import StoreOptions
from processors.verify.history import HistoryProof
from projections.history.queries.reader import HistoryReader
from projections.history.sink import HistorySink
from tests.integration.history.place import Place
from tests.integration.live_server import eventually
from tests.integration.rig import Rig
from tests.integration.sinking import at_work
from tests.integration.traffic import Traffic, adjusted, budget, changed, checked, usage

CAUGHT_UP_WITHIN_S = 30.0


async def something_of_every_kind(rig: Rig) -> None:
    """Twice told and damaged records among it; `kept` and `tampered` are users of one call each."""
    told = [usage("acme", user="kept", cost_nano_usd=5), usage("acme", user="tampered", cost_nano_usd=7)]
    await rig.append(*told, *Traffic(rig).some(80), told[0], adjusted(told[0], 50))
    await rig.append(budget("acme", 100), changed("openai", BreakerPolicy()), checked("google", "gemini"))
    await rig.append_raw("usage", 0, key=b"acme", value=b"no event at all")
    await rig.append_raw("overrides", 1, key=b"openai", value=None)


async def write(rig: Rig, place: Place) -> None:
    """All that the log has, without a group."""
    async with place.sink(rig.log) as sink:
        for topic in TOPICS:
            for number, records in (await rig.records(topic)).items():
                at = Partition(topic, number)
                start = await sink.open(at)
                await sink.write(at, start, [record for record in records if record.offset >= start])


@asynccontextmanager
async def sinking(rig: Rig, place: Place) -> AsyncIterator[None]:
    """A sink at work, which ends with all that the log has."""
    async with at_work(rig.log, HistorySink(place.settings, rig.codec, rig.log)):
        yield


@asynccontextmanager
async def reading(place: Place) -> AsyncIterator[list[int]]:
    """Somebody who asks the same question again and again; all answers so far. None may fail."""
    answers: list[int] = []

    async def ask(reader: HistoryReader) -> None:
        while True:
            rows = await reader.rows("SELECT count(*) AS rows FROM usage WHERE log_offset >= $1", (0,))
            answers.append(rows[0]["rows"])
            await asyncio.sleep(0.002)  # leave the others some of the processor

    async with HistoryReader(place.settings) as reader:
        task = asyncio.create_task(ask(reader))
        try:
            yield answers
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.wait([task])


async def ends_of(rig: Rig) -> dict[Partition, int]:
    """Where each partition of the log ends."""
    return {
        Partition(topic, number): end
        for topic in TOPICS
        for number, end in (await rig.reader.ends(topic)).items()
    }


async def caught_up(rig: Rig, place: Place) -> None:
    """Return when the history has all that the log has now."""
    ends = await ends_of(rig)
    schema = {"search_path": place.settings.schema_name}
    session = await asyncpg.connect(place.settings.postgres_dsn, server_settings=schema)

    async def has_all() -> bool:
        if await session.fetchval("SELECT to_regclass('checkpoints') IS NULL"):
            return False
        rows = await session.fetch("SELECT topic, partition, next_offset FROM checkpoints")
        held = {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        return all(held.get(where, 0) >= end for where, end in ends.items())

    try:
        await eventually(has_all, CAUGHT_UP_WITHIN_S)
    finally:
        await session.close()


def rebuild_of(rig: Rig, place: Place, **options: Any) -> HistoryRebuild:
    """A rebuild that tells nobody how far it is."""
    told: list[str] = []
    return HistoryRebuild(
        rig.log, rig.codec, StoreOptions(**options), told.append, lambda *_: None, place.settings
    )


async def rebuilt(rig: Rig, place: Place, **options: Any) -> HistoryOutcome:
    """Run one to its end."""
    return await rebuild_of(rig, place, **options).run()


async def wrong(rig: Rig, place: Place) -> list[str]:
    """What of the live history is not what the log says, from the first event on."""
    proof = HistoryProof(rig.log, place.settings, rig.codec, lambda *_: None, kept_since_us=0)
    return [str(one) for one in (await proof.verify(range(rig.log.partitions))).comparison.differences]
