"""Records that no consumer can use, made of good ones: each sort of bad input that a log may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from events.codec import Codec
from events.envelope import MAX_LONG, Event
from events.partitioner import partition_of
from events.reader import LogRecord
from events.settings import LogSettings
from events.usage_recorded import UsageRecorded
from tests.simulation.log import changed

DAY_US = 86_400_000_000


def broken(
    event: Event, good: LogRecord, settings: LogSettings, codec: Codec, random: Random
) -> tuple[int, LogRecord]:
    """Some partition, and for it the event's good record broken somehow. A few are sound after all, only unusual."""
    assert good.key is not None
    home = partition_of(good.key, settings.partitions)
    value = good.value or b""
    if isinstance(event, UsageRecorded) and random.random() < 0.6:
        name, change = random.choice(list(_USAGE_CHANGES.items()))
        other = replace(event, **{name: change(getattr(event, name))})
        return home, changed(good, value=codec.encode(other))
    record_bytes: dict[str, bytes | None] = {
        "magic": b"\x01" + value[1:],
        "truncated": value[: random.randrange(len(value))],
        "trailing": value + b"\0",
        "unknown schema": b"\0\xff\xff\xff\xfe" + value[5:],
        "tombstone": None,
        "empty": b"",
        "noise": random.randbytes(random.randrange(60)),
        "too large": value + bytes(settings.max_event_bytes),
    }
    how = random.choice((*record_bytes, "null key", "wrong key", "wrong partition"))
    match how:
        case "null key":
            return home, changed(good, key=None)
        case "wrong key":
            return home, changed(good, key=good.key + b"x")
        case "wrong partition":
            return (home + 1) % settings.partitions, good
        case _:
            return home, changed(good, value=record_bytes[how])


_USAGE_CHANGES: dict[str, Callable[[Any], Any]] = {
    "event_id": lambda held: held.upper(),
    "occurred_at": lambda held: held - 400 * DAY_US,
    "input_tokens": lambda _: -1,
    "output_tokens": lambda _: -(2**40),
    "latency_ms": lambda _: 2**40,
    "request_id": lambda _: "",
    "region": lambda _: "r" * 300,
    "error": lambda _: "e" * 2000,
    "breaker_epoch": lambda _: -1,
    "retry_after_ms": lambda _: -5,
    "first_token_ms": lambda _: -5,
    "attempt": lambda _: 0,
    "source": lambda _: "",
    "correlation_id": lambda _: "c" * 300,
    "cost_nano_usd": lambda _: -MAX_LONG - 1,
    "attributes": lambda _: {"name": "v" * 1001},
    "user": lambda _: "u" * 300,
    "provider": lambda _: "",
}
"""Values that the schema allows. An id in capitals is sound: it is the same id as the one in small letters."""
