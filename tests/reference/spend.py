"""What was spent between two instants, told naively."""

from __future__ import annotations

from collections.abc import Iterable

from events.usage_recorded import UsageRecorded
from processors.verify.naive.spend import nodes, values_of


def spent_between(usage: Iterable[UsageRecorded], node: str, start_us: int, end_us: int) -> tuple[int, ...]:
    """Cost, calls, input tokens, output tokens and unpriced calls of a node over [start_us, end_us)."""
    lines = [
        values_of(event) for event in usage if node in nodes(event) and start_us <= event.occurred_at < end_us
    ]
    return tuple(map(sum, zip(*lines, strict=True))) if lines else (0, 0, 0, 0, 0)
