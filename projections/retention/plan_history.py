"""The history's part of a plan: whole months where it can be, rows where it must. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from projections.retention.holdings import Counted, CutoffAsked, Holdings, Month, PlacedSpans, RowsAsked
from projections.retention.policy import Action, Policies, Policy, Precision, Store
from projections.retention.safe import covered, meet, safe_spans, why_not
from projections.retention.selection import Selection
from projections.retention.steps import DeleteRows, DropMonth, HeldBack, PackMonth

_NO_EXPORTS = "there is no folder to export to: set INTERLOCK_RETENTION__EXPORTS"

Cutoffs = Mapping[CutoffAsked, int | None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A month of which a policy takes something: rows of before that time, or of any time."""

    policy: Policy
    month: Month
    before_us: int | None
    except_tenants: tuple[str, ...]

    @property
    def takes_all(self) -> bool:
        """Whether no row can be left, whatever the month holds."""
        return not (self.policy.filters or self.except_tenants) and self.before_us is None

    def selection(self, safe: PlacedSpans) -> Selection:
        """Its rows, as far as they may go."""
        policy, spans = self.policy, meet(self.month.spans, safe)
        by_record = self.month.is_late and policy.older_than is not None
        return Selection(
            policy.tenants,
            self.except_tenants,
            policy.condition,
            None if by_record else self.before_us,
            spans,
            self.before_us if by_record else None,
        )


def cutoffs_asked(policies: Policies) -> Iterator[CutoffAsked]:
    """What has to be known of the history before anything else can be asked."""
    for policy in policies.of(Store.HISTORY):
        for topic in policy.chosen_topics:
            if policy.more_than is not None and policy.precision is Precision.ROW:
                yield _cutoff_asked(policies, policy, topic)


def rows_asked(policies: Policies, holdings: Holdings, now_us: int, cutoffs: Cutoffs) -> Iterator[RowsAsked]:
    """The months whose rows must be counted one by one."""
    safe_of = _safe_by_topic(holdings)
    for candidate in _candidates(policies, holdings, now_us, cutoffs):
        safe = safe_of[candidate.month.topic]
        if safe and not candidate.takes_all and candidate.policy.action is not Action.COMPRESS:
            yield _asked(candidate, safe)


def history_steps(
    policies: Policies, holdings: Holdings, now_us: int, cutoffs: Cutoffs, rows: Mapping[RowsAsked, Counted]
) -> Iterator[DropMonth | DeleteRows | PackMonth | HeldBack]:
    """Of months that several policies would drop, the first policy takes them."""
    gone: set[str] = set()
    safe_of = _safe_by_topic(holdings)
    for candidate in _candidates(policies, holdings, now_us, cutoffs):
        month, policy = candidate.month, candidate.policy
        if month.table in gone:
            continue
        if policy.action is Action.COMPRESS:
            if not month.packed:
                yield PackMonth(**_facts(candidate, Counted(month.rows, month.bytes, _first(month))))
            continue
        step = _taken(candidate, holdings, safe_of[month.topic], rows)
        if isinstance(step, DropMonth):
            gone.add(month.table)
        if step is not None:
            yield step


def _taken(
    candidate: Candidate, holdings: Holdings, safe: PlacedSpans, rows: Mapping[RowsAsked, Counted]
) -> DropMonth | DeleteRows | HeldBack | None:
    month = candidate.month
    if "*" in candidate.except_tenants:
        return HeldBack(
            candidate.policy.name, month.subject, month.rows, "a hold of the policies keeps all tenants"
        )
    if candidate.policy.action is Action.EXPORT and not holdings.has_exports:
        return HeldBack(candidate.policy.name, month.subject, month.rows, _NO_EXPORTS)
    if candidate.takes_all:
        if not covered(month.spans, safe):
            return _held_back(candidate, holdings)
        counted = Counted(month.rows, month.bytes, _first(month))
        kind = DeleteRows if month.stays else DropMonth
        return kind(selection=candidate.selection(safe), **_facts(candidate, counted))
    if not safe:
        return _held_back(candidate, holdings)
    taken = rows[_asked(candidate, safe)]
    if taken.rows == 0:
        return None
    whole = taken.rows == month.rows and covered(month.spans, safe) and not month.stays
    kind = DropMonth if whole else DeleteRows
    return kind(selection=candidate.selection(safe), **_facts(candidate, taken))


