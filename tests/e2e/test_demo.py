"""`interlock demo` as a user runs it: it proves itself, it notices when the proof fails, it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path

import psutil
import pytest

SHORT = {"minutes": "6", "speed": "40"}
"""About nine seconds of traffic."""

WITHIN_S = 110.0


def names_in(folder: Path) -> list[str]:
    """What lies in the folder."""
    return sorted(path.name for path in folder.iterdir())


def kept_ledgers(folder: Path) -> list[Path]:
    """Ledgers of a demo that kept them."""
    return list(folder.glob("interlock-demo-*/gateway-*.ledger.jsonl"))


async def started(folder: Path, *argv: str) -> Process:
    """A Python of ours, its temporary files in the folder."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *argv, stdout=PIPE, stderr=STDOUT, env=os.environ | {"TMPDIR": str(folder)}
    )


async def ended(process: Process) -> tuple[int, str]:
    """Its exit code and all that it said."""
    async with asyncio.timeout(WITHIN_S):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def said_so(process: Process, words: str) -> str:
    """All that it said up to the line with these words."""
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(WITHIN_S):
        while words not in said:
            line = (await process.stdout.readline()).decode()
            assert line, said
            said += line
    return said


async def test_a_demo_proves_that_nothing_was_lost_or_doubled(tmp_path: Path) -> None:
    """With a killed worker and a flushed Redis, ledgers, log and live state are equal; the table is in a file too."""
    report_path = tmp_path / "report.json"
    options = [part for name, value in SHORT.items() for part in (f"--{name}", value)]
    process = await started(tmp_path, "api.cli", "demo", *options, "--report", str(report_path))
    code, said = await ended(process)
    assert code == 0, said
    assert "PROVED: all" in said
    report = json.loads(report_path.read_text())
    assert report["equal"] is True
    assert report["inequalities"] == []
    for flow in report["events"]:
        assert flow["appended"] == flow["folded"] > 0
        assert (flow["lost"], flow["doubled"]) == (0, 0)
        assert flow["on_log"] == flow["appended"] + flow["repeated"]
    assert {row["tenant"] for row in report["spend"]} == {"acme", "globex", "initech", "umbrella"}
    assert all(row["ledgers_usd"] == row["log_usd"] == row["live_usd"] for row in report["spend"])
    assert {event["to"] for line in report["breakers"].values() for event in line} >= {"OPEN", "HALF_OPEN"}
    assert [fault["name"] for fault in report["faults"]] == ["worker killed", "Redis flushed"]
    reached = report["outage_reached_gateways"]
    assert reached["undisturbed"]["sights"] + reached["during_faults"]["sights"] > 0
    assert names_in(tmp_path) == ["report.json"]


async def test_a_demo_that_was_tampered_with_fails(tmp_path: Path) -> None:
    """A cent more in Redis and a call that never was in a ledger are both named, and the exit code is 1."""
    report_path = tmp_path / "report.json"
    options = [f"{name}={value}" for name, value in SHORT.items()]
    process = await started(tmp_path, "tests.e2e.tampered_demo", *options, f"report={report_path}")
    code, said = await ended(process)
    assert code == 1, said
    assert "NOT PROVED" in said
    inequalities = json.loads(report_path.read_text())["inequalities"]
    for name, about in (
        ("spend by tenant, ledgers = live: acme", ""),
        ("spend by tenant, ledgers = live: globex", ""),
        ("spend by tenant, ledgers = log: globex", ""),
        ("usage events, ledgers = log: 1 are not on the log", "018bcfe5-687b-7abc-8def-0123456789ab"),
        ("usage events, nothing lost or doubled: 1 lost", ""),
    ):
        assert any(line.startswith(name) and about in line for line in inequalities), (name, inequalities)
    assert len(kept_ledgers(tmp_path)) == 3


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, order: signal.Signals) -> None:
    """Ctrl-C ends every process of it and takes its files away."""
    process = await started(tmp_path, "api.cli", "demo", "--report", str(tmp_path / "report.json"))
    await said_so(process, "Starting 3 gateways")
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 4
    process.send_signal(order)
    code, said = await ended(process)
    assert code == 130, said
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    assert names_in(tmp_path) == []
