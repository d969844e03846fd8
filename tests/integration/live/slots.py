"""Slots as their owners see them: commits, and all that the store keeps."""

from __future__ import annotations

from collections.abc import Mapping

from redis.asyncio import Redis

from projections.live.commit import Commit
from projections.live.outbox import OutboxEntry
from projections.live.slots import Slot
from projections.live.store import LiveStore

USAGE = Slot("usage", 3)
HEALTH = Slot("health", 1)


def usage(
    start: int, end: int, writes: Mapping[str, bytes | None] | None = None, *outbox: OutboxEntry
) -> Commit:
    return Commit({"usage": (start, end)}, writes or {}, outbox, clock_us=1_000_000 + end)


def entry(seq: int, value: bytes = b"value") -> OutboxEntry:
    return OutboxEntry(seq, "outcomes", b"openai", value, timestamp_ms=1_700_000_000_000 + seq)


async def folded(store: LiveStore) -> dict[str, int]:
    """The next offset of each topic in the slot of most tests."""
    return (await store.checkpoints((USAGE,)))[USAGE].next_offsets


async def everything(store: LiveStore) -> dict[str, object]:
    """All keys of the store's namespace with their whole contents, but who holds the slots."""
    keys = await store.connection.keys_with_prefix(store.settings.namespace)
    return {key: await store.connection.command("DUMP", key) for key in keys}


async def snapshot(client: Redis, namespace: str) -> dict[bytes, bytes | None]:
    """What a failover to a lagging replica would bring back."""
    return {key: await client.dump(key) async for key in client.scan_iter(match=f"{namespace}*")}


async def roll_back(client: Redis, namespace: str, to: Mapping[bytes, bytes | None]) -> None:
    async for key in client.scan_iter(match=f"{namespace}*"):
        await client.delete(key)
    for key, dumped in to.items():
        assert dumped is not None
        await client.restore(key, 0, dumped)
