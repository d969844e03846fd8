"""Records that are no events, or that Postgres cannot hold as they are."""

from __future__ import annotations

from dataclasses import replace

from events.positions import Partition
from tests.integration.history.place import USAGE, Place, Record, record, records
from tests.integration.log import CODEC, NOW_US, usage
from tests.integration.traffic import budget

REFUSED = "SELECT log_offset, reason, key, value FROM refused ORDER BY log_offset"


async def test_a_record_that_is_no_event_is_kept_with_its_reason(place: Place) -> None:
    """The rest of its batch is written; the refused one is whole, and in no rollup."""
    good = record(usage(), 0)
    bad = [
        replace(good, offset=1, value=b"\1\2"),
        replace(good, offset=2, value=None),
        replace(good, offset=3, value=(good.value or b"") + b"x"),
    ]
    async with place.sink() as sink:
        await sink.open(USAGE)
        assert await sink.write(USAGE, 0, [good, *bad, record(usage(), 4)]) == 5
    found = await place.ask(REFUSED)
    assert [(row["log_offset"], row["reason"]) for row in found] == [
        (1, "bad_magic"),
        (2, "no_value"),
        (3, "trailing_bytes"),
    ]
    assert (found[0]["key"], found[0]["value"], found[1]["value"]) == (b"acme", b"\1\2", None)
    assert await place.value("SELECT count(*) FROM usage") == 2
    assert await place.value("SELECT sum(calls)::int FROM usage_by_hour") == 2


async def test_a_value_that_no_column_can_hold_is_refused(place: Place) -> None:
    """An id that is no UUID and a time beyond all years are refused; their neighbours are written."""
    events = [usage(), usage(event_id="no uuid"), usage(occurred_at=2**62), usage(occurred_at=-1), usage()]
    offsets = records(
        [replace(event, occurred_at=min(max(event.occurred_at, 0), NOW_US)) for event in events]
    )
    batch = [
        Record(one.topic, 0, one.offset, one.timestamp, one.key, CODEC.encode(event))
        for one, event in zip(offsets, events, strict=True)
    ]
    async with place.sink() as sink:
        await sink.open(USAGE)
        assert await sink.write(USAGE, 0, batch) == 5
    assert [row["log_offset"] for row in await place.ask(REFUSED)] == [1, 2, 3]
    assert await place.value("SELECT sum(calls)::int FROM usage_by_hour") == 2


async def test_a_nul_in_a_text_is_kept_as_a_replacement_character(place: Place) -> None:
    """PostgreSQL has no NUL in texts, and an event is not lost for that."""
    odd = usage(user="a\0b", error="\0", attributes={"k\0": "v\\u0000\0"})
    async with place.sink() as sink:
        await sink.open(USAGE)
        await sink.write(USAGE, 0, records([usage(), odd]))
    (row,) = await place.ask('SELECT "user", error, attributes::text AS open FROM usage WHERE log_offset = 1')
    assert row == {"user": "a�b", "error": "�", "open": '{"k�": "v\\\\u0000�"}'}
    assert await place.value('SELECT calls FROM usage_by_day WHERE "user" = $1', "a�b") == 1


async def test_sums_beyond_64_bits_stay_at_their_end(place: Place) -> None:
    """An absurd price stops neither the partition nor the sums of others."""
    async with place.sink() as sink:
        await sink.open(USAGE)
        await sink.write(USAGE, 0, records([usage(cost_nano_usd=2**63 - 1), usage(cost_nano_usd=2**63 - 1)]))
        await sink.write(USAGE, 2, records([usage(user="ann", cost_nano_usd=1)], 2))
    rows = await place.ask('SELECT cost_nano_usd FROM usage_by_hour ORDER BY "user"')
    assert [row["cost_nano_usd"] for row in rows] == [2**63 - 1, 1]


async def test_what_workers_refuse_is_no_row(place: Place) -> None:
    """A wrong key, a time that cannot be meant, a header that is no text: refused for the same reason, in every topic they fold."""
    good = record(usage(), 0)
    bad = [
        replace(good, offset=1, key=b"other"),
        replace(good, offset=2, timestamp=good.timestamp + 400 * 86_400_000),
        replace(good, offset=3, headers=(("\udcff", b""),)),
    ]
    lost = replace(record(budget("acme", 1), 0), key=None)
    async with place.sink() as sink:
        await sink.open(USAGE)
        await sink.write(USAGE, 0, [good, *bad, record(usage(), 4)])
        await sink.open(Partition("budgets", 0))
        await sink.write(Partition("budgets", 0), 0, [lost])
    assert [(row["log_offset"], row["reason"]) for row in await place.ask(REFUSED)] == [
        (0, "null_key"),
        (1, "wrong_key"),
        (2, "time_out_of_range"),
        (3, "bad_header"),
    ]
    assert await place.value("SELECT sum(calls)::int FROM usage_by_hour") == 2
    assert await place.value("SELECT count(*) FROM budgets") == 0
