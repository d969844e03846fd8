"""Keep trying while a dependency is away: bounded waits that grow, with jitter, and a line in the log each time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

import structlog

from events.errors import BackpressureError, LogUnavailableError
from events.publisher import PartlyAppendedError
from processors.metrics import RETRIES
from projections.errors import LiveUnavailableError

T = TypeVar("T")
TRANSIENT = (LogUnavailableError, LiveUnavailableError, BackpressureError, PartlyAppendedError)
FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 5.0

_log = structlog.get_logger(__name__)


async def until_done(what: str, operation: Callable[[], Awaitable[T]]) -> T:
    """The operation's result, however long its dependency is away; anything but a transient error goes through.

    Meant for a worker, which has nothing better to do than wait: its partitions are not fetched meanwhile, so the lag
    shows, and it goes on without a restart.
    """
    longest_s = FIRST_WAIT_S
    for attempt in count(1):
        try:
            return await operation()
        except TRANSIENT as error:
            RETRIES.labels(what).inc()
            _log.warning("waiting for a dependency", what=what, attempt=attempt, error=str(error))
        await asyncio.sleep(random.uniform(0, longest_s))
        longest_s = min(LONGEST_WAIT_S, 2 * longest_s)
    raise AssertionError("unreachable: retries without end")
