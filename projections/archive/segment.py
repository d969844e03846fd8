"""A segment while it gathers records, and how it becomes files."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from events.positions import Partition
from events.reader import LogRecord
from events.schemas import AvroSchema
from projections.archive import files
from projections.archive.avro_file import Block, framed, header
from projections.archive.encoding import PIECES, Encoder, Form, Forms, Rows, wholeness
from projections.archive.layout import data_name, day_name, day_of, part_name
from projections.archive.manifest import DataFile, Manifest
from projections.archive.settings import ArchiveSettings, Codec, Layout
from projections.archive.whole_events import Bools, Ints
from projections.tip import Tip, tip_of

BLOCK_BYTES = 2**20
"""Of records before compression: larger blocks compress little better and are more to read at once."""

UNDER_WAY = 2
"""Blocks of a file that are compressed meanwhile."""

FileKey = tuple[str, int]
"""Part (a tenant's or provider's folder, or nothing) and schema id: what a segment has one file for."""


@dataclass(slots=True)
class Blocks:
    """The compressed blocks of one file.

    Where they are cut depends on the records alone, not on how they came, so that a file can be built anew to the byte.
    """

    codec: Codec
    level: int
    sync: bytes
    compressor: Executor
    frames: list[bytes] = field(default_factory=list)
    records: int = 0
    content_bytes: int = 0
    _framed_bytes: int = 0
    _under_way: deque[Future[bytes]] = field(default_factory=deque)
    _pieces: list[bytes] = field(default_factory=list)
    _count: int = 0
    _weight: int = 0
    _content: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def size(self) -> int:
        """About what the file would have now."""
        return self._framed_bytes + (self._weight + len(self._under_way) * BLOCK_BYTES) // 4

    @property
    def content_sha256(self) -> str:
        """Of all blocks that were cut."""
        return self._content.hexdigest()

    def add(self, pieces: list[bytes], weights: Ints) -> None:
        """Records of PIECES pieces each; a block ends with the record that fills it."""
        totals = np.cumsum(weights)
        first, before = 0, 0
        while first < len(weights):
            full = int(np.searchsorted(totals, before + BLOCK_BYTES - self._weight))
            end = min(full + 1, len(weights))
            self._pieces += pieces[first * PIECES : end * PIECES]
            self._count += end - first
            self._weight += int(totals[end - 1]) - before
            first, before = end, int(totals[end - 1])
            if self._weight >= BLOCK_BYTES:
                self.cut()

    def add_block(self, block: Block) -> None:
        """Records of a file that is merged with others; small blocks become one."""
        self._pieces.append(block.content)
        self._count += block.count
        self._weight += len(block.content)
        if self._weight >= BLOCK_BYTES:
            self.cut()

    def cut(self) -> None:
        """End the block. It is compressed while the next ones are filled, but never far behind them."""
        if not self._count:
            return
        content = b"".join(self._pieces)
        block = Block(self._count, content)
        self._under_way.append(self.compressor.submit(framed, block, self.codec, self.level, self.sync))
        self._content.update(content)
        self.records += self._count
        self.content_bytes += len(content)
        self._pieces, self._count, self._weight = [], 0, 0
        self._gather(most=UNDER_WAY)

    def finish(self) -> None:
        """End the last block and have all of them compressed."""
        self.cut()
        self._gather(most=0)

    def _gather(self, most: int) -> None:
        while len(self._under_way) > most:
            frame = self._under_way[0].result()
            self._under_way.popleft()
            self.frames.append(frame)
            self._framed_bytes += len(frame)


@dataclass(frozen=True, slots=True)
class Extent:
    """What the files of one segment have in common."""

    place: Partition
    day: str
    first_offset: int
    next_offset: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Closed:
    """A segment as it is to lie on the disk: its manifest, and the bytes of its files by their paths."""

    manifest: Manifest
    contents: Mapping[str, Sequence[bytes]]

    def put(self, folder: Path) -> None:
        """Write the files below the partition's folder; they are no part of the archive before the manifest is."""
        for path, chunks in self.contents.items():
            files.make_folders((folder / path).parent)
            files.put(folder / path, chunks)