def _safe_by_topic(holdings: Holdings) -> dict[str, PlacedSpans]:
    return {topic: safe_spans(holdings, topic) for topic in {month.topic for month in holdings.months}}


def _held_back(candidate: Candidate, holdings: Holdings) -> HeldBack:
    month = candidate.month
    why = why_not(holdings, month.topic, month.spans)
    return HeldBack(candidate.policy.name, month.subject, month.rows, why)


def _facts(candidate: Candidate, counted: Counted) -> dict[str, Any]:
    month, policy = candidate.month, candidate.policy
    return {
        "policy": policy.name,
        "action": policy.action,
        "subject": month.subject,
        "rows": counted.rows,
        "bytes": counted.bytes,
        "first": counted.first,
        "topic": month.topic,
        "table": month.table,
    }


def _first(month: Month) -> tuple[tuple[int, int], ...]:
    return tuple((number, span.start) for number, span in month.spans)


def _asked(candidate: Candidate, safe: PlacedSpans) -> RowsAsked:
    return RowsAsked(candidate.policy.name, candidate.month.table, candidate.selection(safe))


def _cutoff_asked(policies: Policies, policy: Policy, topic: str) -> CutoffAsked:
    everywhere = Selection(
        policy.tenants, policy.except_tenants + policies.held_tenants(topic), policy.condition, None, ()
    )
    return CutoffAsked(policy.name, topic, policy.more_than or 0, everywhere)


def _candidates(policies: Policies, holdings: Holdings, now_us: int, cutoffs: Cutoffs) -> Iterator[Candidate]:
    for policy in policies.of(Store.HISTORY):
        for topic in policy.chosen_topics:
            months = [month for month in holdings.months if month.topic == topic and month.rows]
            months.sort(key=lambda month: month.begin_us)
            excepted = policy.except_tenants + policies.held_tenants(topic)
            cutoff_us = cutoffs.get(_cutoff_asked(policies, policy, topic))
            for month, before_us in _due(policy, months, now_us, cutoff_us):
                yield Candidate(policy, month, before_us, excepted)


def _due(
    policy: Policy, months: list[Month], now_us: int, cutoff_us: int | None
) -> Iterator[tuple[Month, int | None]]:
    """The months that are over the policy's limit, oldest first; with a time, only what occurred before it."""
    if policy.older_than is not None:
        yield from _before(policy, months, now_us - policy.older_than)
        if policy.action is not Action.COMPRESS:
            yield from ((month, now_us - policy.older_than) for month in months if month.is_late)
    elif policy.larger_than is not None:
        yield from _over(months, policy.larger_than, [month.bytes for month in months], short=0)
    elif policy.more_than is None:
        yield from ((month, None) for month in months)
    elif policy.precision is Precision.ROW:
        if cutoff_us is not None:
            yield from _before(policy, months, cutoff_us)
    else:
        yield from _over(months, policy.more_than, [month.rows for month in months], short=1)


def _before(policy: Policy, months: list[Month], cutoff_us: int) -> Iterator[tuple[Month, int | None]]:
    for month in months:
        if month.end_us <= cutoff_us:
            yield month, None
        elif month.begin_us < cutoff_us and policy.precision is Precision.ROW:
            yield month, cutoff_us


def _over(
    months: list[Month], limit: int, amounts: list[int], *, short: int
) -> Iterator[tuple[Month, int | None]]:
    """The oldest months of what is over the limit: a size is got below, a count (`short` 1) never fallen short of."""
    total = sum(amounts)
    for month, amount in zip(months, amounts, strict=True):
        if total <= limit or (short and total - amount < limit):
            return
        total -= amount
        yield month, None
