"""What all that is sent has: an id, a source, and a time at which it happened."""

from __future__ import annotations

from random import Random

from events.ids import uuid7
from tests.simulation.plan import Plan
from tests.simulation.virtual_time import now_us


class Sender:
    """Draws from the seed's one source of chance, so the order of its draws is part of a seed."""

    def __init__(self, plan: Plan, random: Random) -> None:
        self._plan = plan
        self._random = random

    def _head(self) -> dict[str, object]:
        now = now_us()
        return {"event_id": uuid7(now, self._random.randbytes(10)), "source": "world"}

    def _occurred_at(self) -> int:
        now = now_us()
        if self._random.random() < self._plan.late:
            return now - round(
                self._random.choice((10, 400, 5000, 100_000, 3_000_000)) * 1e6 * self._random.random()
            )
        return now + self._random.choice((0, -200_000, -2_000_000, 500_000))
