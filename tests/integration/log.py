"""What the tests of the log share: events to append, and reading all that a topic holds."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from events.codec import Codec
from events.envelope import OutcomeKind
from events.ids import uuid7
from events.reader import LogReader, LogRecord, Range
from events.registry import FolderRegistry
from events.usage_recorded import UsageRecorded

NOW_US = 1_700_000_000_000_000
CODEC = Codec(FolderRegistry())
_NUMBERS = itertools.count(1)
_BEGUN: set[asyncio.Task[Any]] = set()
T = TypeVar("T")


def usage(tenant: str = "acme", **changed: Any) -> UsageRecorded:
    """A usage event with an id of its own."""
    values: dict[str, Any] = {
        "event_id": uuid7(NOW_US, next(_NUMBERS).to_bytes(10, "big")),
        "occurred_at": NOW_US,
        "source": "gateway",
        "tenant": tenant,
        "request_id": "request",
        "provider": "openai",
        "model": "gpt-4o",
        "outcome": OutcomeKind.SUCCESS,
        **changed,
    }
    return UsageRecorded(**values)


async def everything(
    reader: LogReader, topic: str, wanted: Mapping[int, Range] | None = None
) -> dict[int, list[LogRecord]]:
    """Records by partition: of the given ranges, else of all that the topic holds now."""
    found: dict[int, list[LogRecord]] = {}
    async with aclosing(
        reader.read(topic, await reader.ranges(topic) if wanted is None else wanted)
    ) as batches:
        async for partition, records in batches:
            found.setdefault(partition, []).extend(records)
    return found


async def until_it_works(
    action: Callable[[], Awaitable[Any]], errors: type[Exception], within_s: float = 30.0
) -> Any:
    """The action's result, tried again after these errors; AssertionError when it does not work in time."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    return await action()
                except errors:
                    await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"it did not work within {within_s} s") from None


async def until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    """Returns once the condition holds; AssertionError when it does not in time."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - nothing tells when it changes
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"it did not hold within {within_s} s") from None


async def delete_topics(address: str, *prefixes: str) -> None:
    """Take the topics with these prefixes off a broker that the run shares; one that is away has nothing left.

    Thousands of partitions slow a broker down, and clients that ask for all topics hold their loop up for seconds.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    with suppress(KafkaConnectionError):
        await admin.start()
        topics = [name for name in await admin.list_topics() if name.startswith(prefixes)]
        if topics:
            await admin.delete_topics(topics)
    await admin.close()


def begun(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Work that goes on beside the test."""
    task = asyncio.create_task(work)
    _BEGUN.add(task)
    task.add_done_callback(_BEGUN.discard)
    return task
