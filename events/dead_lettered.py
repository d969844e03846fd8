"""DeadLettered: a record that could not be used, whole, with the reason; or the note that it was redriven."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from annotated_types import MaxLen

from events.envelope import Count, Event, Name, SmallCount, SmallPositive, TimeUs


class LetterStatus(StrEnum):
    """What happened to the letter."""

    LETTERED = "LETTERED"
    REDRIVEN = "REDRIVEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHeader:
    """Header of a record."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLettered(Event):
    """See schemas/dead_lettered. A large record is split: `part` of `parts`, all under one `letter_id`."""

    letter_id: Name
    status: LetterStatus = LetterStatus.LETTERED
    topic: Name
    partition: SmallCount
    offset: Count
    record_time: TimeUs
    reason: Name
    detail: Annotated[str, MaxLen(2000)]
    consumer: Name
    key: bytes | None = None
    headers: tuple[RecordHeader, ...] = ()
    part: SmallCount = 0
    parts: SmallPositive = 1
    value: bytes | None = None
    packed: bool = False
