"""What was spent: sums of calls by node in quarter hours of event time.

Sums commute, so neither the order and batching of usage nor when an adjustment comes ever show. One state is a node's UTC day: `SpendDay`.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import orjson

from events.spend_adjusted import SpendAdjusted
from projections.live.canonical import encode
from projections.live.node import Identity, escape, nodes_of, unescape
from projections.live.period import QUARTER_US

QUARTERS_PER_DAY = 96
_PREFIXES_KEPT = 8_192


class Spent(NamedTuple):
    """Sums over calls. A call without a known price counts in `unpriced_calls` and costs nothing here."""

    cost_nano_usd: int
    calls: int
    input_tokens: int
    output_tokens: int
    unpriced_calls: int

    def plus(self, other: Sequence[int]) -> Spent:
        """The sums of both; `other` has the same five in the same order."""
        cost, calls, input_tokens, output_tokens, unpriced = other
        return Spent(
            self.cost_nano_usd + cost,
            self.calls + calls,
            self.input_tokens + input_tokens,
            self.output_tokens + output_tokens,
            self.unpriced_calls + unpriced,
        )


NOTHING = Spent(0, 0, 0, 0, 0)

Row: TypeAlias = tuple[int, int, int, int, int, int]
"""Quarter hour of the day (0..95), then the five sums of Spent."""

Group: TypeAlias = tuple[Identity, int]
"""Who called what, and the number of a quarter hour since the epoch."""

Charges: TypeAlias = dict[str, dict[int, list[int]]]
"""What to add: by spend id, then by quarter hour of that day, the five sums of Spent."""


@dataclass(frozen=True, slots=True)
class SpendDay:
    """One node's spend in one UTC day. `rows` ascend by quarter hour; a quarter hour without calls has none."""

    day: int
    rows: tuple[Row, ...] = ()

    @property
    def total(self) -> Spent:
        """Sums of the whole day."""
        _, *columns = (sum(column) for column in zip(*self.rows, strict=True)) if self.rows else (0, *NOTHING)
        return Spent(*columns)

    def plus(self, charges: Mapping[int, Sequence[int]]) -> SpendDay:
        """With the sums added that `charge` gave for this day."""
        rows = list(self.rows)
        for quarter, (cost, calls, input_tokens, output_tokens, unpriced) in charges.items():
            at = bisect_left(rows, (quarter,))
            if at < len(rows) and rows[at][0] == quarter:
                _, a, b, c, d, e = rows[at]
                rows[at] = (
                    quarter,
                    a + cost,
                    b + calls,
                    c + input_tokens,
                    d + output_tokens,
                    e + unpriced,
                )
            else:
                rows.insert(at, (quarter, cost, calls, input_tokens, output_tokens, unpriced))
        return SpendDay(self.day, tuple(rows))

    def between(self, first: int, last: int) -> Spent:
        """Sums of the quarter hours [first, last) of this day."""
        if first <= 0 and last >= QUARTERS_PER_DAY:
            return self.total
        spent = NOTHING
        for row in self.rows:
            if first <= row[0] < last:
                spent = spent.plus(row[1:])
        return spent

    def to_json(self) -> bytes:
        """The same bytes for the same sums, however they came together."""
        return encode({"day": self.day, "rows": self.rows})

    @classmethod
    def from_json(cls, data: bytes) -> SpendDay:
        """The inverse of to_json."""
        fields = orjson.loads(data)
        rows: tuple[Row, ...] = tuple(
            (quarter, int(cost), int(calls), int(input_tokens), int(output_tokens), int(unpriced))
            for quarter, cost, calls, input_tokens, output_tokens, unpriced in fields["rows"]
        )
        return cls(fields["day"], rows)


SpendOf: TypeAlias = Callable[[str, int], SpendDay | None]
"""Looks up a node's spend of one UTC day (number since the epoch) within one tenant; None when there is none."""


def spend_id(tenant: str, node: str, day: int) -> str:
    """`<tenant>|<node>|<UTC day number>`: the id under which a SpendDay is kept."""
    return f"{escape(tenant)}|{node}|{day}"


