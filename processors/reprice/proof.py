"""The proof of a repricing: what was spent before, what was used meanwhile and the differences are what is spent after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from events.bounds import Bounds
from events.codec import Codec
from events.partitioner import partition_of
from events.positions import Partition, Position
from events.reader import LogReader, Range
from events.settings import LogSettings
from processors.backtest.run import time_of
from processors.dedupe import SLICE_MS
from processors.usage.counted import CountedUsage
from projections.errors import LaggingError
from projections.live.consistency import Consistency, Waits
from projections.live.look import KEYS_AT_ONCE, look
from projections.live.slots import TENANT_LEAD, Slot
from projections.live.spend import QUARTERS_PER_DAY, SpendDay, quarter_of, spend_id
from projections.live.store import LiveStore

Day = tuple[str, int]
"""A tenant, and a UTC day since the epoch."""


@dataclass(slots=True)
class TenantProof:
    """One tenant on the days that were adjusted, nano-USD."""

    before: int = 0
    meanwhile: int = 0
    difference: int = 0
    after: int = 0

    @property
    def holds(self) -> bool:
        """Whether the live state has come to what it has to."""
        return self.before + self.meanwhile + self.difference == self.after


@dataclass(slots=True)
class _Looked:
    """Days of one slot at one instant: `usage_at` is the next offset of usage then."""

    slot: Slot
    days: Sequence[Day]
    usage_at: int
    spent: Mapping[Day, int]


@dataclass(slots=True)
class Proof:
    """Made before anything is appended; then `begin`, and `end` with the positions of what was appended."""

    log: LogSettings
    source: LogReader
    codec: Codec
    store: LiveStore
    posted: Mapping[Day, int]
    _before: list[_Looked] = field(default_factory=list)

    async def begin(self, adjustments: Mapping[int, Range]) -> None:
        """Note what was spent, with all adjustments folded that are on the log. LaggingError when they are not in time."""
        await self._folded(
            {Partition("adjustments", number): held.end for number, held in adjustments.items()}
        )
        for slot, days in sorted(self._by_slot().items()):
            for first in range(0, len(days), KEYS_AT_ONCE):
                self._before.append(await self._look(slot, days[first : first + KEYS_AT_ONCE]))

    async def end(self, positions: Mapping[Partition, int]) -> dict[str, TenantProof]:
        """What the live state says after it has folded these positions, by tenant. LaggingError."""
        await self._folded(positions)
        found: dict[str, TenantProof] = {}
        for before in self._before:
            after = await self._look(before.slot, before.days)
            for day in before.days:
                one = found.setdefault(day[0], TenantProof())
                one.before += before.spent[day]
                one.difference += self.posted[day]
                one.after += after.spent[day]
            for tenant, cost in (await self._used(before, after)).items():
                found[tenant].meanwhile += cost
        return dict(sorted(found.items()))

    def _by_slot(self) -> dict[Slot, list[Day]]:
        found: dict[Slot, list[Day]] = {}
        for tenant, day in sorted(self.posted):
            slot = Slot(TENANT_LEAD, partition_of(tenant.encode(), self.log.partitions))
            found.setdefault(slot, []).append((tenant, day))
        return found

    async def _folded(self, positions: Mapping[Partition, int]) -> None:
        """Wait for as long as the workers go on; LaggingError when nothing was folded for twice the bound of a read."""

        async def no_ends(_: object) -> dict[Partition, int]:
            return {}

        waits = Waits(self.store, self.log.partitions, no_ends)
        wanted = {place: offset for place, offset in positions.items() if offset}
        missing = None
        while True:
            try:
                return await waits.reach(Consistency.SESSION, [], wanted)
            except LaggingError as error:
                left = sum(error.lag.values())
                if missing is not None and left >= missing:
                    raise
                missing = left

    async def _look(self, slot: Slot, days: Sequence[Day]) -> _Looked:
        keys = {day: f"spend:{spend_id(day[0], 'tenant', day[1])}" for day in days}
        seen = await look(self.store, slot, list(keys.values()))
        spent = {
            day: SpendDay.from_json(seen.values[key]).total.cost_nano_usd if key in seen.values else 0
            for day, key in keys.items()
        }
        return _Looked(slot, days, seen.checkpoint.next_offsets.get("usage", 0), spent)

    async def _used(self, before: _Looked, after: _Looked) -> dict[str, int]:
        """What the usage cost that was folded between two looks, on their days."""
        found: dict[str, int] = {}
        if after.usage_at <= before.usage_at:
            return found
        number, days = before.slot.partition, set(before.days)
        first_us = await time_of(self.source, Position("usage", number, before.usage_at))
        starts = await self.source.offsets_at("usage", max(0, first_us // 1000 - 2 * SLICE_MS))
        wanted = {number: Range(min(starts[number], before.usage_at), after.usage_at)}
        counted = CountedUsage(self.codec, Bounds(self.log, number))
        async with aclosing(self.source.read("usage", wanted)) as batches:
            async for _, records in batches:
                for offset, caller, usage in counted.take(records):
                    tenant = caller.payer.tenant
                    day = tenant, quarter_of(usage["occurred_at"]) // QUARTERS_PER_DAY
                    if offset >= before.usage_at and day in days:
                        found[tenant] = found.get(tenant, 0) + (usage["cost_nano_usd"] or 0)
        return found
