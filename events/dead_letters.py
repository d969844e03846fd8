"""Dead letters: records that could not be used, kept whole with the reason, listed and redriven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from events.carried import not_carried
from events.catalogue import TOPICS, topic_named
from events.codec import Codec
from events.dead_lettered import DeadLettered, LetterStatus, RecordHeader
from events.encoded import Encoded
from events.envelope import MAX_TIME_US
from events.errors import EventsError, InvalidEventError
from events.header_names import kept, unkept
from events.ids import derived_id
from events.packed_record import PackedRecord, unpack
from events.positions import Position
from events.publisher import Publisher
from events.reader import LogReader, LogRecord
from events.settings import LogSettings

TOPIC = TOPICS["dead-letters"]
PART_BYTES = 32 * 1024
"""A part with all else that stands in a letter fits the smallest `log.max_event_bytes`."""
BESIDE_BYTES = 8 * 1024
"""Key and headers up to this size stand in the letter itself, where people see them."""
DETAIL_CHARACTERS = 2_000
REDRIVEN_HEADER = "interlock-redriven"


class LetterNotFoundError(EventsError):
    """There is no such dead letter, or nothing in it that could be appended again."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that a consumer cannot use, and why."""

    record: LogRecord
    error: InvalidEventError


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter put together from its parts. `value` is the record's, whole; times are microseconds.

    The names of `headers` are spelled as events/header_names.py says.
    """

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


def letter_id_of(full_name: str, partition: int, offset: int) -> str:
    """The id of the letter about the record there, the same however often it is refused."""
    return derived_id(f"letter:{full_name}-{partition}", offset)


def part_id_of(letter_id: str, part: int) -> str:
    """The event_id of a part of a letter."""
    return derived_id(f"letter:{letter_id}", part)


def letters_of(refused: Refused, consumer: str, now_us: int) -> list[DeadLettered]:
    """The letter of a refused record, in as many parts as it needs. The same record gives the same ids."""
    record, error = refused.record, refused.error
    letter_id = letter_id_of(record.topic, record.partition, record.offset)
    key, value = record.key, record.value
    headers = kept(record.headers)
    packed = (
        len(key or b"") + sum(len(one.name.encode()) + len(one.value) + 8 for one in headers) > BESIDE_BYTES
    )
    if packed:
        key, headers, value = None, (), PackedRecord(key, headers, value).pack()
    cuts = range(0, len(value), PART_BYTES) if value else range(1)
    first = DeadLettered(
        event_id=part_id_of(letter_id, 0),
        occurred_at=now_us,
        source=consumer,
        tenant="",
        letter_id=letter_id,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        record_time=_record_time_us(record),
        reason=error.reason,
        detail=error.detail[:DETAIL_CHARACTERS],
        consumer=consumer,
        key=key,
        headers=headers,
        parts=len(cuts),
        packed=packed,
    )
    return [
        replace(
            first,
            event_id=part_id_of(letter_id, part),
            part=part,
            value=None if value is None else value[cut : cut + PART_BYTES],
        )
        for part, cut in enumerate(cuts)
    ]


def _record_time_us(record: LogRecord) -> int:
    """Its timestamp, within the times that an event can carry."""
    return min(max(record.timestamp, 0) * 1000, MAX_TIME_US)


def assemble(events: Sequence[DeadLettered]) -> list[Letter]:
    """Letters from their parts and redrive notes, in the order they were first seen; incomplete ones are left out.

    A record that was refused again after a crash is one letter, also when a newer release cut it into other parts.
    """
    cut_alike: dict[tuple[str, int], dict[int, DeadLettered]] = {}
    redriven = {event.letter_id for event in events if event.status is LetterStatus.REDRIVEN}
    for event in events:
        if event.status is LetterStatus.LETTERED:
            cut_alike.setdefault((event.letter_id, event.parts), {}).setdefault(event.part, event)
    letters: dict[str, Letter] = {}
    for (letter_id, parts), found in cut_alike.items():
        if len(found) == parts and letter_id not in letters:
            letters[letter_id] = _letter(
                [found[part] for part in range(parts)], redriven=letter_id in redriven
            )
    return list(letters.values())


def _letter(parts: Sequence[DeadLettered], *, redriven: bool) -> Letter:
    first = parts[0]
    value = None if first.value is None else b"".join(part.value or b"" for part in parts)
    held = PackedRecord(first.key, first.headers, value)
    if first.packed and value is not None:
        held = unpack(value)
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
        held.key,
        tuple(held.headers),
        held.value,
        redriven,
    )


async def read_letters(reader: LogReader, codec: Codec) -> list[Letter]:
    """All letters that the log holds now. What lies among them and is none is shown as a letter of its own."""
    events: list[DeadLettered] = []
    async for _, records in reader.read(TOPIC.name, await reader.ranges(TOPIC.name)):
        for record in records:
            try:
                event = codec.decode(TOPIC, record.value)
            except InvalidEventError as error:
                events += letters_of(Refused(record, error), "reader", _record_time_us(record))
            else:
                assert isinstance(event, DeadLettered)
                events.append(event)
    return assemble(events)


async def redrive(
    letter: Letter, publisher: Publisher, settings: LogSettings, actor: str, now_us: int
) -> Position:
    """Append the record of a letter to its topic again, byte for byte, and note that it was redriven.

    Meant for after the cause is gone (a schema registered, a consumer mended); a record that is still wrong becomes a
    letter again. Redriving twice is harmless: the record keeps its event_id. Raises LetterNotFoundError when there is
    nothing to append, UnknownTopicError when the record was of another log.
    """
    topic = topic_named(settings.short_name(letter.topic))
    if topic is TOPIC:
        raise LetterNotFoundError(f"letter {letter.letter_id} is of the dead letters themselves")
    if letter.key is None or letter.value is None:
        raise LetterNotFoundError(
            f"letter {letter.letter_id} has no key or no value: there is nothing to redrive"
        )
    headers = tuple(header for header in not_carried(unkept(letter.headers)) if header[0] != REDRIVEN_HEADER)
    [position] = await publisher.append_encoded(
        [
            Encoded(
                topic.name,
                letter.key,
                letter.value,
                letter.record_time // 1000,
                (*headers, (REDRIVEN_HEADER, letter.letter_id.encode())),
            )
        ]
    )
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
