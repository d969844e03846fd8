"""Fencing tokens on the log: a derived record carries the epoch of the slot's owner that appended it, in a header.

The same epochs fence the commits in the live store. There a stale owner is refused; the log takes what it appends, so a
reader leaves it out: see `projections.live.fences`.
"""

from __future__ import annotations

from collections.abc import Iterable

from events.encoded import Header

EPOCH_HEADER = "interlock-epoch"
_MOST_DIGITS = 19


def epoch_header(epoch: int) -> Header:
    """The header that says which owner appends a record."""
    return EPOCH_HEADER, b"%d" % epoch


def epoch_of(headers: Iterable[Header]) -> int:
    """The epoch in a record's headers; 0 when none is there, or none that can be read."""
    for name, value in headers:
        if name == EPOCH_HEADER:
            return int(value) if value.isdigit() and len(value) <= _MOST_DIGITS else 0
    return 0
