"""A slot as a task: batches come in through a bounded backlog, and the slot is opened anew when it lost step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from events.errors import LogUnavailableError
from processors import metrics
from processors.backlog import Backlog
from processors.fold import NotYetError
from processors.slot_runner import OutOfStepError, SlotRunner
from projections.errors import FencedError, LogReplacedError, StaleCheckpointError
from projections.live.slots import Slot

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
IDLE_CHECK_S = 2.0
"""How often a slot without traffic asks whether its state is still there: a flushed Redis is noticed without an event."""

FENCED_WAIT_S = 1.0
"""A worker that was fenced has most likely lost the partition; the group will tell it within this time."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class SlotTask:
    """A runner with its backlog, as a task: opens the slot, and again whenever it lost step with its state.

    `position` makes the consumer read on from the given offsets of the slot's topics.
    """

    runner: SlotRunner
    position: Callable[[Slot, Mapping[str, int]], Awaitable[None]]
    hold: Callable[[Slot], None]
    backlog: Backlog = field(default_factory=Backlog)

    async def run(self) -> None:
        """Until cancelled; raises what the worker has to stop for."""
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s)
            started_s = asyncio.get_running_loop().time()
            cause = await self._own()
            steady = asyncio.get_running_loop().time() - started_s > LONGEST_PAUSE_S
            pause_s = 0.0 if steady else min(max(FIRST_PAUSE_S, 2 * pause_s), LONGEST_PAUSE_S)
            metrics.REOPENED.labels(cause).inc()
            self.runner.is_open = False
            self.hold(self.runner.slot)
            self.backlog.clear()

    async def _own(self) -> str:
        """Open the slot and fold what comes, until it has to be opened anew; why."""
        try:
            await self.position(self.runner.slot, await self.runner.open())
            while True:
                await self._fold_next()
        except StaleCheckpointError as error:
            _log.warning("live state changed under this worker: loading it anew", why=str(error))
            return "stale"
        except FencedError as error:
            _log.warning("another worker took the slot", why=str(error))
            await asyncio.sleep(FENCED_WAIT_S)
            return "fenced"
        except LogReplacedError as error:
            _log.warning("the log was replaced under this worker: looking at it anew", why=str(error))
            return "log_replaced"
        except LogUnavailableError as error:
            _log.warning("a batch cannot be folded now: trying again", why=str(error))
            return "log"
        except asyncio.CancelledError:
            if _is_ordered():
                raise
            _log.warning("a call of the slot was cancelled from within: opening it anew", exc_info=True)
            return "cancelled"

    async def _fold_next(self) -> None:
        try:
            async with asyncio.timeout(IDLE_CHECK_S):
                fetched = await self.backlog.take()
        except TimeoutError:
            await self.runner.check()
            return
        try:
            await self.runner.apply(fetched.topic, fetched.batch)
        except OutOfStepError as error:
            await self.position(self.runner.slot, {error.topic: error.offset})
        except NotYetError as error:
            await self.position(self.runner.slot, {error.topic: self.runner.next_offsets[error.topic]})
        else:
            fetched.acknowledge()


def _is_ordered() -> bool:
    """Whether this task was told to end; else a future that it waited for was cancelled, as clients of servers do."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
