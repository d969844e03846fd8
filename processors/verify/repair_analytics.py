"""Repair of the analytics: the documents of windows that differ are written anew from the naive count, as far as it goes.

Who writes has to own the partition, so it is taken from its sink, which finds itself fenced and opens it anew: what it
remembered of the windows may be wrong. When it does so before all is written, the partition is taken once more.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from events.positions import Partition
from processors.verify.analytics import AnalyticsProof
from processors.verify.analytics_documents import Verdict
from processors.verify.analytics_group import AnalyticsFound, GroupProof
from processors.verify.errors import TakenBackError
from processors.verify.mended import Mended
from projections.analytics.checkpoints import CHECKPOINTS, Checkpoints
from projections.analytics.chroma import Stored
from projections.analytics.chunks import chunks
from projections.analytics.drafts import drafts
from projections.analytics.places import full_name
from projections.analytics.retention import cutoffs_us
from projections.analytics.windows import Window
from projections.errors import FencedError, StaleCheckpointError

OWNER = f"interlock verify, process {os.getpid()} on {socket.gethostname()}"
TRIES = 10
WINDOWS_AT_ONCE = 200


async def repair_analytics(proof: AnalyticsProof, numbers: Collection[int]) -> list[Mended]:
    """Count the log, and set right what differs in these partitions; what was done.

    Errors as those of the proof, and TakenBackError; what was done until then stays done.
    """
    mended: list[Mended] = []
    async with aclosing(proof.groups(numbers, AnalyticsFound())) as groups:
        async for group in groups:
            if group.differing:
                mended += await _GroupRepair.of(group).repair()
    return mended


@dataclass(frozen=True, slots=True)
class _GroupRepair:
    group: GroupProof
    checkpoints: Checkpoints

    @classmethod
    def of(cls, group: GroupProof) -> _GroupRepair:
        name = full_name(group.means.analytics, CHECKPOINTS)
        return cls(group, Checkpoints(group.means.chroma, name))

    async def repair(self) -> list[Mended]:
        by_place: dict[str, list[Verdict]] = {}
        for one in self.group.differing:
            by_place.setdefault(one.place, []).append(one)
        places = {str(place): place for place in self.group.found.positions}
        for name, differing in by_place.items():
            await self._mend(places.get(name), differing)
        return [Mended(one.place, one.name, _done(one)) for one in self.group.differing]

    async def _mend(self, place: Partition | None, differing: Sequence[Verdict]) -> None:
        for _ in range(TRIES):
            try:
                return await self._write_all(place, differing)
            except (FencedError, StaleCheckpointError):
                continue
        raise TakenBackError(
            f"the sink took {place} back before it was repaired, {TRIES} times: stop `interlock sink analytics`, repair, and "
            "start it again"
        )

    async def _write_all(self, place: Partition | None, differing: Sequence[Verdict]) -> None:
        """As the owner of the partition; without one nobody writes it."""
        claim = None if place is None else await self.checkpoints.take(place, OWNER)
        windows = await self.group.windows({one.id for one in differing})
        for some in chunks(differing, WINDOWS_AT_ONCE):
            if place is not None and claim is not None:
                await self.checkpoints.check(place, claim, None)
            wanted = {one.id: windows[one.id] for one in some if one.id in windows}
            await self._write(some, wanted.values())

    async def _write(self, differing: Sequence[Verdict], windows: Iterable[Window]) -> None:
        """What differs goes first, for a write leaves fields that it does not name; the sums of a window come last."""
        means = self.group.means
        oldest_us = cutoffs_us(means.analytics, means.clock_us())
        made = [
            draft
            for window in windows
            for draft in drafts(window)
            if draft.collection in self.group.collections
            and window.key.start_us >= oldest_us[draft.collection]
        ]
        vectors = means.vectors.of_drafts(made)
        for collection in self.group.collections:
            name = full_name(means.analytics, collection)
            await means.chroma.delete(name, [one.id for one in differing if one.collection == collection])
        for collection in dict.fromkeys(draft.collection for draft in made):
            documents = [
                Stored(draft.id, draft.text, draft.metadata, vector)
                for draft, vector in zip(made, vectors, strict=True)
                if draft.collection == collection
            ]
            await means.chroma.upsert(full_name(means.analytics, collection), documents)


def _done(one: Verdict) -> str:
    if one.told is None:
        return "taken out"
    return "written" if one.held is None else "written anew"
