"""The usage of one partition that counts, record by record: sound, and not met within the duplicate horizon. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from events.bounds import Bounds
from events.codec import Codec
from events.errors import InvalidEventError
from events.reader import LogRecord
from processors.dedupe import Seen
from processors.usage.soundness import USAGE, Caller, Soundness, Usage


class Counted(NamedTuple):
    """A record that counts."""

    offset: int
    caller: Caller
    usage: Usage


@dataclass(slots=True)
class CountedUsage:
    """Tells the same as the workers do when its records begin two slices of the horizon before those of interest."""

    codec: Codec
    bounds: Bounds
    refused: int = 0
    duplicates: int = 0
    _soundness: Soundness = field(init=False)
    _seen: Seen = field(default_factory=Seen)
    _clock_ms: int = 0

    def __post_init__(self) -> None:
        self._soundness = Soundness(self.bounds)

    def take(self, records: Iterable[LogRecord]) -> Iterator[Counted]:
        """Those of the next records that count."""
        for record in records:
            if record.timestamp > self._clock_ms:
                self._clock_ms = record.timestamp
                self._seen.turn(self._clock_ms, record.offset)
            try:
                usage = self.codec.decode_record(USAGE, record.value)
                caller = self._soundness.check(usage, record)
            except InvalidEventError:
                self.refused += 1
                continue
            if self._seen.add(usage["event_id"]):
                yield Counted(record.offset, caller, usage)
            else:
                self.duplicates += 1
