"""What each call of one partition counts for now, and what it costs at new prices. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from events.bounds import Bounds
from events.catalogue import TOPICS
from events.codec import Codec, from_record
from events.errors import InvalidEventError
from events.ids import derived_id
from events.reader import LogRecord
from events.spend_adjusted import SpendAdjusted
from processors.backtest.prices import Priced, Prices
from processors.dedupe import Seen
from processors.reprice.scope import Scope
from processors.usage.counted import CountedUsage
from processors.usage.soundness import Usage

SOURCE = "reprice"
TOLD_AS_RECORDED = ("tenant", "provider", "model", "region", "org", "team", "user", "api_key", "outcome")
"""Fields that an adjustment has of its call."""


@dataclass(slots=True)
class Standing:
    """What the adjustments of one call come to; `version` is the prices of the last."""

    adjustments: int = 0
    difference_nano_usd: int = 0
    is_priced: bool = False
    version: str | None = None

    def add(self, event: SpendAdjusted) -> None:
        """One more."""
        self.adjustments += 1
        self.difference_nano_usd += event.difference_nano_usd
        self.is_priced = True
        self.version = event.price_version


_NONE = Standing()


class Call(NamedTuple):
    """A call with what it counts for now, None when no price is known. `priced` is None where the new prices say nothing."""

    usage: Usage
    before_nano_usd: int | None
    standing: Standing
    priced: Priced | None

    @property
    def after_nano_usd(self) -> int | None:
        """What it counts for at the new prices."""
        return self.before_nano_usd if self.priced is None else self.priced.cost_nano_usd

    @property
    def is_adjusted(self) -> bool:
        """Whether that is something else."""
        return self.after_nano_usd != self.before_nano_usd

    @property
    def difference_nano_usd(self) -> int:
        """What is added to what was spent."""
        return (self.after_nano_usd or 0) - (self.before_nano_usd or 0)

    def adjustment(self, at_us: int, actor: str, reason: str, action_id: str | None = None) -> SpendAdjusted:
        """The event that makes it so. The same call, adjusted as often before, to the same prices: the same id.

        `action_id` is what the audit calls the repricing. InvalidEventError when actor or reason are none.
        """
        assert self.priced is not None
        usage, standing = self.usage, self.standing
        version = self.priced.version
        values = {name: usage[name] for name in TOLD_AS_RECORDED} | {
            "event_id": derived_id(
                f"adjustment:{usage['event_id']}", f"{standing.adjustments + 1}:{version}"
            ),
            "occurred_at": at_us,
            "source": SOURCE,
            "correlation_id": action_id,
            "usage_id": usage["event_id"],
            "usage_occurred_at": usage["occurred_at"],
            "cost_before_nano_usd": self.before_nano_usd,
            "cost_after_nano_usd": self.priced.cost_nano_usd,
            "price_version_before": standing.version or usage["price_version"],
            "price_version": version,
            "actor": actor,
            "reason": reason,
        }
        event = from_record(TOPICS["adjustments"], values)
        assert isinstance(event, SpendAdjusted)
        return event


@dataclass(slots=True)
class Repricing:
    """Feed `adjusted` with all adjustments of the partition, then `calls` with its usage, both in order.

    Memory grows with the calls of the scope that were adjusted before.
    """

    codec: Codec
    bounds: Bounds
    prices: Prices
    scope: Scope
    counted: CountedUsage = field(init=False)
    _standing: dict[str, Standing] = field(default_factory=dict)
    _seen: Seen = field(default_factory=Seen)

    def __post_init__(self) -> None:
        self.counted = CountedUsage(self.codec, self.bounds)

    def adjusted(self, records: Iterable[LogRecord]) -> None:
        """Adjustments that count, as the workers have it: bad ones and repeated ones do not."""
        for record in records:
            self._seen.tick(record.timestamp, record.offset)
            try:
                event = self.bounds.event(TOPICS["adjustments"], record, self.codec)
            except InvalidEventError:
                continue
            assert isinstance(event, SpendAdjusted)
            if self._seen.add(event.event_id) and self.scope.holds(
                event.usage_occurred_at, event.tenant, event.provider, event.model
            ):
                self._standing.setdefault(event.usage_id, Standing()).add(event)

    def calls(self, records: Iterable[LogRecord]) -> Iterator[Call]:
        """The calls of the scope among the next usage records."""
        for _, _, usage in self.counted.take(records):
            if self.scope.covers(usage):
                standing = self._standing.get(usage["event_id"], _NONE)
                recorded: int | None = usage["cost_nano_usd"]
                known = recorded is not None or standing.is_priced
                before = (recorded or 0) + standing.difference_nano_usd if known else None
                yield Call(usage, before, standing, self.prices.priced(usage))
