"""A commit: all that one batch changes in a slot, and how it is laid out for the Redis function of that name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from projections.errors import BrokenInvariantError
from projections.live.change import Change
from projections.live.connection import Argument
from projections.live.keys import Keyspace
from projections.live.outbox import OutboxEntry
from projections.live.slots import INDEXED_KINDS, Slot
from projections.tip import Tip


@dataclass(frozen=True, slots=True)
class Lease:
    """A slot as its new owner found it. Entries were numbered from 1 to `outbox_seq`; `outbox` is not on the log yet.

    `derived` is, by `topic.partition`, where to begin to look for derived events that are on the log already. `tips` is the
    last record of each topic that was folded.
    """

    slot: Slot
    epoch: int
    next_offsets: dict[str, int]
    clock_us: int
    outbox_seq: int
    outbox: tuple[OutboxEntry, ...]
    derived: dict[str, int]
    tips: dict[str, Tip]


@dataclass(frozen=True, slots=True)
class Commit:
    """`advances` is (start, end) by topic, `tips` the last record by topic; `writes` is the new value by `kind:id`, None to delete.

    The outbox goes on after the slot's `outbox_seq` without gaps. `clock_us` is the slot's fold clock after the batch.
    """

    advances: Mapping[str, tuple[int, int]]
    writes: Mapping[str, bytes | None]
    outbox: Sequence[OutboxEntry]
    clock_us: int
    tips: Mapping[str, Tip] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """Keys and arguments of one call of the function."""

    keys: list[str]
    arguments: list[Argument]


def lay_out(commit: Commit, slot: Slot, epoch: int, revision: int, keyspace: Keyspace) -> Layout:
    """The call that makes the commit. BrokenInvariantError when the commit contradicts itself."""
    _check(commit, slot)
    sets = {key: value for key, value in commit.writes.items() if value is not None}
    deletes = [key for key, value in commit.writes.items() if value is None]
    indexes = _indexes(sets, deletes)
    prefix = keyspace.prefix(slot)
    keys = [
        keyspace.meta(slot),
        keyspace.outbox(slot),
        *(keyspace.index(slot, kind) for kind in indexes),
        *(prefix + key for key in sets),
        *(prefix + key for key in deletes),
    ]
    first_seq = commit.outbox[0].seq if commit.outbox else 0
    counts = (len(commit.advances), len(commit.outbox), len(indexes), len(sets))
    arguments: list[Argument] = [epoch, revision, commit.clock_us, first_seq]
    arguments += [keyspace.channel, _message(commit, slot), *counts]
    for topic, (start, end) in commit.advances.items():
        tip = commit.tips.get(topic)
        arguments += [topic, start, end, "" if tip is None else str(tip)]
    arguments += [entry.to_bytes() for entry in commit.outbox]
    for added, removed in indexes.values():
        arguments += [len(added), len(removed), *added, *removed]
    arguments += sets.values()
    return Layout(keys, arguments)


def _check(commit: Commit, slot: Slot) -> None:
    for topic, (start, end) in commit.advances.items():
        if not 0 <= start <= end:
            raise BrokenInvariantError(f"{slot}: a commit cannot advance {topic} from {start} to {end}")
    for before, entry in zip(commit.outbox, commit.outbox[1:], strict=False):
        if entry.seq != before.seq + 1:
            raise BrokenInvariantError(f"{slot}: outbox entry {before.seq} is followed by {entry.seq}")


def _indexes(sets: Mapping[str, bytes], deletes: Sequence[str]) -> dict[str, tuple[list[str], list[str]]]:
    """Ids that come into and go out of the index, by kind."""
    indexes: defaultdict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for side, keys in enumerate((sets, deletes)):
        for key in keys:
            kind, colon, state_id = key.partition(":")
            if not colon:
                raise BrokenInvariantError(
                    f"{key!r} is no state key: write kind:id, for example provider:openai"
                )
            if kind in INDEXED_KINDS:
                indexes[kind][side].append(state_id)
    return indexes


def _message(commit: Commit, slot: Slot) -> bytes:
    next_offsets = {topic: end for topic, (start, end) in commit.advances.items() if end > start}
    if not next_offsets and not commit.writes:
        return b""
    return Change.of(slot, next_offsets, commit.writes).to_json()
