"""Records of the log to rows of a table: decoded, in the order of the columns, and only once per event."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any
from uuid import UUID

import orjson

from events.bounds import Bounds
from events.catalogue import TOPICS
from events.codec import Codec
from events.compiled_reader import Record
from events.dead_letters import Refused
from events.envelope import MAX_TIME_US
from events.errors import InvalidEventError
from events.positions import Partition
from events.reader import LogRecord
from events.settings import LogSettings
from projections.history.recent import Recent
from projections.history.tables import Table
from projections.live.slots import FOLDED_TOPICS

Row = tuple[Any, ...]
"""Values in the order of the table's columns; times are microseconds, JSON is text."""

NUL_STAND_IN = "\N{REPLACEMENT CHARACTER}"
"""PostgreSQL holds no NUL in a text."""


@dataclass(slots=True)
class Batch:
    """What records of one partition are to the history. Filled while `rows` is iterated.

    `ids` are the events with their offsets; of one, a later record was taken than the first when it is `overtaken`.
    """

    records: Sequence[LogRecord]
    held: list[Row] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    duplicates: int = 0
    overtaken: bool = False

    def clear(self) -> None:
        """Nothing of it was written: begin anew."""
        self.held, self.ids, self.refused, self.duplicates, self.overtaken = [], {}, [], 0, False

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return self.records[-1].offset + 1


class RowReader:
    """Makes the rows of one table. Of a topic that workers fold, a record is a row when it counts for them."""

    def __init__(self, table: Table, codec: Codec, log: LogSettings) -> None:
        self.table = table
        self.log = log
        self._topic = TOPICS[table.topic]
        self._is_folded = table.topic in FOLDED_TOPICS
        self._codec = codec
        self._bounds: dict[int, Bounds] = {}
        names = [column.name for column in table.fields]
        self._values: Callable[[Record], Row] = itemgetter(*names)
        self._json = [column.name for column in table.fields if column.sql_type == "jsonb"]
        self._text_at = [at for at, column in enumerate(table.fields) if column.sql_type == "text"]
        self._json_at = [at for at, column in enumerate(table.fields) if column.sql_type == "jsonb"]
        self._id_at, self._time_at = names.index("event_id"), names.index("occurred_at")
        self.offset_at = table.column_names.index("log_offset")

    def rows(self, place: Partition, batch: Batch, recent: Recent) -> Iterator[Row]:
        """The rows as they are decoded, without those whose event was seen; values are as the record has them."""
        judged, values_of, json_names, number = self.judged, self._values, self._json, place.number
        ids, held, current, previous = batch.ids, batch.held, recent.current, recent.previous
        for record in batch.records:
            try:
                values = judged(number, record)
            except InvalidEventError as error:
                batch.refused.append(Refused(record, error))
                continue
            event_id = values["event_id"]
            if event_id in ids or event_id in current or event_id in previous:
                batch.duplicates += 1
                batch.overtaken |= record.offset < ids.get(event_id, -1)
                continue
            ids[event_id] = record.offset
            for name in json_names:
                value = values[name]
                values[name] = as_json(value) if value else _EMPTY_JSON.get(type(value))
            row = (*values_of(values), number, record.offset, record.timestamp * 1000)
            held.append(row)
            yield row

    def judged(self, number: int, record: LogRecord) -> Record:
        """The plain values of a record of a partition; InvalidEventError when it does not count."""
        values = self._codec.decode_record(self._topic, record.value)
        if self._is_folded:
            self._bounds_of(number).checked(self._topic, record, values)
        elif not 0 <= values["occurred_at"] <= MAX_TIME_US:
            raise _out_of_range(values["occurred_at"])
        return values

    def counts(self, number: int, record: LogRecord) -> bool:
        """Whether a record of a partition does."""
        try:
            self.judged(number, record)
        except InvalidEventError:
            return False
        return True

    def cleaned(self, row: Row) -> Row:
        """The row as PostgreSQL can hold it. InvalidEventError when its event_id is no UUID."""
        values = list(row)
        try:
            values[self._id_at] = str(UUID(row[self._id_at]))
        except ValueError:
            raise InvalidEventError(
                "invalid_value", f"event_id {row[self._id_at]!r} is no UUID", field="event_id"
            ) from None
        for at in self._text_at:
            values[at] = _without_nul(values[at])
        for at in self._json_at:
            if values[at] is not None:
                values[at] = as_json(_without_nul(orjson.loads(values[at])))
        return tuple(values)

    def event_id_of(self, row: Row) -> str:
        return str(row[self._id_at])

    def occurred_at_of(self, row: Row) -> int:
        """Microseconds."""
        return int(row[self._time_at])

    def _bounds_of(self, number: int) -> Bounds:
        if number not in self._bounds:
            self._bounds[number] = Bounds(self.log, number)
        return self._bounds[number]


_EMPTY_JSON: dict[type, str] = {dict: "{}", list: "[]"}


def as_json(value: Any) -> str:
    """JSON text of plain values; bytes are base64."""
    return orjson.dumps(value, default=_base64).decode()


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} has no JSON")


def _without_nul(value: Any) -> Any:
    """The same text, or the same JSON, with a stand-in for each NUL."""
    match value:
        case str():
            return value.replace("\0", NUL_STAND_IN)
        case list():
            return [_without_nul(one) for one in value]
        case dict():
            return {_without_nul(name): _without_nul(one) for name, one in value.items()}
    return value


def _out_of_range(time_us: int) -> InvalidEventError:
    return InvalidEventError("invalid_value", f"occurred_at {time_us} is no time", field="occurred_at")