@dataclass(slots=True)
class Segment:
    """Records of one partition from `first_offset` on, in memory and mostly compressed. Not for two threads at once.

    `previous` is the hash of the segment before. `opened_s` is when its first record was taken.
    """

    place: Partition
    first_offset: int
    day: int
    previous: str | None
    opened_s: float
    settings: ArchiveSettings
    forms: Forms
    compressor: Executor
    next_offset: int = field(init=False)
    records: int = 0
    undecoded: int = 0
    log_bytes: int = 0
    times_ms: tuple[int, int] | None = None
    tip: Tip | None = None
    _files: dict[FileKey, tuple[Form, Blocks]] = field(default_factory=dict)
    _encoder: Encoder = field(default_factory=Encoder)

    def __post_init__(self) -> None:
        self.next_offset = self.first_offset

    @property
    def size(self) -> int:
        """About what its files would have now."""
        return sum(blocks.size for _, blocks in self._files.values())

    def add(self, records: Sequence[LogRecord]) -> None:
        """Take records that follow those before."""
        rows = Rows.of(records)
        for form, part, chosen, whole in self._divided(rows):
            pieces, weights = self._encoder.pieces(chosen, whole)
            self._blocks(form, part).add(pieces, weights)
            self.undecoded += len(whole) - int(np.count_nonzero(whole))
        first_ms, last_ms = int(rows.times_ms.min()), int(rows.times_ms.max())
        before = self.times_ms or (first_ms, last_ms)
        self.times_ms = min(before[0], first_ms), max(before[1], last_ms)
        self.records += len(records)
        self.log_bytes += rows.log_bytes
        self.next_offset = int(rows.offsets[-1]) + 1
        self.tip = tip_of(records[-1])

    def closed(self, epoch: int) -> Closed:
        """Its manifest and the bytes of its files."""
        extent = Extent(self.place, day_name(self.day), self.first_offset, self.next_offset, epoch)
        made = [
            made_file(extent, part, form.schema_id, form.schema, blocks)
            for (part, _), (form, blocks) in sorted(self._files.items(), key=lambda item: item[0])
        ]
        first_ms, last_ms = self.times_ms or (0, 0)
        manifest = Manifest(
            topic=self.place.topic,
            partition=self.place.number,
            day=extent.day,
            first_offset=self.first_offset,
            next_offset=self.next_offset,
            first_timestamp_ms=first_ms,
            last_timestamp_ms=last_ms,
            records=self.records,
            undecoded=self.undecoded,
            log_bytes=self.log_bytes,
            codec=self.settings.codec.value,
            level=self.settings.zstd_level,
            epoch=epoch,
            files=tuple(file for file, _ in made),
            previous=self.previous,
            digest=None if self.tip is None else self.tip.digest,
        )
        return Closed(manifest, {file.path: chunks for file, chunks in made})

    def _divided(self, rows: Rows) -> Iterable[tuple[Form, str, Rows, Bools]]:
        """The records by file, in order within each; and which of them are whole events."""
        framings = rows.framings()
        [one, *others] = framings
        form = self.forms.of(one) if one is not None and not others else None
        if form is not None and self.settings.layout is Layout.PLAIN:
            found = wholeness(form, rows.values, rows.lengths)  # type: ignore[arg-type]
            return [(form, "", rows, found.whole)]
        groups: dict[FileKey, tuple[Form, list[int], list[bool]]] = {}
        for number, (form, part, whole) in enumerate(self._placed(rows, framings)):
            _, numbers, wholes = groups.setdefault((part, form.schema_id), (form, [], []))
            numbers.append(number)
            wholes.append(whole)
        return [
            (form, part, rows.chosen(numbers), np.array(wholes))
            for (part, _), (form, numbers, wholes) in groups.items()
        ]

    def _placed(self, rows: Rows, framings: set[bytes | None]) -> list[tuple[Form, str, bool]]:
        """Of each record the form of its file, its part, and whether it stands there as an event."""
        column = "" if self.settings.layout is Layout.PLAIN else self.settings.layout.value
        nobody = part_name(column, None) if column else ""
        placed: list[tuple[Form, str, bool]] = [(self.forms.newest(), nobody, False)] * len(rows.values)
        for framing in framings:
            form = self.forms.of(framing) if framing is not None else None
            if form is None:
                continue
            having = [
                (number, value)
                for number, value in enumerate(rows.values)
                if value is not None and value.startswith(form.framing)
            ]
            lengths = rows.lengths[[number for number, _ in having]]
            found = wholeness(form, [value for _, value in having], lengths)
            texts = found.texts.get(column) or [None] * len(having)
            for (number, _), whole, text in zip(having, found.whole.tolist(), texts, strict=True):
                if whole:
                    placed[number] = (form, part_name(column, text) if column else "", True)
        return placed

    def _blocks(self, form: Form, part: str) -> Blocks:
        key = (part, form.schema_id)
        if key not in self._files:
            of = f"{self.previous}/{self.place}/{self.first_offset}/{part}/{form.schema_id}"
            sync = hashlib.sha256(of.encode()).digest()[:16]
            made = Blocks(self.settings.codec, self.settings.zstd_level, sync, self.compressor)
            self._files[key] = (form, made)
        return self._files[key][1]


def made_file(
    of: Extent, part: str, schema_id: int, schema: AvroSchema, blocks: Blocks
) -> tuple[DataFile, list[bytes]]:
    """One file of a segment, and its bytes."""
    blocks.finish()
    name = data_name(of.first_offset, of.next_offset, schema_id, of.epoch)
    facts = {
        "interlock.topic": of.place.topic,
        "interlock.partition": str(of.place.number),
        "interlock.first_offset": str(of.first_offset),
        "interlock.next_offset": str(of.next_offset),
        "interlock.schema_id": str(schema_id),
    }
    chunks = [header(schema, blocks.codec, blocks.sync, facts), *blocks.frames]
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    file = DataFile(
        path=PurePosixPath(f"day={of.day}", part, name).as_posix(),
        part=part,
        schema_id=schema_id,
        records=blocks.records,
        bytes=sum(map(len, chunks)),
        sha256=digest.hexdigest(),
        content_bytes=blocks.content_bytes,
        content_sha256=blocks.content_sha256,
    )
    return file, chunks


def same_day(records: Sequence[LogRecord], day: int) -> int:
    """How many of the records from the first on belong to a segment of that day: a later day begins another one.

    A record that comes late stays in the segment that is open.
    """
    if day_of(max(record.timestamp for record in records)) <= day:
        return len(records)
    return next(number for number, record in enumerate(records) if day_of(record.timestamp) > day)
