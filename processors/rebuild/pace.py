"""How fast a rebuild may go, all its slots together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class Pace:
    """At most so many events a second on average; None: as fast as it goes."""

    events_per_s: int | None
    _free_at_s: float = field(init=False, default=0.0)

    async def take(self, events: int) -> None:
        """Returns when that many may be folded. Those who come later wait behind."""
        if self.events_per_s is None:
            return
        now_s = asyncio.get_running_loop().time()
        begins_s = max(now_s, self._free_at_s)
        self._free_at_s = begins_s + events / self.events_per_s
        await asyncio.sleep(begins_s - now_s)

    def most(self, events: int) -> int:
        """How many of that many to take at once, so that a slow pace is even: a tenth of a second's."""
        return events if self.events_per_s is None else max(1, min(events, self.events_per_s // 10))
