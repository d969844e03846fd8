"""The schema of the history: built and taken back by steps, beside another one, in step with the events."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from events.alert_raised import AlertKind, AlertRaised, AlertSeverity
from events.dead_lettered import DeadLettered, RecordHeader
from events.ids import uuid7
from events.positions import Partition
from events.routing_decided import Candidate, RoutingDecided
from projections.history.migrations.migrate import current_revision, downgrade, newest_revision, upgrade
from projections.history.months import month_of, partition_name
from projections.history.tables import derive_tables
from tests.integration.history.place import USAGE, Place, record, records
from tests.integration.log import NOW_US, usage

COLUMNS = """
    SELECT column_name, data_type, is_nullable = 'YES' AS nullable FROM information_schema.columns
    WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position
"""


async def test_the_tables_have_a_column_for_every_field_of_the_newest_schemas(place: Place) -> None:
    """A field that is added to a schema needs a migration: names, types and nullability agree."""
    await upgrade(str(place.settings.postgres_dsn), place.settings.schema_name)
    for table in derive_tables().values():
        found = await place.ask(COLUMNS, place.settings.schema_name, table.name)
        assert {row["column_name"]: (row["data_type"], row["nullable"]) for row in found} == {
            column.name: (column.sql_type, column.nullable) for column in table.columns
        }


async def test_the_steps_go_forwards_and_backwards_beside_a_second_schema(place: Place) -> None:
    """Processes that start together take the steps once; taking them back leaves the other schema alone."""
    dsn, name = str(place.settings.postgres_dsn), place.settings.schema_name
    await asyncio.gather(*(upgrade(dsn, schema) for schema in (name, name, f"{name}_next")))
    assert await current_revision(dsn, name) == newest_revision()
    await downgrade(dsn, name)
    assert await current_revision(dsn, name) is None
    tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = $1"
    assert await place.value(tables, name) == 1  # alembic's own
    assert await place.value(tables, f"{name}_next") > 30
    await upgrade(dsn, name)
    assert await current_revision(dsn, name) == newest_revision()


async def test_months_are_there_ahead_of_time(place: Place) -> None:
    """The current month and those of the setting have partitions before an event asks for them."""
    async with place.sink() as sink:
        await sink.open(USAGE)
        await sink.tick()
    (now,) = await place.ask("SELECT extract(epoch FROM now())::bigint * 1000000 AS us")
    names = [partition_name("usage_by_day", month_of(now["us"] + days * 86_400_000_000)) for days in (0, 32)]
    for name in names:
        assert await place.value("SELECT to_regclass($1) IS NOT NULL", name)


async def test_the_filters_of_a_month_begin_without_its_first_pages(place: Place) -> None:
    """They are made once of many rows, not widened by each; what is asked for is found before and after."""
    async with place.sink() as sink:
        await sink.open(USAGE)
        await sink.write(USAGE, 0, records([usage()]))
    find = "SELECT count(*) FROM usage WHERE request_id = (SELECT request_id FROM usage)"
    summarize = (
        "SELECT sum(brin_summarize_new_values(indexrelid)) FROM pg_index JOIN pg_class ON oid = indexrelid "
        "WHERE indrelid = 'usage_y2023m11'::regclass AND relam = (SELECT oid FROM pg_am WHERE amname = 'brin')"
    )
    assert await place.value(find) == 1
    assert await place.value(summarize) == 1
    assert await place.value(find) == 1


async def test_a_month_that_was_detached_is_made_anew_for_a_late_event(place: Place) -> None:
    """Retention takes a month away under a sink at work; what comes late for it is written all the same."""
    async with place.sink() as sink:
        await sink.open(USAGE)
        await sink.write(USAGE, 0, records([usage()]))
        await place.ask("ALTER TABLE usage DETACH PARTITION usage_y2023m11")
        await place.ask("DROP TABLE usage_by_hour_y2023m11")
        await sink.write(USAGE, 1, records([usage()], 1))
    assert await place.value("SELECT count(*) FROM usage_y2023m11") == 1
    assert await place.value("SELECT count(*) FROM usage_y2023m11_2") == 1


async def test_every_kind_of_event_has_its_row(place: Place) -> None:
    """Arrays and records are JSON, bytes in them base64, reserved words are columns like others."""
    envelope: dict[str, Any] = {"occurred_at": NOW_US, "source": "test", "tenant": "acme"}
    letter = DeadLettered(
        event_id=uuid7(NOW_US, b"0123456789"),
        letter_id="x",
        topic="interlock.usage",
        partition=3,
        offset=9,
        record_time=NOW_US,
        reason="bad_avro",
        detail="broke off",
        consumer="worker",
        key=b"k",
        headers=(RecordHeader(name="h", value=b"\0\1"),),
        value=b"\0",
        **envelope,
    )
    routed = RoutingDecided(
        event_id=uuid7(NOW_US, b"1123456789"),
        request_id="r",
        provider="openai",
        model="gpt-4o",
        strategy="cost",
        candidates=(Candidate(deployment="openai/gpt-4o", breaker_state="CLOSED", verdict="chosen"),),
        **envelope,
    )
    alert = AlertRaised(
        event_id=uuid7(NOW_US, b"2123456789"),
        kind=AlertKind.OTHER,
        severity=AlertSeverity.INFO,
        subject="s",
        title="t",
        **envelope,
    )
    async with place.sink() as sink:
        for event, topic, number in (
            (letter, "dead-letters", 2),
            (routed, "routing", 0),
            (alert, "alerts", 2),
        ):
            partition = Partition(topic, number)
            await sink.open(partition)
            await sink.write(partition, 0, [replace(record(event, 0), partition=number)])
    (row,) = await place.ask('SELECT "offset", headers::text, value FROM dead_letters')
    assert row == {"offset": 9, "headers": '[{"name": "h", "value": "AAE="}]', "value": b"\0"}
    assert await place.value("SELECT candidates->0->>'verdict' FROM routing") == "chosen"
    assert await place.value("SELECT fallback_chain::text FROM routing") == "[]"
    assert await place.value("SELECT log_partition FROM alerts") == 2
