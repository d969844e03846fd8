"""What an owner of a partition remembers between two writes: windows that changed, and how far it has read. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from events.envelope import Event
from events.positions import Partition
from events.reader import LogRecord
from projections.analytics.admission import Admission
from projections.analytics.checkpoints import Checkpoint
from projections.analytics.windows import Key, Lengths, Part, Window, contributions
from projections.tip import Tip

Change = tuple[int, Part]
"""Offset of a record, and what it adds to one window."""


@dataclass(slots=True)
class Gathering:
    """One owned partition. `next_offset` is the next to read; below `checkpoint.next_offset` all is durable.

    Records below the checkpoint come again after an opening: only their ids are remembered. `changed_since_s` is the
    monotonic time of the oldest change that is not durable. `attempted` is a checkpoint whose write was not answered.
    `tip` is the last record that was read.
    """

    place: Partition
    admission: Admission
    checkpoint: Checkpoint
    next_offset: int
    windows: dict[Key, Window] = field(default_factory=dict)
    changed: set[Key] = field(default_factory=set)
    changed_since_s: float | None = None
    attempted: Checkpoint | None = None
    tip: Tip | None = None

    def admit(self, record: LogRecord) -> Event | None:
        """The event of a record that counts and is not in the documents yet."""
        if record.offset < self.checkpoint.next_offset:
            self.admission.remember(record)
            return None
        return self.admission.admit(record)

    def changes(self, records: Sequence[LogRecord], lengths: Lengths) -> list[Change]:
        """What these records add, in their order."""
        return [
            (record.offset, part)
            for record in records
            if (event := self.admit(record)) is not None
            for part in contributions(event, lengths)
        ]

    def unknown(self, changes: Iterable[Change]) -> list[Key]:
        """The windows that have to be looked up first."""
        return list({key: None for _, (key, _) in changes if key not in self.windows})

    def apply(self, changes: Iterable[Change]) -> None:
        """Add them to their windows, which are all there."""
        for offset, (key, part) in changes:
            if self.windows[key].add(part, offset):
                self.changed.add(key)

    def advance(self, tip: Tip, now_s: float) -> None:
        """All up to that record was read."""
        self.next_offset, self.tip = tip.offset + 1, tip
        if self.changed_since_s is None and self.next_offset > self.checkpoint.next_offset:
            self.changed_since_s = now_s

    def target(self) -> Checkpoint:
        """The checkpoint once all that was gathered is written."""
        end = max(self.next_offset, self.checkpoint.next_offset)
        since = end if self.place.topic == "outcomes" else min(self.admission.since, end)
        covered, tip = dict(self.admission.covered), self._furthest()
        return replace(self.checkpoint, next_offset=end, since=since, covered=covered, tip=tip)

    def announced(self) -> Checkpoint:
        """The checkpoint before that is written: where it was, and how far documents may go already."""
        return replace(self.checkpoint, tip=self._furthest())

    def _furthest(self) -> Tip | None:
        """Records below the checkpoint may be read a second time, and do not take it back."""
        known = self.checkpoint
        return self.tip if self.tip is not None and self.next_offset >= known.reach else known.tip

    def written(self, checkpoint: Checkpoint, most_windows: int) -> None:
        """All that was gathered is durable. Windows are kept for what comes next, a bounded number of them."""
        self.checkpoint, self.attempted = checkpoint, None
        self.changed.clear()
        self.changed_since_s = None
        if len(self.windows) > most_windows:
            self.windows.clear()
