"""Plans made of real stores and carried out on them: what goes, what stays, and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import pytest

from embedded.postgres import PostgresServer
from events.action_audited import AuditResult
from events.settings import LogSettings
from projections.archive.verify import verify
from projections.history.settings import HistorySettings
from projections.history.sink import HistorySink
from projections.retention.apply import ALONE
from projections.retention.errors import BusyError
from projections.retention.postgres import session, time_us
from projections.retention.steps import DeleteRows, DeleteSegment, DropMonth, PackMonth
from tests.integration.log import CODEC
from tests.integration.retention.place import (
    DAY_US,
    NOW_US,
    Place,
    place,
    policies,
    usage_at,
    usage_over_months,
)

pytestmark = pytest.mark.any_broker

QUARTER = "store: history\ntopics: [usage]\nolder_than: 90d\n"


@pytest.fixture
async def filled(postgres: PostgresServer, log_settings: LogSettings, tmp_path: Path) -> AsyncIterator[Place]:
    """Two hundred days of usage, in the history and in the archive."""
    async with place(postgres, log_settings, tmp_path) as found:
        await found.fill(usage_over_months())
        yield found


async def test_whole_months_go_and_their_sums_stay(filled: Place) -> None:
    """Months that are wholly past the limit are dropped; younger ones and all rollups are as they were."""
    before = await filled.rows()
    sums = await filled.rows("usage_by_day")
    found = await filled.plan(policies(QUARTER + "action: aggregate_then_delete"))
    assert [step.subject for step in found.steps] == [
        f"history/usage_y2023m0{month}" for month in (4, 5, 6, 7)
    ]
    assert all(isinstance(step, DropMonth) for step in found.steps)

    outcomes = await filled.apply(found)

    after = await filled.rows()
    august_us = 1_690_848_000_000_000
    assert after == [row for row in before if time_us(row["occurred_at"]) >= august_us]
    assert sum(outcome.rows for outcome in outcomes) == len(before) - len(after) == found.rows
    assert await filled.rows("usage_by_day") == sums
    assert not (await filled.plan(policies(QUARTER + "action: delete"))).steps


async def test_every_step_is_announced_and_ended(filled: Place) -> None:
    """Two audit events a step, tied by its id, with who, what, which policy and how many."""
    found = await filled.plan(policies(QUARTER + "action: delete"))
    await filled.apply(found)
    audit = await filled.audit()
    for step in found.steps:
        started, done = (event for event in audit if event.correlation_id == step.step_id)
        assert (started.result, done.result) == (AuditResult.STARTED, AuditResult.DONE)
        assert (done.actor, done.action, done.subject) == ("ops", "retention.drop_month", step.subject)
        assert done.attributes["policy"] == "p0"
        assert done.attributes["rows"] == str(step.rows)


async def test_rows_go_by_tenant_and_condition(filled: Place) -> None:
    """Only rows that the policy names go, to the microsecond of its limit; whole months are not touched for it."""
    before = await filled.rows()
    text = (
        "store: history\ntopics: [usage]\nolder_than: 30d\nprecision: row\naction: delete\n"
        "tenants: ['bank-*', 'gl?bex']\nexcept_tenants: [globex]\n"
        "where: outcome = 'SUCCESS' and (cost_nano_usd is null or cost_nano_usd > 60000180)"
    )
    found = await filled.plan(policies(text))
    assert {type(step) for step in found.steps} == {DeleteRows}
    await filled.apply(found)
    gone = [
        row
        for row in before
        if row["tenant"] == "bank-1"
        and row["outcome"] == "SUCCESS"
        and (row["cost_nano_usd"] is None or row["cost_nano_usd"] > 60_000_180)
        and time_us(row["occurred_at"]) < NOW_US - 30 * DAY_US
    ]
    assert gone
    assert await filled.rows() == [row for row in before if row not in gone]
    assert found.rows == len(gone)


async def test_the_newest_are_kept_by_count(filled: Place) -> None:
    """By the row: exactly so many of a tenant stay, the newest."""
    text = "store: history\ntopics: [usage]\nmore_than: 10\nprecision: row\ntenants: [acme]\naction: delete"
    before = [row for row in await filled.rows() if row["tenant"] == "acme"]
    await filled.apply(await filled.plan(policies(text)))
    after = [row for row in await filled.rows() if row["tenant"] == "acme"]
    newest = sorted(before, key=lambda row: time_us(row["occurred_at"]))[-10:]
    assert sorted(after, key=lambda row: time_us(row["occurred_at"])) == newest


async def test_what_the_archive_does_not_hold_stays(
    postgres: PostgresServer, log_settings: LogSettings, tmp_path: Path
) -> None:
    """Rows that are in the history and not yet in a closed segment are held back, with the reason; then they go."""
    async with place(postgres, log_settings, tmp_path) as found:
        await found.append(usage_over_months())
        await found.feed(found.history_sink)
        wanted = policies(QUARTER + "action: delete")
        plan = await found.plan(wanted)
        assert not plan.steps
        assert len(plan.held_back) == 4
        assert "the archive holds of usage-" in plan.held_back[0].why
        await found.feed(found.archive_sink)
        assert len((await found.plan(wanted)).steps) == 4


async def test_a_segment_whose_file_is_torn_holds_nothing(filled: Place) -> None:
    """What only a manifest says and no file has is not archived."""
    assert filled.archive.folder is not None
    for path in filled.archive.folder.rglob("topic=usage/**/*.avro"):
        path.write_bytes(path.read_bytes()[:-1])
    plan = await filled.plan(policies(QUARTER + "action: delete"))
    assert not plan.steps
    assert plan.held_back


async def test_archived_means_read_back(filled: Place) -> None:
    """The action `archive` reads the segments first: one altered byte, and the rows stay."""
    assert filled.archive.folder is not None
    found = await filled.plan(policies(QUARTER + "action: archive"))
    for path in filled.archive.folder.rglob("topic=usage/**/*.avro"):
        raw = bytearray(path.read_bytes())
        raw[-30] ^= 1
        path.write_bytes(raw)
    before = await filled.rows()
    outcomes = await filled.apply(found)
    assert {outcome.result for outcome in outcomes} == {AuditResult.REFUSED}
    assert "interlock archive verify" in outcomes[0].detail
    assert await filled.rows() == before


async def test_what_a_projection_has_not_consumed_stays(filled: Place, postgres: PostgresServer) -> None:
    """A second store that was never fed keeps everything where it is, and is named."""
    settings = HistorySettings(postgres_dsn=postgres.address, schema_name="behind")
    behind = HistorySink(settings, CODEC, filled.log)
    try:
        filled.more_sinks.append(behind)
        wanted = policies(QUARTER + "action: delete")
        plan = await filled.plan(wanted)
        assert not plan.steps
        assert "history has consumed usage-" in plan.held_back[0].why
        await filled.feed(behind)
        assert (await filled.plan(wanted)).steps
    finally:
        await behind.close()


async def test_a_late_row_is_not_dropped_with_its_month(filled: Place) -> None:
    """Between plan and apply a late call comes into a month: the step is refused, and the next plan has it."""
    wanted = policies(QUARTER + "action: delete")
    found = await filled.plan(wanted)
    await filled.append([usage_at(120, "late")])
    await filled.feed(filled.history_sink)
    outcomes = await filled.apply(found)
    refused = [outcome for outcome in outcomes if outcome.result is AuditResult.REFUSED]
    assert [outcome.step.subject for outcome in refused] == ["history/usage_y2023m07"]
    assert "late" in {row["tenant"] for row in await filled.rows()}
    assert not (await filled.plan(wanted)).steps
    await filled.feed(filled.archive_sink)
    await filled.apply(await filled.plan(wanted))
    assert "late" not in {row["tenant"] for row in await filled.rows()}


async def test_late_rows_that_come_while_months_are_dropped_all_stay(filled: Place) -> None:
    """The sink writes into the very months that go, at the same time: nothing of it is lost, and neither gives up."""
    found = await filled.plan(policies(QUARTER + "action: aggregate_then_delete"))

    async def write_late() -> None:
        for number in range(15):
            await filled.append([usage_at(100 + 20 * (number % 5), "late") for _ in range(10)])
            await filled.feed(filled.history_sink)

    outcomes, _ = await asyncio.gather(filled.apply(found), write_late())
    assert {outcome.result for outcome in outcomes} <= {AuditResult.DONE, AuditResult.REFUSED}
    late = [row for row in await filled.rows() if row["tenant"] == "late"]
    assert len(late) == 150
    calls = await filled.connection.fetchval("SELECT sum(calls) FROM usage_by_day WHERE tenant = 'late'")
    assert calls == 150


async def test_rows_stay_until_their_sums_are_there(filled: Place) -> None:
    """Aggregate, then delete: a day that the rollups lack keeps its month."""
    await filled.connection.execute("DELETE FROM usage_by_day WHERE bucket < '2023-05-15'")
    before = await filled.rows()
    found = await filled.plan(policies(QUARTER + "action: aggregate_then_delete"))
    outcomes = await filled.apply(found)
    assert [outcome.result for outcome in outcomes] == [
        AuditResult.REFUSED,
        AuditResult.REFUSED,
        AuditResult.DONE,
        AuditResult.DONE,
    ]
    assert "the rollups have 0 calls of 2023-0" in outcomes[0].detail
    kept = [row for row in before if row["occurred_at"].month < 6]
    assert [row for row in await filled.rows() if row["occurred_at"].month < 6] == kept


async def test_exported_rows_are_read_back_by_duckdb(filled: Place) -> None:
    """Parquet files that hold every row and column of what went, equal to the last nano-dollar and microsecond."""
    before = await filled.rows()
    await filled.apply(await filled.plan(policies(QUARTER + "action: export")))
    after = await filled.rows()
    gone = [row for row in before if row not in after]
    files = sorted((filled.retention.exports or Path()).rglob("*.parquet"))
    assert len(files) == 4
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        names = [str(file) for file in files]
        read = database.execute(
            "SELECT * REPLACE (epoch_us(occurred_at) AS occurred_at, epoch_us(appended_at) AS appended_at) "
            "FROM read_parquet(?) ORDER BY log_partition, log_offset",
            [names],
        )
        columns = [column[0] for column in read.description or ()]
        found = [dict(zip(columns, values, strict=True)) for values in read.fetchall()]
    assert found == [_as_exported(dict(row)) for row in gone]


def _as_exported(row: dict[str, object]) -> dict[str, object]:
    times = {name: time_us(row[name]) for name in ("occurred_at", "appended_at")}  # type: ignore[arg-type]
    return row | times | {"event_id": str(row["event_id"])}


async def test_two_do_not_apply_at_once(filled: Place) -> None:
    """Who comes second is refused, and nothing is exported twice."""
    found = await filled.plan(policies(QUARTER + "action: export"))
    before = await filled.rows()
    async with session(filled.history, filled.retention) as other:
        assert await other.fetchval(ALONE)
        with pytest.raises(BusyError):
            await filled.apply(found)
    assert await filled.rows() == before
    outcomes = await filled.apply(found)
    assert {outcome.result for outcome in outcomes} == {AuditResult.DONE}


async def test_an_export_is_never_replaced_by_less(filled: Place) -> None:
    """A plan from before its rows went does not empty the file that has them."""
    text = "store: history\ntopics: [usage]\nolder_than: 60d\ntenants: [acme]\naction: export"
    found = await filled.plan(policies(text))
    await filled.apply(found)
    files = {path: path.read_bytes() for path in (filled.retention.exports or Path()).rglob("*.parquet")}
    outcomes = await filled.apply(found)
    assert {outcome.result for outcome in outcomes} == {AuditResult.REFUSED}
    assert "it stays" in outcomes[0].detail
    assert files
    assert all(path.read_bytes() == content for path, content in files.items())


async def test_without_a_folder_nothing_is_exported(filled: Place) -> None:
    """The plan says which setting is missing."""
    filled.retention = filled.retention.model_copy(update={"exports": None})
    plan = await filled.plan(policies(QUARTER + "action: export"))
    assert not plan.steps
    assert "set INTERLOCK_RETENTION__EXPORTS" in plan.held_back[0].why


async def test_a_month_is_packed_once(filled: Place) -> None:
    """Compress rewrites months in place: no row is lost, and a second plan has nothing to do."""
    wanted = policies(QUARTER + "action: compress")
    before = await filled.rows()
    found = await filled.plan(wanted)
    assert {type(step) for step in found.steps} == {PackMonth}
    outcomes = await filled.apply(found)
    assert {outcome.result for outcome in outcomes} == {AuditResult.DONE}
    assert await filled.rows() == before
    assert not (await filled.plan(wanted)).steps


async def test_sums_go_after_their_rows(filled: Place) -> None:
    """Months of rollups whose raw rows are still there stay; once these are gone they go."""
    wanted = policies("store: rollups\nolder_than: 90d\naction: delete")
    assert not (await filled.plan(wanted)).steps
    await filled.apply(await filled.plan(policies(QUARTER + "action: delete")))
    found = await filled.plan(wanted)
    assert len(found.steps) == 3 * 4
    await filled.apply(found)
    assert min(row["bucket"] for row in await filled.rows("usage_by_day")).month == 8
    assert not (await filled.plan(wanted)).steps


async def test_a_month_that_was_dropped_is_made_again_for_a_late_call(filled: Place) -> None:
    """The sink goes on writing into months that retention took away."""
    await filled.apply(await filled.plan(policies(QUARTER + "action: delete")))
    await filled.append([usage_at(150, "late")])
    await filled.feed(filled.history_sink)
    assert "late" in {row["tenant"] for row in await filled.rows()}


async def test_the_oldest_segments_go_and_the_chain_holds(filled: Place) -> None:
    """Segments are retired from the oldest on; what is left verifies, and the newest always stays."""
    await filled.fill([usage_at(days / 10) for days in range(200)])
    plan = await filled.plan(policies("store: archive\ntopics: [usage]\nmore_than: 0\naction: delete"))
    assert not plan.steps
    assert "restored from the archive" in plan.held_back[0].why or "of the history has rows" in (
        plan.held_back[0].why
    )
    for number in range(filled.log.partitions):
        step = await _oldest(filled, number)
        if step is not None:
            outcomes = await filled.apply(type(plan)((step,)))
            assert outcomes[0].result is AuditResult.DONE, outcomes[0].detail
    assert filled.archive.folder is not None
    verified = await verify(filled.archive, lambda *_: None)
    assert not [finding for one in verified for finding in one.findings]


async def _oldest(filled: Place, number: int) -> DeleteSegment | None:
    """A step on a partition's oldest segment, if it has two."""
    from projections.retention.policy import Action
    from projections.retention.shelves import segments

    found = [one for one in segments(filled.archive) if str(one.place) == f"usage-{number}"]
    if len(found) < 2:
        return None
    oldest = found[0]
    return DeleteSegment(
        policy="p0",
        action=Action.DELETE,
        subject=oldest.subject,
        rows=oldest.records,
        bytes=oldest.bytes,
        place=oldest.place,
        span=oldest.span,
    )
