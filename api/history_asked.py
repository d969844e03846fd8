"""Which part of the history a request asks for: its time range, its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Response

from api.asked import Asked, AtLeast, say_positions
from api.ingest import wall_clock_us
from api.live_reads import MAX_HEADER_POSITIONS
from api.ports import InPorts, Ports
from api.problems import invalid_value
from api.rfc3339 import parse_time_us
from events.positions import PositionVector, format_vector, parse_vector
from projections.errors import InvalidCursorError
from projections.history.queries.page import MAX_CURSOR_CHARS, Listing, Order, resume
from projections.history.queries.positions import positions, reach
from projections.history.queries.span import Span
from projections.live.consistency import Consistency

DAY_US = 86_400_000_000
END_OF_TIME_US = 253_339_228_800_000_000  # 9998-01-01: a window's end after that could not be written
MAX_PAGE = 1_000

From = Annotated[
    str | None,
    Query(
        alias="from",
        description="RFC 3339; from this instant on.",
        json_schema_extra={"format": "date-time"},
        max_length=64,
    ),
]
To = Annotated[
    str | None,
    Query(
        alias="to",
        description="RFC 3339; before this instant. Default: now.",
        json_schema_extra={"format": "date-time"},
        max_length=64,
    ),
]
AsOf = Annotated[
    str | None,
    Query(
        description="RFC 3339: answer from the history, as of this instant, instead of the live state.",
        json_schema_extra={"format": "date-time"},
        max_length=64,
    ),
]


@dataclass(frozen=True, slots=True)
class PageAsked:
    """A page as it is asked for; what was left out is None."""

    start_us: int | None
    end_us: int | None
    order: Order | None
    limit: int
    cursor: str | None

    def listing(self, topic: str, filters: Mapping[str, str | None], default_us: int = DAY_US) -> Listing:
        """What to list: what the cursor continues, else the range, by default the last `default_us` before its end."""
        given = {column: value for column, value in filters.items() if value is not None}
        if self.cursor is None:
            return Listing(
                topic, given, span_of(self.start_us, self.end_us, default_us), self.order or Order.NEWEST
            )
        try:
            found = resume(self.cursor, topic, given)
        except InvalidCursorError as error:
            raise invalid_value("cursor", str(error)) from None
        for name, asked, has in (
            ("from", self.start_us, found.span.start_us),
            ("to", self.end_us, found.span.end_us),
            ("order", self.order, found.order),
        ):
            if asked is not None and asked != has:
                raise invalid_value(name, "differs from what the cursor continues: leave it out or ask anew")
        return found


async def page_asked(
    start: From = None,
    end: To = None,
    order: Annotated[Order | None, Query(description="Which events come first; default: newest.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most events of one answer.")] = 100,
    cursor: Annotated[
        str | None,
        Query(description="`next` of the answer before, with the same filters.", max_length=MAX_CURSOR_CHARS),
    ] = None,
) -> PageAsked:
    """The page of a request, from its query."""
    return PageAsked(instant("from", start), instant("to", end), order, limit, cursor)


InPage = Annotated[PageAsked, Depends(page_asked)]


def instant(name: str, text: str | None) -> int | None:
    """Microseconds of a time in the query; a problem names the parameter."""
    if text is None:
        return None
    try:
        time_us = parse_time_us(text)
    except ValueError as error:
        raise invalid_value(name, str(error)) from None
    if not 0 <= time_us < END_OF_TIME_US:
        raise invalid_value(name, "must lie between 1970 and 9997")
    return time_us


class Fresh:
    """A dependency of routes that read these topics: waits for `at_least`, and says how far the history has come."""

    def __init__(self, *topics: str) -> None:
        self._topics = topics

    async def __call__(self, ports: InPorts, response: Response, at_least: AtLeast = None) -> None:
        await self.wait(ports, response, parse_vector(at_least or ""))

    async def wait(self, ports: Ports, response: Response, at_least: PositionVector) -> None:
        """The same for a vector that is parsed."""
        live = ports.settings.live
        await reach(ports.history, at_least, live.consistency_timeout_s, live.consistency_poll_s)
        held = await positions(ports.history, self._topics)
        if len(held) <= MAX_HEADER_POSITIONS:
            say_positions(response, format_vector(held))


def past_instant(text: str, live: Asked) -> int:
    """The instant of `as_of`, which is not ahead; the history has no end to wait for."""
    if live.consistency is Consistency.STRONG:
        raise invalid_value("as_of", "is answered from the history: consistency=strong is for the live state")
    time_us = instant("as_of", text)
    assert time_us is not None
    if time_us > wall_clock_us():
        raise invalid_value("as_of", "lies ahead: leave it out to see the present")
    return time_us


def span_of(start_us: int | None, end_us: int | None, default_us: int) -> Span:
    """The range: until now, and `default_us` long, where it is not said."""
    end = wall_clock_us() + 1 if end_us is None else end_us
    start = max(0, end - default_us) if start_us is None else start_us
    if start >= end:
        raise invalid_value(
            "to" if end_us is not None else "from",
            "must be after from" if end_us is not None else "lies ahead",
        )
    return Span(start, end)
