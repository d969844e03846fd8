"""What may go at all: what every projection has consumed and the archive holds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from events.positions import Partition
from projections.retention.holdings import Holdings, PlacedSpans
from projections.retention.selection import Span


def runs(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, those that touch or overlap made one."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, one.end)):
        if found and span.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        elif span.start < span.end:
            found.append(span)
    return found


def consumed(holdings: Holdings, place: Partition) -> int | None:
    """Up to where everyone who takes the topic has come; None when nobody takes it."""
    offsets = [
        consumer.positions.get(place, 0) for consumer in holdings.consumers if place.topic in consumer.topics
    ]
    return min(offsets, default=None)


def safe_spans(holdings: Holdings, topic: str) -> PlacedSpans:
    """Of each partition, what the archive holds as far as everyone has consumed it."""
    return tuple(_safe(holdings, topic))


def _safe(holdings: Holdings, topic: str) -> Iterator[tuple[int, Span]]:
    held: dict[Partition, list[Span]] = {}
    for segment in holdings.segments:
        if segment.place.topic == topic:
            held.setdefault(segment.place, []).extend(segment.held)
    for place, spans in sorted(held.items()):
        limit = consumed(holdings, place)
        for run in runs(spans):
            end = run.end if limit is None else min(run.end, limit)
            if run.start < end:
                yield place.number, Span(run.start, end)


def covered(spans: PlacedSpans, by: PlacedSpans) -> bool:
    """Whether each of the spans lies in one of the others."""
    return all(any(number == other and safe.covers(span) for other, safe in by) for number, span in spans)


def meet(spans: PlacedSpans, others: PlacedSpans) -> PlacedSpans:
    """What lies in both."""
    both = (
        (number, Span(max(span.start, other.start), min(span.end, other.end)))
        for number, span in spans
        for placed, other in others
        if placed == number
    )
    return tuple((number, span) for number, span in both if span.start < span.end)


def why_not(holdings: Holdings, topic: str, spans: PlacedSpans) -> str:
    """Who is in the way of these spans, for people."""
    if not holdings.has_archive:
        return (
            "there is no archive to hold them: set INTERLOCK_ARCHIVE__FOLDER and let `interlock sink` fill it"
        )
    reasons = []
    for number, span in spans:
        place = Partition(topic, number)
        held = runs(span for one in holdings.segments if one.place == place for span in one.held)
        if not any(run.covers(span) for run in held):
            reasons.append(
                f"the archive holds of {place} {_written(held)}, not all from {span.start} to {span.end}"
            )
        reasons += [
            f"{consumer.name} has consumed {place} to {consumer.positions.get(place, 0)}, not to {span.end}"
            for consumer in holdings.consumers
            if topic in consumer.topics and consumer.positions.get(place, 0) < span.end
        ]
    return "; ".join(reasons)


def _written(held: list[Span]) -> str:
    """The newest pieces, for people."""
    pieces = [f"{run.start} to {run.end}" for run in held[-3:]]
    return ("… " if len(held) > 3 else "") + (", ".join(pieces) or "nothing")
