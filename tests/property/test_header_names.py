"""Header names of any bytes stay what they are, through letters and batches."""

from __future__ import annotations

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from events.header_names import Header, are_utf8, bytes_of, kept, name_of, spelled, unkept, unspelled
from events.packed_record import PackedRecord, unpack
from events.raw_batch import put
from events.tolerant_records import records_of

any_bytes = st.binary(max_size=12) | st.lists(
    st.sampled_from([b"\\", b"-", b"x", b"ff", b"\xff", b"\xc3\xa9"]), max_size=8
).map(b"".join)
any_headers = st.lists(st.tuples(any_bytes.map(name_of), st.none() | st.binary(max_size=4)), max_size=4)


@given(raw=any_bytes)
def test_a_name_is_spelled_in_utf8_and_back(raw: bytes) -> None:
    """To the byte, and differently from every other."""
    name = name_of(raw)
    assert unspelled(spelled(name).encode().decode()) == name
    assert bytes_of(name) == raw


@pytest.mark.parametrize(
    "raw, text",
    [
        (b"traceparent", "traceparent"),
        ("é".encode(), "é"),
        (b"\xe9t\xe9", r"\xe9t\xe9"),
        (rb"\xe9", r"\\xe9"),
    ],
)
def test_how_a_name_is_spelled(raw: bytes, text: str) -> None:
    """What is in order stays as it is."""
    assert spelled(name_of(raw)) == text


@given(headers=any_headers)
def test_a_letter_keeps_headers(headers: list[Header]) -> None:
    """Names, values and those without one; packed, too."""
    assert unkept(kept(headers)) == tuple(headers)
    assert unkept(unpack(PackedRecord(None, kept(headers), None).pack()).headers) == tuple(headers)


@given(records=st.lists(any_headers, min_size=1, max_size=6))
def test_a_producer_writes_the_names_as_they_were(records: list[list[Header]]) -> None:
    """In as many batches as it takes, in order; numbered by an idempotent producer, too."""
    found: list[list[Header]] = []
    left = list(records)
    while left:
        batch = BatchBuilder(2**20, 0)
        while left and put(batch, 7, b"k", b"v", left[0]):
            left.pop(0)
        batch._set_producer_state(1, 2, 3)
        found += [record.headers for record in records_of(bytes(batch._build()))]
    assert found == records


@given(headers=any_headers)
def test_names_are_told_apart(headers: list[Header]) -> None:
    """Those that are UTF-8 from those that are not."""
    try:
        for name, _ in headers:
            bytes_of(name).decode()
    except UnicodeDecodeError:
        assert not are_utf8(headers)
    else:
        assert are_utf8(headers)
