"""How far each partition has come, kept beside the documents in a collection of its own.

Chroma has no conditional write. Who opens a partition raises its epoch, and whoever writes looks at it right before: an
owner of before is refused unless it was stopped within the moment between look and write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from events.positions import Partition
from projections.analytics.admission import Covered
from projections.analytics.chroma import Chroma, Found, Metadata, Stored
from projections.errors import FencedError, SinkUnavailableError, StaleCheckpointError
from projections.made_with import MadeWith, Projection, made_with_release, refuse_later
from projections.tip import Tip

CHECKPOINTS = "checkpoints"
"""Name of the collection, before the prefix."""

MOST_PARTITIONS = 100_000
_NOWHERE = (1.0,)
"""The vector of a document that is never searched for."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All below `next_offset` is in the documents. `since`: from where ids are read back to know duplicates again.

    `tip` is the last record of which there may be anything in the documents: it lies further when a write was broken off.
    """

    next_offset: int = 0
    since: int = 0
    epoch: int = 0
    owner: str = ""
    covered: Covered = field(default_factory=dict)
    tip: Tip | None = None

    @property
    def reach(self) -> int:
        """Nothing from that offset on is in the documents."""
        return max(self.next_offset, 0 if self.tip is None else self.tip.offset + 1)


class Checkpoints:
    """The checkpoints of all partitions."""

    def __init__(self, chroma: Chroma, collection: str) -> None:
        self._chroma = chroma
        self.collection = collection

    async def take(self, place: Partition, owner: str) -> Checkpoint:
        """Make this the owner; whoever was it before is refused from now on.

        SinkUnavailableError while these are documents of a later fold than this release has.
        """
        made_with = made_with_release(Projection.ANALYTICS).to_text()
        said = await self._chroma.ensure(self.collection, {"holds": CHECKPOINTS, "made_with": made_with})
        what = f"the analytics of {place}"
        refuse_later(what, _made_with(said), Projection.ANALYTICS, SinkUnavailableError)
        found = await self._chroma.by_id(self.collection, [str(place)])
        before = _read(found[str(place)]) if found else Checkpoint()
        taken = replace(before, epoch=before.epoch + 1, owner=owner)
        await self.write(place, taken)
        return taken

    async def check(self, place: Partition, mine: Checkpoint, attempted: Checkpoint | None) -> Checkpoint:
        """The checkpoint that is there: mine, or one whose write was attempted and not answered.

        FencedError when another took the partition over, StaleCheckpointError when it is not where it was left.
        """
        found = await self._chroma.by_id(self.collection, [str(place)])
        now = _check_owner(place, _read(found[str(place)]) if found else None, mine)
        for known in (mine, attempted):
            if known is not None and now.next_offset == known.next_offset:
                return known
        raise StaleCheckpointError(
            f"the checkpoint of {place} is {now.next_offset}, expected {mine.next_offset}"
        )

    async def look(self, mine: Mapping[Partition, Checkpoint]) -> None:
        """See that all of these are still owned as they were taken: FencedError, StaleCheckpointError."""
        held = await self.all()
        for place, one in mine.items():
            _check_owner(place, held.get(place), one)

    async def write(self, place: Partition, checkpoint: Checkpoint) -> None:
        """Put it there."""
        metadata: Metadata = {
            "topic": place.topic,
            "partition": place.number,
            "next_offset": checkpoint.next_offset,
            "since": checkpoint.since,
            "epoch": checkpoint.epoch,
            "owner": checkpoint.owner,
            "covered": json.dumps(checkpoint.covered, sort_keys=True),
            "tip": -1 if checkpoint.tip is None else checkpoint.tip.offset,
            "digest": "" if checkpoint.tip is None else checkpoint.tip.digest,
        }
        await self._chroma.upsert(self.collection, [Stored(str(place), str(place), metadata, _NOWHERE)])

    async def made_with(self) -> MadeWith | None:
        """What these documents were begun with; None when there are none."""
        said = await self._chroma.about(self.collection)
        return None if said is None else _made_with(said)

    async def all(self) -> dict[Partition, Checkpoint]:
        """Of every partition that was ever taken."""
        if await self._chroma.about(self.collection) is None:
            return {}
        found = await self._chroma.matching(self.collection, {}, MOST_PARTITIONS)
        return {_place(one.metadata): _read(one) for one in found}


def _made_with(said: Metadata) -> MadeWith:
    return MadeWith.from_text(str(said.get("made_with", "")))


def _check_owner(place: Partition, now: Checkpoint | None, mine: Checkpoint) -> Checkpoint:
    """The one that is there. FencedError, StaleCheckpointError."""
    if now is None:
        raise StaleCheckpointError(f"the checkpoint of {place} is gone: the collections were emptied")
    if (now.epoch, now.owner) != (mine.epoch, mine.owner):
        raise FencedError(f"{place} was taken over by {now.owner}", owner=now.owner, epoch=now.epoch)
    return now


def _place(metadata: Mapping[str, object]) -> Partition:
    return Partition(str(metadata["topic"]), int(str(metadata["partition"])))


def _read(found: Found) -> Checkpoint:
    kept = found.metadata
    return Checkpoint(
        int(kept["next_offset"]),
        int(kept["since"]),
        int(kept["epoch"]),
        str(kept["owner"]),
        json.loads(str(kept["covered"])),
        Tip(int(kept["tip"]), str(kept["digest"])) if kept.get("digest") else None,
    )
