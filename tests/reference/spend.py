"""What was spent between two instants, told naively."""

from __future__ import annotations

from collections.abc import Iterable

from processors.verify.naive.spend import Charged, charged_at, nodes, values_of


def spent_between(charged: Iterable[Charged], node: str, start_us: int, end_us: int) -> tuple[int, ...]:
    """Cost, calls, input tokens, output tokens and unpriced calls of a node over [start_us, end_us)."""
    lines = [
        values_of(event)
        for event in charged
        if node in nodes(event) and start_us <= charged_at(event) < end_us
    ]
    return tuple(map(sum, zip(*lines, strict=True))) if lines else (0, 0, 0, 0, 0)
