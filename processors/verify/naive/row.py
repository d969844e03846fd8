"""A record of the log as a row of the history, told naively: column by column, from the decoded record."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from events.catalogue import TOPICS
from events.codec import Codec
from events.errors import InvalidEventError
from events.reader import LogRecord
from events.settings import LogSettings
from processors.verify.naive.sieve import usable

LATEST_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""


FOLDED = {"usage", "adjustments", "budgets", "routing", "outcomes", "health", "overrides", "providers"}
"""Of these a row is a record that the live state counts; of what was derived, whatever can be read."""


def row_of(
    topic: str, record: LogRecord, codec: Codec, log: LogSettings, columns: Mapping[str, str]
) -> dict[str, Any] | None:
    """The row's document, `columns` being the SQL type by name; None for a record that does not count."""
    if topic in FOLDED and usable(topic, record, codec, log) is None:
        return None
    try:
        values = codec.decode_record(TOPICS[topic], record.value)
        event_id = str(UUID(values["event_id"]))
    except (InvalidEventError, ValueError):
        return None
    if not 0 <= values["occurred_at"] <= LATEST_US:
        return None
    of_log = {
        "event_id": event_id,
        "log_partition": record.partition,
        "log_offset": record.offset,
        "appended_at": record.timestamp * 1000,
    }
    return {name: of_log[name] if name in of_log else _held(values.get(name)) for name in columns}


def month_of(time_us: int) -> str:
    """The month of an instant, UTC: `2026-11`."""
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us):%Y-%m}"


def _held(value: Any) -> Any:
    """As Postgres has it: no NUL in a text; bytes within JSON are base64."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list | tuple):
        return [_held(one) for one in value]
    if isinstance(value, dict):
        return {_held(name): _held(one) for name, one in value.items()}
    return value
