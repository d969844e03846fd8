"""A gateway's side of a breaker: a cache that is pushed to, asked without waiting. Prints when it saw each one open."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import islice

import uvloop

from api.kinds import Kinds
from events.breaker_transitioned import BreakerState
from events.settings import LogSettings
from projections.live.breaker import Breaker, effective_state
from projections.live.cache import LiveCache
from projections.live.changes import Changes
from projections.live.store import LiveStore
from projections.settings import LiveSettings

LOOK_EVERY_S = 0.002
LOOK_AT = 10


async def watch(log: LogSettings, live: LiveSettings, deployments: list[str], within_s: float) -> None:
    """Look until each was seen open, or the time is over. Prints `deployment monotonic_ns` for each.

    They open about in the given order, so only the first that did not are looked at.
    """
    kind = Kinds.of(live.cache_ttls).breaker
    waiting = dict.fromkeys(deployments)
    async with (
        LiveStore(live) as store,
        LiveCache(store, log.partitions, [kind]) as cache,
        Changes(store, [cache]),
    ):
        await cache.ready(within_s)
        print("ready", flush=True)
        deadline = time.monotonic() + within_s
        while waiting and time.monotonic() < deadline:
            now_us = time.time_ns() // 1000
            for deployment in list(islice(waiting, LOOK_AT)):
                breaker = cache.get(kind, deployment)
                if isinstance(breaker, Breaker) and effective_state(breaker, now_us) is BreakerState.OPEN:
                    print(deployment, time.monotonic_ns(), flush=True)
                    del waiting[deployment]
            await asyncio.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    uvloop.run(
        watch(
            LogSettings.model_validate_json(sys.argv[1]),
            LiveSettings.model_validate_json(sys.argv[2]),
            json.loads(sys.argv[3]),
            float(sys.argv[4]),
        )
    )
