"""Where the live generation is, at a moment when all that it has decided is on the log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from events.publisher import Encoded, Publisher
from processors.retry import until_done
from projections.live.checkpoint import Checkpoint
from projections.live.commit import Lease
from projections.live.slots import Slot
from projections.live.store import LiveStore

SETTLES_WITHIN_S = 5.0
ASK_EVERY_S = 0.02

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """What a slot of the new generation has to come to: next offsets by topic, and the hints that belong to them."""

    next_offsets: Mapping[str, int]
    hints: Mapping[str, int]


async def settled(live: LiveStore, slot: Slot, publisher: Publisher, token: str) -> Target:
    """The slot's checkpoint with an empty outbox.

    A worker empties it within moments. When there is none, the slot is taken from it and what waits there is published,
    as any next owner would; the seal is no longer than that.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + SETTLES_WITHIN_S
    while loop.time() < deadline_s:
        held: Checkpoint = (await until_done("live", lambda: live.checkpoints((slot,))))[slot]
        if held.outbox_seq == held.published_seq:
            return Target(held.next_offsets, held.derived)
        await asyncio.sleep(ASK_EVERY_S)
    _log.warning("no worker publishes what a slot has derived: done by the rebuild", slot=str(slot))
    lease = await until_done("live", lambda: live.seal(slot, token))
    try:
        return await drained(live, lease, publisher)
    finally:
        await until_done("live", lambda: live.unseal(slot, token))


async def drained(live: LiveStore, lease: Lease, publisher: Publisher) -> Target:
    """Publish what a sealed slot holds in its outbox. Its owner may do so too: the ids are the same."""
    if lease.outbox:
        records = [Encoded(one.topic, one.key, one.value, one.timestamp_ms) for one in lease.outbox]
        await until_done("outbox", lambda: publisher.append_encoded(records))
        await until_done("live", lambda: live.published(lease, lease.outbox[-1].seq, {}))
    return Target(lease.next_offsets, lease.derived)
