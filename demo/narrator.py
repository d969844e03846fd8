"""Says what is going on while the traffic runs: breakers and alerts as they come, and how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from demo.clock import VirtualClock
from demo.live import all_slots
from demo.stage import Stage
from events.alert_raised import AlertRaised
from events.breaker_transitioned import BreakerTransitioned
from events.catalogue import topic_named
from events.codec import Codec
from events.errors import EventsError
from events.reader import LogReader
from events.registry import FolderRegistry
from projections.errors import ProjectionError

REFRESH_S = 0.5


def time_text(at_us: int) -> str:
    """`13:54:07Z` of an instant of history."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%H:%M:%SZ")


def columns() -> tuple[TextColumn | BarColumn | TimeElapsedColumn, ...]:
    """What the progress bar shows."""
    return (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )


class Narrator:
    """Tells of a stage. What it cannot learn at the moment, it leaves out: it is no part of the proof."""

    def __init__(self, stage: Stage, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._say = say
        self._codec = Codec(FolderRegistry(stage.log.schemas_folder))
        self._open: dict[str, str] = {}

    async def tell(self) -> None:
        """Say every transition and every alert once, until cancelled."""
        await asyncio.gather(self._follow("breakers"), self._follow("alerts"))

    async def show(self, progress: Progress, bar: TaskID, clock: VirtualClock, end_us: int) -> None:
        """Move the bar with history, until cancelled."""
        while True:
            now_us = min(clock.now_us(), end_us)
            state = f"{time_text(now_us)}  {await self._folded()}"
            progress.update(bar, completed=max(0, now_us - clock.at_us), state=state)
            await asyncio.sleep(REFRESH_S)

    async def _folded(self) -> str:
        try:
            checkpoints = await self._stage.store.checkpoints(all_slots(self._stage.log.partitions))
        except ProjectionError:
            return "the live state cannot be read"
        folded = sum(
            held.next_offsets.get(topic, 0) for held in checkpoints.values() for topic in ("usage", "routing")
        )
        is_open = f", open: {', '.join(sorted(self._open))}" if self._open else ""
        return f"{folded:,} events folded{is_open}"

    async def _follow(self, topic: str) -> None:
        told: set[str] = set()
        reader = LogReader(self._stage.log)
        while True:
            try:
                async for _, records in reader.tail(topic, {}):
                    for record in records:
                        event = self._codec.decode(topic_named(topic), record.value)
                        if event.event_id not in told:
                            told.add(event.event_id)
                            self._tell(event)
            except EventsError:
                await asyncio.sleep(REFRESH_S)

    def _tell(self, event: object) -> None:
        match event:
            case BreakerTransitioned():
                if event.to_state == "CLOSED":
                    self._open.pop(event.deployment, None)
                elif event.to_state == "OPEN":
                    self._open[event.deployment] = event.reason
                self._say(
                    f"{time_text(event.occurred_at)}  {event.deployment}: "
                    f"{event.from_state} -> {event.to_state}  {event.reason}"
                )
            case AlertRaised():
                self._say(f"{time_text(event.occurred_at)}  alert for {event.tenant}: {event.title}")
            case _:
                pass
