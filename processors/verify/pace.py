"""How much of a core a proof may take: after each piece of work it rests for as long as its share asks for."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Share:
    """At most that part of one core on average; 1 goes as fast as it can. `worked_s` is what was spent in all."""

    of_a_core: float
    worked_s: float = field(init=False, default=0.0)

    @property
    def records_at_once(self) -> int:
        """Few when it shares its event loop with others, who wait meanwhile."""
        return 1_000 if self.of_a_core >= 1 else 20

    async def after(self, began_s: float) -> None:
        """A piece of work is done that began then, by `time.thread_time`, and did not wait: rest."""
        spent_s = time.thread_time() - began_s
        self.worked_s += spent_s
        await asyncio.sleep(spent_s * (1 / self.of_a_core - 1))
