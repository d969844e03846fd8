"""A repricing that is killed amid its appends: `python -m tests.integration.reprice.killed ADJUSTMENTS ARGUMENT...`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from api.cli.app import app
from events.envelope import Event
from events.header_names import Header
from events.positions import Position
from events.publisher import Publisher
from events.spend_adjusted import SpendAdjusted
from processors.reprice import run

MOST = int(sys.argv[1])
AT_ONCE = 7


class Doomed(Publisher):
    """Dies without a word once so many adjustments are acknowledged."""

    acknowledged = 0

    async def append(self, events: Sequence[Event], headers: tuple[Header, ...] = ()) -> list[Position]:
        """As a publisher does."""
        positions = await super().append(events, headers)
        self.acknowledged += sum(isinstance(event, SpendAdjusted) for event in events)
        if self.acknowledged >= MOST:
            os.kill(os.getpid(), signal.SIGKILL)
        return positions


run.APPENDED_AT_ONCE = AT_ONCE
sys.modules["events.publisher"].Publisher = Doomed  # type: ignore[attr-defined]
app(sys.argv[2:], prog_name="interlock")
