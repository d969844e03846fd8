"""The workers, the group that shares the slots out among them, and the server that holds the live state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random

from events.codec import Codec
from events.settings import LogSettings
from projections.live.checkpoint import Checkpoint
from projections.live.keys import FIRST_GENERATION, Keyspace
from projections.live.slots import TOPICS_OF_LEAD, Slot
from tests.simulation.log import MemoryLog
from tests.simulation.process import Fates, Process
from tests.simulation.redis import MemoryRedis
from tests.simulation.worker import Site, Worker

NOTICED_WITHIN_S = 8.0
"""After so long at most the group knows that a member is gone."""

TOLD_WITHIN_S = 4.0
"""After so long at most a member knows that a slot was given to another."""


class Cluster:
    """Starts workers, replaces those that are gone, and moves slots. Nothing of it fails by itself."""

    def __init__(
        self, settings: LogSettings, codec: Codec, fates: Fates, random: Random, twice: float = 0.0
    ) -> None:
        self.settings = settings
        self.codec = codec
        self.log = MemoryLog(settings)
        self.redis = MemoryRedis()
        self.keyspace = Keyspace("interlock", FIRST_GENERATION)
        self.slots = [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(settings.partitions)]
        self.stops: list[tuple[str, Slot, BaseException]] = []
        self._random = random
        self._fates = fates
        self._twice = twice
        self._workers: dict[str, Worker] = {}
        self._owners: dict[Slot, str] = {}
        self._started = 0
        self._site = Site(settings, codec, self.log, self.redis, random, self._owns, self._stopped)

    def start_worker(self) -> Worker:
        """A new process; it owns nothing yet."""
        self._started += 1
        process = Process(f"w{self._started}", self._fates, self._on_kill, self._on_pause)
        worker = self._workers[process.name] = Worker(process, self._site, self._twice)
        return worker

    def share_out(self) -> None:
        """Give every slot that has no owner to some worker that is alive."""
        alive = [worker for worker in self._workers.values() if worker.process.alive]
        for slot in self.slots:
            if slot not in self._owners and alive:
                self._give(slot, self._random.choice(alive))

    def move(self, slot: Slot) -> None:
        """Give a slot to another worker; the one that has it learns of it later."""
        before = self._owners.get(slot)
        others = [worker for name, worker in self._workers.items() if worker.process.alive and name != before]
        if others:
            self._give(slot, self._random.choice(others))
            if before is not None:
                self._later(self._random.uniform(0.0, TOLD_WITHIN_S), lambda: self._tell(before, slot))

    def checkpoint(self, slot: Slot) -> Checkpoint:
        """Where the slot is, looked up behind every fault."""
        return Checkpoint.from_hash(self.redis.command(("HGETALL", self.keyspace.meta(slot))))

    def states(self) -> dict[str, dict[str, bytes]]:
        """All states by slot and key."""
        return {
            str(slot): {
                key.decode().removeprefix(prefix): value
                for key, value in sorted(self.redis.keys.items())
                if key.startswith(prefix.encode()) and isinstance(value, bytes)
            }
            for slot in self.slots
            for prefix in [self.keyspace.prefix(slot)]
        }

    def behind(self) -> list[str]:
        """What is not folded yet, or derived and not on the log yet; nothing when the cluster has come to rest."""
        found = []
        for slot in self.slots:
            checkpoint = self.checkpoint(slot)
            for topic in TOPICS_OF_LEAD[slot.lead]:
                at, end = checkpoint.next_offsets.get(topic, 0), self.log.end(topic, slot.partition)
                if at != end:
                    found.append(f"{slot} is at {at} of {end} in {topic}")
            if checkpoint.published_seq != checkpoint.outbox_seq:
                found.append(f"{slot} has published {checkpoint.published_seq} of {checkpoint.outbox_seq}")
        return found

    def end(self) -> None:
        """Nothing runs any more."""
        for worker in self._workers.values():
            worker.end()

    def kill_all(self) -> None:
        """Every process at once."""
        for worker in list(self._workers.values()):
            worker.process.kill()

    def _give(self, slot: Slot, worker: Worker) -> None:
        self._owners[slot] = worker.process.name
        worker.own(slot)

    def _tell(self, name: str, slot: Slot) -> None:
        if self._owners.get(slot) != name:
            self._workers[name].disown(slot)

    def _owns(self, name: str, slot: Slot) -> bool:
        return self._owners.get(slot) == name

    def _stopped(self, name: str, slot: Slot, error: BaseException) -> None:
        self.stops.append((name, slot, error))
        self._workers[name].process.kill()

    def _on_kill(self, process: Process) -> None:
        self._workers[process.name].end()
        self._later(self._random.uniform(0.0, NOTICED_WITHIN_S), lambda: self._replace(process.name))

    def _replace(self, name: str) -> None:
        self.start_worker()
        for slot, owner in list(self._owners.items()):
            if owner == name:
                del self._owners[slot]
        self.share_out()

    def _on_pause(self, process: Process) -> None:
        """The group takes a silent member for dead; when it wakes up it works on until it is told."""
        self._later(self._random.uniform(0.0, NOTICED_WITHIN_S), lambda: self._take_from(process))

    def _take_from(self, process: Process) -> None:
        loop = asyncio.get_running_loop()
        wakes_in_s = max(0.0, process.paused_until_s - loop.time())
        for slot in [slot for slot, owner in self._owners.items() if owner == process.name]:
            others = [w for w in self._workers.values() if w.process.alive and w.process is not process]
            if others:
                self._give(slot, self._random.choice(others))
                told_in_s = wakes_in_s + self._random.uniform(0.0, TOLD_WITHIN_S)
                self._later(told_in_s, partial(self._tell, process.name, slot))

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, act)
