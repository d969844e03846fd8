"""Dead letters: records that could not be used, kept whole with the reason, listed and redriven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from events.catalogue import TOPICS
from events.codec import Codec
from events.dead_lettered import DeadLettered, LetterStatus, RecordHeader
from events.errors import EventsError, InvalidEventError
from events.ids import derived_id
from events.positions import Position
from events.publisher import Encoded, Publisher
from events.reader import LogReader, LogRecord
from events.settings import LogSettings

PART_BYTES = 512 * 1024
REDRIVEN_HEADER = "interlock-redriven"


class LetterNotFoundError(EventsError):
    """No dead letter of that id, or parts of it are gone."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that a consumer cannot use, and why."""

    record: LogRecord
    error: InvalidEventError


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter put together from its parts. `value` is the record's, whole; times are microseconds."""

    letter_id: str
    topic: str
    partition: int
    offset: int
    record_time: int
    occurred_at: int
    reason: str
    detail: str
    consumer: str
    key: bytes | None
    headers: tuple[RecordHeader, ...]
    value: bytes | None
    redriven: bool


def letters_of(refused: Refused, consumer: str, now_us: int) -> list[DeadLettered]:
    """The letter of a refused record, in as many parts as its value needs. The same record gives the same ids."""
    record, error = refused.record, refused.error
    letter_id = derived_id(f"letter:{record.topic}-{record.partition}", record.offset)
    value = record.value
    cuts = range(0, len(value), PART_BYTES) if value else range(1)
    pieces = [value[cut : cut + PART_BYTES] if value is not None else None for cut in cuts]
    return [
        DeadLettered(
            event_id=derived_id(f"letter:{letter_id}", part),
            occurred_at=now_us,
            source=consumer,
            tenant="",
            letter_id=letter_id,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            record_time=max(record.timestamp, 0) * 1000,
            reason=error.reason,
            detail=error.detail[:2000],
            consumer=consumer,
            key=record.key,
            headers=tuple(RecordHeader(name=name, value=content) for name, content in record.headers),
            part=part,
            parts=len(pieces),
            value=piece,
        )
        for part, piece in enumerate(pieces)
    ]


def assemble(events: Sequence[DeadLettered]) -> list[Letter]:
    """Letters from their parts and redrive notes, in the order they were first seen; incomplete ones are left out."""
    parts: dict[str, dict[int, DeadLettered]] = {}
    redriven: set[str] = set()
    for event in events:
        if event.status is LetterStatus.REDRIVEN:
            redriven.add(event.letter_id)
        else:
            parts.setdefault(event.letter_id, {})[event.part] = event
    return [
        _letter(found, redriven=letter_id in redriven)
        for letter_id, found in parts.items()
        if len(found) == found[min(found)].parts
    ]


def _letter(parts: dict[int, DeadLettered], *, redriven: bool) -> Letter:
    first = parts[0]
    pieces = [parts[number].value for number in sorted(parts)]
    value = None if pieces[0] is None else b"".join(piece or b"" for piece in pieces)
    return Letter(
        first.letter_id,
        first.topic,
        first.partition,
        first.offset,
        first.record_time,
        first.occurred_at,
        first.reason,
        first.detail,
        first.consumer,
        first.key,
        first.headers,
        value,
        redriven,
    )


async def read_letters(reader: LogReader, codec: Codec) -> list[Letter]:
    """All letters that the log holds now."""
    topic = TOPICS["dead-letters"]
    events = []
    async for _, records in reader.read(topic.name, await reader.ranges(topic.name)):
        for record in records:
            event = codec.decode(topic, record.value)
            assert isinstance(event, DeadLettered)
            events.append(event)
    return assemble(events)


async def redrive(letter: Letter, publisher: Publisher, settings: LogSettings, actor: str, now_us: int) -> Position:
    """Append the record of a letter to its topic again, byte for byte, and note that it was redriven.

    Meant for after the cause is gone (a schema registered, a consumer mended); a record that is still wrong becomes a
    letter again. Redriving twice is harmless: the record keeps its event_id.
    """
    if letter.key is None or letter.value is None:
        raise LetterNotFoundError(f"letter {letter.letter_id} has no key or no value: there is nothing to redrive")
    header = (REDRIVEN_HEADER, letter.letter_id.encode())
    headers = tuple((kept.name, kept.value) for kept in letter.headers if kept.name != REDRIVEN_HEADER)
    record = Encoded(
        settings.short_name(letter.topic), letter.key, letter.value, letter.record_time // 1000, (*headers, header)
    )
    [position] = await publisher.append_encoded([record])
    note = DeadLettered(
        event_id=derived_id(f"redrive:{letter.letter_id}", str(position)),
        occurred_at=now_us,
        source=actor,
        tenant="",
        letter_id=letter.letter_id,
        status=LetterStatus.REDRIVEN,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        record_time=letter.record_time,
        reason=letter.reason,
        detail=f"redriven by {actor} to {position}",
        consumer=letter.consumer,
    )
    await publisher.append([note])
    return position
