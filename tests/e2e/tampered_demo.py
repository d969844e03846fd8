"""A demo whose evidence is tampered with before the proof: a cent in the live state, a call in a ledger.

`python -m tests.e2e.tampered_demo OPTION=VALUE ...`
"""

from __future__ import annotations

import asyncio
import sys

import orjson

from demo.live import all_slots
from demo.main import run
from demo.options import DemoOptions
from demo.stage import Stage

CENT = 10_000_000


async def tamper(stage: Stage) -> None:
    """Add a cent to one tenant's spend in Redis, and a call that never happened to one gateway's ledger."""
    await _add_a_cent(stage)
    entry = {
        "event_id": "018bcfe5-687b-7abc-8def-0123456789ab",
        "gateway": "gateway-0",
        "tenant": "globex",
        "deployment": "openai/gpt-4",
        "outcome": "SUCCESS",
        "cost_nano_usd": 1,
        "input_tokens": 1,
        "output_tokens": 1,
    }
    with stage.plans[0].ledger_path.open("ab") as ledger:
        for line in ({"usage": entry}, {"acknowledged": [entry["event_id"]]}):
            ledger.write(orjson.dumps(line) + b"\n")


async def _add_a_cent(stage: Stage) -> None:
    connection = stage.store.connection
    for slot in all_slots(stage.log.partitions):
        for key in await connection.keys_with_prefix(
            stage.store.keyspace.prefix(slot) + "spend:acme|tenant|"
        ):
            spend = orjson.loads(await connection.command("GET", key))
            spend["rows"][0][1] += CENT
            await connection.command("SET", key, orjson.dumps(spend))
            return
    raise AssertionError("nothing of acme's spend is in the live state")


if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    sys.exit(asyncio.run(run(DemoOptions.of(**given), tamper)))
