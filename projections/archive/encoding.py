"""Records of the log as records of a file, without reading what is in them but to see that it is whole."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain, repeat
from operator import attrgetter, itemgetter
from typing import Any

import fastavro
import numpy as np
from fastavro.schema import SchemaParseException
from numpy.typing import NDArray

from events.catalogue import Topic
from events.codec import HEADER_BYTES
from events.compiled_reader import RecordReader, compile_reader
from events.errors import EventsError, LogUnavailableError, SchemaError
from events.header_names import Header, spelled
from events.reader import LogRecord
from events.registry import Registry
from events.schemas import AvroSchema, SchemaVersion
from projections.archive.avro_file import sized, varint
from projections.archive.schema import record_schema, with_times_only
from projections.archive.whole_events import Found, Ints, UnsupportedSchemaError, WholeEvents

NO_HEADERS = b"\0"
EVENT, VALUE = b"\x02", b"\0"
"""Branches of the union `event`: the event itself, or nothing, and the value follows as it is."""
NO_VALUE_AFTER_EVENT = b"\0"
KEPT_KEYS = 10_000
PIECES = 4
AROUND = 64
"""What a record weighs beside its value and headers."""
FEW = 64
_OFFSET, _TIME = attrgetter("offset"), attrgetter("timestamp")
_KEY, _VALUE, _HEADERS = attrgetter("key"), attrgetter("value"), attrgetter("headers")
_FRAMING: Callable[[Any], bytes] = itemgetter(slice(HEADER_BYTES))
_EVENT_OF: Callable[[Any], bytes] = itemgetter(slice(HEADER_BYTES, None))


@dataclass(frozen=True, slots=True)
class Form:
    """How the records of a file are written: the framing that its events share, and the file's schema."""

    schema_id: int
    framing: bytes
    schema: AvroSchema
    whole: WholeEvents | None
    event: AvroSchema
    read: RecordReader

    def is_event(self, value: bytes) -> bool:
        """The slow way: whether a value is a whole event, and a general reader takes it too."""
        try:
            _, end = self.read(value, HEADER_BYTES)
            if end != len(value):
                return False
            fastavro.schemaless_reader(BytesIO(value[HEADER_BYTES:]), self.event, None)
        except (ValueError, IndexError, struct.error, EOFError, OverflowError, KeyError, TypeError):
            return False
        return True


class Forms:
    """The forms of one topic's events, each made when first met."""

    def __init__(self, topic: Topic, registry: Registry, texts: Sequence[str]) -> None:
        self._topic = topic
        self._registry = registry
        self._texts = texts
        self._known: dict[bytes, Form | None] = {}

    def of(self, framing: bytes) -> Form | None:
        """None when no event of the topic begins so; LogUnavailableError when the registry does not say."""
        if framing not in self._known:
            form = self._made(framing)
            if form is None:
                return None
            self._known[framing] = form
        return self._known[framing]

    def newest(self) -> Form:
        """That of the events which are written now."""
        schema_id, _ = self._registry.newest(self._topic)
        form = self.of(framing_of(schema_id))
        if form is None:
            raise SchemaError(f"the newest schema of {self._topic.name} cannot be archived")
        return form

    def _made(self, framing: bytes) -> Form | None:
        if len(framing) < HEADER_BYTES or framing[0] != 0:
            return None
        schema_id = int.from_bytes(framing[1:], "big")
        try:
            version = self._registry.find(schema_id)
            _, newest = self._registry.newest(self._topic)
            if version is None or version.full_name != newest.full_name:
                return None
            return _form(schema_id, framing, version, self._texts)
        except LogUnavailableError:
            raise
        except (EventsError, SchemaParseException, RecursionError):
            return None


def framing_of(schema_id: int) -> bytes:
    """The five bytes before an event on the log."""
    return b"\0" + schema_id.to_bytes(4, "big")


def _form(schema_id: int, framing: bytes, version: SchemaVersion, texts: Sequence[str]) -> Form:
    event = with_times_only(version.definition)
    schema = record_schema(version.definition)
    # Refused here rather than by who opens the file.
    fastavro.parse_schema(schema)
    try:
        whole = WholeEvents(version.plain, fastavro.parse_schema(event), texts)
    except UnsupportedSchemaError:
        whole = None
    return Form(
        schema_id,
        framing,
        schema,
        whole,
        fastavro.parse_schema(event),  # type: ignore[arg-type]
        compile_reader(version.plain, version.plain),
    )


def wholeness(form: Form, values: Sequence[bytes], lengths: Ints) -> Found:
    """Which of the values, all with the form's framing, are whole events; what is undecided is read by itself."""
    if form.whole is None:
        found = Found(np.zeros(len(values), np.bool_), {})
    else:
        found = form.whole.find(values, lengths, HEADER_BYTES)
    for number in np.flatnonzero(~found.whole).tolist():
        found.whole[number] = form.is_event(values[number])
    return found


