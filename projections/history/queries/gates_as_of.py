"""The gates of a breaker at an instant: the fold of those outcomes of its deployment that still mattered then."""

from __future__ import annotations

from events.catalogue import TOPICS
from events.codec import from_record
from events.outcomes_observed import OutcomesObserved
from projections.history.queries.page import COLUMNS
from projections.history.queries.question import Question, listed
from projections.history.queries.reader import HistoryReader
from projections.live.breaker import Breaker
from projections.live.gates import fold_gates

MOST_RECORDS = 5_000
_OUTCOMES = TOPICS["outcomes"]
_SUCCESS = [{"kind": "SUCCESS"}]


async def with_gates(history: HistoryReader, breaker: Breaker, at_us: int) -> Breaker:
    """The breaker with its gates as of the instant.

    A rate gate is never set for longer than the cap, and a success opens the credential gate: so the outcomes from the
    last success on, and those within the cap, are all that counts. The latest MOST_RECORDS of them at most.
    """
    since_us = min(
        at_us - breaker.gate_cap_s * 1_000_000, await _last_success_us(history, breaker, at_us) or 0
    )
    question = _of(breaker, at_us)
    question.conditions.append(f"occurred_at >= {question.bind(since_us)}")
    question.conditions.append(f"runs @? {_GATED}")
    rows = await history.rows(
        f"select {listed(COLUMNS['outcomes'])} from outcomes {question.where} "
        f"order by appended_at desc, log_offset desc limit {question.bind(MOST_RECORDS)}",
        question.arguments,
    )
    clock_us = 0
    for row in reversed(rows):
        clock_us = max(clock_us, row["appended_at"])
        observed = from_record(_OUTCOMES, {name: row[name] for name in _FIELDS})
        assert isinstance(observed, OutcomesObserved)
        for run in observed.runs:
            breaker = fold_gates(breaker, run, clock_us)
    return breaker
