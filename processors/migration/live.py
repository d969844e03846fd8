"""The live state in Redis, as a migration deals with it: a generation is which one is live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from events.catalogue import TOPICS
from events.codec import Codec, open_codec
from events.publisher import Publisher
from events.settings import LogSettings
from processors.migration.canary import Canary
from processors.migration.place import Estimate, Work
from processors.rebuild.building import Options
from processors.rebuild.progress import Progress
from processors.rebuild.rebuild import Rebuild
from processors.rebuild.switch import switch
from projections.live.generations import Generations, Stage
from projections.live.kind import Kind
from projections.live.look import keys_of
from projections.live.slots import TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.made_with import MadeWith, Projection, made_with_release
from projections.settings import LiveSettings

_Parts = tuple[LogSettings, LiveStore, Codec, Publisher, Options, Progress]


@dataclass(frozen=True, slots=True)
class LivePlace:
    """`kinds` are the states as those who ask read them."""

    log: LogSettings
    live: LiveSettings
    kinds: Sequence[Kind[Any]]
    projection: Projection = Projection.LIVE

    @property
    def folders(self) -> Collection[str]:
        return [TOPICS[topic].folder for topics in TOPICS_OF_LEAD.values() for topic in topics]

    @property
    def slots(self) -> list[Slot]:
        """All of them."""
        return [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(self.log.partitions)]

    async def made_with(self) -> Collection[MadeWith]:
        async with LiveStore(self.live) as store:
            return await self._made_with(await store.follow())

    async def identity(self) -> str:
        async with LiveStore(self.live) as store:
            return str(await store.follow())

    async def estimate(self, archive: Path | None) -> Estimate:
        async with self._opened(Options(archive=archive)) as parts:
            plan = await Rebuild(*parts, lambda _: None).plan()
        return Estimate(plan.records, plan.estimated_s)

    async def rebuild(self, work: Work) -> Mapping[str, Any]:
        options = Options(
            max_events_per_s=work.max_events_per_s,
            skips_bad=work.skips_bad,
            anew=await self._is_of_another_release(),
            archive=work.archive,
        )

        async def trial(live: LiveSettings, new: LiveSettings) -> None:
            work.canary.judge(*(await self._answers(work.canary, live, new)))

        async with self._opened(options, work) as parts:
            outcome = await Rebuild(*parts, work.told, trial).run()
        return {
            "before": str(outcome.plan.live),
            "now": str(outcome.plan.generation),
            "records": outcome.folded,
            "still_s": round(outcome.still_s, 3),
            "keys_that_differ": len(outcome.comparison.differences) + outcome.comparison.unnamed,
        }

    async def turn_back(self, before: str) -> int:
        codec = open_codec(self.log)
        async with Publisher(self.log, codec) as publisher, LiveStore(self.live) as store:
            return (await switch(self.log, store, publisher, int(before), although_behind=True)).behind

    async def _made_with(self, generation: int) -> Collection[MadeWith]:
        async with LiveStore(self.live.model_copy(update={"generation": generation})) as store:
            held = await store.checkpoints(self.slots)
        return [one.made_with for one in held.values() if any(one.next_offsets.values())]

    async def _is_of_another_release(self) -> bool:
        """Whether the generation that an interrupted rebuild has left was begun by another one."""
        async with LiveStore(self.live) as store:
            known = await Generations(store.connection, self.live.namespace).known()
        release = made_with_release(Projection.LIVE)
        for number, one in known.items():
            is_unfinished = one.stage is Stage.BUILDING and one.until is None
            if is_unfinished and any(made != release for made in await self._made_with(number)):
                return True
        return False

    async def _answers(self, canary: Canary, live: LiveSettings, new: LiveSettings) -> list[dict[str, Any]]:
        """What each says of the chosen states, read as those who ask read them."""
        kinds = {kind.name: kind for kind in self.kinds}
        async with LiveStore(live) as old, LiveStore(new) as built:
            known: dict[str, tuple[Slot, str]] = {}
            for store in (old, built):
                for slot, keys in (await keys_of(store, self.slots, ())).items():
                    known |= {f"{slot} {key}": (slot, key) for key in keys if key.partition(":")[0] in kinds}
            wanted: dict[Slot, list[str]] = {}
            for name in canary.chosen(known):
                slot, key = known[name]
                wanted.setdefault(slot, []).append(key)
            return [
                {
                    f"{slot} {key}": _answer(kinds[key.partition(":")[0]], raw)
                    for slot, values in (await store.read_slots(wanted)).items()
                    for key, raw in values.items()
                }
                for store in (old, built)
            ]

    @asynccontextmanager
    async def _opened(self, options: Options, work: Work | None = None) -> AsyncIterator[_Parts]:
        """What every rebuild is made with, but for who is told of it."""
        codec = open_codec(self.log)
        progress = Progress(
            lambda done, total: None if work is None else work.moved(done, total, progress.folded)
        )
        async with Publisher(self.log, codec) as publisher, LiveStore(self.live) as store:
            yield self.log, store, codec, publisher, options, progress


def _answer(kind: Kind[Any], raw: bytes) -> Any:
    """The state as it is read; in words, when this release cannot read what another has written."""
    try:
        return kind.decode(raw)
    except (ValueError, KeyError, TypeError) as error:
        return f"cannot be read: {error!r}"
