"""Pages of events by keyset: a page starts after the last row of the page before, whatever came in meanwhile.

Rows are in the order of (occurred_at, event_id). The cursor holds the range and the order that the first page was asked
with, so a default that moves with the clock stays where it was; every row that was there at the first page and matches
is on exactly one page.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from uuid import UUID

import orjson

from events.catalogue import TOPICS
from projections.errors import InvalidCursorError
from projections.history.queries.question import Filters, Question, listed, quoted
from projections.history.queries.reader import HistoryReader, Row
from projections.history.queries.scope import Scope
from projections.history.queries.span import Span
from projections.history.tables import table_name

PLACE_COLUMNS = ("log_partition", "log_offset", "appended_at")
MAX_TIME_US = 253_402_300_799_999_999
MAX_CURSOR_CHARS = 400
DEPLOYMENT = "deployment"
"""A filter that is no column: see Scope."""


class Order(StrEnum):
    """Which rows come first."""

    NEWEST = "newest"
    OLDEST = "oldest"


@dataclass(frozen=True, slots=True)
class Mark:
    """The last row of a page."""

    at_us: int
    event_id: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Which events of a topic are listed, and how; after `mark` when a page came before."""

    topic: str
    filters: Filters
    span: Span
    order: Order = Order.NEWEST
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the rows; `next` is the cursor of the following page, None at the end."""

    rows: list[Row]
    next: str | None


COLUMNS: Mapping[str, tuple[str, ...]] = {
    name: (*(field.name for field in fields(topic.event)), *PLACE_COLUMNS) for name, topic in TOPICS.items()
}
"""The columns of each topic's table that are read."""


async def read_page(history: HistoryReader, listing: Listing, limit: int) -> Page:
    """At most `limit` rows."""
    rows = await history.rows(*statement(listing, limit + 1))
    kept = rows[:limit]
    if len(rows) <= limit:
        return Page(kept, None)
    return Page(kept, cursor_after(listing, Mark(kept[-1]["occurred_at"], kept[-1]["event_id"])))


def statement(listing: Listing, limit: int) -> tuple[str, list[object]]:
    """SQL and its arguments."""
    question = Question()
    newest = listing.order is Order.NEWEST
    start_us, end_us = listing.span.start_us, listing.span.end_us
    if listing.mark is not None:
        if newest:
            end_us = min(end_us, listing.mark.at_us + 1)
        else:
            start_us = max(start_us, listing.mark.at_us)
    question.between("occurred_at", start_us, end_us)
    question.equal({column: value for column, value in listing.filters.items() if column != DEPLOYMENT})
    if DEPLOYMENT in listing.filters:
        Scope.of_deployment(listing.filters[DEPLOYMENT]).ask(question)
    if listing.mark is not None:
        after = f"({question.bind(listing.mark.at_us)}, {question.bind(listing.mark.event_id)})"
        question.conditions.append(f"(occurred_at, event_id) {'<' if newest else '>'} {after}")
    way = "desc" if newest else "asc"
    sql = (
        f"select {listed(COLUMNS[listing.topic])} from {quoted(table_name(listing.topic))} {question.where} "
        f"order by occurred_at {way}, event_id {way} limit {question.bind(limit)}"
    )
    return sql, question.arguments


def cursor_after(listing: Listing, mark: Mark) -> str:
    """The cursor that continues after a row. Opaque: its form may change with any release."""
    told = [
        listing.span.start_us,
        listing.span.end_us,
        listing.order,
        mark.at_us,
        mark.event_id,
        _digest(listing.topic, listing.filters),
    ]
    return base64.urlsafe_b64encode(orjson.dumps(told)).decode().rstrip("=")


def resume(cursor: str, topic: str, filters: Filters) -> Listing:
    """The listing that a cursor continues. InvalidCursorError when it is none, or one of another question."""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        start_us, end_us, order, at_us, event_id, digest = orjson.loads(raw)
        span, mark = Span(_time(start_us), _time(end_us)), Mark(_time(at_us), str(UUID(event_id)))
        found = Listing(topic, filters, span, Order(order), mark)
    except (ValueError, TypeError, AttributeError, binascii.Error):
        raise InvalidCursorError(
            "is no cursor: give `next` of the answer before as it is, or leave it out"
        ) from None
    if digest != _digest(topic, filters):
        raise InvalidCursorError("belongs to a question with other filters: ask with the same ones, or anew")
    return found


def _time(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_TIME_US:
        raise ValueError(value)
    return value


def _digest(topic: str, filters: Filters) -> str:
    told = orjson.dumps([topic, dict(filters)], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(told).hexdigest()[:16]
