"""`interlock backtest` as a user runs it, over what a worker has left on a real log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from events.broker import create_topics
from events.settings import LogSettings
from tests.e2e.console import Console
from tests.integration.crew import environment_of
from tests.integration.live_server import live_server
from tests.integration.rebuild.site import history
from tests.integration.rig import Rig, settings_of_worker

pytestmark = pytest.mark.any_broker

AS_IT_WAS = "version: 1\n"
OTHERWISE = """
version: 1
providers:
  anthropic: {breaker_policy: {consecutive_failures: 2}}
budgets:
  thrifty: {monthly: {limit_usd: "0.00000005"}}
prices:
  models: {openai/gpt-4o: {input_usd_per_mtok: "0", output_usd_per_mtok: "0", request_usd: "1"}}
"""


@pytest.fixture
async def rig(log_address: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """A log with a history of every kind; the worker that has folded it is gone."""
    async with (
        live_server(tmp_path) as server,
        Rig(settings_of_worker(log_address), server.settings()) as opened,
    ):
        async with opened.worker():
            await history(opened)
        yield opened


@pytest.fixture
def console(rig: Rig, tmp_path: Path) -> Console:
    """A shell whose settings name the log and nothing else: a backtest asks no other store."""
    (tmp_path / "same.yaml").write_text(AS_IT_WAS)
    (tmp_path / "new.yaml").write_text(OTHERWISE)
    return Console(tmp_path, environment_of("LOG", rig.log))


async def test_a_user_tries_a_policy_and_reads_what_would_have_been(
    rig: Rig, console: Console, tmp_path: Path
) -> None:
    """The recorded settings lead to what is on the log; others do not, and the report and JSON tell how, twice the same."""
    plain = (await console.succeeds("backtest", "--policy", "same.yaml", "--json")).json
    assert plain["changes_nothing"]
    assert plain["reproduced"]["is_exact"], plain["reproduced"]
    transitions = {(one.deployment, one.version) for one in await rig.events("breakers")}
    assert plain["breakers"]["same"] == len(transitions)

    told = [
        await console.succeeds("backtest", "--policy", "new.yaml", "--json", "--report", "report.html")
        for _ in range(2)
    ]
    assert told[0].out == told[1].out
    assert "the report is in report.html" in told[0].err
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    found = told[0].json
    assert found["reproduced"]["is_exact"]
    [claude] = [one for one in found["breakers"]["deployments"] if one["deployment"] == "anthropic/claude"]
    assert "CONSECUTIVE_FAILURES" in {one["cause"] for one in claude["added"]["transitions"]}
    assert {one["percent"] for one in found["budgets"]["alerts"]["added"]} == {50, 80, 100}
    [dear] = [one for one in found["costs"]["by_model"] if one["provider"] == "openai"]
    assert float(dear["tried_usd"]) == dear["calls"]

    table = await console.succeeds("backtest", "--policy", "new.yaml")
    assert "The policy would have decided otherwise." in table.out
    assert "anthropic/claude" in table.out

    position = f"usage-0:{max((await rig.reader.ends('usage'))[0] - 1, 0)}"
    late = (await console.succeeds("backtest", "--policy", "new.yaml", "--from", position, "--json")).json
    assert late["from"] is not None
    assert late["costs"]["total"]["calls"] < found["costs"]["total"]["calls"]


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (("--policy", "same.yaml", "--from", "yesterday"), 2, "neither a time"),
        (("--policy", "same.yaml", "--from", "usage-0:999999"), 3, "no record is at usage-0:999999"),
    ],
)
async def test_what_cannot_be_is_said_in_a_line(
    log_settings: LogSettings, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """With the exit code that scripts look at."""
    await create_topics(log_settings)
    (tmp_path / "same.yaml").write_text(AS_IT_WAS)
    ended = await Console(tmp_path, environment_of("LOG", log_settings)).run("backtest", *arguments)
    assert ended.code == code
    assert said in " ".join(ended.err.replace("│", " ").split())
