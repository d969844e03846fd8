"""Avro object container files (specification 1.12): a header with the schema, then compressed blocks of records."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import lz4.block
import orjson

from events.compiled_reader import wide
from projections.archive.settings import Codec
from projections.errors import ProjectionError

try:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from backports import zstd

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
_READ_ERRORS = (ValueError, IndexError, KeyError, struct.error, zlib.error, zstd.ZstdError, RuntimeError)


class DamagedFileError(ProjectionError):
    """A file of the archive is not what was written; the message names it and what is wrong."""


@dataclass(frozen=True, slots=True)
class Block:
    """So many records, encoded one after the other."""

    count: int
    content: bytes


def varint(number: int) -> bytes:
    """An int or long in zigzag, seven bits to a byte."""
    left = (number << 1) ^ (number >> 63)
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def sized(content: bytes) -> bytes:
    """Bytes or a string: their length, then they themselves."""
    return varint(len(content)) + content


def header(schema: Any, codec: Codec, sync: bytes, facts: Mapping[str, str]) -> bytes:
    """What a file begins with; `facts` are kept beside the schema."""
    meta = {"avro.schema": orjson.dumps(schema), "avro.codec": codec.value.encode()}
    meta |= {name: value.encode() for name, value in facts.items()}
    entries = b"".join(sized(name.encode()) + sized(value) for name, value in meta.items())
    return MAGIC + varint(len(meta)) + entries + b"\0" + sync


def framed(block: Block, codec: Codec, level: int, sync: bytes) -> bytes:
    """A block as it lies in the file."""
    return varint(block.count) + sized(_compressed(block.content, codec, level)) + sync


def _compressed(content: bytes, codec: Codec, level: int) -> bytes:
    match codec:
        case Codec.ZSTANDARD:
            return bytes(zstd.compress(content, level))
        case Codec.DEFLATE:
            deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            return deflate.compress(content) + deflate.flush()
        case Codec.LZ4:
            return bytes(lz4.block.compress(content))
        case Codec.NULL:
            return content


def _plain(content: bytes, codec: Codec) -> bytes:
    match codec:
        case Codec.ZSTANDARD:
            return bytes(zstd.decompress(content))
        case Codec.DEFLATE:
            return zlib.decompress(content, wbits=-zlib.MAX_WBITS)
        case Codec.LZ4:
            return bytes(lz4.block.decompress(content))
        case Codec.NULL:
            return content


@dataclass(frozen=True, slots=True)
class AvroFile:
    """A file read back: its facts and its bytes, the blocks not yet looked at."""

    name: str
    facts: dict[str, str]
    raw: bytes
    begin: int

    @classmethod
    def of(cls, name: str, raw: bytes) -> AvroFile:
        """DamagedFileError when it does not begin as such a file."""
        try:
            if raw[:4] != MAGIC:
                raise ValueError("no Avro object container file")
            facts: dict[str, str] = {}
            left, at = _long(raw, 4)
            while left:
                for _ in range(left):
                    key, at = _bytes(raw, at)
                    value, at = _bytes(raw, at)
                    facts[key.decode()] = value.decode()
                left, at = _long(raw, at)
        except _READ_ERRORS as error:
            raise DamagedFileError(f"{name}: its header is damaged: {error!r}") from None
        return cls(name, facts, raw, at)

    def blocks(self) -> Iterator[Block]:
        """The blocks in order; DamagedFileError where one is not whole."""
        raw, at = self.raw, self.begin
        sync = raw[at : at + SYNC_BYTES]
        at += SYNC_BYTES
        try:
            codec = Codec(self.facts["avro.codec"])
            while at < len(raw):
                count, begin = _long(raw, at)
                packed, at = _bytes(raw, begin)
                if raw[at : at + SYNC_BYTES] != sync:
                    raise ValueError(f"no sync marker at {at}")
                at += SYNC_BYTES
                yield Block(count, _plain(packed, codec))
        except _READ_ERRORS as error:
            raise DamagedFileError(f"{self.name}: a block is damaged: {error!r}") from None


def _long(raw: bytes, at: int) -> tuple[int, int]:
    number, at = wide(raw, at, 64) if raw[at] > 0x7F else (raw[at], at + 1)
    return (number >> 1) ^ -(number & 1), at


def _bytes(raw: bytes, at: int) -> tuple[bytes, int]:
    length, at = _long(raw, at)
    if length < 0 or at + length > len(raw):
        raise ValueError(f"it broke off at {at}")
    return raw[at : at + length], at + length
