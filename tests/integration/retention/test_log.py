"""The log and the archive under retention, on a broker that deletes records when asked to."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded.postgres import PostgresServer
from events.action_audited import AuditResult
from events.positions import Partition
from events.settings import LogSettings
from projections.archive.verify import verify
from projections.retention.log_begin import held_by_log
from projections.retention.steps import CutLog, DeleteSegment
from tests.integration.conftest import BROKER
from tests.integration.retention.place import place, policies, usage_at, usage_over_months

FAR_AHEAD_US = 4_000_000_000_000_000
LOG = "store: log\ntopics: [usage]\nmore_than: 20\naction: delete"
ARCHIVE = "store: archive\ntopics: [usage]\nmore_than: 20\naction: delete"
HISTORY = "store: history\ntopics: [usage]\nmore_than: 0\naction: delete"


async def test_a_broker_that_cannot_cut_its_log_is_said_to(
    postgres: PostgresServer, log_settings: LogSettings, tmp_path: Path
) -> None:
    """Where DeleteRecords is not known, the plan says so and the log and its archive stay; where it is, they are planned."""
    async with place(postgres, log_settings, tmp_path) as found:
        await found.fill(usage_over_months())
        plan = await found.plan(policies(LOG, ARCHIVE))
        if BROKER == "kafka":
            assert plan.steps
        else:
            assert not plan.steps
            assert "the broker cannot delete records" in plan.held_back[0].why


@pytest.mark.kafka
async def test_the_log_is_cut_up_to_what_is_archived_and_consumed(
    postgres: PostgresServer, log_settings: LogSettings, tmp_path: Path
) -> None:
    """What came after the archive was closed stays on the log, however old; the rest goes, and a second plan is empty."""
    async with place(postgres, log_settings, tmp_path) as found:
        await found.fill(usage_over_months())
        ends = {one: span.end for one, span in (await held_by_log(found.log, ["usage"])).items()}
        await found.append(
            [usage_at(1, tenant) for tenant in ("acme", "bank-1", "globex") for _ in range(30)]
        )
        await found.feed(found.history_sink)
        wanted = policies(LOG)
        plan = await found.plan(wanted)
        assert plan.steps
        assert all(isinstance(step, CutLog) for step in plan.steps)
        outcomes = await found.apply(plan)
        assert {outcome.result for outcome in outcomes} == {AuditResult.DONE}
        for one, span in (await held_by_log(found.log, ["usage"])).items():
            assert span.start <= ends[one]
        assert not (await found.plan(wanted)).steps


@pytest.mark.kafka
async def test_segments_go_once_nothing_needs_them(
    postgres: PostgresServer, log_settings: LogSettings, tmp_path: Path
) -> None:
    """Rows of the history first, then the segments they lie in; the chain holds, and the sink goes on after it."""
    async with place(postgres, log_settings, tmp_path) as found:
        for part in range(3):
            await found.fill(usage_over_months()[part::3])
        assert {type(step) for step in (await found.plan(policies(ARCHIVE))).steps} == set()
        await found.apply(await found.plan(policies(HISTORY)))
        plan = await found.plan(policies(ARCHIVE))
        assert {type(step) for step in plan.steps} == {DeleteSegment}
        outcomes = await found.apply(plan)
        assert {outcome.result for outcome in outcomes} == {AuditResult.DONE}
        verified = await verify(found.archive, lambda *_: None)
        assert not [finding for one in verified for finding in one.findings]
        before = await found.archive_sink.positions()
        await found.fill([usage_at(0, "acme")])
        after = await found.archive_sink.positions()
        assert sum(after[Partition("usage", n)] - before[Partition("usage", n)] for n in (0, 1)) == 1


@pytest.mark.kafka
async def test_the_log_is_cut_by_age(
    postgres: PostgresServer, log_settings: LogSettings, tmp_path: Path
) -> None:
    """Only records older than the policy's age go: these are young, so none does."""
    async with place(postgres, log_settings, tmp_path) as found:
        await found.fill(usage_over_months())
        wanted = policies("store: log\ntopics: [usage]\nolder_than: 1h\naction: delete")
        assert not (await found.plan(wanted)).steps
        assert (await found.plan(wanted, FAR_AHEAD_US)).steps
