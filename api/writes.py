"""Operators' changes: one event on the log, answered with its position."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from typing import Annotated, Any

from fastapi import Header, Response

from api.asked import POSITIONS_HEADER
from api.ingest import wall_clock_us
from api.ports import Ports
from api.problems import invalid_value, precondition_failed
from events.catalogue import TOPIC_OF_EVENT
from events.codec import from_record, to_record
from events.envelope import Event
from events.errors import InvalidEventError
from events.ids import uuid7
from events.publisher import Header as RecordHeader

SOURCE = "api"
_VERSION = re.compile(r"\d+")

IfMatch = Annotated[
    str | None,
    Header(
        description='Only if the current version is this one, for example `"3"`, or if there is one (`*`); else 412.',
        pattern=r'^(\*|(W/)?"\d{1,18}")$',
    ),
]


def operator_event(kind: type[Event], correlation_id: str | None = None, **values: Any) -> Event:
    """A validated event of an operator, from now. `values` are the event's fields."""
    now_us = wall_clock_us()
    envelope = {
        "event_id": uuid7(now_us, os.urandom(10)),
        "occurred_at": now_us,
        "source": SOURCE,
        "tenant": "",
        "correlation_id": correlation_id,
    }
    known = {field.name for field in fields(kind)}
    record = {name: value for name, value in (envelope | values).items() if name in known}
    try:
        return from_record(TOPIC_OF_EVENT[kind], to_record(record))
    except InvalidEventError as error:
        detail = error.detail.partition(": ")[2] or error.detail
        raise invalid_value(_pointer(error.field), detail.removeprefix("Value error, ")) from None


async def append_one(ports: Ports, event: Event, response: Response, traceparent: str | None) -> str:
    """Append the event; its position, which the answer's header carries too."""
    headers: tuple[RecordHeader, ...] = (("traceparent", traceparent.encode()),) if traceparent else ()
    [position] = await ports.log.publisher.append([event], headers)
    ports.metrics.appended.labels(type(event).__name__).inc()
    response.headers[POSITIONS_HEADER] = str(position)
    return str(position)


def check_if_match(given: str | None, version: int) -> None:
    """412 unless the current version is the one that the client has seen."""
    if given is None:
        return
    named = _VERSION.search(given)
    if named is None:
        if version == 0:
            raise precondition_failed(
                "If-Match is * and there is none yet: leave the header out to create it"
            )
    elif int(named[0]) != version:
        raise precondition_failed(
            f"the current version is {version}, not {named[0]}: read it again, then decide"
        )


def _pointer(field: str | None) -> str:
    """Where the value stands in the request: the edge has money as US dollars."""
    if not field or field == "the event":
        return ""
    return "/" + field.replace("_nano_usd", "_usd").replace(".", "/")
