"""How soon an outage is known elsewhere: from the outcome that trips a breaker to another process seeing it OPEN.

The clock starts before the append of that outcome and stops when a process that watches the breakers finds OPEN by a
look-up that does not wait. Between lie two workers, the log (usage, then outcomes) and the live store; other usage goes
on meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from statistics import median, quantiles
from typing import Any

from bench.lab import POLL_S, Lab, Program
from bench.report import Row, show
from events.codec import Codec
from events.envelope import OutcomeKind, deployment_name
from events.ids import uuid7
from events.publisher import Publisher
from events.registry import FolderRegistry
from events.usage_recorded import UsageRecorded
from projections.live.slots import TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.live.window import Window

TRIPS = 200
PROVIDERS = 20
PARTITIONS = 4
WORKERS = 2
BACKGROUND_PER_S = 500
CONSECUTIVE_FAILURES = 5
BETWEEN_S = (0.03, 0.09)
WITHIN_S = 60.0

Deployment = tuple[str, str]
"""Provider and model."""


async def run(lab: Lab) -> dict[str, Any]:
    """The figures, milliseconds."""
    log, live = await lab.settings("open-seen", PARTITIONS)
    deployments = [(f"provider-{number % PROVIDERS:02}", f"model-{number:03}") for number in range(TRIPS)]
    names = [deployment_name(provider, model, None) for provider, model in deployments]
    async with (
        lab.interlock(log, live, "work") as first,
        lab.interlock(log, live, "work") as second,
        LiveStore(live) as store,
        Publisher(log, Codec(FolderRegistry())) as publisher,
    ):
        await _all_owned(store, [first, second])
        async with (
            lab.program("traffic", log.model_dump_json(), str(BACKGROUND_PER_S)),
            lab.program(
                "watch", log.model_dump_json(), live.model_dump_json(), json.dumps(names), str(WITHIN_S)
            ) as watcher,
        ):
            await watcher.says("ready")
            await _arm(publisher, store, deployments)
            published_ns = {}
            for name, (provider, model) in zip(names, deployments, strict=True):
                await asyncio.sleep(random.uniform(*BETWEEN_S))
                failure = _failure(provider, model)
                published_ns[name] = time.monotonic_ns()
                await publisher.append([failure])
            await watcher.child.finish(WITHIN_S)
        seen_ns = dict(line.split() for line in watcher.lines if line != "ready")
    missed = published_ns.keys() - seen_ns.keys()
    if missed:
        raise RuntimeError(
            f"{len(missed)} of {TRIPS} breakers were never seen open, for example {min(missed)}"
        )
    return _figures([(int(seen_ns[name]) - at_ns) / 1e6 for name, at_ns in published_ns.items()])


def _figures(waits_ms: list[float]) -> dict[str, Any]:
    p99 = quantiles(waits_ms, n=100, method="inclusive")[98]
    show(
        f"outcome to OPEN seen elsewhere, {TRIPS} trips",
        [
            Row("p50", median(waits_ms), "ms"),
            Row("p99", p99, "ms"),
            Row("most", max(waits_ms), "ms"),
        ],
    )
    return {
        "trips": TRIPS,
        "open_seen_p50_ms": round(median(waits_ms), 2),
        "open_seen_p99_ms": round(p99, 2),
        "open_seen_most_ms": round(max(waits_ms), 2),
    }


async def _all_owned(store: LiveStore, workers: list[Program]) -> None:
    """Wait until each worker holds slots and each slot is held."""
    slots = [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(PARTITIONS)]
    async with asyncio.timeout(WITHIN_S):
        while True:
            owners = {checkpoint.owner for checkpoint in (await store.checkpoints(slots)).values()}
            if "" not in owners and len(owners) == WORKERS:
                return
            for worker in workers:
                worker.check()
            await asyncio.sleep(POLL_S)


async def _arm(publisher: Publisher, store: LiveStore, deployments: list[Deployment]) -> None:
    """Bring each breaker to one failure before it trips, and wait until the workers know of all of them."""
    for _ in range(CONSECUTIVE_FAILURES - 1):
        await publisher.append([_failure(provider, model) for provider, model in deployments])
    slots = [Slot("health", number) for number in range(PARTITIONS)]
    wanted = [f"window:{deployment_name(provider, model, None)}" for provider, model in deployments]
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = await store.read_slots(dict.fromkeys(slots, wanted))
            windows = [Window.from_json(raw) for held in found.values() for raw in held.values()]
            armed = [one for one in windows if one.consecutive_failures == CONSECUTIVE_FAILURES - 1]
            if len(armed) == len(deployments):
                return
            await asyncio.sleep(POLL_S)


def _failure(provider: str, model: str) -> UsageRecorded:
    now_us = time.time_ns() // 1000
    return UsageRecorded(
        event_id=uuid7(now_us, random.randbytes(10)),
        occurred_at=now_us,
        source="gateway-0",
        tenant=f"tenant-{random.randrange(10):02}",
        request_id=f"req-{now_us}",
        provider=provider,
        model=model,
        outcome=OutcomeKind.SERVER_ERROR,
        status_code=503,
        error="upstream connect error",
        latency_ms=120,
        breaker_epoch=0,
    )
