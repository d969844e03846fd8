"""Calls to sums by minute, hour and day and by who called what, without a Python object per call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from events.envelope import FAILURES, OutcomeKind
from projections.history.avro_columns import Columns, Ints, Numbers, Some
from projections.history.rollup_sums import BUCKETS, Sums
from projections.history.rollups import OTHER_OUTCOMES, SUM_COLUMNS, Grain
from projections.history.sketch import bucket_of
from projections.history.usage_callers import Callers, Names

LARGEST_SUMMED = 2**48
"""A figure beyond it is left to the general way, so that no sum of a batch can overflow."""

SUMMED = ("input_tokens", "output_tokens", "cached_input_tokens", "cost_nano_usd", "latency_ms")
_MINUTE_US = Grain.MINUTE.length_us
_TABLE_MS = 16_384
_BUCKETS = np.array([bucket_of(ms) for ms in range(_TABLE_MS)], np.int64)


@dataclass(slots=True)
class UsageCalls:
    """The calls of a batch, gathered block by block. `kinds` are the outcomes in the order of the schema."""

    kinds: Sequence[OutcomeKind]
    callers: Callers
    _blocks: list[Ints] = field(default_factory=lambda: [np.zeros((4 + len(SUMMED), 0), np.int64)])

    def add(self, columns: Columns, good: Some, callers: Ints) -> None:
        """Calls that are in these records; the number of each one's caller."""
        figures = [_numbers(columns, name).values[good] for name in SUMMED]
        unpriced = _numbers(columns, "cost_nano_usd").null[good]
        minutes = _numbers(columns, "occurred_at").values[good] // _MINUTE_US
        outcomes = _numbers(columns, "outcome").values[good]
        self._blocks.append(np.array([callers, minutes, outcomes, unpriced, *figures]))

    def by_grain(self) -> dict[Grain, Sums]:
        """What all of them come to."""
        by_minute = self._by_minute(np.concatenate(self._blocks, axis=1))
        by_hour = by_minute.coarser(Grain.HOUR)
        return {Grain.MINUTE: by_minute, Grain.HOUR: by_hour, Grain.DAY: by_hour.coarser(Grain.DAY)}

    def _by_minute(self, calls: Ints) -> Sums:
        caller, minute, outcome, unpriced, *figures = calls
        names, number_of = self._names(caller)
        told, groups = np.unique(minute * len(names) + number_of[caller], return_inverse=True)
        keys = [(at // len(names) * _MINUTE_US, *names[at % len(names)]) for at in told.tolist()]
        size = len(keys)
        kinds = np.bincount(groups * len(self.kinds) + outcome, minlength=size * len(self.kinds))
        of_kind = dict(zip(self.kinds, kinds.reshape(size, len(self.kinds)).T, strict=True))
        totals = {
            "calls": np.bincount(groups, minlength=size),
            "successes": of_kind[OutcomeKind.SUCCESS],
            "failures": np.sum([of_kind[kind] for kind in FAILURES], axis=0),
            **{kind.lower(): of_kind[kind] for kind in OTHER_OUTCOMES},
            "unpriced_calls": np.bincount(groups[unpriced != 0], minlength=size),
            **dict(
                zip(
                    (
                        "input_tokens",
                        "output_tokens",
                        "cached_input_tokens",
                        "cost_nano_usd",
                        "latency_ms_sum",
                    ),
                    (_sum(groups, one, size) for one in figures),
                    strict=True,
                )
            ),
        }
        entries, counts = np.unique(groups * BUCKETS + _buckets(figures[-1]), return_counts=True)
        sums = np.column_stack([totals[name] for name in SUM_COLUMNS])
        return Sums(keys, sums, entries // BUCKETS, entries % BUCKETS, counts)

    def _names(self, callers: Ints) -> tuple[list[Names], Ints]:
        """The names of these callers, and which has which: those of several teams may have the same."""
        numbers: dict[Names, int] = {}
        number_of = np.zeros(len(self.callers.names), np.int64)
        for caller in np.unique(callers).tolist():
            number_of[caller] = numbers.setdefault(self.callers.names[caller], len(numbers))
        return list(numbers), number_of


def _sum(groups: Ints, values: Ints, size: int) -> Ints:
    total = np.zeros(size, np.int64)
    np.add.at(total, groups, values)
    return total


def _buckets(latencies_ms: Ints) -> Ints:
    buckets = _BUCKETS[np.clip(latencies_ms, 0, _TABLE_MS - 1)]
    for at in np.flatnonzero(latencies_ms >= _TABLE_MS).tolist():
        buckets[at] = bucket_of(int(latencies_ms[at]))
    return buckets


def _numbers(columns: Columns, name: str) -> Numbers:
    found = columns.fields[name]
    assert isinstance(found, Numbers), f"{name} is a number in every schema of usage"
    return found
