"""The peer of folding: an agent of stock Faust that does the same job, with its state in Faust tables.

It does less than a worker: no checks of the records, no budgets and alerts, no commit that moves state and position
together, and ids that are never forgotten.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from io import BytesIO
from typing import Any

import faust
import uvloop
from fastavro import schemaless_reader
from faust.types import StreamT

from events.catalogue import TOPICS
from events.codec import HEADER_BYTES
from events.registry import FolderRegistry
from events.settings import LogSettings
from projections.live.node import Identity
from projections.live.spend import charge, quarter_of

AT_ONCE = 500
WARM_UP = 1_000


class _NoFolders(faust.App):
    """Stock, but for the folders that it makes for its tables where it is started: these are in memory."""

    def _create_directories(self) -> None:
        """None."""


def create(log: LogSettings, count: int) -> faust.App:
    """The app; its process ends after so many events."""
    schema = FolderRegistry().newest(TOPICS["usage"])[1].plain
    app = _NoFolders(
        f"{log.topic_prefix}stock",
        broker=f"kafka://{log.bootstrap}",
        store="memory://",
        topic_partitions=log.partitions,
        topic_replication_factor=1,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        web_enabled=False,
    )
    usage = app.topic(log.full_name("usage"), key_serializer="raw", value_serializer="raw")
    seen = app.Table("seen", default=int, use_partitioner=True)
    spend = app.Table("spend", default=dict, use_partitioner=True)
    outcomes = app.Table("outcomes", default=list, use_partitioner=True)
    done, started = 0, (0, 0.0, 0.0)

    @app.agent(usage)
    async def fold(stream: StreamT[bytes]) -> None:
        nonlocal done, started
        async for values in stream.take(AT_ONCE, within=1.0):
            sums: dict[Any, list[int]] = {}
            runs: dict[str, list[list[Any]]] = {}
            for value in values:
                record: Any = schemaless_reader(BytesIO(value[HEADER_BYTES:]), schema, None)
                if record["event_id"] in seen:
                    continue
                seen[record["event_id"]] = 1
                add(record, sums, runs)
            for node, quarters in charge(sums).items():
                held = spend[node]
                for quarter, added in quarters.items():
                    before = held.get(str(quarter), [0] * len(added))
                    held[str(quarter)] = [one + other for one, other in zip(before, added, strict=True)]
                spend[node] = held
            for deployment, found in runs.items():
                outcomes[deployment] = found
            done += len(values)
            if done >= WARM_UP and not started[0]:
                started = done, time.process_time(), time.monotonic()
            elif done >= count:
                report(done, started)

    return app


def add(record: Any, sums: dict[Any, list[int]], runs: dict[str, list[list[Any]]]) -> None:
    """Sum one call by who pays, and put its outcome behind those of its deployment."""
    payer = Identity(*(record[name] for name in Identity._fields))
    held = sums.setdefault((payer, quarter_of(record["occurred_at"])), [0, 0, 0, 0, 0])
    cost = record["cost_nano_usd"]
    held[0] += cost or 0
    held[1] += 1
    held[2] += record["input_tokens"]
    held[3] += record["output_tokens"]
    held[4] += cost is None
    found = runs.setdefault(f"{record['provider']}/{record['model']}@{record['region']}", [])
    kind, second = record["outcome"], record["occurred_at"] // 1_000_000
    if found and found[-1][:2] == [kind, second]:
        found[-1][2] += 1
        found[-1][3] += record["latency_ms"]
    else:
        found.append([kind, second, 1, record["latency_ms"]])


def report(done: int, started: tuple[int, float, float]) -> None:
    """Print the result and end the process."""
    first, cpu_s, wall_s = started
    figures = {
        "events": done - first,
        "cpu_s": time.process_time() - cpu_s,
        "wall_s": time.monotonic() - wall_s,
    }
    print(json.dumps(figures), flush=True)
    os._exit(0)


async def main(log: LogSettings, count: int) -> None:
    """Run until the count is reached."""
    app = create(log, count)
    app.finalize()
    app.discover()
    await app.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(LogSettings.model_validate_json(sys.argv[1]), int(sys.argv[2])))
