"""All that a run left behind: ledgers, the log read back, the live state, sights and faults. From it the report is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.faults import Fault
from demo.history import HistoryState, read_history
from demo.ledger import Books, read_ledgers
from demo.live import LiveState, read_live
from demo.naive import NaiveFold, fold
from demo.naive_log import read_log
from demo.proof import Proof, prove
from demo.sights import load
from demo.spread import Trip, trips
from demo.stage import Stage
from events.log_ends import LogEnds
from events.positions import Partition
from events.schemas import schemas_folder

CAUGHT_UP_WITHIN_S = 60.0
TOPICS = ("usage", "routing", "outcomes", "breakers", "alerts", "budgets", "providers", "dead-letters")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found, and what it proves."""

    books: Books
    naive: NaiveFold
    live: LiveState
    history: HistoryState
    trips: tuple[Trip, ...]
    faults: tuple[Fault, ...]
    proof: Proof


async def gather(stage: Stage, faults: Sequence[Fault], at_us: int) -> Evidence:
    """Read everything. Everything must be folded by now. `at_us`: the instant of which budgets are told."""
    books = read_ledgers(plan.ledger_path for plan in stage.plans)
    schemas: Path = stage.log.schemas_folder or schemas_folder()
    log = await read_log(stage.log.bootstrap, stage.log.topic_prefix, TOPICS, schemas)
    naive = fold(log)
    live = await read_live(stage.store, stage.log.partitions, at_us)
    history = await _history(stage)
    sights = {plan.name: load(plan.sights_path) for plan in stage.plans}
    reached = tuple(trips(log, sights, [fault.time for fault in faults]))
    proof = prove(books, naive, live, history)
    return Evidence(books, naive, live, history, reached, tuple(faults), proof)


async def _history(stage: Stage) -> HistoryState:
    places = [Partition(topic, number) for topic in TOPICS for number in range(stage.log.partitions)]
    async with LogEnds(stage.log) as log_ends:
        ends = await log_ends.ends(places)
    settings = stage.history
    return await read_history(
        str(settings.postgres_dsn), settings.schema_name, TOPICS, ends, CAUGHT_UP_WITHIN_S
    )
