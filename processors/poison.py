"""Tell a few bad records from an outage: when most of what comes is bad, stop instead of dead-lettering it all."""

from __future__ import annotations

from dataclasses import dataclass

WINDOW_RECORDS = 10_000
LIMIT_SHARE = 0.5
LEAST_RECORDS = 1_000


class TooManyBadRecordsError(Exception):
    """Most of the last records were bad: something is wrong with the producers, the schemas or this release."""


@dataclass(slots=True)
class PoisonGuard:
    """Counts the bad among the latest records of one slot, with older ones fading out."""

    records: float = 0.0
    bad: float = 0.0

    def note(self, records: int, bad: int, example: str) -> None:
        """Raises TooManyBadRecordsError when of at least LEAST_RECORDS records more than LIMIT_SHARE are bad."""
        fade = max(0.0, 1.0 - records / WINDOW_RECORDS)
        self.records = self.records * fade + records
        self.bad = self.bad * fade + bad
        if self.records >= LEAST_RECORDS and self.bad > self.records * LIMIT_SHARE:
            raise TooManyBadRecordsError(
                f"{self.bad:.0f} of the last {self.records:.0f} records are bad, for example: {example}. Nothing of this "
                f"batch was folded or dead-lettered; mend the cause and start the worker again"
            )
