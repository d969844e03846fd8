"""Rollups of usage: what the calls of a minute, an hour and a day come to, by who called what. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import itemgetter
from typing import Any, TypeAlias

from events.envelope import FAILURES, OutcomeKind
from events.positions import Partition
from projections.history.sketch import Counts, bucket_of, merge_into

Row = tuple[Any, ...]
"""A row of the table `usage`, its columns in the order of the table."""


class Grain(Enum):
    """Length of a rollup's bucket: the table that holds it, and microseconds."""

    MINUTE = ("usage_by_minute", 60_000_000)
    HOUR = ("usage_by_hour", 3_600_000_000)
    DAY = ("usage_by_day", 86_400_000_000)

    @property
    def table(self) -> str:
        return self.value[0]

    @property
    def length_us(self) -> int:
        return self.value[1]


Bucket = tuple[Grain, int]
"""A stretch of time that is summed up: its length, and its first microsecond."""

Key = tuple[int, str, str, str, str, str]
"""Start of the bucket in microseconds, tenant, provider, model, region, user; what is absent is empty text."""

KEY_COLUMNS = ("bucket", "tenant", "provider", "model", "region", "user")
OTHER_OUTCOMES = tuple(kind for kind in OutcomeKind if kind is not OutcomeKind.SUCCESS)
SUM_COLUMNS = (
    "calls",
    "successes",
    "failures",
    *(kind.lower() for kind in OTHER_OUTCOMES),
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cost_nano_usd",
    "unpriced_calls",
    "latency_ms_sum",
)
"""`failures` are those that are the provider's fault; a call without a price is counted, and costs nothing."""

_COST_AT, _UNPRICED_AT = SUM_COLUMNS.index("cost_nano_usd"), SUM_COLUMNS.index("unpriced_calls")


@dataclass(slots=True)
class Rollup:
    """Sums in the order of SUM_COLUMNS, and the latencies of all calls."""

    sums: list[int]
    latencies: Counts = field(default_factory=dict)

    def add(self, more: Rollup) -> None:
        """Count what another has counted."""
        self.sums = [one + other for one, other in zip(self.sums, more.sums, strict=True)]
        merge_into(self.latencies, more.latencies)

    def copy(self) -> Rollup:
        return Rollup(list(self.sums), dict(self.latencies))


Rollups = dict[Key, Rollup]


class UsageTally:
    """Sums the rows of a batch of calls. Made once for the columns of its rows, which `columns` have to be among."""

    called_at = "occurred_at"
    columns = (
        "occurred_at",
        *("tenant", "provider", "model", "region", "user", "outcome"),
        *("input_tokens", "output_tokens", "cached_input_tokens", "cost_nano_usd", "latency_ms"),
    )

    def __init__(self, columns: Sequence[str]) -> None:
        place = {name: at for at, name in enumerate(columns)}
        self._at = place["occurred_at"]
        self._caller: Callable[[Row], Row] = itemgetter(
            *(place[name] for name in ("tenant", "provider", "model", "region", "user"))
        )
        self._figures: Callable[[Row], Row] = itemgetter(
            *(
                place[name]
                for name in (
                    "outcome",
                    "input_tokens",
                    "output_tokens",
                    "cached_input_tokens",
                    "cost_nano_usd",
                    "latency_ms",
                )
            )
        )

    def time_of(self, row: Row) -> int:
        """When the call happened, microseconds: it decides the buckets."""
        return int(row[self._at])

    def by_minute(self, rows: Iterable[Row]) -> Rollups:
        """What the rows come to, by minute and caller."""
        at, caller, figures = self._at, self._caller, self._figures
        groups: dict[tuple[int, Row], list[Row]] = {}
        for row in rows:
            key = (row[at] // 60_000_000, caller(row))
            group = groups.get(key)
            if group is None:
                groups[key] = [figures(row)]
            else:
                group.append(figures(row))
        rollups: Rollups = {}
        for (minute, (tenant, provider, model, region, user)), group in groups.items():
            key_of_row = (minute * 60_000_000, tenant, provider, model, region or "", user or "")
            rollup = _rollup(group)
            held = rollups.setdefault(key_of_row, rollup)
            if held is not rollup:  # absent and empty are one
                held.add(rollup)
        return rollups


class AdjustedTally:
    """The same of adjustments: other costs, no other calls. They count when the calls happened."""

    called_at = "timestamptz 'epoch' + usage_occurred_at * interval '1 microsecond'"
    columns = (
        "usage_occurred_at",
        *("tenant", "provider", "model", "region", "user", "cost_before_nano_usd", "cost_after_nano_usd"),
    )

    def __init__(self, columns: Sequence[str]) -> None:
        place = {name: at for at, name in enumerate(columns)}
        self._values: Callable[[Row], Row] = itemgetter(*(place[name] for name in self.columns))

    def time_of(self, row: Row) -> int:
        """When the call happened, microseconds."""
        return int(self._values(row)[0])

    def by_minute(self, rows: Iterable[Row]) -> Rollups:
        """What the rows come to, by minute and caller."""
        rollups: Rollups = {}
        for row in rows:
            at_us, tenant, provider, model, region, user, before, after = self._values(row)
            key = (at_us - at_us % Grain.MINUTE.length_us, tenant, provider, model, region or "", user or "")
            sums = rollups.setdefault(key, Rollup([0] * len(SUM_COLUMNS))).sums
            sums[_COST_AT] += after - (before or 0)
            sums[_UNPRICED_AT] -= before is None
        return rollups


Tally: TypeAlias = UsageTally | AdjustedTally

TALLIES: dict[str, type[Tally]] = {"usage": UsageTally, "adjustments": AdjustedTally}
"""By topic, what sums its rows; the other topics are not rolled up. The first of `columns` is when the call happened,
`called_at` is the same in SQL, as a time.
"""


def writer_of(place: Partition) -> int:
    """What the rollup rows that a log partition writes have as `log_partition`: no two topics write the same row."""
    return place.number if place.topic == "usage" else -1 - place.number


def _rollup(group: Sequence[Row]) -> Rollup:
    outcomes, inputs, outputs, cached, costs, latencies = zip(*group, strict=True)
    kinds = Counter(outcomes)
    return Rollup(
        [
            len(group),
            kinds[OutcomeKind.SUCCESS],
            sum(kinds[kind] for kind in FAILURES) if len(kinds) > 1 or outcomes[0] in FAILURES else 0,
            *(kinds[kind] for kind in OTHER_OUTCOMES),
            sum(inputs),
            sum(outputs),
            sum(cached),
            sum(filter(None, costs)),
            costs.count(None),
            sum(latencies),
        ],
        dict(Counter(map(bucket_of, latencies))),
    )


def coarser(rollups: Rollups, grain: Grain) -> Rollups:
    """The same, in longer buckets."""
    merged: Rollups = {}
    for (start_us, *caller), rollup in rollups.items():
        key: Key = (start_us - start_us % grain.length_us, *caller)  # type: ignore[assignment]
        merge(merged, {key: rollup})
    return merged


def merge(held: Rollups, more: Rollups) -> None:
    """Count into the first what the second has counted."""
    for key, rollup in more.items():
        mine = held.get(key)
        if mine is None:
            held[key] = rollup.copy()
        else:
            mine.add(rollup)
