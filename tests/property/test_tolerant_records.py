"""Batches are read as aiokafka reads them, and what it cannot read is read by the same rules."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from events import tolerant_records
from events.header_names import name_of
from tests.raw_batches import CODECS, Raw, batch_of

CRC_AT, CHECKED_FROM = 17, 21
PLACE = TopicPartition("interlock.usage", 3)
BAD = (("good", b"1"), ("\udcffname\udc80", None), ("\udcff", b""))

contents = st.none() | st.binary(max_size=200)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
any_names = st.binary(max_size=80).map(name_of)


def raws(of_names: st.SearchStrategy[str]) -> st.SearchStrategy[list[Raw]]:
    """Records of a batch."""
    headers = st.lists(st.tuples(of_names, contents), max_size=3)
    times = st.integers(0, 2**42)
    return st.lists(st.builds(Raw, contents, contents, headers, times), min_size=1, max_size=5)


def plain(records: Sequence[Any]) -> list[tuple[Any, ...]]:
    """All that a record says."""
    return [
        (one.offset, one.timestamp, one.timestamp_type, one.key, one.value, tuple(one.headers))
        for one in records
    ]


def told(raw: Sequence[Raw], base: int = 0) -> list[tuple[Any, ...]]:
    """The same of records that were written."""
    return [
        (base + number, one.timestamp_ms, 0, one.key, one.value, tuple(one.headers))
        for number, one in enumerate(raw)
    ]


def at_offset(batch: bytearray, offset: int) -> bytes:
    """The batch as the broker has put it."""
    struct.pack_into(">q", batch, 0, offset)
    return bytes(batch)


def checked(batch: bytearray) -> bytearray:
    """A batch that was changed, with the checksum that it has now."""
    struct.pack_into(">I", batch, CRC_AT, calc_crc32c(batch[CHECKED_FROM:]))
    return batch


def fetched(raw: bytes, offset: int = 0) -> Any:
    """What the fetcher makes of bytes that came from an offset on."""
    records = fetcher.MemoryRecords(raw)
    return fetcher.PartitionRecords(PLACE, records, None, offset, None, None, True, 0)


def test_the_fetcher_looks_up_what_is_replaced() -> None:
    """By name, in its module, when the answer to a fetch comes: else a release of aiokafka has changed its shape."""
    replaced = {"MemoryRecords", "PartitionRecords", "FetchResult"}
    assert replaced <= set(fetcher.Fetcher._proc_fetch_request.__code__.co_names)
    assert {vars(fetcher)[name].__module__ for name in replaced} == {tolerant_records.__name__}


@pytest.mark.parametrize("codec", CODECS)
@given(written=raws(names), appended=st.booleans())
def test_a_valid_batch_is_read_as_by_aiokafka(codec: str, written: list[Raw], appended: bool) -> None:
    """Each codec, times of the producer and of the broker."""
    batch = batch_of(written, codec)
    batch[CHECKED_FROM + 1] |= 8 * appended
    raw = at_offset(checked(batch), 1042)
    assert plain(list(tolerant_records.records_of(raw))) == plain(list(DefaultRecordBatch(raw)))


@pytest.mark.parametrize("codec", CODECS)
@given(batches=st.lists(raws(any_names), min_size=1, max_size=3))
def test_names_of_any_bytes_are_read(codec: str, batches: list[list[Raw]]) -> None:
    """Wherever in a fetch they are, nothing else is lost, told twice or changed."""
    raw, wanted = b"", list[tuple[Any, ...]]()
    for written in batches:
        raw += at_offset(batch_of(written, codec), len(wanted))
        wanted += told(written, len(wanted))
    records = fetched(raw)
    assert plain(list(records)) == wanted
    assert records.next_fetch_offset == len(wanted)


@pytest.mark.parametrize("codec", CODECS)
def test_reading_begins_within_a_batch(codec: str) -> None:
    """Before, at and behind the record that aiokafka stumbles over."""
    written = [Raw(b"k", b"v" * 500, BAD if number == 2 else ()) for number in range(5)]
    raw = at_offset(batch_of(written, codec), 7)
    for offset in range(7, 12):
        assert plain(list(fetched(raw, offset))) == told(written, 7)[offset - 7 :]


@given(
    raw=st.binary(max_size=200), written=raws(any_names), at=st.integers(0), codec=st.sampled_from([*CODECS])
)
def test_damage_is_told_with_its_place(raw: bytes, written: list[Raw], at: int, codec: str) -> None:
    """Whatever was done to a batch: its records, or the error that names topic, partition and offset; no other."""
    batch = batch_of(written, codec)
    begin = CHECKED_FROM + at % (len(batch) - CHECKED_FROM)
    batch[begin : begin + len(raw)] = raw[: len(batch) - begin]
    try:
        list(fetched(bytes(checked(batch))))
    except CorruptRecordException as error:
        assert "interlock.usage-3: the batch at offset 0 is damaged" in str(error)  # noqa: PT017 - it may be whole


def test_what_lies_before_a_damaged_batch_is_given_out_first() -> None:
    """The damage is told when it is the first that a fetch brings."""
    whole, broken = batch_of([Raw(b"k", b"v", BAD)] * 2), batch_of([Raw(b"k", b"v", BAD)])
    broken[CRC_AT] ^= 1
    records = fetched(at_offset(whole, 0) + at_offset(broken, 2))
    assert plain(list(records)) == told([Raw(b"k", b"v", BAD)] * 2)
    with pytest.raises(CorruptRecordException, match=r"offset 2 is damaged \(.*its checksum is wrong"):
        list(fetched(at_offset(broken, 2), records.next_fetch_offset))
