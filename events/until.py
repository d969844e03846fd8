"""Up to where of the log something is taken: a time, or positions."""

from __future__ import annotations

from dataclasses import dataclass

from events.positions import PositionVector


@dataclass(frozen=True, slots=True)
class UntilTime:
    """Each partition ends before its first record whose timestamp is after this time, in microseconds since the epoch."""

    time_us: int

    @property
    def after_ms(self) -> int:
        """The first timestamp of a record that is after it."""
        return self.time_us // 1000 + 1


@dataclass(frozen=True, slots=True)
class UntilPositions:
    """Each partition that is named ends at its offset; the others are not cut."""

    vector: PositionVector


Until = UntilTime | UntilPositions
