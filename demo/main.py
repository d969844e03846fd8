"""The demo, from the options to the exit code."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from api.logs import set_up_logging
from demo.errors import BrokenRunError
from demo.narrator import time_text
from demo.options import DemoOptions
from demo.play import BeforeProof, Play
from demo.report import write_report
from demo.scenario import Scenario, scenario_of
from demo.stage import Stage
from demo.tables import print_report
from embedded.errors import EmbeddedError
from events.errors import EventsError
from projections.errors import ProjectionError

BROKEN = (BrokenRunError, EmbeddedError, EventsError, ProjectionError)


async def nothing(stage: Stage) -> None:
    """What usually happens before the proof."""


async def run(options: DemoOptions, before_proof: BeforeProof = nothing) -> int:
    """Play, prove, report. 0 when all is equal, 1 when anything is not or a part of the run broke.

    Raises BadInputError when the options or files cannot be played. However it ends, nothing is left running.
    """
    set_up_logging("CRITICAL")
    console = Console(highlight=False)
    scenario = scenario_of(options)
    _introduce(console, options, scenario)
    started_s = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="interlock-demo-"))
    keep = False
    try:
        with _ended_in_order():
            evidence = await Play(console, options, scenario).perform(folder, before_proof)
        keep = bool(evidence.proof.inequalities)
        elapsed_s = time.monotonic() - started_s
        write_report(options, scenario, evidence, elapsed_s)
        print_report(console, options, evidence, elapsed_s)
    except BROKEN as error:
        keep = True
        console.print(
            f"The run broke, so nothing is proved: {error}", style="red", markup=False, soft_wrap=True
        )
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if keep:
        console.print(
            f"The ledgers and the logs of all processes are in {folder}", markup=False, soft_wrap=True
        )
    return 1 if keep else 0


def _introduce(console: Console, options: DemoOptions, scenario: Scenario) -> None:
    source = f"seed {options.seed}" if options.trace is None else str(options.trace)
    span_s = (scenario.requests[-1].at_us - options.at_us) / 1_000_000
    console.print(
        f"Interlock demo: {len(scenario.requests):,} requests from {source}, {span_s / 60:.0f} minutes of history"
        f" from {time_text(options.at_us)} on, played {scenario.speed:.0f} times as fast.",
        markup=False,
        soft_wrap=True,
    )
    for outage in scenario.outages:
        console.print(
            f"  outage: {outage.provider} {time_text(outage.start_us)} to {time_text(outage.end_us)}, "
            f"{outage.failure_share:.0%} of calls fail (impact {outage.impact}): {outage.title}",
            markup=False,
            soft_wrap=True,
        )


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run in order, also where a script's shell has SIGINT ignored for what it runs behind."""
    loop, running = asyncio.get_running_loop(), asyncio.current_task()
    assert running is not None
    orders = (signal.SIGINT, signal.SIGTERM)
    for order in orders:
        loop.add_signal_handler(order, running.cancel)
    try:
        yield
    except asyncio.CancelledError:
        if running.cancelling():
            raise KeyboardInterrupt from None
        raise
    finally:
        for order in orders:
            loop.remove_signal_handler(order)
