"""A plan: from policies, from what the stores hold and from how far everyone has come, to steps. Pure.

Nothing is ever named that lies beyond what every projection has consumed and the archive holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from events.positions import Partition
from projections.retention.holdings import (
    Answers,
    CutoffAsked,
    Holdings,
    OffsetAsked,
    RowsAsked,
    Segment,
)
from projections.retention.plan_history import cutoffs_asked, history_steps, rows_asked
from projections.retention.plan_refused import refused_asked, refused_steps
from projections.retention.policy import ROLLED_UP, Action, Policies, Policy, Store
from projections.retention.safe import consumed, safe_spans, why_not
from projections.retention.selection import Span
from projections.retention.steps import (
    AnyStep,
    CutLog,
    DeleteFile,
    DeleteSegment,
    DropMonth,
    DropSums,
    HeldBack,
    PackSegments,
    Plan,
)

__all__ = [
    "CutoffAsked",
    "RowsAsked",
    "cutoffs_asked",
    "offsets_asked",
    "plan",
    "refused_asked",
    "rows_asked",
]

AUDIT = "audit"
"""Its log is kept for ever; its rows of the history may go."""

_NOT_CUT = "the broker cannot delete records (DeleteRecords): its own retention.ms bounds the log"
_HINTED = "workers look there for what they have derived before"
_RESTORED = "the log keeps its records in memory and is restored from the archive at every start"


def offsets_asked(policies: Policies, now_us: int) -> Iterator[OffsetAsked]:
    """What has to be known of the log."""
    for policy in policies.of(Store.LOG):
        for topic in _log_topics(policy):
            if policy.older_than is not None:
                yield OffsetAsked(policy.name, topic, (now_us - policy.older_than) // 1000)


def plan(policies: Policies, holdings: Holdings, answers: Answers, now_us: int) -> Plan:
    """The steps in order: rows before their sums, the log before the archive, files last."""
    found = [
        *history_steps(policies, holdings, now_us, answers.cutoffs, answers.rows),
        *refused_steps(policies, holdings, now_us, answers.refused),
        *_sums(policies, holdings, now_us),
        *_log(policies, holdings, answers, now_us),
    ]
    gone = {step.table for step in found if isinstance(step, DropMonth)}
    found += [*_archive(policies, holdings, now_us, gone), *_files(policies, holdings, now_us)]
    return Plan(
        tuple(one for one in found if not isinstance(one, HeldBack)),
        tuple(one for one in found if isinstance(one, HeldBack)),
    )


def _sums(policies: Policies, holdings: Holdings, now_us: int) -> Iterator[AnyStep]:
    """Sums never go before their rows: the oldest raw month bounds them."""
    oldest = min(
        (month.begin_us for month in holdings.months if month.topic == ROLLED_UP and month.rows),
        default=now_us,
    )
    gone: set[str] = set()
    for policy in policies.of(Store.ROLLUPS):
        assert policy.older_than is not None
        for month in holdings.sums:
            if month.end_us <= min(now_us - policy.older_than, oldest) and month.table not in gone:
                gone.add(month.table)
                yield DropSums(
                    policy=policy.name,
                    action=policy.action,
                    subject=month.subject,
                    rows=month.rows,
                    bytes=month.bytes,
                    first=((0, month.rows),),
                    table=month.table,
                )


def _log(
    policies: Policies, holdings: Holdings, answers: Answers, now_us: int
) -> Iterator[AnyStep | HeldBack]:
    held = holdings.log
    offsets = answers.offsets
    for policy in policies.of(Store.LOG):
        for topic in _log_topics(policy):
            for place in sorted(place for place in held if place.topic == topic):
                if policy.older_than is None:
                    wanted = max(held[place].start, held[place].end - (policy.more_than or 0))
                else:
                    asked = OffsetAsked(policy.name, topic, (now_us - policy.older_than) // 1000)
                    wanted = offsets[asked].get(place.number, held[place].start)
                yield from _cut(policy, holdings, place, Span(held[place].start, wanted))


def _cut(policy: Policy, holdings: Holdings, place: Partition, wanted: Span) -> Iterator[AnyStep | HeldBack]:
    if wanted.start >= wanted.end:
        return
    subject = f"log/{place}"
    if not holdings.log_is_cut:
        yield HeldBack(policy.name, subject, wanted.end - wanted.start, _NOT_CUT)
        return
    safe = [span for number, span in safe_spans(holdings, place.topic) if number == place.number]
    before = min(wanted.end, max((one.end for one in safe if one.start <= wanted.start), default=0))
    before = min(before, holdings.hints.get(place, before))
    if before > wanted.start:
        yield CutLog(
            policy=policy.name,
            action=policy.action,
            subject=subject,
            rows=before - wanted.start,
            bytes=0,
            first=((place.number, before),),
            place=place,
            before=before,
        )
    if before < wanted.end:
        why = why_not(holdings, place.topic, ((place.number, wanted),)) or _HINTED
        yield HeldBack(policy.name, subject, wanted.end - max(before, wanted.start), why)


def _archive(
    policies: Policies, holdings: Holdings, now_us: int, gone: set[str]
) -> Iterator[AnyStep | HeldBack]:
    claimed: set[str] = set()
    for policy in policies.of(Store.ARCHIVE):
        for topic in _log_topics(policy):
            segments = sorted(
                (one for one in holdings.segments if one.place.topic == topic),
                key=lambda one: (one.last_us, one.place, one.span.start),
            )
            due = _due_segments(policy, segments, now_us)
            if policy.action is Action.COMPRESS:
                yield from _packed(policy, due)
                continue
            needed = partial(_needed, policies, holdings, gone=gone)
            yield from _deleted(policy, holdings, due, needed, claimed)


def _due_segments(policy: Policy, segments: list[Segment], now_us: int) -> list[Segment]:
    if policy.older_than is not None:
        return [one for one in segments if one.last_us < now_us - policy.older_than]
    limit = policy.larger_than if policy.larger_than is not None else policy.more_than or 0
    amounts = [one.bytes if policy.larger_than is not None else one.records for one in segments]
    short = policy.larger_than is None
    total, due = sum(amounts), []
    for segment, amount in zip(segments, amounts, strict=True):
        if total <= limit or (short and total - amount < limit):
            break
        total -= amount
        due.append(segment)
    return due


def _packed(policy: Policy, due: list[Segment]) -> Iterator[AnyStep]:
    for place in sorted({one.place for one in due if not one.packed}):
        loose = [one for one in due if one.place == place and not one.packed]
        yield PackSegments(
            policy=policy.name,
            action=policy.action,
            subject=f"archive/{place}",
            rows=sum(one.records for one in loose),
            bytes=sum(one.bytes for one in loose),
            first=tuple((place.number, one.span.start) for one in loose[:1]),
            place=place,
        )


def _deleted(
    policy: Policy,
    holdings: Holdings,
    due: list[Segment],
    needed: Callable[[Segment], str],
    claimed: set[str],
) -> Iterator[AnyStep | HeldBack]:
    """Oldest first and none passed over: what is left of a partition is one piece, and at least its newest segment.

    The newest says where the archive goes on.
    """
    for place in sorted({one.place for one in due}):
        all_of_place = sorted(
            (one for one in holdings.segments if one.place == place), key=lambda one: one.span.start
        )
        for segment in all_of_place:
            if segment.subject in claimed:
                continue
            if segment not in due or segment is all_of_place[-1]:
                break
            why = needed(segment)
            if why:
                yield HeldBack(policy.name, segment.subject, segment.records, why)
                break
            claimed.add(segment.subject)
            yield DeleteSegment(
                policy=policy.name,
                action=policy.action,
                subject=segment.subject,
                rows=segment.records,
                bytes=segment.bytes,
                first=((place.number, segment.span.start),),
                place=place,
                span=segment.span,
            )


def _needed(policies: Policies, holdings: Holdings, segment: Segment, *, gone: set[str]) -> str:
    """Who still needs a segment; empty when nobody does."""
    if not holdings.log_is_cut:
        return _RESTORED
    if policies.held_tenants(segment.place.topic):
        return "a hold of the policies keeps the topic: a segment cannot be divided by tenant"
    limit = consumed(holdings, segment.place)
    if limit is not None and limit < segment.span.end:
        return why_not(holdings, segment.place.topic, ((segment.place.number, segment.span),))
    for month in holdings.months:
        if month.topic == segment.place.topic and month.table not in gone:
            for number, span in month.spans:
                if number == segment.place.number and span.start < segment.span.end:
                    return f"{month.table} of the history has rows from it: they would have no other copy"
    return ""


def _files(policies: Policies, holdings: Holdings, now_us: int) -> Iterator[AnyStep]:
    claimed: set[str] = set()
    for store in (Store.EXPORTS, Store.LEFTOVERS):
        for policy in policies.of(store):
            assert policy.older_than is not None
            for file in holdings.files:
                old = file.modified_us < now_us - policy.older_than
                if file.store is store and old and file.subject not in claimed:
                    claimed.add(file.subject)
                    yield DeleteFile(
                        policy=policy.name,
                        action=policy.action,
                        subject=file.subject,
                        rows=0,
                        bytes=file.bytes,
                        first=((0, file.modified_us),),
                        path=file.path,
                    )


def _log_topics(policy: Policy) -> tuple[str, ...]:
    return tuple(topic for topic in policy.chosen_topics if topic != AUDIT)
