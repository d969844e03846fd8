"""A drill: everything but the backup is taken for lost, and built again from it on scratch servers, timed and proved.

The log is restored into an embedded broker, a worker folds it into an empty live store, a sink writes an empty history and empty
analytics; then the log is compared with the backup, and all that was made of it with naive folds of the log. Nothing of what runs elsewhere is touched.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from api.settings import CONFIG_NAME, PREFIX, Settings
from embedded.process import Child, Launch
from embedded.stack import Addresses, EmbeddedStack
from events.broker import create_topics
from events.codec import Codec, open_codec
from events.positions import Partition, PositionVector
from events.reader import LogReader
from processors.rebuild.progress import Progress
from processors.verify.analytics import AnalyticsProof
from processors.verify.analytics_group import AnalyticsFound
from processors.verify.history import HistoryFound, HistoryProof
from processors.verify.live import Verified, verify_live
from projections.analytics.following import FollowingSink
from projections.analytics.sets import live_set
from projections.archive.restore import restore
from projections.archive.restore_proof import Proved, prove
from projections.archive.settings import ArchiveSettings
from projections.backup.create import parts_of
from projections.backup.manifest import Backup
from projections.backup.restore import tell_group, until
from projections.history.sink import HistorySink
from projections.live.slots import FOLDED_TOPICS, TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.sink import Sink

STOP_WITHIN_S = 5.0
LIVE_BACK = "live state folded"
HISTORY_BACK = "history written"
ANALYTICS_BACK = "analytics written"
FLUSH_AFTER_S = 1.0
"""Of documents: what is gathered for longer is a choice for a log that goes on, and no time that is needed."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the work, and how long it took. `back`: a service is not back before it is done."""

    name: str
    took_s: float
    back: bool


