"""How quickly events are appended: `POST /v1/events` in batches of 500 beside aiokafka's send of the same records.

The API is `interlock serve`; its client is a process of its own, and so is the raw producer.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any

import httpx

from bench.lab import POLL_S, Lab, Program, Used
from bench.report import Row, show
from embedded.ports import free_port
from events.settings import LogSettings

EVENTS = 60_000
BATCH = 500
ROUNDS = 3
PARTITIONS = 4
READY_WITHIN_S = 30.0


async def run(lab: Lab) -> dict[str, Any]:
    """The figures; `append_vs_produce` compares events per second by the clock."""
    log, live = await lab.settings("append", PARTITIONS)
    url = f"http://127.0.0.1:{free_port()}"
    posted: list[tuple[float, float]] = []
    produced: list[tuple[float, float]] = []
    async with lab.interlock(log, live, "serve", "--port", url.rpartition(":")[2]) as server:
        await _ready(server, url)
        await _post(lab, server, url, 10 * BATCH)
        for _ in range(ROUNDS):
            produced.append(await _produce(lab, log))
            posted.append(await _post(lab, server, url, EVENTS))
    post_per_s, post_per_core = (median(column) for column in zip(*posted, strict=True))
    produce_per_s, produce_per_core = (median(column) for column in zip(*produced, strict=True))
    show(
        f"append, batches of {BATCH}",
        [
            Row("aiokafka send", produce_per_s, "events/s", f"{produce_per_core:,.0f} events/s/core"),
            Row("POST /v1/events", post_per_s, "events/s", f"{post_per_core:,.0f} events/s/core"),
            Row(
                "post / send",
                post_per_s / produce_per_s,
                "",
                f"{post_per_core / produce_per_core:.2f} by core",
            ),
        ],
    )
    return {
        "produce_per_s": round(produce_per_s),
        "produce_per_core": round(produce_per_core),
        "post_per_s": round(post_per_s),
        "post_per_core": round(post_per_core),
        "append_vs_produce": round(post_per_s / produce_per_s, 3),
        "append_vs_produce_per_core": round(post_per_core / produce_per_core, 3),
    }


async def _produce(lab: Lab, log: LogSettings) -> tuple[float, float]:
    """Events per second by the clock, and by CPU seconds of the producer's process."""
    async with lab.program("produce", log.model_dump_json(), str(EVENTS)) as producer:
        result = await producer.result()
    return result["events"] / result["wall_s"], result["events"] / result["cpu_s"]


async def _post(lab: Lab, server: Program, url: str, count: int) -> tuple[float, float]:
    """Events per second by the clock, and by CPU seconds of the API's process."""
    before: Used = server.used
    async with lab.program("post", url, str(count), str(BATCH)) as client:
        result = await client.result()
    return result["events"] / result["wall_s"], result["events"] / server.used.since(before).cpu_s


async def _ready(server: Program, url: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    async with httpx.AsyncClient(base_url=url) as client:
        while time.monotonic() < deadline:
            server.check()
            try:
                answer = await client.get("/health/liveness")
            except httpx.HTTPError:
                await asyncio.sleep(POLL_S)
            else:
                if answer.is_success:
                    return
    raise TimeoutError(f"the API did not answer within {READY_WITHIN_S:g} s")
