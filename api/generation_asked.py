"""Which generation of the live state a request asks: the live one, unless it names another to look at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from api.history_asked import AsOf
from api.ingest import wall_clock_us
from api.live_reads import LiveReads, PushedPositions
from api.ports import InPorts, Ports
from api.problems import invalid_value, not_found
from projections.live.cache import LiveCache
from projections.live.consistency import Waits
from projections.live.generations import Generations
from projections.live.slots import TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore

GenerationAsked = Annotated[
    int | None,
    Query(
        ge=1,
        le=2**31,
        description="Answer from this generation of the live state, see `interlock generations list`, and as of its time "
        "when it was built until one.",
    ),
]


@dataclass(frozen=True, slots=True)
class Look:
    """Where an answer is read. `time_us` is that of a generation that was built until then."""

    store: LiveStore
    reads: LiveReads
    time_us: int | None = None

    @property
    def at_us(self) -> int:
        """The instant that an answer is for: now, unless the generation has a time of its own."""
        return wall_clock_us() if self.time_us is None else self.time_us


async def looked_at(ports: InPorts, generation: GenerationAsked = None) -> AsyncIterator[Look]:
    """The live generation with its cache; another one with a connection and no cache. 404 for one that is not there."""
    if generation is None:
        yield Look(ports.store, ports.reads)
        return
    partitions, live = ports.settings.log.partitions, ports.settings.live
    async with (
        LiveStore(live.model_copy(update={"generation": generation})) as store,
        LiveCache(store, partitions) as cache,
    ):
        slots = [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(partitions)]
        time_us = await _time_of(ports, store, slots)
        waits = Waits(store, partitions, ports.log.ends.ends)
        lookups = ports.metrics.lookups
        reads = LiveReads(store, cache, waits, PushedPositions(), partitions=partitions, lookups=lookups)
        yield Look(store, reads, time_us)


InLook = Annotated[Look, Depends(looked_at)]


async def one_time(as_of: AsOf = None, generation: GenerationAsked = None) -> None:
    """A dependency of routes that know both: one of them is enough."""
    if as_of is not None and generation is not None:
        raise invalid_value("as_of", "is answered from the history: leave out either it or generation")


async def _time_of(ports: Ports, store: LiveStore, slots: Collection[Slot]) -> int | None:
    number = store.keyspace.generation
    if not any(held.next_offsets for held in (await store.checkpoints(slots)).values()):
        raise not_found("generation", f"generation {number} holds nothing: `interlock generations list`")
    known = await Generations(ports.store.connection, ports.settings.live.namespace).known()
    until = known[number].until if number in known else None
    return until.time_us if until is not None else None