def parse_spend_id(text: str) -> tuple[str, str, int]:
    """Tenant, node and day of a spend id."""
    tenant, node, day = text.split("|")
    return unescape(tenant), node, int(day)


def charge(groups: Mapping[Group, Sequence[int]]) -> Charges:
    """Expand a batch's sums by identity and quarter hour to all nodes they are charged to."""
    by_quarter: dict[int, dict[str, list[int]]] = {}
    for (identity, number), (cost, calls, input_tokens, output_tokens, unpriced) in groups.items():
        nodes = by_quarter.setdefault(number, {})
        for prefix in _prefixes(identity):
            held = nodes.get(prefix)
            if held is None:
                nodes[prefix] = [cost, calls, input_tokens, output_tokens, unpriced]
            else:
                held[0] += cost
                held[1] += calls
                held[2] += input_tokens
                held[3] += output_tokens
                held[4] += unpriced
    charges: Charges = {}
    for number, nodes in by_quarter.items():
        day, quarter = divmod(number, QUARTERS_PER_DAY)
        for prefix, sums in nodes.items():
            charges.setdefault(f"{prefix}{day}", {})[quarter] = sums
    return charges


def post_adjustment(groups: dict[Group, list[int]], event: SpendAdjusted) -> None:
    """Add to a batch's sums what an adjustment makes of its call: another cost, no other call."""
    payer = Identity(
        event.tenant, event.org, event.team, event.user, event.api_key, event.provider, event.model
    )
    sums = groups.setdefault((payer, quarter_of(event.usage_occurred_at)), [0, 0, 0, 0, 0])
    sums[0] += event.difference_nano_usd
    sums[4] += event.unpriced_calls


@lru_cache(maxsize=_PREFIXES_KEPT)
def _prefixes(identity: Identity) -> tuple[str, ...]:
    tenant = escape(identity.tenant)
    return tuple(sys.intern(f"{tenant}|{node}|") for node in nodes_of(identity))


def days_in(groups: Iterable[Group]) -> set[int]:
    """The UTC days that a batch's calls fall into."""
    return {number // QUARTERS_PER_DAY for _, number in groups}


def touched(charges: Charges, tenant: str, nodes: Iterable[str], days: Iterable[int]) -> dict[str, set[int]]:
    """Which quarter hours (since the epoch) were charged to these nodes of a tenant; nodes without charges are absent.

    It asks for the few nodes that have budgets rather than take every charge apart.
    """
    days = tuple(days)
    found: dict[str, set[int]] = {}
    for node in nodes:
        for day in days:
            quarters = charges.get(spend_id(tenant, node, day))
            if quarters:
                first = day * QUARTERS_PER_DAY
                found.setdefault(node, set()).update(first + quarter for quarter in quarters)
    return found


def spent_in(spend_of: SpendOf, node: str, quarters: range) -> Spent:
    """Sums of a node over quarter hours since the epoch."""
    spent = NOTHING
    for day in days_of(quarters):
        spend = spend_of(node, day)
        if spend is not None:
            first = day * QUARTERS_PER_DAY
            spent = spent.plus(spend.between(quarters.start - first, quarters.stop - first))
    return spent


def used_quarters(spend_of: SpendOf, node: str, quarters: range) -> Iterator[tuple[int, int]]:
    """Number and cost of each quarter hour of the range in which the node was charged, ascending."""
    for day in days_of(quarters):
        spend = spend_of(node, day)
        for row in spend.rows if spend is not None else ():
            quarter = day * QUARTERS_PER_DAY + row[0]
            if quarter in quarters:
                yield quarter, row[1]


def days_of(quarters: range) -> range:
    """The UTC days that quarter hours lie in."""
    return range(quarters.start // QUARTERS_PER_DAY, -(-quarters.stop // QUARTERS_PER_DAY))


def quarter_of(at_us: int) -> int:
    """Number of the quarter hour since the epoch that an instant lies in."""
    return at_us // QUARTER_US
