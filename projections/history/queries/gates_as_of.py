"""The gates of a breaker at an instant: the fold of those outcomes of its deployment that still mattered then."""

from __future__ import annotations

from dataclasses import fields

from events.catalogue import TOPICS
from events.codec import from_record
from events.outcomes_observed import OutcomesObserved
from projections.history.queries.question import Question, listed
from projections.history.queries.reader import HistoryReader, Row
from projections.live.breaker import Breaker
from projections.live.gates import fold_gates

MOST_RECORDS = 5_000
_OUTCOMES = TOPICS["outcomes"]
_FIELDS = tuple(field.name for field in fields(OutcomesObserved))
_SUCCESS = [{"kind": "SUCCESS"}]
_GATING = ([{"kind": "RATE_LIMITED"}], [{"kind": "UNAUTHORIZED"}], [{"kind": "BILLING"}])


async def with_gates(history: HistoryReader, breaker: Breaker, at_us: int) -> Breaker:
    """The breaker with its gates as of the instant.

    A rate gate is never set for longer than the cap, and a success opens the credential gate: of the outcomes since
    the cap or the last success, whichever is longer ago, those that set a gate are folded, MOST_RECORDS at most.
    """
    last_success = await _last_success(history, breaker, at_us)
    cap_start_us = at_us - breaker.gate_cap_s * 1_000_000
    question = _of(breaker, at_us)
    gating = " or ".join(f"runs @> {question.bind(kind)}" for kind in _GATING)
    if last_success is not None:
        since_us = min(cap_start_us, last_success["occurred_at"])
        question.conditions.append(f"occurred_at >= {question.bind(since_us)}")
        gating += f" or event_id = {question.bind(last_success['event_id'])}"
    question.conditions.append(f"({gating})")
    rows = await history.rows(
        f"select {listed(_FIELDS)}, appended_at from outcomes {question.where} "
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


async def _last_success(history: HistoryReader, breaker: Breaker, at_us: int) -> Row | None:
    question = _of(breaker, at_us)
    question.conditions.append(f"runs @> {question.bind(_SUCCESS)}")
    rows = await history.rows(
        f"select event_id, occurred_at from outcomes {question.where} "
        "order by occurred_at desc, log_offset desc limit 1",
        question.arguments,
    )
    return rows[0] if rows else None


def _of(breaker: Breaker, at_us: int) -> Question:
    """The outcomes of the breaker's deployment until the instant."""
    question = Question()
    question.conditions.append(f"occurred_at <= {question.bind(at_us)}")
    question.equal({"provider": breaker.provider, "model": breaker.model})
    question.conditions.append(f"coalesce(region, '') = {question.bind(breaker.region or '')}")
    return question
