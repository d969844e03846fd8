"""The quick way of usage into the history against the general one: the same rows, the same sums, or left over."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.catalogue import TOPICS
from events.envelope import OutcomeKind
from events.positions import Partition
from events.settings import LogSettings
from projections.history import usage_callers
from projections.history.database import POSTGRES_EPOCH_US
from projections.history.recent import Recent
from projections.history.rollup_sums import Sums, every_grain
from projections.history.rollups import Grain, Key, Row, UsageTally
from projections.history.rows import Batch, RowReader
from projections.history.tables import derive_tables
from projections.history.usage_columns import UsageColumns
from tests.integration.history.place import Record
from tests.integration.log import CODEC, NOW_US, usage

TABLE = derive_tables()["usage"]
READER = RowReader(TABLE, CODEC, LogSettings())
COLUMNS = UsageColumns(READER, *CODEC.newest(TOPICS["usage"]))
BY_NAME = {column.name: column for column in TABLE.columns}
PLACE = Partition("usage", 0)
TEXT = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=40)
ODD_TEXT = st.text(max_size=5)
BIG = st.integers(0, 2**63 - 1)


@st.composite
def values(draw: st.DrawFn) -> bytes | None:
    """Records of usage: plain ones, unusual ones, damaged ones, and none."""
    texts = TEXT if draw(st.integers(0, 4)) else ODD_TEXT
    event = replace(
        usage(draw(st.sampled_from(["acme", "umbrella"]))),
        occurred_at=draw(st.just(NOW_US) | st.integers(NOW_US - 10**9, NOW_US) | st.integers(0, 2**62)),
        request_id=draw(texts),
        user=draw(st.none() | texts),
        region=draw(st.none() | st.sampled_from(["", "eu"])),
        org=draw(st.none() | texts | st.sampled_from(["x" * 70, "x" * 80, "x" * 600])),
        team=draw(st.none() | st.sampled_from(["a", "b"])),
        error=draw(st.none() | texts | st.just("x" * 900)),
        correlation_id=draw(st.none() | texts),
        outcome=draw(st.sampled_from(OutcomeKind)),
        status_code=draw(st.none() | st.integers(-(2**31), 2**31 - 1)),
        input_tokens=draw(st.integers(0, 200) | BIG),
        latency_ms=draw(st.integers(-5, 10**6) | BIG),
        cost_nano_usd=draw(st.none() | st.integers(-(2**40), 2**40)),
        breaker_epoch=draw(st.none() | BIG),
        attributes=draw(st.just({}) | st.dictionaries(TEXT, TEXT, max_size=1)),
    )
    raw = CODEC.encode(event)
    match draw(st.integers(0, 9)):
        case 0:
            return draw(st.none() | st.binary(max_size=12))
        case 1:
            return raw[: draw(st.integers(0, len(raw)))]
        case 2:
            at = draw(st.integers(0, len(raw) - 1))
            return raw[:at] + bytes([draw(st.integers(0, 255))]) + raw[at + 1 :]
    return raw


def parsed(rows: bytes) -> Iterator[Row]:
    """Rows of binary COPY as the general way has them."""
    at = 0
    while at < len(rows):
        (count,) = struct.unpack_from(">h", rows, at)
        assert count == len(TABLE.columns)
        at += 2
        row: dict[str, Any] = {}
        for name in COLUMNS.column_names:
            column = BY_NAME[name]
            (length,) = struct.unpack_from(">i", rows, at)
            at += 4
            held = rows[at : at + max(length, 0)]
            row[name] = None if length < 0 else _value(column.sql_type, held)
            at += len(held)
        yield tuple(row[name] for name in TABLE.column_names)


def _value(sql_type: str, held: bytes) -> Any:
    match sql_type:
        case "uuid":
            assert len(held) == 16
            return str(UUID(bytes=held))
        case "jsonb":
            assert held[:1] == b"\1"
            return held[1:].decode()
        case "text":
            return held.decode()
        case "timestamp with time zone":
            assert len(held) == 8
            return int.from_bytes(held, signed=True) + POSTGRES_EPOCH_US
    assert len(held) == (4 if sql_type == "integer" else 8)
    return int.from_bytes(held, signed=True)


@given(st.lists(values(), min_size=1, max_size=12))
def test_what_the_quick_way_takes_is_what_the_general_way_reads(raw: list[bytes | None]) -> None:
    """Bytes of binary COPY, ids and rollups of the records that are not odd; an unsound record is always odd."""
    records = [
        Record("interlock.usage", 0, offset, NOW_US // 1000 + offset, b"acme", value)
        for offset, value in enumerate(raw, 900)
    ]
    calls = COLUMNS.calls()
    block = COLUMNS.block(0, records, (), calls)
    taken = [record for record, odd in zip(records, block.odd, strict=True) if not odd]
    batch = Batch(taken)
    rows = list(READER.rows(PLACE, batch, Recent()))
    assert not batch.refused
    assert not batch.duplicates
    assert list(parsed(block.rows)) == rows
    assert block.ids == batch.ids
    by_minute = UsageTally(TABLE.column_names).by_minute(rows)
    assert told_by_grain(calls.by_grain()) == told_by_grain(every_grain(by_minute))


@given(st.lists(st.lists(values(), min_size=1, max_size=4), min_size=1, max_size=4))
def test_how_a_batch_is_cut_into_blocks_does_not_show_in_its_sums(raw: list[list[bytes | None]]) -> None:
    """Callers and buckets that several blocks have are one row, in every grain."""
    calls, rows = COLUMNS.calls(), []
    for number, values_of_block in enumerate(raw):
        records = [
            Record("interlock.usage", 0, 10 * number + offset, NOW_US // 1000, b"acme", value)
            for offset, value in enumerate(values_of_block)
        ]
        block = COLUMNS.block(0, records, (), calls)
        rows += list(parsed(block.rows))
    sums = every_grain(UsageTally(TABLE.column_names).by_minute(rows))
    assert told_by_grain(calls.by_grain()) == told_by_grain(sums)


def told_by_grain(sums: dict[Grain, Sums]) -> dict[Grain, dict[Key, tuple[list[int], dict[int, int]]]]:
    """Sums of every grain as one reads them."""
    return {grain: told(one) for grain, one in sums.items()}


def told(sums: Sums) -> dict[Key, tuple[list[int], dict[int, int]]]:
    """Sums as one reads them."""
    latencies: list[dict[int, int]] = [{} for _ in sums.keys]
    for row, bucket, count in zip(
        sums.rows.tolist(), sums.buckets.tolist(), sums.counts.tolist(), strict=True
    ):
        assert bucket not in latencies[row]
        latencies[row][bucket] = count
    return dict(zip(sums.keys, zip(sums.sums.tolist(), latencies, strict=True), strict=True))


@given(st.integers(1, 30), st.integers(0, 20))
def test_the_quick_way_takes_every_plain_call(count: int, again: int) -> None:
    """Nothing of what gateways usually send is left over, but what was seen before."""
    events = [usage(user=f"user-{number}", latency_ms=number * 40_000) for number in range(count)]
    events += [events[number % count] for number in range(again)]
    records = [
        Record("interlock.usage", 0, offset, NOW_US // 1000, b"acme", CODEC.encode(event))
        for offset, event in enumerate(events)
    ]
    seen = {events[0].event_id}
    block = COLUMNS.block(0, records, (seen,), COLUMNS.calls())
    assert block.odd.tolist() == [number == 0 or number >= count for number in range(count + again)]


def test_callers_that_are_not_told_apart_are_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that come to the same number are never taken for one another."""
    monkeypatch.setattr(usage_callers, "_FACTORS", np.zeros_like(usage_callers._FACTORS))
    columns = UsageColumns(READER, *CODEC.newest(TOPICS["usage"]))
    calls = columns.calls()
    assert columns.block(0, calls_of("ann", "bob", "ann"), (), calls).odd.tolist() == [False, True, False]
    assert [key[-1] for key in calls.by_grain()[Grain.DAY].keys] == ["ann"]


def test_the_callers_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch begins with none when there are too many, and what another one has counted stays."""
    monkeypatch.setattr(usage_callers, "KEPT", 2)
    columns = UsageColumns(READER, *CODEC.newest(TOPICS["usage"]))
    first = columns.calls()
    columns.block(0, calls_of("ann", "bob", "cid"), (), first)
    second = columns.calls()
    columns.block(0, calls_of("dan"), (), second)
    columns.block(0, calls_of("bob"), (), first)
    assert second.callers is not first.callers
    assert [key[-1] for key in first.by_grain()[Grain.DAY].keys] == ["ann", "bob", "cid"]
    assert [key[-1] for key in second.by_grain()[Grain.DAY].keys] == ["dan"]


def calls_of(*users: str) -> list[Record]:
    """A call of each."""
    return [
        Record("interlock.usage", 0, offset, NOW_US // 1000, b"acme", CODEC.encode(usage(user=user)))
        for offset, user in enumerate(users)
    ]
