"""Settings of the archive: section `archive`, `INTERLOCK_ARCHIVE__...` in the environment."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field


class Codec(StrEnum):
    """Codec of the blocks of a file, by its name in Avro."""

    ZSTANDARD = "zstandard"
    DEFLATE = "deflate"
    LZ4 = "lz4"
    NULL = "null"


class Layout(StrEnum):
    """What a segment's records are divided by, beside topic, partition and day."""

    PLAIN = "plain"
    TENANT = "tenant"
    PROVIDER = "provider"


class ArchiveSettings(BaseModel):
    """Where the log's segments are kept, and how large they grow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path | None = Field(None, description="Folder of the archive; none: no archive.")
    codec: Codec = Field(
        Codec.ZSTANDARD,
        description="zstandard, deflate (the one of gzip), lz4 (read by fastavro only) or null.",
    )
    zstd_level: Annotated[int, Interval(ge=1, le=19)] = Field(6, description="Level of zstandard.")
    layout: Layout = Field(
        Layout.PLAIN,
        description="plain; tenant or provider: a file for each of them in every segment, in a folder of its own.",
    )
    segment_bytes: Annotated[int, Interval(ge=64 * 2**10, le=2**30)] = Field(
        16 * 2**20,
        description="A segment is closed when its files have so many bytes; held in memory till then.",
    )
    segment_age_s: Annotated[float, Interval(ge=0.1, le=86_400)] = Field(
        60.0, description="A segment is closed so long after its first record was taken."
    )
    compact_every_s: Annotated[float, Interval(ge=0, le=86_400)] = Field(
        1_800.0, description="The sink merges small segments into larger ones so often; 0: never."
    )
