"""What the stores hold and how far everyone has come, read from them, and the plan that follows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from events.positions import Partition
from events.reader import LogReader
from events.settings import LogSettings
from projections.archive.settings import ArchiveSettings
from projections.history.settings import HistorySettings
from projections.live.generations import Generations, Stage
from projections.live.slots import TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.retention import postgres, shelves
from projections.retention.holdings import Answers, Consumer, Holdings, Month, OffsetAsked, SumsMonth
from projections.retention.log_begin import can_be_cut, held_by_log
from projections.retention.plan import cutoffs_asked, offsets_asked, plan, refused_asked, rows_asked
from projections.retention.policy import ROLLED_UP, Policies, Store
from projections.retention.selection import Span
from projections.retention.settings import RetentionSettings
from projections.retention.steps import Plan
from projections.sink import Sink

ARCHIVE = "archive"
"""What it holds is read from its manifests, not from its position."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The settings of all stores, and the projections that must have consumed what goes."""

    history: HistorySettings
    archive: ArchiveSettings
    log: LogSettings
    retention: RetentionSettings
    live: LiveStore | None = None
    sinks: tuple[Sink, ...] = field(default=())


async def planned(stores: Stores, policies: Policies, now_us: int) -> tuple[Plan, Holdings]:
    """The plan as of now. Raises the errors of the stores that the policies need; nothing is changed."""
    consumers, hints = await _consumers(stores)
    log = await held_by_log(stores.log, sorted(_topics(policies, Store.LOG)))
    # A projection says first how far it is: what is counted afterwards can only be more.
    holdings = Holdings(
        consumers=consumers,
        hints=hints,
        log=log,
        log_is_cut=await _log_is_cut(stores, policies, log),
        has_archive=stores.archive.folder is not None,
        has_exports=stores.retention.exports is not None,
        segments=await asyncio.to_thread(shelves.segments, stores.archive),
        files=await asyncio.to_thread(shelves.files, stores.archive, stores.retention.exports),
    )
    offsets = await _offsets(stores.log, offsets_asked(policies, now_us))
    if stores.history.postgres_dsn is None:
        return plan(policies, holdings, Answers({}, {}, offsets), now_us), holdings
    return await _with_history(stores, policies, now_us, holdings, offsets)


async def _with_history(
    stores: Stores,
    policies: Policies,
    now_us: int,
    holdings: Holdings,
    offsets: Mapping[OffsetAsked, Mapping[int, int]],
) -> tuple[Plan, Holdings]:
    topics = _topics(policies, Store.HISTORY) | _topics(policies, Store.ARCHIVE)
    if any(policies.of(Store.ROLLUPS)):
        topics |= {ROLLED_UP}
    schema = stores.history.schema_name
    async with (
        postgres.session(stores.history, stores.retention) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        months = await postgres.months(connection, schema, topics)
        holdings = _with_months(holdings, months, await postgres.sums_months(connection, schema))
        by_table = {month.table: month for month in months}
        cutoffs = {
            asked: await postgres.cutoff(connection, asked) if months else None
            for asked in cutoffs_asked(policies)
        }
        rows = {
            asked: await postgres.rows(connection, asked, by_table[asked.table])
            for asked in rows_asked(policies, holdings, now_us, cutoffs)
        }
        refused = {
            asked: await postgres.refused(connection, asked)
            for asked in refused_asked(policies, holdings, now_us)
        }
    return plan(policies, holdings, Answers(cutoffs, rows, offsets, refused), now_us), holdings


def _with_months(holdings: Holdings, months: list[Month], sums: list[SumsMonth]) -> Holdings:
    return replace(holdings, months=tuple(months), sums=tuple(sums))


def _topics(policies: Policies, store: Store) -> frozenset[str]:
    return frozenset(topic for policy in policies.of(store) for topic in policy.chosen_topics)


async def _consumers(stores: Stores) -> tuple[tuple[Consumer, ...], dict[Partition, int]]:
    found = [
        Consumer(sink.name, frozenset(sink.topics), await sink.positions())
        for sink in stores.sinks
        if sink.name != ARCHIVE
    ]
    hints: dict[Partition, int] = {}
    if stores.live is not None:
        live = await stores.live.follow()
        consumer, hints = await _live_consumer(stores.live, stores.log, "live")
        found.append(consumer)
        known = await Generations(stores.live.connection, stores.live.settings.namespace).known()
        for number, noted in known.items():
            if number != live and noted.stage is Stage.BUILDING:
                settings = stores.live.settings.model_copy(update={"generation": number})
                async with LiveStore(settings) as built:
                    name = f"the live generation {number} that is being built"
                    found.append((await _live_consumer(built, stores.log, name))[0])
    return tuple(found), hints


async def _live_consumer(
    live: LiveStore, log: LogSettings, name: str
) -> tuple[Consumer, dict[Partition, int]]:
    slots = [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(log.partitions)]
    checkpoints = await live.checkpoints(slots)
    positions = {
        Partition(topic, slot.partition): offset
        for slot, checkpoint in checkpoints.items()
        for topic, offset in checkpoint.next_offsets.items()
    }
    hints: dict[Partition, int] = {}
    for checkpoint in checkpoints.values():
        for place, offset in _hints(checkpoint.derived):
            hints[place] = min(offset, hints.get(place, offset))
    topics = frozenset(topic for topics in TOPICS_OF_LEAD.values() for topic in topics)
    return Consumer(name, topics, positions), hints


def _hints(derived: Mapping[str, int]) -> Iterator[tuple[Partition, int]]:
    for name, offset in derived.items():
        topic, _, number = name.rpartition(".")
        yield Partition(topic, int(number)), offset


async def _log_is_cut(stores: Stores, policies: Policies, log: Mapping[Partition, Span]) -> bool:
    """Asked only when a policy would cut the log, or delete of the archive from which one that is not cut is restored."""
    if log:
        place = min(log)
        return await can_be_cut(stores.log, place, log[place])
    topics = sorted(_topics(policies, Store.ARCHIVE))
    if not topics:
        return True
    held = await held_by_log(stores.log, topics[:1])
    return await can_be_cut(stores.log, *min(held.items()))


async def _offsets(
    settings: LogSettings, asked: Iterable[OffsetAsked]
) -> dict[OffsetAsked, Mapping[int, int]]:
    reader = LogReader(settings)
    return {one: await reader.offsets_at(one.topic, one.time_ms) for one in asked}
