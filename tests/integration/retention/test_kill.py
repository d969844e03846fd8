"""Apply killed between any two steps, and run again: the end is the same as if it had never been interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from embedded.postgres import PostgresServer
from events.action_audited import AuditResult
from events.envelope import Event
from events.header_names import Header
from events.positions import Position
from events.publisher import Publisher
from events.settings import LogSettings
from projections.retention import apply_history
from projections.retention.policy import Policies
from tests.integration.log import CODEC
from tests.integration.retention.place import Place, place, policies, usage_over_months

pytestmark = pytest.mark.any_broker

POLICIES = (
    "store: history\ntopics: [usage]\nolder_than: 120d\naction: export",
    "store: history\ntopics: [usage]\nolder_than: 60d\nprecision: row\ntenants: [acme]\naction: export",
    "store: history\ntopics: [usage]\nolder_than: 90d\naction: aggregate_then_delete",
    "store: rollups\nolder_than: 90d\naction: delete",
)

OWN = ("event_id", "appended_at")
"""What differs from run to run of the same events."""


class KilledError(BaseException):
    """The process is no more."""


class DyingPublisher(Publisher):
    """Dies before or after one of its appends."""

    def __init__(self, settings: LogSettings, dies_at: int) -> None:
        super().__init__(settings, CODEC)
        self._left = dies_at

    async def append(self, events: Sequence[Event], headers: tuple[Header, ...] = ()) -> list[Position]:
        """Each append is two moments to die at: before it, and after it was acknowledged."""
        self._moment()
        positions = await super().append(events, headers)
        self._moment()
        return positions

    def _moment(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise KilledError


async def end_state(found: Place) -> dict[str, object]:
    """All that a run leaves behind: rows, rollups, exported rows, and how each step ended."""
    exports = found.retention.exports or Path()
    audit = await found.audit()
    return {
        "rows": [
            tuple(value for name, value in row.items() if name not in OWN) for row in await found.rows()
        ],
        "days": [tuple(row.values()) for row in await found.rows("usage_by_day")],
        "exported": sorted(
            (path.parent.name, path.name, pq.read_table(path).drop(list(OWN)).to_pylist())
            for path in exports.rglob("*")
            if path.is_file()
        ),
        "ended": sorted(
            (event.subject, event.action) for event in await found.audit() if event.result is AuditResult.DONE
        ),
        "open": {event.correlation_id for event in audit}
        - {event.correlation_id for event in audit if event.result is not AuditResult.STARTED},
    }


async def run_to_the_end(found: Place, wanted: Policies) -> None:
    """Until there is nothing to do: sums follow in the run after their rows. One more run ends what was interrupted."""
    for _ in range(6):
        plan = await found.plan(wanted)
        await found.apply(plan)
        if not plan.steps:
            return
    raise AssertionError("there is always something to do")


async def test_killed_at_every_moment_and_run_again(
    postgres: PostgresServer, log_settings: LogSettings, tmp_path: Path
) -> None:
    """Each run dies one moment later than the one before; what they leave together is what one whole run leaves."""
    wanted = policies(*POLICIES)
    async with place(postgres, log_settings, tmp_path / "whole") as whole:
        await whole.fill(usage_over_months())
        await run_to_the_end(whole, wanted)
        expected = await end_state(whole)
    other_log = log_settings.model_copy(update={"topic_prefix": f"{log_settings.topic_prefix}killed."})
    async with place(postgres, other_log, tmp_path / "killed") as found:
        await found.fill(usage_over_months())
        for dies_at in range(8):
            async with DyingPublisher(found.log, dies_at) as dying:
                with pytest.raises(KilledError):
                    await found.apply(await found.plan(wanted), publisher=dying)
        await run_to_the_end(found, wanted)
        assert await end_state(found) == expected
    assert expected["open"] == set()


async def test_killed_between_export_and_delete(
    postgres: PostgresServer,
    log_settings: LogSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file is there and the rows are too: the next run writes it anew, under the same name, and only then they go."""
    wanted = policies(POLICIES[0])
    async with place(postgres, log_settings, tmp_path) as found:
        await found.fill(usage_over_months())
        before = await found.rows()

        async def die(*_: object) -> int:
            raise KilledError

        with monkeypatch.context() as patched:
            patched.setattr(apply_history, "_take", die)
            with pytest.raises(KilledError):
                await found.apply(await found.plan(wanted))
        exports = found.retention.exports or Path()
        [left] = [path for path in exports.rglob("*") if path.is_file()]
        assert await found.rows() == before

        await run_to_the_end(found, wanted)
        files = [path for path in exports.rglob("*") if path.is_file()]
        assert left in files
        exported = sum(pq.read_metadata(path).num_rows for path in files)
        assert exported == len(before) - len(await found.rows()) > 0