@dataclass(slots=True)
class Drill:
    """One drill. `told` gets what is being done; `within_s` is how long folding and writing may take."""

    backup: Backup
    archive: Path
    settings: Settings
    folder: Path
    within_s: float
    told: Callable[[str], None]
    phases: list[Phase] = field(default_factory=list)

    async def run(self) -> DrillFound:
        """Restore and prove. Whatever happens, all servers and processes of it are ended."""
        stack = EmbeddedStack(self.folder / "servers")
        with self._timed("servers started", back=True):
            await stack.start()
        try:
            return await self._rebuilt(stack.addresses)
        finally:
            await stack.stop()

    async def _rebuilt(self, at: Addresses) -> DrillFound:
        settings = self._scratch(at)
        environment = self._environment(settings)
        with self._timed("log restored", back=True):
            await create_topics(settings.log)
            held = ArchiveSettings(folder=self.archive)
            await restore(held, settings.log, lambda _: None, until(self.backup))
            await tell_group(self.backup, settings.log)
        async with (
            _running("work", environment, self.folder) as worker,
            _running("sink", environment, self.folder) as sink,
        ):
            await self._until_back(settings, worker, sink)
        return await self._proved(settings)

    async def _until_back(self, settings: Settings, worker: Child, sink: Child) -> None:
        """Worker and sink begin at once; what one store takes longer than the one before is its phase."""
        codec, log = _codec(settings), settings.log
        history, analytics = (
            HistorySink(settings.history, codec, log),
            FollowingSink(settings.analytics, codec, log),
        )
        try:
            async with LiveStore(settings.live) as store:
                with self._timed(LIVE_BACK, back=True):
                    await worker.until(
                        lambda: self._covered(self._folded(store), FOLDED_TOPICS), self.within_s
                    )
            for name, asked in ((HISTORY_BACK, history), (ANALYTICS_BACK, analytics)):
                with self._timed(name, back=True):
                    await sink.until(partial(self._written, asked), self.within_s)
        finally:
            await history.close()
            await analytics.close()

    async def _proved(self, settings: Settings) -> DrillFound:
        positions, quiet = self.backup.point.positions, Progress(lambda *_: None)
        with self._timed("log compared with the backup"):
            log = await prove(parts_of(self.archive, positions), positions, settings.log, lambda _: None)
        with self._timed("live state proved"):
            live = await verify_live(settings.log, settings.live, _codec(settings), quiet, self._slots())
        with self._timed("history proved"):
            proof = HistoryProof(settings.log, settings.history, _codec(settings), lambda *_: None)
            history = await proof.verify(range(settings.log.partitions))
        with self._timed("analytics proved"):
            written, reader = await live_set(settings.analytics), LogReader(settings.log)
            counted = AnalyticsProof(settings.log, written, _codec(settings), reader, lambda *_: None)
            analytics = await counted.verify(range(settings.log.partitions))
        return DrillFound(log, live, history, analytics, tuple(self.phases))

    async def _written(self, sink: Sink) -> bool:
        return await self._covered(sink.positions(), sink.topics)

    async def _covered(self, asked: Awaitable[PositionVector], topics: Collection[str]) -> bool:
        """Whether a store has all of these topics that the backup has."""
        at = await asked
        wanted = self.backup.point.positions.items()
        return all(at.get(place, 0) >= end for place, end in wanted if place.topic in topics)

    async def _folded(self, store: LiveStore) -> PositionVector:
        checkpoints = await store.checkpoints(self._slots())
        return {
            Partition(topic, slot.partition): offset
            for slot, held in checkpoints.items()
            for topic, offset in held.next_offsets.items()
        }

    def _slots(self) -> list[Slot]:
        numbers = {place.number for place in self.backup.point.positions}
        return [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in sorted(numbers)]

    @contextmanager
    def _timed(self, name: str, *, back: bool = False) -> Iterator[None]:
        self.told(name)
        begun_s = time.monotonic()
        yield
        self.phases.append(Phase(name, time.monotonic() - begun_s, back))

    def _scratch(self, at: Addresses) -> Settings:
        """The settings with no address of what runs elsewhere."""
        given, numbers = self.settings, {place.number for place in self.backup.point.positions}
        log = {"bootstrap": at.broker, "replication_factor": 1, "partitions": len(numbers)}
        live = {"redis_url": at.valkey, "topology": "single", "generation": None}
        analytics = {"chroma_url": at.chroma, "flush_after_s": FLUSH_AFTER_S}
        return given.model_copy(
            update={
                "log": given.log.model_copy(update=log),
                "live": given.live.model_copy(update=live),
                "history": given.history.model_copy(update={"postgres_dsn": at.postgres}),
                "analytics": given.analytics.model_copy(update=analytics),
                "archive": given.archive.model_copy(update={"folder": None}),
            }
        )

    def _environment(self, settings: Settings) -> Mapping[str, str]:
        """Children read these settings and no others."""
        path = self.folder / "interlock.yaml"
        path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
        plain = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
        return plain | {CONFIG_NAME: str(path), "INTERLOCK_DATA": str(self.folder)}


@dataclass(frozen=True, slots=True)
class DrillFound:
    """What the proofs came to at the backup's positions or after them, and what took how long."""

    log: list[Proved]
    live: Verified
    history: HistoryFound
    analytics: AnalyticsFound
    phases: tuple[Phase, ...]

    @property
    def unequal(self) -> list[str]:
        """Those that are not what the log says."""
        found = {
            "log": all(one.is_equal for one in self.log),
            "live": self.live.comparison.is_equal,
            "history": self.history.comparison.is_equal,
            "analytics": self.analytics.comparison.is_equal,
        }
        return [name for name, is_equal in found.items() if not is_equal]

    def rto_s(self, last: str) -> float:
        """Seconds of all that had to be done until that phase was over, without the proofs."""
        names = [phase.name for phase in self.phases]
        return sum(phase.took_s for phase in self.phases[: names.index(last) + 1] if phase.back)


@asynccontextmanager
async def _running(command: str, environment: Mapping[str, str], folder: Path) -> AsyncIterator[Child]:
    argv = (sys.executable, "-m", "api.cli", command)
    child = await Child.spawn(command, Launch(argv, environment), folder / f"{command}.log")
    try:
        yield child
    finally:
        await child.stop(STOP_WITHIN_S)


def _codec(settings: Settings) -> Codec:
    log = settings.log
    return open_codec(log)
