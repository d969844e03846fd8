"""`interlock retention` on a running stack: planned, killed while it works, run again, and told by the audit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cloud_events import usage
from tests.e2e.console import Console, running
from tests.integration.live_server import eventually

POLICIES = """\
version: 1
policies:
  - name: raw-usage
    store: history
    topics: [usage]
    older_than: 90d
    action: export
  - name: raw-usage-by-row
    store: history
    topics: [usage]
    tenants: [gone]
    older_than: 1d
    precision: row
    action: delete
"""
CONSUMED_WITHIN_S = 60.0


@pytest.fixture(scope="module")
async def console(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """A user beside whom `interlock up` runs, with a history and an archive."""
    folder = tmp_path_factory.mktemp("retention")
    (folder / "policies.yaml").write_text(POLICIES)
    environment = {
        "INTERLOCK_LOG__SESSION_TIMEOUT_S": "2",
        "INTERLOCK_ARCHIVE__SEGMENT_AGE_S": "0.2",
        "INTERLOCK_RETENTION__POLICIES": "policies.yaml",
        "INTERLOCK_RETENTION__EXPORTS": "exports",
    }
    user = Console(folder, environment)
    async with running(user, "--also", "postgres"):
        yield user


def call(days_ago: float, tenant: str) -> dict[str, Any]:
    """A call of so many days ago."""
    time = datetime.now(UTC) - timedelta(days=days_ago)
    return usage(tenant) | {"time": time.isoformat()}


async def test_plan_apply_killed_and_applied_again(console: Console, tmp_path: Path) -> None:
    """Old calls leave the history as Parquet, young ones stay, and every step is announced once and ended once."""
    events = [call(days, tenant) for days in range(2, 250, 8) for tenant in ("acme", "gone", "globex")]
    file = tmp_path / "usage.jsonl"
    file.write_bytes(b"\n".join(orjson.dumps(event) for event in events))
    await console.succeeds("events", "publish", str(file))

    async def planned() -> dict[str, Any]:
        found: dict[str, Any] = (await console.succeeds("retention", "plan", "--json")).json
        return found

    async def consumed() -> bool:
        found = await planned()
        return len(found["steps"]) > 3 and not found["held_back"]

    await eventually(consumed, within_s=CONSUMED_WITHIN_S)
    plan = await planned()
    assert "drop_month" in (await console.succeeds("retention", "plan")).out

    for moment in (
        "before projections.retention.apply_history:_take",
        "after projections.retention.apply_history:_take",
    ):
        await console.killed(moment, "retention", "apply", "--yes", "--json")
    outcomes = (await console.succeeds("retention", "apply", "--yes", "--json")).json
    assert {one["result"] for one in outcomes} <= {"DONE"}
    await console.succeeds("retention", "apply", "--yes", "--json")

    assert (await planned())["steps"] == []
    audit = await audited(console)
    by_step: dict[str, set[str]] = {}
    for event in audit:
        by_step.setdefault(event["correlation_id"], set()).add(event["result"])
    assert by_step.keys() >= {step["step_id"] for step in plan["steps"]}
    assert all(results == {"STARTED", "DONE"} for results in by_step.values())
    assert list((console.folder / "exports" / "usage").glob("*.parquet"))


async def test_a_wrong_policy_is_named_with_its_line(console: Console) -> None:
    """File, line and field on stderr, and the exit code of a wrong usage."""
    wrong = console.folder / "wrong.yaml"
    wrong.write_text(POLICIES.replace("90d", "90"))
    user = Console(console.folder, console.environment | {"INTERLOCK_RETENTION__POLICIES": "wrong.yaml"})
    ended = await user.run("retention", "plan")
    assert (ended.code, ended.out) == (2, "")
    assert "wrong.yaml:6: policies.0.older_than: 90 is not an age" in ended.err
    unknown = await console.run("retention", "plan", "--policy", "nonsense")
    assert unknown.code == 2
    assert "there are raw-usage, raw-usage-by-row" in unknown.err


async def audited(console: Console) -> list[dict[str, Any]]:
    """All audit events."""
    arguments = ("events", "tail", "audit", "--from", "start", "--until", "end", "--json")
    read = await console.succeeds(*arguments)
    return [orjson.loads(line)["event"] for line in read.out.splitlines()]
