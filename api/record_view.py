"""A record of the log as people and programs read it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from api.rfc3339 import format_time_us, parse_time_us
from events.catalogue import Topic, topic_named
from events.codec import Codec, open_codec, to_record
from events.errors import InvalidEventError
from events.reader import LogReader, LogRecord, Range
from events.settings import LogSettings

QUEUED_RECORDS = 1_000

_ENVELOPE = ("event_id", "occurred_at", "source", "tenant", "correlation_id", "causation_id")


@dataclass(frozen=True, slots=True)
class RecordView:
    """One record; `error` instead of `event` when it is none of its topic's events."""

    topic: str
    partition: int
    offset: int
    record_time_us: int
    key: str | None
    type: str
    event: dict[str, Any] | None
    error: str | None

    def to_dict(self) -> dict[str, Any]:
        """For programs: the event's own fields as they are (times in microseconds, money in nano-USD)."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "record_time": format_time_us(self.record_time_us),
            "key": self.key,
            "type": self.type,
            "event": self.event,
            "error": self.error,
        }

    def line(self) -> str:
        """For people."""
        place = f"{format_time_us(self.record_time_us)}  {self.topic}-{self.partition}:{self.offset}  {self.key or ''}"
        if self.event is None:
            return f"{place}  cannot be read: {self.error}"
        told = " ".join(
            f"{name}={value}"
            for name, value in self.event.items()
            if name not in _ENVELOPE and value not in (None, "", [], {})
        )
        return f"{place}  {self.type}  {told}"


def view_of(record: LogRecord, topic: Topic, codec: Codec) -> RecordView:
    """The view of a record of that topic."""
    event: dict[str, Any] | None = None
    error: str | None = None
    try:
        event = _readable(to_record(codec.decode(topic, record.value)))
    except InvalidEventError as refused:
        error = str(refused)
    key = record.key.decode(errors="replace") if record.key is not None else None
    time_us = max(record.timestamp, 0) * 1000
    return RecordView(
        topic.name, record.partition, record.offset, time_us, key, topic.event.__name__, event, error
    )


def _readable(value: Any) -> Any:
    """Bytes as base64, for JSON has none."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {name: _readable(part) for name, part in value.items()}
        case list():
            return [_readable(part) for part in value]
        case _:
            return value


async def read_views(log: LogSettings, name: str, start: str, until: str | None) -> AsyncIterator[RecordView]:
    """Records of a topic from `start` (`start`, `end` or a time) to `until` (`end`, a time, or None: for ever)."""
    topic = topic_named(name)
    codec = open_codec(log)
    reader = LogReader(log)
    starts = await _offsets(reader, name, start)
    if until is None:
        async for _, records in reader.tail(name, starts):
            for record in records:
                yield view_of(record, topic, codec)
        return
    ends = await _offsets(reader, name, until)
    held = await reader.ranges(name)
    wanted = {number: Range(max(starts[number], held[number].start), ends[number]) for number in held}
    async for _, records in reader.read(name, wanted):
        for record in records:
            yield view_of(record, topic, codec)


async def merged(sources: Sequence[AsyncIterator[RecordView]]) -> AsyncIterator[RecordView]:
    """What any source yields, as it comes; ends when all have ended, raises what any raises."""
    queue: asyncio.Queue[RecordView | Exception | None] = asyncio.Queue(QUEUED_RECORDS)

    async def pump(source: AsyncIterator[RecordView]) -> None:
        try:
            async for view in source:
                await queue.put(view)
            await queue.put(None)
        except Exception as error:  # noqa: BLE001 - it is raised again where the records are read
            await queue.put(error)

    pumps = [asyncio.create_task(pump(source)) for source in sources]
    running = len(pumps)
    try:
        while running:
            match await queue.get():
                case None:
                    running -= 1
                case Exception() as error:
                    raise error
                case view:
                    yield view
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _offsets(reader: LogReader, name: str, where: str) -> dict[int, int]:
    if where in ("start", "end"):
        ranges = await reader.ranges(name)
        return {number: held.start if where == "start" else held.end for number, held in ranges.items()}
    return await reader.offsets_at(name, parse_time_us(where) // 1000)
