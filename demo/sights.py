"""When this process first saw a breaker open: noted as the cache decodes the state, so nothing has to look for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson

from demo.clock import wall_us
from events.breaker_transitioned import BreakerState
from projections.live.breaker import Breaker

Sights = dict[tuple[str, int], int]
"""Wall clock, microseconds, by deployment and version of the breaker."""


class Lookout:
    """Decodes breakers and remembers the first sight of each version that is OPEN."""

    def __init__(self, clock_us: Callable[[], int] = wall_us) -> None:
        self.sights: Sights = {}
        self._clock_us = clock_us

    def decode(self, data: bytes) -> Breaker:
        """As Breaker.from_json."""
        breaker = Breaker.from_json(data)
        if breaker.state is BreakerState.OPEN:
            self.sights.setdefault((breaker.deployment, breaker.version), self._clock_us())
        return breaker

    def save(self, path: Path) -> None:
        """JSON, for `load`."""
        path.write_bytes(orjson.dumps([[*place, seen_us] for place, seen_us in self.sights.items()]))


def load(path: Path) -> Sights:
    """What `save` wrote."""
    return {
        (deployment, version): seen_us for deployment, version, seen_us in orjson.loads(path.read_bytes())
    }
