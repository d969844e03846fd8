"""What a slot has still to fold: in order, bounded, and what follows on one another as one."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors import backlog
from processors.backlog import Backlog, Fetched
from processors.batching import RecordBatch
from tests.simulation.log import changed, record_of

RECORD = record_of(b"key", b"value", 0)
SPANS = st.lists(
    st.tuples(st.sampled_from(["usage", "budgets"]), st.integers(1, 5), st.booleans()), max_size=30
)
"""Topic, records, and whether it follows on the batch of the topic before it."""


def fetched(topic: str, start: int, end: int, told: list[tuple[str, int]]) -> Fetched:
    """Records [start, end); when they are acknowledged, topic and end are told."""
    batch = RecordBatch(f"interlock.{topic}", 0, [changed(RECORD, offset=at) for at in range(start, end)])
    return Fetched(topic, batch, lambda: told.append((topic, end)))


@given(SPANS)
async def test_all_is_given_out_in_order_and_acknowledged(spans: list[tuple[str, int, bool]]) -> None:
    """Batches of one topic that follow on one another are one; a hole or another topic between them ends it."""
    kept, told, put = Backlog(), list[tuple[str, int]](), list[tuple[str, int, int]]()
    ends: dict[str, int] = {}
    for topic, count, follows in spans:
        start = ends.get(topic, 0) + (0 if follows else 7)
        ends[topic] = start + count
        put.append((topic, start, start + count))
        await kept.put(fetched(topic, start, start + count, told))
    joined: list[tuple[str, int, int]] = []
    for topic, start, end in put:
        if joined and joined[-1][0] == topic and joined[-1][2] == start:
            joined[-1] = (topic, joined[-1][1], end)
        else:
            joined.append((topic, start, end))
    for topic, start, end in joined:
        taken = await kept.take()
        assert (taken.topic, taken.batch.start, taken.batch.end) == (topic, start, end)
        assert not taken.batch.has_holes
        taken.acknowledge()
    assert told == [(topic, end) for topic, _, end in put]


async def test_it_is_bounded_and_no_more_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who brings more waits until there is room."""
    monkeypatch.setattr(backlog, "MOST_RECORDS", 10)
    kept = Backlog()
    for start in (0, 6):
        await kept.put(fetched("usage", start, start + 6, []))
    assert kept.is_full
    waiting = asyncio.create_task(kept.put(fetched("usage", 12, 13, [])))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert (await kept.take()).batch.end == 6
    await waiting
    assert (await kept.take()).batch.end == 13


async def test_what_is_cleared_makes_room() -> None:
    """The next taker waits for what comes then."""
    kept = Backlog()
    await kept.put(fetched("usage", 0, 3, []))
    kept.clear()
    taking = asyncio.create_task(kept.take())
    await asyncio.sleep(0)
    assert not taking.done()
    await kept.put(fetched("usage", 8, 9, []))
    assert (await taking).batch.start == 8
