"""How far each partition is written, and who may write it: rows that move in the transaction of the data."""

from __future__ import annotations

from dataclasses import dataclass

from events.positions import Partition
from projections.errors import FencedError, SinkUnavailableError, StaleCheckpointError
from projections.history.database import Connection
from projections.history.session import Session
from projections.made_with import MadeWith, Projection, refuse_later
from projections.tip import Tip

_TAKE = """
    INSERT INTO checkpoints AS held (topic, partition, next_offset, epoch, owner) VALUES ($1, $2, 0, 1, $3)
    ON CONFLICT (topic, partition) DO UPDATE SET epoch = held.epoch + 1, owner = excluded.owner
    RETURNING next_offset, epoch, digest
"""
_ADVANCE = """
    UPDATE checkpoints SET next_offset = $4, digest = $6
    WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND epoch = $5
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A partition as it was taken over: the next offset to write, the record before it, and the epoch of its owner.

    `tip` is None before the first record, and where a release that did not note it wrote last.
    """

    next_offset: int
    epoch: int
    tip: Tip | None


async def take(connection: Connection, place: Partition, owner: str) -> Claim:
    """Raise the epoch, so that whoever held the partition before is fenced. Waits for what is being committed.

    SinkUnavailableError, and nobody is fenced, while it is a history of a later fold than this release has.
    """
    async with connection.transaction():
        row = await connection.fetchrow(_TAKE, place.topic, place.number, owner)
        # No other history takes this one's place until the transaction ends.
        made = await made_with(connection)
        refuse_later(f"the history of {place}", made, Projection.HISTORY, SinkUnavailableError)
    assert row is not None, "an upsert returns its row"
    digest, end = row["digest"], row["next_offset"]
    return Claim(end, row["epoch"], None if digest is None else Tip(end - 1, digest))


async def made_with(session: Connection | Session, table: str = "checkpoints") -> MadeWith:
    """What a history was begun with: its table of checkpoints says so."""
    return MadeWith.from_text(
        await session.fetchval("SELECT obj_description(to_regclass($1), 'pg_class')", table)
    )


async def advance(connection: Connection, place: Partition, start: int, tip: Tip, epoch: int) -> None:
    """Move the checkpoint behind the last record of a batch, and lock it until the transaction ends.

    FencedError when another owner took the partition, StaleCheckpointError when it is not at `start`.
    """
    done = await connection.execute(
        _ADVANCE, place.topic, place.number, start, tip.offset + 1, epoch, tip.digest
    )
    if done == "UPDATE 1":
        return
    row = await connection.fetchrow(
        "SELECT next_offset, epoch, owner FROM checkpoints WHERE topic = $1 AND partition = $2",
        place.topic,
        place.number,
    )
    if row is not None and row["epoch"] > epoch:
        raise FencedError(
            f"{place} was taken over by {row['owner']} with epoch {row['epoch']}, ours is {epoch}",
            owner=row["owner"],
            epoch=row["epoch"],
        )
    held = "has no checkpoint" if row is None else f"is at {row['next_offset']} with epoch {row['epoch']}"
    raise StaleCheckpointError(f"the history of {place} {held}, not at {start} with epoch {epoch}")


async def fence(connection: Connection, place: Partition) -> int:
    """Whoever holds the partition waits until the transaction ends, is refused then, and opens it anew; its next offset."""
    row = await connection.fetchrow(
        "UPDATE checkpoints SET epoch = epoch + 1 WHERE topic = $1 AND partition = $2 RETURNING next_offset",
        place.topic,
        place.number,
    )
    return 0 if row is None else int(row["next_offset"])


async def take_back(connection: Connection, place: Partition, end: int) -> None:
    """Put the checkpoint back to an offset before it; whoever held the partition is fenced."""
    await connection.execute(
        "UPDATE checkpoints SET next_offset = $3, digest = NULL, epoch = epoch + 1 WHERE topic = $1 AND partition = $2",
        place.topic,
        place.number,
        end,
    )


async def positions(connection: Connection) -> dict[Partition, int]:
    """The next offset of every partition that was ever taken."""
    rows = await connection.fetch("SELECT topic, partition, next_offset FROM checkpoints")
    return {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def epochs(connection: Connection) -> dict[Partition, int] | None:
    """The epoch of every partition that was ever taken; None when there is no history."""
    if await connection.fetchval("SELECT to_regclass('checkpoints') IS NULL"):
        return None
    rows = await connection.fetch("SELECT topic, partition, epoch FROM checkpoints")
    return {Partition(row["topic"], row["partition"]): row["epoch"] for row in rows}
