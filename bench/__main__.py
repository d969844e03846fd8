"""`python -m bench [--only NAME [--events N]] [--kafka]`: tables as it goes, and in the last line one JSON object with every figure."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from bench import (
    append,
    archive,
    backtest,
    breaker_check,
    fold,
    history,
    memory,
    open_seen,
    rebuild,
    rebuild_5m,
    search,
    series,
    slowdown,
    verify,
)
from bench.lab import open_lab

MEASURES: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
    "fold": fold.run,
    "append": append.run,
    "open_seen": open_seen.run,
    "breaker_check": breaker_check.run,
    "history": history.run,
    "series": series.run,
    "search": search.run,
    "archive": archive.run,
    "rebuild": rebuild.run,
    "rebuild_5m": rebuild_5m.run,
    "slowdown": slowdown.run,
    "verify": verify.run,
    "backtest": backtest.run,
    "memory": memory.run,
}
ONLY_WHEN_NAMED = frozenset({"memory", "rebuild_5m"})
SIZED = ("rebuild_5m", "slowdown")
"""Those that can be asked for with fewer events."""
HEADLINES = (
    "fold_vs_decode",
    "fold_vs_stock_faust",
    "append_vs_produce",
    "open_seen_p99_ms",
    "open_seen_busy_p99_ms",
    "breaker_check_us",
    "archive_vs_zstd",
    "history_vs_copy",
    "series_p95_ms",
    "search_p95_ms",
    "rebuild_vs_decode",
    "rebuild_5m_s",
    "live_slowdown",
    "verify_core_share",
    "backtest_events_per_s",
)


async def measure(names: list[str], *, on_kafka: bool = False, **sizes: int) -> dict[str, Any]:
    """Each measure on servers of its own."""
    figures: dict[str, Any] = {}
    for name in names:
        async with open_lab(on_kafka=on_kafka) as lab:
            figures[name] = await MEASURES[name](lab, **sizes)
    found = {key: value for each in figures.values() for key, value in each.items() if key in HEADLINES}
    return {**found, **figures}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", choices=sorted(MEASURES))
    parser.add_argument("--events", type=int, help=f"for a quick look, with --only {' or '.join(SIZED)}")
    parser.add_argument(
        "--kafka", action="store_true", help="on Apache Kafka, not on the embedded broker (Java, Maven)"
    )
    asked = parser.parse_args()
    if asked.events is not None and (asked.only not in SIZED or asked.events < 1):
        parser.error(f"--events takes a number above 0, and goes with --only {' or '.join(SIZED)}")
    names = [asked.only] if asked.only else [name for name in MEASURES if name not in ONLY_WHEN_NAMED]
    sizes = {} if asked.events is None else {"events": asked.events}
    print(json.dumps(asyncio.run(measure(names, on_kafka=asked.kafka, **sizes))))


if __name__ == "__main__":
    main()
