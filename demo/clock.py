"""Virtual time: history, played faster than it happened. All processes of a run agree on it without talking."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass


def wall_us() -> int:
    """Microseconds since the epoch by this machine's clock."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class VirtualClock:
    """History at `at_us` when the wall clock stood at `started_us`; `speed` seconds of it in each second since."""

    at_us: int
    started_us: int
    speed: float

    def virtual_us(self, at_wall_us: int) -> int:
        """The time of history at an instant of the wall clock."""
        return self.at_us + int((at_wall_us - self.started_us) * self.speed)

    def wall_us_of(self, virtual_us: int) -> int:
        """When the wall clock shows, or showed, that time of history."""
        return self.started_us + int((virtual_us - self.at_us) / self.speed)

    def now_us(self) -> int:
        """The time of history now."""
        return self.virtual_us(wall_us())

    def now_ms(self) -> int:
        """As `now_us`, in milliseconds: the clock of a publisher."""
        return self.now_us() // 1000

    async def until(self, virtual_us: int) -> None:
        """Wait for a time of history; at once when it is past."""
        await asyncio.sleep(max(0.0, (self.wall_us_of(virtual_us) - wall_us()) / 1_000_000))
