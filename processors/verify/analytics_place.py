"""One partition's part of the analytics: the naive fold of its records, and the document that each window has to have. No I/O.

The checkpoint promises that all below it is in the documents. A document may be further, for the sink writes many before it
moves the checkpoint, and says before how far they may go (`reach`). The one that carries the sums tells by `applied`; one
that follows from it may be anywhere between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from events.positions import Partition
from events.reader import LogRecord
from events.settings import LogSettings
from processors.verify.analytics_documents import applied_of, said
from processors.verify.errors import OtherLogError
from processors.verify.naive.windows import NaiveWindow, NaiveWindows
from projections.analytics.chroma import Stored
from projections.analytics.documents import CARRIER, Draft
from projections.analytics.drafts import drafts
from projections.analytics.windows import US, Aspect, Key, Window
from projections.tip import Tip, tip_of

FOR_EVER_US = 2**63


@dataclass(slots=True)
class PlaceProof:
    """`at` is the next offset to fold, `reach` where the documents may go to.

    Windows that begin before `whole_from_us` may have events of records that the log no longer holds.
    """

    place: Partition
    naive: NaiveWindows
    log: LogSettings
    at: int = 0
    reach: int = 0
    tip: Tip | None = None
    whole_from_us: int = 0
    _seen_first: bool = field(init=False, default=False)

    def begin(self, start: int) -> None:
        """The log has the records from there on."""
        if not self._seen_first and start > 0:
            self.whole_from_us = FOR_EVER_US
        self.at = max(self.at, start)

    def take(self, record: LogRecord) -> None:
        """The next record."""
        if not self._seen_first and self.whole_from_us:
            self.whole_from_us = record.timestamp * 1000 + self.log.max_event_ahead_s * US
        self._seen_first = True
        if self.tip is not None and record.offset == self.tip.offset and tip_of(record) != self.tip:
            raise OtherLogError(
                f"the analytics were made from another record at {self.place}:{record.offset}: it is another log"
            )
        self.naive.take(record)
        self.at = record.offset + 1

    def windows(self) -> Iterator[tuple[Key, NaiveWindow]]:
        """All windows that any record up to the reach tells of."""
        for (aspect, second, *names), window in self.naive.windows.items():
            yield Key(Aspect(aspect), second * US, self.naive.window_s, *names), window

    def furthest(self, key: Key, window: NaiveWindow) -> Window:
        """The window with all that was folded: as far as any document may go."""
        return Window(key, window.below(self.reach)[0], self.reach)

    def told(self, collection: str, key: Key, window: NaiveWindow, held: Stored | None) -> Draft | None:
        """The document of a window that has to be in a collection, `held` being the one that is."""
        if CARRIER[key.aspect] == collection:
            return self._carrying(key, window, held)
        promised = _made(collection, key, window.below(self.naive.checkpoint)[0])
        if held is None or not window.later:
            return promised
        there = said(held.text, held.metadata)
        bounds = (self.naive.checkpoint, *(at + 1 for at, _ in window.later))
        possible = (_made(collection, key, window.below(bound)[0]) for bound in bounds)
        fitting = (one for one in possible if one is not None and said(one.text, one.metadata) == there)
        return next(fitting, promised)

    def _carrying(self, key: Key, window: NaiveWindow, held: Stored | None) -> Draft | None:
        """At the offset that the held one names, were that possible: behind its last record, within the reach."""
        applied = self.naive.checkpoint if held is None else min(applied_of(held.metadata), self.reach)
        sums, last = window.below(max(applied, self.naive.checkpoint))
        return _made(CARRIER[key.aspect], key, sums, max(applied, last + 1))


def _made(collection: str, key: Key, sums: dict[str, int], applied: int = 0) -> Draft | None:
    if not sums:
        return None
    return next(one for one in drafts(Window(key, sums, applied)) if one.collection == collection)
