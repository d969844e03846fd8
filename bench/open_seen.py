"""How soon an outage is known elsewhere: from the outcome that trips a breaker to another process seeing it OPEN.

The clock starts before the append of that outcome and stops when a process that watches the breakers finds OPEN by a
look-up that does not wait. Between lie two workers, the log (usage, then outcomes) and the live store; other usage goes
on meanwhile: little, and then as much as two cores bear with all that the measure starts.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from bench.lab import POLL_S, Lab, Program
from bench.programs.relay import CHANNEL, FIRST
from bench.report import Row, show
from events.codec import Codec
from events.envelope import OutcomeKind, deployment_name
from events.ids import uuid7
from events.publisher import Publisher
from events.registry import FolderRegistry
from events.settings import LogSettings
from events.usage_recorded import UsageRecorded
from projections.live.slots import TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore
from projections.live.window import Window
from projections.settings import LiveSettings

TRIPS = 200
PROVIDERS = 20
PARTITIONS = 4
WORKERS = 2
OTHER_CALLS_PER_S = {"open_seen": 100, "open_seen_busy": 500}
"""By measure."""
CONSECUTIVE_FAILURES = 5
BETWEEN_S = (0.02, 0.1)
WITHIN_S = 60.0

DEPLOYMENTS = [(f"provider-{number % PROVIDERS:02}", f"model-{number:03}") for number in range(TRIPS)]
"""Provider and model."""


async def run(lab: Lab) -> dict[str, Any]:
    """The figures, milliseconds. The raw way is measured first, alone."""
    waits_ms = {"raw": await _raw(lab)}
    for name, calls_per_s in OTHER_CALLS_PER_S.items():
        waits_ms[name] = await _open_seen(lab, name, calls_per_s)
    return _figures(waits_ms)


async def _open_seen(lab: Lab, name: str, other_calls_per_s: int) -> list[float]:
    """Milliseconds of each trip, beside other calls, on a log of its own."""
    log, live = await lab.settings(name.replace("_", "-"), PARTITIONS)
    async with AsyncExitStack() as resources:
        enter = resources.enter_async_context
        workers = [await enter(lab.interlock(log, live, "work")) for _ in range(WORKERS)]
        store = await enter(LiveStore(live))
        publisher = await enter(Publisher(log, Codec(FolderRegistry())))
        await _all_owned(store, workers)
        await enter(lab.program("traffic", log.model_dump_json(), str(other_calls_per_s)))
        names = json.dumps([deployment_name(*each, None) for each in DEPLOYMENTS])
        watcher = await enter(
            lab.program("watch", log.model_dump_json(), live.model_dump_json(), names, str(WITHIN_S))
        )
        await watcher.says("ready")
        await _arm(publisher, store)
        published_ns = await _trip(publisher)
        await watcher.child.finish(WITHIN_S)
        seen_ns = dict(line.split() for line in watcher.lines if line != "ready")
    missed = published_ns.keys() - seen_ns.keys()
    if missed:
        raise RuntimeError(
            f"{len(missed)} of {TRIPS} breakers were never seen open, for example {min(missed)}"
        )
    return [(int(seen_ns[name]) - at_ns) / 1e6 for name, at_ns in published_ns.items()]


async def _raw(lab: Lab) -> list[float]:
    """Milliseconds of each ping over two topics and a push, with nothing in between."""
    log, live = await lab.settings("open-seen-raw", PARTITIONS)
    async with lab.program("relay", log.model_dump_json(), live.redis_url) as relay:
        await relay.says("ready")
        async with _open_pinger(log, live) as pinger:
            raw_ms: list[float] = []
            for _ in range(TRIPS):
                await asyncio.sleep(random.uniform(*BETWEEN_S))
                raw_ms.append(await pinger.ping())
    return raw_ms


async def _trip(publisher: Publisher) -> dict[str, int]:
    """Trip one breaker after the other; when each outcome was appended."""
    published_ns: dict[str, int] = {}
    for provider, model in DEPLOYMENTS:
        await asyncio.sleep(random.uniform(*BETWEEN_S))
        failure = _failure(provider, model)
        published_ns[deployment_name(provider, model, None)] = time.monotonic_ns()
        await publisher.append([failure])
    return published_ns


def _figures(waits_ms: Mapping[str, list[float]]) -> dict[str, Any]:
    names = {"raw": "raw, two hops and a push"} | {
        name: f"OPEN seen beside {calls_per_s} calls/s" for name, calls_per_s in OTHER_CALLS_PER_S.items()
    }
    rows, figures = [], dict[str, Any](trips=TRIPS)
    for key, found in waits_ms.items():
        p50, p99 = median(found), quantiles(found, n=100, method="inclusive")[98]
        rows.append(Row(names[key], p50, "ms p50", f"p99 {p99:.1f} ms, most {max(found):.1f} ms"))
        figures |= {f"{key}_p50_ms": round(p50, 2), f"{key}_p99_ms": round(p99, 2)}
        figures[f"{key}_most_ms"] = round(max(found), 2)
    show(f"outcome to OPEN seen elsewhere, {TRIPS} trips", rows)
    return figures


@dataclass(frozen=True, slots=True)
class Pinger:
    """Sends over the raw way, and hears what arrives."""

    log: LogSettings
    producer: AIOKafkaProducer
    heard: PubSub

    async def ping(self) -> float:
        """Milliseconds until it arrived."""
        started_ns = time.monotonic_ns()
        await self.producer.send_and_wait(self.log.full_name(FIRST), str(started_ns).encode())
        async with asyncio.timeout(WITHIN_S):
            while True:
                message = await self.heard.get_message(ignore_subscribe_messages=True, timeout=WITHIN_S)
                if message is not None and int(message["data"]) == started_ns:
                    return (time.monotonic_ns() - started_ns) / 1e6


@asynccontextmanager
async def _open_pinger(log: LogSettings, live: LiveSettings) -> AsyncIterator[Pinger]:
    producer = AIOKafkaProducer(bootstrap_servers=log.bootstrap, acks="all", enable_idempotence=False)
    await producer.start()
    try:
        async with Redis.from_url(live.redis_url) as redis, redis.pubsub() as heard:
            await heard.subscribe(CHANNEL)
            yield Pinger(log, producer, heard)
    finally:
        await producer.stop()


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


async def _arm(publisher: Publisher, store: LiveStore) -> None:
    """Bring each breaker to one failure before it trips, and wait until the workers know of all of them."""
    for _ in range(CONSECUTIVE_FAILURES - 1):
        await publisher.append([_failure(provider, model) for provider, model in DEPLOYMENTS])
    slots = [Slot("health", number) for number in range(PARTITIONS)]
    wanted = [f"window:{deployment_name(provider, model, None)}" for provider, model in DEPLOYMENTS]
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = await store.read_slots(dict.fromkeys(slots, wanted))
            windows = [Window.from_json(raw) for held in found.values() for raw in held.values()]
            armed = [one for one in windows if one.consecutive_failures == CONSECUTIVE_FAILURES - 1]
            if len(armed) == TRIPS:
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