@dataclass(frozen=True, slots=True)
class Rows:
    """Records in columns. The length of a value that is none is -1."""

    offsets: Ints
    times_ms: Ints
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    lengths: Ints
    headers: Sequence[Sequence[Header]]

    @classmethod
    def of(cls, records: Sequence[LogRecord]) -> Rows:
        """At least one record."""
        count = len(records)
        values = list(map(_VALUE, records))
        try:
            lengths = np.fromiter(map(len, values), np.int64, count)
        except TypeError:
            lengths = np.array([-1 if value is None else len(value) for value in values], np.int64)
        return cls(
            np.fromiter(map(_OFFSET, records), np.int64, count),
            np.fromiter(map(_TIME, records), np.int64, count),
            list(map(_KEY, records)),
            values,
            lengths,
            list(map(_HEADERS, records)),
        )

    def chosen(self, numbers: Sequence[int]) -> Rows:
        """Some of them."""
        return Rows(
            self.offsets[numbers],
            self.times_ms[numbers],
            [self.keys[number] for number in numbers],
            [self.values[number] for number in numbers],
            self.lengths[numbers],
            [self.headers[number] for number in numbers],
        )

    def framings(self) -> set[bytes | None]:
        """What the values begin with."""
        try:
            return set(map(_FRAMING, self.values))
        except TypeError:
            return {None if value is None else value[:HEADER_BYTES] for value in self.values}

    @property
    def log_bytes(self) -> int:
        """Of keys and values."""
        return int(np.maximum(self.lengths, 0).sum()) + sum(map(len, filter(None, self.keys)))


class Encoder:
    """Puts records into the form of a file."""

    def __init__(self) -> None:
        self._keys = _Keys()

    def pieces(self, rows: Rows, whole: NDArray[np.bool_]) -> tuple[list[bytes], Ints]:
        """The bytes of the records, PIECES of each, and about how long each record is.

        `whole` says which are to stand as events.
        """
        if len(self._keys) > KEPT_KEYS:
            self._keys.clear()
        if not whole.all() or any(rows.headers):
            return self._one_by_one(rows, whole)
        columns = (
            _places(rows.offsets, rows.times_ms, rows.lengths),
            map(self._keys.__getitem__, rows.keys),
            map(_EVENT_OF, rows.values),
            repeat(NO_VALUE_AFTER_EVENT),
        )
        return list(chain.from_iterable(zip(*columns, strict=False))), rows.lengths + AROUND

    def _one_by_one(self, rows: Rows, whole: NDArray[np.bool_]) -> tuple[list[bytes], Ints]:
        pieces: list[bytes] = []
        weights: list[int] = []
        places = _places(rows.offsets, rows.times_ms, rows.lengths)
        columns = (places, rows.keys, rows.values, rows.headers, whole.tolist())
        for place, key, value, headers, good in zip(*columns, strict=True):
            rest = _headers(headers)
            length = -1 if value is None else len(value)
            weights.append(length + len(rest) - len(NO_HEADERS) + AROUND)
            pieces += (place, self._keys[key][: -len(NO_HEADERS + EVENT)] + rest + (EVENT if good else VALUE))
            if good and value is not None:
                pieces += (value[HEADER_BYTES:], NO_VALUE_AFTER_EVENT)
            else:
                pieces += (b"\0" if value is None else b"\x02" + varint(length), value or b"")
        return pieces, np.array(weights, np.int64)


class _Keys(dict[bytes | None, bytes]):
    """Keys as they are written, and that there are no headers and an event."""

    def __missing__(self, key: bytes | None) -> bytes:
        made = (b"\0" if key is None else b"\x02" + sized(key)) + NO_HEADERS + EVENT
        self[key] = made
        return made


def _headers(headers: Sequence[Header]) -> bytes:
    if not headers:
        return NO_HEADERS
    items = b"".join(
        sized(spelled(name).encode()) + (b"\0" if value is None else b"\x02" + sized(value))
        for name, value in headers
    )
    return varint(len(headers)) + items + b"\0"


def _places(offsets: Ints, times_ms: Ints, lengths: Ints) -> list[bytes]:
    """Offset, timestamp and length of each record; for all at once where they take as many bytes in all."""
    columns = _columns(offsets), _columns(times_ms), _columns(lengths)
    if columns[0] is not None and columns[1] is not None and columns[2] is not None:
        table = np.stack([*columns[0], *columns[1], *columns[2]], axis=1)
        raw, width = table.tobytes(), table.shape[1]
        return [raw[at : at + width] for at in range(0, len(raw), width)]
    if len(offsets) <= FEW:
        rows = zip(offsets.tolist(), times_ms.tolist(), lengths.tolist(), strict=True)
        return [b"".join(map(varint, row)) for row in rows]
    half = len(offsets) // 2
    return _places(offsets[:half], times_ms[:half], lengths[:half]) + _places(
        offsets[half:], times_ms[half:], lengths[half:]
    )


def _columns(numbers: Ints) -> list[NDArray[np.uint8]] | None:
    """The bytes of integers, the first of all of them first; None when they are not equally long."""
    zigzag = ((numbers << 1) ^ (numbers >> 63)).astype(np.uint64)
    width, narrowest = (max(1, -(-int(one).bit_length() // 7)) for one in (zigzag.max(), zigzag.min()))
    if width != narrowest:
        return None
    columns = [
        ((zigzag >> np.uint64(7 * place)) & np.uint64(0x7F)).astype(np.uint8) for place in range(width)
    ]
    return [column | np.uint8(0x80) for column in columns[:-1]] + [columns[-1]]
