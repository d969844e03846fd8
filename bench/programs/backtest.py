"""One backtest of a policy in which much is otherwise, with what it used of the machine."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import replace

import uvloop

from api.cli.garbage import collect_seldom
from bench.usage_records import DEPLOYMENTS, monthly_budgets
from events.codec import Codec
from events.provider_changed import BreakerPolicy
from events.reader import LogReader
from events.registry import FolderRegistry
from events.settings import LogSettings
from processors.backtest.policy import TriedPolicy
from processors.backtest.prices import Prices
from processors.backtest.run import Backtest
from projections.live.provider import ProviderSettings

STRICT = BreakerPolicy(consecutive_failures=3, failure_rate=0.3, open_for_s=10)
LOWER_LIMIT_NANO_USD = 10_000_000_000
CHANGED_BUDGETS = 20


async def backtest(log: LogSettings) -> dict[str, object]:
    """Seconds and CPU from the first read to the outcome."""
    codec = Codec(FolderRegistry())
    reader = LogReader(log)
    budgets = [
        replace(event, limit_nano_usd=LOWER_LIMIT_NANO_USD) for event in monthly_budgets(0)[:CHANGED_BUDGETS]
    ]
    policy = TriedPolicy(
        {
            name: ProviderSettings(provider=name, version=1, breaker_policy=STRICT)
            for name in {name for name, _, _ in DEPLOYMENTS}
        },
        tuple(budgets),
        Prices(from_list=True),
    )
    collect_seldom()
    cpu_s, wall_s = time.process_time(), time.monotonic()
    outcome = await Backtest(log, reader, codec, policy).run()
    return {
        "events": outcome.counted.total,
        "is_reproduced": outcome.is_reproduced,
        "changes_nothing": outcome.changes_nothing,
        "added": sum(run.added.count for run in outcome.deployments.values()),
        "cpu_s": time.process_time() - cpu_s,
        "wall_s": time.monotonic() - wall_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(backtest(LogSettings.model_validate_json(sys.argv[1])))))
