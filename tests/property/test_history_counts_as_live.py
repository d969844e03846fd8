"""Spend is the same to the nano-dollar in the live state and in the history: both judge each record of the log alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from events.bounds import Bounds
from events.catalogue import TOPICS
from events.ids import derived_id
from events.positions import Partition
from events.reader import LogRecord
from events.settings import LogSettings
from processors.dedupe import Seen
from processors.usage.runs import Runs
from processors.usage.soundness import Soundness
from processors.usage.tally import tally
from projections.history.recent import Recent
from projections.history.rows import Batch, RowReader
from projections.history.tables import derive_tables
from projections.history.usage_columns import UsageColumns
from tests.integration.log import CODEC, NOW_US, usage
from tests.reference.accepted import tell
from tests.simulation.broken import broken
from tests.simulation.log import changed, record_of

LOG = LogSettings(partitions=4, max_event_bytes=65_536)
HOME = Partition("usage", 0)
READER = RowReader(derive_tables()["usage"], CODEC, LOG)
COLUMNS = UsageColumns(READER, *CODEC.newest(TOPICS["usage"]))
Spend = dict[tuple[str, str, int], list[int]]
"""By tenant, user and quarter hour: nano-USD, calls and tokens."""

calls = st.tuples(
    st.integers(0, 20),
    st.sampled_from(["sound"] * 6 + ["broken", "broken", "header", "key", "old", "ahead"]),
    st.sampled_from(["acme", "acme", "umbrella"]),
    st.sampled_from(["ann", "bob", "", "x" * 257]),
    st.integers(-(2**40), 2**40),
)


def on_the_log(drawn: list[tuple[int, str, str, str, int]], random: Random) -> list[LogRecord]:
    """Calls a second apart in one partition: some come again, some lie wrong, some cannot be meant."""
    made: list[LogRecord] = []
    for offset, (number, fault, tenant, user, cost) in enumerate(drawn):
        age_us = {"old": 367 * 86_400_000_000, "ahead": -2 * 86_400_000_000}.get(fault, number * 60_000_000)
        event = replace(
            usage(tenant, user=user, cost_nano_usd=cost, input_tokens=number),
            event_id=derived_id("call", number),
            occurred_at=NOW_US + offset * 1_000_000 - age_us,
        )
        headers = [("\udcff", b"")] if fault == "header" else [("traceparent", b"00")] if number % 2 else []
        key = b"other" if fault == "key" else tenant.encode()
        record = record_of(key, CODEC.encode(event), NOW_US // 1000 + offset * 1000, headers)
        if fault == "broken":
            _, record = broken(event, record, LOG, CODEC, random)
        made.append(changed(record, topic="interlock.usage", partition=HOME.number, offset=offset))
    return made


def live_spend(records: Sequence[LogRecord]) -> Spend:
    """As a worker folds them."""
    tallied = tally(
        records,
        CODEC,
        Soundness(Bounds(LOG, HOME.number)),
        Seen(),
        Runs(LOG.max_event_bytes, 0, {}),
    )
    assert tallied.records == len(records)
    spend: Spend = defaultdict(lambda: [0, 0, 0])
    for (payer, quarter), (cost, count, tokens, _, _) in tallied.sums.items():
        _add(spend, (payer.tenant, payer.user or "", quarter), (cost, count, tokens))
    return dict(spend)


def history_rows(records: Sequence[LogRecord]) -> list[dict[str, Any]]:
    """As the sink writes them the general way, which the quick one is held to."""
    batch = Batch(records)
    names = READER.table.column_names
    return [dict(zip(names, row, strict=True)) for row in READER.rows(HOME, batch, Recent())]


@given(st.lists(calls, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_history_counts_what_the_live_state_counts(
    drawn: list[tuple[int, str, str, str, int]], random: Random
) -> None:
    """Whatever is wrong with a record; by a naive judge too. So does the quick way, with what it leaves over."""
    log = on_the_log(drawn, random)
    rows = history_rows(log)
    spend: Spend = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        figures = (row["cost_nano_usd"] or 0, 1, row["input_tokens"])
        _add(spend, (row["tenant"], row["user"] or "", row["occurred_at"] // 900_000_000), figures)
    assert dict(spend) == live_spend(log)
    offsets = [row["log_offset"] for row in rows]
    assert offsets == [offset for offset, _ in tell("usage", log, CODEC, LOG).events]
    block = COLUMNS.block(HOME.number, log, (), COLUMNS.calls())
    left = Batch([record for record, odd in zip(log, block.odd, strict=True) if odd], ids=dict(block.ids))
    taken = [row[READER.offset_at] for row in READER.rows(HOME, left, Recent())] + [*block.ids.values()]
    assert left.overtaken or sorted(taken) == offsets


def _add(spend: Spend, key: tuple[str, str, int], figures: tuple[int, int, int]) -> None:
    spend[key] = [held + more for held, more in zip(spend[key], figures, strict=True)]
