"""What lies beside the months: rows of times that cannot be, and records that were no events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from embedded.postgres import PostgresServer
from events.action_audited import AuditResult
from events.positions import Partition
from events.settings import LogSettings
from projections.retention.steps import DeleteRefused, DeleteRows
from tests.integration.history.place import Record
from tests.integration.log import CODEC, usage
from tests.integration.retention.place import DAY_US, NOW_US, Place, place, policies

pytestmark = pytest.mark.any_broker

USAGE = Partition("usage", 0)
YEAR_2101_US = 4_134_000_000_000_000
YEAR_2001_US = 1_000_000_000_000_000
REFUSED = "store: refused\ntopics: [usage]\nolder_than: 90d\naction: delete"
ROWS = "store: history\ntopics: [usage]\nolder_than: 90d\naction: delete"


def record(offset: int, days_ago: float, value: bytes) -> Record:
    """A record that was appended so many days ago."""
    at_ms = (NOW_US - int(days_ago * DAY_US)) // 1000
    return Record("interlock.usage", 0, offset, at_ms, b"acme", value)


@pytest.fixture
async def found(postgres: PostgresServer, log_settings: LogSettings, tmp_path: Path) -> AsyncIterator[Place]:
    """Bad records, and rows of 2101 and 2001, each appended long ago and just now; all of it archived but the last two."""
    late, early = (
        CODEC.encode(usage(occurred_at=YEAR_2101_US)),
        CODEC.encode(usage(occurred_at=YEAR_2001_US)),
    )
    values = [b"bad", late, early, b"bad", CODEC.encode(usage(occurred_at=YEAR_2101_US)), b"bad", b"bad"]
    ages = [200, 200, 200, 100, 1, 1, 100]
    records = [record(at, days, value) for at, (days, value) in enumerate(zip(ages, values, strict=True))]
    async with place(postgres, log_settings, tmp_path) as made:
        for sink, whole in ((made.history_sink, records), (made.archive_sink, records[:5])):
            await sink.open(USAGE)
            await sink.write(USAGE, 0, whole)
            await sink.drain()
        yield made


async def offsets(found: Place, table: str) -> list[int]:
    """Which records of the log the rows of a table are of."""
    rows = await found.connection.fetch(f"SELECT log_offset FROM {table} ORDER BY log_offset")
    return [row["log_offset"] for row in rows]


async def test_refused_records_go_by_the_time_of_the_record(found: Place) -> None:
    """Those that are old and archived; one that is not archived yet is held back, and a second run has nothing to do."""
    assert await offsets(found, "refused") == [0, 3, 5, 6]
    plan = await found.plan(policies(REFUSED))
    [step] = plan.steps
    assert isinstance(step, DeleteRefused)
    assert (step.subject, step.rows, step.first) == ("refused/usage", 2, ((0, 0),))
    assert step.bytes > 0
    [held] = plan.held_back
    assert (held.rows, "the archive holds of usage-0" in held.why) == (1, True)
    [outcome] = await found.apply(plan)
    assert (outcome.result, outcome.rows) == (AuditResult.DONE, 2)
    assert await offsets(found, "refused") == [5, 6]
    assert "retention.delete_refused" in {event.action for event in await found.audit()}
    assert not (await found.plan(policies(REFUSED))).steps


async def test_a_hold_keeps_what_was_refused(found: Place) -> None:
    """It may be of the tenant that is held: nobody can tell."""
    wanted = policies(REFUSED)
    held = wanted.model_validate(
        wanted.model_dump(mode="json", exclude={"policies"})
        | {"holds": [{"topics": ["usage"], "tenants": ["bank-*"], "reason": "case 17"}]}
    ).model_copy(update={"policies": wanted.policies})
    plan = await found.plan(held)
    assert not plan.steps
    assert "has no tenant" in plan.held_back[0].why


async def test_rows_of_impossible_times_go_too(found: Place) -> None:
    """What says that it is of 2001 is over any age; what says 2101 is as old as its record."""
    assert await offsets(found, "usage") == [1, 2, 4]
    plan = await found.plan(policies(ROWS))
    assert {(type(step), step.subject, step.rows) for step in plan.steps} == {
        (DeleteRows, "history/usage_early", 1),
        (DeleteRows, "history/usage_late", 1),
    }
    outcomes = await found.apply(plan)
    assert {outcome.result for outcome in outcomes} == {AuditResult.DONE}
    assert await offsets(found, "usage") == [4]
    assert not (await found.plan(policies(ROWS))).steps
