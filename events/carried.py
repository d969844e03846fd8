"""Records that were carried from another log: a header says their place in it, and names of its places say whose they are.

What a log derived of its records is carried with them, so nothing is derived of a carried record again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from events.header_names import Header
from events.ids import derived_id

CARRIED_HEADER = "interlock-carried"
_PLACE = re.compile(rb"([0-9]{1,9}):([0-9]{1,18})")
_OF = "@"
"""Divides a name from the log that it is of; no topic's name holds it."""


class Place(NamedTuple):
    """Where a record lies within its topic: `offset` is its own."""

    partition: int
    offset: int


def is_carried(headers: Iterable[tuple[str, object]]) -> bool:
    """Whether a record with these headers came from another log."""
    return any(name == CARRIED_HEADER for name, _ in headers)


def origin_of(headers: Iterable[Header]) -> Place | None:
    """Where the record lay; None when it was not carried."""
    for name, value in headers:
        if name == CARRIED_HEADER and (place := _PLACE.fullmatch(value or b"")):
            return Place(int(place[1]), int(place[2]))
    return None


def not_carried(headers: Iterable[Header]) -> tuple[Header, ...]:
    """The headers without that one: of a record that is appended anew, or carried on."""
    return tuple(header for header in headers if header[0] != CARRIED_HEADER)


def with_origin(headers: Sequence[Header], origin: Place) -> tuple[Header, ...]:
    """The headers of a record that is carried from there."""
    place = b"%d:%d" % origin
    return (*(not_carried(headers) if headers else ()), (CARRIED_HEADER, place))


def in_log(name: str, prefix: str) -> str:
    """A topic or a position, said as one of the log of that prefix: `usage@interlock.`. One that says so already stays."""
    return name if _OF in name else f"{name}{_OF}{prefix}"


def without_log(name: str) -> str:
    """The topic or position alone, of whichever log."""
    return name.partition(_OF)[0]


def carried_id(event_id: str, prefix: str) -> str:
    """The id in another log of an event whose id names a place in the log of that prefix: its own log may use that for another."""
    return derived_id(f"carried:{prefix}", event_id)
